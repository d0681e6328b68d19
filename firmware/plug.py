"""The plug put together: builds the parts, wires them, keeps them running. No rules of its own.

The main loop looks at the button, moves the LED and the relay and gives the machine its ticks. The
network lives in tasks beside it, each kept going by `_keep`; whatever happens to them, the loop
goes on. What leaves the loop itself is caught in main.py, which starts it all again in place.
"""

import asyncio
import gc
import sys
from time import ticks_add, ticks_diff, ticks_ms

from micropython import const, kbd_intr

import settings
from board import Board, board_id
from gestures import Gestures
from octoapi import OctoApi
from statemachine import Machine

_VERSION = "5.0.0"

_TICK_MS = const(10)  # how often button and LED are looked at
_SLOW_MS = const(250)  # how often everything else is
_SERIAL_MS = const(3000)  # Ctrl-C on the serial line works so long after the start
_WAIT_MS = const(1000)  # back-off of a task that failed: from here, doubling …
_LONGEST_MS = const(60000)  # … to here
_ASK_MS = const(5000)  # a refused shutdown is asked again after this, doubling …
_ASK_LONGEST_MS = const(300000)  # … to this
_JOB_MS = const(10000)  # a task that has run so long was good

# While the power may be cut soon the poller is never paused, the address stays, nothing is loaded.
_CRITICAL = ("Asking", "Countdown", "Going")
_SETTLED = ("Cooling", "Asking", "Countdown", "Going")  # the address that last answered is used

# The states that the printer's display tells of, as their texts stand in the setting `messages`.
_TOLD = ("Connected", "Started", "Armed", "Cooling", "Asking", "Switched_ON")

current = None  # the Plug that runs


