"""The plug as a whole: what starts it, keeps it going, lights its LED and tells the broker."""

import asyncio
import json
import os
import runpy
import select
import sys
import time
import traceback

import micropython
import pytest

import plug
import settings
from simulator.broker import Broker
from simulator.hardware import port, silicon
from simulator.octoprint import OctoPrint
from simulator.printer import Printer
from statemachine import STATES
from whole import FIRMWARE, UP, House, Loop, chip, modules, tasks_of_the_plug, virtual

# --- main.py never ends -------------------------------------------------------------------------
# So it runs in a process of its own, and only the end of that process stops it.


def in_a_child(play):
    """What `play(done)` hands to `done` in a forked process; fails with what went wrong there."""
    out, into = os.pipe()
    child = os.fork()
    if not child:

        def done(result):
            os.write(into, json.dumps(result).encode())
            os._exit(0)

        try:
            play(done)
            done({"wrong": "it ended"})
        except BaseException:
            done({"wrong": traceback.format_exc()})
    os.close(into)
    with os.fdopen(out) as file:
        result = json.loads(file.read() or '{"wrong": "no result"}')
    os.waitpid(child, 0)
    assert not (isinstance(result, dict) and "wrong" in result), result["wrong"]
    return result


def run_main():
    path = str(FIRMWARE / "main.py")
    with open(path) as file:
        code = compile(file.read(), path, "exec")
    exec(code, {"__name__": "__main__"})


class Plugs:
    """Stands for the module plug: each run does the next of `fates`, the last one for ever."""

    def __init__(self, fates):
        self.fates = list(fates)
        self.runs = []

    def run(self, *given):
        self.runs.append(given[0] if len(given) == 1 else given)
        fate = self.fates.pop(0) if len(self.fates) > 1 else self.fates[0]
        return fate() or ()


def main_with(folder, fates):
    """Run main.py on a fake plug with these fates; for each run, whether it was the first."""

    def play(done):
        os.chdir(folder)
        plugs = Plugs([])
        plugs.fates = [*fates, lambda: done({"runs": plugs.runs})]
        sys.modules["plug"] = plugs
        sys.stdin = None
        time.ticks_ms = lambda: 10_000
        time.sleep_ms = lambda ms: None
        run_main()

    return in_a_child(play)["runs"]


def throw(error):
    raise error


WAYS_OUT = (
    ValueError("a fault of ours"),
    MemoryError(),
    KeyboardInterrupt(),
    SystemExit(),
    asyncio.CancelledError(),
    GeneratorExit(),
    OSError(28),
)


@pytest.mark.parametrize("error", WAYS_OUT, ids=repr)
def test_whatever_leaves_the_plug_it_runs_again(tmp_path, error):
    fates = [lambda: throw(error)] * 3
    assert main_with(tmp_path, fates) == [True, False, False, False]


def test_what_a_run_leaves_is_given_to_the_next_but_not_after_a_failure(tmp_path):
    fates = [lambda: ("lan", 7), lambda: throw(MemoryError()), lambda: ()]
    assert main_with(tmp_path, fates) == [True, [False, "lan", 7], False, False]


def test_in_the_first_seconds_ctrl_c_is_for_somebody_who_goes_on_typing(tmp_path):
    """That is how mpremote gets in; noise does not go on typing."""

    def play(done, ticks, typed):
        os.chdir(tmp_path)
        out, into = os.pipe()
        os.write(into, typed)
        plugs = Plugs([lambda: throw(KeyboardInterrupt()), lambda: done("again")])
        sys.modules["plug"] = plugs
        sys.stdin = os.fdopen(out)
        real = select.poll
        select.poll = lambda: Quick(real())
        time.ticks_ms = lambda: ticks
        time.sleep_ms = lambda ms: None
        run_main()
        done("REPL")

    class Quick:
        """A poll that does not wait, so that nobody typing costs no time."""

        def __init__(self, poll):
            self.register = poll.register
            self.poll = lambda ms: poll.poll(0)

    def what(ticks, typed):
        return in_a_child(lambda done: play(done, ticks, typed))

    assert what(2500, b"\x01") == "REPL"
    assert what(2500, b"") == "again"
    assert what(4500, b"\x01") == "again"


def test_a_plug_that_ends_runs_again(tmp_path):
    assert main_with(tmp_path, [lambda: None] * 2) == [True, False, False]


def test_a_plug_that_cannot_be_loaded_is_loaded_again(tmp_path):
    """A flash that could not be read once, or no memory for the import."""

    def play(done):
        os.chdir(tmp_path)
        for name in modules():
            del sys.modules[name]
        sys.path = [str(tmp_path / "a")]
        time.sleep_ms = lambda ms: len(tries) > 3 and done({"tries": len(tries)})
        tries = []

        def told(error):
            if "'plug'" in repr(error):
                tries.append(error)

        sys.print_exception = told
        run_main()

    assert in_a_child(play)["tries"] == 4


def test_no_single_ctrl_c_ends_main(tmp_path):
    """Noise on the open serial pad, at any moment at which Ctrl-C is armed."""
    survived = 0
    lines_of_main = (FIRMWARE / "main.py").read_text().split("\n")
    for n in range(1, 100):

        def play(done, n=n):
            os.chdir(tmp_path)
            lines = 0

            def trace(frame, event, _):
                nonlocal lines
                if frame.f_code.co_filename != str(FIRMWARE / "main.py"):
                    return None
                if frame.f_code.co_name == "<module>":
                    return trace
                if frame.f_code.co_name == "sweep":
                    return None  # its call counts
                # MicroPython takes it at jumps and calls: not on these
                plain = lines_of_main[frame.f_lineno - 1].split("  #")[0].strip() in (
                    "before = left = ()", "gone = []", "error = None", "fails = 0",
                    "first = True", "while True:", "try:"
                )  # fmt: skip
                if event == "line" and not plain and micropython.interrupt_char == 3:
                    lines += 1
                    if lines == n:
                        raise KeyboardInterrupt
                return trace

            def again():
                sys.settrace(None)
                done({"lines": lines})

            plugs = Plugs([lambda: None, lambda: throw(MemoryError()), again])
            sys.modules["plug"] = plugs
            sys.stdin = None
            time.sleep_ms = lambda ms: None
            sys.print_exception = lambda error: None
            micropython.interrupt_char = 3
            sys.settrace(trace)
            run_main()

        if in_a_child(play)["lines"] < n:
            break
        survived += 1
    assert 5 < survived < 99


