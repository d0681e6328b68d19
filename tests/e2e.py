"""The plug end to end: real firmware on 32-bit MicroPython, behind its relay a Pi with OctoPrint.

`Plug` is driven as a person drives it, by button, WiFi and mains, and watched from outside: relay,
state and reason. It runs beside the test in a thread of its own, so tests read top to bottom and
wait for what must happen, never for a time.
"""

import asyncio
import contextlib
import json
import shutil
import threading

from servers import wait_until
from simulator.runner import Runner

# What the plug's Python has, in bytes: the model of the 1 MB image. The simulator's own modules
# share that heap and are given on top.
HEAP = 36 * 1024

# Times short enough for a test. The printer heats 10 C/s and cools 2 C/s, from 21 C.
QUICK = {
    "wifi_ssid": "workshop",
    "wifi_password": "secret word",
    "led_version": False,
    "poll_s": 0.3,
    "poll_idle_s": 0.3,
    "min_job_s": 1,
    "hot_above_c": 40,
    "cool_below_c": 35,
    "pi_down_s": 1,
    "shutdown_wait_s": 1,
    "halt_settle_s": 2,
    "shutdown_max_s": 8,
    "boot_s": 1,
    "wifi_settle_s": 1,
    "blind_cool_s": 3,
    "mqtt_report_s": 1,
    "mqtt_keepalive_s": 4,
    "mqtt_topic": "octoplugout/test",
}
JOB_C = 45  # a nozzle hot enough for QUICK
ROOT = QUICK["mqtt_topic"]

OFF = "Relay_off"
FOR_GOOD = "Switched_ON"
WAITING = "Waiting_for_print_activity"
CONNECTED = "Waiting_for_print_activity_connected"
STARTED = "print_started"
ARMED = "ready_for_shutting_down"
COOLING = "ready_for_shutting_down_extruder_HOT"
ASKING = "shutting_down_PI"
COUNTDOWN = "delayed_powering_relay_off"
GOING = "going_down"

HANGS = "OctoPrint hangs"  # what it tells when a connection is accepted and nothing comes

PATIENCE = 60  # seconds until a wait gives up; far more than anything takes


class Plug:
    """A plug at the mains. `pi` (servers.Pi) gets its power through the relay: without it is off.

    flash: the folder as built, of which it gets a copy in `folder`. settings: beside QUICK.
    `told` is every (state, reason, countdown) it went through, in order.
    """

    def __init__(self, flash, folder, pi, broker=None, heap=HEAP, **settings):
        self.pi, self.octoprint, self.folder = pi, pi.octoprint, folder
        shutil.copytree(flash, folder, dirs_exist_ok=True)
        values = QUICK | {
            "octoprint_host": pi.address,
            "octoprint_port": self.octoprint.port,
            "octoprint_api_key": self.octoprint.key,
            "probe_port": pi.ssh_port,
        }
        if broker:
            values |= {"mqtt_host": broker.address, "mqtt_port": broker.port}
        (folder / "config.json").write_text(json.dumps(values | settings))
        self.told = []
        self.at = 0  # how far in `told` the test has come
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.runner = Runner(folder, "micropython", heap)
        self.chip = self.runner.chip
        self.runner.listeners.append(self._heard)
        self.chip.relay_listeners.append(self._switched)
        try:
            self._run(self.runner.start())
        except BaseException:
            self.close()
            raise

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def _heard(self, what):
        if "state" in what:
            self.told.append((what["state"], what["reason"], what["countdown"]))

    def _switched(self, _ms, closed):
        # In a thread: it waits for processes to end, and the plug must run on meanwhile
        threading.Thread(target=self.pi.power, args=(closed, False), daemon=True).start()

    # what is seen of it

    @property
    def relay(self):
        return self.chip.relay

    @property
    def switched_off(self):
        """How often the relay has opened since the plug got its power."""
        return sum(not closed for _, closed in self.chip.relay_log)

    @property
    def state(self):
        return self.runner.state

    @property
    def reason(self):
        return self.runner.reason or ""

    @property
    def states(self):
        """The states it went through, in order."""
        return [
            now[0]
            for before, now in zip([("", "", None), *self.told], self.told, strict=False)
            if now[0] != before[0]
        ]

    # what is done to it

    def reach(self, state, seconds=PATIENCE):
        """Wait until it is in `state`, or has been since what was last waited for."""
        return self._find(lambda told: told[0] == state, state, seconds)

    def tells(self, text, seconds=PATIENCE):
        """Wait until its reason has `text`, or had since what was last waited for."""
        return self._find(lambda told: text in told[1], repr(text), seconds)

    def _find(self, wanted, what, seconds):
        def found():
            # The present counts as well: it is what `told` ends with
            for i in range(max(self.at, 0), len(self.told)):
                if wanted(self.told[i]):
                    self.at = i
                    return True
            return False

        try:
            wait_until(found, what, seconds)
        except TimeoutError as late:
            raise TimeoutError(f"{late}\n{self.story()}") from None
        return self.told[self.at]

    def now(self):
        """From here on only what comes counts: the past is not what is waited for."""
        self.at = max(len(self.told) - 1, 0)

    def press(self, ms=150):
        self._run(self.runner.hold(ms))

    def long(self):
        self.press(800)

    def wifi(self, up):
        self.loop.call_soon_threadsafe(setattr, self.chip.wifi, "up", up)

    def crash(self):
        """Its Python dies without a word; the chip starts it again, pins and RTC memory kept."""
        started = self.runner.started
        self.loop.call_soon_threadsafe(self.runner._signal)
        wait_until(lambda: self.runner.started != started, "the plug to start again")

    def unplug(self):
        self._run(self.runner.power(False))

    def plug_in(self):
        self._run(self.runner.power(True))

    def close(self):
        with contextlib.suppress(ValueError):
            self.chip.relay_listeners.remove(self._switched)
        self._run(self.runner.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def story(self):
        """What it went through and what its serial console says, for whoever reads a failure."""
        lines = [f"{state}: {reason} ({left})" for state, reason, left in self.told[-25:]]
        return "\n".join(["It told:", *lines, "Console:", *list(self.runner.serial)[-25:]])
