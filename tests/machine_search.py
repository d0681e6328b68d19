"""Every state x trigger x evidence that can be reached, against the six invariants.

Nothing limits the adversary here: each poll may yield any evidence of an alphabet, each request
any outcome, polls may cease, and a person may press and command anything at any time. What is
checked is written from the contract alone: a witness keeps its own account of what was heard, in
its own words, and judges every opening of the relay and every change of state by that account.

Times in the settings are shortened so that the reachable set is finite and small.
"""

from machine_tools import (
    BUSY,
    COLD,
    COLD_PRINT,
    FORBIDDEN,
    HEATING,
    HOT_IDLE,
    LOST,
    NO_FLAGS,
    NO_READING,
    NO_TARGET,
    PRINTING,
    PUBLISHED,
    REFUSED,
    SILENT,
    UNKNOWN,
    Machine,
    Settings,
    abstract,
    clone,
)  # fmt: skip

SHORT_TIMES = dict(
    min_job_s=4,
    shutdown_wait_s=4,
    halt_settle_s=9,  # 12 where nothing announced the silence
    shutdown_max_s=16,
    pi_down_s=8,
    boot_s=8,
    blind_cool_s=8,
    poll_s=4,
    poll_idle_s=4,
)
ALPHABET = (
    COLD, HOT_IDLE, HEATING, NO_READING, NO_TARGET, PRINTING, COLD_PRINT, NO_FLAGS, FORBIDDEN, LOST,
    BUSY, REFUSED, SILENT, UNKNOWN,
)  # fmt: skip
PERSON = ("SHORT", "LONG", "ON", "OFF", "PERMON", "FORCEOFF", "RESTART")
GAP_S = 12

ON_STATES = "Switched_ON Waiting Connected Started Armed Cooling Asking Countdown Going".split()

# The contract's table: from, what may be the reason, to. `*` is every on-state.
ALLOWED = """
Relay_off: SHORT ON PERMON LONG time > Switched_ON Waiting Armed
Switched_ON: SHORT ON > Waiting
Switched_ON: LONG OFF > Going
Waiting: SHORT > Switched_ON
Waiting: LONG OFF > Going
Waiting: evidence > Connected
Connected: SHORT > Switched_ON
Connected: LONG OFF > Armed
Connected: evidence > Started
Connected: evidence > Waiting
Started: SHORT > Switched_ON
Started: LONG OFF > Armed
Started: evidence > Connected
Started: evidence > Armed
Armed: LONG OFF > Going
Armed: SHORT > Switched_ON
Armed: ON > Waiting
Armed: LONG evidence > Cooling
Cooling: LONG OFF > Going
Cooling: SHORT > Switched_ON
Cooling: ON > Waiting
Cooling: evidence > Armed Asking Countdown
Asking: LONG OFF > Going
Asking: SHORT PERMON ON > Switched_ON Waiting Countdown
Asking: ACCEPTED > Countdown
Asking: evidence > Armed Cooling Countdown
Countdown: LONG > Countdown Relay_off
Countdown: SHORT PERMON > Switched_ON
Countdown: ON > Waiting
Countdown: evidence > Armed Relay_off Switched_ON Waiting
Going: SHORT > Switched_ON
Going: ON > Waiting
Going: evidence > Armed Countdown
*: FORCEOFF > Relay_off
*: LONG > Countdown
*: PERMON > Switched_ON
"""


def _allowed():
    found = set()
    for line in ALLOWED.strip().split("\n"):
        start, rest = line.split(": ")
        causes, targets = rest.split(" > ")
        for state in ON_STATES if start == "*" else [start]:
            for cause in causes.split():
                for target in targets.split():
                    found.add((state, "evidence" if cause == "time" else cause, target))
    return found - {("Countdown", "PERMON", "Countdown")}


_ALLOWED = _allowed()


class Broken(AssertionError):
    """An invariant does not hold; says which and by what sequence."""


