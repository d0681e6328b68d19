"""Drives the real Machine through time: what all tests of the power state machine share.

Rig      one machine, its clock and its evidence, in the words the tests are written in
clone    a copy that can be driven another way
abstract what of a machine can matter later, as a value that can be compared and hashed
mutant   the module with pieces of its source replaced
"""

import importlib.util
import os
import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIRMWARE = ROOT / "firmware"
SOURCE = (FIRMWARE / "statemachine.py").read_text()
DEEP = bool(os.environ.get("DEEP"))  # search further than each change can wait for
WRAP = 1 << 30  # ticks_ms starts anew there

# Short name, as in the table, to published name.
PUBLISHED = {
    "Relay_off": "Relay_off",
    "Switched_ON": "Switched_ON",
    "Waiting": "Waiting_for_print_activity",
    "Connected": "Waiting_for_print_activity_connected",
    "Started": "print_started",
    "Armed": "ready_for_shutting_down",
    "Cooling": "ready_for_shutting_down_extruder_HOT",
    "Asking": "shutting_down_PI",
    "Countdown": "delayed_powering_relay_off",
    "Going": "going_down",
}

# Evidence: pi, printing, hottest, target, lost.
COLD = ("UP", False, 25, 0, False)  # idle and cool
WARM = ("UP", False, 80, 0, False)  # idle, cooling
HEATING = ("UP", False, 25, 210, False)  # idle, still cold, to become hot
HOT_IDLE = ("UP", False, 200, 0, False)
PRINTING = ("UP", True, 210, 210, False)
STARTING = ("UP", True, 30, 210, False)
COLD_PRINT = ("UP", True, 25, 0, False)  # paused overnight, or a dry run
NO_TEMPERATURE = ("UP", False, None, None, False)
NO_READING = ("UP", False, None, 0, False)
NO_TARGET = ("UP", False, 25, None, False)
NO_FLAGS = ("UP", None, 25, 0, False)  # temperatures, and not a word of what it does
FORBIDDEN = ("UP", None, None, None, False)  # 403: OctoPrint is there and tells nothing
LOST = ("UP", None, None, None, True)  # 409: it has lost the printer
BUSY = ("BUSY", None, None, None, False)
REFUSED = ("REFUSED", None, None, None, False)
SILENT = ("SILENT", None, None, None, False)
UNKNOWN = ("UNKNOWN", None, None, None, False)
EVERY_EVIDENCE = (
    COLD, WARM, HEATING, HOT_IDLE, PRINTING, STARTING, COLD_PRINT, NO_TEMPERATURE,
    NO_READING, NO_TARGET, NO_FLAGS, FORBIDDEN, LOST, BUSY, REFUSED, SILENT, UNKNOWN,
)  # fmt: skip
EVENTS = ("SHORT", "LONG", "ON", "OFF", "PERMON", "FORCEOFF", "ASKED", "ACCEPTED", "REFUSED_ASK")


class Settings:
    """The settings the machine reads, at their defaults (s and C) unless told."""

    initial_state = "Waiting_for_print_activity"
    shutdown_pi = True
    cool_below_c = 50
    hot_above_c = 175
    min_job_s = 300
    shutdown_wait_s = 30
    halt_settle_s = 45
    shutdown_max_s = 120
    pi_down_s = 15
    boot_s = 120
    blind_cool_s = 900
    poll_s = 5
    poll_idle_s = 15
    button_lock = False

    def __init__(self, **changes):
        for name, value in changes.items():
            if not hasattr(Settings, name):
                raise AttributeError(name)
            setattr(self, name, value)


def load(source=SOURCE, name="statemachine"):
    """The module made of this text, apart from sys.modules."""
    module = types.ModuleType(name)
    exec(compile(source, name + ".py", "exec"), module.__dict__)
    return module


def mutant(*replacements):
    """The module with each (old, new) replaced; old must be there exactly once."""
    source = SOURCE
    for old, new in replacements:
        if source.count(old) != 1:
            raise ValueError("%d times in statemachine.py: %r" % (source.count(old), old))
        source = source.replace(old, new)
    return load(source, "mutant")


