"""What the page needs beyond the control interface: its files, the past, stories, another speed.

`send(event, data)` goes to every page that listens. A story (see scenarios.py) begins with a fresh
plug in a fresh house; whatever a person does meanwhile happens all the same, and may spoil it.
"""

import asyncio
from collections import deque
from pathlib import Path

from aiohttp import web

from . import flash, rows, scenarios
from .hardware import silicon

FOLDER = Path(__file__).with_name("page")
SPEEDS = (1, 5, 20)

_SAMPLES = 2400  # 20 minutes
_HOLD_LONG_MS = 15000  # gestures.py


class Show:
    """Beside one Server; `beat()` twice a second keeps the past."""

    def __init__(self, world, send):
        self.world, self.send = world, send
        self.samples = deque(maxlen=_SAMPLES)
        self.story = None  # what the page is told of the one that plays, or played last
        self._task = None
        self._aliases = {state["published"]: state["name"] for state in rows.states()}

    def routes(self):
        return [
            web.get("/page/{name}", self.file),
            web.get("/favicon.ico", self.icon),
            web.get("/api/page", self.about),
            web.get("/api/history", self.history),
        ]

    async def stop(self):
        """End the story that plays."""
        task, self._task = self._task, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._tell(state="stopped")

    # --- what is asked for

    async def file(self, request):
        """A file of the page; only those that are there have a name."""
        name = request.match_info["name"]
        if name not in {path.name for path in FOLDER.iterdir()}:
            raise web.HTTPNotFound
        return web.FileResponse(FOLDER / name, headers={"Cache-Control": "no-cache"})

    async def icon(self, request):
        return web.FileResponse(FOLDER / "icon.svg")

    async def about(self, request):
        """What stays the same while the plug runs: the table, thresholds, stories, speeds."""
        world = self.world
        speed = getattr(world, "speed", 1)
        why_not = self.why_not
        return web.json_response(
            {
                "states": rows.states(),
                "rows": rows.rows(rows.on_state(self._setting("initial_state"))),
                "button": {
                    "long_ms": self._setting("long_press_ms"),
                    "portal_ms": self._setting("portal_press_ms"),
                    "open_ms": _HOLD_LONG_MS,
                },
                "settings": {
                    key: self._setting(key)
                    for key in ("cool_below_c", "hot_above_c", "min_job_s", "halt_settle_s")
                },
                "speed": {
                    "now": speed,
                    "choices": sorted({*SPEEDS, speed}),
                    "why_not": getattr(world, "fixed", "there is nothing to begin anew"),
                },
                "root": root(world),
                "pi": world.pi is not None,
                "broker": world.broker is not None,
                "stories": [_about(story) for story in scenarios.ALL] if not why_not else [],
                "why_not": why_not,
                "story": self.story,
            }
        )

    async def history(self, request):
        """The last 20 minutes: [ms, tool °C, bed °C, target °C, job %] twice a second."""
        runner = self.world.runner
        return web.json_response(
            {
                "now_ms": runner.chip.clock(),
                "samples": list(self.samples),
                "states": [[ms, state] for ms, state in runner.passed],
                "relay": [[ms, closed] for ms, closed in runner.chip.relay_log[-500:]],
            }
        )

    @property
    def why_not(self):
        """Why no story can be played, None when one can."""
        if self.world.pi is None or self.world.broker is None:
            return "the stories need the stand-ins for OctoPrint and the broker"
        return getattr(self.world, "fixed", "there is nothing to begin anew")

    # --- what is done

    async def hurry(self, speed):
        """Begin anew with that speed. ValueError says why not."""
        if self.world.fixed:
            raise ValueError(self.world.fixed)
        await self.stop()
        self.story = None
        await self._anew(speed)

    async def play(self, name):
        """Play the story of that name from its beginning; ValueError says why not."""
        if self.why_not:
            raise ValueError(self.why_not)
        await self.stop()
        story = scenarios.BY_NAME[name]
        self.story = {"name": name, "step": -1, "state": "playing", "wrong": []}
        await self._anew(scenarios.SPEED, story.settings)
        self._task = asyncio.create_task(self._play(story))

    async def _anew(self, speed, settings=None):
        self.samples.clear()
        await self.world.anew(speed, settings)
        self.send("anew", {})

    async def _play(self, story):
        try:
            stage = self.stage()
            await scenarios.play(story, stage, lambda number: self._tell(step=number))
            found = scenarios.wrong(story, stage)
        except (scenarios.Failed, ValueError) as error:  # a person had a hand in it
            found = [str(error)]
        self._tell(state="failed" if found else "passed", wrong=found)

    def _tell(self, **news):
        self.story = {**(self.story or {}), **news}
        self.send("story", self.story)

    def stage(self):
        """The plug of this world and what is around it, as scenarios.py wants it."""
        runner = self.world.runner
        return scenarios.Stage(
            runner.chip,
            self.world.pi,
            self.world.broker,
            runner.hold,
            lambda: [self._aliases.get(state, state) for _, state in runner.passed],
            lambda: runner.reason or "",
            root(self.world),
        )

    def beat(self):
        """Keep what the printer is at now."""
        pi = self.world.pi
        if pi is None:
            return
        pi.printer.look()
        tool, bed = (pi.printer.heaters[name] for name in ("tool0", "bed"))
        job = pi.printer.job
        done = None if job is None else job.completion
        now = self.world.runner.chip.clock()
        sample = [now, round(tool.actual, 1), round(bed.actual, 1), tool.target, done]
        self.samples.append(sample)

    def _setting(self, key):
        value = self._settings().get(key)
        return _default(key) if value is None else value

    def _settings(self):
        return self.world.settings() if hasattr(self.world, "settings") else {}


def root(world):
    """The plug's root topic."""
    settings = world.settings() if hasattr(world, "settings") else {}
    topic = settings.get("mqtt_topic") or _default("mqtt_topic")
    return str(topic).replace("{id}", silicon.mac.hex()[6:])


def _default(key):
    return next(row[2] for row in flash._firmware("schema").rows([key]) if row[0] == key)


def _about(story):
    return {
        "name": story.name,
        "title": story.title,
        "watch": story.watch,
        "steps": [step.text for step in story.steps],
        "fault": story.fault and {"number": story.fault[0], "text": story.fault[1]},
        "other": story.name in scenarios.OF_THE_OTHER,
    }
