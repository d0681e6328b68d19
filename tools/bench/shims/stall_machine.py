"""machine.py with a ticker beside the firmware, and a finger on the button.

The ticker is a task that asks to run every 10 ms; "t" and the longest gap in us of the last second
are printed. The finger presses so that every press means something, in a cycle of 10.5 s: short
(on), long (off when the Pi is down), long again (off by hand), long (off now). "b", the us from
the release to the decision, and the relay's level if it has moved with it.

Where the file `saves` says -1 the finger holds once, which opens the portal, then presses short.
That restarts the plug in place: "r" and the us for which nobody looked at the button.
"""

import sys
from time import ticks_add, ticks_diff, ticks_ms, ticks_us

_pins = bytearray(17)
_kept = b""
_began = _saves = 0
_gap = _released = _looked = 0
_loop = None
_level = -1

_CYCLE_MS = 10500
_PRESSES = (1000, 60), (2500, 160), (4000, 160), (5500, 160)  # when in the cycle, for how long
_SHORT = (1000, 60), (2500, 60), (4000, 60), (5500, 60), (7000, 60), (8500, 60)
_HOLD = ((1000, 1200),)


async def _tick():
    global _gap, _saves
    last = ticks_us()
    second = ticks_ms()
    sleep_ms = sys.modules["asyncio"].sleep_ms
    while True:
        await sleep_ms(10)
        now = ticks_us()
        _gap = max(_gap, ticks_diff(now, last))
        last = now
        if ticks_diff(ticks_ms(), second) >= 1000:
            second = ticks_ms()
            print("t", _gap)
            _gap = 0
            if _saves > 0:
                _saves += 1
                if _saves % 3 == 0:
                    sys.modules["asyncio"].create_task(_save())


async def _save():
    # As the portal does it: the file is written, and the plug told.
    import steps

    steps.up()
    import keeping

    plug = sys.modules["plug"].current
    sleep_ms = sys.modules["asyncio"].sleep_ms
    changes = {"cool_below_c": 40 + _saves % 10, "hostname": "plug%d" % _saves}
    wrong = {}
    for _ in keeping.save_slowly(changes, wrong, bag=plug.s):
        await sleep_ms(0)
    print("saved", wrong)
    del sys.modules["keeping"]
    steps.down()
    plug.changes = tuple(changes)


def _button():
    global _began, _saves, _released, _looked, _loop
    now = ticks_ms()
    if not _began:
        _began = now or 1
        with open("saves") as file:
            _saves = int(file.read())
    if _loop is not sys.modules["asyncio"]:
        if _loop:
            print("r", ticks_diff(ticks_us(), _looked))
        _loop = sys.modules["asyncio"]
        _loop.create_task(_tick())
    _looked = ticks_us()
    cycle, phase = divmod(ticks_diff(now, _began), _CYCLE_MS)
    for at, long in _PRESSES if _saves >= 0 else _SHORT if cycle else _HOLD:
        if at <= phase < at + long:
            _released = ticks_add(ticks_us(), (at + long - phase) * 1000) or 1
            return 0
    return 1


def _decided():
    global _released, _level
    took = ticks_diff(ticks_us(), _released)
    # Sooner than the button's debounce time it was something else that changed the state.
    if _released and took >= 20000:
        _released = 0
        print("b", took, _pins[12] if _pins[12] != _level else "")
        _level = _pins[12]


class Pin:
    IN = 0
    OUT = 1
    PULL_UP = 1

    def __init__(self, n, mode=0, pull=0, value=None):
        self.n = n
        if value is not None:
            _pins[n] = value

    def __call__(self, value=None):
        if value is None:
            return _pins[self.n] if self.n else _button()
        _pins[self.n] = value


class RTC:
    def memory(self, data=None):
        global _kept
        if data is None:
            return _kept
        _kept = data
        _decided()


mem32 = {0x60000300: 0, 0x6000030C: 0}
PWRON_RESET = 0


def reset_cause():
    return 0
