"""A small model of the truth, and an adversary between it and the real Machine.

World    what is so: Pi, OctoPrint, printer, network
Life     World and Machine, polled by the plug's rules; judges every opening of the relay
search   every way to spend a few deviations, breadth first, states merged
wander   random lives with many deviations

A deviation is one answer lost, late or false, or one thing that goes wrong (a link cut, WiFi gone,
OctoPrint hung or killed, a reboot, a job nobody expected, a person at the button). Failure: the
relay opens with the Pi alive or a print running, and it was neither a person's act (a LONG in the
Countdown, INSIST, FORCEOFF) nor one of EXCEPTIONS; or a shutdown is asked for while printing.
"""

import random

from machine_search import SHORT_TIMES, Broken
from machine_tools import (
    BUSY,
    COLD,
    HEATING,
    HOT_IDLE,
    LOST,
    PRINTING,
    REFUSED,
    SILENT,
    UNKNOWN,
    WRAP,
    Machine,
    Settings,
    abstract,
    clone,
)  # fmt: skip

# What no plug can tell, by name; docs/safety.md explains each (a test compares).
EXCEPTIONS = {
    "cut off": "asked to shut down, then really silent on both ports, yet alive",
    "slow halt": "a disk sync longer than the settle time",
    "slow reboot": "a reboot whose silence is longer than the settle time",
    "told to go": "OFF or LONG was given while the Pi could not be reached, no printing known",
    "slow boot": "OFF or LONG during a boot that takes longer than boot_s",
    "unseen print": "a print that OctoPrint does not know of (card, panel)",
    "late print": "a print that started after the last reading",
    "three lies": "three false readings running say idle and cool: the shutdown is asked for",
}


FORGIVEN = set(EXCEPTIONS)  # a test takes one away and sees its story fail


class Times:
    """How long things take, in ms."""

    def __init__(self, settings):
        settle = settings.halt_settle_s * 1000
        second = settings.shutdown_wait_s * 1000 // 4
        self.stop = 2 * second  # OctoPrint stops, then the network
        self.sync = settle - second  # network gone to halted, when something announced it
        self.quick_sync = settle * 4 // 3 - second  # when nothing did
        self.reboot = settle - second  # silence of a reboot
        self.boot = max(0, settings.boot_s * 1000 - 2 * second)
        self.start = 2 * second  # OctoPrint's own start, after the host answers
        self.slow = settle * 4
        self.wifi_settle = settings.wifi_settle_s * 1000
        self.cap = max(self.slow, self.boot, self.wifi_settle) + settle * 2 + self.stop


