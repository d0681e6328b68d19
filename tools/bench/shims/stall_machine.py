"""machine.py with a ticker beside the firmware, and a finger on the button.

The ticker is a task that asks to run every 10 ms; "t" and the longest gap in us of the last second
are printed. The finger presses so that every press means something, in a cycle of 10.5 s: short
(on), long (off when the Pi is down), long again (off by hand), long (off now). "b", the us from
the release to the decision, and the relay's level if it has moved with it.
"""

import sys
from time import ticks_add, ticks_diff, ticks_ms, ticks_us

_pins = bytearray(17)
_kept = b""
_began = _saves = 0
_gap = _released = 0
_level = -1

_CYCLE_MS = 10500
_PRESSES = (1000, 60), (2500, 160), (4000, 160), (5500, 160)  # when in the cycle, for how long


async def _tick():
    global _gap
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
            if _saves:
                _save()


def _save():
    # As the portal will do it: the file is written, and the plug told.
    global _saves
    _saves += 1
    if _saves % 3 == 0:
        import settings

        changes = {"cool_below_c": 40 + _saves % 10, "hostname": "plug%d" % _saves}
        print("saved", settings.save(changes))
        del sys.modules["settings"]
        sys.modules["plug"].current.changes = changes


def _button():
    global _began, _saves, _released
    now = ticks_ms()
    if not _began:
        _began = now or 1
        sys.modules["asyncio"].create_task(_tick())
        with open("saves") as file:
            _saves = int(file.read())
    phase = ticks_diff(now, _began) % _CYCLE_MS
    for at, long in _PRESSES:
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
