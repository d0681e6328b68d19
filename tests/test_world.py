"""The world search: a plug lives its life while an adversary spoils answers, network and Pi.

The model and the list of what is allowed stand in machine_world.py; docs/safety.md explains the
list to users. With DEEP=1 in the environment it searches one deviation deeper and wanders further.
"""

import itertools
import random

import pytest

import machine_search
import machine_world
from machine_tools import (
    BUSY,
    COLD,
    COLD_PRINT,
    DEEP,
    EVERY_EVIDENCE,
    HOT_IDLE,
    PRINTING,
    ROOT,
    SILENT,
    WRAP,
    Machine,
    abstract,
    clone,
)  # fmt: skip
from machine_world import (
    EVERYTHING,
    EXCEPTIONS,
    HAPPENINGS,
    UNDER_WAY,
    newborn,
    one_job,
    search,
    wander,
)  # fmt: skip

REAL_TIMES = dict(
    min_job_s=300, shutdown_wait_s=30, halt_settle_s=45, shutdown_max_s=120, pi_down_s=15,
    boot_s=120, blind_cool_s=900, poll_s=5, poll_idle_s=15, wifi_settle_s=180,
)  # fmt: skip
# (proxy, firewall, network gone without a sign); the other four when searching deep
PIS = [(0, 0, 0), (1, 0, 1), (0, 1, 1), (1, 1, 0)]
if DEEP:
    PIS = list(itertools.product((0, 1), repeat=3))
KINDS_OF_PI = [
    pytest.param(dict(proxy=bool(proxy), wall=bool(wall), quick=bool(quick)), id="-".join(
        name for name, on in (("proxy", proxy), ("firewall", wall), ("quick", quick)) if on
    ) or "plain")
    for proxy, wall, quick in PIS
]  # fmt: skip


# Nothing outside the list


@pytest.mark.slow
@pytest.mark.parametrize("world", KINDS_OF_PI)
def test_no_two_deviations_cut_a_live_pi_or_a_print(world):
    lives, found = search(3 if DEEP else 2, world=world)
    assert lives > 10_000
    assert found <= set(EXCEPTIONS)


@pytest.mark.slow
@pytest.mark.parametrize("shutdown_pi", [True, False])
def test_no_third_deviation_between_cooling_and_off_cuts_a_live_pi_or_a_print(shutdown_pi):
    last = ("Cooling", "Asking", "Countdown")
    late = [life for life in one_job(shutdown_pi=shutdown_pi) if life.machine.alias in last]
    search(3, seeds=late, within=last, menu=EVERYTHING if DEEP else UNDER_WAY)


def test_a_locked_button_weakens_no_invariant():
    _, found = search(1, button_lock=True)
    assert found <= search(1)[1]
    few = (COLD, HOT_IDLE, COLD_PRINT, BUSY, SILENT)
    machine_search.search(Machine, few, ("OFF", "LONG", "SHORT"), button_lock=True)


@pytest.mark.slow
def test_without_a_shutdown_two_deviations_cut_no_print():
    _, found = search(2, shutdown_pi=False)
    assert found <= {"unseen print", "late print"}


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, REAL_TIMES], ids=["short times", "real times"])
def test_random_lives_cut_no_live_pi_and_no_print(settings):
    for seed in range(200 if DEEP else 4):
        wander(seed, 100_000 if DEEP else 50_000, **settings)


@pytest.mark.slow
def test_random_lives_full_of_trouble_without_a_shutdown_cut_no_print():
    for seed in range(2):
        found = wander(seed, 30_000, rate=0.15, shutdown_pi=False, **REAL_TIMES)
        assert found <= {"unseen print", "late print"}


def test_one_deviation_spends_the_same_before_the_clock_wraps():
    """The life of one job begins at every poll's distance from the wrap of ticks_ms."""
    plain = search(1)
    for before in range(2000, 50_000, 6000):
        seeds = list(one_job(start=WRAP - before))
        assert search(1, seeds=seeds) == plain


# What is allowed is reached: an exception that nothing needs would hide something


def play(story, world=None, **settings):
    """A life of one job in which things happen where `story` says. The exceptions reached.

    A line reads `State: what`; the line waits for that state to be entered (or still held) and
    happens before its next poll. `State: wait 20` lets that many seconds pass there.
    """
    life = newborn(world=world, **settings)
    lines = [line.strip().split(": ") for line in story.strip().split("\n")]
    printed = False
    waited = 0
    for _ in range(400):
        if lines and lines[0][0] == life.machine.alias:
            what = lines[0][1]
            if what.startswith("wait "):
                waited += life.machine.poll_ms
                if waited >= int(what[5:]) * 1000:
                    lines.pop(0)
                    waited = 0
            else:
                lines.pop(0)
                if what in HAPPENINGS:
                    HAPPENINGS[what](life.world)
                elif what == "lie":
                    life.passes(life.machine.poll_ms)
                    if life.read(COLD):
                        life.request()
                    life.passes(0)
                    continue
                else:
                    life.post(what)
        if life.machine.alias == "Connected" and not printed:
            printed = True
            HAPPENINGS["print"](life.world)
            life.world.job_ms = 4 * life.world.pace
        life.step()
        if not life.machine.relay:
            break
    assert not lines, "never came to " + str(lines)
    return life.found, life


