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
from whole import House, modules, virtual  # noqa: E402

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
    problems = []
    for name in "octoapi", "pending", "heat":  # what these say is shown with it
        text = (ROOT / f"firmware/{name}.py").read_text(encoding="utf-8")
        problems += re.findall(r'"([^"\n]+)"', text)
    for *_, text in make_docs.states():
        pattern = re.sub(r"\\{[0-2]\\}", r"[\\d?]+", re.escape(text))
        notes = "|".join(re.escape(problem).replace("%d", "[0-9]+") for problem in problems)
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
    assert len(topics) > 10
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
    header, _, *lines = make_docs.presses_table().split("\n\n")[0].splitlines()
    events = [word.strip().strip("`") for word in header.split("|")[2:-1]]
    events[:2] = ["SHORT", "LONG"]
    published = {alias: name for alias, name, *_ in make_docs.states()}
    checked = 0
    for line in lines:
        alias, *cells = (cell.strip() for cell in line.split("|")[1:-1])
        for event, cell in zip(events, cells, strict=True):
            # the Pi is up, and no request has gone out
            target = cell.replace("Going ³", "").removeprefix(", else ").rstrip("²⁴ ") or alias
            target = {"–": alias, "stays off": alias, "on ¹": "Waiting"}.get(target, target)
            assert plain_machine(published[alias], event).alias == target, (alias, event, cell)
            checked += 1
            if cell.endswith("⁴"):
                machine = plain_machine(published[alias], event, asked=True)
                assert (machine.alias, machine.remembered) == ("Countdown", target)
                checked += 1
    assert checked == 60 + 6


@pytest.fixture(name="plain_machine")
def a_plain_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    statemachine = importlib.import_module("statemachine")
    bag = importlib.import_module("settings").load()

    def lead(state, event, asked=False):
        machine = statemachine.Machine(bag, 0, state)
        if asked:
            machine.post("ASKED", 10)
        machine.post(event, 20000)  # what was off has been off for a while
        return machine

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
    text = README.split("<summary>The simulator's options")[1].split("</details>")[0]
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
    for name in re.findall(folders, text):  # or what stands beside the document
        if not (ROOT / name).exists() and not (path.parent / name).exists():
            missing.append(name)
    assert missing == []


def anchors(path):
    """What a link to a document may have behind its #: its headings, as GitHub writes them."""
    text = re.sub(r"(?sm)^```.*?^```", "", path.read_text(encoding="utf-8"))
    headings = re.findall(r"(?m)^#+ (.+)$", text)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_a_heading_becomes_the_anchor_that_links_use():
    assert "firmwareslimasynciopy" in anchors(ROOT / "docs/house.md")
    assert "when-wifi-drops-in-the-countdown" in anchors(ROOT / "docs/safety.md")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_into_a_document_leads_to_a_heading(path):
    text = path.read_text(encoding="utf-8")
    for file, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", text):
        assert anchor in anchors(path.parent / file if file else path), f"{file}#{anchor}"


