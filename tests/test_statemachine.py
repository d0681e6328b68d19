"""The power state machine, row by row: the table of the contract, and what must not happen.

Everything is driven by what a plug hears, reads and is told; see machine_tools.Rig.
"""

import importlib.util
import sys

import pytest

from machine_search import ALPHABET, PERSON, search
from machine_tools import (
    BUSY,
    COLD,
    COLD_PRINT,
    DEEP,
    EVENTS,
    EVERY_EVIDENCE,
    FORBIDDEN,
    HEATING,
    HOT_IDLE,
    LOST,
    NO_TEMPERATURE,
    PRINTING,
    PUBLISHED,
    REFUSED,
    ROOT,
    SILENT,
    STARTING,
    UNKNOWN,
    WARM,
    WRAP,
    Machine,
    Rig,
    Settings,
    clone,
)  # fmt: skip

ON_STATES = [state for state in PUBLISHED if state != "Relay_off"]


def rig(state, **settings):
    return Rig(**settings).to(state)


# The table: from, what happens, to. Conditions are given as what is heard.

ROWS = [
    # Relay_off
    ("Relay_off", "SHORT", "Waiting"),
    ("Relay_off", "LONG", "Switched_ON"),
    ("Relay_off", "ON", "Waiting"),
    ("Relay_off", "PERMON", "Switched_ON"),
    ("Relay_off", "OFF", "Relay_off"),
    ("Relay_off", "FORCEOFF", "Relay_off"),
    # Switched_ON
    ("Switched_ON", "SHORT", "Waiting"),
    ("Switched_ON", "ON", "Waiting"),
    ("Switched_ON", "LONG", "Going"),
    ("Switched_ON", "OFF", "Going"),
    ("Switched_ON", COLD, "Switched_ON"),
    ("Switched_ON", PRINTING, "Switched_ON"),
    ("Switched_ON", [SILENT] * 9, "Switched_ON"),
    # Waiting
    ("Waiting", "SHORT", "Switched_ON"),
    ("Waiting", "LONG", "Going"),
    ("Waiting", "OFF", "Going"),
    ("Waiting", COLD, "Connected"),
    ("Waiting", FORBIDDEN, "Connected"),
    ("Waiting", LOST, "Connected"),
    ("Waiting", BUSY, "Waiting"),
    # Connected
    ("Connected", "SHORT", "Switched_ON"),
    ("Connected", "LONG", "Armed"),
    ("Connected", "OFF", "Armed"),
    ("Connected", COLD_PRINT, "Started"),
    ("Connected", [UNKNOWN] * 4, "Waiting"),
    ("Connected", [SILENT] * 4, "Waiting"),
    ("Connected", [REFUSED] * 4, "Waiting"),
    ("Connected", [BUSY] * 9, "Connected"),
    ("Connected", [COLD] * 9, "Connected"),
    # Started
    ("Started", "SHORT", "Switched_ON"),
    ("Started", "LONG", "Armed"),
    ("Started", "OFF", "Armed"),
    ("Started", [COLD] * 2, "Connected"),
    ("Started", COLD, "Started"),
    ("Started", [PRINTING] * 62, "Armed"),
    ("Started", [STARTING] * 62, "Started"),
    ("Started", [PRINTING] * 50, "Started"),
    # Armed
    ("Armed", [SILENT] * 4 + ["LONG"], "Going"),
    ("Armed", [SILENT] * 4 + ["OFF"], "Going"),
    ("Armed", "SHORT", "Switched_ON"),
    ("Armed", "ON", "Waiting"),
    ("Armed", "LONG", "Cooling"),
    ("Armed", "OFF", "Armed"),
    ("Armed", [WARM] * 2, "Cooling"),
    ("Armed", WARM, "Armed"),
    ("Armed", [SILENT] * 99, "Armed"),
    # Cooling
    ("Cooling", [SILENT] * 4 + ["LONG"], "Going"),
    ("Cooling", [REFUSED] * 4 + ["OFF"], "Going"),
    ("Cooling", "LONG", "Cooling"),
    ("Cooling", "OFF", "Cooling"),
    ("Cooling", "SHORT", "Switched_ON"),
    ("Cooling", "ON", "Waiting"),
    ("Cooling", PRINTING, "Armed"),
    ("Cooling", COLD, "Cooling"),
    ("Cooling", [COLD] * 2, "Asking"),
    ("Cooling", [HEATING] * 9, "Cooling"),
    ("Cooling", [SILENT] * 99, "Cooling"),
    # Asking
    ("Asking", [SILENT, "LONG"], "Cooling"),
    ("Asking", "LONG", "Asking"),
    ("Asking", "OFF", "Asking"),
    ("Asking", "SHORT", "Switched_ON"),
    ("Asking", "ON", "Waiting"),
    ("Asking", "PERMON", "Switched_ON"),
    ("Asking", ["ASKED", "SHORT"], "Countdown"),
    ("Asking", ["ASKED", "ON"], "Countdown"),
    ("Asking", ["ASKED", "PERMON"], "Countdown"),
    ("Asking", "ACCEPTED", "Countdown"),
    ("Asking", "ASKED", "Asking"),
    ("Asking", "REFUSED_ASK", "Asking"),
    ("Asking", PRINTING, "Armed"),
    ("Asking", WARM, "Cooling"),
    ("Asking", BUSY, "Cooling"),
    ("Asking", ["ASKED", WARM], "Asking"),
    ("Asking", ["ASKED"] + [SILENT] * 3, "Asking"),
    ("Asking", ["ASKED"] + [SILENT] * 4, "Countdown"),
    ("Asking", ["ASKED"] + [REFUSED] * 4, "Countdown"),
    ("Asking", ["ASKED"] + [REFUSED] * 4 + ["OFF"], "Countdown"),
    # Countdown, the shutdown accepted
    ("Countdown", "LONG", "Relay_off"),
    ("Countdown", "OFF", "Countdown"),
    ("Countdown", "SHORT", "Countdown"),
    ("Countdown", "ON", "Countdown"),
    ("Countdown", "PERMON", "Countdown"),
    ("Countdown", [PRINTING] * 3, "Countdown"),
    ("Countdown", [SILENT] * 32, "Relay_off"),
    ("Countdown", [REFUSED] * 99, "Countdown"),
    ("Countdown", [BUSY] * 99, "Countdown"),
    ("Countdown", [UNKNOWN] * 99, "Countdown"),
    ("Countdown", [REFUSED] * 9 + [COLD], "Waiting"),
    ("Countdown", [COLD] * 59 + [2], "Waiting"),
    ("Countdown", [COLD] * 50, "Countdown"),
    # Going
    ("Going", "SHORT", "Switched_ON"),
    ("Going", "ON", "Waiting"),
    ("Going", "LONG", "Going"),
    ("Going", "OFF", "Going"),
    ("Going", COLD, "Armed"),
    ("Going", PRINTING, "Armed"),
    ("Going", [SILENT] * 4, "Countdown"),
    ("Going", [BUSY] * 99, "Going"),
    ("Going", [UNKNOWN] * 99, "Going"),
]


