"""A plug at the end of a pseudo-terminal, for the real esptool and mpremote to talk to.

Its flash is one file of 1 MB, or 2. With the button held at power-on it is in the boot loader
(rom_loader.py), else it starts what the flash holds: MicroPython (pty_micropython.py on the 32-bit
build) if there is an image with the header that a Sonoff needs, and nothing otherwise.
"""

import contextlib
import hashlib
import mmap
import os
import select
import signal
import struct
import subprocess
import threading
import time
import tty
from pathlib import Path

from rom_loader import Loader

HERE = Path(__file__).resolve().parent
SIZE = 1 << 20
DOUT_1MB = b"\x03\x20"
# Size -> what stands in the image's header once it is on there, and where files begin
KINDS = {SIZE: (DOUT_1MB, 0x99000), 2 * SIZE: (b"\x03\x30", 0x100000)}
SOFT, RAW, RESET = 3, 4, 5
MPY = 0x0306  # sys.implementation._mpy: format 6.3, no native code


class Plug:
    """`micropython`: the program; `shims`: the folder with the simulator's machine, network, esp.

    Of what the PC sends, the first occurrence of `cut_at` (bytes) takes the power away, or calls
    `cut`; that of spoil[0] arrives as spoil[1]. size: bytes of flash, a key of KINDS.
    """

    def __init__(self, folder, micropython, shims, version="1.25.0", mpy=MPY, size=SIZE):
        self.header, self.files_at = KINDS[size]
        self.micropython, self.version, self.mpy = micropython, version, mpy
        self.environment = {**os.environ, "MICROPYPATH": f"{shims}:.frozen"}
        self.path, self.keys = Path(folder) / "flash.bin", Path(folder) / "keys"
        self.path.write_bytes(b"\xff" * size)
        self.keys.write_bytes(b"0")
        with open(self.path, "r+b") as file:
            self.flash = mmap.mmap(file.fileno(), size)
        self.cut = self.off
        self.cut_at, self.spoil = b"", (b"", b"")
        self.heard = b""  # all that the PC sent
        self.loader = self.process = None
        self.started = []  # how, each time MicroPython was
        self._lock = threading.RLock()
        self._wake, self._woken = os.pipe()
        self.far, self.near = os.openpty()
        tty.setraw(self.near)
        self.port = os.ttyname(self.near)
        self._thread = threading.Thread(target=self._pump, daemon=True)
        self._thread.start()

    # --- what a person does

    def power(self, button=False):
        """3.3 V away and back, with the button held or not."""
        with self._lock:
            self.off()
            if button:
                self.loader = Loader(self.flash)
            elif self.flash[:1] == b"\xe9" and self.flash[2:4] == self.header:
                self._start("power")

    def off(self):
        with self._lock:
            self.loader = None
            if self.process:
                self.process.kill()
                self.process.wait()
                self.process.stdin.close()
                self.process.stdout.close()
                self.process = None

    def pull(self):
        """The adapter leaves the USB socket, and takes the plug's power with it."""
        self.off()
        with self._lock:
            os.close(self.near)
            os.close(self.far)
            self.near = self.far = -1

    def close(self):
        self.off()
        os.write(self._woken, b"x")
        self._thread.join(10)
        for handle in (self.near, self.far, self._wake, self._woken):
            with contextlib.suppress(OSError):
                os.close(handle)
        self.flash.close()

    def write_image(self, image):
        """As after esptool: without the trouble."""
        self.flash[: len(image)] = image[:2] + self.header + image[4:]

    # --- the line

    def _start(self, how):
        self.started.append(how)
        self.keys.write_bytes(b"0")
        script = str(HERE / "pty_micropython.py")
        command = [str(self.micropython), "-X", "heapsize=160k", script]
        command += [str(self.path), str(self.keys), how, self.version, str(self.mpy)]
        if how == "power":
            self.since = time.monotonic()
        command.append(str(int((time.monotonic() - self.since) * 1000)))
        command.append(str(self.files_at))
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment,
            bufsize=0,
        )

    def _pump(self):
        while True:
            with self._lock:
                handles = [self._wake] + [self.far] * (self.far >= 0)
                if self.process:
                    handles.append(self.process.stdout)
            ready, _, _ = select.select(handles, [], [], 0.05)
            if self._wake in ready:
                return
            with self._lock, contextlib.suppress(OSError, ValueError):
                if self.far in ready:
                    self._from_pc(os.read(self.far, 4096))
                if self.process and self.process.stdout in ready:
                    self._from_plug()

    def _from_pc(self, data):
        if self.spoil[0] and self.spoil[0] in data:
            data = data.replace(*self.spoil)
            self.spoil = b"", b""
        before = len(self.heard)
        self.heard += data
        if self.cut_at and self.cut_at in self.heard[max(0, before - len(self.cut_at)) :]:
            self.cut_at = b""
            self.cut()
        elif self.loader:
            self._send(self.loader.feed(data))
        elif self.process:
            for key in data:
                if key == 3 and self.keys.read_bytes() == b"1":
                    self.process.send_signal(signal.SIGINT)
                else:
                    self.process.stdin.write(bytes((key,)))

    def _from_plug(self):
        data = os.read(self.process.stdout.fileno(), 4096)
        if data:
            self._send(data)
            return
        code = self.process.wait()
        self.off()
        if code in (SOFT, RAW, RESET):
            self._start("raw" if code == RAW else "soft" if code == SOFT else "power")

    def _send(self, data):
        while data:
            data = data[os.write(self.far, data) :]


def image(version="1.25.0", board="ESP module (1M) with ESP8266", code=200_000):
    """A MicroPython image as far as anybody looks at it: header, length, version, MD5 at the end.

    Two parts as makeimg.py of the ESP8266 port puts them together: the first 36 KB are what the
    chip's ROM loads, then comes what runs in place.
    """
    segment = (b"first part " * 100)[:1024]
    checksum = 0xEF
    for byte in segment:
        checksum ^= byte
    start = 0x40100000
    part = b"\xe9\x01\x00\x00" + struct.pack("<III", start, start, len(segment)) + segment
    part += b"\0" * (-(len(part) + 1) % 16) + bytes((checksum,))
    text = b"MicroPython v%s on 2025-04-15\0; %s\0" % (version.encode(), board.encode())
    rest = text + bytes(range(256)) * (code // 256)
    data = part.ljust(0x9000 - 4, b"\xff") + struct.pack("<I", 0x9000 + len(rest)) + rest
    return data + hashlib.md5(data[4:]).digest()
