"""The chip and what is around it, on CPython: mains, relay, LED, button, WiFi.

The same class is the chip of tests, wired to `silicon` in one process, and the simulator's picture
of the chip whose firmware runs in another process. It logs every change of a pin. Like the real
one it has a life of its own: pins and RTC memory outlive the Python that set them, and only
`power` makes everything new.
"""

import asyncio
import socket

from . import silicon

POWER_ON, HARDWARE_WATCHDOG, EXCEPTION, SOFTWARE_WATCHDOG, SOFT_RESET, DEEP_SLEEP, RESET_PIN = (
    range(7)
)

# These let go of every pin; after the other resets the relay pin should stay driven.
_RELEASING = (POWER_ON, HARDWARE_WATCHDOG, RESET_PIN)

(
    STAT_IDLE,
    STAT_CONNECTING,
    STAT_WRONG_PASSWORD,
    STAT_NO_AP_FOUND,
    STAT_CONNECT_FAIL,
    STAT_GOT_IP,
) = range(6)

# name, bssid, channel, rssi, authmode, hidden: what a scan may see, hostile names included
NETWORKS = [
    (b"workshop", b"\x02\x00\x00\x00\x00\x01", 6, -58, 3, False),
    (b"workshop", b"\x02\x00\x00\x00\x00\x02", 11, -81, 3, False),
    (b"FRITZ!Box 7590", b"\x02\x00\x00\x00\x00\x03", 1, -70, 4, False),
    (b"<script>alert('&\"')</script>", b"\x02\x00\x00\x00\x00\x04", 3, -77, 0, False),
    ("Café ☕".encode(), b"\x02\x00\x00\x00\x00\x05", 9, -84, 3, False),
    (b"", b"\x02\x00\x00\x00\x00\x06", 13, -88, 3, True),
]


class Reset(BaseException):
    """The firmware reset the chip; `.cause` says how. In one process with it, that is."""

    def __init__(self, cause):
        super().__init__(f"reset, cause {cause}")
        self.cause = cause


class Wifi:
    """The air around the plug: whether there is a network, how to join, what a scan finds."""

    def __init__(self, chip):
        self.chip = chip
        self.join_ms = 0  # from connect() to an address, or to the failure
        self.scan_ms = 0  # the radio looks that long, and the firmware waits for it
        self.passwords = {}  # name -> password; a name that is not here takes any password
        self.outcomes = {}  # name -> STAT_ number that joining comes to; CONNECTING: no address
        self.networks = list(NETWORKS)
        self.hidden = ()  # names that no scan tells
        self.only_these = False  # whether a name that is neither in networks nor hidden is found
        self.address = ("127.0.0.1", "255.0.0.0", "127.0.0.1", "127.0.0.1")
        self.active = [False, True]  # station, access point: a fresh image opens one of its own
        self.wanted = None  # (name, password)
        self.point = silicon.FRESH_POINT  # the plug's own access point: name, password, authmode
        self._up = True
        self._since = 0

    @property
    def up(self):
        """Whether the network is on the air."""
        return self._up

    @up.setter
    def up(self, up):
        if up != self._up:
            self._up = up
            self._since = self.chip.clock()
            self.chip.aired()

    @property
    def dns(self):
        """Address of the name server that DHCP hands out."""
        return self.address[3]

    @dns.setter
    def dns(self, address):
        self.address = (*self.address[:3], address)

    def want(self, active, wanted):
        """The firmware set its radio: what is active, and the network it joins or None."""
        if active[0] != self.active[0] or wanted != self.wanted:
            self._since = self.chip.clock()
        self.active, self.wanted = list(active), wanted

    def status(self):
        """The station's STAT_ number now.

        As on the chip it joins again by itself when the network is back.
        """
        if not self.active[0] or self.wanted is None:
            return STAT_IDLE
        if not self._up:
            return STAT_NO_AP_FOUND
        if self.chip.clock() - self._since < self.join_ms:
            return STAT_CONNECTING
        return self.outcome(*self.wanted)

    def come_to(self, name, outcome):
        """From now on joining `name` comes to that STAT_ number, or to what its password says."""
        if outcome == STAT_GOT_IP:
            self.outcomes.pop(name, None)
        else:
            self.outcomes[name] = outcome

    def outcome(self, name, password):
        """What joining that network with that password comes to, a STAT_ number."""
        if name in self.outcomes:
            return self.outcomes[name]
        seen = [found[0].decode("utf-8", "surrogateescape") for found in self.networks]
        if self.only_these and name not in seen and name not in self.hidden:
            return STAT_NO_AP_FOUND
        if self.passwords.get(name, password) != password:
            return STAT_WRONG_PASSWORD
        return STAT_GOT_IP


