"""The plug's hardware: relay, LED, button, WiFi station, RTC memory.

The only file that knows the chip. Pins and inversions are those the plug was powered on with
(boot.py leaves them in the RTC memory), so that a changed setting cannot turn the relay over.
"""

from binascii import hexlify
from time import ticks_add, ticks_diff

import machine
import network
from micropython import const

_RETRY_MS = const(20000)  # how long the station may take to find its network


class Board:
    """Nothing moves when it is made: the relay pin keeps its level.

    id: the last six digits of the station's MAC address, which tell this plug from others.
    saved: what `save` was given last, before the restart too; "" if nothing. wlan: the station.
    cause: why the chip started, 0 for power-on.
    """

    def __init__(self):
        kept = machine.RTC().memory()
        kept = str(kept[4:], "utf-8") if kept[:3] == b"OP5" else "0 12 13 000|"
        self._pins, self.saved = kept.split("|")
        button, relay, led, inverted = self._pins.split(" ")
        pin = machine.Pin
        self._up = inverted[0] == "0"  # the button's level while nobody presses it
        self._on = inverted[1] == "0"  # the relay's while it is on
        self._dark = inverted[2] == "0"  # the LED's while it is dark
        self._button = pin(int(button), pin.IN, pin.PULL_UP)
        self._relay = pin(int(relay), pin.OUT)
        self._led = pin(int(led), pin.OUT, value=self._dark)
        self._blinks = self._since = 0
        self._joining = None  # since when the station tries
        self.cause = machine.reset_cause()
        self.wlan = network.WLAN(network.STA_IF)
        self.id = str(hexlify(self.wlan.config("mac")), "utf-8")[6:]
        network.WLAN(network.AP_IF).active(False)  # the image opens one with a published key

    def save(self, state):
        """Keep `state` (what Machine.save returned) over restarts."""
        if state != self.saved:
            self.saved = state
            kept = (self._pins + "|" + state).encode()
            machine.RTC().memory(b"OP5" + bytes((sum(kept) & 0xFF,)) + kept)

    def pressed(self):
        """True while the button is down."""
        return self._button() != self._up

    def relay(self, on):
        """Switch the relay; setting it to what it is does nothing."""
        self._relay(on == self._on)

    def led(self, lit):
        """Light the LED, or not."""
        self._led(lit != self._dark)

    def blink(self, on, off, now):
        """Let the LED blink `on` ms lit and `off` ms dark; a new pattern starts at once."""
        blinks = on << 16 | off
        passed = ticks_diff(now, self._since)
        if blinks != self._blinks or not 0 <= passed < 2 * (on + off):
            self._blinks = blinks
            self._since = now
            passed = 0
        elif passed >= on + off:
            self._since = ticks_add(self._since, on + off)
            passed -= on + off
        self.led(passed < on)

    def join(self, s, now, anew=False):
        """See to the station; call it now and then. `s`: settings; `anew`: others than before."""
        wlan = self.wlan
        if anew:
            wlan.disconnect()
            self._joining = None
        if wlan.isconnected() or not s.wifi_ssid:
            self._joining = None
        elif self._joining is None or ticks_diff(now, self._joining) >= _RETRY_MS:
            self._joining = now
            if s.wifi_country:
                network.country(s.wifi_country)
            network.hostname(s.hostname)
            wlan.active(True)
            wlan.config(pm=wlan.PM_NONE)
            wlan.disconnect()
            wlan.connect(s.wifi_ssid, s.wifi_password)