# --- the real plug under main.py ----------------------------------------------------------------


def under_main(folder, script, **given):
    """Run the real boot.py and main.py on virtual time, and `script(house)` beside them."""

    def play(done):
        loop = Loop()
        asyncio.set_event_loop(loop)

        def run(plug_at_work):
            task = loop.create_task(plug_at_work)
            try:
                return loop.run_until_complete(task)
            finally:
                # As on the chip: what was in the loop is gone with it
                loop.run_until_complete(end_the_plug())

        async def world():
            async with House(folder, booted=True, **given) as house:
                await house.kill()
                for name in modules():
                    del sys.modules[name]
                started.set_result(house)
                try:
                    result = await script(house)
                except BaseException:
                    result = {"wrong": traceback.format_exc() + house.story()}
                done(result)

        started = loop.create_future()
        # Plug() is made before its loop runs, and must see the same time
        port.now_us = lambda: int(loop.time() * 1_000_000)
        micropython.interrupt_char = 3
        keep = loop.create_task(world())
        loop.run_until_complete(started)
        asyncio.run = run
        time.sleep_ms = lambda ms: loop.run_until_complete(asyncio.sleep(ms / 1000))
        run_main()
        keep.cancel()

    return in_a_child(play)


def running():
    """The Plug that runs now, or None."""
    return getattr(sys.modules.get("plug"), "current", None)


async def wait_for(what, seconds):
    for _ in range(int(seconds * 10)):
        if what():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("did not come")


async def end_the_plug():
    for task in tasks_of_the_plug().values():
        task.cancel()


async def throw_into(task, error):
    """Have what the task waits for end with that error."""
    while task._fut_waiter is None or task._fut_waiter.done():
        await asyncio.sleep(0)
    task._fut_waiter.set_exception(error)


@pytest.mark.parametrize("task", ["loop", "poll", "serve"])
@pytest.mark.parametrize(
    "error", ["ValueError", "MemoryError", "OSError", "KeyboardInterrupt", "SystemExit", "cancel"]
)
def test_an_exception_in_any_task_moves_no_relay_and_kills_no_button(tmp_path, task, error):
    async def script(house):
        await wait_for(lambda: running() and running().machine.alias == "Connected", 30)
        await house.print_part(3600)
        await wait_for(lambda: running().machine.alias == "Started", 30)
        await house.long()
        assert running().machine.alias == "Armed"
        await asyncio.sleep(3)
        before = running()
        victim = tasks_of_the_plug()[task]
        if error == "cancel":
            victim.cancel()
        else:
            kind = {"KeyboardInterrupt": KeyboardInterrupt, "SystemExit": SystemExit}
            kind |= {"ValueError": ValueError, "MemoryError": MemoryError, "OSError": OSError}
            await throw_into(victim, kind[error]("thrown in"))
        await asyncio.sleep(3)
        state = running().machine.alias
        await house.short()
        await asyncio.sleep(0.5)
        pressed = running().machine.alias
        tasks = sorted(tasks_of_the_plug())
        await asyncio.sleep(30)
        return {
            "state": state,
            "pressed": pressed,
            "tasks": tasks,
            "moves": house.moves,
            "restarted": running() is not before,
            "polled": running().machine.pi,
        }

    seen = under_main(tmp_path, script)
    assert seen["moves"] == []
    assert seen["state"] == "Armed"  # it goes on where it was
    assert seen["pressed"] == "Switched_ON"
    assert seen["tasks"] == ["loop", "poll", "serve"]
    assert seen["polled"] == "UP"
    leaves = error in ("KeyboardInterrupt", "SystemExit") or task == "loop" and error == "cancel"
    assert seen["restarted"] is leaves or task == "loop"


def test_no_memory_at_every_look_is_got_over(tmp_path):
    """The button's own code fails for two seconds; afterwards it is as before."""

    async def script(house):
        await wait_for(lambda: running() and running().machine.alias == "Connected", 30)
        sample = running().gestures.sample
        running().gestures.sample = lambda *_: throw(MemoryError())
        await asyncio.sleep(2)
        running().gestures.sample = sample
        await house.short()
        await asyncio.sleep(0.5)
        return {"state": running().machine.alias, "moves": house.moves}

    assert under_main(tmp_path, script) == {"state": "Switched_ON", "moves": []}


def test_no_memory_again_and_again_ends_in_a_restart_in_place(tmp_path):
    """The heap may be in pieces so that no module can be loaded any more."""

    async def script(house):
        await wait_for(lambda: running() and running().machine.alias == "Connected", 30)
        first = running()
        first.octo.poll = lambda *_: throw(MemoryError())
        await wait_for(lambda: running() not in (None, first), 60)
        await wait_for(lambda: running().machine.alias == "Connected", 60)
        return {"moves": house.moves}

    assert under_main(tmp_path, script) == {"moves": []}


def test_no_memory_while_power_may_be_cut_waits_for_it(tmp_path):
    """A restart would begin the settle time anew, and nobody listens to the button meanwhile."""

    async def script(house):
        await wait_for(lambda: running() and running().machine.alias == "Connected", 30)
        first = running()
        first.post("LONG")
        first.post("LONG")
        first.octo.poll = lambda *_: throw(MemoryError())
        await wait_for(lambda: first.machine.alias == "Countdown", 10)
        await asyncio.sleep(100)
        same = running() is first
        await wait_for(lambda: running() not in (None, first), 60)
        return {"same": same, "state": running().machine.alias}

    assert under_main(tmp_path, script) == {"same": True, "state": "Relay_off"}


def test_a_restart_in_the_countdown_goes_on_with_it(tmp_path):
    async def script(house):
        await wait_for(lambda: running() and running().machine.alias == "Connected", 30)
        await house.print_part(20)
        await wait_for(lambda: running().machine.alias == "Started", 30)
        running().post("OFF")
        await wait_for(lambda: running().machine.alias == "Countdown", 400)
        for _ in range(3):
            await asyncio.sleep(5)
            await throw_into(tasks_of_the_plug()["loop"], SystemExit())
        await asyncio.sleep(2)
        state = running().machine.alias
        # What is silent after a start counts only from `wifi_settle_s` on
        await wait_for(lambda: running().machine.alias == "Relay_off", 300)
        return {"state": state, "moves": len(house.moves), "cuts": house.pi.cuts}

    assert under_main(tmp_path, script) == {"state": "Countdown", "moves": 1, "cuts": []}


