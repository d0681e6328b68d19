"""What the plug does: two texts that are the behaviour, and the Machine that reads them.

Pure: no pin, no clock, no network. Time comes in as `now` (ticks_ms, wraps at 2**30), the world as
Evidence `(pi, printing, hottest, target, lost)`:
  pi        "UP", "BUSY", "REFUSED", "SILENT" or "UNKNOWN"
  printing  True, False, or None when it cannot be known
  hottest   highest temperature of all heaters, target the highest target, in C; None if not known
  lost      True when OctoPrint says that it has lost the printer

Rules this file keeps: nothing but a row changes the state; one row a call; the relay is on in
every state but Relay_off; what was heard long ago counts for nothing.
"""

try:
    from micropython import const
except ImportError:  # plain CPython

    def const(value):
        return value


# Name, published name, polled every (i: poll_idle_s, p: poll_s, else s), LED on and off in ms, and
# the reason: {0} seconds left, {1} temperature or hours, {2} the one waited for, {3} what is
# wrong, if anything.
# The rows with `-` are no states but what a person should know on top of one.
STATES = """
Relay_off Relay_off 0 0 0 off
Switched_ON Switched_ON i 0 0 on for good
Waiting Waiting_for_print_activity i 50 3000 looking for OctoPrint{3}
Connected Waiting_for_print_activity_connected p 3000 3000 nothing printing{3}
Started print_started p 1000 3000 printing{3}
Armed ready_for_shutting_down p 400 3000 printing, then off{3}
Cooling ready_for_shutting_down_extruder_HOT p 20 1000 {1} C, waiting for {2} C{3}
Asking shutting_down_PI p 20 500 asking the Pi to shut down
Countdown delayed_powering_relay_off 2 20 150 Pi still shutting down, {0} s
Going going_down p 500 3000 off once the Pi is down{3}
stuck - - 900 300 Pi does not halt: press long to cut the power
refused - - 900 100 asked in vain{3}
remembered - - 500 500 off in {0} s, then on again
waking - - 500 500 on again in {0} s
by_hand - - 20 150 off in {0} s, by hand
silent - - 20 150 Pi silent, off in {0} s
lost - - - - OctoPrint lost the printer
pending - - - - waiting{3}
hours - - - - on for {1} h
alarm - - 100 100 alarm{3}
offline - - - - waiting, nothing is switched{3}
quiet - - - - off in {0} s
printed - - - - was printing: never off by itself{3}
receiving - - 250 250 an update comes in
offered - - 1500 150 press short for the update
"""

# What happened or is true > where to go. The first row whose words all hold wins; `!` is "not",
# `|` is "or". Left of `>` stand events (SHORT LONG INSIST ON OFF PERMON FORCEOFF ACCEPTED) and
# conditions (see Machine._holds); right of it the next state (`stay`: the same; `a/b`: a if there
# is one, else b) and what else is done: forget and remember speak of the "on" that follows once
# the power has been cut; BY_HAND marks a Countdown that a person insisted on.
TABLE = """
Relay_off:
SHORT > on_state
LONG CALM > Switched_ON
ON > Waiting
PERMON > Switched_ON
OFF|FORCEOFF > stay forget
WAKE > remembered
Switched_ON:
SHORT|ON > Waiting
LONG|OFF > Going
EXPIRED > Waiting
Waiting:
SHORT > Switched_ON
LONG|OFF > Going
PI_UP > Connected
Connected:
SHORT > Switched_ON
LONG|OFF > Armed
PRINTING > Started
WIFI_DOWN > Waiting
PI_DOWN > Waiting
Started:
SHORT > Switched_ON
LONG|OFF > Armed
IDLE > Connected
HOT > Armed
Armed:
LONG|OFF PI_DOWN > Going
SHORT > Switched_ON
ON > Waiting
LONG > Cooling
IDLE > Cooling
Cooling:
LONG|OFF PI_DOWN > Going
SHORT > Switched_ON
ON > Waiting
PRINTING > Armed
IDLE COOL SHUTS_DOWN > Asking
IDLE COOL > Countdown
Asking:
LONG|OFF PI_DOWN !ASKED > Going
SHORT|PERMON !ASKED > Switched_ON
ON !ASKED > Waiting
SHORT|PERMON > Countdown remember Switched_ON
ON > Countdown remember Waiting
ACCEPTED > Countdown
PRINTING > Armed
!COOL !ASKED > Cooling
PI_DOWN ASKED > Countdown
Countdown:
INSIST !BY_HAND > Countdown forget BY_HAND
INSIST|LONG > Relay_off forget
OFF > stay forget
SHORT|PERMON !ASKED > Switched_ON
ON !ASKED > Waiting
SHORT|PERMON > stay remember Switched_ON
ON > stay remember Waiting
PRINTING !ACCEPTED !BY_HAND > remembered/Armed
HALTED > Relay_off
OVERDUE BY_HAND > Relay_off
REFUSED PI_UP !ASKED !BY_HAND > remembered/Armed
GONE_THEN_UP ACCEPTED !BY_HAND > remembered/on_state
GONE_THEN_UP !BY_HAND > remembered/Armed
NO_EFFECT ASKED !BY_HAND > remembered/on_state
NO_EFFECT !BY_HAND > remembered/Armed
Going:
SHORT > Switched_ON
ON > Waiting
PI_UP > Armed
PI_DOWN BOOTED WAS_IDLE > Countdown
PI_DOWN BOOTED !ANSWERED > Countdown
any on-state:
FORCEOFF > Relay_off forget
INSIST > Countdown BY_HAND
PERMON > Switched_ON
"""

