"""The measurements measure what they say: counts, thresholds and tables, not times."""

import asyncio
import subprocess
import sys
import time
from collections import Counter
from types import SimpleNamespace

import pytest

import build
import soak
import whole
from bench import delivery, heap, house, modules, plant, report, stall
from env import ROOT


@pytest.fixture(scope="module")
def deliveries(micropython):
    delivery.prepare()
    there = {name: of for name, of in delivery.DELIVERIES.items() if of.program.exists()}
    for each in there.values():
        each.shims = modules.shims(each.name)
    return there


ONE = delivery.Delivery("one", "one", 36 * 1024)

# --- heap ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("need", [20.0, 20.1, 23.9, 27.75, 28.0])
def test_the_smallest_heap_is_found_to_a_quarter_of_a_kilobyte(need, monkeypatch):
    async def attempt(of, size, work, names):
        return size, "" if size >= need * 1024 else "MemoryError"

    monkeypatch.setattr(heap, "attempt", attempt)
    found, why = asyncio.run(heap.smallest(ONE, None, True, 20 * 1024, 28 * 1024, 256))
    assert found % 256 == 0
    assert 0 <= found - need * 1024 < 256
    assert why == ("not tried" if need == 20 else "MemoryError")


def test_a_heap_that_never_does_it_is_told_with_the_reason(monkeypatch):
    async def attempt(of, size, work, names):
        return size, "MemoryError"

    monkeypatch.setattr(heap, "attempt", attempt)
    assert asyncio.run(heap.smallest(ONE, None, True, 1024, 4096, 256)) == (None, "MemoryError")


def test_moments_are_the_worst_that_was_seen():
    seen = heap.Moments()
    seen.now = heap.START
    for used, free, block in (100, 50, 3), (90, 60, 2):
        seen.said(f"GC: total: 150, used: {used}, free: {free}")
        seen.said(f" No. of 1-blocks: 10, 2-blocks: 4, max blk sz: 11, max free sz: {block}")
    assert seen.worst(heap.START) == (100, 50, 32)
    assert seen.worst(heap.POLLING) is None


@pytest.mark.real
def test_every_module_of_the_firmware_has_its_cost(deliveries):
    rows = {name.removeprefix("module "): (cost, kept) for name, cost, kept in modules.costs()}
    ours = set(build.texts())
    assert ours <= set(rows)
    for name in modules.RESIDENT.split():
        assert rows[name][1] is None and rows[name][0] > 100
    for name in ours - set(modules.RESIDENT.split()):
        assert rows[name][1] < rows[name][0]  # nearly all comes back when it is let go


@pytest.mark.real
def test_ours_in_rom_costs_less_than_half_the_heap(deliveries):
    def resident(of):
        return sum(cost for _, cost, kept in modules.costs(of) if kept is None)

    assert resident("rom") < resident("1mb") / 2
    assert deliveries["rom"].rom > 10_000  # so it is really there


@pytest.mark.real
@pytest.mark.slow
def test_the_work_is_done_in_a_large_heap_and_not_in_a_tiny_one(deliveries):
    async def both():
        async with heap.resolver() as names:
            return await asyncio.gather(
                *(
                    heap.attempt(deliveries["1mb"], size * 1024, (5, 2, 1), names)
                    for size in (80, 20)
                )
            )

    (_, large), (_, tiny) = asyncio.run(both())
    assert large == ""
    # An import tells so of what a file system in Python raised
    assert "MemoryError" in tiny or "ImportError" in tiny


# --- stall and button ---------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.slow
def test_ticker_and_finger_run_beside_the_firmware(deliveries):
    seen = asyncio.run(stall.watch(stall.CASES[0], 7))
    assert seen.gaps
    assert len(seen.presses) >= 3  # one SHORT, two LONG


