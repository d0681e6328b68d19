"""Every condition of the power state machine at its edges, and against a second opinion.

The second opinion is a reference model written from the contract's text: it keeps the whole
history of what was heard and works every condition out anew each time.
"""

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from machine_tools import (
    BUSY,
    COLD,
    COLD_PRINT,
    DEEP,
    EVERY_EVIDENCE,
    FORBIDDEN,
    HEATING,
    HOT_IDLE,
    LOST,
    PRINTING,
    REFUSED,
    SILENT,
    STARTING,
    UNKNOWN,
    WARM,
    WRAP,
    Machine,
    Rig,
    Settings,
)  # fmt: skip


def rig(state, **settings):
    return Rig(**settings).to(state)


def deaf(r, evidence, seconds):
    """One reading so many seconds after the last, without a tick before."""
    r.after(seconds).machine.observe(evidence, r.now)
    return r


# PI_DOWN: REFUSED or SILENT, 3 polls and pi_down_s


def test_two_polls_are_not_down():
    r = rig("Connected")
    deaf(r, SILENT, 5)
    deaf(r, SILENT, 14)
    assert r.wait(9).state == "Connected"


def test_three_polls_within_15_s_are_not_down():
    r = rig("Connected").say(SILENT, 3, every=5)
    assert r.wait(4.9, step=4.9).state == "Connected"
    assert r.wait(0.1).state == "Waiting"


def test_refused_and_silent_together_are_down():
    assert rig("Connected").say(SILENT).say(REFUSED, 2).say(SILENT).state == "Waiting"


@pytest.mark.parametrize("other", [BUSY, UNKNOWN, COLD], ids=lambda e: e[0])
def test_anything_else_breaks_down(other):
    assert rig("Connected").say(SILENT, 2).say(other).say(SILENT, 3).state == "Connected"


def test_a_gap_of_15_s_breaks_down():
    """Stale evidence: 3 poll intervals, or 12 s where that is longer."""
    r = rig("Connected").say(SILENT, 2)
    deaf(r, SILENT, 15)
    deaf(r, SILENT, 4)
    assert r.wait(4).state == "Connected"


def test_a_gap_of_less_than_three_polls_does_not():
    r = rig("Connected").say(SILENT, 2)
    deaf(r, SILENT, 14.9)
    assert r.wait(0.1).state == "Waiting"


# WIFI_DOWN


def test_wifi_is_down_after_15_s_of_unknown():
    r = rig("Connected").say(UNKNOWN, 3)
    assert r.wait(4.9, step=4.9).state == "Connected"
    assert r.wait(0.1).state == "Waiting"


# PRINTING and IDLE


def test_one_reading_is_printing_two_are_idle():
    assert rig("Connected").say(COLD_PRINT).state == "Started"
    assert rig("Armed").say(HOT_IDLE).state == "Armed"
    assert rig("Armed").say(HOT_IDLE, 2).state == "Cooling"


@pytest.mark.parametrize("other", [BUSY, FORBIDDEN, LOST, SILENT, UNKNOWN], ids=str)
def test_a_reading_that_knows_nothing_breaks_idle(other):
    assert rig("Armed").say(HOT_IDLE).say(other).say(HOT_IDLE).state == "Armed"


def test_a_gap_breaks_idle():
    r = rig("Armed").say(HOT_IDLE)
    deaf(r, HOT_IDLE, 15)
    assert r.state == "Armed"
    deaf(r, HOT_IDLE, 14.9)
    assert r.state == "Cooling"


# HOT: the temperature, and the job's age from its first sight


def test_the_job_counts_after_300_s_from_its_first_sight():
    r = rig("Started")
    r.say_for(295, PRINTING)
    assert r.wait(4.9, step=4.9).state == "Started"
    assert r.wait(0.1).state == "Armed"


def test_lost_polls_do_not_make_the_job_younger():
    r = rig("Started").say_for(150, SILENT).say_for(145, UNKNOWN)
    assert r.say(PRINTING, 2).state == "Armed"


@pytest.mark.parametrize("hottest, state", [(174.9, "Started"), (175, "Armed")])
def test_the_nozzle_counts_from_175_on(hottest, state):
    assert rig("Started").say_for(310, ("UP", True, hottest, 210, False)).state == state


def test_what_was_hot_long_ago_is_not_hot():
    r = rig("Started").say_for(280, PRINTING)
    assert r.wait(60).state == "Started"


def test_what_is_hot_but_not_printing_does_not_count():
    assert rig("Started").say_for(310, STARTING).say(HOT_IDLE).state == "Started"


# COOL: hottest and target, twice


