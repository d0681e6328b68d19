"""Load on OctoPrint, time to off, and the work between two awaits: the real firmware on CPython,
with a virtual chip, Pi and printer, on virtual time, so that hours take seconds.
"""

import asyncio
import contextlib
import functools
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

from env import ROOT

for part in "firmware", ".cache/lib", "tests":
    if str(ROOT / part) not in sys.path:
        sys.path.insert(0, str(ROOT / part))

import simulator.hardware

simulator.hardware.install()

import portal_tools
import whole

from . import visitor

# Calls a minute that the firmware this one replaces was seen to make, by recording its requests.
ORIGINAL = {"Waiting": 4, "Connected": 22, "Armed": 14, "Cooling": 38}

_MINUTES = 10


def in_house(test):
    """Runs `await test(house, …)` on virtual time; what it returns."""

    @functools.wraps(test)
    def run(*args, **given):
        result = []

        @whole.virtual
        async def inside():
            with tempfile.TemporaryDirectory() as folder:
                async with whole.House(folder, **given) as house:
                    result.append(await test(house, *args))

        inside()
        return result[0]

    return run


def counted(house):
    """Counts what the plug asks of OctoPrint's port from now on, answered or not."""
    octo = house.plug.octo
    ask = octo._ask
    octo.asked = 0

    async def counting(address, port, what, *rest):
        octo.asked += bool(what)
        return await ask(address, port, what, *rest)

    octo._ask = counting
    return octo


@in_house
async def _load(house, state):
    """(requests, bytes to OctoPrint, bytes from it) a minute in that state."""
    if state == "Waiting":
        await house.until("Waiting", 5)
        house.pi.kill()
    elif state == "Cooling":
        await house.reach("Armed")
        house.printer.heat("tool0", 200)
        house.printer.cancel()
        await house.pause(5)
        house.printer.heat("tool0", 200)
        await house.until("Cooling", 60)
    elif state == "Going":
        house.pi.freeze()
        await house.reach("Going")
    elif state == "Countdown":
        house.pi.on_shutdown = "never"
        await house.reach(state)
    elif state == "Asking":
        house.pi.octoprint.modes["/api/system"] = "403"
        await house.reach(state)
    else:
        await house.reach(state)
    await house.pause(10)
    octo, server = counted(house), house.pi.octoprint
    before = server.bytes_in, server.bytes_out
    await house.pause(60 * _MINUTES)
    if house.state != state:
        raise AssertionError(f"{state} became {house.state}:\n{house.story()}")
    figures = octo.asked, server.bytes_in - before[0], server.bytes_out - before[1]
    return [figure / _MINUTES for figure in figures]


class Steps:
    """Counts the lines of firmware/ that run between two awaits; used with `with`.

    longest: (lines, function that most of them are in). A step is what the event loop runs in one
    go.
    """

    def __init__(self):
        self.longest = (0, "")
        self._lines = Counter()
        self._place = str(ROOT / "firmware")

    def __enter__(self):
        steps = self
        self._run = run = asyncio.events.Handle._run

        def counting(handle):
            steps._lines.clear()
            sys.settrace(steps._call)
            try:
                return run(handle)
            finally:
                sys.settrace(None)
                lines = steps._lines.total()
                if lines > steps.longest[0]:
                    code = steps._lines.most_common(1)[0][0]
                    module = os.path.basename(code.co_filename)[:-3]
                    steps.longest = lines, f"{module}.{code.co_qualname}"

        asyncio.events.Handle._run = counting
        return self

    def __exit__(self, *_):
        asyncio.events.Handle._run = self._run
        sys.settrace(None)

    def _call(self, frame, event, _):
        return self._line if frame.f_code.co_filename.startswith(self._place) else None

    def _line(self, frame, event, _):
        if event == "line":
            self._lines[frame.f_code] += 1
        return self._line


@in_house
async def _steps(house, mode, broker):
    """(lines, where) of the longest step of some minutes."""
    await house.until("Connected", 10)
    await house.pause(10)  # what is loaded at the start has been loaded
    with Steps() as steps:
        await house.pause(1)
        if mode == "settings saved":
            import keeping

            # as the portal does it
            for _ in keeping.save_slowly({"cool_below_c": 45}, {}, bag=house.plug.s):
                await asyncio.sleep(0)
            house.plug.changes = ("cool_below_c",)
        elif mode:
            house.pi.octoprint.mode = mode
        if broker:
            house.broker.mode = broker
            await house.broker.restart(away_s=1)
            house.broker.mode = broker
        await house.pause(60)
        await house.short()
        house.command("OFF")
        await house.pause(60)
    return steps.longest