def test_a_gap_over_twice_the_control_and_10_ms_is_called_too_long():
    control, good, bad = stall.Seen(), stall.Seen(), stall.Seen()
    control.gaps, good.gaps, bad.gaps = [12.0], [33.9], [34.1]
    stalls, _ = stall.rows([(None, control), (stall.CASES[0], good), (stall.CASES[1], bad)])
    assert ["too long" in note for _, _, note, _ in stalls] == [False, False, True]


def test_steps_counts_the_lines_between_two_awaits(monkeypatch, tmp_path):
    source = tmp_path / "work.py"
    source.write_text(
        "import asyncio\n"
        "async def work():\n"
        "    for i in range(100):\n"
        "        i = i + 1\n"
        "    await asyncio.sleep(0)\n"
        "    for i in range(10):\n"
        "        i = i + 1\n"
    )
    space = {}
    exec(compile(source.read_text(), str(source), "exec"), space)

    async def main():
        await asyncio.create_task(space["work"]())

    steps = house.Steps()
    steps._place = str(tmp_path)
    with steps:
        asyncio.run(main())
    # 101 times the head of the loop, 100 times its body, and the await
    assert steps.longest == (202, "work.work")


# --- load and time to off -----------------------------------------------------------------------


def test_load_is_what_the_plug_asks_of_octoprint():
    requests, sent, got = house._load("Connected", booted=True, poll_s=10, poll_idle_s=10)
    assert 5 <= requests <= 6.5  # every 10 s
    assert sent > 100 * requests and got > 500 * requests


def test_nobody_is_asked_with_the_relay_off():
    assert house._load("Relay_off", booted=True) == [0, 0, 0]


def test_time_to_off_is_no_less_than_the_pi_needs():
    took, _ = house._off(20, booted=True, min_job_s=1)
    assert 65 <= took < 120
    took, reason = house._off(None, booted=True, min_job_s=1)
    assert took is None
    assert "halt" in reason


# --- the table ----------------------------------------------------------------------------------


def test_the_page_keeps_what_was_not_measured_again(monkeypatch, tmp_path):
    monkeypatch.setattr(report, "PAGE", tmp_path / "docs/bench.md")
    report.write({"heap": [("a", "1 B", "x|y", "cmd")], "off": [("b", "2 s", "", "cmd")]})
    report.write({"heap": [("a", "3 B", "", "cmd")]})
    text = report.PAGE.read_text()
    assert text.count("## heap") == text.count("## off") == 1
    assert "| a | 3 B |  | `cmd` |" in text and "1 B" not in text
    assert "| b | 2 s |" in text


def test_an_unknown_part_is_refused_with_the_known_ones():
    done = subprocess.run(
        [sys.executable, "-m", "bench", "heat"],
        cwd=ROOT / "tools",
        env={"PYTHONPATH": f"{ROOT / 'tools'}:{ROOT}", "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "no such part: heat" in done.stderr and "heap, features, size, stall" in done.stderr


def test_the_stand_in_answers_as_octoprint_does():
    body = plant.printer()
    assert 500 < len(body) < 620
    head, _, rest = plant.http(200, body).partition(b"\r\n\r\n")
    assert rest == body and 250 < len(head) < 420
    assert whole.modules()  # the firmware itself is what is measured


def test_the_soak_complains_of_what_is_not_given_back_and_not_of_one_reading_that_stands_out():
    def wrong(free):
        run = object.__new__(soak.Soak)
        run.counts, run.wrong, run.started = Counter(), [], time.monotonic()
        run.free = [(n, most) for n, most in enumerate(free)]
        run.plug = SimpleNamespace(runner=SimpleNamespace(serial=[]))
        rows = {row[0]: row[1] for row in run.rows(60)}
        assert rows["wrong"] == str(len(run.wrong))
        return [text for text in run.wrong if "not given back" in text]

    assert not wrong([7000, 7100, 9000, 6900, 7000, 7000, 7100, 6900, 7000])
    assert wrong([7000, 7100, 6900, 6600, 6700, 6500, 6300, 6400, 6200])
