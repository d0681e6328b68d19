"""Writes the documents that are made from the firmware's own tables, so that they cannot go stale.

    .venv/bin/python tools/make_docs.py            writes what differs
    .venv/bin/python tools/make_docs.py --check    writes nothing, fails when something differs

A maker is a function that returns text, with the file it fills or the pair of marker comments it
fills between (`<!-- settings -->` and `<!-- /settings -->`). A document without the markers, or
that does not exist yet, is left alone.
"""

import argparse
import importlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Made by the plug itself when the file does not have them. An example that set them would have
# everybody's plug share a password, or none.
RANDOM = ("portal_password", "ota_key")


def _firmware(name):
    """A fresh firmware module: settings.py lets go of schema, so it may not be the same one."""
    folder = str(ROOT / "firmware")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module(name)


def example_config():
    """config.json.example: every default, one a line, in the schema's order, RANDOM left out."""
    entries = [
        f"{json.dumps(key)}: {json.dumps(default, ensure_ascii=False)}"
        for key, _, default, *_ in _firmware("schema").rows()
        if key not in RANDOM
    ]
    return "{\n" + ",\n".join(entries) + "\n}\n"


def settings_table():
    """The README's table: a heading and a Markdown table for each group of settings."""
    schema, labels = _firmware("schema"), _firmware("labels")
    lines, group = [], None
    for row in schema.rows():
        label, unit, text, part = labels.label(row[0])
        if part != group:
            group = part
            lines += ["", f"**{group}**", ""]
            lines += ["| key | default | may be | what it is |", "|---|---|---|---|"]
        meaning = f"{label}{f' ({unit})' if unit else ''}"
        text = f"{meaning}. {text}" if text else meaning
        limits = _cell(schema.limits(row))
        lines.append(f"| `{row[0]}` | {_default(row)} | {limits} | {_cell(text)} |")
    return "\n".join(lines[1:]) + "\n"


def _default(row):
    key, kind, default = row[:3]
    if key in RANDOM:
        return "random at first start"
    if kind == "list":
        return "<br>".join(f"`{_cell(text)}`" for text in default) or "none"
    text = json.dumps(default) if isinstance(default, bool) else str(default)
    return f"`{_cell(text)}`" if text else "empty"


def _cell(text):
    return text.replace("|", "\\|").replace("<", "&lt;")


# (file, marker or None for the whole file, maker)
DOCUMENTS = [
    ("firmware/config.json.example", None, example_config),
    ("README.md", "settings", settings_table),
]


def filled(old, marker, new):
    """`old` with `new` between its markers; unchanged if it has none."""
    start, end = f"<!-- {marker} -->\n", f"<!-- /{marker} -->"
    if start not in old or end not in old:
        return old
    head, rest = old.split(start, 1)
    return head + start + new + end + rest.split(end, 1)[1]


def stale(documents=None, root=ROOT):
    """{path: text it should have} of every document that differs from its tables."""
    wanted = {}
    for name, marker, make in documents or DOCUMENTS:
        path = root / name
        if marker is None:
            wanted[path] = make()
        elif path in wanted or path.exists():
            old = wanted[path] if path in wanted else path.read_text(encoding="utf-8")
            wanted[path] = filled(old, marker, make())
    return {
        path: text
        for path, text in wanted.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only tell what differs")
    args = parser.parse_args()
    differing = stale()
    for path, text in differing.items():
        print(f"{'differs' if args.check else 'written'}: {path.relative_to(ROOT)}")
        if not args.check:
            path.write_text(text, encoding="utf-8")
    return 1 if args.check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
