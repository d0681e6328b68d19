"""The whole plug in one process: the real firmware, a virtual chip, a Pi, a printer, a broker.

Time is virtual. A house is built for each test; what happened in it is kept in lists that a test
reads afterwards: the relay's moves, the states, what the printer's display was told, and every
time the Pi lost its power while it was alive.
"""

import asyncio
import functools
import json
import math
import os
import runpy
import selectors
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import board
import mqtt
import names
import octoapi
import plug
import simulator.hardware
import wire
from simulator.broker import Broker
from simulator.hardware import air, chip
from simulator.octoprint import GOOD_KEY, WEAK_KEY
from simulator.pi import BOOTING, HALTED, OFF, UP, Pi

__all__ = ("BOOTING", "GOOD_KEY", "HALTED", "OFF", "UP", "WEAK_KEY", "House", "chip", "virtual")

FIRMWARE = Path(__file__).resolve().parent.parent / "firmware"

# The firmware's parts that open sockets; they feel whether the chip has WiFi.
_NETWORKERS = (wire, names)
_PARTS = (board, mqtt, octoapi, plug)

# What tests hold on to; on the plug these are loaded anew at a restart in place, as all are.
_STAY = ("board", "plug", "wire", "statemachine", "gestures")


class Prompt:
    """Stands for the firmware's `socket`: the chip's air, and no Nagle.

    The kernel would hold small packets back for 40 ms of its own time: an hour in here.
    """

    def __getattr__(self, name):
        return getattr(air, name)

    @staticmethod
    def socket(*kind):
        made = air.socket(*kind)
        if not kind or kind[1] == socket.SOCK_STREAM:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made


class Loop(asyncio.SelectorEventLoop):
    """Time stands still while anything is to be done, then jumps to what comes next.

    grain_ms: timers go off at multiples of this. The plug looks at its button 100 times a second;
    a grain of 100 ms lets it look 10 times, and a night pass in seconds. Where button and LED are
    the matter a test sets it to 1.
    """

    grain_ms = 100

    def __init__(self):
        super().__init__(selectors.DefaultSelector())
        self.now = 1000.0
        self._look = self._selector.select
        self._selector.select = self._jump

    def time(self):
        return self.now

    def call_at(self, when, callback, *args, context=None):
        steps = math.ceil(round(when * 1000 / self.grain_ms, 6))
        return super().call_at(steps * self.grain_ms / 1000, callback, *args, context=context)

    def _jump(self, timeout):
        for _ in range(4):  # the kernel may be a moment behind with what was just sent
            ready = self._look(0)
            if ready or timeout == 0:
                return ready
        if timeout is None:
            return self._look(5) or self._nothing()
        self.now = round(self.now + timeout, 6)
        return ready

    def _nothing(self):
        raise AssertionError("nothing will ever happen again")