class World:
    """The truth. Phases of the Pi: boot (silent), start (OctoPrint starting), up, stop, off."""

    # fixed for a life: proxy (answers 503 for OctoPrint), wall (drops what no port accepts),
    # quick (the network goes without a sign); pace: ms to heat or cool one level
    fixed = ("proxy", "wall", "quick", "pace")
    __slots__ = fixed + (
        "pi", "pi_ms", "octo", "link", "wifi", "wifi_ms", "job", "job_ms", "seen", "heat",
        "heat_ms", "preheat", "connected", "slow", "reboots", "can_halt",
    )  # fmt: skip

    def __init__(self, proxy=False, wall=False, quick=False, pace=4000):
        self.proxy = proxy
        self.wall = wall
        self.quick = quick
        self.pace = pace
        self.pi = "boot"
        self.pi_ms = 0
        self.octo = "up"  # up hung down
        self.link = self.wifi = self.connected = self.can_halt = True
        self.wifi_ms = 0  # since it came
        self.job = ""  # "host": OctoPrint prints; "card": the printer prints by itself
        self.job_ms = 0  # left of it
        self.seen = False  # a true reading has shown it
        self.heat = 0  # 0 cold, 1 warm, 2 hot
        self.heat_ms = 0
        self.preheat = self.slow = self.reboots = False

    def copy(self):
        copy = object.__new__(World)
        for name in World.__slots__:
            setattr(copy, name, getattr(self, name))
        return copy

    def key(self):
        return tuple(getattr(self, name) for name in World.__slots__)

    @property
    def alive(self):
        return self.pi != "off"

    @property
    def reachable(self):
        return self.link and (self.pi in ("start", "up") or self.pi == "stop" and not self._gone())

    def _gone(self):
        return self.pi_ms >= (0 if self.quick else self.times.stop)

    times = None

    def passes(self, ms, times):
        World.times = times
        self.wifi_ms = min(self.wifi_ms + ms, times.wifi_settle)
        if self.pi != "up":
            self.pi_ms = min(self.pi_ms + ms, times.cap)
        else:
            self.pi_ms = 0
        if self.pi == "boot" and self.pi_ms >= (times.slow if self.slow else times.boot):
            self._phase("start")
        elif self.pi == "start" and self.pi_ms >= times.start:
            self._phase("up")
        elif self.pi == "stop":
            sync = times.slow if self.slow else times.quick_sync if self.quick else times.sync
            stop = 0 if self.quick else times.stop
            if self.reboots:
                if self.pi_ms >= stop + (times.slow if self.slow else times.reboot):
                    self._phase("start")
                    self.reboots = False
            elif self.pi_ms >= stop + sync:
                self._phase("off")
        if self.job == "host" and (self.pi in ("boot", "start", "off") or self.octo == "down"):
            self.job = ""
            self.connected = self.connected
        if self.job:
            self.job_ms = max(0, self.job_ms - ms)
            if not self.job_ms:
                self.job = ""
        self.heat_ms = min(self.heat_ms + ms, self.pace)
        if self.heat_ms >= self.pace:
            self.heat_ms = 0
            if self.job == "host" or self.preheat:
                self.heat = min(self.heat + 1, 2)
            else:
                self.heat = max(self.heat - 1, 0)
        if not self.job:
            self.job_ms = 0
            self.seen = False

    def _phase(self, pi):
        self.pi = pi
        self.pi_ms = 0
        if pi == "start":
            self.octo = "up"
            self.connected = True

    def asked_to_halt(self):
        """The request has reached OctoPrint; it answers 204 whether or not it will work."""
        if self.pi == "up" and self.octo == "up":
            if self.can_halt:
                self._phase("stop")
            return "ACCEPTED"
        return None

    def power(self, on):
        if on:
            self._phase("boot")
            self.octo = "up"
        else:
            self.pi = "off"
            self.pi_ms = 0
            self.job = ""
            self.preheat = self.slow = self.reboots = False
            self.heat = 0

    def reading(self):
        """What a poll truthfully yields now."""
        if not self.wifi:
            return UNKNOWN
        if not self.reachable:
            found = SILENT
        elif self.pi == "up" and self.octo == "up":
            if not self.connected:
                found = LOST
            else:
                heat = (25, 80, 200)[self.heat]
                target = 210 if self.job == "host" or self.preheat else 0
                found = ("UP", self.job == "host", heat, target, False)
        elif self.pi == "up" and self.octo == "hung":
            found = SILENT if self.wall else BUSY
        else:
            found = BUSY if self.proxy else REFUSED
        if found[0] != "UP" and self.wifi_ms < self.times.wifi_settle:
            return UNKNOWN
        return found


def _toggle(name):
    def happens(w):
        setattr(w, name, not getattr(w, name))

    return happens


def _wifi(w):
    w.wifi = not w.wifi
    w.wifi_ms = 0


def _hang(w):
    w.octo = "hung" if w.octo == "up" else "up"


def _kill(w):
    w.octo = "down" if w.octo != "down" else "up"


def _lose(w):
    w.connected = not w.connected
    if w.job == "host":  # a serial error ends the job; the printer goes on heating
        w.job = ""
        w.preheat = True


def _reboot(w):
    if w.pi == "up":
        w._phase("stop")
        w.reboots = True


def _halt(w):
    if w.pi == "up":
        w._phase("stop")


def _print(w, where="host"):
    if not w.job and (where == "card" or w.pi == "up" and w.octo == "up" and w.connected):
        w.job = where
        w.job_ms = 40 * w.pace
        w.seen = False


