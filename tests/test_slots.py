"""An update that proves bad is given up, and what ran before runs again: the relay never moves."""

import asyncio
import json
import os
import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import build
import bundle
import slots
import trial
from simulator import runner as runner_module
from simulator.hardware import chip
from simulator.runner import Runner
from test_plug import in_a_child, run_main, running, under_main, wait_for
from whole import House, virtual

# --- which slot ---------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty file system of a plug, as current directory; slots("ab") makes whole ones."""
    monkeypatch.chdir(tmp_path)
    chip.reset()
    return tmp_path


def whole(letters):
    for letter in letters:
        Path(letter).mkdir(exist_ok=True)
        Path(letter, "settings.txt").write_bytes(b"")


def line():
    return Path("slot").read_text() if Path("slot").exists() else None


FAULT = ImportError("no module named 'x'")

# what /slot says, slots that are whole, the chip has just started, what ended the run before, how
# many in a row -> the slot to be started, and what /slot says then
CHOICES = {
    "a new plug": (None, "a", True, None, 0, "a", None),
    "a new plug with b only": (None, "b", True, None, 0, "b", None),
    "confirmed": ("b", "ab", True, None, 0, "b", "b"),
    "nonsense": ("\0\xff", "ab", True, None, 0, "a", "\0\xff"),
    "nonsense, and only b": ("x? 3", "b", True, None, 0, "b", "x? 3"),
    "first start on trial": ("b? 3", "ab", False, None, 0, "b", "b? 2"),
    "third start on trial": ("b? 1", "ab", True, None, 0, "b", "b? 0"),
    "fourth": ("b? 0", "ab", True, None, 0, "a", "a"),
    "fourth, in place": ("b? 0", "ab", False, None, 0, "a", "a!"),
    "torn": ("b?", "ab", True, None, 0, "a", "a"),
    "raised on trial": ("b? 2", "ab", False, FAULT, 1, "a", "a!"),
    "interrupted on trial": ("b? 2", "ab", False, KeyboardInterrupt(), 1, "b", "b? 1"),
    "a on trial, too": ("a? 2", "ab", False, MemoryError(), 1, "b", "b!"),
    "nothing to go back to": ("b? 2", "b", False, FAULT, 1, "b", "b? 2"),
    "on trial and not whole": ("b? 2", "a", True, None, 0, "a", "a"),
    "confirmed, not whole": ("b", "a", True, None, 0, "a", "b"),
    "raised once": ("b", "ab", False, FAULT, 1, "b", "b"),
    "raised three times": ("b", "ab", False, FAULT, 3, "a", "b"),
    "both raised three times": ("b", "ab", False, FAULT, 6, "", "b"),
    "the only one raised six times": ("b", "b", False, FAULT, 6, "", "b"),
    "confirmed, fed": ("b!", "ab", False, None, 0, "b", "b!"),
    "confirmed, fed no more": ("b!", "ab", True, None, 0, "b", "b"),
}


@pytest.mark.parametrize("case", CHOICES)
def test_which_slot_is_started(root, case):
    said, there, first, error, fails, letter, after = CHOICES[case]
    whole(there)
    if said is not None:
        Path("slot").write_text(said, encoding="latin1")
    assert trial.find(first, error, fails) == (letter, "plug" if letter else "recovery")
    assert (after is None and line() is None) or Path("slot").read_text("latin1") == after
    assert not Path("slot.new").exists()


def test_why_a_slot_was_given_up_is_kept(root, capsys):
    whole("ab")
    Path("slot").write_text("b? 2")
    trial.find(False, FAULT, 1)
    why = "slot b given up: ImportError(\"no module named 'x'\")"
    assert Path("slot.why").read_text() == why
    assert why in capsys.readouterr().out


def test_why_fits_on_a_page_however_long_it_is(root):
    whole("ab")
    Path("slot").write_text("b? 2")
    trial.find(False, ValueError("x" * 500), 1)
    assert len(Path("slot.why").read_text()) <= 128


def test_a_flash_that_takes_nothing_has_no_trial(root, monkeypatch):
    whole("ab")
    Path("slot").write_text("b? 3")
    Path("slot.new").mkdir()
    assert trial.find(True, None, 0) == ("a", "plug")