def _id(row):
    before, what, after = row
    if isinstance(what, list):
        what = " ".join("%s" % (w if isinstance(w, str) else w[0]) for w in what[:3]) + " x%d" % (
            len(what)
        )
    return "%s: %s > %s" % (before, what if isinstance(what, str) else what[0], after)


def play(r, what):
    for one in what if isinstance(what, list) else [what]:
        if isinstance(one, str):
            r.press(one)
        elif isinstance(one, int):
            r.wait(one)
        else:  # without a tick afterwards: one row, not the next as well
            r.wait(r.machine.poll_ms / 1000)
            r.machine.observe(one, r.now)
    return r


@pytest.mark.parametrize("row", ROWS, ids=_id)
def test_row(row):
    before, what, after = row
    r = play(rig(before), what)
    assert r.state == after
    assert r.machine.state == PUBLISHED[after]
    assert r.relay == (after != "Relay_off")


@pytest.mark.parametrize("row", ROWS, ids=_id)
def test_row_shortly_before_the_clock_wraps(row):
    """The state is reached, and the row fires, while ticks_ms starts anew."""
    before, what, after = row
    lead = rig(before).now - 1000
    for early in (1, 3000, 20_000):
        r = Rig(start=WRAP - lead - early).to(before)
        assert play(r, what).state == after


@pytest.mark.parametrize("state", ON_STATES)
def test_forceoff_opens_the_relay_from_every_state(state):
    r = rig(state).press("FORCEOFF")
    assert r.state == "Relay_off" and not r.relay and not r.machine.remembered


@pytest.mark.parametrize("state", [state for state in ON_STATES if state != "Countdown"])
def test_permon_is_on_for_good_from_every_state(state):
    assert rig(state).press("PERMON").state == "Switched_ON"


@pytest.mark.parametrize("state", [state for state in ON_STATES if state != "Countdown"])
def test_a_second_long_within_15_s_is_meant(state):
    r = rig(state).press("LONG").after(14).press("LONG")
    assert r.state == "Countdown" and "BY_HAND" in r.facts


def test_a_second_long_after_15_s_is_a_first_one():
    assert rig("Connected").press("LONG").after(15).press("LONG").state == "Cooling"


@pytest.mark.parametrize("state", ON_STATES)
@pytest.mark.parametrize("evidence", EVERY_EVIDENCE, ids=str)
def test_three_longs_within_15_s_cut_the_power(state, evidence):
    r = rig(state)
    for _ in range(3):
        r.read(evidence, every=4).press("LONG")
    assert not r.relay


@pytest.mark.parametrize("state", [state for state in ON_STATES if state != "Switched_ON"])
def test_one_short_means_on_for_good(state):
    r = rig(state).press("SHORT")
    assert "Switched_ON" in (r.state, r.machine.remembered)


@pytest.mark.parametrize(
    "initial", ["Relay_off", "Switched_ON", "Waiting_for_print_activity", "last"]
)
def test_the_state_a_short_press_switches_on_to(initial):
    r = Rig(initial_state=initial, state="Relay_off").wait(6).press("SHORT")
    assert r.state == ("Waiting" if initial[0] in "Wl" else "Switched_ON")


