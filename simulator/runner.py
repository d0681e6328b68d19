"""The plug in a process of its own: real firmware on MicroPython or CPython, its chip here.

The chip (hardware/virtual.py) keeps what outlives a Python: pins, RTC memory, WiFi, mains. The
process is started at power-on and again after every reset, and talks over one TCP connection on
127.0.0.1 in lines (hardware/link.py). When main.py returns the plug is dead as on the chip:
relay and LED stay, the button does nothing, until the power is cut.
"""

import asyncio
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

from .flash import FlashError, _tool
from .hardware import virtual

ROOT = Path(__file__).resolve().parent.parent
HARDWARE = ROOT / "simulator/hardware"
MICROPYTHON = ROOT / ".cache/micropython/run"
SHIMS = ("silicon", "machine", "network", "esp", "air", "link")

_LIBC = ctypes.CDLL(None)  # loaded here: not much is safe between fork and exec

_BITE_S = 3.2  # the software watchdog, without being fed
_RUNNING = 464  # bytes that the line takes once it is connected, beside its code: measured
_CRASH_S = 1.0  # the same after a crash, so that one that crashes at once does not burn the PC

_PROBE = """
import gc
gc.collect()
before = gc.mem_free()
import air, esp, link, machine, network, silicon
gc.collect()
print(before - gc.mem_free())
"""


class RuntimeMissing(FlashError):
    """The Python asked for is not there; the text says what to install."""


def choose(runtime):
    """ "micropython" or "cpython" for one of auto, micropython, cpython.

    Where CI is true, auto means micropython: a missing one must not go unnoticed. Raises
    RuntimeMissing.
    """
    if runtime == "cpython":
        return runtime
    if MICROPYTHON.exists():
        return "micropython"
    if runtime == "micropython" or os.environ.get("CI") == "true":
        raise RuntimeMissing(
            "MicroPython (i386) is missing: run tools/fetch.py micropython, which needs"
            " apt-get and dpkg (Debian or Ubuntu); or start with --runtime cpython"
        )
    return "cpython"


def heap_bytes(text):
    """ "38k" or "38912" as bytes; ValueError for anything else and beyond 16 KB to 16 MB."""
    number, unit = (text[:-1], 1024) if text[-1:] in ("k", "K") else (text, 1)
    if not number.isdigit() or not 16 * 1024 <= int(number) * unit <= 1 << 24:
        raise ValueError("heap: bytes, or KB as in 38k, from 16k to 16384k")
    return int(number) * unit


