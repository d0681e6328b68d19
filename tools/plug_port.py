"""The serial line to the plug: esptool while it is in its boot loader, mpremote once it runs.

Both are started as programs, with the lines that are written here and nowhere else. Whatever goes
wrong becomes a PortError: what happened, and what to do about it. Nothing waits for ever.
"""

import os
import queue
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

BAUD = 115200
ON_PLUG = Path(__file__).resolve().with_name("flash_on_plug.py")
LOADER_S = 120  # so long a person may take to hold the button and give 3.3 V
REPL_S = 120  # … and to take it away and give it back
KNOCK_S = 0.8  # main.py takes note of Ctrl-C in its first 3 s
PATIENCE_S = 20  # a fresh MicroPython makes its file system first, and had better not be disturbed
SILENCE_S = 25  # a program that says nothing for so long has lost the plug
LISTEN_S = 8  # the firmware's first words

PLACE = "Is the adapter plugged in, and the plug's 3.3 V, GND, RX and TX connected to it?"
CYCLE = "Take the plug's 3.3 V away for a second and give it back, the button not held."


class PortError(Exception):
    """What went wrong on the line, and what to do."""


def find(port=None):
    """The port given, or the only USB serial adapter there is. PortError if that is not clear."""
    import serial.tools.list_ports

    if port:
        return port
    found = [p for p in serial.tools.list_ports.comports() if p.vid is not None]
    if len(found) == 1:
        return found[0].device
    if not found:
        raise PortError(f"No USB serial adapter was found. {PLACE} --port P names another port")
    names = "".join(f"\n  --port {p.device}    {p.description}" for p in sorted(found))
    raise PortError(f"There are {len(found)} serial ports; which one is the plug's?{names}")


def opened(port):
    """The port, open. PortError says why it cannot be."""
    import errno

    import serial

    try:
        return serial.Serial(port, BAUD, timeout=0.1, write_timeout=2, exclusive=True)
    except (OSError, ValueError) as wrong:
        number = getattr(wrong, "errno", None)
        text = {
            errno.ENOENT: f"There is no port {port}. {PLACE}",
            errno.EACCES: f"{port} may not be opened by you. On Debian and Ubuntu: "
            "sudo usermod -aG dialout $USER, then log out and in",
            errno.EBUSY: f"{port} is in use by another program",
            errno.EAGAIN: f"{port} is in use by another program",
        }.get(number, f"{port} cannot be opened: {wrong}")
        raise PortError(text) from None


def run(command, on_line=None, silence_s=None):
    """Runs a program; returns (its exit code, all it said). `on_line` gets each line.

    One that says nothing for `silence_s` is killed, and its code is None.
    """
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=_environment(),
    )
    lines = queue.SimpleQueue()

    def read():
        for line in process.stdout:
            lines.put(line.rstrip())
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    said = []
    try:
        while True:
            line = lines.get(timeout=silence_s or SILENCE_S)
            if line is None:
                return process.wait(), "\n".join(said)
            said.append(line)
            if on_line:
                on_line(line)
    except queue.Empty:
        return None, "\n".join(said)
    finally:
        process.kill()
        process.wait()


def _environment():
    plain = {
        "TERM": "dumb",
        "COLUMNS": "120",
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
    }
    return {**os.environ, **plain}


# --- the boot loader -----------------------------------------------------------------------------


class Chip:
    """What esptool found. `mac` as twelve digits, `kind`, `flash_bytes`."""

    def __init__(self, said):
        def after(label):
            found = re.search(rf"{label}:\s*(.+)", said)
            return found.group(1).strip() if found else ""

        self.kind = after("Chip type")
        self.mac = after("MAC").replace(":", "")
        self.size = after("Detected flash size")
        number = re.match(r"(\d+)(KB|MB)$", self.size)
        self.flash_bytes = int(number[1]) << (20 if number[2] == "MB" else 10) if number else 0


def esptool(port, *arguments, on_percent=None, attempts=5):
    """One esptool command to a plug in its boot loader, where it stays; (exit code, output)."""
    command = [sys.executable, "-m", "esptool", "--chip", "esp8266", "--port", port]
    command += ["--baud", str(BAUD), "--before", "no-reset", "--after", "no-reset"]
    command += ["--connect-attempts", str(attempts), *map(str, arguments)]

    def see(line):
        found = re.search(r"(\d+)\.\d%", line)
        if found and on_percent:
            on_percent(int(found[1]))

    return run(command, see, silence_s=120)  # erasing takes a while, and is done in silence


def wait_for_loader(port):
    """Returns the Chip once the boot loader answers; the adapter may come and go meanwhile."""
    until = time.monotonic() + LOADER_S
    while True:
        code, said = esptool(port, "flash-id")
        if code == 0:
            chip = Chip(said)
            if not chip.mac or not chip.flash_bytes:
                raise PortError(f"esptool does not say what chip this is:\n{said[-1500:]}")
            return chip
        if time.monotonic() > until:
            opened(port).close()  # says in plain words if it is the port
            raise PortError(
                "The boot loader does not answer. Hold the button while the 3.3 V come on, and a "
                f"second longer. RX goes to TX and TX to RX. {PLACE}"
            )


def read_flash(port, size, path, on_percent=None):
    """The whole flash into a file; esptool compares what it got with the chip's own MD5."""
    code, said = esptool(port, "read-flash", "0", hex(size), path, on_percent=on_percent)
    if code or not path.exists() or path.stat().st_size != size:
        path.unlink(missing_ok=True)
        raise _failed("The flash could not be read", code, said)