@pytest.mark.parametrize("initial", ["Relay_off", "Switched_ON"])
def test_a_countdown_that_comes_to_nothing_ends_in_the_state_to_be_on_in(initial):
    r = Rig(initial_state=initial, state="Waiting").to("Countdown")
    assert r.say(COLD, 61).state == "Switched_ON"


def test_an_event_no_row_wants_changes_nothing():
    for state in PUBLISHED:
        for event in ("ASKED", "ACCEPTED", "REFUSED_ASK", "WAKE", "HALTED", "nonsense", "|"):
            r = rig(state)
            if (state, event) in (("Asking", "ACCEPTED"),):
                continue
            before = clone(r.machine)
            assert r.machine.post(event, r.now) is False
            assert (r.machine.alias, r.relay) == (before.alias, before.relay)


# Off and on again


def test_the_relay_stays_open_for_5_s():
    r = rig("Countdown").press("LONG").wait(4).press("ON")
    assert not r.relay and r.machine.remembered == "Waiting" and r.machine.countdown_s == 1
    assert r.wait(0.9).state == "Relay_off"
    assert r.wait(0.2).state == "Waiting"


@pytest.mark.parametrize("event, state", [("SHORT", "Waiting"), ("PERMON", "Switched_ON")])
def test_an_on_within_5_s_comes_then(event, state):
    assert rig("Connected").press("FORCEOFF").after(1).press(event).wait(5).state == state


@pytest.mark.parametrize("event", ["OFF", "FORCEOFF"])
def test_off_forgets_an_on_to_come(event):
    r = rig("Connected").press("FORCEOFF", "ON").after(1).press(event).wait(60)
    assert r.state == "Relay_off"


def test_hammering_switches_off_not_on():
    r = rig("Armed")
    for _ in range(9):
        r.press("LONG").wait(2)
    assert r.state == "Relay_off"
    assert r.wait(15).press("LONG").state == "Switched_ON"


def test_a_long_within_5_s_of_opening_does_not_switch_on():
    r = rig("Connected").press("FORCEOFF").wait(4).press("LONG").wait(60)
    assert r.state == "Relay_off"


def test_a_long_that_switches_on_does_not_count_for_the_next():
    r = rig("Relay_off").press("LONG").after(2).press("LONG")
    assert r.state == "Going"


@pytest.mark.parametrize(
    "event, state", [("SHORT", "Switched_ON"), ("PERMON", "Switched_ON"), ("ON", "Waiting")]
)
def test_an_on_after_the_shutdown_was_accepted_comes_after_the_power_was_cut(event, state):
    r = rig("Countdown").press(event)
    assert r.machine.remembered == state
    r.until("Relay_off", SILENT)
    assert r.machine.remembered == state
    assert r.wait(5).state == state


def test_off_in_the_countdown_forgets_the_on():
    r = rig("Countdown").press("SHORT", "OFF").say(SILENT, 33).wait(60)
    assert r.state == "Relay_off"


@pytest.mark.parametrize("event", ["LONG", "FORCEOFF"])
def test_cutting_the_power_by_hand_forgets_the_on(event):
    r = rig("Countdown").press("SHORT").press(event).wait(60)
    assert r.state == "Relay_off"


@pytest.mark.parametrize(
    "ends", [[REFUSED] * 9 + [COLD], [COLD] * 61], ids=["gone then up", "no effect"]
)
def test_a_countdown_that_comes_to_nothing_goes_to_the_on_remembered(ends):
    assert play(rig("Countdown").press("SHORT"), ends).state == "Switched_ON"


# The countdown by hand


def test_by_hand_ends_at_the_latest_after_shutdown_max_s_whatever_is_heard():
    for evidence in EVERY_EVIDENCE:
        r = Rig().by_hand().say_for(117, evidence, every=3)
        assert r.state == "Relay_off" or r.state == "Countdown"
        assert r.wait(4).state == "Relay_off"


@pytest.mark.parametrize("evidence", [PRINTING, COLD, UNKNOWN, BUSY], ids=lambda e: e[0])
def test_by_hand_is_not_left_for_what_is_heard(evidence):
    r = Rig().by_hand().say(SILENT, 10).say(evidence, 40)
    assert r.state == "Countdown"


def test_by_hand_a_halted_pi_is_cut_sooner():
    assert Rig().by_hand().say_for(64, SILENT).state == "Relay_off"


def test_by_hand_cuts_even_after_printing():
    assert rig("Armed").by_hand().say_for(64, SILENT).state == "Relay_off"


def test_by_hand_asks_once_for_the_shutdown():
    r = Rig().by_hand()
    assert not r.machine.ask
    assert r.read(COLD).machine.ask
    assert not r.press("ASKED").read(COLD).machine.ask


def test_by_hand_a_refused_shutdown_is_not_asked_for_again():
    assert not Rig().by_hand().read(COLD).press("REFUSED_ASK").read(COLD).machine.ask


