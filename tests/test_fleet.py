"""Many plugs on a real mosquitto: the table, commands to some and all, what is said of each.

The plugs are the firmware's own mqtt.py in a process of their own (tools/fleet_bench.py), or,
where one has to be silent or wrong, topics that the test publishes itself.
"""

import json
import re
import shlex
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer
from rich.console import Console

import bundle
import fleet
import fleet_bench
import mqtt
import plug_ota
import remarks
import servers

KEY = "a key of the plugs"
NOWHERE = "127.0.0.1:9"  # nobody listens there


@contextmanager
def plugs_at(broker, count):
    """So many of the firmware's MQTT clients, printing; all have told everything once."""
    with fleet_bench.Swarm(broker.port, count) as swarm:
        yield swarm.wait()


def at(broker, root=fleet.ROOT_PATTERN):
    """A Fleet there that knows what the broker retains."""
    return fleet.Fleet(fleet.Broker("127.0.0.1", broker.port), root).settle()


def tool(broker, *words):
    """tools/fleet.sh with these words: its exit code."""
    return fleet.main([*words, "--broker", f"127.0.0.1:{broker.port}"])


def pretend(watcher, root, status="online", state="print_started", **info):
    """The retained topics of a plug that is not there; answered a command long ago."""
    watcher.publish(root + "/status", status, retain=True)
    watcher.publish(root + "/plugstate", state, retain=True)
    watcher.publish(root + "/switch", "-", retain=True)
    watcher.publish(root + "/info", json.dumps({"version": "5.0.0"} | info), retain=True)


def had(swarm, word):
    """How many plugs had that command, and how many of these more than once."""
    found = {key: n for key, n in swarm.ask().items() if key.split(" ")[0] == word}
    return sum(found.values()), sum(n for key, n in found.items() if key != f"{word} 1")


def gone(broker, count):
    """Waits until the broker has told of so many plugs that they are offline."""
    with broker.client() as watcher:
        servers.wait_until(
            lambda: list(watcher.latest.values()).count("offline") == count, "last wills"
        )


# --- the table -----------------------------------------------------------------------------------


def test_topics_and_commands_are_the_firmwares():
    published = [word.split("=")[0][1:] for word in mqtt._TOPICS.split()]
    assert sorted(fleet.TOPICS) == sorted([*published, "/switch", "/error"])
    assert remarks._COMMANDS.split() == fleet.COMMANDS
    assert f'b"{remarks._COMMANDS}"' in Path(mqtt.__file__).read_text()


@pytest.mark.real
def test_the_table_has_every_plug_as_its_retained_topics_say(mosquitto, capsys):
    with plugs_at(mosquitto, 20) as swarm:
        swarm.ask("leave 2")
        gone(mosquitto, 2)
        assert tool(mosquitto, "list") == 0
        header, *rows, last = capsys.readouterr().out.splitlines()
        assert header.split() == fleet.COLUMNS
        assert [row.split()[0] for row in rows] == ["%06x" % n for n in range(1, 21)]
        assert re.search(
            r"^000001 +offline +print_started +ON +ON .*5\.0\.0 +10\.0\.0\.1 +-61 dBm +printing$",
            rows[0],
        )
        assert all(row.split()[1] == "online" for row in rows[2:])
        assert last.startswith("online 18 of 20; relay on 20;")

        assert tool(mosquitto, "list", "--json") == 0
        facts = json.loads(capsys.readouterr().out)
        assert len(facts) == 20
        assert facts[19] | {"tool_c": None, "bed_c": None, "progress_percent": None} == {
            "root": "octoplugout/000014",
            "id": "000014",
            "online": True,
            "state": "print_started",
            "relay": "ON",
            "mode": "ON",
            "reason": "printing",
            "countdown_s": None,
            "print_state": facts[19]["print_state"],
            "tool_c": None,
            "bed_c": None,
            "progress_percent": None,
            "version": "5.0.0",
            "ip": "10.0.0.20",
            "rssi_dbm": -61,
        }


