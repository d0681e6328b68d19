"""Measures the firmware and prints a table, each row with the command that gives it.

heap    smallest heap that works and what is free when, on 32-bit MicroPython, each delivery
features   what is free on the 1 MB plug with each feature switched on and used
size    each module as .mpy, and which stay in the heap
stall   longest gap of a 10 ms ticker beside the firmware; executed lines between two awaits
button  from a release to the decision, in the same situations
load    requests and bytes per minute that OctoPrint gets, by state
off     from cool to relay off, beside the least that a Pi allows
"""

import argparse
import asyncio
import sys

from rich.console import Console
from rich.table import Table

import build
import fetch
from env import EnvError, say

from . import delivery, features, heap, house, modules, netns, report, size, stall

PARTS = "heap features size stall button load off".split()


def main():
    parser = argparse.ArgumentParser(
        "tools/bench.sh", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("part", nargs="*", help="any of the above; all if none is given")
    parser.add_argument("--quick", action="store_true", help="heap of the 1 MB plug, in seconds")
    parser.add_argument("--delivery", choices=list(delivery.DELIVERIES), help="heap of one only")
    parser.add_argument("--write", action="store_true", help="into docs/bench.md, too")
    given = parser.parse_args()
    unknown = [part for part in given.part if part not in PARTS]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    netns.enter(["-m", "bench", *sys.argv[1:]])
    if given.delivery in (None, "chip"):
        try:
            fetch.chip()
        except fetch.FetchError as why:
            if given.delivery:
                sys.exit(f"Not measured: {why}")
            say(f"The delivery chip is left out: {why}")
    try:
        built = delivery.prepare()
        for name in [
            name for name, each in delivery.DELIVERIES.items() if not each.program.exists()
        ]:
            del delivery.DELIVERIES[name]
        for each in delivery.DELIVERIES.values():
            each.shims = modules.shims(each.name)
        tables = measured(given, built)
    except (build.BuildError, fetch.FetchError, EnvError, heap.Failed) as wrong:
        sys.exit(f"Not measured: {wrong}")
    if given.write:
        report.write(tables)


def measured(given, built):
    """{part: rows} of the parts asked for, each shown as soon as it is there."""
    tables = {}
    parts = given.part or PARTS

    def done(part, rows):
        tables[part] = rows
        show(part, rows)

    if "heap" in parts and given.quick:
        done("heap", asyncio.run(heap.quick()))
    elif "heap" in parts:
        each = [given.delivery] if given.delivery else list(delivery.DELIVERIES)
        done("heap", asyncio.run(heap.all_of([delivery.DELIVERIES[name] for name in each])))
    if "features" in parts:
        done("features", asyncio.run(features.rows()))
    if "size" in parts:
        done("size", asyncio.run(size.rows(built)))
    if "stall" in parts or "button" in parts:
        for part, rows in zip(
            ("stall", "button"), stall.rows(asyncio.run(stall.measure())), strict=True
        ):
            if part in parts:
                done(part, rows)
    if "stall" in parts:
        done("steps", house.steps())
    if "load" in parts:
        done("load", house.load())
    if "off" in parts:
        done("off", house.off())
    return tables


def show(title, rows):
    table = Table(title=title, title_justify="left")
    for head in "what", "figure", "note", "command":
        table.add_column(head)
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 150).print(table)


if __name__ == "__main__":
    main()