@pytest.mark.parametrize("evidence", [PRINTING, COLD_PRINT, WARM, HOT_IDLE, BUSY], ids=str)
def test_by_hand_no_shutdown_while_printing_or_hot(evidence):
    assert not Rig().by_hand().read(evidence).machine.ask


def test_by_hand_no_shutdown_when_shutdown_pi_is_false():
    assert not Rig(shutdown_pi=False).by_hand().read(COLD).machine.ask


def test_short_ends_by_hand_at_once_when_nothing_was_asked():
    assert Rig().by_hand().press("SHORT").state == "Switched_ON"


def test_short_ends_by_hand_but_waits_for_the_pi_that_was_asked():
    r = Rig().by_hand().read(COLD).press("ACCEPTED", "SHORT")
    assert r.state == "Countdown" and "BY_HAND" not in r.facts
    assert r.say(COLD, 3).say(REFUSED).state == "Countdown"
    assert r.until("Relay_off", SILENT).machine.remembered == "Switched_ON"


def test_insist_in_the_countdown_is_by_hand_then_off():
    r = rig("Cooling").press("LONG").say(COLD, 3, every=2).press("ACCEPTED")
    assert r.state == "Countdown"
    r.press("LONG")
    assert r.state == "Countdown" and "BY_HAND" in r.facts
    assert r.press("LONG").state == "Relay_off"


# The button is locked


@pytest.mark.parametrize("state", PUBLISHED)
def test_permon_for_some_hours_ends_in_waiting_not_sooner_and_not_later(state):
    r = rig(state).wait(6).press("PERMON 2")
    r.until("Switched_ON", SILENT)
    assert (r.machine.mode, r.machine.reason) == ("PERMON", "on for 2 h")
    r.wait(3599)
    assert r.machine.reason == "on for 2 h"
    r.wait(2)
    assert r.machine.reason == "on for 1 h"
    r.wait(3590, step=10)
    assert r.state == "Switched_ON"
    r.wait(11)
    assert (r.state, r.machine.hours and 1) == ("Waiting", 1)
    assert r.press("SHORT").wait(20000, step=60).state == "Switched_ON"
    assert r.machine.reason == "on for good"


@pytest.mark.parametrize("event", ["PERMON", "SHORT", "ON", "OFF", "LONG", "FORCEOFF"])
def test_what_comes_after_permon_for_some_hours_replaces_it(event):
    r = rig("Waiting").press("PERMON 3").press(event)
    assert r.machine.hours == 0
    r.press("FORCEOFF").wait(6).press("PERMON").wait(4 * 3600, step=60)
    assert r.state == "Switched_ON"


def test_permon_again_is_for_so_many_hours_from_then_on():
    r = rig("Waiting").press("PERMON 1").wait(3000).press("PERMON 1").wait(3590)
    assert r.state == "Switched_ON"
    assert r.wait(20).state == "Waiting"


def test_hours_pass_only_while_it_is_on_for_them():
    r = rig("Countdown").press("PERMON 2")
    assert (r.state, r.machine.remembered, r.machine.hours) == ("Countdown", "Switched_ON", 2)
    assert r.say_for(7300, REFUSED).machine.hours == 2
    r.until("Relay_off", SILENT).wait(6)
    assert (r.state, r.machine.reason) == ("Switched_ON", "on for 2 h")
    r.wait(7100, step=10)
    assert r.state == "Switched_ON"
    assert r.wait(110, step=10).state == "Waiting"


def test_the_hours_of_permon_outlast_a_restart_but_for_the_one_begun():
    r = rig("Waiting").press("PERMON 3").wait(4000).restart()
    assert r.machine.reason == "on for 2 h"
    assert r.wait(7190, step=10).state == "Switched_ON"
    assert r.wait(20).state == "Waiting"


def test_the_hours_do_not_end_while_nothing_may_happen():
    r = rig("Waiting").press("PERMON 1")
    r.machine.frozen = True
    assert r.wait(4000, step=10).state == "Switched_ON"
    r.machine.frozen = False
    assert r.wait(2).state == "Waiting"


def locked(state):
    r = rig(state)
    r.settings.button_lock = True
    return r


@pytest.mark.parametrize("state", PUBLISHED)
@pytest.mark.parametrize("press", ["SHORT", "LONG"])
def test_a_locked_button_does_nothing(state, press):
    r = locked(state)
    before = r.machine.save()
    assert r.press(press).machine.save() == before


@pytest.mark.parametrize("state", [state for state in PUBLISHED if state != "Relay_off"])
@pytest.mark.parametrize("evidence", EVERY_EVIDENCE, ids=str)
def test_three_longs_cut_the_power_although_the_button_is_locked(state, evidence):
    r = locked(state).press("LONG").read(evidence, every=4)
    assert r.machine.relay
    assert r.press("LONG").state == "Countdown" and "BY_HAND" in r.facts
    assert r.press("LONG").state == "Relay_off"


def test_hammering_a_locked_button_does_not_switch_on():
    r = locked("Relay_off")
    for _ in range(9):
        assert r.press("LONG").wait(1).state == "Relay_off"