class Plug:
    """`first`: this is the first run since the chip started (not a restart in place)."""

    def __init__(self, first):
        now = ticks_ms()
        self.s = settings.load(id=board_id()[6:])
        self.board = board = Board(self.s)
        try:
            self.machine = Machine(self.s, now, board.saved or None)
        except ValueError:
            self.machine = Machine(self.s, now)
        self.octo = OctoApi(self.s, self.resolve, board.online)
        self.gestures = Gestures(self.s)
        self.mqtt = None
        self.forced = False  # FORCEOFF opened the relay
        self.reload = False  # settings.json was written: load it when nothing is at stake
        self.serial = first
        self.version = _VERSION
        self.started = now  # moves on a minute at a time: ticks flip after six days
        self.minutes = 0
        self._slow = now
        self._polled = ticks_add(now, -_LONGEST_MS)
        self._hurry = True
        self._say = ""
        self._told = 0  # temperature that the display was last told
        self._ask_due = now
        self._ask_wait = 0
        self._works = (self._poll, self._serve, self._join)
        self._tasks = [None] * len(self._works)
        self.sync()

    # ---- the loop ----------------------------------------------------------------------------

    async def run(self):
        while True:
            now = ticks_ms()
            try:
                self._look(now)
                if ticks_diff(now, self._slow) >= 0:
                    self._slow = ticks_add(now, _SLOW_MS)
                    self._see_to_it(now)
            except Exception as error:  # above all MemoryError: the next round may have room
                gc.collect()
                sys.print_exception(error)
            await asyncio.sleep_ms(_TICK_MS)

    def _look(self, now):
        gestures = self.gestures
        gesture = gestures.sample(self.board.pressed(), now)
        if gesture:
            self.pressed(gesture, now)
        held = gestures.held_ms
        if held >= self.s.portal_press_ms:
            on = off = 40 if held >= 15000 else 100
        else:
            on, off = self._blinks
        self.board.blink(on, off, now)

    def _see_to_it(self, now):
        if self.machine.tick(now):
            self.sync()
        self.board.relay(self.machine.relay)
        self._blinks = self._pattern()
        if self.serial and ticks_diff(now, self.started) >= _SERIAL_MS:
            self.serial = False
            kbd_intr(-1)  # line noise would stop the plug
        if ticks_diff(now, self.started) >= 60000:
            self.started = ticks_add(self.started, 60000)
            self.minutes += 1
        if self.reload and self.machine.alias not in _CRITICAL:
            self._apply()
        for i in range(len(self._works)):
            task = self._tasks[i]
            if task is None or task.done():
                self._tasks[i] = asyncio.create_task(self._keep(self._works[i]))

    async def _keep(self, work):
        wait = _WAIT_MS
        while True:
            started = ticks_ms()
            try:
                await work()
            except Exception as error:
                gc.collect()
                if not isinstance(error, OSError):
                    sys.print_exception(error)
            if ticks_diff(ticks_ms(), started) >= _JOB_MS:
                wait = _WAIT_MS
            await asyncio.sleep_ms(wait)
            wait = min(2 * wait, _LONGEST_MS)

    def sync(self):
        """What the machine now is goes to relay, RTC memory, LED and display."""
        machine = self.machine
        board = self.board
        board.relay(machine.relay)
        before = board.saved.split(" ")[0]
        board.save(machine.save())
        self._blinks = self._pattern()
        if before != machine.state:
            self._hurry = True
            alias = machine.alias
            if alias in _TOLD:
                self._say = alias
            if alias not in ("Asking", "Cooling"):
                self._ask_wait = 0
            if alias in ("Relay_off", "Switched_ON", "Waiting") and self.s.initial_state == "last":
                with open("last", "w") as file:
                    file.write(machine.state)

    def _pattern(self):
        on, off = self.machine.led
        alias = self.machine.alias
        for row in self.s.led_patterns:
            words = row.split()
            if words[0] == self.machine.state or words[0] == alias:
                on, off = words[1:]
        return (0, 0) if self.s.led_off and alias not in _CRITICAL else (int(on), int(off))

    def pressed(self, gesture, now):
        """The button did `gesture`."""
        if gesture[:4] == "HOLD":
            return
        self._post(gesture, now)

    def command(self, word):
        """A command came: ON, OFF, PERMON or FORCEOFF."""
        self._post(word, ticks_ms())

    def _post(self, event, now):
        machine = self.machine
        machine.post(event, now)
        if event == "FORCEOFF":
            self.forced = True
        if machine.relay:
            self.forced = False
        self.sync()

    # ---- OctoPrint ---------------------------------------------------------------------------

    async def _poll(self):
        machine = self.machine
        while True:
            due = ticks_diff(ticks_ms(), self._polled) >= machine.poll_ms
            if machine.poll_ms and not machine.frozen and (due or self._hurry):
                self._hurry = False
                self._polled = ticks_ms()
                await self._poll_once()
            await asyncio.sleep_ms(50)

    async def _poll_once(self):
        machine = self.machine
        octo = self.octo
        alias = machine.alias
        if self._say and machine.pi == "UP":
            text = self._text(self._say)
            self._say = ""
            if text:
                await octo.say(text)
        turns = machine.turns
        evidence = await octo.poll(alias == "Countdown", alias in _SETTLED)
        if machine.turns != turns or machine.frozen:
            return  # the relay has opened meanwhile: what was heard is of another world
        machine.note = octo.problem
        now = ticks_ms()
        machine.observe(evidence, now)
        self.sync()
        if machine.alias == "Cooling" and machine.hottest is not None:
            if machine.hottest <= self._told - 5:
                self._say = "Cooling"
        if machine.ask and (not self._ask_wait or ticks_diff(now, self._ask_due) >= 0):
            await self._shutdown()

    async def _shutdown(self):
        machine = self.machine
        answer = await self.octo.shutdown()
        if not answer:
            return
        machine.note = self.octo.problem
        if answer == "REFUSED_ASK":
            if not self._ask_wait:
                self._say = "refused"
            self._ask_wait = min(2 * self._ask_wait or _ASK_MS, _ASK_LONGEST_MS)
            self._ask_due = ticks_add(ticks_ms(), self._ask_wait)
        self._post(answer, ticks_ms())

    def _text(self, alias):
        # What the printer's display is told; "" for nothing.
        machine = self.machine
        if alias not in _TOLD:
            return machine.reason
        if machine.hottest is not None:
            self._told = int(machine.hottest)
        text = self.s.messages.split("\n")[_TOLD.index(alias)]
        text = text.replace("%c", "%g" % self.s.cool_below_c).replace("%t", str(self._told))
        return text.replace("%w", "%g" % self.s.shutdown_wait_s)

    async def resolve(self, host):
        """The address of `host`. OSError if it cannot be found, or not now."""
        if host.replace(".", "").isdigit():
            return host
        if self.machine.alias in _CRITICAL and "names" not in sys.modules:
            raise OSError(2)
        import names

        address = await names.resolve(host, self.board.resolver())
        sys.modules.pop("names", None)
        return address

    # ---- MQTT, WiFi, settings ----------------------------------------------------------------

    async def _serve(self):
        host = self.s.mqtt_host
        if not host or host == "none":
            await asyncio.sleep_ms(_LONGEST_MS)
            return
        while not self.board.online():
            await asyncio.sleep_ms(_WAIT_MS)
        if not self.mqtt:
            from mqtt import Mqtt

            self.mqtt = Mqtt(self.s, board_id(), self.resolve, self.value, self.command)
        await self.mqtt.run()

    def value(self, topic):
        """The present text for the sub-topic `topic`, or None if there is nothing to say."""
        machine = self.machine
        octo = self.octo
        if topic == "plugstate":
            return machine.state
        if topic == "relay":
            return "ON" if machine.relay else "OFF"
        if topic == "mode":
            if not machine.relay:
                return "FORCEOFF" if self.forced else "OFF"
            if machine.alias == "Switched_ON":
                return "PERMON"
            return "ON" if machine.alias in ("Waiting", "Connected", "Started") else "OFF"
        if topic == "reason":
            return machine.reason
        if topic == "countdown":
            left = machine.countdown_s
            return "" if left is None else str(left)
        if topic == "info":
            return self._info()
        texts = octo.print_state, octo.tool, octo.bed, octo.job_state, octo.progress
        of = "printstate", "extrudertemp", "bedtemp", "jobstate", "jobprogress"
        value = texts[of.index(topic)] if topic in of else None
        if value is None or isinstance(value, str):
            return value
        return "%.1f" % value

    def _info(self):
        if self.machine.alias in _CRITICAL:
            return None
        import info

        text = info.text(self)
        sys.modules.pop("info", None)
        return text

    async def _join(self):
        while True:
            self.board.join()
            await asyncio.sleep_ms(_WAIT_MS)

    def _apply(self):
        # The file has changed. Relay and machine stay as they are.
        self.reload = False
        old = self.s
        before = str(old.octoprint_host), old.octoprint_port, old.octoprint_api_key, old.probe_port
        wifi = old.wifi_ssid, old.wifi_password
        new = settings.load(id=board_id()[6:])
        for key in dir(new):
            if key[0] != "_":
                setattr(old, key, getattr(new, key))
        after = str(old.octoprint_host), old.octoprint_port, old.octoprint_api_key, old.probe_port
        if before != after:
            self.octo.forget()
            self.machine.forget()
        if wifi != (old.wifi_ssid, old.wifi_password):
            self.board.join(True)
        if self.mqtt:
            self.mqtt = None
            self._tasks[1].cancel()


def run(first=True):
    """Run the plug until something ends it. Raises whatever that was."""
    global current
    gc.collect()
    gc.threshold(2048)  # small garbage is swept often; left to itself it would break up the heap
    current = Plug(first)
    asyncio.run(current.run())