@pytest.mark.real
def test_what_is_not_retained_is_there_once_it_was_reported(mosquitto):
    with mosquitto.client() as watcher, at(mosquitto) as view:
        pretend(watcher, "octoplugout/aa0001")
        watcher.publish("octoplugout/aa0001/state/extrudertemp", "205.3")
        watcher.publish("octoplugout/aa0001/job/jobprogress", "42.0")
        watcher.publish("octoplugout/aa0001/countdown", "12", retain=True)
        servers.wait_until(lambda: view.plugs() and view.plugs()[0].said.get("/countdown"), "it")
        (plug,) = view.plugs()
        facts = plug.facts()
        assert (facts["tool_c"], facts["progress_percent"]) == (205.3, 42.0)
        assert facts["countdown_s"] == 12
        assert {"205.3 C", "42.0 %", "12 s"} <= set(plug.row())
        assert "tool at 50 C or more 1; counting down 1" in fleet.summary([plug])


@pytest.mark.real
def test_roots_may_have_levels_and_other_things_below_them_are_no_plugs(mosquitto, capsys):
    with mosquitto.client() as watcher:
        for root in ("site/north/p1", "site/south/p1", "site/p2"):
            pretend(watcher, root)
        watcher.publish("site/lamp/status", "online", retain=True)
        assert tool(mosquitto, "list", "--root", "site/+/+") == 0
        assert "\nsite/north/p1 " in capsys.readouterr().out
        with at(mosquitto, "site/#") as view:
            assert [plug.root for plug in view.plugs()] == [
                "site/north/p1",
                "site/p2",
                "site/south/p1",
            ]
            assert [plug.root for plug in view.choose(["site/south/p1", "p2"])] == [
                "site/south/p1",
                "site/p2",
            ]
            with pytest.raises(fleet.BadInput, match="'p1' is more than one: name its root"):
                view.choose(["p1"])
            with pytest.raises(fleet.BadInput, match="'p3' is none of 3 plugs: p1, p2, p1"):
                view.choose(["p3"])
        watcher.publish("site/p2/plugstate", "", retain=True)  # somebody tidies up
        with at(mosquitto, "site/#") as view:
            assert len(view.plugs()) == 2


def rendered(picture, width=200):
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(picture)
    return console.export_text()


def plug_with(root, **said):
    return fleet.Plug(root, {"/" + key: text for key, text in said.items()})


def test_what_a_broker_sends_cannot_steer_the_terminal():
    evil = fleet.clean(b"\x1b[2J\x07[bold]on\r\nfor\xffgood\xe2\x80\xae" + 9999 * b"x")
    assert evil.startswith("?[2J?[bold]on??for\ufffdgood?xxx") and len(evil) <= 512
    plug = plug_with("octoplugout/a", plugstate=evil, reason="[red]off[/red]", countdown="1e999")
    for info in ("", "[]", "{", '{"version": 5, "ip": [], "rssi": "x"}', '"x"', "9" * 5000):
        plug.said["/info"] = info
        facts = plug.facts()
        assert (facts["version"], facts["ip"], facts["rssi_dbm"]) == (None, None, None)
        assert facts["countdown_s"] is None
        text = rendered(fleet.screen([plug], 200, 24))
        assert "[red]off[/red]" in text and "?[2J?[bold]on??" in text


def test_a_table_longer_than_the_terminal_is_turned_over_page_by_page():
    plugs = [plug_with(f"octoplugout/{n:06x}", plugstate="Relay_off") for n in range(30)]
    seen = []
    for turn in range(3):
        text = rendered(fleet.screen(plugs, 120, 20, turn))
        assert len(text.splitlines()) <= 20
        assert f"page {turn + 1} of 3" in text and "online 0 of 30" in text
        seen += re.findall(r"(?m)^([0-9a-f]{6}) ", text)
    assert seen == [plug.id for plug in plugs]
    assert rendered(fleet.screen(plugs, 120, 20, 3)) == rendered(fleet.screen(plugs, 120, 20, 0))


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_a_narrow_terminal_gets_the_columns_that_fit_a_line_a_plug(width):
    said = dict(plugstate="ready_for_shutting_down_extruder_HOT", status="online", relay="ON")
    plugs = [plug_with("octoplugout/ab128a", **said, countdown="12", mode="OFF", reason="off")]
    lines = rendered(fleet.screen(plugs, width, 24), width).splitlines()
    assert len(lines) == 6 and max(map(len, lines)) <= width
    header = lines[2].split()
    assert header[:2] == ["plug", "status"] and header == [c for c in fleet.COLUMNS if c in header]
    assert ("state" in header) == (width >= 80) and (header == fleet.COLUMNS) == (width >= 120)
    assert lines[3].startswith("ab128a  online")


