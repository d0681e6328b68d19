# ruff: noqa: E501 (lines of SVG)
"""Draws the state diagram and the LED chart from the tables in firmware/statemachine.py.

    .venv/bin/python tools/make_states.py            writes docs/states.svg, states-led.svg, states.md
    .venv/bin/python tools/make_states.py --check    writes nothing, fails when one of them differs

The only thing kept here is where a state stands on the page; every arrow, word and light comes
from the tables.
"""

import argparse
import importlib.util
import sys
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Centre of each state on the page.
PLACES = {
    "Switched_ON": (150, 70),
    "Waiting": (490, 70),
    "Connected": (860, 70),
    "Started": (1210, 70),
    "Going": (760, 330),
    "Armed": (1210, 330),
    "Cooling": (1210, 710),
    "Asking": (860, 710),
    "Countdown": (490, 710),
    "Relay_off": (150, 710),
}
WIDTH, HEIGHT = 1370, 970
# How far along its arrow a label stands where the middle is taken.
LABEL_AT = {
    ("Countdown", "Armed"): 0.3,
    ("Cooling", "Going"): 0.2,
    ("Asking", "Going"): 0.75,
    ("Asking", "Armed"): 0.35,
    ("Countdown", "Waiting"): 0.8,
    ("Going", "Countdown"): 0.4,
}
BENDS = {("Cooling", "Countdown"): -150}  # below Asking
BOX = 190, 56

WORDS = {
    "PI_UP": "OctoPrint answers",
    "PI_DOWN": "Pi refuses or is silent",
    "WIFI_DOWN": "no WiFi for 15 s",
    "PRINTING": "printing",
    "IDLE": "idle twice",
    "HOT": "hot, and the job old enough",
    "COOL": "cool twice",
    "SHUTS_DOWN": "shutdown_pi is set",
    "ASKED": "the shutdown was asked for",
    "ACCEPTED": "the shutdown was accepted",
    "HALTED": "silent through the settle time",
    "OVERDUE": "shutdown_max_s over",
    "BY_HAND": "by hand",
    "GONE_THEN_UP": "was down, is up again",
    "NO_EFFECT": "still up after shutdown_max_s",
    "BOOTED": "relay on for boot_s",
    "WAS_IDLE": "idle when last known",
    "ANSWERED": "OctoPrint answered since the relay closed",
    "CALM": "not within 5 s of opening nor 15 s of another LONG",
    "WAKE": "an on is remembered, 5 s after opening",
    "EXPIRED": "the hours of PERMON are over",
    "INSIST": "LONG within 15 s of a LONG",
}

# The same, as short as an arrow wants it; a note below the picture tells what is left out.
SHORT = {
    "PI_DOWN": "Pi down",
    "WIFI_DOWN": "no WiFi",
    "IDLE": "idle",
    "HOT": "old and hot enough",
    "COOL": "cool",
    "SHUTS_DOWN": "",
    "ASKED": "asked",
    "ACCEPTED": "accepted",
    "REFUSED": "refused",
    "HALTED": "Pi halted",
    "GONE_THEN_UP": "Pi back",
    "NO_EFFECT": "Pi stays up",
    "BOOTED": "",
    "WAS_IDLE": "was idle",
    "ANSWERED": "answered",
    "CALM": "",
    "WAKE": "5 s later, if remembered",
    "EXPIRED": "hours over",
    "INSIST": "LONG again",
    "INSIST|LONG": "LONG",
    "OVERDUE": "time over",
    "!BY_HAND": "",
}
LEFT_OUT = (
    "Pi down: it refuses or is silent; from Going, it has had the time to boot. Pi halted: silent through the"
    " settle time. From Cooling to Countdown: with shutdown_pi off.",
    "Switched off by hand (LONG again), a Countdown ends by itself in Relay_off only.",
)


