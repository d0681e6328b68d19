"""Writes the documents that are made from the firmware's own tables, so that they cannot go stale.

    .venv/bin/python tools/make_docs.py            writes what differs
    .venv/bin/python tools/make_docs.py --check    writes nothing, fails when something differs

A maker is a function that returns text, with the file it fills or the pair of marker comments it
fills between (`<!-- settings -->` and `<!-- /settings -->`). A document without the markers, or
that does not exist yet, is left alone.
"""

import argparse
import ast
import importlib
import json
import sys
from pathlib import Path

import merge

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
    schema, sheet = _firmware("schema"), _firmware("sheet")
    lines = []
    for number, group in enumerate(sheet.groups()):
        lines += ["", f"**{group}**", ""]
        lines += ["| key | default | may be | what it is |", "|---|---|---|---|"]
        for *row, unit, label, text in sheet.form(number):
            meaning = f"{label}{f' ({unit})' if unit else ''}"
            text = f"{meaning}. {text}" if text else meaning
            limits = _cell(_limits(schema, (*row, False)))
            lines.append(f"| `{row[0]}` | {_default(row)} | {limits} | {_cell(text)} |")
    return "\n".join(lines[1:]) + "\n"


def _limits(schema, row):
    """What a value of a row may be: as the plug says it to somebody whose value is nonsense."""
    try:
        schema.check(row, object(), False)
    except ValueError as error:
        return str(error).split(": ", 1)[1]
    raise ValueError(f"{row[0]} takes anything")


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


# How mqtt.py marks a topic, in words.
WHEN = {
    "r": "retained; on change",
    "t": "on change and every `mqtt_report_s`",
    "i": "retained; every `mqtt_report_s`",
}

# What stands before `>` in a row of the state machine, as the mark of a note below the table.
GUARDS = {
    "CALM": "²",
    "PI_DOWN": "³",
    "PI_DOWN !ASKED": "³",  # nothing is ever asked for but in Asking and Countdown
    "!ASKED": "⁴",
}

NOTES = """
- ¹ Waiting, or Switched_ON where `initial_state` is that or `Relay_off`.
- ² Not within 5 s of going off, nor within 15 s of another long press: hammering switches off.
- ³ If the Pi has been silent, or refusing, for 15 s (`pi_down_s`) and was not asked to shut down.
- ⁴ Once the Pi was asked to shut down it halts whatever the plug does: the power goes when it has,
  and comes back 5 s later, in this state.
"""


def topics_table():
    """The README's MQTT topics: what mqtt.py publishes and takes, in words from the settings."""
    mqtt = _source("mqtt")
    words = _source("remarks")["_COMMANDS"].split()
    rows = [("/switch", "in", ""), ("/update", "in", ""), ("/error", "out", "at once")]
    for row in mqtt["_TOPICS"].split():
        rows.append((row[1 : row.index("=")], "out", WHEN[row[0]]))
    rows.append(("/log", "out", "retained; when it grows, and on connecting while off"))
    bridge = {"octoPrint/commands": ("in", ""), "octoprint": ("out", "at once")}
    rows += [(topic, *words) for topic, words in bridge.items()]
    named = {"octoPrint/commands": "topic_commands", "octoprint": "topic_answers"}
    sheet = _firmware("sheet")
    labels = {
        row[0]: row[6:] for page in range(len(list(sheet.groups()))) for row in sheet.form(page)
    }
    lines = ["| topic | | sent | what |", "|---|---|---|---|"]
    for topic, way, when in rows:
        label, text = labels[named.get(topic) or "topic_" + topic[topic.rfind("/") + 1 :]]
        label = f"[Bridge](docs/bridge.md), {label.lower()}" if topic in named else label
        text = ", ".join(f"`{word}`" for word in words) if topic == "/switch" else text
        what = f"{label}: {text[0].lower() + text[1:] if text[:2].istitle() else text}"
        lines.append(f"| `{topic}` | {way} | {when} | {_cell(what.rstrip(': '))} |")
    return "\n".join(lines) + "\n"


# What the kinds in pages/bridge.txt are, in words; two limits may follow.
KINDS = {
    "path": "a path, {} to {} bytes",
    "text": "a text, {} to {} bytes",
    "number": "a number, {} to {}",
    "whole": "a whole number, {} to {}",
    "not": "true or false",
    "local": "`local`",
    "moves": "`x`, `y`, `z`, each {} to {}",
    "axes": '`"x,y"` or a list',
}
DONE = {
    ">doing": "`GET /api/printer`, `GET /api/job`",
    ">places": "a copy to `POST /api/files/local`",
    ">cameras": "`GET /api/settings`",
}