def test_commands_pass_a_locked_button():
    r = locked("Armed")
    assert r.press("PERMON").state == "Switched_ON"
    assert r.press("ON").state == "Waiting"


# Asking


def test_the_printer_is_read_once_more_before_the_request():
    r = rig("Asking")
    assert not r.machine.ask
    assert r.read(COLD).machine.ask


@pytest.mark.parametrize("evidence", [e for e in EVERY_EVIDENCE if e != COLD], ids=str)
def test_a_last_reading_that_says_otherwise_holds_the_request_back(evidence):
    assert not rig("Asking").read(evidence).machine.ask


def test_an_unanswered_request_is_asked_again_at_the_next_good_reading():
    r = rig("Asking").read(COLD).press("ASKED").read(SILENT)
    assert not r.machine.ask
    r.say(COLD, 2)
    assert r.state == "Asking" and r.machine.ask


def test_a_refused_request_stays_and_is_told():
    r = rig("Asking").read(COLD)
    r.machine.note = "API key may not shut down"
    r.press("REFUSED_ASK").read(COLD)
    assert r.state == "Asking" and r.machine.ask
    assert "API key may not shut down" in r.machine.reason
    assert r.machine.led != rig("Asking").machine.led


def test_a_refusal_takes_an_unanswered_request_back():
    r = rig("Asking").read(COLD).press("ASKED", "REFUSED_ASK").say(SILENT, 9)
    assert r.state == "Cooling"


def test_a_refusal_after_204_takes_nothing_back():
    r = rig("Countdown").press("REFUSED_ASK")
    assert r.facts >= {"ASKED", "ACCEPTED"}


@pytest.mark.parametrize("event, state", [("SHORT", "Switched_ON"), ("ON", "Waiting")])
def test_an_on_while_the_request_is_under_way_comes_at_once_when_it_is_refused(event, state):
    r = rig("Asking").read(COLD).press("ASKED", event)
    assert r.state == "Countdown"
    assert r.press("REFUSED_ASK").wait(1).state == state


# shutdown_pi false


def quiet(**settings):
    return Rig(shutdown_pi=False, **settings)


def test_without_a_shutdown_cool_goes_straight_to_the_countdown():
    assert quiet().to("Cooling").say(COLD, 2).state == "Countdown"


def test_without_a_shutdown_30_s_idle_and_cool_cut_the_power():
    r = quiet().to("Countdown")
    assert r.say(COLD, 14).state == "Countdown"
    assert r.say(COLD, 1).state == "Relay_off"


def test_without_a_shutdown_silence_stops_the_timer_and_cuts_nothing():
    r = quiet().to("Countdown").say(COLD, 14).say_for(80, SILENT)
    assert r.state == "Countdown"
    assert r.say(COLD, 2).state == "Countdown"
    assert r.say(COLD, 1).state == "Relay_off"


def test_without_a_shutdown_an_hour_of_silence_cuts_nothing():
    r = quiet().to("Countdown").say(COLD, 14).say_for(3600, SILENT)
    assert r.state == "Countdown"


def test_without_a_shutdown_only_a_fresh_reading_cuts():
    r = quiet().to("Countdown").say(COLD, 14)
    assert r.wait(11).state == "Countdown"
    assert r.wait(600).state == "Countdown"


@pytest.mark.parametrize("evidence", [WARM, HOT_IDLE, HEATING], ids=str)
def test_without_a_shutdown_heat_starts_the_timer_anew(evidence):
    r = quiet().to("Countdown").say(COLD, 14).say(evidence)
    assert r.say(COLD, 15).state == "Countdown"
    assert r.say(COLD, 2).state == "Relay_off"


def test_without_a_shutdown_a_print_arms_again():
    assert quiet().to("Countdown").say(PRINTING).state == "Armed"


def test_without_a_shutdown_what_stays_warm_arms_again():
    """Deviation: the Countdown ends when the Pi is up, though nothing was asked."""
    r = quiet().to("Countdown").say(HEATING, 59)
    assert r.state == "Countdown"
    assert r.wait(2).state == "Armed"


@pytest.mark.parametrize(
    "event, state", [("SHORT", "Switched_ON"), ("ON", "Waiting"), ("PERMON", "Switched_ON")]
)
def test_without_a_shutdown_on_comes_at_once(event, state):
    assert quiet().to("Countdown").press(event).state == state


def test_without_a_shutdown_going_still_needs_silence():
    r = quiet().to("Going").say(SILENT, 4)
    assert r.state == "Countdown"
    assert r.say_for(64, SILENT).state == "Relay_off"


def test_the_quiet_timer_counts_from_the_countdown_on():
    """A printer lost while idle counts as cool between two readings: that wait is not counted."""
    r = quiet(blind_cool_s=20).to("Cooling").say(COLD).say(LOST, 4).wait(20)
    assert r.state == "Countdown"
    r.read(LOST, every=0)
    assert r.machine._quiet == 0


# Going


def test_off_while_the_pi_boots_waits_for_it():
    r = Rig().wait(1).press("OFF")
    assert r.state == "Going"
    r.say_for(110, SILENT)
    assert r.state == "Going"
    assert r.say_for(20, SILENT).state == "Countdown"


