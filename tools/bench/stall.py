"""The longest gap of a 10 ms ticker beside the firmware, and how long a press takes, whatever the
network does.
"""

import asyncio
import contextlib
import statistics

from . import faults, heap, visitor
from .delivery import DELIVERIES, K
from .plant import Broker, Http, Names, Plug

# Nobody is at this address, and nothing comes back from it: see netns.py.
BLACK_HOLE = "192.0.2.1"


class Case:
    """What is wrong. octoprint: handler or bytes, or "refused", "black hole"; broker: handler, or
    "restarts"; names: False if the name server is silent; saves: settings are saved; visited:
    the portal is open, and somebody looks at all of it and saves."""

    def __init__(self, name, octoprint=None, broker=None, names=True, saves=False, visited=False):
        self.name, self.octoprint, self.broker = name, octoprint, broker
        self.names, self.saves, self.visited = names, saves, visited


CASES = (
    Case("healthy"),
    Case("OctoPrint's port refuses", "refused"),
    Case("OctoPrint is black-holed", "black hole"),
    Case("accepts, never answers", faults.hang),
    Case("one byte per 200 ms", faults.drip),
    Case("endless head", faults.endless_head),
    Case("endless body", faults.endless_body),
    Case("garbage", faults.garbage),
    Case("redirect loop", faults.REDIRECT),
    Case("connection reset", faults.reset),
    Case("DNS silent", names=False),
    Case("broker never says CONNACK", broker=faults.mute),
    Case("half a packet, then silence", broker=faults.half_packet),
    Case("packet of 268 MB", broker=faults.giant),
    Case("broker restarts", broker="restarts"),
    Case("settings saved", saves=True),
    Case("portal open, visited", visited=True),
)


class Place:
    """The servers of one case, running. `config`: what the plug has to be told."""

    def __init__(self, case):
        self.case = case

    async def __aenter__(self):
        case = self.case
        self.http, self.broker = await Http().start(), await Broker().start()
        self.config = heap.CONFIG | {
            "octoprint_host": "127.0.0.1",
            "octoprint_port": self.http.port,
            "mqtt_host": "127.0.0.1",
            "mqtt_port": self.broker.port,
            "probe_port": self.http.port,
            "long_press_ms": 100,
        }
        self.guest = None
        if case.visited:
            self.config |= visitor.CONFIG
            self.guest = asyncio.create_task(self._visit())
        if not case.names:
            self.config |= {"octoprint_host": "octopi.nowhere", "mqtt_host": "broker.nowhere"}
        if case.octoprint == "refused":
            self.http.close()
        elif case.octoprint == "black hole":
            self.config["octoprint_host"] = BLACK_HOLE
        elif case.octoprint:
            self.http.answer = lambda path: case.octoprint
        if case.broker == "restarts":
            self.guest = asyncio.create_task(self._restart())
        elif case.broker:
            self.broker.handle = case.broker
        return self

    async def _restart(self):
        port = self.broker.port
        while True:
            await asyncio.sleep(3)
            self.broker.close()
            await self.broker.server.wait_closed()
            await asyncio.sleep(1)
            await self.broker.start(port)

    async def _visit(self):
        async with visitor.Visitor() as guest:
            await guest.enter()
            while True:
                await guest.look()
                await guest.save(cool_below_c=str(40 + guest.seen % 10))

    async def __aexit__(self, *_):
        if self.guest:
            self.guest.cancel()
        self.http.close()
        self.broker.close()


class Seen:
    """Gaps: the longest in ms of each second. presses: ms from release to decision."""

    def __init__(self):
        self.gaps, self.presses, self.moves = [], [], 0
        self.restart = 0.0  # ms for which a restart in place did not look at the button

    def said(self, text):
        words = text.split()
        if words[:1] == ["t"]:
            self.gaps.append(int(words[1]) / 1000)
        elif words[:1] == ["r"]:
            self.restart = int(words[1]) / 1000
            self.gaps.clear()  # of what it loads, too
        elif words[:1] == ["b"]:
            self.presses.append(int(words[1]) / 1000)
            self.moves += len(words) > 2


async def watch(case, seconds):
    """Seen of the whole firmware in that case; raises heap.Failed."""
    seen = Seen()
    of = DELIVERIES["1mb"]
    files = {"saves": "-1" if case.visited else str(int(case.saves))}
    async with Place(case) as place:
        plug = Plug(of, 64 * K, place.config, "stall", said=seen.said, files=files)
        async with plug:
            await asyncio.sleep(seconds)
            if plug.trouble or not seen.gaps:
                raise heap.Failed(plug.trouble or "the ticker never ran")
            if place.guest and place.guest.done():
                raise heap.Failed(f"the visit ended: {place.guest.exception()}")
    del seen.gaps[:3]  # the modules are loaded in these
    return seen


CONTROL = """
import sys,asyncio,machine
async def main():
    while True:
        button()
        await asyncio.sleep_ms(1000)
button=machine.Pin(0)
asyncio.run(main())
"""


async def control(seconds):
    """Seen of the ticker alone."""
    seen = Seen()
    of = DELIVERIES["1mb"]
    plug = Plug(of, 64 * K, {}, "stall", CONTROL, seen.said, {"saves": "0"})
    async with plug:
        await asyncio.sleep(seconds)
        if not seen.gaps:
            raise heap.Failed(plug.trouble or "the ticker never ran")
    del seen.gaps[:3]
    return seen


async def _silent_names():
    names = await Names.start()
    names.silent = True
    return names


async def measure(seconds=32, together=4):
    """[(case or None for the control, Seen or why not)], the control of each batch included."""
    results = []
    alone = Seen()
    with contextlib.suppress(OSError):
        names = await _silent_names()
    for at in range(0, len(CASES), together):
        batch = CASES[at : at + together]
        done = await asyncio.gather(
            control(seconds), *(heap._or_why(watch(case, seconds)) for case in batch)
        )
        alone.gaps += done[0].gaps
        results += zip(batch, done[1:], strict=True)
    names.close()
    return [(None, alone), *results]


def rows(results):
    """Rows of both tables: (stall, button)."""
    stalls, buttons = [], []
    alone = max(results[0][1].gaps)
    command = "tools/bench.sh stall"
    for case, seen in results:
        name = case.name if case else "control: the ticker alone"
        if isinstance(seen, heap.Failed):
            stalls.append((name, "failed", str(seen), command))
            continue
        worst, usual = max(seen.gaps), statistics.median(seen.gaps)
        note = "" if case is None else f"{worst / alone:.1f} times the control"
        if worst > 2 * alone + 10:
            note += ": too long"
        note = f"usual worst of a second {usual:.1f} ms; {note}"
        if seen.restart:
            note += f"; opened by a restart in place of {seen.restart:.0f} ms"
        stalls.append((name, f"{worst:.1f} ms", note, command))
        if case:
            figure = (
                f"{statistics.median(seen.presses):.0f} / {max(seen.presses):.0f} ms"
                if seen.presses
                else "no press was heard"
            )
            note = f"{len(seen.presses)} presses, {seen.moves} moved the relay"
            buttons.append((name, figure, note, "tools/bench.sh button"))
    return stalls, buttons
