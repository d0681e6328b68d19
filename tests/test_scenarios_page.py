"""Every story that the simulator's page can play ends as it must, with the real firmware.

On virtual time, with the settings and the speed at which the page plays it.
"""

import dataclasses
import json
import re
from itertools import pairwise

import pytest

import make_page_docs
from simulator import flash, rows, scenarios
from simulator.scenarios import Failed, Stage, Step, at
from simulator.server import Server
from simulator.world import Options, World
from test_simulator import until
from whole import House, chip, virtual

WATCHED_S = 60.0  # nobody watches longer
GRAIN_MS = 10  # coarser, and the steps of a fast boot fall together


class Fast(House):
    """A house in which Pi, printer and plug are as fast as on the page. `stage` is its stage.

    fired: where in the table the row stands that led to each of `states`.
    """

    def __init__(self, folder, scenario):
        self.fired = []
        given = flash.faster({}, scenarios.SPEED) | scenario.settings
        super().__init__(folder, on=False, broker=True, grain_ms=GRAIN_MS, **given)

    async def __aenter__(self):
        await super().__aenter__()
        self.pi.speed = self.printer.speed = scenarios.SPEED
        self.pi.boot_s = 10.0
        self.wifi.join_ms = 300 / scenarios.SPEED
        await self.mains(True)
        self.stage = Stage(
            chip,
            self.pi,
            self.broker,
            self.press,
            lambda: [alias for _, alias in self.states],
            lambda: self.reason,
            self.plug.s.mqtt_topic,
        )
        return self

    def note(self):
        super().note()
        if len(self.fired) < len(self.states):
            self.fired.append(self.plug.machine.fired)


@pytest.mark.parametrize("name", scenarios.BY_NAME)
@virtual
async def test_a_story_ends_as_it_must_within_a_minute(tmp_path, name):
    story, told = scenarios.BY_NAME[name], []
    async with Fast(tmp_path, story) as house:
        await scenarios.play(story, house.stage, told.append)
        assert scenarios.wrong(story, house.stage) == []
        assert told == list(range(len(story.steps)))
        assert house.s < WATCHED_S

        # the row that the page names is one that leads where the plug went
        table, places = rows.rows(), rows.told_by("cpython")[1]
        path = story.states.split()
        for (before, after), fired in zip(pairwise(path), house.fired[1:], strict=True):
            row = table[places[fired]]
            assert (row["from"], row["aims"]) == (before, [after])


# --- a story that goes wrong is told so


def changed(name, *steps, keep=3):
    """The story of that name, after some of its steps with others."""
    story = scenarios.BY_NAME[name]
    return dataclasses.replace(story, steps=[*story.steps[:keep], *steps])


@virtual
async def test_power_that_goes_where_it_must_stay_is_told(tmp_path):
    cut = Step("Cut.", lambda stage: stage.send("FORCEOFF"), at("Relay_off"))
    story = changed("filament", cut)
    async with Fast(tmp_path, story) as house:
        await scenarios.play(story, house.stage)
        assert scenarios.wrong(story, house.stage) == [
            "the relay went on off, not on",
            "the states were Waiting Connected Started Armed Relay_off, not " + story.states,
            "a Pi that was up lost its power, with its print",
        ]


@virtual
async def test_power_that_stays_where_it_must_go_is_told(tmp_path):
    story = changed("evening", Step("Printing all night.", lasts_s=3))
    async with Fast(tmp_path, story) as house:
        await scenarios.play(story, house.stage)
        found = scenarios.wrong(story, house.stage)
        assert found[0] == "the relay went on, not on off"
        assert found[-1] == "0 shutdowns were accepted, not 1"


@virtual
async def test_a_step_that_does_not_end_says_where_the_plug_is(tmp_path):
    story = changed("evening", Step("Off at once.", until=at("Relay_off"), within_s=2))
    async with Fast(tmp_path, story) as house:
        expected = (
            "“Off at once.” did not end within 2 s; the plug is in Armed: printing, then off"
        )
        with pytest.raises(Failed, match=expected):
            await scenarios.play(story, house.stage)


