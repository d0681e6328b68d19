"""Home Assistant finds the plug, and /log has the last switch-offs: long texts, sent in pieces."""

import asyncio
import io
import json
import re
import sys
from pathlib import Path

import pytest

import discovery
import online
import wire
from e2e import OFF, ROOT
from e2e import Plug as RealPlug
from fakes_net import Broker, Settings, dotted, later, open_files
from mqtt import Mqtt
from servers import wait_until
from whole import House, virtual

CONFIG = "homeassistant/device/octoplugout-ab128a/config"
TEMPLATE = Path(discovery.__file__).parent / "pages/discovery.txt"

# What Home Assistant (2024.11 and later) lets stand in a device's payload, in its short words.
# Each part: what it must have, and what it may have beside that.
DEVICE = {"ids"}, {"name", "mf", "mdl", "sw", "hw", "sn", "cu", "cns", "sa", "mdl_id", "via"}
ORIGIN = {"name"}, {"sw", "url"}
ROOT_OF_IT = {"dev", "o", "cmps"}, {"avty_t", "stat_t", "cmd_t", "qos", "e"}
ALL = {"p", "uniq_id"}, {"name", "ic", "ent_cat", "val_tpl", "en"}
PARTS = {
    "switch": ({"stat_t", "cmd_t"}, {"pl_on", "pl_off", "stat_on", "stat_off", "dev_cla"}),
    "select": ({"stat_t", "cmd_t", "ops"}, {"cmd_tpl"}),
    "sensor": ({"stat_t"}, {"dev_cla", "stat_cla", "unit_of_meas", "exp_aft", "sug_dsp_prc"}),
}
UNITS = {"temperature": "\u00b0C", "duration": "s", "signal_strength": "dBm", None: "%"}

# Which topic each is to look at.
STATES = {
    "relay": "/relay",
    "mode": "/mode",
    "state": "/plugstate",
    "reason": "/reason",
    "countdown": "/countdown",
    "printer": "/state/printstate",
    "tool": "/state/extrudertemp",
    "bed": "/state/bedtemp",
    "progress": "/job/jobprogress",
    "wifi": "/info",
}


def held(part, rule, more=(set(), set())):
    """Fails unless `part` has all that it must and nothing that it must not."""
    must, may = rule[0] | more[0], rule[1] | more[1]
    assert must <= set(part) <= must | may, part


def checked(text):
    """The payload, once Home Assistant would take it."""
    told = json.loads(text)
    held(told, ROOT_OF_IT)
    held(told["dev"], DEVICE)
    held(told["o"], ORIGIN)
    assert told["dev"]["ids"] and all(isinstance(one, str) for one in told["dev"]["ids"])
    for part in told["cmps"].values():
        held(part, ALL, PARTS[part["p"]])
        for key in ("stat_t", "cmd_t"):
            assert not set("+#") & set(part.get(key, "")) and len(part.get(key, "x")) > 0
        assert part["name"] is None or part["name"]
        assert part.get("ic", "mdi:").startswith("mdi:")
        assert part.get("ent_cat", "diagnostic") in ("diagnostic", "config")
        assert part.get("stat_cla", "measurement") == "measurement"
        if "unit_of_meas" in part:
            assert UNITS[part.get("dev_cla")] == part["unit_of_meas"]
        if part["p"] == "select":
            assert len(set(part["ops"])) == len(part["ops"]) > 1
    ids = [part["uniq_id"] for part in told["cmps"].values()]
    names = [part["name"] for part in told["cmps"].values()]
    assert len(set(ids)) == len(ids) and len(set(names)) == len(names)
    return told


def found(house, topic=CONFIG):
    """What the broker keeps for Home Assistant; None for nothing."""
    text = house.broker.retained.get(topic)
    return None if text is None else text.decode()


def sent(house, topic=CONFIG):
    """How often it has been sent."""
    return sum(1 for _, who, name, _, _ in house.broker.log if who and name == topic)


# --- Home Assistant ----------------------------------------------------------------------------


