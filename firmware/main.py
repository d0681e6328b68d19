"""The entry: runs the plug and, whenever it ends or fails, runs it again in place.

On the ESP8266 a main.py that ends leaves the relay as it is and the button dead, and every way of
resetting the chip is worse. So nothing leaves this file: not an exception, not SystemExit, and a
Ctrl-C only for somebody who goes on typing on the serial line in the first seconds: that is how
mpremote gets in. The relay keeps its level meanwhile; the plug goes on from the RTC memory.
"""

import gc
import sys
import time

_WINDOW_MS = 3000  # plug.py switches Ctrl-C off when this is over
_TYPING_MS = 1000


def typing():
    # After Ctrl-C mpremote sends Ctrl-A at once; it is left for the REPL to read.
    try:
        import select

        poll = select.poll()
        poll.register(sys.stdin, select.POLLIN)
        return bool(poll.poll(_TYPING_MS))
    except Exception:
        return False


def slot():
    # The folder that holds the modules.
    try:
        with open("slot") as file:
            return "b" if file.read(1) == "b" else "a"
    except OSError:
        return "a"


def once(first):
    before = set(sys.modules)
    try:
        if first:
            # Small garbage is swept often; left to itself it would break up the heap.
            gc.threshold(2048)
            path = slot()
            if path not in sys.path:
                sys.path.insert(0, path)
        import plug

        plug.run(first)
    finally:
        for name in set(sys.modules) - before:
            del sys.modules[name]
        gc.collect()


def forever():
    start = None
    first = True
    while True:
        try:
            while True:
                try:
                    start = start or time.ticks_ms()
                    once(first)
                except BaseException as error:
                    early = time.ticks_diff(time.ticks_ms(), start) < _WINDOW_MS
                    if isinstance(error, KeyboardInterrupt) and first and early and typing():
                        return
                    sys.print_exception(error)
                first = False
                time.sleep_ms(500)
        except BaseException:  # one more Ctrl-C, or no memory to tell about the first
            pass


forever()
