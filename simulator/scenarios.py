"""Stories to play with one click, each of them also a test.

A scenario is a list of steps. A step says in words what happens, does something or nothing, and
lasts until something holds, or for a time that was long enough for other firmware to go wrong.
What relay and states must have done in the end stands beside it: `wrong` compares.

Times are those of a plug with --speed SPEED. Where a scenario says what OctoPlugout 4.6 did, that
is what was seen of it when it ran with recorded inputs; it is told here, not run.
"""

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field

SPEED = 20

_SHUTDOWN = "/api/system/commands/core/shutdown"
_LOOK_S = 0.01


class Failed(Exception):
    """A step did not end as it should; the text says which and where the plug is."""


class Stage:
    """What a scenario sees and touches: one plug with what is around it.

    chip, pi and broker as in world.World. press: coroutine function, holds the button for ms.
    path: returns the short names of the states passed so far. reason: returns why it is in the
    last of them. root: the plug's root topic.
    """

    def __init__(self, chip, pi, broker, press, path, reason, root):
        self.chip, self.pi, self.broker = chip, pi, broker
        self.press, self.path, self.reason, self.root = press, path, reason, root
        self.mark = 0

    @property
    def printer(self):
        return self.pi.printer

    @property
    def state(self):
        """The short name of the present state, "" before the first."""
        return (self.path() or [""])[-1]

    @property
    def since(self):
        """The states since this step began, the one it began in first."""
        return self.path()[max(0, self.mark - 1) :]

    @property
    def hottest(self):
        """°C."""
        self.printer.look()
        return max(heater.actual for heater in self.printer.heaters.values())

    async def send(self, word, retain=False):
        await self.broker.publish(f"{self.root}/switch", word.encode(), retain)

    def retained(self, below):
        payload = self.broker.retained.get(self.root + below)
        return None if payload is None else payload.decode()

    def listening(self):
        """Whether the plug has said that it is connected to the broker."""
        return self.retained("/status") == "online"


@dataclass
class Step:
    """`do(stage)` may be a coroutine function. Ends when `until(stage)`, or after `lasts_s`."""

    text: str
    do: Callable | None = None
    until: Callable | None = None
    lasts_s: float = 0.0
    within_s: float = 45.0


@dataclass
class Scenario:
    """`relay`: its moves, as in "on off". `fault`: (number, what 4.6 did), or None."""

    name: str
    title: str
    watch: str
    steps: list
    states: str
    relay: str = "on"
    shutdowns: int = 0
    fault: tuple | None = None
    settings: dict = field(default_factory=dict)


async def play(scenario, stage, tell=lambda number: None):
    """Play it; `tell` is called with each step's number. Failed says what did not come."""
    loop = asyncio.get_running_loop()
    for number, step in enumerate(scenario.steps):
        tell(number)
        stage.mark = len(stage.path())
        if step.do is not None:
            done = step.do(stage)
            if inspect.isawaitable(done):
                await done
        began = loop.time()
        while not (step.until(stage) if step.until else loop.time() - began >= step.lasts_s):
            if step.until and loop.time() - began >= step.within_s:
                where = f"the plug is in {stage.state}: {stage.reason()}"
                raise Failed(f"“{step.text}” did not end within {step.within_s:g} s; {where}")
            await asyncio.sleep(_LOOK_S)


def wrong(scenario, stage):
    """Sentences on what was not as it must be; [] when all was."""
    found = []
    moves = " ".join("on" if closed else "off" for _, closed in stage.chip.relay_log)
    if moves != scenario.relay:
        found.append(f"the relay went {moves or 'nowhere'}, not {scenario.relay or 'nowhere'}")
    states = " ".join(stage.path())
    if states != scenario.states:
        found.append(f"the states were {states}, not {scenario.states}")
    if stage.pi.shutdowns != scenario.shutdowns:
        found.append(f"{stage.pi.shutdowns} shutdowns were accepted, not {scenario.shutdowns}")
    for _, state, printing in stage.pi.cuts:
        what = "with its print" if printing else "alive"
        found.append(f"a Pi that was {state} lost its power, {what}")
    return found


# --- what may be waited for


def at(name):
    """The plug is in that state, or has passed it since the step began."""
    return lambda stage: name in stage.since


def ready(stage):
    """It looks after a printer that could start a job."""
    return stage.state == "Connected" and stage.printer.operational


def halfway(stage):
    job = stage.printer.job
    return job is not None and (job.completion or 0) >= 50


def says(part):
    """The reason has these words."""
    return lambda stage: part in stage.reason()


# --- what may be done


def prints(duration_s, name="part.gcode"):
    def start(stage):
        stage.printer.start(name, duration_s=duration_s, tool_c=210, bed_c=60)

    return start


def octoprint(mode):
    return lambda stage: setattr(stage.pi.octoprint, "mode", mode)


def wifi(up):
    def switch(stage):
        stage.chip.wifi.up = up
        stage.chip.aired()

    return switch