# --- commands ------------------------------------------------------------------------------------


@pytest.mark.real
def test_a_command_to_some_reaches_these_and_no_others(mosquitto, capsys):
    with plugs_at(mosquitto, 20) as swarm:
        assert tool(mosquitto, "send", "off", "000003", "octoplugout/000011") == 0
        said = capsys.readouterr().out.splitlines()
        assert said[:2] == [
            "000003  taken, ready_for_shutting_down",
            "000011  taken, ready_for_shutting_down",
        ]
        assert said[2] == "2 of 2 took OFF"
        assert had(swarm, "OFF") == (2, 0)


@pytest.mark.real
def test_none_of_four_commands_to_50_plugs_is_lost_or_comes_twice(mosquitto):
    with plugs_at(mosquitto, 50) as swarm, at(mosquitto) as view:
        for word in ("ON", "OFF", "PERMON", "FORCEOFF"):
            results = view.send(word, view.choose([], every=True), 60)
            assert [one.said for one in results] == ["taken"] * 50
            assert had(swarm, word) == (50, 0)
        assert swarm.ask()["broken"] == 0


@pytest.mark.real
def test_afterjob_is_taken_as_on(mosquitto):
    with plugs_at(mosquitto, 1) as swarm:
        assert tool(mosquitto, "send", "AFTERJOB", "--all") == 0
        assert had(swarm, "ON") == (1, 0)


@pytest.mark.real
def test_a_command_is_not_retained_and_the_answer_is(mosquitto):
    with plugs_at(mosquitto, 2), mosquitto.client() as watcher:
        assert tool(mosquitto, "send", "PERMON", "--all") == 0
        assert ("octoplugout/000001/switch", "PERMON", False) in watcher.messages
        with mosquitto.client() as late:
            late.wait("octoplugout/000001/switch", "-")
            assert "PERMON" not in [text for topic, text, _ in late.messages if "switch" in topic]


@pytest.mark.real
def test_permon_may_be_for_some_hours(mosquitto):
    with plugs_at(mosquitto, 1), mosquitto.client() as watcher:
        assert tool(mosquitto, "send", "permon  3", "--all") == 0
        assert ("octoplugout/000001/switch", "PERMON 3", False) in watcher.messages


@pytest.mark.real
def test_an_offline_plug_is_told_and_sent_nothing(mosquitto, capsys):
    with plugs_at(mosquitto, 20) as swarm, mosquitto.client() as watcher:
        swarm.ask("leave 3")
        gone(mosquitto, 3)
        assert tool(mosquitto, "send", "OFF", "--all") == 1
        said = capsys.readouterr().out.splitlines()
        assert said[:3] == [f"00000{n}  {fleet.OFFLINE}" for n in (1, 2, 3)]
        assert all(line.split()[1] == "taken," for line in said[3:20])
        assert said[20] == "17 of 20 took OFF"
        assert not [m for m in watcher.messages if m[0] == "octoplugout/000001/switch"]


@pytest.mark.real
def test_a_plug_that_goes_offline_before_it_answers_is_told(mosquitto):
    with mosquitto.client() as watcher, at(mosquitto) as view:
        pretend(watcher, "octoplugout/aa0001")
        servers.wait_until(view.plugs, "the plug")
        leaving = threading.Thread(
            target=lambda: (
                watcher.wait("octoplugout/aa0001/switch", "OFF"),
                watcher.publish("octoplugout/aa0001/status", "offline", retain=True),
            )
        )
        leaving.start()
        (result,) = view.send("OFF", view.plugs(), 60)
        leaving.join()
        assert (result.good, result.said) == (False, "went offline before it answered")


