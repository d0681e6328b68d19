"""The documents say what the firmware does: their tables are its own, what they name exists."""

import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
for folder in ("firmware", "tools"):
    if str(ROOT / folder) not in sys.path:
        sys.path.insert(0, str(ROOT / folder))

import make_docs  # noqa: E402

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md"))]
MARKERS = [(name, marker) for name, marker, _ in make_docs.DOCUMENTS if marker]

# Words in backticks that look like settings and are none: what tests, states and OctoPrint say.
NO_SETTINGS = {"print_started", "shutting_down_PI", "going_down", "hold_ms", "sleep_ms"}


def part(heading):
    """What stands in the README below `## heading`."""
    return README.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def reasons():
    """Patterns of everything `/reason` can say."""
    octoapi = (ROOT / "firmware/octoapi.py").read_text(encoding="utf-8")
    problems = re.findall(r'"([^"\n]+)"', octoapi)
    for *_, text in make_docs.states():
        pattern = re.sub(r"\\{[0-2]\\}", r"[\\d?]+", re.escape(text))
        notes = "|".join(re.escape(problem) for problem in problems)
        yield pattern.replace(r"\{3\}", f"(: ({notes}))?")


# --- tables ----------------------------------------------------------------------------------


def test_every_document_has_what_its_tables_say():
    assert make_docs.stale() == {}


@pytest.mark.parametrize(("name", "marker"), MARKERS)
def test_every_table_has_its_place(name, marker):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert f"<!-- {marker} -->\n" in text
    assert text.index(f"<!-- {marker} -->") < text.index(f"<!-- /{marker} -->")


def test_a_changed_table_makes_the_readme_stale(tmp_path):
    marker = "topics"
    (tmp_path / "README.md").write_text(README, encoding="utf-8")
    changed = [("README.md", marker, lambda: make_docs.topics_table() + "| `/new` | out | | |\n")]
    assert "| `/new` | out |" in make_docs.stale(changed, tmp_path)[tmp_path / "README.md"]
    unchanged = [("README.md", marker, make_docs.topics_table)]
    assert make_docs.stale(unchanged, tmp_path) == {}


def test_every_topic_and_command_is_in_the_table():
    table = make_docs.topics_table()
    schema = importlib.import_module("schema")
    topics = [row[2] for row in schema.rows() if row[0].startswith("topic_")]
    assert len(topics) == 14
    for topic in topics:
        assert table.count(f"| `{topic}` |") == 1
    for word in "ON AFTERJOB OFF PERMON FORCEOFF".split():
        assert f"`{word}`" in table


def test_every_state_and_its_light_is_in_the_table():
    table = make_docs.states_table().splitlines()
    armed = "| Armed | `ready_for_shutting_down` | 0.4 s on, 3 s off | printing, then off … |"
    assert armed in table
    schema = importlib.import_module("schema")
    for state in {row[0]: row for row in schema.rows()}["led_patterns"][3]:
        assert sum(f"| `{state}` |" in line for line in table) == 1


def test_the_table_of_presses_is_what_the_machine_does(plain_machine):
    """Where nothing is said of a condition, an untouched machine goes where the table says."""
    header, _, *lines = make_docs.presses_table().splitlines()
    events = [word.strip().strip("`") for word in header.split("|")[2:-1]]
    events[:2] = ["SHORT", "LONG"]
    published = {alias: name for alias, name, *_ in make_docs.states()}
    checked = 0
    for line in lines:
        alias, *cells = (cell.strip() for cell in line.split("|")[1:-1])
        for event, cell in zip(events, cells, strict=True):
            stays = {"–": alias, "stays off": alias, "nothing follows the off": alias}
            target = {"on ¹": "Waiting", **stays}.get(cell, cell)
            # the Pi is up, and no request has gone out
            target = target.split(" before the request")[0]
            if target.startswith("Going if the Pi is down"):
                target = target.partition("else ")[2] or alias
            if target.startswith("Going before"):
                target = alias
            target = target.removesuffix(" unless it has just gone off")
            assert plain_machine(published[alias], event) == target, (alias, event, cell)
            checked += 1
    assert checked == 60


@pytest.fixture(name="plain_machine")
def a_plain_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    statemachine = importlib.import_module("statemachine")
    bag = importlib.import_module("settings").load()

    def lead(state, event):
        machine = statemachine.Machine(bag, 0, state)
        machine.post(event, 20000)  # what was off has been off for a while
        return machine.alias

    return lead


# --- words -----------------------------------------------------------------------------------


def test_every_quoted_reason_is_one_that_the_plug_gives():
    rows = [line for line in part("When things go wrong").splitlines() if line.startswith("| ")]
    said = [line.split("|")[-2].strip().strip("`") for line in rows[1:]]
    said = [text for text in said if text]
    assert len(said) > 10
    patterns = list(reasons())
    for text in said:
        assert any(re.fullmatch(pattern, text) for pattern in patterns), text


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_setting_that_is_named_exists(path):
    schema = importlib.import_module("schema")
    known = {row[0] for row in schema.rows()} | NO_SETTINGS
    known |= {name for _, name, *_ in make_docs.states()}
    text = re.sub(r"(?s)```.*?```", "", path.read_text(encoding="utf-8"))
    words = {word for word in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", text) if word[:5] != "test_"}
    named = {word for word in words if word.endswith(("_s", "_ms", "_c")) or word in known}
    assert named <= known
    if path.name == "README.md":
        assert words <= known
        assert len(words) > 30


def test_every_option_of_the_simulator_is_explained_and_no_other():
    from simulator.__main__ import main

    options = {"--" + name.replace("_", "-") for name in inspect.signature(main).parameters}
    text = part("The simulator's options")
    assert set(re.findall(r"--[a-z][a-z-]*", text)) == options
    defaults = inspect.signature(main).parameters
    for name in ("port", "runtime", "heap"):
        assert f"| `--{name} {defaults[name].default}` |" in text


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_and_file_that_is_named_exists(path):
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    missing = [link for link in links if not (path.parent / link).exists()]
    folders = r"\b(?:firmware|simulator|tests|tools|docs)/[\w/.-]*\w"
    missing += [name for name in re.findall(folders, text) if not (ROOT / name).exists()]
    assert missing == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_test_that_is_named_exists(path):
    tests = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").glob("*.py"))
    for name in re.findall(r"`(test_\w+)`", path.read_text(encoding="utf-8")):
        assert f"def {name}(" in tests


def test_the_wire_is_as_short_as_the_readme_says():
    lines = len((ROOT / "firmware/wire.py").read_text(encoding="utf-8").splitlines())
    assert f"`firmware/wire.py`, {lines} lines" in README