def write_flash(port, path, mode, size, on_percent=None):
    """Erase all, write the file from 0; esptool compares the flash's MD5 with the file's."""
    code, said = esptool(
        port,
        *("write-flash", "--erase-all", "--flash-mode", mode, "--flash-size", size, "0x0", path),
        on_percent=on_percent,
    )
    if code or "verified" not in said:
        raise _failed("The flash could not be written", code, said)


def _failed(what, code, said):
    last = [line for line in said.splitlines() if line.strip()][-3:]
    if code is None:
        last.append("and then nothing more")
    return PortError(
        f"{what}: {' '.join(last)}\nConnect the plug again with the button held, and start again"
    )


# --- MicroPython ---------------------------------------------------------------------------------


def wait_for_repl(port, tell=print, fresh=False):
    """Returns once MicroPython listens; knocks until then, since it does so only after a start.

    Not faster than main.py wants it: a second Ctrl-C while it looks at the first is turned down.
    `fresh`: there is no main.py, and its prompt comes by itself.
    """
    until = time.monotonic() + REPL_S
    line = None
    heard = b""
    started = time.monotonic()
    ask = until if fresh else started + 3
    knock = started + PATIENCE_S if fresh else started
    try:
        while True:
            try:
                line = line or opened(port)
                if time.monotonic() >= knock or b"\n>>> " in heard:
                    line.write(b"\r\x03")
                    line.write(b"\r\x01")
                    knock = time.monotonic() + (PATIENCE_S if fresh else KNOCK_S)
                    heard = b""
                heard = (heard + line.read(512))[-2000:]
            except (OSError, PortError):  # a plug fed by its adapter takes the port with it
                if line:
                    line.close()
                line = None
                time.sleep(0.2)
            if b"raw REPL; CTRL-B to exit" in heard:
                return
            if b"looks corrupt" in heard:
                raise PortError(
                    "The plug's file system is broken. Run tools/flash.sh without --files: that "
                    "erases the plug and writes everything anew"
                )
            now = time.monotonic()
            if now > ask:
                ask = now + 20
                tell(
                    "The plug does not answer. Its firmware listens to the serial line in its "
                    f"first three seconds only.\n  → {CYCLE}\n  Trying on …"
                )
            if now > until:
                if line is None:
                    opened(port).close()
                raise PortError(
                    f"No MicroPython answered. {CYCLE} Then run this again within the first "
                    f"seconds. {PLACE} If it has none yet, run tools/flash.sh without --files"
                )
    finally:
        if line:
            line.close()


def mpremote(port, *commands, on_line=None):
    """A chain of mpremote commands, each a list of words; returns what was said.

    PortError with the plug's own words when one fails: those after it are not carried out.
    """
    words = []
    for command in commands:
        words += ["+", *map(str, command)] if words else map(str, command)
    chain = [sys.executable, "-m", "mpremote", "connect", port, *words]
    code, said = run(chain, on_line)
    if code:
        raise PortError(_plain(said))
    if code is None:
        raise PortError("The plug has gone silent in the middle. Connect it and run this again")
    return said


def _plain(said):
    """What mpremote's complaint means."""
    found = re.search(r"differs: (\S+)", said)
    if found:
        return (
            f"{found[1]}: what was read back is not what was sent. Nothing more was written. Run "
            "this again; if it happens again, the flash or the line is bad"
        )
    if re.search(r"ENOSPC|OSError: 28\b|No space left", said):
        return "The plug's file system is full: remove files of yours from it, and run this again"
    if re.search(r"SerialException|Input/output error|device disconnected|disconnected", said):
        return "The plug or the adapter was unplugged in the middle. Connect it and run this again"
    if re.search(r"TransportError|could not enter raw repl|timeout waiting", said):
        return f"The plug has stopped answering. {CYCLE} Then run this again"
    lines = [line for line in said.splitlines() if line.strip()]
    return f"mpremote failed: {' '.join(lines[-3:])}"


def listing(port):
    """What is on the plug: (about, files).

    about: (platform, version, mpy, kind, free bytes); files: {path: sha256}.
    """
    said = mpremote(port, ["run", ON_PLUG], ["exec", "tell()"])
    about, files, free = None, {}, 0
    for line in said.splitlines():
        what, _, rest = line.strip().partition(" ")
        if what == "is":
            platform, version, mpy, kind = rest.split(" ", 3)
            about = platform, version, int(mpy), kind
        elif what == "free":
            free = int(rest)
        elif what == "has":
            digest, _, path = rest.partition(" ")
            files[path] = digest
    if not about or not said.rstrip().endswith("told"):
        raise PortError(f"The plug's answer makes no sense: {said[-500:]}")
    return (*about, free), files


def read_file(port, path):
    """A text file of the plug's, after listing()."""
    return mpremote(port, ["resume", "fs", "cat", f":{path}"])


def start(port):
    """Start what is on the plug, as at power-on; returns what it said in its first seconds."""
    with opened(port) as line:
        try:
            line.write(b"\r\x02")  # out of the raw REPL
            time.sleep(0.1)
            line.read(4096)
            line.write(b"\x04")
            until = time.monotonic() + LISTEN_S
            said = b""
            while time.monotonic() < until and b"\n>>> " not in said:
                said += line.read(256)
        except OSError:
            raise PortError("The plug was unplugged before it started") from None
    text = said.decode("utf-8", "replace").replace("\r", "")
    if "soft reboot" not in text:
        raise PortError(f"The plug did not start. {CYCLE}")
    return text.partition("soft reboot\n")[2]


def monitor(port, write):
    """Shows what the plug says until Ctrl-C; types nothing."""
    with opened(port) as line:
        try:
            while True:
                data = line.read(256)
                if data:
                    write(data.decode("utf-8", "replace").replace("\r", ""))
        except OSError:
            raise PortError("The plug or its adapter was unplugged") from None
        except KeyboardInterrupt:
            return