class Chip:
    """One plug's chip.

    clock: callable, ms that only go up. `listeners` are called with (ms, n, driven, level) at
    every change of a pin, `relay_listeners` with (ms, closed), `air_listeners` with nothing when
    the WiFi comes or goes.
    """

    def __init__(self, clock, pins=None):
        self.clock = clock
        self.pins = bytearray(17) if pins is None else pins
        self.reset()

    def reset(self):
        """Everything as new, mains just switched on, nobody listening: what a test starts from."""
        self.listeners, self.relay_listeners, self.air_listeners = [], [], []
        self.button_pin, self.relay_pin, self.led_pin = 0, 12, 13
        self.relay_inverted = self.led_inverted = self.button_inverted = False
        self.powered = True
        self.cause = POWER_ON
        self.rtc = b""
        self.resets = []  # the cause of every reset since mains came on
        self.watchdog = None  # when it was last fed, once it is started
        self.wifi = Wifi(self)
        self.ports = {}  # (kind, port below 1024) -> the port of 127.0.0.1 that stands for it
        self.serving = set()  # the keys of `ports` that are open now
        self.routes = b""  # as in silicon.py
        for n in range(17):
            self.pins[n] = silicon.OUTSIDE
        self.pin_log = []  # (ms, pin, driven, level)
        self.relay_log = []  # (ms, closed)
        self._closed = False
        self.samples = 0  # readings of the button

    # --- pins

    def level(self, n):
        """What is on pin n: the latch while it is driven, else what is put on it from outside."""
        bits = self.pins[n]
        return bits & 1 if bits & silicon.DRIVEN else bits >> 2

    def latch(self, n):
        return self.pins[n] & 1

    def driven(self, n):
        return bool(self.pins[n] & silicon.DRIVEN)

    @property
    def relay(self):
        """Whether the relay is closed: there is mains, and its pin is driven that way."""
        n = self.relay_pin
        return self.powered and self.driven(n) and self.level(n) != self.relay_inverted

    @property
    def led(self):
        """Whether the LED is lit. It is wired to the supply: a low pin lights it."""
        n = self.led_pin
        return self.powered and self.driven(n) and self.level(n) == self.led_inverted

    @property
    def pressed(self):
        return (self.pins[self.button_pin] >> 2 & 1) == self.button_inverted

    def set_pin(self, n, bits):
        """Pin n's latch and direction as the firmware set them in another process."""
        bits = bits & 3 | self.pins[n] & silicon.OUTSIDE
        if bits != self.pins[n]:
            self.pins[n] = bits
            self.changed(n)

    def changed(self, n):
        now, driven, level = self.clock(), self.driven(n), self.level(n)
        self.pin_log.append((now, n, driven, level))
        for listener in self.listeners:
            listener(now, n, driven, level)
        if self.relay != self._closed:
            self._closed = self.relay
            self.relay_log.append((now, self._closed))
            for listener in self.relay_listeners:
                listener(now, self._closed)

    def outside(self, n, level):
        """Put a level on pin n from outside, as button or cable do."""
        bits = self.pins[n] & 3 | (silicon.OUTSIDE if level else 0)
        if bits != self.pins[n]:
            self.pins[n] = bits
            self.changed(n)

    # --- button

    def press(self):
        self.outside(self.button_pin, self.button_inverted)

    def release(self):
        self.outside(self.button_pin, not self.button_inverted)

    async def hold(self, ms):
        """Hold the button for that many milliseconds of the running loop's time."""
        self.press()
        try:
            await asyncio.sleep(ms / 1000)
        finally:
            self.release()

    # --- power and resets

    def power(self, on):
        """Mains. Off: the relay opens, every pin and the RTC memory are lost.

        On: a start with cause 0.
        """
        if on == self.powered:
            return
        if on:
            self.powered = True
            self.resets = []
            self.cause = POWER_ON
        else:
            self._let_go()
            self.rtc = b""
            self.watchdog = None
            self.powered = False

    def power_cycle(self):
        self.power(False)
        self.power(True)

    def restart(self, cause):
        """A reset with that cause. Power-on, hardware watchdog and reset pin release the pins."""
        if cause in _RELEASING:
            self._let_go()
        if cause == POWER_ON:
            self.rtc = b""
        self.cause = cause
        self.watchdog = None
        self.resets.append(cause)

    def _let_go(self):
        # The output register goes back to 0 as well; the pin floats up on its weak pull-up.
        for n in range(17):
            bits = self.pins[n] & silicon.OUTSIDE
            if bits != self.pins[n]:
                self.pins[n] = bits
                self.changed(n)

    def aired(self):
        for listener in self.air_listeners:
            listener()

    # --- ports

    def bound(self, kind, port):
        """The PC's port that the firmware gets for that one of "tcp" or "udp"."""
        key = kind, port
        if key not in self.ports:
            stream = socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM
            with socket.socket(socket.AF_INET, stream) as probe:
                probe.bind(("127.0.0.1", 0))
                self.ports[key] = probe.getsockname()[1]
        return self.ports[key]

    def opened(self, kind, port):
        self.serving.add((kind, port))

    def freed(self, kind, port):
        self.serving.discard((kind, port))


class Wired(Chip):
    """The chip of this process: what the modules machine and network reach through `silicon`."""

    def __init__(self, clock):
        super().__init__(clock, silicon.pins)
        for name in silicon.CALLS.split():
            setattr(silicon, name, getattr(self, "_" + name, None) or getattr(self, name))

    def reset(self):
        super().reset()
        silicon.memory = b""
        silicon.cause = POWER_ON
        silicon.active[:] = [False, True]
        silicon.wanted = None
        silicon.point = self.wifi.point
        silicon.routes = b""
        self.aired()

    def power(self, on):
        super().power(on)
        silicon.memory = self.rtc
        silicon.cause = self.cause
        if not on:
            silicon.active[:] = self.wifi.active = [False, True]
            silicon.wanted = self.wifi.wanted = None

    def _restart(self, cause):
        """machine.reset(): what the firmware would have done afterwards must not happen."""
        self.restart(cause)
        raise Reset(cause)

    def restart(self, cause):
        super().restart(cause)
        silicon.memory = self.rtc
        silicon.cause = cause

    def aired(self):
        silicon.addresses = self.wifi.address
        super().aired()

    def _sampled(self, n):
        if n == self.button_pin:
            self.samples += 1

    def _stored(self):
        self.rtc = silicon.memory

    def _radio(self):
        self.wifi.want(silicon.active, silicon.wanted)
        silicon.addresses = self.wifi.address

    def _pointed(self):
        self.wifi.point = silicon.point

    def _status(self):
        return self.wifi.status()

    def _found(self):
        return list(self.wifi.networks)

    def _fed(self, armed):
        if armed or self.watchdog is not None:
            self.watchdog = self.clock()