@pytest.mark.parametrize("hottest, target, state", [
    (49.9, 49.9, "Asking"), (50, 0, "Cooling"), (25, 50, "Cooling"), (25, None, "Cooling"),
    (None, 0, "Cooling"), (None, None, "Cooling"), (-10, 0, "Asking"),
])  # fmt: skip
def test_hottest_and_target_are_both_below_50(hottest, target, state):
    assert rig("Cooling").say(("UP", False, hottest, target, False), 2).state == state


@pytest.mark.parametrize("other", [WARM, HEATING, BUSY, FORBIDDEN, UNKNOWN], ids=str)
def test_anything_else_breaks_cool(other):
    assert rig("Cooling").say(COLD).say(other).say(COLD).state == "Cooling"


def test_cool_while_printing_twice_still_needs_idle_twice():
    r = rig("Cooling").press("LONG")
    assert r.say(("UP", None, 25, 0, False), 3).say(COLD).state == "Cooling"
    assert r.say(COLD).state == "Asking"


def test_nothing_is_cool_while_something_is_pending():
    r = rig("Cooling")
    r.machine.pending = "rendering"
    r.say(COLD, 9)
    assert r.state == "Cooling" and "rendering" in r.machine.reason
    r.machine.pending = ""
    assert r.say(COLD).state == "Asking"


# A printer that OctoPrint has lost


def test_a_printer_lost_while_idle_is_cool_after_900_s():
    r = rig("Cooling").say(LOST)
    r.say_for(895, LOST)
    assert r.state == "Cooling"
    assert r.say_for(10, LOST).state == "Asking"


def test_it_may_be_asked_for_then():
    r = rig("Cooling").say_for(905, LOST)
    assert r.state == "Asking"
    assert r.read(LOST).machine.ask


@pytest.mark.parametrize("before", [PRINTING, COLD_PRINT, HEATING], ids=str)
def test_a_printer_lost_while_printing_or_heating_never_is(before):
    r = rig("Cooling").say(before).say_for(7200, LOST)
    assert r.state in ("Armed", "Cooling")
    assert r.machine.reason == "OctoPrint lost the printer"


def test_a_printer_never_read_never_is():
    r = Rig().say(LOST).press("LONG")
    assert r.state == "Armed"
    assert r.press("LONG").after(15).state == "Countdown"
    r = Rig().say(LOST).press("OFF").say_for(7200, LOST)
    assert r.state == "Armed"


def test_after_a_restart_a_lost_printer_is_not_cool_before_it_was_read():
    r = rig("Cooling").say(COLD).restart().say_for(7200, LOST)
    assert r.state == "Cooling"


def test_target_at_the_limit_is_not_above_it():
    assert rig("Cooling").say(("UP", False, 90, 50, False)).say_for(910, LOST).state == "Asking"


@pytest.mark.parametrize("other", [BUSY, SILENT, UNKNOWN, FORBIDDEN], ids=str)
def test_anything_else_breaks_lost(other):
    r = rig("Cooling").say_for(600, LOST).say(other).say_for(600, LOST)
    assert r.state == "Cooling"


def test_a_gap_breaks_lost():
    assert rig("Cooling").say_for(600, LOST).wait(15).say_for(600, LOST).state == "Cooling"


# HALTED


def silence(r):
    """Seconds of silence until the relay opens, from the first silent reading on."""
    r.read(SILENT)
    start = r.now
    r.until("Relay_off", SILENT)
    return (r.now - start) % WRAP / 1000


def test_a_silence_that_nothing_announced_must_last_60_s():
    assert silence(rig("Countdown")) == 60


@pytest.mark.parametrize("sign", [REFUSED, BUSY], ids=lambda e: e[0])
def test_a_silence_after_a_sign_must_last_45_s(sign):
    assert silence(rig("Countdown").read(sign)) == 46  # polled every 2 s


def test_a_sign_before_the_last_answer_is_no_sign():
    assert silence(rig("Countdown").read(BUSY).read(COLD)) == 60


def test_no_wifi_is_no_sign():
    assert silence(rig("Countdown").read(UNKNOWN)) == 60


def test_no_history_is_no_sign():
    assert silence(rig("Countdown").read(BUSY).restart()) == 60


@pytest.mark.parametrize("other", [REFUSED, BUSY, UNKNOWN], ids=lambda e: e[0])
def test_anything_else_breaks_the_silence(other):
    r = rig("Countdown").read(REFUSED).say(SILENT, 22).read(other)
    assert r.say(SILENT, 22).state == "Countdown"


def test_a_gap_of_12_s_breaks_the_silence():
    r = rig("Countdown").read(REFUSED).say(SILENT, 22)
    deaf(r, SILENT, 12)
    assert r.say(SILENT, 20).state == "Countdown"


def test_five_readings_are_needed():
    r = rig("Countdown").read(REFUSED)
    for _ in range(4):
        deaf(r, SILENT, 11.5)
    deaf(r, SILENT, 11.5)
    assert r.state == "Relay_off"
    r = rig("Countdown", halt_settle_s=20).read(REFUSED)
    for _ in range(4):
        deaf(r, SILENT, 11.5)
    assert r.state == "Countdown"
    deaf(r, SILENT, 1)
    assert r.state == "Relay_off"