class Witness:
    """What was heard, kept apart from the machine. Times in ms, capped."""

    __slots__ = (
        "knew", "idle_cool", "since_print", "lost_ms", "idle_before", "asked", "accepted",
        "silent", "silent_ms", "warned", "from_going", "by_hand", "still_ms", "steady", "warm",
        "insisted", "read",
    )  # fmt: skip

    def __init__(self):
        self.clear()

    def clear(self):
        """The relay has closed or opened."""
        self.knew = None  # last known printing
        self.idle_cool = 0  # readings running that were idle and cool
        self.since_print = False  # since the last known printing: idle and cool twice, or lost
        self.lost_ms = -1
        self.idle_before = False  # the last reading that knew was idle, nothing heating
        self.asked = self.accepted = False
        self.silent = 0
        self.silent_ms = 0
        self.warned = False  # something stopped on the Pi before the silence
        self.from_going = self.by_hand = False
        self.read = False  # anything, since this state was entered
        self.insisted = False  # a person has had the Countdown by hand
        self.still_ms = 0
        self.steady = False
        self.warm = False

    def key(self):
        return tuple(getattr(self, name) for name in self.__slots__)

    def copy(self):
        copy = object.__new__(Witness)
        for name in self.__slots__:
            setattr(copy, name, getattr(self, name))
        return copy

    def gap(self):
        self.idle_cool = self.silent = self.silent_ms = 0
        self.lost_ms = -1
        self.warned = self.warm = self.steady = False

    def hears(self, evidence, ms, settings):
        pi, printing, hottest, target, lost = evidence
        self.read = True
        below = settings.cool_below_c
        cool = hottest is not None and target is not None and hottest < below and target < below
        self.warm = hottest is not None and not cool
        if pi == "SILENT":
            self.silent_ms = min(self.silent_ms + ms, 12000) if self.silent else 0
            self.silent = min(self.silent + 1, 5)
        else:
            self.silent = self.silent_ms = 0
            self.warned = pi in ("BUSY", "REFUSED")
        if printing is not None:
            self.knew = printing
            self.idle_before = not printing and target is not None and target <= below
            if printing:
                self.since_print = False
        self.idle_cool = min(self.idle_cool + 1, 2) if printing is False and cool else 0
        self.lost_ms = -1 if not lost else 0 if self.lost_ms < 0 else min(self.lost_ms + ms, 8000)
        blind = self.lost_ms >= settings.blind_cool_s * 1000 and self.idle_before
        blind = blind and self.knew is False
        calm = self.idle_cool > 1 or blind
        if calm:
            self.since_print = True
        if printing or self.warm:
            self.still_ms = 0
        elif calm and self.steady:
            self.still_ms = min(self.still_ms + ms, 4000)
        self.steady = calm or lost  # lost: the interval in which blind_cool_s is reached counts

    def enters(self, before, after):
        if before == after:
            return
        self.read = False
        if after == "Asking" or after not in ("Asking", "Countdown"):
            self.asked = self.accepted = False
        if after != "Countdown":
            self.by_hand = self.insisted = self.from_going = False
        elif before != "Asking":
            self.asked = self.accepted = False
        if before == "Going":
            self.from_going = after == "Countdown"
        self.still_ms = 0

    def judges_opening(self, settings, event):
        """The relay has opened: why it may."""
        if event in ("FORCEOFF", "LONG") or self.by_hand:
            return
        if self.knew is True:
            raise Broken("3: opened though printing was the last that was known")
        settle = settings.halt_settle_s * 1000
        halted = self.silent >= 5 and self.silent_ms >= (
            settle if self.warned else settle * 4 // 3
        )
        if self.from_going:
            if not halted:
                raise Broken(
                    "2: OFF was given, but the host was not silent through the settle time"
                )
        elif settings.shutdown_pi:
            if not self.since_print and not self.insisted:
                raise Broken("2: never seen idle and cool since the last printing")
            if not self.asked:
                raise Broken("2: no request went out unrefused")
            if not halted:
                raise Broken("2: the host was not silent through the settle time")
        elif self.still_ms < settings.shutdown_wait_s * 1000:
            raise Broken("2: not idle and cool throughout")


class Node:
    __slots__ = ("machine", "witness", "now", "parent", "action", "acts", "flight")

    def __init__(self, machine, witness, now, parent=None, action=None, acts=0, flight=0):
        self.machine = machine
        self.witness = witness
        self.now = now
        self.parent = parent
        self.action = action
        self.acts = acts  # of a person
        self.flight = flight  # a request is on its way: for so many waits

    def path(self):
        actions = []
        node = self
        while node.parent:
            actions.append(str(node.action))
            node = node.parent
        return "\n  ".join(reversed(actions))

    def key(self):
        return hash((abstract(self.machine), self.witness.key(), self.acts, self.flight))

    def child(self, action, ms):
        now = (self.now + ms) % (1 << 30)
        return Node(
            clone(self.machine), self.witness.copy(), now, self, action, self.acts, self.flight
        )


_last = [None]  # the node looked at, for telling how it came about