STORIES = {
    "cut off": """
        Asking: no halt
        Countdown: link""",
    "slow halt": """
        Asking: slow""",
    "slow reboot": """
        Asking: no halt
        Countdown: slow
        Countdown: reboot""",
    "told to go": """
        Connected: link
        Waiting: OFF""",
    "slow boot": """
        Waiting: slow
        Waiting: OFF""",
    "unseen print": """
        Asking: card""",
    "late print": """
        Asking: no halt
        Countdown: link
        Countdown: print""",
    "three lies": """
        Started: end
        Started: print
        Armed: wait 4
        Armed: lie
        Armed: lie
        Asking: lie""",
}


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_each_exception_is_reached(name):
    found, life = play(STORIES[name])
    assert found == {name} or name == "late print" and found == {name, "cut off"}
    assert not life.machine.relay or name == "three lies"


def test_a_model_that_forgives_nothing_finds_every_exception(monkeypatch):
    """The judge does judge: without its list the same stories fail."""
    for name, story in STORIES.items():
        monkeypatch.setattr(machine_world, "FORGIVEN", set(EXCEPTIONS) - {name})
        with pytest.raises(machine_search.Broken):
            play(story)


def test_the_page_for_users_explains_each_exception():
    page = (ROOT / "docs" / "safety.md").read_text()
    for name in EXCEPTIONS:
        assert "| %s |" % name in page


# It does its work


def _lives(budget, every, seed=1, **settings):
    """A sample of the lives that the search meets."""
    chance = random.Random(seed)
    kept = []

    def visit(life):
        if chance.random() * every < 1:
            kept.append(life)

    search(budget, visit=visit, **settings)
    return kept


@pytest.fixture(scope="module")
def lives():
    return _lives(2, 20)


def _mend(world):
    world.pi = world.octo = "up"
    world.link = world.wifi = world.connected = world.can_halt = True
    world.wifi_ms = world.times.wifi_settle
    world.job = ""
    world.heat = 0
    world.preheat = world.slow = world.reboots = False


@pytest.mark.slow
def test_idle_cool_and_reachable_the_power_goes_off(lives):
    """From wherever two deviations lead, as long as the plug is still to switch off."""
    tried = 0
    for life in lives:
        if life.machine.alias not in ("Armed", "Cooling", "Asking"):
            continue
        tried += 1
        life = life.copy()
        _mend(life.world)
        begin = life.now
        while life.machine.relay:
            life.step()
            passed = (life.now - begin) % WRAP
            assert passed <= (life.machine.s.halt_settle_s + 60) * 1000, life.story()
    assert tried > 100


@pytest.mark.slow
def test_three_longs_cut_the_power_whatever_is_heard(lives):
    tried = 0
    for life in lives[::5]:
        for evidence in EVERY_EVIDENCE:
            m = clone(life.machine)
            if not m.relay:
                continue
            tried += 1
            now = life.now
            for _ in range(3):
                m.observe(evidence, now)
                m.tick(now)
                m.post("LONG", now)
                if not m.relay:
                    break
                now = (now + 7000) % WRAP
            assert not m.relay, (life.story(), evidence)
    assert tried > 1000


@pytest.mark.slow
def test_one_short_means_on_for_good_at_once_or_remembered(lives):
    tried = 0
    for life in lives:
        m = clone(life.machine)
        if m.relay and m.alias != "Switched_ON":
            tried += 1
            m.post("SHORT", life.now)
            assert "Switched_ON" in (m.alias, m.remembered) and m.relay, life.story()
    assert tried > 300


@pytest.mark.slow
def test_the_countdown_always_ends_when_the_pi_is_up():
    counting = _lives(2, 4) + _lives(2, 4, shutdown_pi=False)
    counting = [life for life in counting if life.machine.alias == "Countdown"]
    up = [evidence for evidence in EVERY_EVIDENCE if evidence[0] == "UP"]
    for life in counting:
        for evidence in up:
            m = clone(life.machine)
            now = life.now
            for _ in range(m.s.shutdown_max_s // 2 + 8):
                now = (now + 2000) % WRAP
                m.observe(evidence, now)
                m.tick(now)
                if m.alias != "Countdown":
                    break
            assert m.alias != "Countdown", (life.story(), evidence)
    assert len(counting) > 300


def test_equal_abstractions_behave_alike():
    """The search merges machines by `abstract`: two of the same must go the same way."""
    chance = random.Random(7)
    first = {}
    pairs = 0

    def visit(life):
        nonlocal pairs
        key = abstract(life.machine)
        if key not in first:
            first[key] = life.machine, life.now
        elif chance.random() < 0.3 and pairs < 1500:
            pairs += 1
            one, then = first[key]
            one = clone(one)
            two = clone(life.machine)
            now = life.now
            for _ in range(25):
                ms = one.poll_ms or 4000
                then += ms
                now += ms
                evidence = chance.choice((COLD, COLD, SILENT, SILENT, PRINTING) + EVERY_EVIDENCE)
                for m, at in ((one, then % WRAP), (two, now % WRAP)):
                    m.tick(at)
                    m.observe(evidence, at)
                    m.tick(at)
                assert one.alias == two.alias
                assert one.ask == two.ask
                assert abstract(one) == abstract(two)

    search(1, visit=visit)
    first.clear()
    search(1, visit=visit, shutdown_pi=False)
    assert pairs > 300
