"""machine.py that tells twenty times a second how the heap is, after a collection.

The button is held down for as long as there is a file `hold`.
"""

import gc
import sys
from time import ticks_add, ticks_diff, ticks_ms

import micropython

# Lists, since a name that is global is not shortened
_pins = bytearray(17)
_ram = [b""]
_now = [ticks_ms(), 0, 1]  # when the heap is looked at next, how often it was, the button's level


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
            if self.n:
                return _pins[self.n]
            if ticks_diff(ticks_ms(), _now[0]) >= 0:
                gc.collect()
                micropython.mem_info()
                _now[1] += 1
                if _now[1] % 100 == 0:
                    print("modules", *sys.modules)
                    micropython.qstr_info()
                try:
                    open("hold").close()
                    _now[2] = 0
                except OSError:
                    _now[2] = 1
                _now[0] = ticks_add(ticks_ms(), 50)
            return _now[2]
        _pins[self.n] = value


class RTC:
    def memory(self, data=None):
        if data is None:
            return _ram[0]
        _ram[0] = data


mem32 = {0x60000300: 0, 0x6000030C: 0}
PWRON_RESET = 0


def reset_cause():
    return 0
