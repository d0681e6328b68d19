"""Takes a bundle in: judges its header whole, then streams the files into the other slot.

Before the header is found right nothing of a slot changes. It goes by into the file `bundle`,
since there is no room to hold it, and the rows are read there again. From the first file on the
other slot is not whole: `seq`, which says that one is, is removed first, and what comes as such is
kept aside until the update is allowed (update.py). The running slot, /slot and the settings stay
as they are, whatever comes or does not come.

    0  `OPO1`, format, flags, count of files, version of .mpy: a byte each
    8  sequence number, size of all files: 4 bytes each, highest first
    16 a row of 60 bytes a file: name, filled up with zeros to 24; size, 4; sha256, 32
    …  the files one after the other

Names ascend, so none comes twice, but for the last, `seq`: this file has the sequence number in
one line and in the next the sha256 of the header up to its row. So no bit of it changes unseen.
"""

import os
import sys
from binascii import hexlify
from hashlib import sha256
from time import ticks_add, ticks_diff, ticks_ms

_HEAD = const(16)
_ROW = const(60)
_FORMAT = const(1)
_MOST = const(80)  # files
_LARGEST = const(0x3FFFFFFF)  # sequence number: whole numbers up to here take no heap
_STALL_MS = const(10000)  # nothing came for so long: it has ended
_WHOLE_MS = const(300000)  # and so long it may take at most
_FOLDER = const(0x4000)  # in os.stat()[0]
_BLOCK = const(4096)  # of the file system …
_INLINE = const(128)  # … which keeps files of up to so many bytes in their folder
_SPARE = const(1)  # block that stays free, for settings that are saved
_PRESS_MS = const(60000)  # for who stands before the plug to allow it
_RECEIVING = const(2)  # Machine.frozen: an upload is on its way, or waits for the SHORT press
_OFFERED = const(3)


async def run(p):
    """A step of portal.py: take the upload in and offer it, or say in p.outcome what is wrong."""
    machine = p.plug.machine
    machine.frozen = _RECEIVING
    p.outcome = ()
    try:
        import slots

        await receive(p, slots.other())
        if p.older or not p.inner:
            machine.frozen = _OFFERED
        p.offered = ticks_add(ticks_ms(), _PRESS_MS)
        p.used(_PRESS_MS + _STALL_MS)
    except ValueError as error:
        p.outcome = error.args
    except OSError as error:
        p.outcome = b"flash", error.args[0]
    except MemoryError:
        p.outcome = (b"memory",)
    finally:
        sys.modules.pop("slots", None)
        p.inner = p.outer = p.whole = None
        if not p.offered:
            machine.frozen = True
    return p.go_to(p.path)


async def receive(p, other):
    """Take p.length bytes in, which p.read_on() adds to p.rest, into the slot `other`.

    Sets p.sequence; p.older, whether that is less than the running one's; p.sum, the sha256 of
    it all as hex (bytes). ValueError has a part of pages/update.html that says what is wrong, and
    its values; OSError: the file system failed. p.inner, p.outer, p.proof: see remote.py.
    """
    p.over = ticks_add(ticks_ms(), _WHOLE_MS)
    p.whole = sha256()
    try:
        with open("bundle", "wb") as file:
            await _judge(p, file)
        _see_room(p, other)
        _clear(other)
        with open("bundle", "rb") as file:
            file.seek(_HEAD)
            row = file.read(_ROW)
            while row:
                await _take_file(p, other.encode() + b"/", row)
                row = file.read(_ROW)
        p.sum = hexlify(p.whole.digest())
    finally:
        os.remove("bundle")


async def _take(p, most):
    # The next bytes, one or more.
    if not p.rest:
        p.ends(min(_STALL_MS, ticks_diff(p.over, ticks_ms())))
        n = 0
        try:
            n = await p.read_on()
        except OSError:
            pass
        if not n:
            got = p.got
            p.got = p.length  # nothing more is waited for
            raise ValueError(b"broken", got, p.length)
    part = p.rest[:most]
    p.rest = p.rest[most:]
    p.got += len(part)
    p.whole.update(part)
    return part


async def _exactly(p, size):
    data = b""
    while len(data) < size:
        data += await _take(p, size - len(data))
    if p.inner:
        p.inner.update(data)
    return data


async def _judge(p, file):
    # The header into the file; ValueError says what is wrong with it.
    if p.length < _HEAD + _ROW:
        raise ValueError(b"small", p.length)
    head = await _exactly(p, _HEAD)
    if head[:4] != b"OPO1":
        raise ValueError(b"magic")
    if head[4] != _FORMAT or head[5]:
        raise ValueError(b"format", head[4], head[5])
    count = head[6]
    if not 0 < count <= _MOST:
        raise ValueError(b"count", count, _MOST)
    mpy = getattr(sys.implementation, "_mpy", 6) & 255
    if head[7] != mpy:
        raise ValueError(b"mpy", head[7], mpy)
    p.sequence = number = int.from_bytes(head[8:12], "big")
    if not 0 < number <= _LARGEST:
        raise ValueError(b"sequence", number, _LARGEST)
    left = int.from_bytes(head[12:], "big")
    if _HEAD + count * _ROW + left != p.length:
        raise ValueError(b"length", p.length, _HEAD + count * _ROW + left)
    file.write(head)
    seal = sha256(head)
    before = b""
    p.blocks = 2  # a folder
    for i in range(1, count + 1):
        row = await _exactly(p, _ROW)
        name = row[:24].rstrip(b"\0")
        size = int.from_bytes(row[24:28], "big")
        left -= size
        if left < 0:
            raise ValueError(b"sizes", i)
        p.blocks += _blocks(size)
        if i == count:
            text = b"%d\n%s\n" % (number, hexlify(seal.digest()))
            if left or name != b"seq" or size != len(text) or row[28:] != sha256(text).digest():
                raise ValueError(b"seal")
        else:
            if name <= before or name == b"seq" or not _fits(name):
                raise ValueError(b"name", i)
            seal.update(row)
            before = name
        file.write(row)
    if p.inner:
        from portal import is_same

        p.outer.update(p.inner.digest())
        if not is_same(p.outer.digest(), p.proof):
            raise ValueError(b"key")


def _fits(name):
    # Whether it names a file in the slot, or in a folder of it.
    for c in name:
        if not (97 <= c <= 122 or 46 <= c <= 57 or c == 95):
            return False
    path = b"/" + name + b"/"
    return path.count(b"/") < 4 and b"//" not in path and b"/." not in path and b".." not in path


def _see_room(p, other):
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
    if free < p.blocks:
        raise ValueError(b"room", p.blocks, free)


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


def _clear(other):
    for name in (b"/seq", b"/seq-new"):
        try:
            os.remove(other.encode() + name)
        except OSError:
            pass
    for path in _files(other.encode()):
        try:
            os.remove(path)
        except OSError:
            os.rmdir(path)
    _folder(other)


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
    aside = b"-new" if name == b"seq" else b""  # so that it is no name of a bundle's file
    left = int.from_bytes(row[24:28], "big")
    digest = sha256()
    with open(path + name + aside, "wb") as file:
        while left:
            part = await _take(p, left)
            file.write(part)
            digest.update(part)
            left -= len(part)
    if digest.digest() != row[28:]:
        raise ValueError(b"damaged", name)