def shutdown_request(mode, on_shutdown):
    """What becomes of the request to shut down, and of the Pi that was asked."""

    def arrange(stage):
        stage.pi.octoprint.modes[_SHUTDOWN] = mode
        if mode == "ok":
            del stage.pi.octoprint.modes[_SHUTDOWN]
        stage.pi.configure(on_shutdown=on_shutdown)

    return arrange


async def leave_forceoff(stage):
    """Somebody's home automation left a FORCEOFF behind, retained, while the plug was away."""
    await stage.send("FORCEOFF", retain=True)
    stage.broker.mode = "ok"


def broker(mode):
    return lambda stage: setattr(stage.broker, "mode", mode)


def loses_the_printer(stage):
    """Preheated for the next job already: the heater stays as it is when the cable is gone."""
    stage.printer.heat("tool0", 210)
    stage.printer.disconnect("Offline after error")


def hurried_print(stage):
    prints(400, "second.gcode")(stage)
    stage.pi.octoprint.busy_s = 0.0


def slow_octoprint(stage):
    stage.pi.octoprint.busy_s = 0.5


# --- the stories

_BOOTS = Step("Mains: the relay closes, the Pi boots, the plug finds OctoPrint.", until=ready)
_SEEN = Step("A print of six minutes starts. The plug sees it.", prints(360), at("Started"))
_ARMED = Step(
    "Hot, and older than five minutes: now the job counts. Off after it.", until=at("Armed")
)
_TO_COOL = Step("The print is done. The nozzle cools; nothing is asked yet.", until=at("Cooling"))
_ASKS = Step("Everything is cool: the plug asks the Pi to shut down.", until=at("Countdown"))
_OFF = Step(
    "The Pi goes down. Only when it has been silent for long enough the power goes.",
    until=at("Relay_off"),
)

_EVENING = "Waiting Connected Started Armed Cooling Asking Countdown Relay_off"

