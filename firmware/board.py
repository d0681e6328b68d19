"""The plug's hardware: relay, LED, button, WiFi station, RTC memory.

The only file that knows the chip. Pins and inversions are those the plug was powered on with
(boot.py leaves them in the RTC memory), so that a changed setting cannot turn the relay over.
"""

from time import ticks_add, ticks_diff, ticks_ms

import machine
import network
from micropython import const
from binascii import hexlify

_RETRY_MS = const(20000)  # how long the station may take to find its network


def board_id():
    """The station's MAC address as hex text, which tells this plug from others."""
    return str(hexlify(network.WLAN(network.STA_IF).config("mac")), "utf-8")


class Board:
    """`settings` as loaded. Nothing moves: the relay pin keeps its level."""

    def __init__(self, settings):
        self.s = settings
        kept = self._kept().split("|")
        pins = kept[0].split(" ")
        self.saved = kept[-1]
        button, relay, led = (int(n) for n in pins[:3])
        self._inverted = [c == "1" for c in pins[3]]
        self._pins = kept[0]
        self._button = machine.Pin(button, machine.Pin.IN, machine.Pin.PULL_UP)
        self._relay = machine.Pin(relay, machine.Pin.OUT)
        self._led = machine.Pin(led, machine.Pin.OUT, value=not self._inverted[2])
        self._blinks = None
        self._since = 0
        self.wlan = network.WLAN(network.STA_IF)
        self._joining = 0  # since when the station tries, 0: not
        network.WLAN(network.AP_IF).active(False)  # the image opens one with a published key

    def _kept(self):
        kept = machine.RTC().memory()
        if len(kept) > 4 and kept[:3] == b"OP5" and kept[3] == sum(kept[4:]) & 0xFF:
            return str(kept[4:], "utf-8")
        s = self.s
        inverted = "%d%d%d" % (s.invert_button, s.invert_relay, s.invert_led)
        return "%d %d %d %s|" % (s.pin_button, s.pin_relay, s.pin_led, inverted)

    def save(self, state):
        """Keep `state` (what Machine.save returned) over restarts."""
        if state != self.saved:
            self.saved = state
            kept = bytes(self._pins + "|" + state, "utf-8")
            machine.RTC().memory(b"OP5" + bytes([sum(kept) & 0xFF]) + kept)

    def pressed(self):
        """True while the button is down."""
        return bool(self._button()) == self._inverted[0]

    def relay(self, on):
        """Switch the relay; setting it to what it is does nothing."""
        self._relay(on != self._inverted[1])

    def led(self, lit):
        """The LED is lit when low, unless inverted."""
        self._led(lit == self._inverted[2])

    def blink(self, on, off, now):
        """Let the LED blink `on` ms lit and `off` ms dark; a new pattern starts at once."""
        blinks = on << 16 | off
        if blinks != self._blinks:
            self._blinks = blinks
            self._since = now
        passed = ticks_diff(now, self._since)
        if passed >= on + off:
            self._since = ticks_add(now, -(passed % (on + off)) if on else 0)
            passed = ticks_diff(now, self._since)
        self.led(passed < on)

    def online(self):
        """True while the station has an address."""
        return self.wlan.isconnected()

    def reset_cause(self):
        """Why the chip started, as the port numbers it."""
        return machine.reset_cause()

    def resolver(self):
        """Address of the name server that came with the station's own."""
        return self.wlan.ifconfig()[3]

    def join(self, anew=False):
        """See to the station; call it every second or so. `anew`: the settings have changed."""
        s = self.s
        wlan = self.wlan
        if anew:
            wlan.disconnect()
        if not anew and wlan.isconnected() or not s.wifi_ssid:
            self._joining = 0
            return
        now = ticks_ms()
        if not anew and self._joining and ticks_diff(now, self._joining) < _RETRY_MS:
            return
        self._joining = now or 1
        if s.wifi_country:
            network.country(s.wifi_country)
        network.hostname(s.hostname)
        wlan.active(True)
        wlan.config(pm=wlan.PM_NONE)
        wlan.disconnect()
        wlan.connect(s.wifi_ssid, s.wifi_password)