@virtual
async def test_home_assistant_is_told_of_every_topic_it_can_show(tmp_path):
    given = {"ha_discovery": True, "mqtt_report_s": 5, "hostname": "shelf-{id}"}
    async with House(tmp_path, booted=True, broker=True, **given) as house:
        await house.until(lambda: found(house), 30)
        told = checked(found(house))
        assert told["dev"] == {
            "ids": ["octoplugout-ab128a"],
            "name": "shelf-ab128a",
            "mf": "OctoPlugout",
            "mdl": "OctoPlugout 5",
            "sw": house.plug.version,
        }
        assert told["avty_t"] == house.topic("/status")
        parts = told["cmps"]
        assert {name: part["stat_t"] for name, part in parts.items()} == {
            name: house.topic(below) for name, below in STATES.items()
        }
        for name in ("relay", "mode"):
            assert parts[name]["cmd_t"] == house.topic("/switch")
        assert all(part["uniq_id"] == f"octoplugout-ab128a-{n}" for n, part in parts.items())
        await house.until("Connected", 60)
        await house.print_part()
        await house.pause(20)
        for below in STATES.values():  # there is something to be seen on each
            assert house.published(below), below
        assert house.retained("/mode") in parts["mode"]["ops"]
        assert "rssi" in json.loads(house.retained("/info"))
        assert sent(house) == 1 and "discovery" not in sys.modules


@virtual
async def test_every_mode_there_is_can_be_chosen_and_taken(tmp_path):
    async with House(tmp_path, booted=True, broker=True, ha_discovery=True) as house:
        await house.until(lambda: found(house), 30)
        options = checked(found(house))["cmps"]["mode"]["ops"]
        await house.until("Connected", 60)
        for word in ("PERMON", "ON", "OFF", "FORCEOFF"):
            assert word in options
            await house.broker.publish(house.topic("/switch"), word.encode())
            await house.until(lambda word=word: house.retained("/mode") == word, 20)
        assert len(options) == 4
        assert house.published("/error") == []


@virtual
async def test_topics_of_another_name_are_told_under_that_name(tmp_path):
    given = {"topic_relay": "/power", "topic_switch": "/do", "topic_status": "/lwt"}
    given |= {"topic_extrudertemp": "/hot/end", "topic_log": "/offs", "ha_discovery": True}
    async with House(tmp_path, booted=True, broker=True, **given) as house:
        await house.until(lambda: found(house), 30)
        told = checked(found(house))
        root = house.plug.s.mqtt_topic
        assert told["avty_t"] == root + "/lwt"
        assert told["cmps"]["relay"]["stat_t"] == root + "/power"
        assert {told["cmps"][name]["cmd_t"] for name in ("relay", "mode")} == {root + "/do"}
        assert told["cmps"]["tool"]["stat_t"] == root + "/hot/end"
        house.command("FORCEOFF")
        await house.until(lambda: house.retained("/offs"), 10)
        assert house.published("/log") == []


@virtual
async def test_a_root_topic_may_have_any_sign_in_it(tmp_path):
    root = 'shop "A"\\ü/{{ 1 }}<id>'
    async with House(tmp_path, broker=True, mqtt_topic=root, ha_discovery=True) as house:
        await house.until(lambda: found(house), 30)
        assert checked(found(house))["cmps"]["mode"]["stat_t"] == root + "/mode"


@virtual
async def test_with_topics_at_their_longest_all_is_told(tmp_path):
    keys = [line.split("|")[0] for line in TABLE if line.startswith("topic_")]
    given: dict = {key: f"/{i:02}{'x' * 29}" for i, key in enumerate(keys)}
    given |= {"mqtt_topic": '"' * 64, "ha_prefix": "p" * 64, "ha_discovery": True}
    async with House(tmp_path, broker=True, **given) as house:
        topic = f"{'p' * 64}/device/octoplugout-ab128a/config"
        await house.until(lambda: found(house, topic), 30)
        part = checked(found(house, topic))["cmps"]["mode"]
        assert part["stat_t"] == '"' * 64 + given["topic_mode"]