def _card(w):
    _print(w, "card")


def _end(w):
    w.job = ""


# What may happen to the world, each a deviation.
HAPPENINGS = {
    "link": _toggle("link"),
    "wifi": _wifi,
    "hang": _hang,
    "kill": _kill,
    "reboot": _reboot,
    "halt": _halt,
    "print": _print,
    "card": _card,
    "end": _end,
    "preheat": _toggle("preheat"),
    "lost": _lose,
    "slow": _toggle("slow"),
    "no halt": _toggle("can_halt"),
}
LIES = (COLD, HOT_IDLE, HEATING, PRINTING, LOST, BUSY, REFUSED, SILENT, UNKNOWN)
REQUESTS = (
    "answer lost", "request lost", "not sent", "sent unknown", "refused", "late", "SHORT", "LONG"
)  # fmt: skip
PERSON = ("SHORT", "LONG", "ON", "OFF", "PERMON")


EVERYTHING = tuple(HAPPENINGS), LIES, PERSON, REQUESTS
# What can spoil a switch-off that is under way: enough for three deviations in a minute's search.
UNDER_WAY = (
    ("link", "wifi", "hang", "reboot", "print", "slow", "no halt"),
    (COLD, PRINTING, SILENT, UNKNOWN), (), ("answer lost", "request lost", "refused"),
)  # fmt: skip


