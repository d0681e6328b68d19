"""Takes a bundle's header in and judges it whole, before anything of a slot changes. A step.

It goes by into the file `bundle`, since there is no room to hold it; unpack.py, the next step,
reads its rows there.

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
from time import ticks_add, ticks_ms

from taking import guarded, take

_HEAD = const(16)
_ROW = const(60)
_FORMAT = const(1)
_MOST = const(80)  # files
_LARGEST = const(0x3FFFFFFF)  # sequence number: whole numbers up to here take no heap
_WHOLE_MS = const(300000)  # so long an upload may take at most
_RECEIVING = const(2)  # Machine.frozen: an upload is on its way


async def run(p):
    """A step of portal.py: judge what comes, or say in p.outcome what is wrong."""
    p.plug.machine.frozen = _RECEIVING
    p.outcome = ()
    await guarded(p, judge(p))
    sys.modules.pop("taking", None)
    return p.go_to(p.path) if p.outcome else "unpack"


async def judge(p):
    """Take the header of p.length bytes in, which p.read_on() adds to p.rest.

    Sets p.sequence. ValueError has a part of pages/update.html
    that says what is wrong, and its values. p.inner, p.outer, p.proof: see remote.py.
    """
    p.over = ticks_add(ticks_ms(), _WHOLE_MS)
    p.whole = sha256()
    good = False
    try:
        with open("bundle", "wb") as file:
            await _judge(p, file)
        good = True
    finally:
        if not good:
            os.remove("bundle")


async def _exactly(p, size):
    data = b""
    while len(data) < size:
        data += await take(p, size - len(data))
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
    for i in range(1, count + 1):
        row = await _exactly(p, _ROW)
        name = row[:24].rstrip(b"\0")
        size = int.from_bytes(row[24:28], "big")
        left -= size
        if left < 0:
            raise ValueError(b"sizes", i)
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
