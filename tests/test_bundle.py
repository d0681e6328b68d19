"""Bundles: made of what the build leaves, laid out as described, read by the plug's own code."""

import ast
import asyncio
import hashlib
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import build
import bundle
import unpack

ROOT = Path(__file__).resolve().parent.parent
TOOL = [sys.executable, str(ROOT / "tools/bundle.py")]


def run(*words):
    return subprocess.run([*TOOL, *map(str, words)], capture_output=True, text=True)


def test_byte_by_byte():
    """As firmware/ota.py tells, written out by hand."""
    name, data = b"plug.mpy", b"M\x06..."
    first = struct.pack("!4s4BII", b"OPO1", 1, 0, 2, 6, 50001, len(data) + 71)
    first += name + bytes(16) + len(data).to_bytes(4, "big") + hashlib.sha256(data).digest()
    text = b"50001\n" + hashlib.sha256(first).hexdigest().encode() + b"\n"
    last = b"seq" + bytes(21) + len(text).to_bytes(4, "big") + hashlib.sha256(text).digest()
    assert bundle.pack({"plug.mpy": data}, 50001) == first + last + data + text


def test_what_the_build_leaves_arrives_whole(flash, tmp_path, monkeypatch):
    data = bundle.of_slot(flash / "a")
    monkeypatch.chdir(tmp_path)
    asyncio.run(unpack.receive(bundle.Upload(data), "b"))
    built = {p.relative_to(flash / "a"): p.read_bytes() for p in (flash / "a").rglob("*.*")}
    there = {p.relative_to(tmp_path / "b"): p.read_bytes() for p in Path("b").resolve().rglob("*")
             if p.is_file()}  # fmt: skip
    assert there.pop(Path("seq-new")).split()[0] == b"%d" % bundle.read(data).sequence
    assert there == built
    assert len(built) > 15


def test_the_same_files_make_the_same_bundle(flash):
    assert bundle.of_slot(flash / "a") == bundle.of_slot(flash / "a")


def test_a_version_and_its_number():
    pairs = [("5.0.0", 50000), ("5.1.2", 50102), ("5.1.10", 50110), ("12.0.1", 120001)]
    for version, number in pairs:
        assert bundle.sequence_of(version) == number
        assert bundle.version_of(number) == version
    assert bundle.version_of(bundle.sequence_of(bundle.current_version()))


def test_mpy_files_of_two_formats_are_no_bundle(tmp_path):
    (tmp_path / "a.mpy").write_bytes(b"M\5")
    (tmp_path / "b.mpy").write_bytes(b"M\6")
    with pytest.raises(bundle.BundleError, match="2 formats; one is wanted"):
        bundle.of_slot(tmp_path)


def test_the_command_makes_one_and_checks_it(tmp_path):
    path = tmp_path / "new.opo"
    made = run("--into", path)
    assert made.returncode == 0, made.stderr
    data = path.read_bytes()
    sum_ = hashlib.sha256(data).hexdigest()
    for line in (
        f"version {bundle.current_version()}, sequence number 5",
        sum_,
        f"{len(data):,} b",
    ):
        assert line in made.stdout
    checked = run(path, "--check")
    assert checked.returncode == 0 and sum_ in checked.stdout and "is whole" in checked.stdout
    path.write_bytes(data[:-1])
    checked = run(path, "--check")
    assert checked.returncode == 1
    assert (
        f"has {len(data) - 1} bytes, but should have {len(data)} by its header" in checked.stderr
    )


def test_the_command_says_what_it_cannot_read(tmp_path):
    assert "cannot be read: No such file" in run(tmp_path / "none", "--check").stderr
    assert run("what").returncode == 2
    assert "--check" in run("--help").stdout


LITTLEFS = """
import os, sys
sys.path.insert(0, "lib")
import ota, unpack

class Flash:
    def __init__(self, blocks):
        self.data = bytearray(blocks * 4096)
    def readblocks(self, block, buf, off=0):
        at = block * 4096 + off
        buf[:] = memoryview(self.data)[at : at + len(buf)]
    def writeblocks(self, block, buf, off=0):
        at = block * 4096 + off
        self.data[at : at + len(buf)] = buf
    def ioctl(self, what, arg):
        return {4: len(self.data) // 4096, 5: 4096, 6: 0}.get(what)

class Upload:
    inner = None
    def __init__(self, data):
        self.rest, self.data, self.length, self.got = b"", memoryview(data), len(data), 0
    def ends(self, ms):
        pass
    async def turn(self):
        pass
    async def read_on(self):
        part = bytes(self.data[:128])
        self.data = self.data[128:]
        self.rest += part
        return len(part)

def names(folder, below=""):
    found = []
    for name, kind, *_ in os.ilistdir(folder):
        found += names(folder + "/" + name, name + "/") if kind == 0x4000 else [below + name]
        if kind == 0x4000:
            found.append(name + "/")
    return sorted(found)

def receive(data, slot):
    try:
        unpack.receive(Upload(data), slot).send(None)
    except StopIteration:
        os.rename(slot + "/seq-new", slot + "/seq")
        print(names(slot))
    except ValueError as error:
        print(error.args)

with open("old.opo", "rb") as file:
    old = file.read()
with open("new.opo", "rb") as file:
    new = file.read()
flash = Flash(98)  # 0x99000 to 0xFAFFF
os.VfsLfs2.mkfs(flash)
os.mount(os.VfsLfs2(flash), "/plug")
os.chdir("/plug")
receive(old, "a")
receive(old, "b")
receive(new, "b")
print(os.statvfs(".")[3])
with open("filler", "wb") as file:
    file.write(bytes(4096 * (os.statvfs(".")[3] - 6)))
receive(new, "b")
receive(old, "b")
"""


def test_on_a_file_system_of_the_plugs_size_one_update_follows_the_other(
    micropython, flash, tmp_path
):
    """Both slots full; what an older version had, folders too, makes room for the next."""
    new = bundle.of_slot(flash / "a")
    paths = [path for path in (flash / "a").rglob("*") if path.is_file()]
    files = {path.relative_to(flash / "a").as_posix(): path.read_bytes() for path in paths}
    older = {name: text for name, text in files.items() if name != "seq"}
    older |= {"old/one.html": b"1" * 2000, "old/two.html": b"2", "was.mpy": b"M\6"}
    (tmp_path / "new.opo").write_bytes(new)
    (tmp_path / "old.opo").write_bytes(bundle.pack(older, 40000))
    for name in ("taking", "ota", "unpack"):
        build.compile_mpy(build.FIRMWARE / f"{name}.py", tmp_path / f"lib/{name}.mpy", 3)
    done = subprocess.run(
        [str(micropython), "-X", "heapsize=2m", "-c", LITTLEFS],
        cwd=tmp_path,
        env=dict(os.environ, MICROPYPATH=".frozen"),
        capture_output=True,
        text=True,
    )
    said = [ast.literal_eval(line) for line in done.stdout.splitlines()]
    assert len(said) == 6, done.stderr
    assert said[0] == said[1] == sorted([*older, "old/", "seq"])
    assert said[2] == said[4] == sorted(bundle.read(new).files)
    assert said[3] >= 10, "blocks for what is at the root, and for settings that are saved"
    assert said[5] == said[0]
