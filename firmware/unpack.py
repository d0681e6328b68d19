"""Streams a bundle's files into the other slot, once ota.py has found its header right. A step.

From its first step on that slot is not whole: the file `seq-new` says so. It becomes `seq` when
all has come and the update is allowed (update.py). The running slot, /slot and the settings stay
as they are, whatever comes or does not come.
"""

import os
import sys
from binascii import hexlify
from hashlib import sha256
from time import ticks_add, ticks_ms

from taking import guarded, take

_HEAD = const(16)  # how the header is laid out: see ota.py
_ROW = const(60)
_FOLDER = const(0x4000)  # in os.stat()[0]
_BLOCK = const(4096)  # of the file system …
_INLINE = const(128)  # … which keeps files of up to so many bytes in their folder
_SPARE = const(1)  # block that stays free, for settings that are saved
_PRESS_MS = const(60000)  # for who stands before the plug to allow it
_OPEN_MS = const(70000)  # and the portal stays a little longer
_OFFERED = const(3)  # Machine.frozen: a SHORT press allows the update


async def run(p):
    """A step of portal.py: take the files in and offer them, or say in p.outcome what is wrong."""
    import slots

    other = slots.other()
    del sys.modules["slots"], slots
    await guarded(p, unpack(p, other))
    sys.modules.pop("taking", None)
    if not p.outcome:
        if p.older or not p.inner:
            p.plug.machine.frozen = _OFFERED
        p.offered = ticks_add(ticks_ms(), _PRESS_MS)
        p.used(_OPEN_MS)
    return p.go_to(p.path)


async def receive(p, other):
    """Take a bundle in as a whole. ValueError, OSError: see judge(), unpack()."""
    from ota import judge

    await judge(p)
    await unpack(p, other)


async def unpack(p, other):
    """Take the files in, which p.read_on() adds to p.rest, into the slot `other`.

    Sets p.older, whether they are less than the running ones; p.sum, the sha256 of it all as hex
    (bytes). ValueError: as judge() in ota.py. OSError: the file system failed.
    """
    try:
        with open("bundle", "rb") as file:
            _see_room(p, other, file)
            await _clear(p, other)
            for row in _rows(file):
                await _take_file(p, other.encode() + b"/", row)
        p.sum = hexlify(p.whole.digest())
    finally:
        os.remove("bundle")


def _rows(file):
    # Those of the header, one by one.
    file.seek(_HEAD)
    row = file.read(_ROW)
    while row:
        yield row
        row = file.read(_ROW)


def _see_room(p, other, header):
    # What runs must be sure of itself, and there must be room, before the other slot is given up.
    number = 0
    try:
        with open(sys.path[0] + "/seq", "rb") as file:
            number = int(file.readline())
    except (OSError, ValueError):
        pass
    p.older = p.sequence < number
    trial = b""
    try:
        with open("slot", "rb") as file:
            trial = file.read()
    except OSError:
        pass
    if b"?" in trial:
        raise ValueError(b"trial")
    room = os.statvfs(".")
    free = room[3] * (room[1] // 512) // 8 - _SPARE
    for path in _files(other.encode()):
        about = os.stat(path)
        if not about[0] & _FOLDER:
            free += _blocks(about[6])
    blocks = 2  # a folder
    for row in _rows(header):
        blocks += _blocks(int.from_bytes(row[24:28], "big"))
    if free < blocks:
        raise ValueError(b"room", blocks, free)


def _blocks(size):
    # That a file of this size takes; a large one has links in its blocks, too.
    return (size + _BLOCK - 17) // (_BLOCK - 16) if size > _INLINE else 0


def _files(folder):
    # The paths in it, those in a folder before it; one after the other, to hold no list.
    try:
        for entry in (getattr(os, "ilistdir", None) or os.listdir)(str(folder, "utf-8")):
            name = entry if isinstance(entry, str) else entry[0]
            path = folder + b"/" + name.encode()
            if os.stat(path)[0] & _FOLDER:
                for inner in _files(path):
                    yield inner
            yield path
    except OSError:
        pass


async def _clear(p, other):
    # Each takes its time in the flash: the button is looked at in between, the watchdog fed.
    other = other.encode()
    _folder(other)
    with open(other + b"/seq-new", "wb"):
        pass  # from now on it is not whole
    for path in _files(other):
        await p.turn()
        try:
            if path[-4:] != b"-new":
                os.remove(path)
        except OSError:
            os.rmdir(path)


def _folder(path):
    try:
        os.mkdir(path)
    except OSError:
        pass  # it is there; if not, what is written into it fails


async def _take_file(p, path, row):
    # The next file, as its row in the header tells, into that slot.
    name = row[:24].rstrip(b"\0")
    at = name.find(b"/")
    if at > 0:
        _folder(path + name[:at])
    aside = b"-new" if name == b"seq" else b""  # as long as it is not allowed
    left = int.from_bytes(row[24:28], "big")
    digest = sha256()
    with open(path + name + aside, "wb") as file:
        while left:
            part = await take(p, left)
            file.write(part)
            digest.update(part)
            left -= len(part)
    if digest.digest() != row[28:]:
        raise ValueError(b"damaged", name)
