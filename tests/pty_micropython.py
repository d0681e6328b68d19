"""The plug's MicroPython on the far end of a serial line: flash, file system, REPL, start files.

Started on 32-bit MicroPython by tests/pty_device.py, with the simulator's `machine`, `network` and
`esp` on its path:  pty_micropython.py FLASH KEYS HOW VERSION MPY MS START
FLASH is the file that stands for the flash chip, with littlefs from START on, as the image has it,
up to the five sectors that the chip's makers keep to themselves. Into KEYS goes 1 or 0: whether
Ctrl-C interrupts now. HOW is "power" or, after Ctrl-D in the raw REPL, "raw"; MS the time since
power-on. It ends with 3 for a soft reset, 4 for one out of the raw REPL, 5 for one of the chip.
"""

import io
import os
import sys
import time

import vfs  # type: ignore

# Found here, on the simulator's path, before the root becomes another one
import air  # type: ignore
import esp  # noqa: F401
import machine  # noqa: F401
import network  # noqa: F401
import silicon  # type: ignore

SECTOR = 4096
START = int(sys.argv[7])
SECTORS = (os.stat(sys.argv[1])[6] - START) // SECTOR - 5
SOFT, RAW, RESET = 3, 4, 5
WINDOW = 128  # bytes the raw-paste mode takes at a time

flash = open(sys.argv[1], "r+b")  # noqa: SIM115 - as long as this runs
keys = open(sys.argv[2], "r+b")  # noqa: SIM115
how = sys.argv[3]
put = sys.stdout.buffer.write
take = sys.stdin.buffer.read
end = sys.exit
ticks_ms = time.ticks_ms
zero_ms = ticks_ms() - int(sys.argv[6])


class Device:
    """The sectors of the flash that hold the file system."""

    def readblocks(self, n, buffer, offset=0):
        flash.seek(START + n * SECTOR + offset)
        flash.readinto(buffer)

    def writeblocks(self, n, buffer, offset=0):
        flash.seek(START + n * SECTOR + offset)
        flash.write(buffer)

    def ioctl(self, what, n):
        if what == 4:
            return SECTORS
        if what == 5:
            return SECTOR
        if what == 6:
            self.writeblocks(n, b"\xff" * SECTOR)
        return 0


class Plain:
    pass


def pretend():
    """Be the image for the ESP8266 of that version; Ctrl-C is what the line's end does."""
    version, mpy = sys.argv[4], int(sys.argv[5])
    system, ours, clock = Plain(), Plain(), Plain()
    for real, other in ((sys, system), (time, clock)):
        for name in dir(real):
            setattr(other, name, getattr(real, name))
    clock.ticks_ms = lambda: ticks_ms() - zero_ms & 0x3FFFFFFF
    system.platform = "esp8266"
    system.implementation = Plain()
    system.implementation.name = "micropython"
    system.implementation.version = tuple([int(part) for part in version.split(".")] + [""])
    system.implementation._mpy = mpy
    system.implementation._machine = "ESP module (1M) with ESP8266"
    ours.const = lambda value: value
    ours.kbd_intr = lambda key: interrupts(key == 3)
    sys.modules["sys"], sys.modules["micropython"], sys.modules["since"] = system, ours, clock
    sys.modules["socket"] = air
    silicon.bound = lambda kind, port: 0  # whatever port of this PC is free
    silicon.restart = lambda why: end(RESET)


def interrupts(on):
    keys.seek(0)
    keys.write(b"1" if on else b"0")


def mount():
    device = Device()
    empty = bytearray(SECTOR)
    device.readblocks(0, empty)
    vfs.umount("/")
    if empty == b"\xff" * SECTOR:
        put(b"Performing initial setup\r\n")
        vfs.VfsLfs2.mkfs(device)
        vfs.mount(vfs.VfsLfs2(device), "/")
        with open("boot.py", "w") as file:
            file.write("# This file is executed on every boot\n")
    else:
        try:
            vfs.mount(vfs.VfsLfs2(device), "/")
        except OSError:
            while True:  # as the image's _boot.py does
                put(b"The filesystem starting at sector 153 looks corrupt.\r\n")
                time.sleep(1)
    os.chdir("/")


def execute(text, names):
    """Run it with Ctrl-C on; returns the traceback as bytes."""
    said = b""
    interrupts(True)
    try:
        exec(text, names)
    except SystemExit:
        raise
    except BaseException as error:
        shown = io.BytesIO()
        sys.print_exception(error, shown)
        said = shown.getvalue().replace(b"\n", b"\r\n")
    interrupts(False)
    return said


def start_file(name, names):
    try:
        with open(name) as file:
            text = file.read()
    except OSError:
        return
    # Only main.py looks at the time since power-on; asyncio's C half has this PC's clock
    put(execute(text.replace("import time\n", "import since as time\n"), names))


def pasted():
    """The raw-paste mode: a window at a time."""
    put(b"R\x01" + bytes((WINDOW & 255, WINDOW >> 8)) + b"\x01")
    text, room = b"", WINDOW
    while True:
        key = take(1)
        if key == b"\x04":
            put(b"\x04")
            return text
        text += key
        room -= 1
        if not room:
            put(b"\x01")
            room = WINDOW


def raw(names):
    """The raw REPL, until Ctrl-B."""
    banner = b"raw REPL; CTRL-B to exit\r\n>"
    put(banner)
    text = b""
    while True:
        key = take(1)
        if not key:
            end(0)
        if key == b"\x01":
            put(banner)
            text = b""
        elif key == b"\x02":
            put(b"\r\n")
            return
        elif key == b"\x03":
            text = b""
        elif key == b"\x05" and not text:
            take(2)
            text = pasted()
            put(execute(text, names).join((b"\x04", b"\x04>")))
            text = b""
        elif key == b"\x04":
            put(b"OK")
            if not text:
                put(b"\r\nMPY: soft reboot\r\n")
                end(RAW)
            put(execute(text, names).join((b"\x04", b"\x04>")))
            text = b""
        else:
            text += key


def friendly(names):
    """The REPL for people: as much of it as takes mpremote on to the raw one."""
    put(b"\r\nMicroPython v%s on 2025-04-15; ESP module (1M) with ESP8266\r\n" % sys.argv[4])
    put(b'Type "help()" for more information.\r\n>>> ')
    while True:
        key = take(1)
        if not key:
            end(0)
        if key == b"\x01":
            put(b"\r\n")
            raw(names)
            put(b">>> ")
        elif key == b"\x02":
            put(b"\r\n>>> ")
        elif key == b"\x04":
            put(b"\r\nMPY: soft reboot\r\n")
            end(SOFT)


def main():
    global how
    names = {"__name__": "__main__"}
    pretend()
    mount()
    sys.path[:] = ["", "/lib", "/"]
    start_file("boot.py", names)
    if how != "raw":
        start_file("main.py", names)
    interrupts(False)
    while True:
        try:
            if how == "raw":
                raw(names)
            how = ""
            friendly(names)
        except KeyboardInterrupt:  # came when nothing was running any more
            pass


interrupts(False)
main()