@pytest.mark.real
def test_the_answer_to_an_earlier_command_is_no_answer_to_this_one(mosquitto):
    with mosquitto.client() as watcher, at(mosquitto) as view:
        pretend(watcher, "octoplugout/aa0001")  # with its retained "-"
        servers.wait_until(view.plugs, "the plug")
        again = threading.Thread(
            target=lambda: (
                watcher.wait("octoplugout/aa0001/switch", "OFF"),
                # as after a connection made anew: the broker sends what it retains once more
                view.client.subscribe("octoplugout/+/switch", 0),
            )
        )
        again.start()
        (result,) = view.send("OFF", view.plugs(), 2)
        again.join()
        assert (result.good, result.said) == (False, "no answer within 2 s")


@pytest.mark.real
def test_an_answer_from_before_the_command_went_by_does_not_count(mosquitto):
    with at(mosquitto) as view:

        class Message:
            retain = False

            def __init__(self, below, payload):
                self.topic, self.payload = "octoplugout/a" + below, payload

        for below, payload in (
            ("/switch", b"-"),
            ("/error", b"'X' is none of ON"),
            ("/switch", b"ON"),  # somebody else's
            ("/switch", b"-"),
        ):
            view.pending = {"octoplugout/a": "OFF"}
            view._heard(None, None, Message(below, payload))
            assert view.pending
        view._heard(None, None, Message("/switch", b"OFF"))
        view._heard(None, None, Message("/switch", b"-"))
        assert not view.pending and view.results["octoplugout/a"].good


@pytest.mark.real
def test_what_a_plug_complains_of_is_its_answer(mosquitto):
    with plugs_at(mosquitto, 2), at(mosquitto) as view:
        results = view.send("NONSENSE", view.plugs(), 60)
        assert not any(one.good for one in results)
        for one in results:
            assert one.said.startswith("refused: 'NONSENSE' is none of ON AFTERJOB OFF")


@pytest.mark.real
def test_forceoff_to_several_has_to_be_meant(mosquitto, capsys):
    with plugs_at(mosquitto, 20) as swarm:
        assert tool(mosquitto, "send", "FORCEOFF", "--all") == 2
        assert "20 plugs at once, whatever they print: say --yes" in capsys.readouterr().err
        assert had(swarm, "FORCEOFF") == (0, 0)
        assert tool(mosquitto, "send", "FORCEOFF", "000007") == 0
        assert had(swarm, "FORCEOFF") == (1, 0)
        assert tool(mosquitto, "send", "FORCEOFF", "--all", "--yes") == 0
        assert had(swarm, "FORCEOFF") == (20, 1)


def test_forceoff_at_a_terminal_is_asked_about(monkeypatch):
    plugs = [plug_with("octoplugout/a"), plug_with("octoplugout/b")]
    monkeypatch.setattr(fleet.sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(fleet.typer, "confirm", lambda text: "2 plugs at once" in text)
    fleet.confirm(plugs, False)
    monkeypatch.setattr(fleet.typer, "confirm", lambda text: False)
    with pytest.raises(fleet.BadInput, match="nothing was sent"):
        fleet.confirm(plugs, False)


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("send EXPLODE --all", "COMMAND: 'EXPLODE' is none of ON AFTERJOB OFF PERMON FORCEOFF"),
        ("send 'PERMON 1000' --all", "COMMAND: 'PERMON 1000' is none of"),
        ("send 'ON 3' --all", "'PERMON 1' to 'PERMON 999' (hours)"),
        ("send '' --all", "COMMAND: '' is none of"),
        ("send ON", "PLUG: name one or more by id or root topic, or say --all"),
        ("send ON --all --timeout 1", "--timeout: 1: must be from 2 to 300"),
        ("list --wait 4000", "--wait: 4000: must be from 0 to 3600"),
        ("list --wait nan", "--wait: nan: must be from 0 to 3600"),
        ("list --broker host:99999", "--broker: port 99999: must be from 1 to 65535"),
        ("list --broker host:mqtt", "--broker: 'host:mqtt': HOST:PORT"),
        ("list --broker http://host:1883", "--broker: 'http://host:1883': HOST:PORT"),
        ("list --password x", "--password: goes with --user"),
        ("list --root a#", "--root: 'a#': # stands alone, and last"),
        ("list --root #/a", "--root: '#/a': # stands alone, and last"),
        ("list --root plug+", "--root: 'plug+': + stands for a whole level"),
        ("list --root $SYS/#", "--root: 1 to 200 printable characters, not beginning with $"),
        ("update x.opo --all --at-once 51", "--at-once: 51: must be from 1 to 50"),
        ("update x.opo --all --keys /nowhere", "--keys: /nowhere: No such file"),
        ("bench --plugs 0", "--plugs: 0: must be from 1 to 5000"),
        ("bench --seconds 901", "--seconds: 901: must be from 10 to 900"),
        ("watch", "watch: needs a terminal; list does not"),
    ],
)
def test_bad_input_is_named_with_its_limits_before_anything_is_done(
    words, said, capsys, monkeypatch
):
    monkeypatch.setenv("OCTOPLUGOUT_BROKER", NOWHERE)
    assert fleet.main(shlex.split(words)) == 2
    assert said in capsys.readouterr().err