def _firmware():
    # The very file, whatever else is called statemachine on this PC.
    if "statemachine" in sys.modules:
        return sys.modules["statemachine"]
    spec = importlib.util.spec_from_file_location("statemachine", FIRMWARE / "statemachine.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["statemachine"] = module
    spec.loader.exec_module(module)
    return module


statemachine = _firmware()
Machine = statemachine.Machine  # test_mutation.py puts mutants in its place


def clone(machine):
    copy = object.__new__(type(machine))
    copy.__dict__.update(machine.__dict__)
    copy._t = machine._t[:]
    copy._runs = machine._runs[:]
    copy.facts = set(machine.facts)
    return copy


def abstract(m):
    """Two machines with equal abstractions behave alike from now on (see test_world.py).

    Timers count up to the longest that a row waits for, and only where a row reads them.
    """
    t = m._t
    s = m.s
    down, silent, unknown, lost, idle, cool = m._runs
    facts = m.facts
    alias = m.alias
    timers = 0
    if not m.relay:
        return (alias, m.remembered, min(t[9], 5000), min(t[10], 15000), t[10] < 15000 and m._insists,
                tuple(sorted(facts)), m.frozen, m.hours)  # fmt: skip
    if alias == "Started":
        timers = min(t[7], s.min_job_s * 1000)
    elif alias == "Countdown":
        timers = min(t[7], max(s.shutdown_wait_s, s.shutdown_max_s) * 1000), m._quiet
    return (
        alias,
        m.remembered,
        tuple(sorted(facts)),
        m.pi,
        m.hottest,
        (m._printing, m._warm, m._stopped, m._after_ask, m._heating, m._read, m.frozen),
        (
            down and (min(down, 3), min(t[0], s.pi_down_s * 1000)),
            silent and (min(silent, 5), min(t[1], s.halt_settle_s * 1334)),
            unknown and min(t[2], 15000),
            lost and min(t[3], s.blind_cool_s * 1000),
            min(idle, 2),
            min(cool, 2),
        ),
        min(t[6], 60000) if m.pi else 0,
        timers,
        min(t[8], s.boot_s * 1000),
        t[10] < 15000 and (t[10], m._insists),
        "ASKED" in facts and min(t[11], s.shutdown_max_s * 1000),
        m.pending,
        m.hours and (m.hours, min(t[7], statemachine._HOUR_MS)),
    )


class Rig:
    """A machine and its clock. `wait` ticks every second, `say` polls as the plug does."""

    def __init__(self, state=None, start=1000, **settings):
        self.settings = Settings(**settings)
        self.now = start % WRAP
        self.machine = Machine(self.settings, self.now, PUBLISHED.get(state, state))

    # What it is

    @property
    def state(self):
        return self.machine.alias

    @property
    def relay(self):
        return self.machine.relay

    @property
    def facts(self):
        return self.machine.facts

    # What happens

    def after(self, seconds):
        """Time passes without a call."""
        self.now = (self.now + round(seconds * 1000)) % WRAP
        return self

    def wait(self, seconds, step=1):
        """Time passes, a tick every `step` seconds."""
        left = seconds
        while left > 0:
            self.after(min(step, left))
            self.machine.tick(self.now)
            left -= step
        return self

    def read(self, evidence, every=None):
        """One poll, after one poll interval (or `every` seconds); a tick before and after."""
        poll = self.machine.poll_ms / 1000 or 5
        self.wait(poll if every is None else every)
        self.machine.observe(evidence, self.now)
        self.machine.tick(self.now)
        return self

    def say(self, evidence, times=1, every=None):
        for _ in range(times):
            self.read(evidence, every)
        return self

    def say_for(self, seconds, evidence, every=None):
        """Poll this evidence for so long."""
        left = seconds
        while left > 0:
            poll = every or self.machine.poll_ms / 1000 or 5
            self.read(evidence, poll)
            left -= poll
        return self

    def until(self, state, evidence, limit_s=300):
        """Poll this evidence until the state is entered; fails when it is not in that time."""
        left = limit_s
        while self.state != state:
            assert left > 0, "%s, not %s, after %d s" % (self.state, state, limit_s)
            poll = self.machine.poll_ms / 1000 or 5
            left -= poll
            self.wait(poll)
            if self.state != state:
                self.machine.observe(evidence, self.now)
        return self

    def press(self, *events):
        for event in events:
            self.machine.post(event, self.now)
        return self

    command = press

    def restart(self, **settings):
        """The firmware starts again in place, knowing what was saved."""
        kept = self.machine.save()
        if settings:
            self.settings = Settings(**settings)
        self.machine = Machine(self.settings, self.now, kept)
        return self

    # A life, so far

    def to(self, state):
        """From the start to `state`, the way a user gets there."""
        getattr(self, "_to_" + state.lower())()
        assert self.state == state, (state, self.state)
        return self

    def _to_relay_off(self):
        self.press("FORCEOFF").wait(20)

    def _to_switched_on(self):
        self.press("SHORT")

    def _to_waiting(self):
        self.wait(1)

    def _to_connected(self):
        self.to("Waiting").say(COLD)

    def _to_started(self):
        self.to("Connected").say(STARTING)

    def _to_armed(self):
        self.to("Started").say_for(self.settings.min_job_s + 10, PRINTING)

    def _to_cooling(self):
        self.to("Armed").say(WARM, 2)

    def _to_asking(self):
        self.to("Cooling").say(COLD, 2)

    def _to_countdown(self):
        self.to("Cooling").say(COLD, 2)
        if self.settings.shutdown_pi:
            self.say(COLD).press("ACCEPTED")

    def _to_going(self):
        self.wait(self.settings.boot_s + 1).press("OFF")

    def by_hand(self):
        """To a Countdown by hand, out of Waiting."""
        self.press("LONG").after(1).press("LONG")
        assert self.state == "Countdown" and "BY_HAND" in self.facts
        return self
