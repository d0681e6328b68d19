"""What the plug tells a broker, what it takes from one, and what a bad broker cannot do."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mqtt
import remarks
from fakes_net import (
    Broker,
    Line,
    Server,
    Settings,
    Tape,
    at_once,
    dotted,
    free_port,
    later,
    open_files,
    simple,
)
from mqtt import Mqtt

VALUES = {
    "state": "Relay_off",
    "relay": "OFF",
    "mode": "OFF",
    "reason": "off",
    "countdown_s": "",
    "print_state": "Operational",
    "tool": "21.5",
    "bed": None,
    "job_state": "Operational",
    "progress": "0.0",
    "info": "{}",
}
ALL = [
    ("/status", "online", True),
    ("/plugstate", "Relay_off", True),
    ("/relay", "OFF", True),
    ("/mode", "OFF", True),
    ("/reason", "off", True),
    ("/countdown", "", True),
    ("/state/printstate", "Operational", False),
    ("/state/extrudertemp", "21.5", False),
    ("/job/jobstate", "Operational", False),
    ("/job/jobprogress", "0.0", False),
    ("/info", "{}", True),
]


class Plug:
    """A Mqtt that runs against `broker`; `commands` it has taken as (time, word)."""

    def __init__(self, broker, port=None, **given):
        self.values = dict(VALUES)
        self.commands = []
        self.s = Settings(mqtt_port=port or broker.port, **given)
        self.mqtt = Mqtt(self.s, dotted, self.values.get, self.take)
        self.task = None

    def take(self, word):
        self.commands.append((asyncio.get_running_loop().time(), word))

    @property
    def words(self):
        return [word for _, word in self.commands]

    async def __aenter__(self):
        self.task = asyncio.create_task(self.mqtt.run())
        self.poller = asyncio.create_task(self.look())
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        self.poller.cancel()
        await asyncio.gather(self.task, self.poller, return_exceptions=True)

    async def look(self):
        """As online.py does."""
        while True:
            await asyncio.sleep(0.05)
            if self.mqtt.given:
                given, self.mqtt.given = self.mqtt.given, ()
                assert await remarks.run(self, given) is None

    async def ended(self, seconds):
        """The OSError it ends with within `seconds`."""
        done, _ = await asyncio.wait({self.task}, timeout=seconds)
        assert done, "it still runs"
        error = self.task.exception()
        assert isinstance(error, OSError), error
        assert not self.mqtt.connected
        return error


# --- what it says ------------------------------------------------------------------------------


@pytest.mark.looptime
async def test_it_connects_with_a_last_will_and_tells_everything_once():
    async with Broker() as broker, Plug(broker) as plug:
        await later(5)
        assert plug.mqtt.connected
        assert broker.published == ALL


@pytest.mark.looptime
@pytest.mark.parametrize("user", ("", "plüg"))
async def test_its_packets_are_those_of_umqtt_simple(user, monkeypatch):
    given = {"mqtt_user": user, "mqtt_password": "pass wörd", "mqtt_keepalive_s": 300}
    values = {"reason": "r" * 90, "info": "i" * 300}
    async with Broker() as broker, Plug(broker, **given) as plug:
        plug.values.update(values)
        await later(5)
        broker.command("ON")
        await later(200)
    tape = Tape(b"\x20\2\0\0")
    monkeypatch.setattr(simple, "socket", tape)
    client = simple.MQTTClient(
        "octoplugout-abcdef",
        "",
        user=user.encode() or None,
        password="pass wörd".encode(),
        keepalive=300,
    )
    client.set_callback(lambda topic, text: None)
    client.set_last_will("octoplugout/abcdef/status", "offline", True)
    client.connect()
    tape.answer = b"\x90\3\0\1\1"
    client.subscribe("octoplugout/abcdef/switch", 1)
    tape.answer = b"\x90\3\0\2\1"
    client.subscribe("octoplugout/abcdef/update", 1)
    everything = {topic: text for topic, text, _ in ALL}
    everything |= {"/reason": values["reason"], "/info": values["info"]}
    for topic, text, retained in broker.published[: len(ALL)]:
        assert everything[topic] == text
        client.publish("octoplugout/abcdef" + topic, text, retained)
    tape.answer = b"\x32\x1f\0\x19octoplugout/abcdef/switch\0\x07ON"
    client.wait_msg()
    client.publish("octoplugout/abcdef/switch", "-", True)
    assert broker.raw.startswith(tape.out)
    tape.out = b""
    client.ping()
    assert broker.raw.endswith(tape.out) or tape.out in broker.raw


@pytest.mark.looptime
async def test_a_change_is_told_once_and_the_rest_is_left_alone():
    async with Broker() as broker, Plug(broker) as plug:
        await later(5)
        broker.packets.clear()
        plug.values["relay"] = "ON"
        plug.values["bed"] = "60.0"
        plug.values["info"] = "{1}"
        await later(5)
        told = [("/relay", "ON", True), ("/state/bedtemp", "60.0", False)]
        assert sorted(broker.published) == told


@pytest.mark.looptime
async def test_what_is_due_is_told_again():
    async with Broker() as broker, Plug(broker, mqtt_report_s=10) as plug:
        await later(9)
        broker.packets.clear()
        plug.values["info"] = "{2}"
        await later(10)
        assert sorted(broker.published) == sorted([*ALL[6:-1], ("/info", "{2}", True)])


@pytest.mark.looptime
async def test_every_state_is_told_in_order_however_short_it_was():
    async with Broker() as broker, Plug(broker) as plug:
        await later(5)
        broker.packets.clear()
        start = asyncio.get_running_loop().time()
        for state in ("shutting_down_PI", "delayed_powering_relay_off", "Relay_off"):
            plug.mqtt.news += (state,)
            plug.values["state"] = state
        plug.values["mode"] = "FORCEOFF"
        await later(5)
        assert broker.published == [
            ("/plugstate", "shutting_down_PI", True),
            ("/plugstate", "delayed_powering_relay_off", True),
            ("/plugstate", "Relay_off", True),
            ("/mode", "FORCEOFF", True),
        ]
        assert broker.packets[-1][0] - start < 0.6


@pytest.mark.looptime
async def test_after_a_reconnect_everything_is_told_as_it_is_now():
    async with Broker() as broker, Plug(broker) as plug:
        await later(5)
        broker.packets.clear()
        broker.writer.close()
        await plug.ended(1)
        plug.values["relay"] = "ON"
        plug.task = asyncio.create_task(plug.mqtt.run())
        await later(5)
        expected = [("/relay", "ON", True) if t[0] == "/relay" else t for t in ALL]
        assert broker.published == expected


@pytest.mark.looptime
async def test_of_what_happened_while_the_broker_was_away_the_end_is_told():
    async with Broker() as broker, Plug(None, free_port()) as plug:
        await plug.ended(1)
        for n in range(1000):
            plug.mqtt.news += ("state %d" % n,)
        plug.values["state"] = "state 999"
        plug.s.mqtt_port = broker.port
        plug.task = asyncio.create_task(plug.mqtt.run())
        await later(5)
        states = [text for topic, text, _ in broker.published if topic == "/plugstate"]
        assert states == ["state 996", "state 997", "state 998", "state 999"]
        assert dict(t[:2] for t in broker.published)["/status"] == "online"


@pytest.mark.looptime
async def test_a_topic_may_have_another_name():
    topics = {"relay": "/power", "switch": "/do", "status": "/lwt"}
    async with Broker() as broker, Plug(broker, topics=topics):
        await later(5)
        assert ("/power", "OFF", True) in broker.published
        assert ("/lwt", "online", True) in broker.published
        assert b"octoplugout/abcdef/lwt\0\x07offline" in broker.of(0x10)[0]
        assert b"octoplugout/abcdef/do\1" in broker.of(0x82)[0]


@pytest.mark.looptime
async def test_a_name_that_is_not_found_again_keeps_its_address():
    found = ["127.0.0.1"]

    async def resolve(host):
        if not found:
            raise OSError("name not found")
        return found.pop()

    async with Broker() as broker, Plug(broker) as plug:
        plug.mqtt.resolve = resolve
        for _ in range(2):
            await later(5)
            assert plug.mqtt.connected
            broker.writer.close()
            await plug.ended(1)
            plug.task = asyncio.create_task(plug.mqtt.run())


# --- commands ----------------------------------------------------------------------------------


@pytest.mark.looptime
@pytest.mark.parametrize(
    "text, word",
    (
        ("ON", "ON"),
        (" on\n", "ON"),
        ("AfterJob", "ON"),
        ("off", "OFF"),
        ("permon", "PERMON"),
        ("FORCEOFF ", "FORCEOFF"),
    ),
)
@pytest.mark.parametrize("qos", (0, 1))
async def test_a_command_is_taken_and_cleared(text, word, qos):
    async with Broker() as broker, Plug(broker) as plug:
        await later(5)
        broker.packets.clear()
        broker.command(text, qos)
        await later(5)
        assert plug.words == [word]
        assert broker.published == [("/switch", "-", True)]
        assert broker.of(0x40) == [b"\0\x07"] * qos


@pytest.mark.looptime
async def test_its_own_dash_and_an_empty_text_are_nothing():
    async with Broker() as broker, Plug(broker) as plug:
        await later(5)
        broker.packets.clear()
        for text in ("-", "", " - ", "  "):
            broker.command(text)
            broker.command(text, 0, True)
        await later(5)
        assert plug.words == [] and broker.published == []


@pytest.mark.looptime
@pytest.mark.parametrize("text", ("FORCEOFF", "ON", "nonsense"))
async def test_a_retained_command_does_nothing_and_is_cleared(text):
    async with Broker() as broker, Plug(broker) as plug:
        await later(5)
        broker.packets.clear()
        broker.command(text, 1, True)
        await later(5)
        assert plug.words == []
        assert broker.published[0] == ("/switch", "-", True)
        assert broker.published[1][0] == "/error" and text in broker.published[1][1]


@pytest.mark.looptime
@pytest.mark.parametrize("qos", (0, 1))
async def test_anything_on_update_asks_for_the_portal_and_for_nothing_else(qos):
    async with Broker() as broker, Plug(broker) as plug:
        await later(5)
        broker.packets.clear()
        for text, words in (("1", 1), ("FORCEOFF", 2), ("x" * 300, 3), ("", 3), (" ", 3)):
            broker.command(text, qos, topic=b"update")
            await later(3)
            assert plug.words == ["UPDATE"] * words
        assert broker.published == [] and len(broker.of(0x40)) == 5 * qos


@pytest.mark.looptime
async def test_a_retained_word_on_update_was_meant_for_another_day():
    async with Broker() as broker, Plug(broker) as plug:
        await later(5)
        broker.command("1", 1, True, b"update")
        await later(5)
        assert plug.words == []


@pytest.mark.looptime
@pytest.mark.parametrize("text", ("ONE", "ON AFTERJOB", "0", b"\xff\xfe\0", b"\0", "ä" * 60))
async def test_anything_else_is_answered_and_does_nothing(text):
    async with Broker() as broker, Plug(broker) as plug:
        await later(5)
        broker.packets.clear()
        broker.command(text)
        await later(5)
        assert plug.words == [] and len(broker.published) == 1
        topic, told, retained = broker.published[0]
        assert topic == "/error" and not retained
        assert told.endswith(
            "is none of ON AFTERJOB OFF PERMON FORCEOFF, PERMON 1 to 999, PRINT file"
        )


@pytest.mark.looptime
@pytest.mark.parametrize("size", (230, 300, 4000, 16000))
async def test_a_long_text_is_read_past(size):
    async with Broker() as broker, Plug(broker) as plug:
        await later(5)
        broker.packets.clear()
        broker.command("ON" + " " * (size - 3) + "x")
        broker.command("OFF")
        await later(5)
        assert plug.words == ["OFF"]
        assert [topic for topic, *_ in broker.published] == ["/switch", "/error"]
        assert len(broker.of(0x40)) == 2


@pytest.mark.looptime
async def test_of_a_storm_the_last_counts_once_a_second():
    async with Broker() as broker, Plug(broker) as plug:
        await later(5)
        broker.packets.clear()
        for n in range(500):
            broker.command(("ON", "OFF", "junk")[n % 3])
        broker.command("PERMON")
        await later(5)
        assert plug.words == ["PERMON"]
        assert [topic for topic, *_ in broker.published] == ["/switch", "/error"]
        assert len(broker.of(0x40)) == 501


@pytest.mark.looptime
async def test_forceoff_is_taken_at_once_and_what_comes_later_still_counts():
    loop = asyncio.get_running_loop()
    async with Broker() as broker, Plug(broker) as plug:
        await later(5)
        start = loop.time()
        for text in ("ON", "OFF", "FORCEOFF"):
            broker.command(text)
        await later(0.3)
        assert plug.words == ["FORCEOFF"] and plug.commands[0][0] - start < 0.2
        broker.command("PERMON")
        await later(2)
        assert plug.words == ["FORCEOFF", "PERMON"]


@pytest.mark.looptime
async def test_a_command_is_not_lost_with_the_connection():
    async with Broker() as broker, Plug(broker) as plug:
        await later(5)
        broker.command("OFF")
        await later(0.2)
        broker.writer.close()
        await plug.ended(1)
        assert plug.words == ["OFF"]


# --- a bad broker ------------------------------------------------------------------------------


@pytest.mark.looptime
async def test_it_pings_after_half_the_keep_alive_and_gives_up_fifteen_seconds_later():
    loop = asyncio.get_running_loop()
    start = loop.time()
    async with Broker() as broker, Plug(broker, mqtt_keepalive_s=40) as plug:
        await later(100)
        pings = [round(time - start) for time, kind, _ in broker.packets if kind == 0xC0]
        assert pings == [20, 40, 60, 80, 100][: len(pings)] and len(pings) >= 4
        broker.pongs = False
        await plug.ended(36)
        assert loop.time() - broker.packets[-1][0] < 15.2


@pytest.mark.looptime
async def test_a_chatty_broker_does_not_keep_it_from_pinging():
    async with Broker() as broker, Plug(broker, mqtt_keepalive_s=40, mqtt_report_s=9999):
        for _ in range(20):
            await later(5)
            broker.command("-", 0)
        assert len(broker.of(0xC0)) >= 4


@pytest.mark.looptime
@pytest.mark.parametrize(
    "given, seconds",
    (
        ({"mute": True}, 11),
        ({"welcome": b"\x20"}, 11),
        ({"welcome": b"\x20\2\0"}, 11),
        ({"welcome": b"\x20\2\0\5"}, 1),
        ({"welcome": b"\x20\3\0\0\0"}, 1),
        ({"welcome": b"HTTP/1.1 400 Bad Request\r\n\r\n"}, 11),
        ({"welcome": b"\xff" * 40}, 1),
        ({"subscribed": b"\x80"}, 1),
        ({"later": b"\x30\xff\xff\xff\x7f"}, 1),
        ({"later": b"\x30\x80\x80\x80\x80\x80\x80"}, 1),
        ({"later": b"\x30\x7f\0\5ab"}, 11),
        ({"later": b"\x30\0"}, 1),
        ({"later": b"\x30\1\0"}, 1),
        ({"later": b"\x32\2\0\0"}, 1),
        ({"later": b"\x30\4\0\xff__"}, 1),
        ({"later": b"\x00\0"}, 1),
        ({"later": b"\x90\0"}, 1),
    ),
)
async def test_a_broker_that_breaks_the_rules_is_left(given, seconds):
    before = open_files()
    async with Broker(**given) as broker, Plug(broker) as plug:
        await plug.ended(seconds)
        assert plug.words == []
    await later(1)
    assert open_files() == before


@pytest.mark.looptime
async def test_a_broker_that_is_not_there_or_closes_is_an_error():
    async with Plug(None, free_port()) as plug:
        await plug.ended(1)

    async def play(reader, writer):
        await reader.read(1)

    async with Server(play) as server, Plug(server) as plug:
        await plug.ended(1)


packet = st.one_of(
    st.binary(max_size=60),
    st.builds(
        lambda kind, body: bytes((kind, len(body))) + body,
        st.sampled_from([0x30, 0x31, 0x32, 0x33, 0x34, 0x20, 0x40, 0x90, 0xD0]),
        st.binary(max_size=100),
    ),
    st.binary(max_size=60).map(
        lambda text: bytes((0x30, 27 + len(text))) + b"\0\x19octoplugout/abcdef/switch" + text
    ),
)


def talk(data):
    """The words that a connection over which `data` comes makes it take; it ends in an OSError."""
    plug = Plug(None, 1)
    plug.take = lambda word: plug.commands.append((0, word))
    plug.mqtt.command = plug.take
    before, mqtt.Wire = mqtt.Wire, lambda: Line(data)
    try:
        with pytest.raises(OSError):
            at_once(plug.mqtt.run())
    finally:
        mqtt.Wire = before
    return plug.words


@given(st.lists(packet, max_size=6))
@settings(max_examples=500, deadline=None)
def test_no_bytes_of_a_broker_raise_anything_but_an_oserror(packets):
    taken = talk(b"\x20\2\0\0" + b"".join(packets))
    assert set(taken) <= {"ON", "OFF", "PERMON", "FORCEOFF"}


@given(st.binary(max_size=100))
@settings(max_examples=300, deadline=None)
def test_no_bytes_for_a_welcome_raise_anything_but_an_oserror(data):
    assert talk(data) == [] or data.startswith(b"\x20\2")


def test_a_conversation_without_waiting_takes_the_command():
    assert talk(b"\x20\2\0\0\x90\3\0\1\1\x30\7\0\3a/bON") == ["ON"]


# --- the real thing ----------------------------------------------------------------------------


async def until(true, seconds=15):
    for _ in range(seconds * 20):
        if true():
            return
        await asyncio.sleep(0.05)
    assert true()


@pytest.mark.real
async def test_mosquitto_tells_of_the_plug_and_of_its_end(mosquitto):
    with mosquitto.client() as watcher:
        async with Plug(None, mosquitto.port, mqtt_report_s=0.2) as plug:
            await until(lambda: "octoplugout/abcdef/info" in watcher.latest)
            for topic, text, _ in ALL:
                assert watcher.latest["octoplugout/abcdef" + topic] == text
            watcher.publish("octoplugout/abcdef/switch", "afterjob")
            await until(lambda: watcher.latest["octoplugout/abcdef/switch"] == "-")
            assert plug.words == ["ON"]
            watcher.publish("octoplugout/abcdef/switch", "x" * 5000)
            await until(lambda: "octoplugout/abcdef/error" in watcher.latest)
            watcher.publish("octoplugout/abcdef/switch", "off")
            await until(lambda: plug.words == ["ON", "OFF"])
        await until(lambda: watcher.latest["octoplugout/abcdef/status"] == "offline")


@pytest.mark.real
async def test_a_command_that_mosquitto_kept_does_not_cut_a_print(mosquitto):
    with mosquitto.client() as watcher:
        watcher.publish("octoplugout/abcdef/switch", "FORCEOFF", retain=True)
        async with Plug(None, mosquitto.port) as plug:
            await until(lambda: watcher.latest["octoplugout/abcdef/switch"] == "-")
            await asyncio.sleep(1.5)
            assert plug.words == []
    with mosquitto.client() as watcher:
        watcher.wait("octoplugout/abcdef/switch", "-")
        assert ("octoplugout/abcdef/plugstate", "Relay_off", True) in watcher.messages


@pytest.mark.real
async def test_user_and_password_are_right_or_refused(mosquitto_locked):
    given = {"mqtt_user": "plug", "mqtt_password": "secret word"}
    async with Plug(None, mosquitto_locked.port, **given) as plug:
        await until(lambda: plug.mqtt.connected)
    given["mqtt_password"] = "wrong"
    async with Plug(None, mosquitto_locked.port, **given) as plug:
        assert "refused" in str(await plug.ended(5))


@pytest.mark.real
async def test_a_broker_that_restarts_is_noticed(mosquitto):
    async with Plug(None, mosquitto.port) as plug:
        await until(lambda: plug.mqtt.connected)
        mosquitto.restart()
        await plug.ended(5)
        plug.task = asyncio.create_task(plug.mqtt.run())
        await until(lambda: plug.mqtt.connected)
