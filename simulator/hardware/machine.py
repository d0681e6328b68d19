"""Stands for MicroPython's `machine` on the ESP8266: pins, registers, RTC memory, resets."""

import silicon

PWRON_RESET = 0
WDT_RESET = 1
SOFT_RESET = 4
DEEPSLEEP_RESET = 5
HARD_RESET = 6

_GPIO_OUT = 0x60000300
_GPIO_ENABLE = 0x6000030C
_GPIO_IN = 0x60000318


class Pin:
    IN = 0
    OUT = 1
    OPEN_DRAIN = 2
    PULL_UP = 1
    IRQ_RISING = 1
    IRQ_FALLING = 2

    def __init__(self, n, mode=-1, pull=-1, value=None):
        # GPIO6 to 8 and 11 carry the flash: the port has no Pin for them.
        if not 0 <= n <= 16 or n in (6, 7, 8, 11):
            raise ValueError("invalid pin")
        self.n = n
        bits = silicon.pins[n] & 3
        if value is not None:
            bits = bits & 2 | (1 if value else 0)
        if mode >= 0:
            bits = bits & 1 | (0 if mode == 0 else 2)
        silicon.set_pin(n, bits)

    def value(self, level=None):
        n = self.n
        if level is None:
            bits = silicon.pins[n]
            if not bits & 2:
                silicon.sampled(n)
                return silicon.pins[n] >> 2
            return bits & 1
        silicon.set_pin(n, silicon.pins[n] & 2 | (1 if level else 0))
        return None

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)


class _Registers:
    """GPIO_OUT, GPIO_ENABLE and GPIO_IN, bits 0 to 15.

    Every other address reads 0 and ignores what is written.
    """

    def __getitem__(self, address):
        word = 0
        for n in range(16):
            bits = silicon.pins[n]
            if (
                address == _GPIO_OUT
                and bits & 1
                or address == _GPIO_ENABLE
                and bits & 2
                or address == _GPIO_IN
                and (bits & 1 if bits & 2 else bits & 4)
            ):
                word |= 1 << n
        return word

    def __setitem__(self, address, word):
        for n in range(16):
            bits = silicon.pins[n] & 3
            if address == _GPIO_OUT:
                silicon.set_pin(n, bits & 2 | word >> n & 1)
            elif address == _GPIO_ENABLE:
                silicon.set_pin(n, bits & 1 | (word >> n & 1) << 1)


mem32 = _Registers()


class RTC:
    def memory(self, data=None):
        """Read the user memory, or replace it; ValueError beyond 492 bytes."""
        if data is None:
            return silicon.memory
        if len(data) > 492:
            raise ValueError("buffer too long")
        silicon.memory = bytes(data)
        silicon.stored()
        return None


class WDT:
    """Takes only its default time, and cannot be stopped."""

    def __init__(self, id=0):
        silicon.fed(True)

    def feed(self):
        silicon.fed(False)


def unique_id():
    return silicon.identity


def reset_cause():
    return silicon.cause


def reset():
    silicon.restart(SOFT_RESET)


def soft_reset():
    raise SystemExit  # on this port it is nothing more than that


def freq(hz=None):
    return 80000000


def idle():
    pass
