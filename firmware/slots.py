"""Which slot an update goes to, and how one on trial is confirmed. Loaded for one call and let go.

trial.py at the root, which is never updated, chooses the slot by the line in /slot and says what
it means. It starts the watchdog for a slot on trial: one whose loop stops is started anew, and
given up after its third start. The watchdog cannot be stopped, so it is fed until the chip resets.
"""

import os
import sys

_STARTS = const(3)  # without being confirmed, then back to the other
_LONGEST = const(10)  # minutes that a slot on trial may be without a network


def other():
    """The slot that does not run: where an update goes."""
    return "a" if sys.path[0][-1:] == "b" else "b"


def activate(slot):
    """Have that slot run from the next start on, on trial."""
    _write("%s? %d" % (slot, _STARTS))


def watchdog(first):
    """What feeds the watchdog, if one is to run or runs already, else None. first: see Plug."""
    mark = _line()[1:2]
    if mark == "?" or mark == "!" and not first:
        from machine import WDT

        return WDT().feed
    return None


def prove(served, minutes):
    """Called each minute: a slot that runs, with a network or its own access point, is confirmed.

    SystemExit: there was none for so long that main.py is to go back to the other slot.
    """
    line = _line()
    if line[1:2] == "?":
        if served:
            _write(line[0] + "!")
            print("slot confirmed")
        elif minutes >= _LONGEST:
            raise SystemExit("no network")


def _line():
    try:
        with open("slot") as file:
            return file.read(8)
    except (OSError, ValueError):
        return ""


def _write(text):
    with open("slot.new", "w") as file:
        file.write(text)
    os.rename("slot.new", "slot")
