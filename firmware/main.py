"""The entry: runs the plug and, whenever it ends or fails, runs it again in place.

On the ESP8266 a main.py that ends leaves the relay as it is and the button dead, and every way of
resetting the chip is worse. So nothing leaves this file: not an exception, not SystemExit, and a
Ctrl-C only for somebody who goes on typing on the serial line in the first seconds: that is how
mpremote gets in. The relay keeps its level meanwhile; the plug goes on from the RTC memory.
"""

import gc
import sys
import time

WINDOW_MS = 3000  # plug.py switches Ctrl-C off when this is over


def typing(error):
    # After Ctrl-C mpremote sends Ctrl-A at once; it is left for the REPL to read.
    if isinstance(error, KeyboardInterrupt) and time.ticks_ms() < WINDOW_MS:
        import select

        poll = select.poll()
        poll.register(sys.stdin, select.POLLIN)
        return poll.poll(1000)


def sweep(depth):
    # What a call leaves on the C stack counts as a reference as long as nobody writes over it, and
    # importing the plug leaves the way to 2 KB that are used only once.
    if depth:
        sweep(depth - 1)


def forever():
    first = True
    before = ()
    while True:
        try:
            while True:
                try:
                    if not before:
                        # Small garbage is swept often; left to itself it would break up the heap.
                        gc.threshold(2048)
                        path = "a"
                        try:
                            with open("slot") as file:
                                path = "b" if file.read(1) == "b" else "a"
                        except OSError:
                            pass
                        sys.path.insert(0, path)
                        before = set(sys.modules)
                    import plug

                    sweep(5)
                    plug.run(first)
                except BaseException as error:
                    if first and typing(error):
                        break
                    sys.print_exception(error)
                first = False
                plug = None
                for name in set(sys.modules) - set(before or sys.modules):
                    del sys.modules[name]
                gc.collect()
                time.sleep_ms(500)
            break
        except BaseException:  # one more Ctrl-C, or no memory to tell about the first
            first = False


forever()
