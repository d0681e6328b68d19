"""The entry: runs the plug and, whenever it ends or fails, runs it again in place.

On the ESP8266 a main.py that ends leaves the relay as it is and the button dead, and every way of
resetting the chip is worse. So nothing leaves this file: not an exception, not Ctrl-C, not
SystemExit. The relay keeps its level meanwhile; the plug goes on from the RTC memory.
"""

import gc
import sys
import time


def slot():
    """The folder that holds the modules."""
    try:
        with open("slot") as file:
            name = file.read(1)
        return name if name in ("a", "b") else "a"
    except OSError:
        return "a"


def once(first):
    before = set(sys.modules)
    try:
        import plug

        plug.run(first)
    finally:
        for name in set(sys.modules) - before:
            del sys.modules[name]
        gc.collect()


def forever():
    path = slot()
    if path not in sys.path:
        sys.path.insert(0, path)
    first = True
    while True:
        try:
            while True:
                try:
                    once(first)
                except BaseException as error:
                    sys.print_exception(error)
                first = False
                time.sleep_ms(500)
        except BaseException:  # one more Ctrl-C, or no memory to tell about the first
            first = False


forever()