def _call(node, cause, call):
    """One call of the machine, and everything that must be true of any call."""
    m = node.machine
    w = node.witness
    _last[0] = node
    before = m.alias
    relay = m.relay
    by_hand = "BY_HAND" in m.facts
    last_hour = m.hours == 1
    changed = call()
    after = m.alias
    if m.relay != (after != "Relay_off"):
        raise Broken("the relay is not what the state says")
    if not changed and before != after:
        raise Broken("6: %s became %s without a row" % (before, after))
    if (
        changed
        and before == after
        and not (cause == "PERMON" or cause == "LONG" and "BY_HAND" in m.facts and not by_hand)
    ):
        raise Broken("said to have changed, but did not: %s" % before)
    if before != after:
        over = last_hour and (before, cause, after) == ("Switched_ON", "evidence", "Waiting")
        if not over and (before, cause, after) not in _ALLOWED:
            raise Broken("6: %s, %s > %s is no row of the contract" % (before, cause, after))
        if relay and not m.relay:
            if before != "Countdown" and cause != "FORCEOFF":
                raise Broken("1: opened from " + before)
            w.judges_opening(m.s, cause)
        w.enters(before, after)
        if relay != m.relay:
            w.clear()
    if cause == "LONG" and after == "Countdown":
        w.by_hand = w.insisted = True
    elif cause in ("SHORT", "ON", "PERMON"):
        w.by_hand = False
    return changed


def moves(node, alphabet, person, acts):
    """Every node that may follow."""
    m = node.machine
    if node.flight:  # the plug waits for the answer, at most 10 s, and does not poll
        for answer in (None, "ACCEPTED", "REFUSED_ASK"):
            told = node.child(answer, 0)
            told.flight = 0
            if answer:
                _answer(told, answer)
            yield told
        if node.flight < 3:
            waits = node.child("waits", 4000)
            waits.flight += 1
            _call(waits, "evidence", lambda: waits.machine.tick(waits.now))
            yield waits
    elif m.relay:
        for evidence in alphabet:
            ms = m.poll_ms
            step = node.child(evidence, ms)
            yield from _read(step, evidence, ms)
    if not node.flight:
        yield _gap(node)
    for event in person if node.acts < acts else ():
        press = node.child(event, 0)
        press.acts += 1
        if event == "RESTART":
            _restart(press)
        else:
            word = event.split(" ")[0]  # of "PERMON 2"
            _call(press, word, lambda: press.machine.post(event, press.now))  # noqa: B023
        yield press


def _restart(node):
    """The firmware starts anew in place: it knows what it saved, timers and evidence are gone."""
    m = node.machine
    node.machine = type(m)(m.s, node.now, m.save())
    node.flight = 0
    node.witness.gap()
    node.witness.still_ms = 0
    if (node.machine.alias, node.machine.relay) != (m.alias, m.relay):
        raise Broken("a restart led from %s to %s" % (m.alias, node.machine.alias))


def _gap(node):
    gap = node.child("no answer for %d s" % GAP_S, GAP_S * 1000)
    gap.witness.gap()
    _call(gap, "evidence", lambda: gap.machine.tick(gap.now))
    return gap


def _read(step, evidence, ms):
    m = step.machine
    _call(step, "evidence", lambda: m.tick(step.now))
    if not m.relay:
        yield step
        return
    w = step.witness
    w.hears(evidence, ms, m.s)
    _call(step, "evidence", lambda: m.observe(evidence, step.now))
    if m.ask:
        if w.knew or w.warm:
            raise Broken("3: asks for the shutdown while printing or warm is known")
        if not w.read:
            raise Broken("asks without having read the printer once more")
        if m.alias == "Asking" and not w.since_print:
            raise Broken("3: asks without having seen idle and cool")
        if m.alias not in ("Asking", "Countdown"):
            raise Broken("asks in " + m.alias)
        told = step.child("request out", 0)
        told.flight = 1
        _answer(told, "ASKED")
        yield told
    _call(step, "evidence", lambda: m.tick(step.now))
    yield step


def _answer(node, answer):
    """How the request went: out whole (ASKED), and what came back."""
    w = node.witness
    if answer == "REFUSED_ASK":
        w.asked = w.accepted and w.asked
    else:
        w.asked = True
        w.accepted |= answer == "ACCEPTED"
    before = node.machine.alias
    if before not in ("Asking", "Countdown"):
        w.asked = w.accepted = False
    changed = _call(node, answer, lambda: node.machine.post(answer, node.now))
    if changed and (before, answer) != ("Asking", "ACCEPTED"):
        raise Broken("6: %s in %s" % (answer, before))
    _call(node, "evidence", lambda: node.machine.tick(node.now))


def search(kind=Machine, alphabet=ALPHABET, person=PERSON, acts=2, limit=None, **settings):
    """Breadth first from a plug just switched on. Returns (nodes, calls); raises Broken."""
    s = Settings(**{**SHORT_TIMES, **settings})
    root = Node(kind(s, 0, PUBLISHED["Waiting"]), Witness(), 0)
    seen = {root.key()}
    front = [root]
    calls = 0
    while front and not (limit and len(seen) > limit):
        following = []
        for node in front:
            try:
                for at in moves(node, alphabet, person, acts):
                    calls += 1
                    key = at.key()
                    if key not in seen:
                        seen.add(key)
                        following.append(at)
            except Broken as broken:
                raise Broken("%s, after\n  %s" % (broken, _last[0].path())) from None
        front = following
    return len(seen), calls