def firmware():
    path = ROOT / "firmware" / "statemachine.py"
    spec = importlib.util.spec_from_file_location("statemachine_tables", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def states(module):
    """[(name, published name, poll, on_ms, off_ms, reason)], then the same of the rows with `-`."""
    rows = [line.split(" ", 5) for line in module.STATES.strip().split("\n")]
    return [row for row in rows if row[1] != "-"], [row for row in rows if row[1] == "-"]


def rows(module):
    """[(state or "any on-state", guards, target, what else)] in the table's order."""
    found, block = [], None
    for line in module.TABLE.strip().split("\n"):
        if line.endswith(":"):
            block = line[:-1]
        else:
            guards, rest = line.split(" > ")
            target, *more = rest.split(" ")
            found.append((block, guards.split(" "), target, " ".join(more)))
    return found


def words(guard: str) -> str:
    """A guard in plain words."""
    if guard[0] == "!":
        return "not: " + words(guard[1:])
    if "|" in guard:
        return " or ".join(guard.split("|"))
    return WORDS.get(guard, guard)


def brief(guards):
    """All guards of a row as they stand at its arrow."""
    found = []
    for guard in guards:
        text = SHORT.get(guard)
        if text is None and guard[0] == "!":
            text = "not " + brief([guard[1:]])
        if text is None:
            text = " or ".join(SHORT.get(w, WORDS.get(w, w)) for w in guard.split("|"))
        found.append(text)
    return ", ".join(filter(None, found))


def aims(target):
    """The states a target may mean; on_state and the one remembered are explained in words."""
    return [part for part in target.split("/") if part in PLACES]


def shared(table):
    """{(event, target): [states]} of what a person does and three states or more have a row for.

    Drawn, they would hide what the plug does by itself. A state with a further guard bears it.
    """
    groups = {}
    for state, guards, target, more in table:
        if not more and guards[0].isupper() and guards[0] not in WORDS and len(guards) < 3:
            for event in guards[0].split("|"):
                where = state + (f" ({words(guards[1])})" if guards[1:] else "")
                groups.setdefault((event, target), []).append(where)
    return {key: where for key, where in groups.items() if len(where) > 2}


def svg(module):
    table = rows(module)
    common = shared(table)
    arrows = {}
    for state, guards, target, more in table:
        if state == "any on-state":
            continue
        events = [
            e for e in guards[0].split("|") if (e, target) not in common or guards[2:] or more
        ]
        if not events:
            continue
        label = brief(["|".join(events)] + guards[1:])
        label += f" ({more.replace('BY_HAND', 'by hand')})" if more else ""
        for aim in aims(target) or ([state] if target == "stay" else []):
            arrows.setdefault((state, aim), []).append(label)
        if target in ("on_state", "remembered/on_state"):
            arrows.setdefault((state, "Waiting"), []).append(label + " *")
        if target == "remembered":
            arrows.setdefault((state, "Waiting"), []).append(label + " *")
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="11">',
        "<style>.s{fill:#fff;stroke:#333;stroke-width:1.5}.off{fill:#eee}.a{fill:none;stroke:#678}"
        ".n{font-size:14px;font-weight:bold}.p{fill:#666;font-size:9px}"
        ".l{fill:#234;stroke:#fafafa;stroke-width:3px;paint-order:stroke}"
        "svg{background:#fafafa}</style>",
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto"><path d="M0 0L8 4L0 8z" fill="#678"/></marker>',
    ]
    texts = []
    for (start, end), labels in arrows.items():
        x1, y1 = PLACES[start]
        x2, y2 = PLACES[end]
        if start == end:
            x, y = x1 - BOX[0] / 2 + 6, y1 + BOX[1] / 2 + 12
            texts += _text(x, y, labels, "start")
            continue
        dx, dy = x2 - x1, y2 - y1
        length = (dx * dx + dy * dy) ** 0.5
        nx, ny = -dy / length, dx / length  # to one side, so that back and forth do not meet
        bend = BENDS.get((start, end), 16 if abs(dx) + abs(dy) < 400 else 34)
        x1, y1 = _edge(x1, y1, dx, dy, nx, ny)
        x2, y2 = _edge(x2, y2, -dx, -dy, nx, ny)
        cx, cy = (x1 + x2) / 2 + nx * bend, (y1 + y2) / 2 + ny * bend
        out.append(
            f'<path class="a" marker-end="url(#tip)" '
            f'd="M{x1:.0f} {y1:.0f}Q{cx:.0f} {cy:.0f} {x2:.0f} {y2:.0f}"/>'
        )
        t = LABEL_AT.get((start, end), 0.5)
        mx = (1 - t) ** 2 * x1 + 2 * t * (1 - t) * cx + t * t * x2
        my = (1 - t) ** 2 * y1 + 2 * t * (1 - t) * cy + t * t * y2
        side = "middle" if abs(nx) < 0.4 else "start" if nx > 0 else "end"
        if side == "middle":
            my += 12 if ny * bend > 0 else -4 - 12 * (len(labels) - 1)
        else:
            mx += 5 if nx > 0 else -5
            my -= 6 * (len(labels) - 1)
        texts += _text(mx, my, labels, side)
    for name, published, _, on, off, _ in states(module)[0]:
        x, y = PLACES[name]
        kind = "s off" if name == "Relay_off" else "s"
        out.append(
            f'<g id="{published}"><rect class="{kind}" x="{x - BOX[0] / 2:.0f}" '
            f'y="{y - BOX[1] / 2:.0f}" width="{BOX[0]}" height="{BOX[1]}" rx="9"/>'
            f'<text class="n" x="{x}" y="{y - 4}" text-anchor="middle">{name}</text>'
            f'<text class="p" x="{x}" y="{y + 10}" text-anchor="middle">{published}</text>'
            f'<text class="p" x="{x}" y="{y + 22}" text-anchor="middle">LED {on}/{off} ms</text></g>'
        )
    out += texts
    notes = ["%s > %s from %s" % (e, t, ", ".join(where)) for (e, t), where in common.items()]
    notes += [
        f"{brief(g)} > {t}{more and f' ({more})'} from every on-state without a row of its own for it"
        for s, g, t, more in table
        if s == "any on-state"
    ]
    notes += LEFT_OUT
    notes.append("* the state remembered, or initial_state's: Waiting or Switched_ON")
    for i, note in enumerate(notes):
        out.append(f'<text class="l" x="30" y="{HEIGHT - 12 - 14 * (len(notes) - 1 - i)}">'
                   f"{escape(note)}</text>")  # fmt: skip
    return "\n".join(out + ["</svg>"]) + "\n"