OPTIONS = {
    "simulate.sh": "simulator/__main__.py",
    "flash.sh": "tools/flash.py",
    "bench.sh": "tools/bench/__main__.py",
    "soak.sh": "tools/soak.py",
    "test.sh": "tools/test.sh",
}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_option_of_a_command_that_is_shown_exists(path):
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"(?s)<!-- modules -->.*<!-- /modules -->", "", text)  # the firmware's own words
    for tool, words in re.findall(r"\btools/([\w.]+)([^\n`|#]*)", text):
        source = (ROOT / OPTIONS.get(tool, f"tools/{tool}")).read_text(encoding="utf-8")
        for option in re.findall(r"(?<!\S)--([a-z][a-z-]*)", words):
            given = f'"--{option}"' in source or re.search(
                rf"(?m)^    {option.replace('-', '_')}: ", source
            )
            assert given or option == "help", f"tools/{tool} has no --{option}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_line_to_paste_for_mqtt_has_topics_and_commands_that_exist(path):
    schema = importlib.import_module("schema")
    topics = {row[2] for row in schema.rows() if row[0].startswith("topic_")} | {"/#", ""}
    commands = make_docs._source("remarks")["_COMMANDS"].split()
    lines = re.findall(r"(?m)^    mosquitto_(pub|sub) (.+)$", path.read_text(encoding="utf-8"))
    for tool, words in lines:
        topic = re.search(r"-t '?(?:octoplugout(?:/ab128a)?|home/printer/plug)(/[\w/#]+)?", words)
        assert topic and (topic[1] or "") in topics, words
        if tool == "pub":
            assert topic[1] == "/switch"
            assert re.search(r" -m (\w+)", words)[1] in commands
    assert path.name not in ("README.md", "migrating.md") or len(lines) > 2


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_function_that_is_named_with_its_file_is_there(path):
    text = " ".join(path.read_text(encoding="utf-8").split())
    for name, file in re.findall(r"`(\w+)` in \[?`?([\w/]+\.py)", text):
        file = ROOT / file if "/" in file else ROOT / "firmware" / file
        assert re.search(
            rf"(?m)^ *(?:(?:async )?def|class) {name}\b|^{name} = ",
            file.read_text(encoding="utf-8"),
        ), f"{name} in {file.name}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_topic_that_is_named_exists(path):
    schema = importlib.import_module("schema")
    topics = {row[2] for row in schema.rows() if row[0].startswith("topic_")}
    gone = {"/DEBUG"}
    named = set(re.findall(r"`(/[a-zA-Z]+(?:/[a-z]+)?)`", path.read_text(encoding="utf-8")))
    assert named <= topics | gone


def test_migrating_knows_every_fault_and_every_test_of_one():
    text = (ROOT / "docs/migrating.md").read_text(encoding="utf-8")
    faults = text.split("## The 18 faults")[1].split("\n## ")[0]
    assert re.findall(r"(?m)^\| (\d+) \|", faults) == [str(n) for n in range(1, 19)]
    source = (ROOT / "tests/test_faults_of_the_original.py").read_text(encoding="utf-8")
    for name, number in re.findall(r"def (test_(\d+)_\w+)", source):
        line = next(line for line in faults.splitlines() if line.startswith(f"| {number} |"))
        assert f"`{name}`" in line


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_test_that_is_named_exists(path):
    tests = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").glob("*.py"))
    for name in re.findall(r"`(test_\w+)`", path.read_text(encoding="utf-8")):
        assert f"def {name}(" in tests


@virtual
async def test_wifi_that_drops_in_the_countdown_ends_as_the_readme_says(tmp_path):
    assert "| WiFi drops in the countdown" in README
    async with House(tmp_path, booted=True) as house:
        house.when("Countdown", lambda: setattr(house.wifi, "up", False))
        await house.reach("Countdown")
        await house.pause(600)
        assert (house.state, house.moves) == ("Countdown", [])
        assert house.reason == "waiting, nothing is switched: no WiFi"
        house.wifi.up = True
        back = house.s
        await house.until("Relay_off", 300)
        assert 230 < house.moves[0][0] - back < 260  # "four minutes after WiFi came back"


@virtual
async def test_a_pi_that_lives_when_wifi_is_back_is_watched_again_as_the_readme_says(tmp_path):
    async with House(tmp_path, booted=True) as house:
        house.pi.on_shutdown = "nothing"
        house.when("Countdown", lambda: setattr(house.wifi, "up", False))
        await house.reach("Countdown")
        await house.pause(600)
        house.wifi.up = True
        await house.until("Waiting", 30)
        assert house.moves == []


@virtual
async def test_resident_is_what_is_loaded_while_nothing_special_happens(tmp_path):
    text = make_docs.house_table().split("**Resident**")[1].split("\n**")[0]
    resident = set(re.findall(r"(?m)^\| `(\w+)`", text))
    async with House(tmp_path, booted=True, broker=True) as house:
        for name in modules() - resident:
            del sys.modules[name]  # left by the start, which a test does in its own way
        await house.until(lambda: house.retained("/info"), 60)
        await house.print_part(400)
        await house.until("Armed", 400)
        await house.pause(60)
        assert modules() == resident


def test_the_wire_is_as_short_as_the_readme_says():
    lines = len((ROOT / "firmware/wire.py").read_text(encoding="utf-8").splitlines())
    assert f"`firmware/wire.py`, {lines} lines" in README