# What is wrong: in the words of stall.CASES, the mode of OctoPrint's stand-in, that of the broker.
_WRONG = (
    ("healthy", "", ""),
    ("OctoPrint's port refuses", "refused", ""),
    ("OctoPrint is silent", "silent", ""),
    ("accepts, never answers", "hang", ""),
    ("one byte per 200 ms", "slow", ""),
    ("endless head", "endless_head", ""),
    ("endless body", "endless_body", ""),
    ("garbage", "garbage", ""),
    ("redirect loop", "redirect", ""),
    ("connection reset", "reset", ""),
    ("12 KB from a printer with many tools", "huge", ""),
    ("broker never says CONNACK", "", "hang"),
    ("half a packet, then silence", "", "half"),
    ("packet of 268 MB", "", "huge"),
    ("broker restarts", "", "ok"),
    ("settings saved", "settings saved", ""),
)


def _steps_of_a_visit():
    """(lines, where) of the longest step while somebody looks at all of the portal and saves."""
    result = []

    @whole.virtual
    async def inside():
        with tempfile.TemporaryDirectory() as folder:
            async with portal_tools.opened(Path(folder)) as (_, browser):
                with Steps() as steps:
                    for path in visitor.PAGES:
                        await browser.get(path)
                    await browser.submit(visitor.SWITCHING_OFF, cool_below_c="44")
                result.append(steps.longest)

    inside()
    return result[0]


def steps():
    """Rows: the longest stretch without an await in each situation."""
    rows = []
    for name, mode, broker in (*_WRONG, (VISITED, "", "")):
        if name == VISITED:
            lines, where = _steps_of_a_visit()
        else:
            lines, where = _steps(mode, broker, booted=True, broker=True, mqtt_report_s=5)
        rows.append((name, f"{lines:,} lines", f"most of them in {where}", "tools/bench.sh stall"))
    return rows


VISITED = "portal open, visited"

STATES = (
    "Relay_off Switched_ON Waiting Connected Started Armed Cooling Asking Countdown Going".split()
)


def load():
    """Rows: requests and bytes a minute in every state."""
    rows = []
    for state in STATES:
        # MQTT is set up, so that what only it needs is asked for too; no broker has to be there.
        requests, sent, got = _load(
            state,
            booted=True,
            mqtt_host="127.0.0.1",
            mqtt_port=1,
            min_job_s=86400 if state == "Started" else 1,
            shutdown_max_s=7200,
            boot_s=3600,
        )
        note = f"{sent:,.0f} B to OctoPrint, {got:,.0f} B from it, a minute"
        if state in ORIGINAL:
            note += f"; the original: {ORIGINAL[state]}"
        rows.append((state, f"{requests:.1f} a minute", note, "tools/bench.sh load"))
    return rows


@in_house
async def _off(house, halt_s):
    """(s from cool to relay off, or None if it stays on, what the plug says in the end)."""
    if halt_s is None:
        house.pi.on_shutdown = "never"
    else:
        house.pi.halt_s, house.pi.sync_s = halt_s, 1
    await house.pause(200)  # so that WiFi has been there for a while
    await house.print_part(30)
    await house.until("Started", 120)
    house.command("OFF")
    tool = house.printer.heaters["tool0"]

    def cool():
        return not house.printer.printing and tool.actual < house.plug.s.cool_below_c

    await house.until("Armed", 10)
    while not cool():
        await asyncio.sleep(0.1)
    began = house.s
    with contextlib.suppress(AssertionError):
        await house.until("Relay_off", 1800)
    if house.pi.cuts:
        raise AssertionError(f"the Pi was cut alive:\n{house.story()}")
    return (house.s - began if house.state == "Relay_off" else None), house.reason


def off():
    """Rows: from cool to relay off, for Pis that halt fast, slowly and never."""
    rows = []
    for halt_s in 5, 20, 60, 110, None:
        took, reason = _off(halt_s, booted=True, min_job_s=1)
        if halt_s is None:
            what, least = "Pi never halts", "never"
        else:
            settle = 45
            what, least = f"Pi halts in {halt_s} s", f"{halt_s + settle} s"
        figure = f"{took:.0f} s" if took is not None else "stays on"
        note = f"least possible: {least}"
        if took is None:
            note += f"; the plug says: {reason}"
        rows.append((what, figure, note, "tools/bench.sh off"))
    return rows