class Life:
    """World and Machine. What is known of this round is kept to judge an opening by."""

    __slots__ = (
        "world", "machine", "times", "now", "last", "asked", "real", "silent", "cut", "lies", "spent",
        "parent", "action", "found", "menu",
    )  # fmt: skip

    def __init__(self, settings, world, kind=Machine, now=0):
        self.world = world
        self.times = Times(settings)
        World.times = self.times
        self.machine = kind(settings, now)
        self.now = now
        self.last = SILENT  # the reading before
        self.asked = False  # a request went out in this round and was not refused
        self.real = self.silent = 0  # readings of this silence that were true; all of them
        self.cut = False  # in this silence link or port were cut off, the Pi being up
        self.lies = 0  # false readings running that say idle and cool
        self.spent = 0
        self.parent = self.action = None
        self.menu = EVERYTHING  # what the adversary may do
        self.found = None  # set shared by all: exceptions reached

    def copy(self, action=None, cost=0):
        copy = object.__new__(Life)
        for name in Life.__slots__:
            setattr(copy, name, getattr(self, name))
        copy.world = self.world.copy()
        copy.machine = clone(self.machine)
        copy.spent += cost
        copy.parent = self
        copy.action = action
        return copy

    def key(self):
        return hash((
            abstract(self.machine), self.world.key(), self.last, self.asked,
            min(self.real, 9), min(self.silent, 9), self.cut, min(self.lies, 3),
        ))  # fmt: skip

    def story(self):
        told = []
        life = self
        while life.parent:
            if life.action is not None:
                told.append("%s in %s" % (life.action, life.parent.machine.alias))
            life = life.parent
        return "\n  ".join(reversed(told))

    def broken(self, what):
        w = self.world
        facts = ", ".join("%s=%s" % (name, getattr(w, name)) for name in World.__slots__)
        raise Broken("%s\n  %s\nthen %s" % (what, self.story(), facts))

    # The machine's calls

    def _call(self, call, event=""):
        m = self.machine
        relay = m.relay
        before = m.alias
        by_hand = "BY_HAND" in m.facts
        from_going = "FROM_GOING" in m.facts
        call()
        if m.alias != before:
            if relay and not (m.relay or event in ("LONG", "FORCEOFF") or by_hand):
                self._judge(from_going)
            if m.alias == "Asking" or m.alias not in ("Asking", "Countdown"):
                self.asked = False
            if m.relay != relay:
                self.world.power(m.relay)
                self.silent = self.real = self.lies = 0
                self.cut = False

    def _judge(self, from_going):
        w = self.world
        alive = w.alive and self.machine.s.shutdown_pi
        if not alive and not w.job:
            return
        silent = self.real * 2 > self.silent  # most of the silence was real
        cut = silent and self.cut
        why = []
        if w.job == "card":
            why.append("unseen print")
        elif w.job == "host" and not w.seen:
            why.append("late print")
        elif w.job and not (from_going and cut):
            self.broken("opened while printing")
        if alive:
            if w.pi == "stop" and w.slow:
                why.append("slow reboot" if w.reboots else "slow halt")
            elif from_going and w.pi == "boot" and w.slow and silent:
                why.append("slow boot")
            elif from_going and cut:
                why.append("told to go")
            elif self.asked and cut:
                why.append("cut off")
            else:
                self.broken("opened with the Pi alive")
        elif w.job == "host" and not why:
            self.broken("opened while printing")
        for name in why:
            if name not in FORGIVEN:
                self.broken(name)
        if self.found is not None:
            self.found.update(why)

    def post(self, event):
        self._call(lambda: self.machine.post(event, self.now), event)

    def passes(self, ms):
        self.now = (self.now + ms) % WRAP
        self.world.passes(ms, self.times)
        self._call(lambda: self.machine.tick(self.now))

    def read(self, reading=None):
        """One poll's answer, true unless told. True if a request may go out."""
        w = self.world
        true = w.reading()
        if reading is None:
            reading = true
        if reading == true and reading[0] == "UP" and w.job == "host":
            w.seen = True
        if reading[0] == "SILENT":
            self.silent += 1
            self.real += true == reading
            self.cut |= true == reading and (not w.link or w.octo == "hung")
        else:
            self.silent = self.real = 0
            self.cut = False
        says_idle = reading == COLD or reading[4]
        self.lies = self.lies + 1 if says_idle and reading != true else 0
        self.last = true
        if not self.machine.relay:
            return False
        self._call(lambda: self.machine.observe(reading, self.now))
        return self.machine.ask

    def request(self, how=""):
        """The plug asks for the shutdown."""
        w = self.world
        reached = w.link and w.wifi and how not in ("request lost", "not sent", "refused")
        if how != "refused" and w.reachable and w.wifi and w.job == "host" and w.seen:
            if self.lies < 3 or "three lies" not in FORGIVEN:
                self.broken("the shutdown is asked for while printing")
            if self.found is not None:
                self.found.add("three lies")
        if how not in ("not sent", "sent unknown"):
            self.asked = True
            self.post("ASKED")  # as soon as it is out
        if how in ("SHORT", "LONG"):
            self.post(how)
        if how == "late":
            self.passes(8000)
        told = w.asked_to_halt() if reached else None
        if how in ("answer lost", "request lost") or how in ("not sent", "sent unknown"):
            told = None
        elif how == "refused":
            told = "REFUSED_ASK"
        if told == "REFUSED_ASK":
            self.asked = False
        if told:
            self.post(told)

    def step(self, reading=None, how="", ms=None):
        """One poll interval, the poll at its end, and the request if it may go out."""
        self.passes(ms or self.machine.poll_ms or 4000)
        if self.read(reading):
            self.request(how)
        self._call(lambda: self.machine.tick(self.now))

    # The adversary

    def deviations(self):
        """Lives in which one thing goes wrong now, each with the poll that follows."""
        true = None
        relay = self.machine.relay
        happenings, lies, person, requests = self.menu
        for name in happenings:
            life = self.copy(name, 1)
            HAPPENINGS[name](life.world)
            if life.world.key() != self.world.key():
                life.step()
                yield life
        for event in person:
            life = self.copy(event, 1)
            life.post(event)
            yield life
        if not relay:
            return
        for lie in lies:
            life = self.copy(lie, 1)
            life.passes(life.machine.poll_ms or 4000)
            true = life.world.reading()
            if lie == true or not life.machine.relay:
                continue
            if life.read(lie):
                life.request()
            life._call(lambda: life.machine.tick(life.now))  # noqa: B023
            yield life
        life = self.copy(("late", self.last), 1)
        life.step(self.last)
        yield life
        life = self.copy("no poll", 1)
        life.passes(12000)
        yield life
        if self.machine.alias in ("Cooling", "Asking", "Countdown"):
            for how in requests:
                life = self.copy(how, 1)
                life.step(how=how)
                yield life