def test_ctrl_c_is_switched_off_three_seconds_after_the_start(tmp_path):
    async def script(house):
        await asyncio.sleep(2.5)
        early = micropython.interrupt_char
        await asyncio.sleep(1.5)
        return {"early": early, "late": micropython.interrupt_char}

    assert under_main(tmp_path, script) == {"early": 3, "late": -1}


# --- boot.py ------------------------------------------------------------------------------------


def boot(folder, config=None, last=None):
    """Run boot.py in a folder with that config.json (dict or raw text)."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        if config is not None:
            text = config if isinstance(config, (str, bytes)) else json.dumps(config)
            mode = "wb" if isinstance(text, bytes) else "w"
            with open("config.json", mode) as file:
                file.write(text)
        if last is not None:
            (folder / "last").write_text(last)
        runpy.run_path(str(FIRMWARE / "boot.py"))
    finally:
        os.chdir(before)


def state_kept():
    """The state that boot.py, or the plug, left in the RTC memory."""
    return chip.rtc[4:].decode().split("|")[-1].split(" ")[0]


@pytest.fixture
def fresh():
    """The chip with mains just come on."""
    chip.reset()
    yield chip
    chip.reset()


RELEASING = {"power-on": 0, "hardware watchdog": 1, "reset pin": 6}
KEEPING = {"exception": 2, "software watchdog": 3, "machine.reset()": 4}


@pytest.mark.parametrize("cause", KEEPING.values(), ids=KEEPING)
@pytest.mark.parametrize("state", ["Relay_off", "delayed_powering_relay_off"])
def test_a_driven_relay_pin_is_not_written(tmp_path, fresh, cause, state):
    boot(tmp_path, {"initial_state": "Relay_off" if state != "Relay_off" else "Switched_ON"})
    chip.set_pin(12, silicon.DRIVEN | (state != "Relay_off"))
    kept = b"0 12 13 000|" + state.encode()
    silicon.memory = chip.rtc = b"OP5" + bytes([sum(kept) & 255]) + kept
    chip.restart(cause)
    writes = len(chip.pin_log)
    memory = chip.rtc
    boot(tmp_path)
    assert len(chip.pin_log) == writes
    assert chip.rtc == memory
    assert chip.relay is (state != "Relay_off")


@pytest.mark.parametrize(
    "initial, last, state",
    [
        ("Relay_off", None, "Relay_off"),
        ("Switched_ON", None, "Switched_ON"),
        ("Waiting_for_print_activity", None, "Waiting_for_print_activity"),
        ("last", None, "Waiting_for_print_activity"),
        ("last", "Relay_off", "Relay_off"),
        ("last", "Switched_ON", "Switched_ON"),
        ("last", "rubbish", "Waiting_for_print_activity"),
        ("last", "", "Waiting_for_print_activity"),
        (None, None, "Waiting_for_print_activity"),
        ("nonsense", None, "Waiting_for_print_activity"),
        (7, None, "Waiting_for_print_activity"),
        ([], None, "Waiting_for_print_activity"),
    ],
)
def test_after_mains_came_back_the_setting_decides(tmp_path, fresh, initial, last, state):
    boot(tmp_path, {} if initial is None else {"initial_state": initial}, last)
    assert state_kept() == state
    assert chip.relay is (state != "Relay_off")
    assert len(chip.relay_log) == (state != "Relay_off")  # in one go, without a click between


def test_mains_that_were_gone_for_a_moment_were_gone(tmp_path, fresh):
    """The RTC memory may live through a short cut; the reset's cause tells."""
    boot(tmp_path, {"initial_state": "Relay_off"})
    kept = b"0 12 13 000|Switched_ON"
    chip.power_cycle()
    silicon.memory = chip.rtc = b"OP5" + bytes([sum(kept) & 255]) + kept
    boot(tmp_path)
    assert state_kept() == "Relay_off"
    assert not chip.relay


@pytest.mark.parametrize("cause", [1, 6], ids=["hardware watchdog", "reset pin"])
@pytest.mark.parametrize(
    "before, after",
    [
        ("Relay_off", "Relay_off"),
        ("Switched_ON", "Switched_ON"),
        ("Waiting_for_print_activity", "Waiting_for_print_activity"),
        ("Waiting_for_print_activity_connected", "Waiting_for_print_activity_connected"),
        ("print_started", "print_started"),
        ("ready_for_shutting_down", "Switched_ON"),
        ("ready_for_shutting_down_extruder_HOT", "Switched_ON"),
        ("shutting_down_PI", "Switched_ON"),
        ("delayed_powering_relay_off", "Switched_ON"),
        ("going_down", "Switched_ON"),
    ],
)
def test_when_the_relay_was_let_go_only_early_states_go_on(tmp_path, fresh, cause, before, after):
    boot(tmp_path, {"initial_state": "Switched_ON"})
    kept = b"0 12 13 000|" + before.encode() + b" ASKED"
    silicon.memory = chip.rtc = b"OP5" + bytes([sum(kept) & 255]) + kept
    chip.restart(cause)
    boot(tmp_path)
    assert state_kept() == after
    assert chip.relay is (after != "Relay_off")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "7", "\x00\xff", b"\xff\xfe\x00", "{" * 3000, '{"a": ' * 900],
    ids=range(9),
)
def test_a_broken_config_still_drives_the_relay(tmp_path, fresh, text):
    boot(tmp_path, text)
    assert chip.relay
    assert state_kept() == "Waiting_for_print_activity"


def test_a_config_of_100_kb_still_drives_the_relay(tmp_path, fresh):
    boot(tmp_path, {"initial_state": "Relay_off", "x": "y" * 100_000})
    assert chip.relay


@pytest.mark.parametrize(
    "memory",
    [
        b"",
        b"\0" * 492,
        b"\xff" * 492,
        b"OP5",
        b"OP5\0",
        b"OP5\x7b{",
        b"OP5\x00|",
        bytes(range(256)),
    ],
    ids=range(8),
)
@pytest.mark.parametrize("driven", [False, True])
def test_garbage_in_the_rtc_memory_starts_a_plug_that_works(tmp_path, fresh, memory, driven):
    if memory == b"OP5\x00|":
        memory = b"OP5" + bytes([sum(b"|") & 255]) + b"|"
    silicon.memory = chip.rtc = memory
    if driven:
        chip.set_pin(12, silicon.DRIVEN)  # off, and so it stays
        chip.restart(4)
    boot(tmp_path)
    assert chip.relay is not driven
    assert state_kept() == ("Relay_off" if driven else "Waiting_for_print_activity")