def test_only_a_reading_cuts_not_time():
    r = rig("Countdown").read(REFUSED).say(SILENT, 23)
    assert r.wait(11).state == "Countdown"
    r = rig("Countdown").read(REFUSED).say(SILENT, 23)
    deaf(r, SILENT, 1)
    assert r.state == "Relay_off"


def test_shutdown_wait_s_in_the_countdown_comes_first():
    r = rig("Asking", halt_settle_s=10, shutdown_wait_s=60).read(COLD).press("ASKED")
    r.until("Countdown", REFUSED)
    start = r.now
    r.until("Relay_off", SILENT)
    assert (r.now - start) / 1000 == 60


def test_a_silence_that_began_while_asking_counts():
    r = rig("Asking").read(COLD).press("ASKED").read(REFUSED)
    start = r.now + 5000
    r.until("Relay_off", SILENT)
    assert 45 <= (r.now - start) / 1000 <= 47


def test_after_printing_no_silence_counts():
    r = rig("Countdown").read(PRINTING).say_for(7200, SILENT)
    assert r.state == "Countdown"


def test_one_idle_reading_does_not_undo_a_print_seen_in_the_countdown():
    r = rig("Countdown").read(PRINTING).read(COLD).say_for(600, SILENT)
    assert r.state == "Countdown"


def test_two_idle_and_cool_readings_do():
    r = rig("Countdown").read(PRINTING).say(COLD, 2).until("Relay_off", SILENT)
    assert not r.relay


# GONE_THEN_UP, NO_EFFECT


def test_gone_then_up_after_204_is_on():
    assert rig("Countdown").say(REFUSED, 8).state == "Countdown"
    r = rig("Countdown").say(REFUSED, 9).wait(1)
    deaf(r, COLD, 1)
    assert r.state == "Waiting"


def test_gone_then_up_without_an_answer_arms_again():
    r = rig("Asking").read(COLD).press("ASKED").until("Countdown", REFUSED)
    deaf(r, COLD, 1)
    assert r.state == "Armed"


def test_gone_between_two_readings_is_gone():
    r = rig("Asking").read(COLD).press("ASKED").say(REFUSED, 3).wait(5)
    assert r.state == "Countdown"
    deaf(r, COLD, 0.5)
    assert r.state == "Armed"


def test_a_short_silence_is_not_gone():
    r = rig("Countdown").say(REFUSED, 5)
    deaf(r, COLD, 1)
    assert r.state == "Countdown"


def test_no_effect_120_s_after_the_request():
    r = rig("Countdown").say(COLD, 59)
    assert r.wait(1.9, step=1.9).state == "Countdown"
    assert r.wait(0.1).state == "Waiting"


def test_no_effect_only_while_up():
    r = rig("Countdown").say_for(200, BUSY)
    assert r.state == "Countdown"
    deaf(r, COLD, 1)
    assert r.state == "Waiting"


def test_a_print_in_the_countdown_of_an_unanswered_request_arms_again():
    r = rig("Asking").read(COLD).press("ASKED").until("Countdown", REFUSED)
    r.machine.facts.discard("GONE")
    deaf(r, PRINTING, 1)
    assert r.state == "Armed"


# Clock


def test_days_without_a_tick_make_evidence_old():
    for days in (1, 3, 6):
        r = rig("Countdown").read(REFUSED).say(SILENT, 10).after(days * 86400)
        r.machine.observe(SILENT, r.now)
        assert r.relay
        assert r.until("Relay_off", SILENT).now


def test_time_going_backwards_changes_nothing():
    for state in ("Started", "Countdown", "Going", "Cooling"):
        r = rig(state)
        before = r.machine._t[:]
        assert r.machine.tick((r.now - 5000) % WRAP) is False
        assert r.machine._t == before and r.state == state


def test_weeks_in_one_state_overflow_nothing():
    r = rig("Waiting")
    for _ in range(30):
        r.after(86400).machine.tick(r.now)
    r.press("OFF")
    assert r.say(SILENT, 5).state == "Countdown"


# A second opinion


