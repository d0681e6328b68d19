"""Lays pages, other texts and steps out in one file, since each file takes a block of the flash.

Its first line says in rows of 32 bytes where each begins, ` name=00123` for so many bytes from
the start; it is as long as some pieces of 128 bytes, which portal.py reads one by one. Then come
what discovery.py tells and the sentences of keys.txt, a line each, the pages, all of which end
with a line that has only `=`, and the steps, compiled.
"""

import os
from pathlib import Path

PAGES = Path(__file__).resolve().parent.parent / "firmware/pages"
NAME = "portal.pack"
_ROW, _PIECE = 32, 128  # bytes


def pages():
    """The files of which a shelf without steps is made."""
    return [*sorted(PAGES.glob("*.txt")), *sorted(PAGES.glob("*.html"))]


def packed(steps=(), change=bytes):
    """The bytes of a shelf. steps: (name of the file, bytes) of each step. change: a function that
    gives what stands for the bytes of a page.

    ValueError: a page has a line that would end it.
    """
    parts = []
    for path in pages():
        data = change(path.read_bytes())
        if b"\n=\n" in b"\n" + data or data[-1:] != b"\n":
            raise ValueError(f"{path.name}: a line of `=` alone, or no end of the last line")
        parts.append((path.stem, data + b"=\n"))
    parts += steps
    at = -(-(len(parts) * _ROW + 1) // _PIECE) * _PIECE
    index = ""
    for name, data in parts:
        index += f" {name}={at:05}".rjust(_ROW)
        at += len(data)
    index += " " * (-(len(index) + 1) % _PIECE) + "\n"
    return index.encode() + b"".join(data for _, data in parts)


def lay(folder, steps=(), change=bytes):
    """Write it into `folder`, where the firmware looks for it; returns its path."""
    target = Path(folder) / NAME
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f"{NAME}.{os.getpid()}.new")
    new.write_bytes(packed(steps, change))
    os.replace(new, target)
    return target