@virtual
async def test_rtc_memory_that_fits_and_makes_no_sense_starts_a_plug_that_works(tmp_path):
    """Left by another version of this firmware, say, with the right sum."""
    for kept in b"12 13|x", b"a b c d|Relay_off", b"0 12 13 000|no_such_state", b"0 12 13 000":
        async with House(tmp_path, booted=True) as house:
            await house.kill()
            silicon.memory = chip.rtc = b"OP5" + bytes([sum(kept) & 255]) + kept
            chip.restart(6)
            house.switch_on()
            await house.until("Connected", 60)


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("state", ["Relay_off", "Switched_ON"])
def test_pins_and_inversion_are_those_of_the_settings(tmp_path, fresh, invert, state):
    chip.relay_pin, chip.relay_inverted = 15, invert
    boot(tmp_path, {"pin_relay": 15, "invert_relay": invert, "initial_state": state})
    assert chip.relay is (state != "Relay_off")
    assert not chip.driven(12)


@pytest.mark.parametrize("pin", [-1, 6, 11, 17, 1e3, "12", None, True, [12]])
def test_a_relay_pin_that_cannot_be_is_the_usual_one(tmp_path, fresh, pin):
    boot(tmp_path, {"pin_relay": pin})
    assert chip.relay
    assert chip.driven(12)


@virtual
async def test_boot_and_plug_agree_on_the_rtc_memory(tmp_path):
    """In every state: a restart with the pin driven writes nothing, and the plug goes on there."""
    for row in STATES.strip().split("\n")[:10]:
        alias, state = row.split(" ")[:2]
        async with House(tmp_path, booted=alias != "Going") as house:
            await house.reach(alias)
            facts = house.plug.machine.save()
            await house.kill()
            chip.restart(4)
            moves, memory = len(chip.relay_log), chip.rtc
            house.boot()
            assert chip.rtc == memory
            house.run(True)
            assert house.plug.machine.state == state
            assert house.plug.machine.save() == facts
            await house.pause(0.1)
            assert len(chip.relay_log) == moves


@virtual
async def test_a_restart_in_the_countdown_goes_on_where_no_name_can_be_looked_up(tmp_path):
    """octopi.local is answered by the Pi itself, which is down by then."""
    async with House(tmp_path, booted=True, min_job_s=1) as house:
        await house.reach("Countdown")
        await house.kill()
        house.run(False)

        async def resolve(host):
            raise OSError(2)

        house.plug.octo.resolve = resolve
        assert house.state == "Countdown"
        await house.until("Relay_off", 300)
        assert not house.pi.cuts


@virtual
async def test_a_restart_with_other_pins_in_the_settings_moves_no_relay(tmp_path):
    """They count from the next power-on."""
    async with House(tmp_path, booted=True) as house:
        await house.until("Connected", 30)
        house.configure(invert_relay=True, pin_led=2)
        await house.reset(4)
        await house.pause(30)
        assert not house.moves
        assert chip.relay


@virtual
async def test_last_is_what_comes_back_with_the_mains(tmp_path):
    async with House(tmp_path, booted=True, initial_state="last") as house:
        await house.reach("Switched_ON")
        await house.mains(False)
        await house.mains(True)
        assert house.state == "Switched_ON"
        house.command("FORCEOFF")
        await house.mains(False)
        await house.mains(True)
        assert house.state == "Relay_off"
        assert not chip.relay
        await house.pause(10)
        await house.short()
        assert chip.relay


# --- LED ----------------------------------------------------------------------------------------

# On and off in ms, as the README has it
LED = {
    "Relay_off": (0, 0),
    "Switched_ON": (0, 0),
    "Waiting": (50, 3000),
    "Connected": (3000, 3000),
    "Started": (1000, 3000),
    "Armed": (400, 3000),
    "Cooling": (20, 1000),
    "Going": (500, 3000),
}


class Lamp:
    """Watches the LED: `edges` are (ms, lit)."""

    def __init__(self):
        self.edges = []
        chip.listeners.append(self._edge)

    def _edge(self, ms, pin, driven, level):
        lit = chip.led
        if pin == chip.led_pin and (not self.edges or self.edges[-1][1] != lit):
            self.edges.append((ms, lit))

    def periods(self):
        """[(lit, ms)] of everything between the first and the last edge."""
        pairs = zip(self.edges, self.edges[1:], strict=False)
        return [(lit, until - since) for (since, lit), (until, _) in pairs]


def steady(lamp, on, off, slack=20):
    periods = lamp.periods()
    assert len(periods) >= 3
    for lit, ms in periods:
        assert abs(ms - (on if lit else off)) <= slack, periods


@pytest.mark.parametrize("state", LED)
@virtual
async def test_every_state_has_its_pattern_and_shows_it_at_once(tmp_path, state):
    on, off = LED[state]
    async with House(tmp_path, booted=state not in ("Waiting", "Going")) as house:
        house.when(state, lambda: setattr(house.loop, "grain_ms", 10))
        await house.reach(state)
        house.loop.grain_ms = 10
        await house.pause(0.05)
        assert chip.led is (on > 0) or on < 50
        lamp = Lamp()
        await house.pause(3 * (on + off) / 1000 + 1)
        if on:
            # the first period began when the state was entered
            lamp.edges = lamp.edges[1:]
            steady(lamp, on, off)
        else:
            assert not lamp.edges


@virtual
async def test_a_refused_shutdown_and_a_remembered_on_have_patterns_of_their_own(tmp_path):
    patterns = {}
    async with House(tmp_path, booted=True) as house:
        await house.reach("Asking")
        patterns["asking"] = house.plug.machine.led
        await house.until("Countdown", 5)
        patterns["countdown"] = house.plug.machine.led
        house.command("ON")
        patterns["remembered"] = house.plug.machine.led
    async with House(tmp_path, booted=True) as house:
        house.pi.octoprint.on_shutdown = None
        await house.reach("Asking")
        await house.pause(3)
        patterns["refused"] = house.plug.machine.led
    assert len({tuple(p) for p in patterns.values()}) == 4, patterns