# The facts that a restart in place remembers. Their order stays, and new ones come last: the build
# shortens them by it, and the RTC memory outlives an update.
_KEPT = "ASKED ACCEPTED REFUSED BY_HAND GONE FROM_GOING ANSWERED WAS_PRINTING WAS_IDLE"

# Timers: ms since something began. They stop at _AGES, so nothing old is ever compared.
_AGES = const(0x1FFFFFFF)
# The first six count readings without a break, too, and start with the first of them.
_DOWN = const(0)
_SILENT = const(1)
_UNKNOWN = const(2)
_LOST = const(3)
_IDLE = const(4)
_COOL = const(5)
_RUNS = const(6)
_READ = const(6)  # the last evidence
_STATE = const(7)  # entered
_CLOSED = const(8)  # the relay
_OPENED = const(9)
_LONG = const(10)  # was pressed
_ASKED = const(11)
_TIMERS = const(12)

_REST_MS = const(5000)  # the relay stays open at least so long
_HOUR_MS = const(3600000)
_AGAIN_MS = const(15000)  # a LONG within this of another is meant


def _row(name):
    # The words of the row of STATES that begins with `name`.
    at = STATES.find("\n" + name + " ") + 1
    return STATES[at : STATES.find("\n", at)].split(" ", 5)


def _alias(state):
    # The name of the row of STATES that is published as `state`; "" if there is none.
    at = STATES.find(" " + state + " ")
    alias = STATES[STATES.rfind("\n", 0, at) + 1 : at]
    return "" if at < 0 or " " in alias or state == "-" else alias


