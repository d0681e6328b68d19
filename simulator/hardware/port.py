"""What CPython lacks to run the firmware: `install()` adds it, once.

Time is the running event loop's, so that a loop on virtual time carries the firmware along;
outside a loop it is the PC's own clock. `ticks_ms` wraps at 2**30 as on the chip; `start_ticks`
lets a test begin shortly before that.
"""

import asyncio
import builtins
import gc
import os
import sys
import time
import traceback
import types

PERIOD = 1 << 30
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

_offset_us = 0
_installed = False


def now_us():
    """Microseconds that only go up: the running loop's clock, else the PC's."""
    loop = asyncio._get_running_loop()
    return int((loop.time() if loop else time.monotonic()) * 1_000_000)


def now_ms():
    """The same in ms, not wrapped and not moved: what the chip's logs are written in."""
    return now_us() // 1000


def start_ticks(at_ms):
    """Make ticks_ms() read `at_ms` now, for instance `PERIOD - 5000`."""
    global _offset_us
    _offset_us = at_ms * 1000 - now_us()


def ticks_us():
    return (now_us() + _offset_us) % PERIOD


def ticks_ms():
    return (now_us() + _offset_us) // 1000 % PERIOD


def ticks_add(ticks, delta):
    # As on the chip: a delta beyond half the period cannot be told from a negative one.
    if not -PERIOD // 2 <= delta < PERIOD // 2:
        raise OverflowError("ticks interval overflow")
    return (ticks + delta) % PERIOD


def ticks_diff(end, start):
    return (end - start + PERIOD // 2) % PERIOD - PERIOD // 2


async def sleep_ms(ms):
    await asyncio.sleep(max(ms, 0) / 1000)


def _print_exception(error, file=None):
    traceback.print_exception(error, file=file or sys.stderr)


def _micropython():
    """The module `micropython`. `kbd_intr` keeps what it was last given, for tests to see."""
    module = types.ModuleType("micropython", "Stands for MicroPython's `micropython`.")

    def kbd_intr(char):
        module.interrupt_char = char

    module.interrupt_char = 3
    module.const = lambda value: value
    module.kbd_intr = kbd_intr
    module.mem_info = lambda verbose=False: None
    module.opt_level = lambda level=None: 0
    module.native = module.viper = lambda function: function
    module.alloc_emergency_exception_buf = lambda size: None
    module.schedule = lambda function, argument: function(argument)
    return module


def install(sources=True):
    """Add the missing names and modules. May be called again.

    sources: put firmware/ and .cache/lib on sys.path too; without, the firmware comes from where
    it was put, as on the chip.
    """
    global _installed
    if _installed:
        return
    _installed = True
    builtins.const = lambda value: value
    for name in ("ticks_ms", "ticks_us", "ticks_add", "ticks_diff"):
        setattr(time, name, globals()[name])
    time.sleep_ms = lambda ms: time.sleep(max(ms, 0) / 1000)
    time.sleep_us = lambda us: time.sleep(max(us, 0) / 1_000_000)
    asyncio.sleep_ms = sleep_ms
    # A PC has no heap of 38 KiB; the figures are a plug's at work, so that what shows them has
    # something to show.
    gc.mem_free = lambda: 14336
    gc.mem_alloc = lambda: 24576
    gc.threshold = lambda amount=None: -1
    sys.print_exception = _print_exception
    sys.modules["micropython"] = _micropython()

    from . import esp, machine, network

    sys.modules["machine"] = machine
    sys.modules["network"] = network
    sys.modules["esp"] = esp
    for folder in (os.path.join(ROOT, ".cache", "lib"), os.path.join(ROOT, "firmware")):
        if sources and folder not in sys.path:
            sys.path.insert(0, folder)
    if sources:
        from ..flash import _tool

        sys.path.append(str(_tool("shelf").lay(os.path.join(ROOT, "build/pc")).parent))
