"""Runs the searches over the power state machine and writes what they covered into docs/safety.md.

    .venv/bin/python tools/make_safety.py

Counts only, no times. A search that finds the power cut wrongly ends this with its story.
"""

import sys

from env import ROOT, say

sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "firmware")]

import machine_mutants
import machine_search
import machine_world

PAGE = ROOT / "docs/safety.md"
START, END = "<!-- measured -->\n", "<!-- /measured -->"
STEPS = 100_000  # of each random life


def rows():
    """(what, how much) of each search."""
    for shutdown in True, False:
        told = "" if shutdown else ", `shutdown_pi` off"
        say(f"Every state, press and evidence{told} …")
        nodes, calls = machine_search.search(shutdown_pi=shutdown)
        yield f"states reached{told}", f"{nodes:,}, by {calls:,} steps"
    kinds = {
        "a Pi that serves OctoPrint itself": {},
        "a Pi with a proxy": {"proxy": True},
        "a Pi behind a firewall": {"wall": True},
        "a Pi whose network goes first": {"quick": True},
    }
    for name, world in kinds.items():
        say(f"Two deviations, {name} …")
        lives, found = machine_world.search(2, world=world)
        yield f"two deviations, {name}", f"{lives:,} lives; {_found(found)}"
    say("Random lives …")
    found = set()
    for seed in range(4):
        found |= machine_world.wander(seed, STEPS)
    yield "random lives", f"{4 * STEPS:,} steps; {_found(found)}"
    taken = len(machine_mutants.table()) + len(machine_mutants.CONDITIONS)
    yield "rules taken away, one at a time", f"{taken}, and {len(machine_mutants.PAIRS)} pairs"


def _found(names):
    return f"{len(names)} of the exceptions above, nothing else"


def main():
    table = "| what | how much |\n|---|---|\n"
    table += "".join(f"| {what} | {much} |\n" for what, much in rows())
    table += "\nBy `.venv/bin/python tools/make_safety.py`.\n"
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(START)
    after = rest.split(END)[1]
    PAGE.write_text(before + START + "\n" + table + "\n" + END + after, encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
