"""Each rule of the power state machine taken away: something must notice.

A rule that only comfort needs must be missed by the tests of behaviour; one that keeps the relay
from opening wrongly must be missed by a search, which does not know the rule it looks for. What
nobody can miss is listed as EQUIVALENT, with the reason.
"""

import multiprocessing
import os

import pytest

from machine_mutants import CONDITIONS, PAIRS, build, searched, table
from machine_mutants import tested as played
from machine_tools import DEEP, Machine

SAFETY = """
REFUSED is silent
BUSY is silent
UNKNOWN is silent
IDLE after one
COOL without target
COOL with a hot target
COOL with no target
COOL with no temperature
blind at once
blind after printing
blind after heating
cut between readings
HALTED after printing
HALTED without settling
always 45 s
45 s without a sign
UNKNOWN is a sign
a sign is kept
silence rule without a shutdown
quiet without waiting
quiet goes on over heat
old evidence counts
runs survive a gap
a run is not broken
a run keeps its first time
BOOTED at once
a refusal is not heard
ASKED is kept
ACCEPTED is kept
printing is forgotten in Countdown
printing is not remembered
ask without a reading here
ask whatever was read
ask when not cool
ask by hand when hot
ask by hand when printing
negate HALTED of Countdown: HALTED > Relay_off
drop BY_HAND of Countdown: OVERDUE BY_HAND > Relay_off
negate BY_HAND of Countdown: OVERDUE BY_HAND > Relay_off
""".strip().split("\n")

EQUIVALENT = {
    # COOL is gone when the Pi is down, and what was not asked goes back to Cooling one row before;
    # without both rows a search notices: PAIRS
    "drop ASKED of Asking: PI_DOWN ASKED > Countdown",
    # the quiet time grows only while both hold, and the reading that fills it fires the row
    "quiet without IDLE and COOL now",
    # the relay does not close sooner in any case: "the relay closes at once"
    "wakes at once",
}


def _searched(names):
    return names, searched(build(*names))


def _tested(names):
    return names, played(build(*names))


def _survivors(check, jobs):
    # Where files are tested side by side already, one process is enough
    processes = 1 if os.environ.get("PYTEST_XDIST_WORKER") else None
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        return [names for names, killer in pool.imap_unordered(check, jobs) if killer is None]


def test_what_is_not_changed_passes():
    assert searched(Machine) is None
    assert played(Machine) is None


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_searches_miss_every_rule_that_keeps_the_relay_closed():
    assert (
        _survivors(_searched, [(name,) for name in SAFETY] + [tuple(pair) for pair in PAIRS]) == []
    )


PARTS = 4  # so that two processes of pytest have the same to do


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(PARTS))
def test_the_tests_of_behaviour_miss_every_other_rule(part):
    names = [name for name in list(CONDITIONS) + list(table()) if DEEP or name not in SAFETY]
    names = names[part::PARTS]
    missed = {name for (name,) in _survivors(_tested, [(name,) for name in names])}
    assert missed == EQUIVALENT & set(names)
