"""machine.py that tells twenty times a second how the heap is, after a collection.

The button is held down for as long as there is a file `hold`.
"""

import gc
import sys
from time import ticks_add, ticks_diff, ticks_ms

import micropython

_pins = bytearray(17)
_kept = b""
_due = ticks_ms()
_count = 0
_level = 1


class Pin:
    IN = 0
    OUT = 1
    PULL_UP = 1

    def __init__(self, n, mode=0, pull=0, value=None):
        self.n = n
        if value is not None:
            _pins[n] = value

    def __call__(self, value=None):
        global _due, _count, _level
        if value is None:
            if self.n:
                return _pins[self.n]
            if ticks_diff(ticks_ms(), _due) >= 0:
                gc.collect()
                micropython.mem_info()
                _count += 1
                if _count % 100 == 0:
                    print("modules", *sys.modules)
                try:
                    open("hold").close()
                    _level = 0
                except OSError:
                    _level = 1
                _due = ticks_add(ticks_ms(), 50)
            return _level
        _pins[self.n] = value


class RTC:
    def memory(self, data=None):
        global _kept
        if data is None:
            return _kept
        _kept = data


mem32 = {0x60000300: 0, 0x6000030C: 0}
PWRON_RESET = 0


def reset_cause():
    return 0
