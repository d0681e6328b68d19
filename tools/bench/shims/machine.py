"""The chip, as little of it as the firmware can do with: nothing here may cost heap."""

_pins = bytearray(17)
_kept = b""


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
            return 1 if not self.n else _pins[self.n]
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