def test_a_trial_is_watched_from_before_its_first_line(root):
    whole("ab")
    for text, watched in (("b", False), ("b!", False), ("b? 3", True)):
        chip.reset()
        Path("slot").write_text(text)
        trial.find(True, None, 0)
        assert (chip.watchdog is not None) == watched, text


@pytest.mark.parametrize(
    "text, first, fed",
    [("a? 2", True, True), ("a? 2", False, True), ("a!", False, True), ("a!", True, False),
     ("a", False, False), ("", False, False)],
)  # fmt: skip
def test_a_watchdog_that_runs_is_fed_and_no_other_is_started(root, text, first, fed):
    Path("slot").write_text(text)
    assert (slots.watchdog(first) is not None) == fed
    assert (chip.watchdog is not None) == fed


def test_an_update_goes_to_the_other_slot_and_is_on_trial_there(root, monkeypatch):
    for here, other in (("a", "b"), ("b", "a")):
        monkeypatch.setattr("sys.path", [here, *sys.path])
        assert slots.other() == other
        slots.activate(other)
        assert line() == f"{other}? 3"


# --- main.py ------------------------------------------------------------------------------------

# How a slot's plug.py may end, each in its own way a bad update.
BAD = {
    "raises when it is loaded": "raise ValueError('bad')",
    "is no Python": "def run(",
    "lacks a module": "import nowhere",
    "raises when it runs": "def run(*_): raise RuntimeError('bad')",
    "leaves": "def run(*_): raise SystemExit",
    "has no room": "def run(*_): raise MemoryError",
    "ends again and again": "def run(*_): return ()",
}
GOOD = "import builtins\ndef run(first, *given): return builtins.ran(__file__, first)"


def main_with(folder, slot, texts, runs):
    """Run main.py on slots with these texts as plug.py; the slots that said so, until `runs` of
    them have, or it has slept often."""

    def play(done):
        os.chdir(folder)
        sys.path[:0] = [""]
        for letter, text in texts.items():
            Path(letter).mkdir()
            Path(letter, "plug.py").write_text(text)
            Path(letter, "settings.txt").touch()
        Path("recovery.py").write_text(GOOD)
        if slot:
            Path("slot").write_text(slot)
        said, sleeps = [], []

        def end():
            why = Path("slot.why").read_text() if Path("slot.why").exists() else ""
            done({"ran": said, "slot": line(), "why": why, "left": sorted(os.listdir())})

        def ran(path, first):
            path = Path(path)
            said.append([path.stem if path.stem == "recovery" else path.parent.name, first])
            if len(said) == runs:
                end()
            return ()

        def sleep_ms(ms):
            sleeps.append(ms)
            if len(sleeps) > 20:
                end()

        import builtins

        builtins.ran = ran
        time.sleep_ms = sleep_ms
        sys.print_exception = lambda error: None
        sys.dont_write_bytecode = True
        sys.modules.pop("plug", None)
        sys.stdin = None
        run_main()

    return in_a_child(play)


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_a_bad_update_gives_way_to_what_ran_before(tmp_path, text):
    seen = main_with(tmp_path, "b? 3", {"a": GOOD, "b": text}, 1)
    assert seen["ran"] == [["a", False]]
    assert seen["slot"] == "a!"
    assert seen["why"].startswith("slot b given up: ")


def test_a_good_update_runs(tmp_path):
    seen = main_with(tmp_path, "b? 3", {"a": GOOD, "b": GOOD}, 2)
    assert seen["ran"] == [["b", True], ["b", False]]
    assert seen["slot"] == "b? 1"


def test_a_confirmed_slot_that_breaks_gives_way_for_now(tmp_path):
    seen = main_with(tmp_path, "b", {"a": GOOD, "b": BAD["lacks a module"]}, 1)
    assert seen["ran"] == [["a", False]]
    assert seen["slot"] == "b"


def test_when_no_slot_starts_there_is_the_recovery(tmp_path):
    bad = BAD["raises when it is loaded"]
    seen = main_with(tmp_path, "b", {"a": bad, "b": bad}, 1)
    assert seen["ran"] == [["recovery", False]]


