"""Makes a bundle out of the firmware, or says what is in one and whether a plug would take it.

    .venv/bin/python tools/bundle.py [--into FILE]      build/octoplugout-VERSION.opo
    .venv/bin/python tools/bundle.py FILE --check

A bundle is what the plug's update page and `tools/flash.sh --ota` send: the files of a slot behind
a header; firmware/ota.py says how it is laid out. --check has the plug's own code read it.
"""

import asyncio
import contextlib
import hashlib
import os
import re
import struct
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

import build
from env import ROOT, EnvError, say

_HEAD = struct.Struct("!4s4BII")
_ROW = struct.Struct("!24sI32s")
_MARK, _FORMAT = b"OPO1", 1
_SEAL = "seq"  # the last file


class BundleError(Exception):
    """What is wrong with a bundle, in the plug's words."""


@dataclass
class Bundle:
    """What a header says. `files`: {name: size}; `header`: its bytes; `digest`: sha256 of all."""

    sequence: int
    mpy: int
    files: dict
    header: bytes
    size: int
    digest: str

    @property
    def version(self):
        return version_of(self.sequence)


# --- versions ------------------------------------------------------------------------------------


sequence_of = build.sequence_of


def version_of(sequence):
    return f"{sequence // 10000}.{sequence // 100 % 100}.{sequence % 100}"


def current_version():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


# --- making --------------------------------------------------------------------------------------


def head(sequence, rows, mpy=6, total=None, mark=_MARK, format=_FORMAT, flags=0, count=None):
    """The bytes of a header. rows: (name as bytes, size, digest). What else is given may be wrong:
    that is what the tests are for."""
    total = sum(size for _, size, _ in rows) if total is None else total
    count = len(rows) if count is None else count
    return _HEAD.pack(mark, format, flags, count, mpy, sequence, total) + b"".join(
        _ROW.pack(name, size, digest) for name, size, digest in rows
    )


def seal(sequence, before):
    """The content of `seq`. before: the header's bytes up to its row."""
    return b"%d\n%s\n" % (sequence, hashlib.sha256(before).hexdigest().encode())


def pack(files, sequence, **wrong):
    """A bundle of `files`, {name: bytes}; `wrong` goes to head()."""
    for name in files:
        if len(name) > 24:
            raise BundleError(f"The name {name} has {len(name)} letters; at most 24 fit")
    rows = [
        (name.encode(), len(files[name]), hashlib.sha256(files[name]).digest())
        for name in sorted(files, key=str.encode)
    ]
    bodies = b"".join(files[name.decode()] for name, _, _ in rows)
    # How long the seal is does not depend on what it says.
    last = (_SEAL.encode(), len(seal(sequence, b"")), bytes(32))
    before = head(sequence, [*rows, last], **wrong)[: -_ROW.size]
    text = seal(sequence, before)
    last = (*last[:2], hashlib.sha256(text).digest())
    return head(sequence, [*rows, last], **wrong) + bodies + text


def of_slot(folder, sequence=None):
    """A bundle of what is in that folder, as tools/build.py leaves it: bytes."""
    folder = Path(folder)
    paths = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".new"]
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    there = files.pop(_SEAL, b"").split()
    if sequence is None:
        sequence = int(there[0]) if there else sequence_of(current_version())
    mpy = {files[name][1] for name in files if name.endswith(".mpy")}
    if len(mpy) != 1:
        raise BundleError(f"{folder} holds .mpy files of {len(mpy)} formats; one is wanted")
    return pack(files, sequence, mpy=mpy.pop())


def make(sequence=None):
    """Build the firmware, and a bundle of it: bytes."""
    build.build()
    return of_slot(build.FLASH / "a", sequence)


# --- reading -------------------------------------------------------------------------------------


class Upload:
    """Stands for the portal while it is read: `data` comes in pieces of that many bytes."""

    inner = None

    def __init__(self, data, piece=512, length=None):
        self.rest, self._data, self._piece = b"", memoryview(data), piece
        self.length = len(data) if length is None else length
        self.got = 0

    def ends(self, ms):
        assert ms > 0

    async def turn(self):
        pass

    async def read_on(self):
        piece, self._data = self._data[: self._piece], self._data[self._piece :]
        self.rest += bytes(piece)
        return len(piece)


def sentence(part, *values):
    """What the plug says with that part of pages/update.html."""
    text = (ROOT / "firmware/pages/update.html").read_text(encoding="utf-8")
    found = re.search(rf"(?ms)^={part.decode()}\n(.*?)(?=^=|\Z)", text)[1]
    for i, value in enumerate(values):
        shown = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        found = found.replace("{%d}" % i, shown)
    return " ".join(found.split())


def check(data):
    """The Bundle in those bytes, read by the plug's own code. BundleError: it would be refused."""
    for folder in (ROOT, ROOT / "firmware"):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    import simulator.hardware

    simulator.hardware.install()
    import unpack

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        try:
            asyncio.run(unpack.receive(Upload(data), "b"))
        except ValueError as wrong:
            raise BundleError(sentence(*wrong.args)) from None
    return read(data)


def read(data):
    """The Bundle that a header tells of. BundleError: there is none."""
    if len(data) < _HEAD.size or data[:4] != _MARK:
        raise BundleError(sentence(b"magic"))
    _, _, _, count, mpy, sequence, total = _HEAD.unpack_from(data)
    size = _HEAD.size + count * _ROW.size
    if len(data) != size + total:
        raise BundleError(sentence(b"length", len(data), size + total))
    rows = [_ROW.unpack_from(data, _HEAD.size + i * _ROW.size) for i in range(count)]
    files = {name.rstrip(b"\0").decode("ascii", "replace"): length for name, length, _ in rows}
    digest = hashlib.sha256(data).hexdigest()
    return Bundle(sequence, mpy, files, data[:size], len(data), digest)


def load(path):
    """(bytes, Bundle) of a file, checked."""
    try:
        data = Path(path).read_bytes()
    except OSError as wrong:
        raise BundleError(f"{path} cannot be read: {wrong.strerror}") from None
    return data, check(data)


# --- the command ---------------------------------------------------------------------------------


def about(bundle):
    return (
        f"  version {bundle.version}, sequence number {bundle.sequence}\n"
        f"  {len(bundle.files)} files for .mpy version {bundle.mpy}, {bundle.size:,} bytes\n"
        f"  sha256 {bundle.digest}"
    )


def main(words):
    try:
        if len(words) == 2 and "--check" in words:
            path = Path(next(word for word in words if word != "--check"))
            _, bundle = load(path)
            print(f"{path} is whole: a plug takes it.\n{about(bundle)}")
        elif not words or len(words) == 2 and words[0] == "--into":
            data = make()
            bundle = check(data)
            path = Path(words[1]) if words else ROOT / f"build/octoplugout-{bundle.version}.opo"
            new = path.with_name(path.name + ".new")
            new.write_bytes(data)
            os.replace(new, path)
            print(f"{path}\n{about(bundle)}")
        else:
            print(__doc__)
            return 0 if {"-h", "--help"} & set(words) else 2
    except (BundleError, build.BuildError, EnvError, OSError) as wrong:
        say(f"No bundle: {wrong}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