@pytest.mark.real
def test_all_and_names_do_not_go_together(mosquitto, capsys):
    with mosquitto.client() as watcher:
        pretend(watcher, "octoplugout/aa0001")
        assert tool(mosquitto, "send", "ON", "aa0001", "--all") == 2
        assert "--all: goes without names of plugs" in capsys.readouterr().err


@pytest.mark.real
def test_no_plug_below_the_root_is_told(mosquitto, capsys):
    assert tool(mosquitto, "send", "ON", "--all", "--root", "elsewhere/+") == 1
    assert "no plug at 127.0.0.1:" in capsys.readouterr().err


@pytest.mark.real
def test_a_broker_that_wants_a_password_is_told_and_let_in_with_it(mosquitto_locked, capsys):
    assert tool(mosquitto_locked, "list") == 1
    assert "see --user and --password" in capsys.readouterr().err
    assert tool(mosquitto_locked, "list", "--user", "plug", "--password", "secret word") == 0


def test_a_broker_that_is_not_there_is_told(capsys):
    assert fleet.main(["list", "--broker", NOWHERE]) == 1
    assert "Not done: --broker 127.0.0.1:9: " in capsys.readouterr().err


@pytest.mark.real
def test_with_the_access_list_of_the_document_a_plug_cannot_switch_another(mosquittos, tmp_path):
    broker = servers.Mosquitto(tmp_path, "fleet", "all of them")
    tool = servers.program("mosquitto_passwd")
    for name in ("aa0001", "aa0002"):
        subprocess.run([tool, "-b", str(tmp_path / "passwords"), name, "pass"], check=True)
    (acl := tmp_path / "acl").write_text(
        re.findall(r"(?s)```\n(.*?)```", fleet_bench.PAGE.read_text(encoding="utf-8"))[0]
    )
    acl.chmod(0o600)
    broker.config.write_text(broker.config.read_text() + f"acl_file {acl}\n")
    try:
        broker.start()
        where = fleet.Broker("127.0.0.1", broker.port, "fleet", "all of them")
        with (
            servers.Watcher(broker.port, "aa0001", "pass", "octoplugout/#") as one,
            servers.Watcher(broker.port, "aa0002", "pass", "octoplugout/#") as two,
            fleet.Fleet(where) as view,
        ):
            pretend(one, "octoplugout/aa0001")
            pretend(two, "octoplugout/aa0002")
            two.publish("octoplugout/aa0001/switch", "FORCEOFF")
            two.publish("octoplugout/aa0001/plugstate", "Relay_off", retain=True)
            view.settle()
            assert [plug.state for plug in view.plugs()] == ["print_started"] * 2
            assert not view.send("OFF", view.plugs(), 2)[0].good  # it only pretends
            one.wait("octoplugout/aa0001/switch", "OFF")
            assert "FORCEOFF" not in [text for _, text, _ in one.messages]
            assert {topic.split("/")[1] for topic, _, _ in two.messages} == {"aa0002"}
    finally:
        broker.stop()


# --- updates -------------------------------------------------------------------------------------


@pytest.fixture
def ota(monkeypatch):
    """In the place of plug_ota.update: what it was given, and what it does by host."""
    given, does = [], {}

    def update(plug, data, what, key, say, sleep=None):
        given.append((plug.host, data, key))
        say("sending", 100)
        plug.before = "4.9"
        if plug.host in does:
            raise plug_ota.OtaError(does[plug.host])
        return "in place"

    made = bundle.Bundle(7, 6, {}, b"header", 4, "ab" * 32)
    monkeypatch.setattr(plug_ota, "update", update)
    monkeypatch.setattr(bundle, "load", lambda path: (b"data", made))
    return given, does