TABLE = (TEMPLATE.parent.parent / "settings.txt").read_text().splitlines()


@virtual
async def test_it_is_told_again_when_home_assistant_starts_and_only_then(tmp_path):
    async with House(tmp_path, booted=True, broker=True, ha_discovery=True) as house:
        await house.until("Connected", 60)
        await house.until(lambda: found(house), 30)
        for word in ("offline", "", "-", "ON", "FORCEOFF"):
            await house.broker.publish("homeassistant/status", word.encode())
            await house.pause(40)  # past a ping: the kernel keeps small packets back until then
        assert sent(house) == 1
        for n in (2, 3):
            await house.broker.publish("homeassistant/status", b"online")
            await house.pause(40)
            assert sent(house) == n
        assert checked(found(house))
        assert house.state == "Connected" and house.published("/error") == []


@virtual
async def test_a_start_that_the_broker_kept_is_no_reason_to_tell_it_for_ever(tmp_path):
    async with House(tmp_path, on=False, broker=True, ha_discovery=True) as house:
        await house.broker.publish("homeassistant/status", b"online", retain=True)
        await house.mains(True)
        await house.until(lambda: found(house), 30)
        await house.pause(60)
        assert sent(house) == 1


@virtual
async def test_when_it_is_switched_off_it_is_withdrawn(tmp_path):
    async with House(tmp_path, booted=True, broker=True, ha_discovery=True) as house:
        await house.until(lambda: found(house), 30)
        assert (tmp_path / "ha").read_text() == CONFIG
        house.save(ha_discovery=False)
        await house.until(lambda: found(house) is None, 30)
        assert not (tmp_path / "ha").exists()
        await house.broker.publish("homeassistant/status", b"online")
        await house.pause(30)
        assert found(house) is None and sent(house) == 2
        house.save(ha_discovery=True)
        await house.until(lambda: found(house), 30)


@virtual
async def test_what_was_switched_off_without_a_broker_is_withdrawn_once_there_is_one(tmp_path):
    async with House(tmp_path, booted=True, broker=True, ha_discovery=True) as house:
        await house.until(lambda: found(house), 30)
        await house.mains(False)
        house.configure(ha_discovery=False)
        await house.mains(True)
        await house.until(lambda: found(house) is None, 30)
        assert not (tmp_path / "ha").exists()


@virtual
async def test_with_another_prefix_it_moves_there(tmp_path):
    async with House(tmp_path, booted=True, broker=True, ha_discovery=True) as house:
        await house.until(lambda: found(house), 30)
        house.save(ha_prefix="ha/two")
        moved = "ha/two/device/octoplugout-ab128a/config"
        await house.until(lambda: found(house, moved), 30)
        assert found(house) is None and checked(found(house, moved))
        assert (tmp_path / "ha").read_text() == moved
        await house.broker.publish("ha/two/status", b"online")
        await house.until(lambda: sent(house, moved) == 2, 10)


@virtual
async def test_by_default_nothing_of_home_assistant_is_loaded_sent_or_listened_to(tmp_path):
    sys.modules.pop("discovery", None)

    def load(*_):
        raise AssertionError("it is loaded")

    async with House(tmp_path, booted=True, broker=True) as house:
        sys.modules["discovery"] = type("none", (), {"send": load})  # type: ignore
        await house.until(lambda: house.published("/info"), 30)
        await house.pause(10)
        await house.broker.publish("homeassistant/status", b"online")
        await house.pause(40)
        assert house.published("/log") == []
        assert not [entry for entry in house.broker.log if entry[1] and entry[2] == CONFIG]
        assert house.plug.mqtt.birth is None and not (tmp_path / "ha").exists()


def test_no_line_of_the_template_is_long_and_each_mark_is_known():
    lines = TEMPLATE.read_bytes().split(b"\n")
    assert max(len(line) for line in lines) < 128 and TEMPLATE.read_text().isascii()
    defaults = {line.split("|")[4] for line in TABLE if line.startswith("topic_")}
    marks = set(re.findall(r"<(.*?)>", TEMPLATE.read_text()))
    assert marks - {"id", "name", "version"} <= defaults