def test_off_with_the_pi_off_cuts_the_power():
    assert rig("Going").say_for(90, SILENT).state == "Relay_off"


def test_going_with_a_print_last_known_stays():
    r = rig("Armed").say(SILENT, 4).press("OFF")
    assert r.state == "Going"
    assert r.say_for(3600, SILENT).state == "Going"


def test_going_with_the_printer_never_known_stays():
    r = Rig().say(FORBIDDEN).wait(120).say_for(200, SILENT).press("OFF")
    assert r.state == "Going"
    assert r.say_for(600, SILENT).state == "Going"


def test_going_with_an_idle_pi_that_falls_silent_counts_down_once_it_may_have_booted():
    r = rig("Switched_ON").say(COLD, 2).say(SILENT).press("OFF")
    assert r.state == "Going"
    r.say_for(60, SILENT)
    assert r.state == "Going"  # a booting Pi is silent
    r.until("Countdown", SILENT, 60)


def test_going_with_an_idle_pi_waits_until_it_is_down():
    r = rig("Switched_ON").say(COLD, 10).say(SILENT).press("OFF").say(SILENT)
    assert r.state == "Going"
    assert r.say(SILENT, 3).state == "Countdown"


def test_going_then_up_arms():
    r = rig("Going").say(SILENT, 5)
    assert r.state == "Countdown"
    assert r.say(COLD).state == "Armed"


# A restart in place


@pytest.mark.parametrize("state", PUBLISHED)
def test_a_restart_changes_neither_state_nor_relay(state):
    r = rig(state)
    relay = r.relay
    r.restart().wait(3)
    # Asking knows nothing of the temperature any more: it reads it twice again first.
    assert (r.state, r.relay) == ("Cooling" if state == "Asking" else state, relay)


def test_a_restart_in_the_countdown_goes_on_counting_anew():
    r = rig("Countdown").say(SILENT, 20).restart()
    assert "ACCEPTED" in r.facts
    assert r.say_for(58, SILENT).state == "Countdown"
    assert r.say_for(6, SILENT).state == "Relay_off"


def test_a_restart_in_the_countdown_does_not_forget_that_the_pi_is_going_down():
    r = rig("Countdown").restart().say(COLD, 3)
    assert r.state == "Countdown"
    assert r.say_for(64, SILENT).state == "Relay_off"


def test_a_restart_keeps_the_on_to_come():
    r = rig("Countdown").press("SHORT").restart()
    assert r.machine.remembered == "Switched_ON"
    r.until("Relay_off", SILENT).restart()
    assert r.wait(4).state == "Relay_off"
    assert r.wait(2).state == "Switched_ON"


def test_a_restart_keeps_by_hand():
    r = Rig().by_hand().restart()
    assert r.say_for(117, UNKNOWN).state == "Countdown"
    assert r.wait(4).state == "Relay_off"


def test_a_restart_keeps_what_was_known_of_printing():
    r = rig("Armed").say(SILENT, 4).press("OFF").restart().say_for(600, SILENT)
    assert r.state == "Going"


def test_a_restart_does_not_let_the_relay_close_sooner():
    r = rig("Connected").press("FORCEOFF").restart().press("ON")
    assert not r.relay
    assert r.wait(5).state == "Waiting"


@pytest.mark.parametrize(
    "state", ["-", "i", "p", "0", "printing", "C,", "Waiting", "stuck", "x y"]
)
def test_an_unknown_state_is_an_error(state):
    with pytest.raises(ValueError, match="state"):
        Machine(Settings(), 0, state)


# Words and light


def test_reasons():
    assert rig("Relay_off").machine.reason == "off"
    assert rig("Switched_ON").machine.reason == "on for good"
    assert "looking for OctoPrint" in rig("Waiting").machine.reason
    assert "printing" in rig("Started").machine.reason
    r = rig("Cooling").say(("UP", False, 83.4, 0, False))
    assert r.machine.reason == "83 C, waiting for 50 C"
    r = rig("Cooling").say(LOST)
    assert r.machine.reason == "OctoPrint lost the printer"
    r = rig("Countdown").say(REFUSED, 70)
    assert r.machine.reason == "Pi does not halt: press long to cut the power"
    assert "WiFi" not in rig("Countdown").machine.reason
    assert "nothing is switched" in rig("Countdown").say(UNKNOWN).machine.reason


def test_the_countdown_counts():
    r = rig("Countdown").say(REFUSED).say(SILENT)
    assert r.machine.countdown_s == 45
    r.say(SILENT, 5)
    assert r.machine.countdown_s == 35
    assert "35 s" in r.machine.reason
    assert r.say_for(34, SILENT).relay
    assert not r.say_for(4, SILENT).relay
    assert r.machine.countdown_s is None


def test_a_countdown_that_will_not_cut_promises_nothing():
    """A print seen after the shutdown was accepted: staying on is all there is."""
    r = rig("Countdown").say(PRINTING).say_for(600, SILENT)
    assert r.state == "Countdown"
    assert "never off by itself" in r.machine.reason


