"""The firmware on MicroPython with the ESP8266's own configuration (tools/chip.py), in its 38 KB.

Debian's build is another in what costs heap: code that waits for a MemoryError and gets it there
may never get it on the plug.
"""

import asyncio
import socket
import subprocess

import pytest

from bench import delivery, heap, modules

pytestmark = pytest.mark.real

LOOK = """
import gc
def floats():
    a = gc.mem_alloc()
    kept = [x * 0.5 for x in (1, 2, 3, 4)]
    b = gc.mem_alloc()
    kept = [x for x in (1, 2, 3, 4)]
    return b - a - (gc.mem_alloc() - b)
gc.disable()
print(floats(), hasattr("", "partition"), hasattr("", "center"), "__file__" in globals())
"""


def run(program, code):
    return subprocess.run(
        [program, "-X", "heapsize=38k", "-c", code], capture_output=True, text=True, check=True
    ).stdout


def test_it_is_configured_as_the_port_is(chip, micropython):
    lines = run(chip, LOOK).splitlines()
    assert lines[0] == "0 False False False"
    # Debian's is not: so the look can tell
    assert run(micropython, LOOK).splitlines()[0] != lines[0]


@pytest.fixture(scope="module")
def of(chip):
    delivery.prepare()
    of = delivery.DELIVERIES["chip"]
    of.shims = modules.shims("chip")
    return of


@pytest.mark.slow
def test_it_starts_and_does_its_work_in_the_plugs_heap(of):
    async def work():
        async with heap.resolver() as names:
            return await heap.attempt(of, of.heap, (20, len(heap.COMMANDS), 1), names)

    assert asyncio.run(work()) == (of.heap, "")


@pytest.mark.slow
def test_its_names_fit_into_three_pools(of):
    """A fourth takes 1.1 KB of the heap at once: see PORT in tools/pack.py."""

    async def work():
        async with heap.resolver() as names:
            return await heap.moments(of, names)

    count, pools = asyncio.run(work()).names
    assert 0 < count < 140 and pools == 3


@pytest.mark.slow
def test_a_start_with_no_room_for_it_is_told(of):
    async def work():
        async with heap.resolver() as names:
            return await heap.attempt(of, 20 * 1024, (1, 0, 0), names)

    assert asyncio.run(work())[1]


@pytest.mark.slow
def test_its_portal_opens_is_used_and_closes_in_the_plugs_heap(of, monkeypatch):
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind(("", 80))
        except OSError as why:
            pytest.skip(f"the plug's port 80 cannot be had here ({why}): run it as root")
    monkeypatch.setattr(heap, "VISITS", 1)

    async def work():
        async with heap.resolver() as names:
            return await heap.visits(of, names)

    seen = asyncio.run(work())
    assert seen.worst(heap.OPEN) and seen.worst("after visit 1")