# --- the log -----------------------------------------------------------------------------------


@virtual
async def test_each_switch_off_is_on_log_with_time_cause_heat_and_reason(tmp_path):
    async with House(tmp_path, booted=True, broker=True) as house:
        await house.reach("Connected")
        await house.until(lambda: house.published("/info"), 30)
        assert house.published("/log") == [], "there is hardly room for it beside a poll"
        await house.pause(125)
        house.command("FORCEOFF")
        await house.until(lambda: house.retained("/log"), 10)
        connected = "Waiting_for_print_activity_connected"
        line = rf"0:02 h: {connected}, FORCEOFF, tool 21 C, bed 21 C, nothing printing\n"
        assert re.fullmatch(line, house.retained("/log"))
        await house.pause(10)
        await house.short()
        await house.pause(1)
        for _ in range(3):
            await house.long()
        await house.until(lambda: house.retained("/log").count("\n") == 2, 20)
        line = house.retained("/log").split("\n")[1]
        cut = "delayed_powering_relay_off, long press, "
        # the Pi has just got its power back: what the heaters had before counts for nothing
        assert re.fullmatch(rf"0:02 h: {cut}(off in \d+ s, by hand|.*)", line), line
        assert " C" not in line
        assert (tmp_path / "offs").read_text() == house.retained("/log")


@virtual
async def test_a_job_that_ended_says_what_was_heard_and_how_warm_it_was(tmp_path):
    async with House(tmp_path, booted=True, broker=True) as house:
        await house.reach("Countdown")
        assert not house.retained("/log")
        await house.until(lambda: house.retained("/log"), 300)
        line = house.retained("/log")
        heat = r"tool \d+ C, bed \d+ C"
        why = "Pi silent, off in 0 s"
        assert re.fullmatch(rf"0:\d\d h: delayed_powering_relay_off, {heat}, {why}\n", line), line
        assert int(re.search(r"tool (\d+)", line)[1]) < house.plug.s.cool_below_c  # type: ignore
        assert len(line) < 96


@virtual
async def test_the_last_ten_are_kept_over_a_power_cut_and_sent_on_connecting(tmp_path):
    given = {"booted": True, "broker": True, "initial_state": "last"}
    async with House(tmp_path, **given) as house:
        for _ in range(12):
            await house.pause(7)
            house.command("FORCEOFF")
            await house.pause(7)
            await house.short()
        await house.pause(5)
        house.command("FORCEOFF")
        await house.pause(5)
        before = house.retained("/log")
        assert before.count("\n") == 10
        await house.mains(False)
        await house.broker.restart()
        await house.mains(True)
        await house.until(lambda: house.retained("/log"), 60)
        assert house.retained("/log") == before


@virtual
async def test_a_longest_line_is_cut_below_96_bytes(tmp_path):
    async with House(tmp_path, booted=True, broker=True) as house:
        await house.until("Connected", 60)
        house.plug.octo.heat = 500.0, 500.0
        house.plug.minutes = 60 * 99999
        house.plug.machine.relay = False
        sys.modules.pop("diary", None)
        import diary

        diary.entered(house.plug, "ready_for_shutting_down_extruder_HOT", "x" * 60)
        assert len(diary.lines()[-1]) == 95


