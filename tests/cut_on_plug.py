"""An update on a littlefs image whose power goes, again and again; on the plug's own Python.

cut_on_plug.py FIRMWARE FILES BUNDLE: FIRMWARE is the folder of its modules, FILES a built flash,
BUNDLE the update. Every write and every erase that the update does is noted once. Then for each of
them what was on the flash until then is mounted, without it and with half of it, and trial.py
chooses what is to run. Then the connection breaks instead, after every 512 bytes of the stream.
Prints a line of JSON.
"""

import hashlib
import json
import os
import sys

import vfs  # type: ignore

SECTOR, SECTORS = 4096, 98  # as in the 1 MB image


class Flash:
    """A block device in RAM. journal: what was done to it, or None where nobody asks."""

    def __init__(self, data=None):
        self.data = data or bytearray(b"\xff" * (SECTOR * SECTORS))
        self.journal = None

    def readblocks(self, n, buffer, offset=0):
        at = n * SECTOR + offset
        buffer[:] = self.data[at : at + len(buffer)]

    def writeblocks(self, n, buffer, offset=0):
        self.do((n * SECTOR + offset, bytes(buffer)))

    def ioctl(self, what, n):
        if what == 4:
            return SECTORS
        if what == 5:
            return SECTOR
        if what == 6:
            self.do((n * SECTOR, b"\xff" * SECTOR))
        return 0

    def do(self, step, part=1.0):
        at, data = step
        size = int(len(data) * part)
        self.data[at : at + size] = data[:size]
        if self.journal is not None:
            self.journal.append(step)


class Upload:
    """Stands for the portal: the bundle comes in pieces of 512 bytes, as many as `pieces`."""

    inner = None

    def __init__(self, path, pieces=-1):
        self.length = os.stat(path)[6]
        self.pieces = pieces
        self.rest, self.got = b"", 0
        self.file = open(path, "rb")  # noqa: SIM115 - until this ends

    def ends(self, ms):
        pass

    async def turn(self):
        pass

    async def read_on(self):
        piece = self.file.read(512) if self.pieces else b""
        self.pieces -= 1
        self.rest += piece
        return len(piece)


class Chip:
    class WDT:
        pass


def mounted(flash, at):
    vfs.mount(vfs.VfsLfs2(flash), at)
    os.chdir(at)


def away(at):
    os.chdir("/")
    vfs.umount(at)


def sums(folder):
    """{name: sha256} of every file in it."""
    found = {}
    for entry in os.ilistdir(folder):
        with open(folder + "/" + entry[0], "rb") as file:
            found[entry[0]] = hashlib.sha256(file.read()).digest()
    return found


def text(name):
    with open(name) as file:
        return file.read()


def laid(files):
    """A flash as after flashing, slot a in use, with settings."""
    flash = Flash()
    vfs.VfsLfs2.mkfs(flash)
    mounted(flash, "/first")
    os.mkdir("a")
    for folder in "", "/a":
        for entry in os.ilistdir(files + folder):
            if entry[1] == 0x8000:
                path = folder + "/" + entry[0]
                with open(files + path, "rb") as source, open(path[1:], "wb") as target:
                    target.write(source.read())
    with open("config.json", "w") as file:
        file.write(json.dumps({"wifi_ssid": "workshop", "messages": ["x" * 48] * 6}))
    return flash


def update(bundle):
    """All that happens from the first byte on until the new version is confirmed."""
    import slots
    import trial
    from unpack import receive

    visit = Upload(bundle)
    sys.path.insert(0, "a")
    try:
        receive(visit, "b").send(None)
    except StopIteration:
        pass
    os.rename("b/seq-new", "b/seq")
    slots.activate("b")
    steps = ["updated"]
    for first in True, False:
        steps.append(trial.find(first, None, 0)[0])
    slots.prove(True, 1)
    steps.append(text("slot"))
    slots.activate("b")
    steps.append(trial.find(False, None, 0)[0])
    steps.append(trial.find(False, ValueError("bad"), 1)[0])  # and given up
    steps.append(text("slot"))
    sys.path.pop(0)
    return steps


def broken(before, bundle, settings, old):
    """The connection breaks after every 512 bytes: how often. The plug, which stays up, has to be
    as before each time, and take an update that follows (tried after every 20 pieces)."""
    from unpack import receive

    pieces = (os.stat(bundle)[6] + 511) // 512
    for n in range(pieces):
        flash = Flash(bytearray(before))
        mounted(flash, "/broken")
        sys.path.insert(0, "a")
        came = Upload(bundle, n)
        try:
            receive(came, "b").send(None)  # StopIteration, were that all of it
        except (OSError, ValueError):
            pass
        finally:
            came.file.close()
            sys.path.pop(0)
        check("broken after %d pieces" % n, settings, old)
        if "bundle" in os.listdir():
            raise ValueError("broken after %d pieces: the header stays" % n)
        if n % 20 == 0 and update(bundle)[:3] != ["updated", "b", "b"]:
            raise ValueError("broken after %d pieces: no update after that" % n)
        away("/broken")
    return pieces


def check(what, settings, old, new=None):
    """ValueError if what a start now chooses is not whole, or the settings are others; else it."""
    import trial

    letter = trial.find(True, None, 0)[0]
    if sums(letter) != (old if letter == "a" else new):
        raise ValueError("%s: slot %s is not whole" % (what, letter))
    if text("config.json") != settings:
        raise ValueError("%s: other settings" % what)
    return letter


def left_at_worst():
    """Blocks that are free when all that a plug ever writes is there and as long as can be."""
    sizes = {"config.json": 6144, "config.new": 6144, "config.bad": 6144, "offs": 970, "last": 40}
    sizes["ha"] = 110
    for name in sizes:
        with open(name, "w") as file:
            file.write("x" * sizes[name])
    return os.statvfs(".")[3]


def main(files, bundle):
    sys.modules["machine"] = Chip
    flash = laid(files)
    settings = text("config.json")
    old = sums("a")
    before = bytearray(flash.data)
    flash.journal = []
    steps = update(bundle)
    journal, flash.journal = flash.journal, None
    new = sums("b")
    free = left_at_worst()
    away("/first")
    running = Flash(before)
    chosen = {"a": 0, "b": 0}
    for n in range(len(journal) + 1):
        for part in (0.0, 0.5):
            flash = Flash(bytearray(running.data))
            if n < len(journal):
                flash.do(journal[n], part)
            mounted(flash, "/cut")
            letter = check("cut %d + %.1f" % (n, part), settings, old, new)
            away("/cut")
            chosen[letter] += 1
        if n < len(journal):
            running.do(journal[n])
    seen = {"steps": steps, "chosen": chosen, "free": free, "files": len(new)}
    seen["broken"] = broken(before, bundle, settings, old)
    print(json.dumps(seen))


sys.path.insert(0, sys.argv[1])
main(*sys.argv[2:])