def commands_table():
    """docs/bridge.md: every line of pages/bridge.txt."""
    lines = ["| type · action | parameters | what OctoPrint is asked |", "|---|---|---|"]
    for line in (ROOT / "firmware/pages/bridge.txt").read_text(encoding="utf-8").splitlines():
        words, wanted, what, _ = line.split("|")
        asked = f"refused: {what[1:].split(': ')[1]}" if what[0] == "!" else DONE.get(what)
        if not asked:
            asked = "`POST /api/{}` `{}`".format(*what.split(" ", 1))
        if words.endswith(" snapshot"):
            asked += ", and a copy"
        cells = []
        for part in wanted.split():
            part, *default = part.split("=")
            name, kind = part.split(":")
            kind, *limits = kind.split(",")
            text = f"`{name}`: {KINDS[kind].format(*limits)}"
            if not default:
                text = "needed: " + text
            elif default[0] not in ("", "null"):
                value = (
                    {"false": "true", "true": "false"}[default[0]] if kind == "not" else default[0]
                )
                text += f"; else {value}"
            cells.append(text)
        kind, action = words.split(" ")
        lines.append(f"| `{kind}` · `{action}` | {'<br>'.join(cells) or '–'} | {asked} |")
    return "\n".join(lines) + "\n"


def states_table():
    """The README's LED chart: every row of STATES, those last that are no states of their own."""
    lines = ["| state | published as | LED | `/reason` |", "|---|---|---|---|"]
    for alias, name, _, on, off, reason in states():
        name = "" if name == "-" else f"`{name}`"
        lines.append(f"| {alias} | {name} | {_light(on, off)} | {_cell(_reason(reason))} |")
    return "\n".join(lines) + "\n"