@pytest.mark.parametrize(
    "mode", ["hang", "silent", "reset", "slow", "endless_body", "huge", "drip"]
)
@virtual
async def test_the_led_never_stutters_whatever_the_network_does(tmp_path, mode):
    async with House(tmp_path, booted=True, broker=True) as house:
        await house.reach("Armed")
        house.pi.octoprint.mode = mode
        house.broker.mode = "half"
        house.loop.grain_ms = 10
        await house.pause(4)
        lamp = Lamp()
        await house.pause(30)
        steady(lamp, *LED["Armed"])


@virtual
async def test_the_led_never_stutters_without_wifi_and_while_it_comes_back(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await house.reach("Armed")
        house.loop.grain_ms = 10
        await house.pause(4)
        lamp = Lamp()
        for up in False, True, False, True:
            house.wifi.up = up
            await house.pause(25)
        steady(lamp, *LED["Armed"])


@virtual
async def test_a_held_button_blinks_fast_and_then_faster_and_switches_nothing(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await house.until("Connected", 30)
        house.loop.grain_ms = 10
        chip.press()
        await house.pause(5.5)
        lamp = Lamp()
        await house.pause(2)
        steady(lamp, 100, 100)
        await house.pause(8)
        lamp.edges.clear()
        await house.pause(2)
        steady(lamp, 40, 40, 10)
        chip.release()
        await house.pause(1)
        assert house.state == "Connected"
        assert not house.moves


@virtual
async def test_a_button_held_five_seconds_switches_nothing(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await house.reach("Started")
        await house.press(5200)
        assert house.state == "Started"


@virtual
async def test_at_power_on_the_led_blinks_the_version(tmp_path):
    async with House(tmp_path, booted=True, on=False, led_version=True) as house:
        house.loop.grain_ms = 10
        chip.power(True)
        lamp = Lamp()
        house.switch_on()
        await house.pause(12)
        major, minor = (int(n) for n in house.plug.version.split(".")[:2])
        lit = [ms for is_lit, ms in lamp.periods() if is_lit and 150 <= ms <= 250]
        assert len(lit) == major + minor
        # and afterwards it shows the state
        await house.until("Connected", 40)
        lamp.edges.clear()
        await house.pause(20)
        lamp.edges = lamp.edges[1:]
        steady(lamp, *LED[house.state])


@pytest.mark.parametrize("cause", [4, 6])
@virtual
async def test_any_other_start_shows_the_state_at_once(tmp_path, cause):
    async with House(tmp_path, booted=True, led_version=True) as house:
        await house.pause(12)
        await house.reset(cause)
        house.loop.grain_ms = 10
        await house.pause(0.1)
        lamp = Lamp()
        await house.pause(20)
        lamp.edges = lamp.edges[1:]
        steady(lamp, *LED[house.state])


@virtual
async def test_the_button_works_while_the_version_is_shown(tmp_path):
    async with House(tmp_path, booted=True, led_version=True) as house:
        await house.pause(0.3)
        await house.short()
        assert house.state == "Switched_ON"


@virtual
async def test_led_off_is_dark_but_while_power_may_be_cut(tmp_path):
    async with House(tmp_path, booted=True, led_off=True) as house:
        await house.until("Connected", 30)
        await house.pause(1)
        lamp = Lamp()
        dark = []
        house.when("Asking", lambda: dark.append(not lamp.edges))
        await house.reach("Countdown")
        await house.pause(5)
        assert dark == [True]
        assert len(lamp.edges) > 10


@virtual
async def test_a_pattern_of_the_settings_is_used_and_does_not_drift(tmp_path):
    """Though the LED is set only every 10 ms."""
    pattern = "Waiting_for_print_activity_connected 733 304"
    async with House(tmp_path, booted=True, led_patterns=[pattern]) as house:
        await house.until(lambda: house.reason == "nothing printing", 30)
        house.loop.grain_ms = 10
        await house.pause(1.5)
        lamp = Lamp()
        await house.pause(60)
        lamp.edges = lamp.edges[1:]
        steady(lamp, 733, 304)
        lit = [ms for ms, is_lit in lamp.edges if is_lit]
        assert abs(lit[-1] - lit[0] - 1037 * (len(lit) - 1)) <= 20


@pytest.mark.parametrize("start_ms", [2**30 - 20_000, 2**29 - 20_000])
@virtual
async def test_the_clock_may_wrap_at_any_time(tmp_path, start_ms):
    from simulator import hardware

    async with House(tmp_path, booted=True) as house:
        await house.kill()
        hardware.start_ticks(start_ms)
        await house.reset(4)
        await house.reach("Armed")
        house.loop.grain_ms = 10
        lamp = Lamp()
        await house.pause(30)
        lamp.edges = lamp.edges[1:]
        steady(lamp, *LED["Armed"])
        await house.short()
        assert house.state == "Switched_ON"
        assert not house.moves


# --- button -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["hang", "silent", "slow", "endless_head", "garbage"])
@virtual
async def test_no_press_is_lost_or_misread_while_the_network_is_slow(tmp_path, mode):
    async with House(tmp_path, booted=True, broker=True) as house:
        await house.until("Connected", 30)
        house.pi.octoprint.mode = mode
        house.broker.mode = "hang"
        house.loop.grain_ms = 10
        await house.pause(7)
        for _ in range(10):
            await house.press(90)
            assert house.state == "Switched_ON"
            await house.pause(1.7)
            await house.press(90)
            assert house.state in ("Waiting", "Connected")
            await house.pause(1.3)
        await house.press(900)
        assert house.state in ("Going", "Armed")


@virtual
async def test_a_bouncing_contact_is_one_press(tmp_path):
    async with House(tmp_path, booted=True, grain_ms=1) as house:
        await house.until("Connected", 30)
        for ms in 3, 2, 5, 1, 120:
            chip.press()
            await house.pause(ms / 1000)
            chip.release()
            await house.pause(0.004)
        await house.pause(0.2)
        assert house.state == "Switched_ON"


# --- WiFi ---------------------------------------------------------------------------------------


@virtual
async def test_the_station_is_set_up_as_it_must_be(tmp_path):
    import network

    network.WLAN(0).config(pm=network.WLAN.PM_POWERSAVE)
    async with House(tmp_path, booted=True, hostname="shelf-{id}", wifi_country="DE") as house:
        await house.until("Connected", 30)
        assert house.wifi.active == [True, False]
        assert house.wifi.wanted == ("workshop", "any will do")
        assert network.hostname() == "shelf-ab128a"
        assert network.country() == "DE"
        assert network.WLAN(0).config("pm") == network.WLAN.PM_NONE


@virtual
async def test_the_host_name_is_set_before_the_network_is_joined(tmp_path):
    import network

    names = []
    radio = silicon.radio

    def heard():
        if silicon.wanted:
            names.append(network.hostname())
        radio()

    silicon.radio = heard
    try:
        async with House(tmp_path, booted=True, hostname="shelf") as house:
            network.hostname("ESP8266")
            names.clear()
            await house.until("Connected", 30)
    finally:
        silicon.radio = radio
    assert set(names) == {"shelf"}


@virtual
async def test_after_a_loss_the_network_is_joined_again(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await house.until("Connected", 30)
        house.wifi.up = False
        await house.pause(300)
        assert house.state == "Waiting"
        house.wifi.up = True
        await house.until("Connected", 30)


@virtual
async def test_a_wrong_password_is_tried_again_and_nothing_else_suffers(tmp_path):
    async with House(tmp_path, booted=True) as house:
        house.wifi.passwords["workshop"] = "another one"
        await house.pause(120)
        assert house.state == "Waiting"
        assert "no WiFi" in house.reason
        await house.short()
        assert house.state == "Switched_ON"
        await house.short()
        house.wifi.passwords["workshop"] = "any will do"
        await house.until("Connected", 60)


@virtual
async def test_a_slow_access_point_is_given_its_time(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await house.kill()
        house.wifi.join_ms = 12_000
        chip.power_cycle()
        house.wifi.join_ms = 12_000
        house.switch_on()
        await house.until("Connected", 90)


@virtual
async def test_without_a_network_in_the_settings_button_and_relay_work(tmp_path):
    async with House(tmp_path, booted=True, wifi_ssid="") as house:
        await house.pause(60)
        assert house.state == "Waiting"
        await house.short()
        assert house.state == "Switched_ON"
        for _ in range(3):
            await house.long()
            await house.pause(1)
        assert house.state == "Relay_off"


# --- settings, live -----------------------------------------------------------------------------


@virtual
async def test_saved_settings_are_used_at_once(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await house.reach("Cooling")
        house.save(cool_below_c=120)
        await house.pause(60)
        assert house.printer.heaters["tool0"].actual > 50
        assert house.state in ("Asking", "Countdown")
        assert not house.moves


@virtual
async def test_another_octoprint_drops_all_evidence_and_moves_nothing(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await house.reach("Cooling")
        other = OctoPrint(Printer(house.loop.time))
        other.printer.connect()
        other.open()
        try:
            await house.until(lambda: house.printer.heaters["tool0"].actual < 52, 200)
            house.save(octoprint_port=other.port)
            await house.pause(0.5)
            assert house.state == "Cooling"
            seen = len(other.requests_seen)
            await house.pause(30)
            assert len(other.requests_seen) > seen
            assert house.asked() == 0
            assert not house.moves
        finally:
            other.close()


@virtual
async def test_evidence_of_the_old_host_counts_for_nothing_at_the_new_one(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await house.reach("Cooling")
        await house.until(lambda: house.plug.machine.hottest < 56, 200)
        house.pi.octoprint.mode = "hang"
        house.save(octoprint_api_key="ANOTHERKEYANOTHERKEYANOTHERKEY00")
        await house.pause(1)
        assert house.plug.machine.hottest is None
        assert house.plug.octo.address == ""


@virtual
async def test_a_poll_under_way_when_the_host_changes_counts_for_nothing(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await house.until("Connected", 30)
        port = house.pi.octoprint.port
        other = OctoPrint(Printer(house.loop.time), port, host="127.0.0.2")
        other.printer.connect()
        other.open()
        try:
            house.pi.octoprint.busy_s = 3
            polls = len(house.pi.octoprint.requests)
            await house.until(lambda: len(house.pi.octoprint.requests) > polls, 20)
            await house.pause(3)  # the next has gone out, and is not answered yet
            house.save(octoprint_host="127.0.0.2")
            await house.pause(10)
            old, new = len(house.pi.octoprint.requests), len(other.requests)
            await house.pause(30)
            assert len(house.pi.octoprint.requests) == old
            assert len(other.requests) > new
        finally:
            other.close()


@pytest.mark.parametrize("state", ["Asking", "Countdown", "Going"])
@virtual
async def test_while_power_may_be_cut_nothing_heard_is_dropped_for_a_new_host(tmp_path, state):
    async with House(tmp_path, booted=state != "Going") as house:
        if state == "Asking":
            house.pi.octoprint.on_shutdown = None  # so that it stays there
        await house.reach(state)
        turns = house.plug.machine.turns
        house.plug.changes = ("octoprint_port",)
        await house.pause(8)
        assert house.state == state
        assert house.plug.changes and house.plug.machine.turns == turns
        if state == "Asking":
            await house.short()
        else:
            await house.until(lambda: house.state not in ("Countdown", "Going"), 200)
        await house.pause(1)
        assert house.plug.changes is None and house.plug.machine.turns > turns
        assert not house.pi.cuts


@virtual
async def test_another_broker_is_connected_to(tmp_path):
    async with House(tmp_path, booted=True, broker=True) as house:
        await house.until(lambda: house.retained("/status") == "online", 30)
        other = Broker(clock=house.broker.clock)
        await other.start()
        try:
            house.save(mqtt_port=other.port)
            topic = house.topic("/plugstate")
            await house.until(lambda: topic in other.retained, 30)
            assert house.state == "Connected"
        finally:
            await other.stop()


@virtual
async def test_no_broker_any_more_and_one_again(tmp_path):
    async with House(tmp_path, booted=True, broker=True) as house:
        await house.until(lambda: house.retained("/status") == "online", 30)
        house.save(mqtt_host="")
        await house.pause(30)
        seen = len(house.broker.log)
        await house.short()
        await house.pause(120)
        assert len(house.broker.log) <= seen + 1  # its last will at most
        house.save(mqtt_host="127.0.0.1")
        await house.until(lambda: house.retained("/plugstate") == "Switched_ON", 60)


@virtual
async def test_a_bad_setting_is_refused_whole_and_changes_nothing(tmp_path):
    async with House(tmp_path, booted=True) as house:
        before = (tmp_path / "config.json").read_text()
        wrong = settings.save({"cool_below_c": 500, "poll_s": 3})
        assert "cool_below_c" in wrong["cool_below_c"]
        assert "150" in wrong["cool_below_c"]
        assert (tmp_path / "config.json").read_text() == before
        assert house.plug.s.poll_s == 5


@virtual
async def test_a_broken_config_is_a_plug_that_works_without_network(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await house.mains(False)
        (tmp_path / "config.json").write_text('{"wifi_ssid": "work')
        await house.mains(True)
        await house.pause(30)
        assert house.state == "Waiting"
        assert (tmp_path / "config.bad").exists()
        await house.short()
        assert house.state == "Switched_ON"


# --- what a poll is worth -----------------------------------------------------------------------


@virtual
async def test_a_reading_from_before_the_relay_moved_counts_for_nothing(tmp_path):
    """OctoPrint on a machine of its own, slow to answer; off and on while it thinks."""
    async with House(tmp_path, booted=True) as house:
        other = OctoPrint(Printer(house.loop.time))
        other.printer.connect()
        other.open()
        try:
            house.save(octoprint_port=other.port)
            await house.until(lambda: len(other.requests) > 2, 30)
            other.busy_s = 8
            await house.pause(6)  # one has gone out
            house.command("FORCEOFF")
            house.command("ON")
            await house.until("Waiting", 6)
            closed = house.s
            await house.until("Connected", 30)
            assert house.s - closed > 8  # the time of a whole poll
        finally:
            other.close()


@virtual
async def test_while_it_goes_down_the_address_that_answered_is_asked_whatever_the_name_means(
    tmp_path,
):
    """The router gives the name to another machine as soon as the Pi has left."""
    meanings = ["127.0.0.1"]

    async def resolve(host):
        assert host == "octopi.local"
        return meanings[0]

    async with House(tmp_path, booted=True, octoprint_host="octopi.local") as house:
        house.plug.octo.resolve = resolve
        await house.reach("Cooling")
        meanings[0] = "127.0.0.9"  # it lives, and refuses
        await house.until(lambda: house.state == "Relay_off", 400)
        assert not house.pi.cuts


@virtual
async def test_in_the_countdown_a_silent_pi_is_looked_at_often(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await house.reach("Countdown")
        times = []
        observe = house.plug.machine.observe

        def seen(evidence, now):
            if evidence[0] == "SILENT":
                times.append(house.s)
            return observe(evidence, now)

        house.plug.machine.observe = seen
        await house.until(lambda: house.state == "Relay_off", 120)
        gaps = [b - a for a, b in zip(times, times[1:], strict=False)]
        assert max(gaps) < 5  # 2 s for each of two ports


# --- MQTT ---------------------------------------------------------------------------------------


async def connected(house):
    await house.until("Connected", 60)
    await house.until(lambda: house.retained("/status") == "online", 60)


@pytest.mark.parametrize(
    "payload, state",
    [
        (b"ON", "Waiting"),
        (b"AFTERJOB", "Waiting"),
        (b"PERMON", "Switched_ON"),
        (b" permon\r\n", "Switched_ON"),
        (b"off", "Armed"),
        (b"FORCEOFF", "Relay_off"),
        (b"ForceOff ", "Relay_off"),
    ],
)
@virtual
async def test_a_command_is_obeyed_and_answered_with_a_dash(tmp_path, payload, state):
    async with House(tmp_path, booted=True, broker=True) as house:
        await connected(house)
        if state == "Waiting":
            await house.short()
        await house.broker.publish(house.topic("/switch"), payload)
        await house.until(lambda: state in [name for _, name in house.states[-3:]], 5)
        await house.until(lambda: house.retained("/switch") == "-", 5)
        await house.pause(10)
        assert house.published("/error") == []
        assert house.published("/switch") == ["-"]  # and its own dash is no command


@pytest.mark.parametrize(
    "payload",
    [b"OPEN", b"ON OFF", b"\xff\xfe\x00", b"o" * 100, b"0", b"\xf0\x9f\x94\x8c", b"x" * 300],
)
@virtual
async def test_anything_else_is_answered_on_error_and_switches_nothing(tmp_path, payload):
    async with House(tmp_path, booted=True, broker=True) as house:
        await connected(house)
        await house.broker.publish(house.topic("/switch"), payload)
        await house.until(lambda: house.published("/error"), 10)
        (text,) = house.published("/error")
        assert "FORCEOFF" in text  # it names what would have been understood
        assert len(text) < 200
        assert house.state == "Connected"
        assert not house.moves
        await house.pause(60)
        assert house.plug.mqtt.connected


@pytest.mark.parametrize("payload", [b"-", b"", b"  ", b" - "])
@virtual
async def test_a_dash_and_nothing_are_ignored(tmp_path, payload):
    async with House(tmp_path, booted=True, broker=True) as house:
        await connected(house)
        seen = len(house.published("/switch"))
        await house.broker.publish(house.topic("/switch"), payload)
        await house.pause(20)
        assert house.published("/error") == []
        assert len(house.published("/switch")) == seen
        assert house.state == "Connected"


@virtual
async def test_of_several_commands_within_a_second_the_last_wins(tmp_path):
    async with House(tmp_path, booted=True, broker=True, grain_ms=20) as house:
        await connected(house)
        await house.pause(3)  # until all has been told
        states = len(house.states)
        topic = house.topic("/switch")  # one after the other they might take longer than a second
        payloads = b"OFF", b"ON", b"PERMON"
        await asyncio.gather(*(house.broker.publish(topic, payload) for payload in payloads))
        await house.pause(5)
        assert [name for _, name in house.states[states:]] == ["Switched_ON"]


@virtual
async def test_forceoff_does_not_wait_for_its_turn(tmp_path):
    async with House(tmp_path, booted=True, broker=True) as house:
        await connected(house)
        start = house.s
        await house.broker.publish(house.topic("/switch"), b"FORCEOFF")
        await house.until("Relay_off", 2)
        assert house.moves[0][0] - start < 0.6


@virtual
async def test_retained_commands_are_dropped_and_cleared(tmp_path):
    async with House(tmp_path, booted=True, broker=True) as house:
        topic = house.topic("/switch")
        await house.broker.publish(topic, b"FORCEOFF", retain=True)
        await connected(house)
        await house.until(lambda: house.retained("/switch") == "-", 10)
        await house.until(lambda: house.published("/error"), 5)
        assert "retained" in house.published("/error")[0]
        assert not house.moves


@virtual
async def test_every_state_is_published_in_its_order(tmp_path):
    names = {row.split(" ")[0]: row.split(" ")[1] for row in STATES.strip().split("\n")[:10]}
    async with House(tmp_path, booted=True, broker=True) as house:
        await connected(house)
        await house.reach("Countdown")
        await house.until(lambda: house.state == "Relay_off", 120)
        await house.pause(10)
        passed = [names[name] for _, name in house.states]
        told = house.published("/plugstate")
        told = [name for n, name in enumerate(told) if not n or told[n - 1] != name]
        assert told[-7:] == passed[-7:]
        assert house.retained("/plugstate") == "Relay_off"
        assert house.retained("/relay") == "OFF"
        assert house.retained("/reason") == "off"


@virtual
async def test_what_is_published_and_what_is_retained(tmp_path):
    async with House(tmp_path, booted=True, broker=True, mqtt_report_s=10) as house:
        await connected(house)
        await house.print_part(600)
        await house.pause(60)
        retained = {topic[len(house.topic("")) :] for topic in house.broker.retained}
        assert retained >= {
            "/plugstate", "/relay", "/mode", "/reason", "/status", "/info"
        }  # fmt: skip
        assert not {name for name in retained if name.startswith(("/state", "/job"))}
        assert house.retained("/mode") == "ON"
        assert house.published("/countdown") == [""]
        assert house.published("/state/printstate")[-1] == "Printing"
        assert float(house.published("/state/extrudertemp")[-1]) > 180
        assert "." in house.published("/state/bedtemp")[-1]
        assert house.published("/job/jobstate")[-1] == "Printing"
        assert 0 <= float(house.published("/job/jobprogress")[-1]) < 100
        info = json.loads(house.retained("/info"))
        assert set(info) >= {
            "version", "ip", "rssi", "uptime_s", "heap_free", "heap_largest", "reset_cause", "slot"
        }  # fmt: skip
        reports = len(house.published("/state/extrudertemp"))
        await house.pause(100)
        assert 9 <= len(house.published("/state/extrudertemp")) - reports <= 40


@virtual
async def test_an_outage_of_the_broker_hides_no_change(tmp_path):
    async with House(tmp_path, booted=True, broker=True) as house:
        await connected(house)
        house.broker.mode = "refused"
        await house.pause(5)
        await house.print_part(3600)
        await house.until("Started", 30)
        await house.long()
        await house.pause(200)
        house.broker.mode = "ok"
        await house.until(lambda: house.retained("/plugstate") == "ready_for_shutting_down", 90)
        await house.until(lambda: house.retained("/mode") == "OFF", 5)
        await house.until(lambda: house.retained("/status") == "online", 5)
        assert not house.moves


@pytest.mark.parametrize(
    "mode", ["hang", "reset", "refused", "silent", "half", "huge", "garbage", "no_entry"]
)
@virtual
async def test_a_broker_gone_wrong_hurts_nothing_and_is_come_back_to(tmp_path, mode):
    async with House(tmp_path, booted=True, broker=True) as house:
        await connected(house)
        house.broker.mode = mode
        await house.pause(200)
        await house.short()
        assert house.state == "Switched_ON"
        house.broker.mode = "ok"
        await house.until(lambda: house.retained("/plugstate") == "Switched_ON", 90)
        assert not house.moves


@virtual
async def test_a_broken_connection_is_told_by_the_last_will(tmp_path):
    async with House(tmp_path, booted=True, broker=True, mqtt_keepalive_s=30) as house:
        await connected(house)
        house.wifi.up = False
        await house.until(lambda: house.retained("/status") == "offline", 60)
        house.wifi.up = True
        await house.until(lambda: house.retained("/status") == "online", 120)


@virtual
async def test_reconnecting_starts_after_a_second_and_slows_down_to_a_minute(tmp_path):
    async with House(tmp_path, booted=True, broker=True) as house:
        await connected(house)
        tries = []
        house.broker.mode = "reset"
        broken = house.s
        accepted = house.broker.door.accepted
        while house.s - broken < 400:
            if house.broker.door.accepted != accepted:
                accepted = house.broker.door.accepted
                tries.append(house.s)
            await house.pause(0.1)
        gaps = [b - a for a, b in zip(tries, tries[1:], strict=False)]
        assert tries[0] - broken < 4
        assert 55 <= gaps[-1] <= 65
        assert 7 <= len(tries) <= 12
        house.broker.mode = "ok"
        await house.until(lambda: house.plug.mqtt.connected, 70)
        await house.pause(61)
        house.broker.mode = "reset"
        broken = house.s
        accepted = house.broker.door.accepted
        await house.until(lambda: house.broker.door.accepted > accepted, 4)  # anew from 1 s


@virtual
async def test_sub_topics_are_those_of_the_settings(tmp_path):
    async with House(
        tmp_path, booted=True, broker=True, mqtt_topic="shop/plug", topic_plugstate="/now",
        topic_switch="/do",
    ) as house:  # fmt: skip
        await house.until(lambda: "shop/plug/now" in house.broker.retained, 60)
        await house.broker.publish("shop/plug/do", b"PERMON")
        await house.until("Switched_ON", 5)
        await house.until(lambda: house.broker.retained.get("shop/plug/do") == b"-", 5)


@virtual
async def test_a_storm_of_commands_from_the_broker_is_got_over(tmp_path):
    async with House(tmp_path, booted=True, broker=True) as house:
        await connected(house)
        await house.print_part(3600)  # or an OFF among them might be followed in time
        words = (b"ON", b"OFF", b"nonsense", b"PERMON", b"-", b"x" * 5000)
        for n in range(300):
            await house.broker.publish(house.topic("/switch"), words[n % 6])
            if n % 10 == 0:
                await house.pause(0.1)
        await house.broker.publish(house.topic("/switch"), b"PERMON")
        await house.until(lambda: house.state == "Switched_ON", 30)
        await house.pause(10)
        assert house.state == "Switched_ON"
        assert not house.moves
        assert house.pi.state == UP


def test_plug_has_a_version_like_the_project(request):
    pyproject = (request.config.rootpath / "pyproject.toml").read_text()
    assert f'version = "{plug.Plug.version}"' in pyproject


@virtual
async def test_a_new_plug_blinks_its_version_to_the_end_before_it_opens_the_portal(tmp_path):
    """Without a network there is nothing but the portal, but no restart for its sake."""
    async with House(tmp_path, wifi_ssid="", led_version=True) as house:
        plug = house.plug
        await house.pause(4)
        assert plug._intro and not plug.visit
        await house.pause(2)
        assert plug.visit and house.plug is plug and house.restarts == 0