@pytest.mark.parametrize("story", scenarios.ALL, ids=lambda story: story.name)
def test_a_story_knows_its_states_and_settings(story):
    known = {state["name"] for state in rows.states()}
    assert set(story.states.split()) <= known
    assert ("off" in story.relay) == story.states.endswith("Countdown Relay_off")
    flash.check(story.settings)
    assert all(step.until or step.lasts_s for step in story.steps)


def test_five_stories_stand_beside_what_the_other_firmware_did():
    told = [scenarios.BY_NAME[name].fault[0] for name in scenarios.OF_THE_OTHER]
    assert len(told) == len(set(told)) == 5
    assert len(scenarios.BY_NAME) == len(scenarios.ALL) >= 11


# --- the row that fired last


def test_what_is_built_has_the_rows_of_the_source():
    name, ours = rows.told_by("cpython")
    short, built = rows.told_by("micropython")
    assert list(ours.values()) == list(built.values()) == list(range(len(rows.rows())))
    assert name == "fired" != short


async def test_micropython_tells_the_row_that_fired(micropython):
    world = World(Options(runtime="micropython", speed=50.0))
    await world.start()
    try:
        await until(lambda: world.runner.state == "Waiting_for_print_activity_connected", 30)
        server = Server(world)
        await until(lambda: server.snapshot()["fired"] is not None)
        row = rows.rows()[server.snapshot()["fired"]]
        assert (row["from"], row["to"]) == ("Waiting", "Connected")
        assert row["when"] == "OctoPrint answers"
    finally:
        await world.stop()


# --- beginning anew


async def test_beginning_anew_leaves_nothing_behind():
    world = World(Options(runtime="cpython", speed=50.0))
    await world.start()
    try:
        runner, pi, broker, wifi = world.runner, world.pi, world.broker, world.runner.chip.wifi
        await until(lambda: runner.state == "Waiting_for_print_activity_connected", 30)
        pi.printer.heat("tool0", 200)
        pi.octoprint.mode, pi.octoprint.modes["/api"] = "500", "hang"
        pi.configure(on_shutdown="never", network=False)
        await broker.publish("octoplugout/old", b"news", retain=True)
        broker.mode, wifi.up = "hang", False
        await runner.hold(200)
        (runner.flash / "offs").write_text("yesterday\n")
        await world.anew(5, {"initial_state": "Relay_off"})
        await until(lambda: runner.state == "Relay_off")
        settings = json.loads((runner.flash / "config.json").read_text())
        assert (settings["poll_s"], settings["halt_settle_s"]) == (1, 9)
        assert (pi.speed, pi.printer.speed, pi.state, pi.cuts) == (5, 5, "off", [])
        assert (pi.on_shutdown, pi.network, pi.octoprint.mode) == ("halt", True, "ok")
        assert pi.octoprint.modes == {}
        assert pi.printer.heaters["tool0"].target == 0
        assert (broker.mode, wifi.up) == ("ok", True)
        assert "octoplugout/old" not in broker.retained
        assert runner.chip.relay_log == []
        assert [state for _, state in runner.passed] == ["Relay_off"]
        assert not (runner.flash / "offs").exists()
    finally:
        await world.stop()


async def test_somebodys_own_plug_is_not_begun_anew(tmp_path):
    world = World(Options(runtime="cpython", flash=tmp_path))
    await world.start()
    try:
        server = Server(world)
        said = "file system is somebody's own"
        with pytest.raises(ValueError, match=said):
            await world.anew(5)
        with pytest.raises(ValueError, match=said):
            await server.show.play("evening")
        with pytest.raises(ValueError, match=said):
            await server.show.hurry(5)
        assert world.runner.chip.powered
    finally:
        await world.stop()


# --- docs/simulator.md


def test_every_picture_of_the_page_is_shown_described_made_and_small():
    document = (make_page_docs.ROOT / "docs/simulator.md").read_text(encoding="utf-8")
    shown = re.findall(r"!\[[^\]]+\]\(simulator/([\w-]+)\.png\)", document)
    with open(make_page_docs.__file__, encoding="utf-8") as source:
        taken = re.findall(r'shoot\(\w+, folder, "([\w-]+)"\)', source.read())
    files = list(make_page_docs.FOLDER.iterdir())
    assert sorted(shown) == sorted(taken) == sorted(path.stem for path in files)
    for path in files:
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n", path.name
        assert path.stat().st_size <= make_page_docs.LARGEST, path.name