@pytest.mark.parametrize("state, on, off", [
    ("Relay_off", 0, 0), ("Switched_ON", 0, 0), ("Waiting", 50, 3000), ("Connected", 3000, 3000),
    ("Started", 1000, 3000), ("Armed", 400, 3000), ("Cooling", 20, 1000), ("Asking", 20, 500),
    ("Countdown", 20, 150), ("Going", 500, 3000),
])  # fmt: skip
def test_led(state, on, off):
    assert [int(ms) for ms in rig(state).machine.led] == [on, off]


def test_refused_and_remembered_have_patterns_of_their_own():
    seen = {tuple(rig(state).machine.led) for state in PUBLISHED}
    assert tuple(rig("Asking").read(COLD).press("REFUSED_ASK").machine.led) not in seen
    assert tuple(rig("Countdown").press("SHORT").machine.led) not in seen


@pytest.mark.parametrize("state, seconds", [
    ("Relay_off", 0), ("Switched_ON", 15), ("Waiting", 15), ("Connected", 5), ("Started", 5),
    ("Armed", 5), ("Cooling", 5), ("Asking", 5), ("Countdown", 2), ("Going", 5),
])  # fmt: skip
def test_poll_interval(state, seconds):
    assert rig(state).machine.poll_ms == seconds * 1000


def test_since_is_when_the_state_was_entered():
    r = rig("Armed")
    assert r.press("LONG").machine.since == r.now


# The original's faults that a machine can have, by the number they have in the list of them


def test_off_while_off_does_not_switch_on():  # 1
    assert rig("Relay_off").press("OFF").wait(60).state == "Relay_off"


def test_one_lost_request_does_not_cut_a_live_pi():  # 3
    assert rig("Asking").read(SILENT).say(COLD, 5).relay
    assert rig("Asking").read(COLD).press("ASKED").read(SILENT).say(COLD, 60).relay
    assert rig("Countdown").say(SILENT).say(COLD, 70).relay


def test_wifi_loss_does_not_cut_a_live_pi():  # 4
    for state in ON_STATES:
        assert rig(state).say_for(600, UNKNOWN).relay
    assert rig("Countdown").say_for(7200, UNKNOWN).relay


def test_a_long_press_with_a_busy_pi_does_not_cut_the_print():  # 5
    for trouble in (BUSY, UNKNOWN, SILENT):
        r = rig("Armed").say(trouble, 2).press("LONG").say(trouble, 60)
        assert r.relay
        assert r.say(PRINTING).state == "Armed"


def test_a_print_started_before_the_request_is_noticed():  # 6
    r = rig("Asking").read(COLD_PRINT)
    assert r.state == "Armed" and not r.machine.ask


def test_a_lost_printer_is_not_read_as_cool():  # 7
    r = rig("Cooling").say_for(890, LOST)
    assert r.state == "Cooling" and not r.machine.ask


def test_a_missing_temperature_is_not_read_as_cool():  # 8
    assert rig("Cooling").say(NO_TEMPERATURE, 99).state == "Cooling"


def test_403_is_not_read_as_idle():  # 9
    assert rig("Armed").say(FORBIDDEN, 99).state == "Armed"
    assert rig("Cooling").say(FORBIDDEN, 99).state == "Cooling"


def test_one_lost_request_does_not_restart_the_job_timer():  # 10
    r = rig("Started")
    for _ in range(20):
        r.say(PRINTING, 2).say(BUSY)
    assert r.say(PRINTING, 2).state == "Armed"


def test_a_refused_shutdown_is_not_retried_without_a_word():  # 11
    r = rig("Asking").read(COLD).press("REFUSED_ASK")
    assert r.machine.reason != rig("Asking").machine.reason


def test_a_restart_does_not_forget_an_armed_plug():  # 12
    assert rig("Armed").restart().state == "Armed"


def test_a_restart_does_not_turn_an_off_plug_on():  # 13
    assert rig("Relay_off").restart().wait(60).state == "Relay_off"


def test_pi_busy_for_long_is_not_read_as_down():  # 16
    r = rig("Countdown").say_for(3600, BUSY)
    assert r.state == "Countdown"
    assert rig("Connected").say_for(600, BUSY).state == "Connected"


# Exhaustively

FEW = (COLD, HOT_IDLE, PRINTING, LOST, BUSY, SILENT, UNKNOWN)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [
    {}, {"shutdown_pi": False}, {"initial_state": "Switched_ON"},
], ids=["asks", "asks not", "on for good"])  # fmt: skip
def test_no_evidence_breaks_an_invariant(settings):
    search(acts=0, **settings)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"shutdown_pi": False}], ids=["asks", "asks not"])
def test_no_act_of_a_person_and_no_restart_breaks_an_invariant(settings):
    states, calls = search(alphabet=ALPHABET if DEEP else FEW, acts=1, **settings)
    assert states > 5000


@pytest.mark.slow
def test_no_two_acts_of_a_person_break_an_invariant():
    few = FEW if DEEP else (COLD, PRINTING, BUSY, SILENT)
    search(alphabet=few, person=PERSON if DEEP else ("SHORT", "LONG", "RESTART"), acts=2)