def virtual(test) -> Callable[..., None]:
    """Runs an `async def` test on virtual time."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        loop = Loop()
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(test(*args, **kwargs))
            rest = asyncio.all_tasks(loop)
            for task in rest:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
        finally:
            loop.close()
            asyncio.set_event_loop(None)

    return run


def _of_the_plug(task):
    return _of_firmware(task.get_coro().cr_code.co_filename)


def _of_firmware(path):
    return bool(path) and path.startswith(str(FIRMWARE))


class House:
    """A plug with a Pi and its printer on it. `async with House(folder, …)`.

    folder: becomes the plug's file system and the current directory. given: settings. Times in
    seconds. on: with mains. booted: the Pi has been up all along. broker: with an MQTT broker.
    """

    def __init__(self, folder, *, on=True, booted=False, broker=False, grain_ms=100, **given):
        self.folder = Path(folder)
        self.given = given
        self.on, self.booted = on, booted
        self.broker = Broker(clock=simulator.hardware.port.now_ms) if broker else None
        self.grain_ms = grain_ms
        self.states = []  # (seconds, short name) of every state entered
        self.reasons = []  # (seconds, text) of every reason shown, when it changed
        self.hooks = {}  # short name -> what is called at the moment that state is entered
        self.plug = self.task = None
        self.restarts = 0  # in place, as the plug wanted

    async def __aenter__(self):
        self.loop = asyncio.get_running_loop()
        self.loop.grain_ms = self.grain_ms
        self.start = self.loop.time()
        self._cwd = os.getcwd()
        os.chdir(self.folder)
        simulator.hardware.start_ticks(1000)
        for module in _NETWORKERS:
            module.socket = Prompt()
        chip.reset()
        if not self.on:
            chip.power(False)
        self.pi = Pi(self.loop.time)
        self.pi.open()
        self.printer = self.pi.printer
        self.wifi = chip.wifi
        settings = {
            "wifi_ssid": "workshop",
            "wifi_password": "any will do",
            "octoprint_host": "127.0.0.1",
            "octoprint_port": self.pi.octoprint.port,
            "octoprint_api_key": GOOD_KEY,
            "probe_port": self.pi.probe.port,
            "led_version": False,
        }
        (self.folder / "config.json").write_text(json.dumps(settings | self.given))
        if self.broker:
            await self.broker.start()
            self.configure(mqtt_host="127.0.0.1", mqtt_port=self.broker.port)
        self.watch = asyncio.create_task(self._watch())
        if self.on:
            self.switch_on()
        self.pi.follow(chip, self.booted)
        return self

    async def __aexit__(self, kind, *_):
        for module in _NETWORKERS:
            module.socket = socket  # what other tests expect of them
        if kind:
            print(self.story())
        self.watch.cancel()
        await self.kill()
        if self.broker:
            await self.broker.stop()
        self.pi.close()
        os.chdir(self._cwd)
        if not kind:
            assert not self.pi.octoprint.door.errors
            assert not self.pi.probe.errors

    # --- the plug

    def configure(self, **given):
        """Write settings into config.json, as if flashed."""
        path = self.folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | given))

    def boot(self):
        """Run boot.py as the chip does after every reset."""
        runpy.run_path(str(FIRMWARE / "boot.py"))

    def switch_on(self):
        """The chip has been reset or got power: boot.py, then the plug."""
        self.boot()
        self.run(True)

    def run(self, first):
        """Start the plug as main.py does, first or in place; it restarts in place as there."""
        self._start(first)
        self.task = asyncio.create_task(self._live())

    def _start(self, *given):
        plug.current = self.plug = plug.Plug(*given)
        self.note()
        sync = self.plug.sync

        def noted():
            sync()
            self.note()

        self.plug.sync = noted

    async def _live(self):
        while True:
            left = await self.plug.run()
            self.restarts += 1
            for task in asyncio.all_tasks():
                if _of_the_plug(task):
                    task.cancel()  # nobody runs them any more
            await asyncio.sleep(0)
            for name, module in list(sys.modules.items()):
                if _of_firmware(getattr(module, "__file__", None)) and name not in _STAY:
                    del sys.modules[name]
            self._start(False, *left)

    def note(self):
        machine = self.plug.machine
        if not self.states or self.states[-1][1] != machine.alias:
            self.states.append((self.s, machine.alias))
            hook = self.hooks.pop(machine.alias, None)
            if hook:
                hook()
        if not self.reasons or self.reasons[-1][1] != machine.reason:
            self.reasons.append((self.s, machine.reason))

    async def kill(self):
        """The plug's program ends; pins and RTC memory stay as they are."""
        tasks = [task for task in asyncio.all_tasks() if _of_the_plug(task) or task is self.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def mains(self, on):
        """Mains goes or comes back."""
        if on:
            chip.power(True)
            self.switch_on()
        else:
            await self.kill()
            chip.power(False)

    async def reset(self, cause):
        """A reset of the chip, `cause` as the port numbers it."""
        await self.kill()
        chip.restart(cause)
        self.switch_on()

    async def _watch(self):
        while True:
            await asyncio.sleep(1)
            if self.task:
                if self.task.done() and not self.task.cancelled():
                    self.task.result()
                self.note()

    # --- what one sees

    @property
    def s(self):
        """Seconds since the start."""
        return round(self.loop.time() - self.start, 3)

    @property
    def state(self):
        return self.plug.machine.alias

    @property
    def reason(self):
        return self.plug.machine.reason

    @property
    def path(self):
        """The states passed, as one text."""
        return " ".join(alias for _, alias in self.states)

    @property
    def moves(self):
        """The relay's moves after the first closing: (seconds, closed)."""
        moves = [(at / 1000 - self.start, closed) for at, closed in chip.relay_log]
        return moves[1:] if moves and moves[0][1] else moves

    @property
    def told(self):
        """What the printer's display was told, without repetitions."""
        return self.printer.displayed

    def story(self):
        lines = [(at, "state " + alias) for at, alias in self.states]
        lines += [(at, "   " + text) for at, text in self.reasons]
        lines += [(at / 1000 - self.start, "relay %d" % on) for at, on in chip.relay_log]
        lines += [(at - self.start, "        Pi " + state) for at, state in self.pi.log]
        lines += [(at - self.start, f"CUT ALIVE {state}") for at, state, _ in self.pi.cuts]
        return "\n".join("%9.1f %s" % line for line in sorted(lines))

    def topic(self, below):
        return self.plug.s.mqtt_topic + below

    def retained(self, below):
        """What the broker keeps of a topic below the plug's root, as text; None if nothing."""
        payload = self.broker.retained.get(self.topic(below))
        return None if payload is None else payload.decode()

    def published(self, below):
        """Every payload the plug sent to that topic, as text."""
        topic = self.topic(below)
        return [
            text.decode() for _, who, name, text, _ in self.broker.log if who and name == topic
        ]

    def asked(self):
        """How often OctoPrint was asked to shut down."""
        return self.pi.octoprint.requests_seen.count(
            ("POST", "/api/system/commands/core/shutdown")
        )

    # --- what one does

    async def pause(self, seconds):
        await asyncio.sleep(seconds)

    async def until(self, what, within):
        """Wait for a state (short name) or for `what()` to hold; fails after `within` seconds."""
        end = self.s + within
        name, holds = "what was waited for", what
        if isinstance(what, str):
            name = what
            start = len(self.states) if self.state != what else len(self.states) - 1

            def holds():
                return name in [alias for _, alias in self.states[start:]]

        while not holds():
            if self.s >= end:
                raise AssertionError(f"{name} did not come in {within} s:\n{self.story()}")
            await asyncio.sleep(0.2)

    async def press(self, ms=200):
        """Hold the button that long."""
        grain, self.loop.grain_ms = self.loop.grain_ms, 10
        await chip.hold(ms)
        await asyncio.sleep(0.1)
        self.loop.grain_ms = grain

    async def short(self):
        await self.press(200)

    async def long(self):
        await self.press(1000)

    def save(self, **changes):
        """Store settings and have them applied, as the portal does."""
        import settings

        assert settings.save(changes, bag=self.plug.s) == {}
        self.plug.changes = changes

    def command(self, word):
        """As if MQTT had brought it."""
        self.plug.post(word)

    async def print_part(self, duration_s=600, **how):
        """The printer starts a job, once it can."""
        await self.until(lambda: self.printer.operational, 120)
        self.printer.start(duration_s=duration_s, **how)

    def when(self, state, do):
        """Call `do()` at the moment that state is entered, or now if it is there."""
        if self.state == state:
            do()
        else:
            self.hooks[state] = do

    async def reach(self, state):
        """Bring the plug from its start to a state, the way people do."""
        if state in ("Relay_off", "Switched_ON", "Going"):
            await self.until("Waiting", 5)
            if state == "Relay_off":
                self.command("FORCEOFF")
            elif state == "Switched_ON":
                await self.short()
            else:
                await self.long()
        elif state in ("Connected", "Started"):
            await self.until("Connected", 120)
            if state == "Started":
                await self.print_part()
        elif state == "Armed":
            await self.reach("Started")
            await self.long()
        elif state in ("Cooling", "Asking", "Countdown"):
            await self.print_part(60)
            await self.until("Started", 120)
            self.command("OFF")
            if state == "Cooling":
                await self.until(state, 400)
                return
        if state != "Waiting":
            await self.until(state, 600)


def tasks_of_the_plug():
    """The plug's tasks by name: the loop's is "loop", the others are named after their work."""
    found = {}
    for task in asyncio.all_tasks():
        if _of_the_plug(task):
            names = task.get_coro().cr_frame.f_locals
            found[names["work"].__name__ if "work" in names else "loop"] = task
    return found


def modules():
    """Names of the firmware's modules that are loaded."""
    ours = {path.stem for path in FIRMWARE.glob("*.py")}
    return ours & set(sys.modules)
