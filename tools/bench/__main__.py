"""python -m bench: see tools/bench.sh."""

import argparse
import asyncio
import sys

import build
import fetch
from env import EnvError
from rich.console import Console
from rich.table import Table

from . import delivery, heap, modules

PARTS = "heap size stall button load off".split()


def main():
    parser = argparse.ArgumentParser("tools/bench.sh", description=__doc__)
    parser.add_argument("part", nargs="*", help="of " + " ".join(PARTS) + "; all if none is given")
    parser.add_argument("--quick", action="store_true", help="roughly, in seconds")
    given = parser.parse_args()
    delivery.prepare()
    for each in delivery.DELIVERIES.values():
        each.shims = modules.shims(each.name)
    show("heap", asyncio.run(heap.quick()))


def show(title, rows):
    table = Table(title=title, title_justify="left")
    for head in "what", "figure", "note", "command":
        table.add_column(head)
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 140).print(table)


if __name__ == "__main__":
    main()
