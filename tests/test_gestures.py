"""The button: no press is lost or misread, however it bounces and however late it is seen."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "firmware"))

from gestures import Gestures  # noqa: E402

PERIOD = 2**30  # of ticks_ms
SETTINGS = SimpleNamespace(long_press_ms=600, portal_press_ms=5000)
STEP = 10  # ms between two looks at the button


class Button:
    """A button that is looked at every `STEP` ms, from `start` on."""

    def __init__(self, start=0, settings=SETTINGS):
        self.gestures = Gestures(settings)
        self.now = start
        self.heard = []
        self.held = []  # what held_ms said, look by look

    def look(self, pressed, after=STEP):
        self.now = (self.now + after) % PERIOD
        gesture = self.gestures.sample(pressed, self.now)
        if gesture:
            self.heard.append(gesture)
        self.held.append(self.gestures.held_ms)
        return gesture

    def stay(self, pressed, ms):
        for _ in range(ms // STEP):
            self.look(pressed)

    def press(self, ms):
        self.stay(False, 100)
        self.stay(True, ms)
        self.stay(False, 100)
        return self.heard


STARTS = [0, PERIOD - 150, PERIOD - 1000, PERIOD - 20000, PERIOD // 2 - 300]


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize(
    ("ms", "gesture"),
    [
        (50, "SHORT"),
        (200, "SHORT"),
        (590, "SHORT"),
        (600, "LONG"),
        (4990, "LONG"),
        (5000, "HOLD"),
        (14990, "HOLD"),
        (15000, "HOLD_LONG"),
        (60000, "HOLD_LONG"),
    ],
)
def test_how_long_the_button_was_down_decides_even_across_the_wrap(ms, gesture, start):
    assert Button(start).press(ms) == [gesture]


def test_the_limits_are_the_settings():
    settings = SimpleNamespace(long_press_ms=100, portal_press_ms=300)
    assert [Button(0, settings).press(ms) for ms in (90, 100, 290, 300)] == [
        ["SHORT"],
        ["LONG"],
        ["LONG"],
        ["HOLD"],
    ]


def test_limits_changed_while_the_plug_runs_count_at_once():
    settings = SimpleNamespace(long_press_ms=600, portal_press_ms=5000)
    button = Button(0, settings)
    assert button.press(400) == ["SHORT"]
    settings.long_press_ms = 300
    assert button.press(400) == ["SHORT", "LONG"]


def test_nothing_is_told_before_the_button_is_let_go():
    button = Button()
    button.stay(True, 20000)
    assert button.heard == []
    button.stay(False, 100)
    assert button.heard == ["HOLD_LONG"]


def test_a_button_that_is_never_touched_says_nothing():
    button = Button(PERIOD - 5000)
    button.stay(False, 10000)
    assert button.heard == []
    assert set(button.held) == {0}


@pytest.mark.parametrize("spike", [1, 10, 20, 29])
def test_a_spike_shorter_than_the_debounce_time_is_no_press(spike):
    button = Button()
    for _ in range(50):
        button.look(False, 50)
        button.look(True, 1)
        button.look(True, spike - 1)
        button.look(False, 1)
    assert button.heard == []


@pytest.mark.parametrize("gap", [1, 10, 20, 29])
def test_a_contact_that_opens_for_a_moment_does_not_cut_a_press_in_two(gap):
    button = Button()
    button.stay(True, 400)
    button.look(False, 1)
    button.look(False, gap - 1)
    button.stay(True, 400)
    button.stay(False, 100)
    assert button.heard == ["LONG"]


bounces = st.lists(st.integers(1, 9), max_size=6).filter(lambda times: sum(times) < 30)


@given(down=bounces, up=bounces, ms=st.integers(5, 2000), start=st.integers(0, PERIOD - 1))
def test_bouncing_at_both_ends_makes_no_second_press(down, up, ms, start):
    ms = ms * STEP
    # How a bouncing contact is counted is its own affair, within the time it bounces
    assume(all(abs(ms - limit) > 60 for limit in (600, 5000, 15000)))
    button = Button(start)
    button.stay(False, 100)
    for i, after in enumerate(down):
        button.look(i % 2 == 0, after)
    button.stay(True, ms)
    for i, after in enumerate(up):
        button.look(i % 2 == 1, after)
    button.stay(False, 100)
    expected = (
        "SHORT" if ms < 600 else "LONG" if ms < 5000 else "HOLD" if ms < 15000 else "HOLD_LONG"
    )
    assert button.heard == [expected]


@given(presses=st.lists(st.integers(5, 200), max_size=8), start=st.integers(0, PERIOD - 1))
def test_every_press_is_told_once_and_in_order(presses, start):
    button = Button(start)
    for press in presses:
        button.press(press * STEP)
    assert button.heard == ["SHORT" if press < 60 else "LONG" for press in presses]


@given(looks=st.lists(st.tuples(st.booleans(), st.integers(0, 3000)), max_size=60))
def test_a_gesture_is_told_only_when_the_button_is_up_and_was_down_before(looks):
    button = Button()
    down_since = None
    for pressed, after in looks:
        gesture = button.look(pressed, after)
        if gesture:
            assert not pressed
            assert down_since is not None
            down_since = None
            assert button.gestures.held_ms == 0
        elif pressed and down_since is None:
            down_since = button.now
        assert button.gestures.held_ms >= 0


def test_a_press_that_was_looked_at_late_is_as_long_as_it_was():
    button = Button()
    button.stay(False, 100)
    for _ in range(4):
        button.look(True, 200)  # the loop was busy
    button.look(False, 200)
    button.look(False, 200)
    assert button.heard == ["LONG"]


def test_one_look_proves_nothing_however_late_it_comes():
    button = Button()
    button.stay(False, 100)
    button.look(True, 5000)  # noise, after the loop stood still for five seconds
    button.stay(False, 100)
    button.look(True, 5000)
    button.look(True, 20)
    button.stay(False, 100)
    assert button.heard == []


@pytest.mark.parametrize(("ms", "heard"), [(29, []), (30, ["SHORT"])])
def test_the_debounce_time_itself_is_enough(ms, heard):
    button = Button()
    button.stay(False, 100)
    button.look(True)
    button.look(True, ms)
    button.stay(False, 100)
    assert button.heard == heard


def test_held_ms_follows_the_press_and_is_zero_without_one():
    button = Button()
    button.press(2000)
    held = [ms for ms in button.held if ms]
    assert held == sorted(held)
    assert abs(max(held) - 2000) <= 60
    assert button.held[0] == button.held[-1] == 0
    assert button.held.index(held[0]) * STEP - 100 <= 50  # seen soon after the press began


def test_a_button_held_while_the_plug_starts_counts_from_the_first_look():
    button = Button()
    button.stay(True, 700)
    button.stay(False, 100)
    assert button.heard == ["LONG"]


def test_a_button_held_for_a_week_is_still_held_and_still_one_press():
    button = Button()
    button.stay(True, 100)
    for _ in range(7 * 24 * 60):
        button.look(True, 60_000)
        assert button.held[-1] >= button.held[-2] > 0
    button.stay(False, 100)
    assert button.heard == ["HOLD_LONG"]


def test_a_clock_that_steps_back_makes_no_press_of_what_was_none():
    button = Button()
    button.stay(False, 100)
    button.look(False, PERIOD - 50)
    button.stay(False, 100)
    assert button.heard == []
    button.look(True)
    button.look(True, PERIOD - 5000)
    button.stay(True, 200)
    button.stay(False, 100)
    assert button.heard == ["SHORT"]