class Shims:
    """The virtual hardware compiled for MicroPython, and what it costs of the plug's heap."""

    def __init__(self, folder, program=None):
        self.folder = Path(folder)
        build = _tool("build")
        for name in SHIMS:
            build.compile_mpy(HARDWARE / f"{name}.py", self.folder / f"{name}.mpy", 3)
        done = subprocess.run(
            [program or MICROPYTHON, "-X", "heapsize=400k", "-c", _PROBE],
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        self.cost = int(done.stdout) + _RUNNING  # bytes

    @property
    def environment(self):
        return {**os.environ, "MICROPYPATH": f"{self.folder}:.frozen"}


class Runner:
    """One plug. `flash`: a directory with boot.py and main.py. `heap`: bytes, and `program`: where
    another MicroPython is than that of tools/fetch.py; these two for MicroPython only.

    state, reason, countdown: what the firmware's machine last showed; None before it did. fired:
    where in its table the row stands that fired last, 0 for none and until `watch_rows`. passed:
    (ms, state) of every state it has kept in the RTC memory.
    """

    def __init__(self, flash, runtime="auto", heap=38 * 1024, program=None):
        self.flash, self.runtime, self.heap = Path(flash), choose(runtime), heap
        self.program = program or MICROPYTHON  # a Path
        self.chip = virtual.Chip(lambda: time.monotonic_ns() // 1_000_000)
        self.row_name = ""
        self.passed = deque(maxlen=1000)
        self.listeners = []  # called with a dict at every change worth telling
        self.serial = deque(maxlen=400)  # lines of the serial console
        self.joining = None
        self._server = self._process = self._writer = self._waiter = None
        self._shims = None
        self._temporary = None
        self._cause = None  # of the reset under way
        self._stopping = False
        self._sent_status = self._told_status = None
        self._forget()

    def _forget(self):
        self.state = self.reason = self.countdown = None
        self.fired = 0
        self.heap_free, self.stall_ms_max = None, 0.0
        self.dead = None  # how main.py ended
        self.chip.serving.clear()
        self.started = self.chip.clock()

    @property
    def uptime_ms(self):
        """Since the last start of the firmware's Python; 0 without power."""
        return self.chip.clock() - self.started if self.chip.powered else 0

    @property
    def ports(self):
        """(kind, port below 1024) -> the port of 127.0.0.1 that stands for it; see `serves`."""
        return self.chip.ports

    def serves(self, kind, port):
        """Whether the firmware has that port of its own open: ("tcp", 80) is the portal."""
        return (kind, port) in self.chip.serving

    @property
    def shim_cost(self):
        """Bytes of heap that the virtual hardware takes and that are given on top of `heap`."""
        return self._shims.cost if self._shims else 0

    # --- life

    async def start(self):
        """Take a port and switch the mains on."""
        if self.runtime == "micropython":
            self._temporary = tempfile.mkdtemp(prefix="octoplugout-hardware-")
            self._shims = await asyncio.to_thread(Shims, self._temporary, self.program)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.chip.air_listeners.append(self._aired)
        self._spawn()

    async def stop(self):
        """End the firmware's process and let go of everything."""
        self._stopping = True
        await self._kill()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)

    async def power(self, on):
        """Mains off or on."""
        if on == self.chip.powered:
            return
        if on:
            self.chip.power(True)
            self._spawn()
        else:
            self.chip.power(False)
            await self._kill()
            self._forget()
        self._tell({"power": on})

    async def reset(self, cause):
        """Let the chip reset with that cause, as its watchdogs or its reset pin do."""
        if not self.chip.powered:
            raise ValueError("the plug has no power")
        self._cause = cause
        if self._process is None:
            self._again()
        else:
            self._signal()

    def watch_rows(self, name):
        """From now on `fired` is told; `name` is what the machine calls it."""
        self.row_name = name
        self._say(f"f {name}")

    def measure(self):
        """Start to look for the longest stall anew."""
        self.stall_ms_max = 0.0
        self._say("z")

    def _spawn(self):
        self._forget()
        self._cause = None
        self._sent_status = None
        self.chip.watchdog = None
        port = self._server.sockets[0].getsockname()[1]
        if self._shims:
            heap = self.heap + self._shims.cost
            command = [str(self.program), "-X", f"heapsize={heap}"]
            command += ["-c", f"import link; link.start({port})"]
            environment = self._shims.environment
        else:
            code = "from simulator.hardware import install, link; install(False); link.start(%d)"
            command = [sys.executable, "-B", "-u", "-c", code % port]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            command,
            cwd=self.flash,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=_die_with_parent,
            process_group=0,  # Ctrl-C is the simulator's
        )
        self._waiter = asyncio.create_task(self._watch(self._process))
        self._reader = asyncio.create_task(self._console(self._process))

    async def _console(self, process):
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=1 << 16)
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), process.stdout
        )
        try:
            while True:
                try:
                    line = await reader.readline()
                except ValueError:
                    continue  # a line without end
                if not line:
                    return
                self.serial.append(line.decode("utf-8", "replace").rstrip())
        finally:
            transport.close()

    async def _watch(self, process):
        """Wait for the process to end, biting when the watchdog is not fed; start it again."""
        while process.poll() is None:
            await asyncio.sleep(0.02)
            fed = self.chip.watchdog
            if fed is not None and self.chip.clock() - fed > _BITE_S * 1000:
                self._cause = virtual.SOFTWARE_WATCHDOG
                self._signal()
        self._process = None
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        await self._reader
        if self._stopping or not self.chip.powered:
            return
        if self._cause is None:
            # It ended without a word: what an exception does on the chip.
            self._cause = virtual.EXCEPTION
            self.serial.append(f"*** the firmware's process ended with {process.returncode}")
            await asyncio.sleep(_CRASH_S)
        self._again()

    def _again(self):
        cause = self._cause
        self.chip.restart(cause)
        self._spawn()
        self._tell({"reset": cause})

    def _signal(self):
        if self._process is not None:
            self._process.kill()

    async def _kill(self):
        waiter = self._waiter
        self._signal()
        if waiter is not None and not waiter.done():
            await waiter

    # --- the line

    async def _serve(self, reader, writer):
        if self._writer is not None or self._process is None:
            writer.close()
            return
        self._writer = writer
        chip = self.chip
        self._say("p " + bytes(chip.pins).hex())
        if chip.rtc:
            self._say("m " + chip.rtc.hex())
        self._say(f"c {chip.cause}")
        if self.row_name:
            self._say(f"f {self.row_name}")
        self._say("n " + " ".join(chip.wifi.address))
        self._say("r " + _radio(chip.wifi))
        name, password, security = chip.wifi.point
        self._say(f"a {name.encode().hex()} {password.encode().hex()} {security}")
        self._say("t " + chip.routes.hex())
        self._aired()
        self._say("g")
        try:
            while line := await reader.readline():
                if line != b"\n":
                    self._obey(line.decode("utf-8", "replace").rstrip("\n"))
        except OSError:
            pass
        writer.close()

    def _say(self, line):
        if self._writer is not None:
            self._writer.write(line.encode() + b"\n")

    def _aired(self):
        """Tell the station's status if it changed, and look again when joining is done."""
        wifi = self.chip.wifi
        status = wifi.status()
        if status != self._sent_status:
            self._sent_status = status
            self._say(f"w {status}")
        if status != self._told_status:
            self._told_status = status
            self._tell({"wifi": status})
        if status == virtual.STAT_CONNECTING:
            asyncio.get_running_loop().call_later(wifi.join_ms / 1000 + 0.01, self._aired)

    def _obey(self, line):
        what, _, rest = line.partition(" ")
        chip = self.chip
        if what[0] == "o":
            chip.set_pin(int(what[1:]), int(rest))
        elif what == "s":
            self.state, self.reason, count, fired = rest.split("\t")
            self.countdown, self.fired = float(count) if count else None, int(fired)
            self._tell({"state": self.state, "reason": self.reason, "countdown": self.countdown})
        elif what == "h":
            free, stall = rest.split(" ")
            self.heap_free, self.stall_ms_max = int(free), int(stall) / 1000
        elif what == "m":
            chip.rtc = bytes.fromhex(rest)
            self._kept(chip.rtc)
        elif what == "r":
            station, access_point, *wanted = rest.split(" ")
            name = tuple(bytes.fromhex(word).decode() for word in wanted) or None
            chip.wifi.want([station == "1", access_point == "1"], name)
            # The firmware's end forgot the status when it set its radio.
            self._sent_status = None
            self._aired()
            self._tell({"access_point": chip.wifi.active[1]})
        elif what == "a":
            name, password, security = rest.split(" ")
            words = [bytes.fromhex(word).decode("utf-8", "replace") for word in (name, password)]
            chip.wifi.point = (*words, int(security))
            self._tell({"access_point": chip.wifi.active[1]})
        elif what == "k":
            asyncio.get_running_loop().call_later(chip.wifi.scan_ms / 1000, self._found)
        elif what == "b":
            kind, port = rest.split(" ")
            self._say(f"b {chip.bound(kind, int(port))}")
        elif what in ("l", "e"):
            kind, port = rest.split(" ")
            (chip.opened if what == "l" else chip.freed)(kind, int(port))
            self._tell({"serves": sorted(chip.serving)})
        elif what == "f":
            if rest or chip.watchdog is not None:
                chip.watchdog = chip.clock()
        elif what == "x":
            self._cause = int(rest)
        elif what == "d":
            self.dead = rest or "ended"
            self.serial.append(f"*** main.py {self.dead}: the plug is dead until it is unplugged")
            self._tell({"dead": self.dead})

    def _kept(self, memory):
        # As board.py lays it out: mark, sum, pins, and behind a | the state and its facts.
        state = memory.partition(b"|")[2].split(b" ")[0].decode("utf-8", "replace")
        if state and (not self.passed or self.passed[-1][1] != state):
            self.passed.append((self.chip.clock(), state))
            self._tell({"passed": state})

    def _found(self):
        for name, bssid, channel, rssi, auth, hidden in self.chip.wifi.networks:
            self._say(f"k {name.hex()} {bssid.hex()} {channel} {rssi} {auth} {hidden:d}")
        self._say("k")

    # --- what is done to it

    def button(self, pressed):
        """The button goes down or up."""
        chip = self.chip
        chip.press() if pressed else chip.release()
        self._say(f"i {chip.button_pin} {chip.pins[chip.button_pin] >> 2}")

    async def hold(self, ms):
        self.button(True)
        try:
            await asyncio.sleep(ms / 1000)
        finally:
            self.button(False)

    def _tell(self, what):
        for listener in self.listeners:
            listener(what)


def _radio(wifi):
    line = f"{wifi.active[0]:d} {wifi.active[1]:d}"
    if wifi.wanted:
        line += "".join(" " + word.encode().hex() for word in wifi.wanted)
    return line


def _die_with_parent():
    """In the child: end with the simulator, even when that is killed."""
    if sys.platform == "linux":
        _LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
