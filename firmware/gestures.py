"""The button: samples in, gestures out. Pure.

A press counts once the button has been down for the debounce time, and acts on release:
SHORT < long_press_ms <= LONG < portal_press_ms <= HOLD < 15 s <= HOLD_LONG.
"""

try:
    from micropython import const
except ImportError:  # plain CPython

    def const(value):
        return value


_DEBOUNCE_MS = const(30)
_HOLD_LONG_MS = const(15000)


class Gestures:
    """Feed it the button with `sample` every 10 ms or so.

    `held_ms` is how long the button has been down, 0 while it is up.
    """

    def __init__(self, settings):
        self.s = settings
        self.held_ms = 0
        self._now = None
        self._down = False
        self._differs_ms = -1  # for how long the button has not been as it was; -1: it is

    def sample(self, pressed, now):
        """`pressed` at `now` (ticks_ms, wraps at 2**30): the gesture that ended, or None."""
        passed = 0 if self._now is None else (now - self._now) & 0x3FFFFFFF
        if passed > 0x1FFFFFFF:
            passed = 0  # the clock went backwards
        self._now = now
        if self._down:
            self.held_ms = min(self.held_ms + passed, 0x1FFFFFFF)
        differed = self._differs_ms
        if pressed == self._down:
            differed = -1
        elif differed < 0:
            differed = 0  # one sample proves nothing, however late it comes
        else:
            differed += passed
        self._differs_ms = differed
        if differed < _DEBOUNCE_MS:
            return None
        # It has turned.
        self._down = pressed
        self._differs_ms = -1
        if pressed:
            self.held_ms = differed
            return None
        held = self.held_ms - differed
        self.held_ms = 0
        if held < self.s.long_press_ms:
            return "SHORT"
        if held < self.s.portal_press_ms:
            return "LONG"
        return "HOLD" if held < _HOLD_LONG_MS else "HOLD_LONG"