ALL = [
    Scenario(
        "evening",
        "A normal evening",
        "Watch the power wait: first for the nozzle, then for the Pi.",
        [_BOOTS, _SEEN, _ARMED, _TO_COOL, _ASKS, _OFF],
        states=_EVENING,
        relay="on off",
        shutdowns=1,
    ),
    Scenario(
        "filament",
        "Filament change",
        "A paused print is a print: even with a cold nozzle the plug waits for you.",
        [
            _BOOTS,
            _SEEN,
            _ARMED,
            Step(
                "Filament change: the print pauses, and you let the nozzle cool.",
                lambda stage: (stage.printer.pause(), stage.printer.heat("tool0", 0)),
                lambda stage: stage.printer.heaters["tool0"].actual < 40,
            ),
            Step("Nothing happens for as long as you like.", lasts_s=4),
            Step(
                "New filament, nozzle hot, go on.",
                lambda stage: (stage.printer.heat("tool0", 210), stage.printer.resume()),
                at("Cooling"),
            ),
        ],
        states="Waiting Connected Started Armed Cooling",
    ),
    Scenario(
        "first-layer",
        "Failed at the first layer",
        "A job that you cancel at once must not take the power away while you try again.",
        [
            _BOOTS,
            Step("A print starts. The plug sees it.", prints(360), at("Started")),
            Step(
                "It heats, and lays down its first layer …",
                until=lambda stage: (stage.printer.job.completion or 0) > 5,
            ),
            Step(
                "… which does not stick. Cancelled: too young to count, the power stays.",
                lambda stage: stage.printer.cancel(),
                at("Connected"),
            ),
            Step("You clean the bed. The nozzle cools below the limit.", lasts_s=5),
            Step(
                "Second try, and this one lasts.",
                prints(360, "second try.gcode"),
                at("Armed"),
            ),
        ],
        states="Waiting Connected Started Connected Started Armed",
    ),
    Scenario(
        "busy",
        "A Pi too busy to answer",
        "OctoPrint says nothing at all for a while. Nothing heard is not nothing printed.",
        [
            _BOOTS,
            _SEEN,
            _ARMED,
            Step("OctoPrint hangs in the middle of the print.", octoprint("hang"), says(": ")),
            Step("Not one answer, but its port is open: the Pi lives. Stay on.", lasts_s=6),
            Step("OctoPrint is back; the print went on all the time.", octoprint("ok"), halfway),
            Step("It ends as every print.", until=at("Cooling")),
        ],
        states="Waiting Connected Started Armed Cooling",
    ),
    Scenario(
        "router",
        "The router restarts in the countdown",
        "Without WiFi the plug cannot tell a halted Pi from a living one: the countdown stops.",
        [
            _BOOTS,
            Step("A short print, ended by OFF: off after this job.", prints(60), at("Started")),
            Step("The command OFF arms it.", lambda stage: stage.send("OFF"), at("Armed")),
            Step("Done and cool: the Pi is asked to shut down.", until=at("Countdown")),
            Step(
                "Now the WiFi goes. The Pi halts, unheard; the countdown stands still.",
                wifi(False),
                says("waiting, nothing is switched"),
            ),
            Step("Whatever time passes: nothing is switched.", lasts_s=8),
            Step(
                "The WiFi is back, the Pi stays silent: only now the power goes.",
                wifi(True),
                at("Relay_off"),
            ),
        ],
        states=_EVENING,
        relay="on off",
        shutdowns=1,
        fault=(
            4,
            "WiFi lost while the Pi was being shut down, or in the countdown: the power of a "
            "living Pi was cut.",
        ),
    ),
    Scenario(
        "last-second",
        "A second print at the last second",
        "The last look before the request finds the new print, and the request stays home.",
        [
            _BOOTS,
            Step("A short print.", prints(60), at("Started")),
            Step("The command OFF arms it.", lambda stage: stage.send("OFF"), at("Cooling")),
            Step(
                "Cool: the plug is about to ask, and looks once more. OctoPrint is slow.",
                slow_octoprint,
                at("Asking"),
            ),
            Step("At this moment somebody starts a second print.", hurried_print, at("Armed")),
            Step("It prints, with power.", until=halfway),
        ],
        states="Waiting Connected Started Armed Cooling Asking Armed",
        fault=(6, "A print started at this point, before the request, was not noticed."),
    ),
    Scenario(
        "off-while-off",
        "OFF, while it is off",
        "Off stays off, whoever says it again.",
        [
            Step("The plug is set to start switched off.", until=Stage.listening),
            Step("The command OFF.", lambda stage: stage.send("OFF"), lasts_s=3),
            Step("And FORCEOFF.", lambda stage: stage.send("FORCEOFF"), lasts_s=3),
        ],
        states="Relay_off",
        relay="",
        fault=(1, "The command OFF while off switched the relay on."),
        settings={"initial_state": "Relay_off"},
    ),
    Scenario(
        "retained",
        "A FORCEOFF left behind",
        "A retained command is news from yesterday: it is dropped, and cleared.",
        [
            _BOOTS,
            Step("A print starts.", prints(360), at("Started")),
            Step(
                "The broker goes away …",
                broker("refused"),
                lasts_s=1,
            ),
            Step(
                "… and comes back with a retained FORCEOFF that somebody left there.",
                leave_forceoff,
                lambda stage: stage.retained("/switch") == "-",
            ),
            Step("Dropped and cleared. The print goes on.", until=at("Armed")),
        ],
        states="Waiting Connected Started Armed",
        fault=(
            2,
            "A retained FORCEOFF cut a running print when the plug reconnected to the broker.",
        ),
    ),
    Scenario(
        "lost-request",
        "The request that got lost",
        "The power of a Pi that was never told to halt stays on; the plug asks again.",
        [
            _BOOTS,
            Step("A short print.", prints(60), at("Started")),
            Step("The command OFF arms it.", lambda stage: stage.send("OFF"), at("Cooling")),
            Step(
                "Cool: the request goes out, and is lost on its way.",
                shutdown_request("reset", "nothing"),
                at("Asking"),
            ),
            Step("No answer, and the Pi is still there: the power stays on.", lasts_s=5),
            Step(
                "This one gets through: the Pi accepts.",
                lambda stage: (
                    shutdown_request("ok", "halt")(stage),
                    setattr(stage.pi, "shutdowns", 0),
                ),
                at("Countdown"),
            ),
            _OFF,
        ],
        states=_EVENING,
        relay="on off",
        shutdowns=1,
        fault=(3, "One lost request at this point cut a living Pi, without a shutdown."),
    ),
    Scenario(
        "impatient",
        "A long press while the Pi is busy",
        "“Off after this print” is what a long press means, and a print that cannot be seen "
        "is not over.",
        [
            _BOOTS,
            Step("A print starts.", prints(360), at("Started")),
            Step("OctoPrint becomes too busy to answer.", octoprint("hang"), says(": ")),
            Step("A long press.", lambda stage: stage.press(1000), at("Armed")),
            Step("30 s were enough for 4.6. Here nothing is switched.", lasts_s=4),
            Step("OctoPrint answers again, printing.", octoprint("ok"), halfway),
        ],
        states="Waiting Connected Started Armed",
        fault=(
            5,
            "A long press while printing, with the Pi too busy to answer twice, cut the print "
            "30 s later.",
        ),
    ),
    Scenario(
        "cable",
        "The printer's cable comes loose",
        "OctoPrint has lost the printer, so nobody knows how hot it is. A person decides.",
        [
            _BOOTS,
            Step("A short print.", prints(60), at("Started")),
            Step("The command OFF arms it.", lambda stage: stage.send("OFF"), at("Cooling")),
            Step(
                "Preheated for the next job, then the cable comes loose: 409 from now on.",
                loses_the_printer,
                says("OctoPrint lost the printer"),
            ),
            Step("The nozzle is hot in truth, and nothing is switched.", lasts_s=8),
        ],
        states="Waiting Connected Started Armed Cooling",
        fault=(
            7,
            "“Not connected to the printer” was read as success, with the flags and temperatures "
            "of before: it shut down with a hot nozzle.",
        ),
    ),
]

BY_NAME = {scenario.name: scenario for scenario in ALL}

# Those that are there for what 4.6 did.
OF_THE_OTHER = ("off-while-off", "retained", "lost-request", "impatient", "cable")