def presses_table():
    """The README's table of button and commands: where each leads from each state."""
    events = ("SHORT", "LONG", "ON", "OFF", "PERMON", "FORCEOFF")
    anywhere = _rows("any on-state")
    lines = [
        "| in | short press | long press | " + " | ".join(f"`{e}`" for e in events[2:]) + " |",
        "|---" * (len(events) + 1) + "|",
    ]
    for alias, name, *_ in states():
        if name != "-":
            rows = _rows(alias) + (anywhere if alias != "Relay_off" else [])
            cells = [_leads(event, rows) for event in events]
            lines.append(f"| {alias} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n" + NOTES


def states():
    """[(alias, published name, poll, LED on, LED off, reason)] of all rows of STATES, as text."""
    text = _firmware("statemachine").STATES
    return [tuple(line.split(" ", 5)) for line in text.strip().splitlines()]


def _rows(block):
    """[(words before `>`, words after it)] of one block of the state machine's table."""
    text = _firmware("statemachine").TABLE.split(f"\n{block}:\n")[1]
    rows = []
    for line in text.splitlines():
        if line.endswith(":"):
            break
        before, after = line.split(" > ")
        rows.append((before.split(), after.split()))
    return rows


def _leads(event, rows):
    """Where `event` leads: `rows` up to the first that asks for nothing else."""
    cells = []
    for before, after in rows:
        if event not in before[0].split("|"):
            continue
        guard = " ".join(before[1:])
        target = {"on_state": "on ¹", "stay": "stays off"}.get(after[0], after[0])
        if "remember" in after:
            # the row before this one leads there at once; note ⁴ says what this one does
            assert cells == [f"{after[-1]} {GUARDS['!ASKED']}"]
            break
        cells.append(f"{target} {GUARDS[guard]}" if guard else target)
        if not guard:
            break
    return ", else ".join(cells) or "–"


def _light(on, off):
    """An LED pattern in words; `on` and `off` are ms as text."""
    if "-" in (on, off):
        return "the state's"
    if int(on) == int(off) == 0:
        return "dark"
    return f"{int(on) / 1000:g} s on, {int(off) / 1000:g} s off"


def _reason(text):
    """A reason without its placeholders, as make_states.py shows it."""
    for i in range(3):
        text = text.replace("{%d}" % i, "…")
    return text.replace("{3}", " …") if text.endswith("{3}") else text


def _source(name):
    """{name: value} of the constants of a firmware module that needs a plug to be imported."""
    found = {}
    for node in ast.parse((ROOT / f"firmware/{name}.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign):
            value = node.value
            if isinstance(value, ast.Call) and ast.unparse(value.func) == "const":
                value = value.args[0]
            if isinstance(value, ast.Constant):
                found[node.targets[0].id] = value.value
    return found


def _resident():
    # Not settings: plug.py lets go of the module once it is loaded, what stays is the bag.
    return {part for whole in merge.RESIDENT for part in merge.WHOLES.get(whole, ())}


# When a module is in the heap, by its name and what it says of itself; the first that fits.
GROUPS = {
    "Resident": lambda name, text: name in _resident(),
    "At the root, never updated": lambda name, text: name in ("boot", "main", "trial", "recovery"),
    "Updates": lambda name, text: name in ("ota", "unpack", "taking", "update", "remote", "slots"),
    "Settings, loaded a step at a time": lambda name, text: name in _parts_of_settings(),
    "The portal and its steps, one at a time": lambda name, text: "portal" in text,
    "Loaded for one call": lambda name, text: True,
}


def house_table():
    """docs/house.md: every module in its own words, by when it is in the heap."""
    left = {path.stem: path.read_text("utf-8") for path in (ROOT / "firmware").glob("*.py")}
    ours = set(left)
    lines = []
    for heading, belongs in GROUPS.items():
        lines += ["", f"**{heading}**", "", "| module | in its own words | imports |"]
        lines.append("|---|---|---|")
        for name, source in sorted(left.items()):
            tree = ast.parse(source)
            text = ast.get_docstring(tree) or ""
            if belongs(name, text):
                del left[name]
                text = text.split("\n\n")[0].replace("\n", " ")
                below = ", ".join(f"`{other}`" for other in sorted(_imported(tree) & ours))
                lines.append(f"| `{name}` | {_cell(text)} | {below} |")
    return "\n".join(lines[1:]) + "\n"


def _parts_of_settings():
    return {"settings", "keeping", "spare", *_source("settings")["_PARTS"].split()}


def _imported(tree):
    """Every module that is imported anywhere in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func).split(".")[-1]
            if called in ("step", "_step", "take"):
                names.add(node.args[0].value)
    return names


def measured_table():
    """The README's figures of 4.6, recorded once, and of this firmware, from docs/bench.md."""
    rows = [
        [cell.strip() for cell in line.split("|")[1:4]]
        for line in (ROOT / "docs/bench.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ]

    def figure(what, words, place=1):
        for row in rows:
            if row[0] == what and words in row[place]:
                return row[place]
        raise ValueError(f"docs/bench.md has no figure of {what}")

    polls = [figure(state, "a minute") for state in ("Waiting", "Connected", "Armed", "Cooling")]
    polls = ", ".join(f"{float(text.split()[0]):g}" for text in polls)
    press = figure("OctoPrint is black-holed", " / ").split()
    presses = figure("OctoPrint is black-holed", "presses", 2).split()[0]
    stall = figure("OctoPrint is black-holed", " ms")
    bare = next(row[1] for row in rows if row[0].startswith("control"))
    off = figure("Pi halts in 20 s", " s")
    return f"""\
| measured | OctoPlugout 4.6 | this firmware |
|---|---|---|
| requests to OctoPrint a minute: looking, connected, armed, cooling | 4, 22, 14, 38 | {polls} |
| the longest its loop stood still with the Pi off | 3 s looking, 9 s cooling | {stall}; a loop \
without the firmware on the same PC: {bare} |
| short presses that were lost while cooling, with the Pi off | 98 % | none of {presses}; decided \
after {press[0]} ms |
| from cool to power off, with a Pi that halts in 20 s | | {off}, of which 45 s are its silence |
"""


def spare_table():
    """firmware/spare.py: settings.txt less what only people need."""
    lines = []
    for line in (ROOT / "firmware/settings.txt").read_text(encoding="utf-8").splitlines():
        if "|" in line:
            lines.append("|".join(line.split("|")[:5]) + "|")
        elif line[:2] == "& " or line == ".":
            lines.append(line)
    return SPARE % "\n".join(lines)


SPARE = '''"""The rows of settings.txt, for a plug on which that file is missing or not whole.

It goes on with every setting; only the forms lack their words. Loaded for that and let go. Made by
tools/make_docs.py.
"""

# ruff: noqa: E501

TABLE = """\\
%s
"""
'''

# (file, marker or None for the whole file, maker)
DOCUMENTS = [
    ("firmware/spare.py", None, spare_table),
    ("firmware/config.json.example", None, example_config),
    ("README.md", "settings", settings_table),
    ("README.md", "states", states_table),
    ("README.md", "presses", presses_table),
    ("README.md", "topics", topics_table),
    ("README.md", "measured", measured_table),
    ("docs/house.md", "modules", house_table),
    ("docs/bridge.md", "commands", commands_table),
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
