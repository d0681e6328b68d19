"""The entry: runs the plug and, whenever it ends or fails, runs it again in place.

On the ESP8266 a main.py that ends leaves the relay as it is and the button dead, and every way of
resetting the chip is worse. So nothing leaves this file: not an exception, not SystemExit, and a
Ctrl-C only for somebody who goes on typing on the serial line in the first seconds: that is how
mpremote gets in. The relay keeps its level meanwhile; the plug goes on from the RTC memory.
Which slot is started is for trial.py to say; when neither starts, recovery.py runs instead.
"""

import gc
import sys
import time

WINDOW_MS = 3000  # plug.py switches Ctrl-C off when this is over
SOON_MS = 60000


def typing(error):
    # After Ctrl-C mpremote sends Ctrl-A at once; it is left for the REPL to read.
    if isinstance(error, KeyboardInterrupt) and time.ticks_ms() < WINDOW_MS:
        import select

        poll = select.poll()
        poll.register(sys.stdin, select.POLLIN)
        return poll.poll(1000)


def start(first, error, fails, given, gone):
    # One run. In a function of its own: what its calls leave on the stack goes with it. On that of
    # forever(), which stays, it would count as references and keep a plug that is over.
    name = "plug"
    gc.collect()
    try:
        import trial

        trial.clear(gone)
        sys.path[0], name = trial.find(first, error, fails)
    except Exception as wrong:  # then the slot that ran before, in less room
        sys.print_exception(wrong)
    sys.modules.pop("trial", None)
    trial = None
    gone.clear()
    return __import__(name).run(first, *given)


def forever():
    first = True
    before = left = ()  # modules that stay; what the run before leaves to the next
    gone = []  # modules of that run, to be let go
    error = None  # what ended it
    fails = 0  # how many ended so soon, in a row
    while True:
        try:
            while True:
                try:
                    began = time.ticks_ms()
                    if not before:
                        # Small garbage is swept often; left to itself it would break up the heap.
                        gc.threshold(2048)
                        sys.path.insert(0, "a")
                        before = set(sys.modules)
                    given, left = left, ()
                    left = start(first, error, fails, given, gone)
                    error = None
                    fails = 0
                except BaseException as wrong:
                    if first and typing(wrong):
                        break
                    sys.print_exception(wrong)
                    error = wrong
                    late = time.ticks_diff(time.ticks_ms(), began) > SOON_MS
                    fails = 1 if late else fails + 1
                    time.sleep_ms(500)
                first = False
                for name in set(sys.modules) - set(before or sys.modules):
                    gone.append(sys.modules.pop(name))
            break
        except BaseException:  # one more Ctrl-C, or no memory to tell about the first
            first = False


forever()