class Reference:
    """The conditions as the contract words them, from the whole history."""

    def __init__(self, settings):
        self.s = settings
        self.heard = []  # (time in ms, evidence), only while nothing was stale in between
        self.everything = []  # since the relay closed

    def hear(self, now, evidence, fresh_ms):
        self.age(now, fresh_ms)
        self.heard.append((now, evidence))
        self.everything.append((now, evidence))

    def age(self, now, fresh_ms):
        if self.heard and now - self.heard[-1][0] >= fresh_ms:
            self.heard = []

    def _run(self, holds):
        run = []
        for now, evidence in reversed(self.heard):
            if not holds(evidence):
                break
            run.append(now)
        return run

    def _for(self, now, run, seconds):
        return bool(run) and now - run[-1] >= seconds * 1000

    def _cool(self, e):
        return None not in e[2:4] and max(e[2:4]) < self.s.cool_below_c

    def last_known(self):
        known = [e for _, e in self.everything if e[1] is not None]
        return known[-1] if known else None

    def PI_UP(self, now):
        return bool(self.heard) and self.heard[-1][1][0] == "UP"

    def PI_DOWN(self, now):
        run = self._run(lambda e: e[0] in ("REFUSED", "SILENT"))
        return len(run) >= 3 and self._for(now, run, self.s.pi_down_s)

    def WIFI_DOWN(self, now):
        return self._for(now, self._run(lambda e: e[0] == "UNKNOWN"), 15)

    def PRINTING(self, now):
        return bool(self.heard) and self.heard[-1][1][1] is True

    def _blind(self, now):
        last = self.last_known()
        run = self._run(lambda e: e[4])
        return (
            self._for(now, run, self.s.blind_cool_s)
            and last is not None
            and last[1] is False
            and last[3] is not None
            and last[3] <= self.s.cool_below_c
        )

    def IDLE(self, now):
        return len(self._run(lambda e: e[1] is False)) >= 2 or self._blind(now)

    def COOL(self, now):
        return len(self._run(self._cool)) >= 2 or self._blind(now)

    def ANSWERED(self, now):
        return any(e[0] == "UP" for _, e in self.everything)

    def WAS_PRINTING(self, now):
        last = self.last_known()
        return last is not None and last[1]


CONDITIONS = "PI_UP PI_DOWN WIFI_DOWN PRINTING IDLE COOL ANSWERED".split()


class SecondOpinion(RuleBasedStateMachine):
    """Any evidence at any pace, any press: machine and reference see the same conditions."""

    @initialize(start=st.sampled_from([0, WRAP - 20_000, WRAP - 1]))
    def begin(self, start):
        self.start = start
        self.passed = 0
        self.settings = Settings(blind_cool_s=40, min_job_s=20, boot_s=20)
        self.machine = Machine(self.settings, start)
        self.reference = Reference(self.settings)

    @property
    def now(self):
        return (self.start + self.passed) % WRAP

    def _fresh_ms(self):
        return max(3 * self.machine.poll_ms, 12000)

    def _pass(self, ms):
        self.passed += ms
        self.reference.age(self.passed, self._fresh_ms())

    def _seen(self, relay):
        if self.machine.relay != relay:
            self.reference = Reference(self.settings)

    @rule(ms=st.sampled_from([0, 900, 2000, 5000, 11_999, 12_000, 14_999, 15_000, 46_000]))
    def time_passes(self, ms):
        self._pass(ms)
        relay = self.machine.relay
        self.machine.tick(self.now)
        self._seen(relay)

    @precondition(lambda self: self.machine.relay)
    @rule(
        evidence=st.sampled_from(EVERY_EVIDENCE),
        times=st.integers(1, 9),
        late=st.sampled_from([0, 0, 3000, 9000]),
    )
    def the_plug_polls(self, evidence, times, late):
        for _ in range(times):
            if not self.machine.relay:
                return
            self._pass(self.machine.poll_ms + late)
            self.reference.hear(self.passed, evidence, self._fresh_ms())
            self.machine.observe(evidence, self.now)
            self._seen(True)

    @rule(
        event=st.sampled_from(
            [
                "SHORT",
                "LONG",
                "ON",
                "OFF",
                "PERMON",
                "FORCEOFF",
                "ASKED",
                "ACCEPTED",
                "REFUSED_ASK",
            ]
        )
    )
    def somebody_acts(self, event):
        relay = self.machine.relay
        self.machine.post(event, self.now)
        self._seen(relay)

    @invariant()
    def they_agree(self):
        m = self.machine
        if not m.relay:
            return
        m._advance(self.now)
        self.reference.age(self.passed, self._fresh_ms())
        for word in CONDITIONS:
            expected = getattr(self.reference, word)(self.passed)
            assert bool(m._holds(word)) == bool(expected), (word, m.alias, self.reference.heard)
        if m.alias != "Countdown" and not {"WAS_PRINTING", "WAS_IDLE"} <= m.facts:
            assert ("WAS_PRINTING" in m.facts) == bool(self.reference.WAS_PRINTING(self.passed))


TestSecondOpinion = SecondOpinion.TestCase
TestSecondOpinion.settings = hypothesis_settings(
    max_examples=2000 if DEEP else 150, stateful_step_count=60, deadline=None, derandomize=not DEEP
)


def test_starting_is_not_hot():
    assert rig("Started").say_for(400, STARTING).state == "Started"