SHORT_WORLD = {
    **SHORT_TIMES, "halt_settle_s": 12, "shutdown_max_s": 24, "wifi_settle_s": 8, "boot_s": 30,
}  # fmt: skip


class WorldSettings(Settings):
    wifi_settle_s = 180

    def __init__(self, **changes):
        wifi_settle_s = changes.pop("wifi_settle_s", 180)
        super().__init__(**changes)
        self.wifi_settle_s = wifi_settle_s


def newborn(kind=Machine, start=0, world=None, **settings):
    life = Life(WorldSettings(**{**SHORT_WORLD, **settings}), World(**(world or {})), kind, start)
    life.found = set()
    return life


def one_job(kind=Machine, start=0, world=None, **settings):
    """A life, poll by poll, in which a job is printed and the plug switches off. Yields copies."""
    life = newborn(kind, start, world, **settings)
    printed = False
    for _ in range(400):
        yield life
        life = life.copy()
        if life.machine.alias == "Connected" and not printed:
            printed = True
            _print(life.world)
            life.world.job_ms = 4 * life.world.pace
        life.step()
        if not life.machine.relay:
            yield life
            return


def search(
    budget, kind=Machine, world=None, visit=None, seeds=None, within=None, menu=EVERYTHING, **settings
):  # fmt: skip
    """Every way to spend `budget` deviations in the life of one job. Returns (lives, found).

    visit: called with each life. seeds: lives to begin with. within: only lives whose machine is
    in one of these states go on. menu: what the adversary may do.
    """
    seen = {}
    found = set()
    front = []
    for life in seeds or one_job(kind, 0, world, **settings):
        life.found = found
        life.menu = menu
        if seen.get(life.key(), 99) > 0:
            seen[life.key()] = 0
            front.append(life)
    while front:
        following = []
        for life in front:
            if visit:
                visit(life)
            onward = life.copy()
            onward.step()
            lives = [onward]
            if life.spent < budget:
                lives.extend(life.deviations())
            for life in lives:
                key = life.key()
                if seen.get(key, 99) > life.spent:
                    seen[key] = life.spent
                    if not within or life.machine.alias in within:
                        following.append(life)
        front = following
    return len(seen), found


def wander(seed, steps, kind=Machine, world=None, rate=0.05, person=0.01, **settings):
    """A random life, and another whenever it has ended. Returns the exceptions reached."""
    chance = random.Random(seed)
    found = set()
    life = None
    left = 0
    for _ in range(steps):
        if left <= 0 or life is None:
            world = dict(
                proxy=chance.random() < 0.5, wall=chance.random() < 0.3,
                quick=chance.random() < 0.5, pace=chance.choice((4000, 20000, 60000)),
            )  # fmt: skip
            life = newborn(kind, chance.randrange(WRAP), world, **settings)
            life.found = found
            left = 3000
            story = []
        left -= 1
        if chance.random() < 0.01:
            _print(life.world)
            life.world.job_ms = chance.randrange(1, 60) * life.world.pace
            story.append("job")
        reading = None
        how = ""
        if chance.random() < rate:
            if chance.random() < 0.5:
                name = chance.choice(list(HAPPENINGS))
                HAPPENINGS[name](life.world)
            elif chance.random() < 0.7:
                name = reading = chance.choice(LIES)
            else:
                name = how = chance.choice(REQUESTS)
            story.append((name, life.machine.alias))
        if chance.random() < person:
            event = chance.choice(PERSON)
            story.append((event, life.machine.alias))
            life.post(event)
        ms = life.machine.poll_ms or 4000
        if chance.random() < 0.3:
            ms += chance.randrange(8000)
        try:
            life.step(reading, how, ms)
        except Broken as broken:
            raise Broken("%s\nseed %d: %s" % (broken, seed, story[-20:])) from None
    return found