def test_an_interrupt_between_two_runs_leaves_the_collector_on(monkeypatch):
    calls = []

    def disable():
        calls.append("off")
        raise KeyboardInterrupt

    here = {"disable": disable, "enable": lambda: calls.append("on"), "collect": lambda: None}
    monkeypatch.setattr(trial, "gc", SimpleNamespace(**here))
    with pytest.raises(KeyboardInterrupt):
        trial.occupy()
    assert calls == ["off", "on"]


def test_without_the_chooser_the_slot_runs_all_the_same(tmp_path, monkeypatch):
    class Lost:
        @staticmethod
        def find_spec(name, *_):
            if name == "trial":
                raise ImportError("lost")

    monkeypatch.delitem(sys.modules, "trial", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Lost, *sys.meta_path])
    assert main_with(tmp_path, "b", {"a": GOOD, "b": GOOD}, 1)["ran"] == [["a", True]]


# --- the plug -----------------------------------------------------------------------------------


def on_trial(folder):
    (folder / "slot").write_text("a? 2")


@virtual
async def test_a_minute_with_wifi_confirms_it_without_octoprint_or_broker(tmp_path):
    on_trial(tmp_path)
    async with House(tmp_path, mqtt_host="127.0.0.1", mqtt_port=9) as house:
        assert house.plug.watchdog
        await asyncio.sleep(58)
        assert (tmp_path / "slot").read_text() == "a? 2"
        await asyncio.sleep(5)
        assert (tmp_path / "slot").read_text() == "a!"
        assert house.moves == [] and not house.restarts


def test_ten_minutes_without_wifi_end_it_and_no_relay_moves(tmp_path):
    """What is in the slots cannot be loaded here, so the same firmware runs in both."""
    for letter in "ab":
        (tmp_path / letter).mkdir()
        (tmp_path / letter / "settings.txt").write_bytes(b"")
    on_trial(tmp_path)

    async def script(house):
        house.wifi.up = False
        await wait_for(running, 30)
        before = running()
        await asyncio.sleep(580)
        during = running() is before, line()
        await asyncio.sleep(40)
        why = Path("slot.why").read_text()
        return [during, running() is before, line(), why, house.moves]

    seen = under_main(tmp_path, script)
    assert seen[:3] == [[True, "a? 1"], False, "b!"]
    assert "no network" in seen[3] and seen[4] == []


@virtual
async def test_the_portal_of_a_plug_without_wifi_confirms_it_too(tmp_path):
    on_trial(tmp_path)
    async with House(tmp_path, wifi_ssid="", wifi_password="") as house:
        await asyncio.sleep(75)
        assert (tmp_path / "slot").read_text() == "a!"
        assert house.plug.visit


@virtual
async def test_the_watchdog_is_fed_over_restarts_in_place_and_goes_on_being(tmp_path):
    on_trial(tmp_path)
    async with House(tmp_path, portal_open_s=30) as house:
        for seconds in 50, 100:
            await house.press(6000)
            for _ in range(seconds * 10):
                await asyncio.sleep(0.1)
                assert chip.clock() - chip.watchdog < 1600
        assert house.restarts == 4
        assert (tmp_path / "slot").read_text() == "a!"


@virtual
async def test_a_loop_that_fails_each_round_is_not_fed_for(tmp_path):
    on_trial(tmp_path)
    async with House(tmp_path) as house:
        await asyncio.sleep(5)
        house.plug.gestures.sample = lambda *_: 1 / 0
        await asyncio.sleep(5)
        assert chip.clock() - chip.watchdog > 4900


# --- on MicroPython -----------------------------------------------------------------------------

ENDLESS = "while True:\n    pass\n"
# For the .mpy of slot b: text to compile, or what the file holds
WORSE = {
    "loops for ever": ENDLESS,
    "loops once it runs": "def run(*_):\n    " + ENDLESS.replace("\n", "\n    "),
    "eats the heap": "kept = []\nwhile True:\n    kept.append(bytearray(500))\n",
    "is of another version": b"M\x05\x00\x1f" + bytes(40),
    "is empty": b"",
}