@pytest.mark.real
def test_two_plugs_are_woken_and_updated_with_their_keys_the_ota_itself_being_replaced(
    mosquitto, capsys, tmp_path, ota
):
    given, does = ota
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"aa0001": "first", "octoplugout/aa0002": "second"}))
    with mosquitto.client() as watcher:
        pretend(watcher, "octoplugout/aa0001", ip="10.0.0.1")
        pretend(watcher, "octoplugout/aa0002", ip="10.0.0.2")
        pretend(watcher, "octoplugout/aa0003", ip="10.0.0.3")
        words = ["update", "x.opo", "aa0001", "aa0002", "--keys", str(keys)]
        assert tool(mosquitto, *words) == 0
        assert sorted(given) == [("10.0.0.1", b"data", "first"), ("10.0.0.2", b"data", "second")]
        woken = [m for m in watcher.messages if m[0].endswith("/update")]
        assert sorted(woken) == [
            ("octoplugout/aa0001/update", "UPDATE", False),
            ("octoplugout/aa0002/update", "UPDATE", False),
        ]
        out = capsys.readouterr().out
        assert re.search(r"octoplugout/aa0001 +4\.9 +\S+ +in place", out)
        assert "first" not in out and "second" not in out

        does["10.0.0.2"] = "not this plug's ota_key"
        assert tool(mosquitto, "update", "x.opo", "--all", "--ota-key", KEY) == 1
        assert {key for _, _, key in given[2:]} == {KEY} and len(given) == 5
        assert re.search(r"aa0002 +4\.9 +4\.9 +not this plug's", capsys.readouterr().out)


@pytest.mark.real
def test_plugs_that_cannot_be_updated_are_told_and_left_alone_the_ota_itself_being_replaced(
    mosquitto, capsys, ota
):
    given, _ = ota
    with mosquitto.client() as watcher:
        pretend(watcher, "octoplugout/aa0001", status="offline", ip="10.0.0.1")
        pretend(watcher, "octoplugout/aa0002", ip="")
        pretend(watcher, "octoplugout/aa0003", state="going_down", ip="10.0.0.3")
        pretend(watcher, "octoplugout/aa0004", ip="10.0.0.4")
        pretend(watcher, "octoplugout/aa0005", ip="10.0.0.4")
        pretend(watcher, "octoplugout/aa0006", ip="not.an.address")
        assert tool(mosquitto, "update", "x.opo", "--all", "--ota-key", KEY) == 1
        assert given == []
        assert not [m for m in watcher.messages if m[0].endswith("/update")]
    rows = dict(re.findall(r"(?m)^octoplugout/(\w+) +\S+ +\S+ +(.+)$", capsys.readouterr().out))
    assert rows["aa0001"].startswith("offline")
    assert rows["aa0002"] == rows["aa0006"] == "its /info has no ip"
    assert rows["aa0003"] == "not now, it is about to cut the power (going_down)"
    assert rows["aa0004"] == rows["aa0005"] == "aa0004 and aa0005 both say 10.0.0.4"


@pytest.mark.real
def test_many_are_updated_group_by_group_the_ota_itself_being_replaced(mosquitto, ota, capsys):
    given, _ = ota
    with mosquitto.client() as watcher:
        for n in range(1, 6):
            pretend(watcher, f"octoplugout/aa000{n}", ip=f"10.0.0.{n}")
        words = ["update", "x.opo", "--all", "--ota-key", KEY, "--at-once", "2"]
        assert tool(mosquitto, *words) == 0
    hosts = [host[-1] for host, _, _ in given]
    assert [set(hosts[:2]), set(hosts[2:4]), set(hosts[4:])] == [{"1", "2"}, {"3", "4"}, {"5"}]