class Machine:
    """The power state machine.

    `settings` has the attributes named in the schema (times in s, temperatures in C), `now` is
    ticks_ms, `state` a published state name, what `save` returned, or None: initial_state
    decides. Raises ValueError for an unknown state. An event that no row wants does nothing.
    """

    def __init__(self, settings, now, state=None):
        self.s = settings
        self._now = now
        self._t = [_AGES] * _TIMERS
        self.facts = set()
        # Nothing is being probed: rows on evidence and time are not tried. 2: an update comes in;
        # 3: a SHORT press would allow it
        self.frozen = False
        self.alarm = ""  # what is wrong with the heat
        self.pending = ""  # what on the Pi is unfinished; while there is something, not COOL
        self.note = ""  # what is wrong with OctoPrint, in words
        self.hours = 0  # for which PERMON holds, the one that runs included; 0: for good
        self.relay = self._reading = self._insists = self._again = False
        self.fired = 0  # where in TABLE the row stands that fired last
        self.turns = 0  # how often the relay has moved
        self._heating = True  # when last heard of
        self._printing = False
        self.remembered = self.alias = self._event = ""
        self.forget()
        words = (state or settings.initial_state).split(" ")
        alias = _alias(words[0])
        if state and not alias:
            raise ValueError("state: no such state")
        self._enter(alias or "Waiting")
        self._t[_ASKED] = 0
        self._t[_OPENED] = 0 if state else _AGES
        for word in words[1:]:
            if word in _KEPT:
                self.facts.add(word)
            elif word.isdigit():
                self.hours = int(word)
            else:
                self.remembered = _alias(word)
        self._show()

    def save(self):
        """A text from which a restart goes on: state, facts, the state remembered and the hours of
        PERMON, if any."""
        words = self.state
        for word in _KEPT.split(" "):
            if word in self.facts:
                words += " " + word
        if self.remembered:
            words += " " + _row(self.remembered)[1]
        if self.hours:
            words += " %d" % self.hours
        return words

    def post(self, event, now):
        """Something happened: a press, a command, or how the request to shut down went.

        "PERMON 3" is PERMON for 3 hours."""
        self._advance(now)
        facts = self.facts
        words = event.split(" ")
        event = words[0]
        if event == "LONG":
            self._again = self._t[_LONG] < _AGAIN_MS
            insists = self._again and self._insists
            self._insists = self.relay  # one given in Relay_off does not count
            self._t[_LONG] = 0
            if insists and self._try("INSIST"):
                return True
        if self.s.button_lock and (event == "SHORT" or event == "LONG"):
            return False  # a child's; but insisting has its way
        if event not in "ASKED ACCEPTED REFUSED_ASK":
            self.hours = int(words[1]) if len(words) > 1 else 0
        asking = self.alias == "Asking" or self.alias == "Countdown"
        if event == "REFUSED_ASK" and asking:
            facts.add("REFUSED")
            if "ACCEPTED" not in facts:
                facts.discard("ASKED")  # so an unanswered one was refused as well
        if asking and (event == "ASKED" or event == "ACCEPTED"):
            self._t[_ASKED] = 0
            facts.discard("REFUSED")
            facts.add("ASKED")
            facts.add(event)
        return self._try(event)

    def observe(self, evidence, now):
        """A poll has yielded `evidence`. True if a row fired."""
        self._advance(now)
        if not self.relay:
            return False
        pi, printing, self.hottest, target, lost = evidence
        self.pi = pi
        self._printing = printing is True
        facts = self.facts
        t = self._t
        runs = self._runs
        below = self.s.cool_below_c
        known = self.hottest is not None
        cool = known and self.hottest < below and target is not None and target < below
        self._warm = known and not cool
        if pi == "UP":
            facts.add("ANSWERED")
        if pi != "SILENT":
            # Did something stop on the Pi before it fell silent, or is it just the link?
            self._stopped = pi == "BUSY" or pi == "REFUSED"
        if printing is not None:
            facts.add("WAS_PRINTING" if printing else "WAS_IDLE")
            if printing or self.alias != "Countdown":
                facts.discard("WAS_IDLE" if printing else "WAS_PRINTING")
            self._heating = target is None or target > below
        quiet = runs[_IDLE] > 1 < runs[_COOL]
        i = 0
        for holds in (
            pi == "SILENT" or pi == "REFUSED",
            pi == "SILENT",
            pi == "UNKNOWN",
            lost,
            printing is False,
            cool,
        ):
            if holds and not runs[i]:
                t[i] = 0
                if i == _DOWN:
                    self._after_ask = "ASKED" in facts
            runs[i] = holds and runs[i] + 1
            i += 1
        if self._holds("IDLE") and self._holds("COOL"):
            facts.discard("WAS_PRINTING")
            if quiet or lost:
                self._quiet += min(t[_READ], t[_STATE])
        elif printing or self._warm:
            self._quiet = 0
        t[_READ] = 0
        self._reading = self._read = True
        try:
            return self.tick(now)
        finally:
            self._reading = False

    def tick(self, now):
        """Time has passed. True if a row fired."""
        self._advance(now)
        if self.frozen:
            self._show()
        if self.hours > 1 and self._t[_STATE] >= _HOUR_MS and self.alias == "Switched_ON":
            self.hours -= 1
            self._t[_STATE] = 0
        if self._after_ask and self._holds("PI_DOWN"):
            self.facts.add("GONE")
        return not self.frozen and self._try("")

    def _advance(self, now):
        passed = (now - self._now) & 0x3FFFFFFF
        if passed > _AGES:
            return  # `now` lies before what was seen last
        self._now = now
        t = self._t
        for i in range(_TIMERS):
            t[i] = min(t[i] + passed, _AGES)
        if self.pi and t[_READ] >= max(3 * self.poll_ms, 12000):
            self.forget()

    def forget(self):
        """Evidence is stale: what must hold without a break, or twice running, does no longer."""
        self.pi = ""
        self.hottest = None
        self._runs = [0] * _RUNS
        self._warm = self._stopped = self._after_ask = False

    def _holds(self, word):
        if word[0] == "!":
            return not self._holds(word[1:])
        s = self.s
        t = self._t
        runs = self._runs
        if word == "PI_UP":
            return self.pi == "UP"
        if word == "PI_DOWN":
            return runs[_DOWN] > 2 and t[_DOWN] >= s.pi_down_s * 1000
        if word == "WIFI_DOWN":
            return runs[_UNKNOWN] and t[_UNKNOWN] >= 15000
        if word == "PRINTING":
            return self.pi == "UP" and self._printing
        if word == "HOT":
            hot = self.hottest is not None and self.hottest >= s.hot_above_c
            return hot and self._printing and t[_STATE] >= s.min_job_s * 1000
        if word == "IDLE" or word == "COOL":
            if word == "COOL" and self.pending:
                return False
            if runs[_IDLE if word == "IDLE" else _COOL] > 1:
                return True
            # OctoPrint lost the printer while it was idle and nothing heated: time has cooled it.
            blind = runs[_LOST] and t[_LOST] >= s.blind_cool_s * 1000
            return blind and "WAS_IDLE" in self.facts and not self._heating
        if word in _KEPT:  # none of the words below is part of another in there
            return word in self.facts or word == self._event
        if word == "SHUTS_DOWN":
            return s.shutdown_pi
        if word == "HALTED":
            wait = s.shutdown_wait_s * 1000
            by_hand = "BY_HAND" in self.facts
            if not self._reading or t[_STATE] < wait:
                return False
            if "WAS_PRINTING" in self.facts and not by_hand:
                return False
            if s.shutdown_pi or "FROM_GOING" in self.facts:
                return runs[_SILENT] > 4 and t[_SILENT] >= self._settle_ms()
            return self._quiet >= wait and self._holds("IDLE") and self._holds("COOL")
        if word == "OVERDUE":
            return t[_STATE] >= s.shutdown_max_s * 1000
        if word == "GONE_THEN_UP":
            return self.pi == "UP" and "GONE" in self.facts
        if word == "NO_EFFECT":
            if "ASKED" in self.facts:
                late = t[_ASKED] >= s.shutdown_max_s * 1000
            else:
                late = self._holds("OVERDUE") and not (self._holds("IDLE") and self._holds("COOL"))
            return late and self.pi == "UP"
        if word == "EXPIRED":
            return self.hours == 1 and t[_STATE] >= _HOUR_MS
        if word == "BOOTED":
            return t[_CLOSED] >= s.boot_s * 1000
        if word == "CALM":
            return not self._again and t[_OPENED] >= _REST_MS
        if word == "WAKE":
            return self.remembered and t[_OPENED] >= _REST_MS
        return self._event in word.split("|")

    def _settle_ms(self):
        # The network goes before the disk is synced: a silence that nothing announced must last a
        # third longer.
        settle = self.s.halt_settle_s * 1000
        return settle if self._stopped else settle * 4 // 3

    def _try(self, event):
        # The first row that holds: with an event one that begins with it, else one that does not.
        self._event = event
        changed = False
        at = TABLE.find("\n" + self.alias + ":\n") + len(self.alias) + 3
        any_state = not self.relay
        while True:
            end = TABLE.find("\n", at)
            words = TABLE[at:end].split(" ")
            if len(words) < 3:  # the end of the block
                if any_state:
                    break
                any_state = True
                at = TABLE.find("any on-state:") + 14
                continue
            i = 0
            if event in words[0].split("|") if event else "|" not in words[0]:
                while words[i] != ">" and self._holds(words[i]):
                    i += 1
                if words[i] == ">":
                    self.fired = at
                    changed = self._do(words[i + 1 :])
                    break
            at = end + 1
        self._event = ""
        self._show()
        return changed

    def _do(self, words):
        target = words[0].split("/")
        target = self.remembered or target[-1] if target[0] == "remembered" else target[0]
        if target == "on_state":
            waits = self.s.initial_state in ("Waiting_for_print_activity", "last")
            target = "Waiting" if waits else "Switched_ON"
        if "forget" in words:
            self.remembered = ""
        if target == "stay":
            if "remember" in words:
                self.facts.discard("BY_HAND")
        elif not self.relay and self._t[_OPENED] < _REST_MS:
            self.remembered = target  # too soon after opening: WAKE will do it
            return False
        else:
            self._enter(target)
        if "BY_HAND" in words:
            self.facts.add("BY_HAND")
        if "remember" in words:
            self.remembered = words[-1]
        return target != "stay"

    def _enter(self, alias):
        facts = self.facts
        t = self._t
        if alias != "Countdown" or self.alias not in ("Asking", "Countdown"):
            for word in ("ASKED", "ACCEPTED", "GONE", "FROM_GOING", "BY_HAND"):
                facts.discard(word)
            self._after_ask = False
        if alias not in ("Asking", "Cooling"):
            facts.discard("REFUSED")
        if self.alias == "Going" and alias == "Countdown":
            facts.add("FROM_GOING")
            if not self._event:  # it is down, not insisted on
                facts.add("GONE")
        relay = alias != "Relay_off"
        if relay and alias != "Countdown":
            self.remembered = ""
        if relay != self.relay:
            self.relay = relay
            self.turns += 1
            self.note = ""
            facts.clear()
            self.forget()
            t[_CLOSED if relay else _OPENED] = 0
        words = _row(alias)
        self.alias = alias
        self.state = words[1]
        self.since = self._now
        poll = words[2]
        poll = self.s.poll_idle_s if poll == "i" else self.s.poll_s if poll == "p" else int(poll)
        self.poll_ms = int(poll * 1000)
        t[_STATE] = self._quiet = 0
        self._read = False
        self.alarm = ""  # heat.py says so again, but not where it would hide a Countdown

    def on_ms(self):
        """Since when the relay is on, or this run sees to it."""
        return self._t[_CLOSED]

    @property
    def ask(self):
        """True while a request to shut down may go out: a reading in this state allows it."""
        facts = self.facts
        if not self.s.shutdown_pi or not self._read or self.pi != "UP":
            return False
        if self.alias == "Asking":
            return self._holds("IDLE") and self._holds("COOL")
        once = "BY_HAND" in facts and "ASKED" not in facts and "REFUSED" not in facts
        return once and not self._warm and "WAS_PRINTING" not in facts

    def _show(self):
        # What others want to know: look (a row of STATES), led, mode, countdown_s, reason.
        s = self.s
        t = self._t
        alias = look = self.alias
        facts = self.facts
        runs = self._runs
        by_hand = "BY_HAND" in facts
        left = None
        if alias == "Countdown":
            if by_hand:
                left = s.shutdown_max_s * 1000 - t[_STATE]
            else:
                left = s.shutdown_wait_s * 1000 - self._quiet
                if s.shutdown_pi or "FROM_GOING" in facts:
                    left = self._settle_ms() - (runs[_SILENT] and t[_SILENT])
                left = max(left, s.shutdown_wait_s * 1000 - t[_STATE])
        elif not self.relay and self.remembered:
            left = _REST_MS - t[_OPENED]
        if left is not None:
            left = max(0, int(left) // 1000)
        # The row of STATES that tells most.
        if self.frozen > 1:
            look = "receiving" if self.frozen == 2 else "offered"
        elif self.alarm:
            look = "alarm"
        elif self.remembered:
            look = "remembered" if self.relay else "waking"
        elif alias == "Switched_ON":
            if self.hours:
                look = "hours"
        elif not self.relay:
            pass
        elif by_hand:
            look = "by_hand"
        elif runs[_UNKNOWN] and alias != "Waiting":
            look = "offline"
        elif "WAS_PRINTING" in facts and self.pi != "UP" and alias not in ("Waiting", "Started"):
            look = "printed"
        elif alias == "Countdown":
            if not s.shutdown_pi and "FROM_GOING" not in facts:
                look = "quiet"
            elif runs[_SILENT]:
                look = "silent"
            elif self.pi in ("BUSY", "REFUSED") and self._holds("OVERDUE"):
                look = "stuck"
        elif "REFUSED" in facts:
            look = "refused"
        elif runs[_LOST]:
            look = "lost"
        elif self.pending and alias == "Cooling" and not self._warm:
            look = "pending"
        self.look = look
        words = _row(look)
        note = self.pending if look == "pending" else self.alarm or self.note
        note = ": " + note if note else ""
        hottest = "?" if self.hottest is None else int(self.hottest)
        if look == "hours":
            hottest = self.hours
        self.countdown_s = left
        self.reason = words[5].format(left, hottest, s.cool_below_c, note)
        self.led = words[3:5] if words[3] != "-" else _row(alias)[3:5]
        self.mode = "ON" if alias in ("Waiting", "Connected", "Started") else "OFF"
        if alias == "Switched_ON":
            self.mode = "PERMON"
        elif not self.relay and TABLE[self.fired : self.fired + 8] == "FORCEOFF":
            self.mode = "FORCEOFF"
