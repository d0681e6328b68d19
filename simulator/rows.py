"""The firmware's state table in words, and which of its rows the plug says fired last.

The words are those of docs/states.md (tools/make_states.py) with what a person does added. The
plug tells where in its table a row begins; what is built for MicroPython has that table, and the
name under which the machine keeps the place, in its own short form.
"""

import ast
from typing import Any

from . import flash

_DEEDS = {
    "SHORT": "a short press",
    "LONG": "a long press",
    "INSIST": "a second long press within 15 s",
    "ON": "the command ON",
    "OFF": "the command OFF",
    "PERMON": "the command PERMON",
    "FORCEOFF": "the command FORCEOFF",
    "PI_DOWN": "the Pi refuses or is silent",
    "PRINTING": "something is being printed",
    "IDLE": "nothing is being printed",
    "HOT": "the job is hot and old enough to count",
    "COOL": "everything is cool",
    "SHUTS_DOWN": "the Pi is to be shut down",
    "HALTED": "the Pi has been silent through the settle time",
    "OVERDUE": "the longest time for that is over",
    "BY_HAND": "a person insisted",
    "REFUSED": "the request was refused",
    "GONE_THEN_UP": "the Pi was down and is up again",
    "NO_EFFECT": "the Pi is still up after the longest time",
    "BOOTED": "the relay has been on long enough to boot",
    "WAS_IDLE": "nothing was printed when last known",
    "CALM": "it has not just gone off",
    "WAKE": "an “on” was remembered",
    "EXPIRED": "the hours of PERMON are over",
    "!ASKED": "no request has gone out",
    "!ACCEPTED": "no request was accepted",
    "!BY_HAND": "nobody insisted",
    "!COOL": "it is no longer cool",
    "!ANSWERED": "OctoPrint has not answered since the relay closed",
}

# What a state is, for who sees its name for the first time.
_MEANS = {
    "Relay_off": "off",
    "Switched_ON": "on for good",
    "Waiting": "looking for OctoPrint",
    "Connected": "OctoPrint answers",
    "Started": "a job runs",
    "Armed": "off after this job",
    "Cooling": "job over, cooling",
    "Asking": "asking the Pi to halt",
    "Countdown": "the Pi goes down",
    "Going": "off once the Pi is down",
}

_DOES = {"remember": "and on again after the cut", "forget": "for good"}


def _states() -> Any:
    return flash._tool("make_states")


def _word(guard):
    if guard in _DEEDS:
        return _DEEDS[guard]
    return _states().words(guard)


def _when(guards):
    events = guards[0].split("|")
    if "LONG" in events and "INSIST" in events:
        events.remove("INSIST")  # is a LONG, too
    first = " or ".join(_word(event) for event in events)
    return ", and ".join([first, *(_word(guard) for guard in guards[1:])])


def states():
    """[{"name", "published", "means", "on_ms", "off_ms"}] in the table's order."""
    tools = _states()
    own, _ = tools.states(tools.firmware())
    return [
        {
            "name": name,
            "published": published,
            "means": _MEANS[name],
            "on_ms": int(on),
            "off_ms": int(off),
        }
        for name, published, _, on, off, _ in own
    ]


def on_state(initial_state):
    """The state that a plug with this setting goes to when it is switched on."""
    waits = initial_state in ("Waiting_for_print_activity", "last")
    return "Waiting" if waits else "Switched_ON"


def rows(switched_on="Waiting"):
    """[{"from", "to", "aims", "events", "when", "only_if", "also"}] in the table's order.

    `from` is a state's short name or "any on-state", `aims` the states it may lead to: none where
    that depends on what is remembered. `events`: the table's own words for what happens, `when`
    the whole row in words, `only_if` the part after the event, `also` what else is done.
    switched_on: what on_state() says of this plug.
    """
    tools = _states()
    found = []
    for block, guards, target, more in tools.rows(tools.firmware()):
        to = "the same state" if target == "stay" else target
        to = to.replace("remembered/", "what is remembered, else ").replace(
            "on_state", switched_on
        )
        word = more.split(" ")[0]
        found.append(
            {
                "from": block,
                "to": "what is remembered" if target == "remembered" else to,
                "aims": tools.aims(target.replace("on_state", switched_on)),
                "events": guards[0].split("|"),
                "when": _when(guards),
                "only_if": " and ".join(_word(guard) for guard in guards[1:]),
                "also": _DOES.get(word, ""),
            }
        )
    return found


def places(table):
    """{where a row begins in `table`: its number in rows()}."""
    found, at = {}, 0
    for line in table.split("\n"):
        if " > " in line:
            found[at] = len(found)
        at += len(line) + 1
    return found


def told_by(runtime):
    """(what the machine calls the place of the row that fired, places() of its table).

    For "micropython" that is what tools/build.py makes of it; it takes half a second.
    """
    if runtime == "cpython":
        return "fired", places(_states().firmware().TABLE)
    build = flash._tool("build")
    packer = build.packer_of_all()
    for node in ast.walk(ast.parse(packer.module("statemachine"))):
        text = getattr(node, "value", None)
        if isinstance(text, str) and "\nany on-state:\n" in text:
            return packer._public["fired"], places(text)
    raise LookupError("the built firmware has no state table")