def test_a_key_that_is_missing_is_asked_for_once_for_all(monkeypatch):
    monkeypatch.delenv(plug_ota.VARIABLE, raising=False)
    asked = []
    monkeypatch.setattr(
        plug_ota.getpass, "getpass", lambda text: asked.append(text) or "typed", raising=True
    )
    hosts = {f"10.0.0.{n}": plug_with(f"octoplugout/{n}") for n in (1, 2, 3)}
    found = fleet.keys_for(hosts, {"2": "its own"})
    assert found == {"10.0.0.1": "typed", "10.0.0.2": "its own", "10.0.0.3": "typed"}
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "a JSON object"),
        ('{"a": 5}', "the key of 'a' must be 1 to 64 characters"),
        ('{"a": ""}', "the key of 'a' must be 1 to 64 characters"),
    ],
)
def test_a_file_of_keys_that_is_wrong_is_told(tmp_path, text, said):
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(fleet.BadInput, match=re.escape(said)):
        fleet.read_keys(path)


def test_a_woken_plug_is_waited_for_until_its_pages_are_open_and_only_then(monkeypatch):
    now, answers = [0.0], [OSError("refused"), OSError("refused"), {"state": "idle"}]

    def ask(self):
        answer = answers.pop(0) if answers else OSError("gone")
        if isinstance(answer, OSError):
            raise answer
        return answer

    def sleep(seconds):
        now[0] += seconds

    monkeypatch.setattr(plug_ota.Plug, "ask", ask)
    plug = fleet.Woken("10.0.0.1", sleep, lambda: now[0])
    assert plug.ask() == {"state": "idle"} and now == [2.0]
    with pytest.raises(OSError, match="gone"):
        plug.ask()  # it restarts: that is seen at once
    assert now == [2.0]
    closed = fleet.Woken("10.0.0.2", sleep, lambda: now[0])
    with pytest.raises(OSError, match="gone"):
        closed.ask()
    assert 30 <= now[0] - 2 <= 32


# --- measuring, and the documents ----------------------------------------------------------------


@pytest.mark.real
@pytest.mark.slow
def test_the_measurement_counts_every_command_of_every_plug(mosquittos):
    rows, good = fleet_bench.measure(30, 1, lambda text: None)
    figures = dict(rows)
    assert good
    assert figures["plugs connected, and in the table"] == "30, 30"
    assert figures["commands sent, ON OFF PERMON FORCEOFF to all"] == "120"
    for what in ("commands lost", "commands that came twice", "connections that broke"):
        assert figures[what] == "0"


def test_too_few_open_files_are_told_with_what_would_do(monkeypatch):
    resource = pytest.importorskip("resource")
    wanted = []
    monkeypatch.setattr(resource, "setrlimit", lambda what, limits: wanted.append(limits))
    monkeypatch.setattr(resource, "getrlimit", lambda what: (256, 1024))
    fleet_bench.allow_files(500)
    assert wanted == [(700, 1024)]
    with pytest.raises(OSError, match="need 1200 open files .* allows 1024: take --plugs 824"):
        fleet_bench.allow_files(1000)
    monkeypatch.setattr(resource, "getrlimit", lambda what: (resource.RLIM_INFINITY,) * 2)
    fleet_bench.allow_files(5000)
    assert len(wanted) == 1


def test_figures_go_between_the_marks_and_nowhere_else(tmp_path):
    page = tmp_path / "fleet.md"
    page.write_text("# A\n\n<!-- measured -->\nold\n<!-- /measured -->\n\nB\n")
    fleet_bench.put(fleet_bench.table([("commands lost", "0")], 5, 10), page)
    text = page.read_text()
    assert text.startswith("# A\n\n<!-- measured -->\nMeasured ") and "old" not in text
    assert text.endswith("| commands lost | 0 |\n<!-- /measured -->\n\nB\n")


def test_every_option_stands_in_the_script_and_in_its_document():
    command = typer.main.get_command(fleet.app)
    options = {
        name
        for one in command.commands.values()
        for option in one.params
        for name in option.opts
        if name.startswith("--")
    }
    script = (fleet_bench.ROOT / "tools/fleet.sh").read_text(encoding="utf-8")
    assert set(re.findall(r'"(--[a-z-]+)"', script)) == options
    page = fleet_bench.PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"--[a-z][a-z-]*", re.sub(r"<!--.*?-->", "", page)))
    assert options <= named