def _edge(x, y, dx, dy, nx, ny):
    # Where an arrow in this direction leaves the box, shifted a little to its side.
    half_w, half_h = BOX[0] / 2, BOX[1] / 2
    scale_x, scale_y = half_w / abs(dx) if dx else 9e9, half_h / abs(dy) if dy else 9e9
    if scale_x < scale_y:  # along the edge, so that its tip lies neither within nor off the box
        return x + dx * scale_x, y + dy * scale_x + ny * 9
    return x + dx * scale_y + nx * 9, y + dy * scale_y


def _text(x, y, labels, anchor):
    return [
        f'<text class="l" x="{x:.0f}" y="{y + 12 * i:.0f}" text-anchor="{anchor}">{escape(label)}</text>'
        for i, label in enumerate(labels)
    ]


def led_svg(module):
    """Six seconds of every light: lit is yellow."""
    own, moods = states(module)
    lights = [row for row in own + moods if row[3] != "-"]
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {len(lights) * 24 + 34}" '
        'font-family="sans-serif" font-size="12">',
        "<style>svg{background:#fafafa}.d{fill:#ddd}.o{fill:#f4b400}</style>",
    ]
    for i, (name, _, _, on, off, _) in enumerate(lights):
        y = 12 + i * 24
        out.append(f'<text x="12" y="{y + 12}">{name}</text>')
        out.append(f'<rect class="d" x="140" y="{y}" width="600" height="16"/>')
        on, off = int(on), int(off)
        at = 0
        while on and at < 6000:
            width = max(min(on, 6000 - at) / 10, 1)
            out.append(
                f'<rect class="o" x="{140 + at / 10:g}" y="{y}" width="{width:g}" height="16"/>'
            )
            at += on + off
    out.append(f'<text x="140" y="{len(lights) * 24 + 26}">0 s</text>')
    out.append(f'<text x="718" y="{len(lights) * 24 + 26}">6 s</text>')
    return "\n".join(out + ["</svg>"]) + "\n"


def page(module):
    own, moods = states(module)
    lines = [
        "# States",
        "",
        "Made by `tools/make_states.py` from the two tables of `firmware/statemachine.py`.",
        "",
        "![State diagram](states.svg)",
        "",
        "| state | published as | polls every | LED on/off ms | reason |",
        "|---|---|---|---|---|",
    ]
    poll = {"0": "–", "i": "`poll_idle_s`", "p": "`poll_s`"}
    for name, published, every, on, off, reason in own:
        every = poll.get(every, every + " s")
        lines.append(f"| {name} | `{published}` | {every} | {on}/{off} | {_reason(reason)} |")
    lines += ["", "On top of a state:", "", "| what | LED on/off ms | reason |", "|---|---|---|"]
    for name, _, _, on, off, reason in moods:
        light = "the state's" if on == "-" else f"{on}/{off}"
        lines.append(f"| {name} | {light} | {_reason(reason)} |")
    lines += ["", "![LED chart](states-led.svg)", "", "## Transitions", ""]
    lines += ["The first row that holds wins. Words in capitals are presses and commands.", ""]
    lines += ["| from | when | to |", "|---|---|---|"]
    for state, guards, target, more in rows(module):
        when = ", ".join(words(guard) for guard in guards)
        to = target.replace("remembered/", "the state remembered, else ")
        to = "as it is" if to == "stay" else to
        lines.append(f"| {state} | {when} | {to}{', ' + more.lower() if more else ''} |")
    return "\n".join(lines) + "\n"


def _reason(text):
    for mark, word in (("{0}", "…"), ("{1}", "…"), ("{2}", "…"), ("{3}", "")):
        text = text.replace(mark, word)
    return text


DRAWINGS = {"states.svg": svg, "states-led.svg": led_svg, "states.md": page}


def stale():
    """{path: text it should have} of every drawing that differs from the tables."""
    module = firmware()
    found = {}
    for name, draw in DRAWINGS.items():
        path = ROOT / "docs" / name
        text = draw(module)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            found[path] = text
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only tell what differs")
    args = parser.parse_args()
    differing = stale()
    for path, text in differing.items():
        print(f"{'differs' if args.check else 'written'}: {path.relative_to(ROOT)}")
        if not args.check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 1 if args.check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
