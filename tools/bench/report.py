"""docs/bench.md: the figures as last measured."""

import datetime
import platform
import re

from env import ROOT

PAGE = ROOT / "docs/bench.md"

HEAD = """# Figures

Made by `tools/bench.sh --write`; each table by the command in its last column. Times are those of
a PC, so look at ratios: `control` is the same ticker without the firmware, at the same time on the
same machine. Heap is that of 32-bit MicroPython, whose objects are as large as the ESP8266's:
Debian's build, and for the rows of `chip` one with the ESP8266's configuration (`tools/chip.py`).
"""


def write(tables):
    """Puts these tables into the page; those of other parts stay as they were measured."""
    PAGE.parent.mkdir(exist_ok=True)
    old = PAGE.read_text() if PAGE.exists() else ""
    parts = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", old, re.M | re.S))
    today = datetime.date.today().isoformat()
    for part, rows in tables.items():
        lines = [
            f"\nMeasured {today} on {platform.system()} {platform.machine()}.\n",
            "| what | figure | note | command |",
            "|---|---|---|---|",
        ]
        for what, figure, note, command in rows:
            lines.append(f"| {_cell(what)} | {_cell(figure)} | {_cell(note)} | `{command}` |")
        parts[part] = "\n".join(lines) + "\n\n"
    text = HEAD + "".join(f"\n## {part}\n{parts[part].rstrip()}\n" for part in parts)
    PAGE.write_text(text)


def _cell(text):
    return text.replace("|", "\\|").replace("\n", " ")
