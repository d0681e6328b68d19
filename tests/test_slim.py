"""The slim asyncio does what the library's own does, for all that the firmware asks of it."""

import subprocess
from pathlib import Path

import pytest

SLIM = Path(__file__).resolve().parent.parent / "firmware/slim"

# Prints what happens, in order. Sleeps differ by far more than any machine is late.
SCRIPT = """
import sys
sys.path[:] = %r
import asyncio

async def ticker(name, ms, times):
    for n in range(times):
        await asyncio.sleep_ms(ms)
        print(name, n)
    return "unused"

async def sleeper():
    try:
        await asyncio.sleep_ms(100000)
    except asyncio.CancelledError:
        print("cancelled")
        raise
    finally:
        print("cleaned up")

async def stubborn():
    for _ in range(2):
        try:
            await asyncio.sleep_ms(100000)
        except asyncio.CancelledError:
            print("not yet")
            await asyncio.sleep_ms(1)

async def faulty():
    await asyncio.sleep_ms(1)
    raise ValueError("a fault")

async def main():
    a = asyncio.create_task(ticker("a", 120, 3))
    b = asyncio.create_task(ticker("b", 290, 1))
    c = asyncio.create_task(sleeper())
    d = asyncio.create_task(faulty())
    e = asyncio.create_task(stubborn())
    await asyncio.sleep_ms(0)
    print([task.done() for task in (a, b, c, d, e)])
    await asyncio.sleep_ms(40)
    print("cancel", c.cancel(), e.cancel(), d.cancel())
    await asyncio.sleep_ms(40)
    print([task.done() for task in (a, b, c, d, e)], c.cancel())
    e.cancel()
    await asyncio.sleep_ms(500)
    print([task.done() for task in (a, b, c, d, e)])
    raise %s("the end")

try:
    asyncio.run(main())
except BaseException as error:
    print(repr(error))
"""


@pytest.mark.parametrize("end", ["OSError", "KeyboardInterrupt", "SystemExit", "MemoryError"])
def test_it_does_what_the_library_does(micropython, end, tmp_path):
    said = []
    for path in ([str(SLIM)], [".frozen"]):
        script = tmp_path / "script.py"
        script.write_text(SCRIPT % (path, end))
        done = subprocess.run(
            [micropython, "-X", "heapsize=38k", script], capture_output=True, text=True, timeout=60
        )
        assert not done.returncode, done.stderr
        assert "a fault" in done.stdout + done.stderr  # who fails unheard is printed
        said.append([line for line in done.stdout.splitlines() if line[:1] in "ab"
                     or line[0] in "[cnOKSM"])  # fmt: skip
    assert said[0] == said[1]
    assert said[0][-1].startswith(end) and "cancelled" in said[0] and said[0].count("not yet") == 2


def test_waiting_takes_nothing_from_the_heap(micropython, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys, gc\nsys.path[:] = [{str(SLIM)!r}]\nimport asyncio\n"
        "async def main():\n"
        "    await asyncio.sleep_ms(1)\n"
        "    gc.collect()\n"
        "    gc.disable()\n"
        "    before = gc.mem_alloc()\n"
        "    for _ in range(300):\n"
        "        await asyncio.sleep_ms(0)\n"
        "    print('taken', gc.mem_alloc() - before)\n"
        "    raise SystemExit\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([micropython, script], capture_output=True, text=True, timeout=60)
    taken = int(done.stdout.split("taken ")[1])
    assert taken <= 300 * 16, "more than a block a turn: the range's own"