@pytest.mark.real
@pytest.mark.parametrize("new", WORSE.values(), ids=WORSE)
async def test_worse_updates_come_back_with_the_relay_on(micropython, flash, tmp_path, new,
                                                         monkeypatch):  # fmt: skip
    monkeypatch.setattr(runner_module, "_BITE_S", 1.0)
    folder = tmp_path / "plug"
    shutil.copytree(flash, folder)
    shutil.copytree(folder / "a", folder / "b")
    if isinstance(new, bytes):
        (folder / "b/plug.mpy").write_bytes(new)
    else:
        (tmp_path / "plug.py").write_text(new)
        build.compile_mpy(tmp_path / "plug.py", folder / "b/plug.mpy", 3)
    (folder / "config.json").write_text(json.dumps({"wifi_ssid": "x", "led_version": False}))
    (folder / "slot").write_text("b? 3")
    runner = Runner(folder, "micropython", 40 * 1024)
    await runner.start()
    try:
        async with asyncio.timeout(30):
            while not runner.state:
                await asyncio.sleep(0.05)
        relay = [closed for _, closed in runner.chip.relay_log]
        assert relay in ([True], [False, True])
        assert (folder / "slot").read_text() in ("a", "a!")
        assert (folder / "slot.why").read_text().startswith("slot b given up: ")
        bites = new in (WORSE["loops for ever"], WORSE["loops once it runs"])
        assert (runner.chip.cause == 3) == bites  # the watchdog, or in place
    finally:
        await runner.stop()


# --- when neither slot starts -------------------------------------------------------------------


async def ask(runner, raw):
    reader, writer = await asyncio.open_connection("127.0.0.1", runner.ports["tcp", 80])
    writer.write(raw)
    answer = await reader.read()
    writer.close()
    return answer.decode()


def upload(data, name="bundle"):
    body = b'--XX\r\nContent-Disposition: form-data; name="%s"; filename="x"\r\n' % name.encode()
    body += b"Content-Type: application/octet-stream\r\n\r\n" + data + b"\r\n--XX--\r\n"
    head = "POST / HTTP/1.1\r\nHost: 192.168.4.1\r\nContent-Type: multipart/form-data; boundary=XX"
    return f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.real
async def test_with_both_slots_bad_a_bundle_and_the_button_bring_the_plug_back(
    micropython, flash, tmp_path
):
    folder = tmp_path / "plug"
    shutil.copytree(flash, folder)
    data = bundle.of_slot(folder / "a")
    shutil.copytree(folder / "a", folder / "b")
    for slot in "ab":
        (folder / slot / "plug.mpy").write_bytes(b"M\x05")
    given = {"wifi_ssid": "x", "portal_password": "correct horse", "led_version": False}
    (folder / "config.json").write_text(json.dumps(given))
    runner = Runner(folder, "micropython", 36 * 1024)
    await runner.start()
    try:
        async with asyncio.timeout(40):
            while not runner.serves("tcp", 80):
                await asyncio.sleep(0.05)
        assert runner.chip.wifi.point[:2] == ("SetupOctoPlugout", "correct horse")
        page = await ask(runner, b"GET / HTTP/1.1\r\nHost: 192.168.4.1\r\n\r\n")
        assert page.startswith("HTTP/1.0 200 OK") and "Neither version" in page
        torn = data[:3000] + b"?" + data[3001:]
        assert "Not taken: damaged" in await ask(runner, upload(torn))
        assert runner.state is None
        answer = asyncio.create_task(ask(runner, upload(data)))
        while not (folder / "a/seq-new").exists() or not (folder / "a/seq-new").stat().st_size:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)
        assert (folder / "b/plug.mpy").read_bytes() == b"M\x05"
        await runner.hold(300)
        assert "Taken" in await answer
        async with asyncio.timeout(30):
            while not runner.state:
                await asyncio.sleep(0.05)
        assert (folder / "slot").read_text() == "a? 2"
        assert [closed for _, closed in runner.chip.relay_log] in ([True], [False, True])
        assert json.loads((folder / "config.json").read_text()) == given
    finally:
        await runner.stop()
        print("\n".join(runner.serial))