def test_the_diary_asks_for_no_more_than_a_line_in_one_piece(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    import diary

    asked = []

    class File(io.BytesIO):
        def read(self, size=-1):
            asked.append(size)
            return super().read(size)

        def readline(self, size=-1):
            asked.append(size)
            return super().readline(size)

    found = [b"%d %s" % (n, b"x" * 90) for n in range(10)]
    for text, wanted in (
        (b"".join(line + b"\n" for line in found), found),
        (b"one\ntwo\nthr", [b"one", b"two"]),  # the power was cut
        (b"one\n" + b"x" * 3000 + b"\n", [b"one"]),
        (b"", []),
    ):
        monkeypatch.setattr(diary, "open", lambda *_, text=text: File(text), raising=False)
        assert diary.lines() == wanted
    assert 0 < min(asked) <= max(asked) <= 96


@virtual
async def test_nothing_is_loaded_while_the_power_is_at_stake(tmp_path):
    async with House(tmp_path, booted=True, broker=True, ha_discovery=True) as house:
        await house.reach("Countdown")
        assert house.plug.critical()
        count = sent(house)
        await house.broker.publish("homeassistant/status", b"online")
        while house.plug.critical():
            assert sent(house) == count and not {"outbox", "discovery"} & set(sys.modules)
            await house.pause(0.5)
        await house.until(lambda: sent(house) == count + 1, 10)
        assert house.state == "Relay_off" and house.retained("/log")


# --- the wire ----------------------------------------------------------------------------------


class Stub:
    """A plug as far as outbox.py knows it, whose Mqtt serves a broker of fakes_net."""

    version = "5.0.0"
    heat = ()

    def step(self, name):
        part = __import__(name)
        del sys.modules[name]
        return part

    def __init__(self, broker, **given):
        given = {
            "ha_discovery": True,
            "ha_prefix": "",
            "hostname": "plug",
            "bridge": False,
        } | given
        self.s = Settings(mqtt_port=broker.port, **given)
        self.words = []
        self.mqtt = Mqtt(self.s, dotted, self.value, self.words.append)

    def value(self, name):
        return online._step("outbox", "told", self) if name == "outbox" else None

    async def __aenter__(self):
        self.task = asyncio.create_task(self.mqtt.run())
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture(name="pieces")
def what_is_sent(monkeypatch, tmp_path):
    """The sizes of what is sent at a time, in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    pieces = []
    whole = wire.Wire.send

    async def send(self, data, ms):
        pieces.append(len(data))
        assert ms <= 10000
        await whole(self, data, ms)

    monkeypatch.setattr(wire.Wire, "send", send)
    return pieces


@pytest.mark.looptime
async def test_it_goes_out_in_small_pieces_that_are_as_many_bytes_as_were_told(pieces):
    Path("offs").write_text("one\n" * 200)
    async with Broker() as broker, Stub(broker):
        await later(10)
        assert max(pieces) <= 128 and len(pieces) > 30
        assert len(broker.of(0x31)) == 3  # with /status
        texts = {text for _, text, _ in broker.published}
        assert "one\n" * 200 in texts
        checked(max(texts, key=len))
        assert b"\0\3\0\x14homeassistant/status\0" in broker.of(0x82)


@pytest.mark.looptime
async def test_a_command_that_comes_meanwhile_is_taken_after_it(pieces, monkeypatch):
    Path("offs").write_text("one\n" * 200)
    async with Broker() as broker, Stub(broker) as plug:
        at_piece(monkeypatch, 2, lambda: broker.command("FORCEOFF"))
        await later(10)
        assert plug.words == ["FORCEOFF"]
        assert ("/switch", "-", True) in broker.published
        assert ("/log", "one\n" * 200, True) in broker.published


def at_piece(monkeypatch, number, act):
    """Do that when so many pieces of the log have been sent."""
    send = wire.Wire.send
    count = 0

    async def noticed(self, data, ms):
        nonlocal count
        await send(self, data, ms)
        if bytes(data[:4]) == b"one\n":
            count += 1
            if count == number:
                act()

    monkeypatch.setattr(wire.Wire, "send", noticed)


@pytest.mark.looptime
@pytest.mark.parametrize("after", ("", "two\n" * 100, "two\n" * 20))
async def test_a_file_that_changes_while_it_is_sent_does_not_break_the_line(
    pieces, monkeypatch, after
):
    Path("offs").write_text("one\n" * 50)
    async with Broker() as broker, Stub(broker, ha_discovery=False) as plug:
        at_piece(monkeypatch, 1, lambda: Path("offs").write_text(after))
        await later(10)
        assert plug.mqtt.connected
        (text,) = (text for topic, text, _ in broker.published if topic == "/log")
        assert text == "one\n" * 32 + after[128:200].ljust(72)


@pytest.mark.looptime
async def test_a_broker_that_stops_reading_is_left_after_ten_seconds(pieces, monkeypatch):
    Path("offs").write_text("one\n" * 250)
    before = open_files()
    loop = asyncio.get_running_loop()
    stuck = []

    async with Broker() as broker, Stub(broker) as plug:
        send = wire.Wire.send

        async def slowly(self, data, ms):
            # each piece takes 4 s, so the third is late, unless it is given more time than is left
            if stuck or bytes(data[:4]) == b"one\n":
                stuck.append(loop.time())
                await asyncio.sleep(min(4, max(ms, 0) / 1000))
                if ms <= 4000:
                    raise OSError(110)
            await send(self, data, ms)

        monkeypatch.setattr(wire.Wire, "send", slowly)
        done, _ = await asyncio.wait({plug.task}, timeout=60)
        assert done and isinstance(plug.task.exception(), OSError)
        assert loop.time() - stuck[0] <= 10.1
        assert not plug.mqtt.connected
    await later(1)
    assert open_files() == before


@pytest.mark.looptime
async def test_without_room_for_discovery_the_log_is_sent_and_the_line_holds(pieces, monkeypatch):
    class Full:
        def find_spec(self, name, *_):
            if name == "discovery":
                raise MemoryError

    sys.modules.pop("discovery", None)
    monkeypatch.setattr(sys, "meta_path", [Full(), *sys.meta_path])
    Path("offs").write_text("one\n")
    async with Broker() as broker, Stub(broker) as plug:
        await later(10)
        assert ("/log", "one\n", True) in broker.published
        assert plug.mqtt.connected and not plug.mqtt.says


# --- the real thing ----------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.slow
def test_the_plug_as_flashed_tells_mosquitto_all_of_it(
    micropython, flash, mosquitto, pi, tmp_path
):
    config = "homeassistant/device/octoplugout-%s/config"
    with mosquitto.client() as watcher:
        plug = RealPlug(flash, tmp_path / "flash", pi, mosquitto, ha_discovery=True)
        try:
            plug.reach("Waiting_for_print_activity_connected")
            wait_until(lambda: any("/device/" in topic for topic in watcher.latest), "discovery")
            (topic,) = (topic for topic in watcher.latest if "/device/" in topic)
            assert topic == config % topic.split("-")[1][:6]
            told = checked(watcher.latest[topic])
            assert told["cmps"]["relay"]["stat_t"] == f"{ROOT}/relay"
            assert watcher.latest[f"{ROOT}/log"] == ""
            count = [name for name, *_ in watcher.messages].count(topic)
            watcher.publish("homeassistant/status", "online")
            wait_until(
                lambda: [name for name, *_ in watcher.messages].count(topic) > count,
                "discovery once more",
            )
            # what Home Assistant's switch and select would send
            watcher.publish(told["cmps"]["mode"]["cmd_t"], "PERMON")
            plug.reach("Switched_ON")
            watcher.publish(told["cmps"]["mode"]["cmd_t"], "FORCEOFF")
            plug.reach(OFF)
            wait_until(lambda: watcher.latest[f"{ROOT}/log"], "the log")
            line = watcher.latest[f"{ROOT}/log"]
            assert re.fullmatch(
                r"0:0\d h: Switched_ON, FORCEOFF, tool \d+ C(, bed \d+ C)?, on for good\n", line
            ), line
            with mosquitto.client() as late:  # both are retained
                late.wait(topic, watcher.latest[topic])
                late.wait(f"{ROOT}/log", line)
            path = tmp_path / "flash/config.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | {"ha_discovery": False}))
            plug.crash()
            wait_until(lambda: watcher.latest[topic] == "", "discovery to be withdrawn")
            with mosquitto.client() as late:
                late.wait(f"{ROOT}/status", "online")
                assert topic not in late.latest
            assert not any("Traceback" in said or "Memory" in said for said in plug.runner.serial)
        finally:
            plug.close()