@pytest.mark.slow
def test_permon_for_hours_breaks_no_invariant(monkeypatch):
    # an hour as short as the other times of a search
    monkeypatch.setattr(sys.modules["statemachine"], "_HOUR_MS", 12000)
    few = (COLD, HOT_IDLE, COLD_PRINT, BUSY, SILENT)
    passed = set()

    class Watched(Machine):
        def tick(self, now):
            before = self.alias, self.hours
            fired = super().tick(now)
            if before[1]:
                passed.add((*before, self.alias, self.hours))
            return fired

    search(Watched, few, ("PERMON 2", "OFF", "LONG", "RESTART"), acts=2)
    assert {("Switched_ON", 2, "Switched_ON", 1), ("Switched_ON", 1, "Waiting", 1)} <= passed


def test_every_kind_of_event_is_posted_by_somebody():
    assert set(EVENTS) == set(PERSON) - {"RESTART"} | {"ASKED", "ACCEPTED", "REFUSED_ASK"}


def test_the_drawings_are_those_of_the_table():
    spec = importlib.util.spec_from_file_location("make_states", ROOT / "tools" / "make_states.py")
    make_states = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_states)
    assert not make_states.stale(), "run tools/make_states.py"


# What happens between two looks at the table --------------------------------------------------


@pytest.mark.parametrize("event", ["LONG", "OFF"])
def test_off_for_a_pi_that_is_down_before_its_silence_was_acted_upon(event):
    """A refusal and a press may come between two ticks."""
    r = play(rig("Asking"), ["ASKED"] + [SILENT] * 3).after(5).press("REFUSED_ASK", event)
    assert r.state == "Going"
    r = play(rig("Asking"), ["ASKED"] + [SILENT] * 3).after(5).press(event)
    assert r.state == "Asking"  # what was asked for comes to an end in the Countdown
    assert r.wait(1).state == "Countdown"


def test_a_request_is_known_only_where_one_is_made():
    assert not rig("Cooling").press("ASKED", "ACCEPTED").facts & {"ASKED", "ACCEPTED"}


def test_nothing_heard_counts_while_nothing_is_probed():
    r = rig("Waiting")
    r.machine.frozen = True
    assert r.say(COLD, 3).state == "Waiting"
    assert r.press("SHORT").state == "Switched_ON"  # a person does


def test_a_countdown_that_was_left_leaves_nothing_behind():
    r = rig("Waiting")
    r.by_hand()
    assert not r.press("SHORT").facts
    r = rig("Going").say(SILENT, 4)
    assert r.state == "Countdown" and {"GONE", "FROM_GOING"} <= r.facts
    assert not r.press("SHORT").facts & {"GONE", "FROM_GOING"}


def test_opening_the_relay_forgets_what_was_known():
    assert not rig("Armed").press("FORCEOFF").facts


def test_a_refusal_after_204_does_not_end_the_countdown():
    assert rig("Countdown").press("REFUSED_ASK").say(COLD, 3).state == "Countdown"


def test_a_refusal_ends_the_countdown_only_once_the_pi_is_heard():
    r = play(rig("Asking"), ["ASKED"] + [SILENT] * 4).press("REFUSED_ASK")
    assert r.say(SILENT, 2).state == "Countdown"
    assert r.say(COLD).state == "Armed"


@pytest.mark.parametrize("answer", ["ASKED", "ACCEPTED", "REFUSED_ASK"])
def test_by_hand_is_not_left_for_a_pi_that_comes_back(answer):
    r = rig("Waiting")
    r.by_hand()
    r.say(COLD).press("ASKED", answer).say(SILENT, 9)
    assert r.say(COLD, 3).state == "Countdown"


def test_by_hand_is_not_left_for_a_request_of_long_ago_without_effect():
    r = rig("Asking").press("ASKED").say(COLD, 12)
    assert r.state == "Asking"
    r.press("LONG", "LONG").say_for(90, COLD)
    assert r.state == "Countdown" and "BY_HAND" in r.facts


def test_without_a_shutdown_time_in_other_states_is_no_quiet_time():
    r = rig("Switched_ON", shutdown_pi=False).say(COLD, 20)
    r.press("SHORT").say(COLD).press("LONG").say(COLD, 4)
    assert r.state == "Countdown"
    r.say(COLD, 3).say_for(40, SILENT)
    assert r.say(COLD, 3).state == "Countdown"


def test_without_a_shutdown_the_interval_before_the_countdown_is_no_quiet_time():
    r = rig("Connected", shutdown_pi=False, blind_cool_s=62).say(WARM, 2).press("LONG").wait(1)
    assert r.state == "Cooling"
    r.say(LOST, 13)
    assert r.state == "Cooling"
    r.wait(3).say(LOST, every=1)
    assert r.state == "Countdown"
    r.say_for(40, SILENT)
    # Two seconds were quiet before. The second of two readings makes it idle and cool again, and
    # each after it counts for the 2 s before it
    readings = 0
    while r.state == "Countdown":
        r.say(COLD)
        readings += 1
    assert readings == 16
