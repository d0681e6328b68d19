"""What OctoPrint's answers, and everything that is none, are evidence of."""

import asyncio
import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fetch
import octoapi
from fakes_net import (
    Line,
    Server,
    Settings,
    WebServer,
    at_once,
    dotted,
    free_port,
    http,
    open_files,
    reset,
)
from octoapi import OctoApi
from servers import Silent

ACTIVE = "printing paused pausing resuming finishing cancelling starting".split()
NOTHING = (None, None, None, False)


def answer(flags=("operational", "ready"), text="Operational", **temperature):
    """OctoPrint's answer to GET /api/printer; tool0 is at 21.5 °C unless told otherwise."""
    names = ACTIVE + ["operational", "ready", "sdReady", "error", "closedOrError"]
    temperature = temperature or {"tool0": {"actual": 21.5, "offset": 0, "target": 0.0}}
    return {
        "state": {"error": "", "flags": {n: n in flags for n in names}, "text": text},
        "temperature": temperature,
    }


def heater(actual, target: object = 0.0):
    return {"actual": actual, "offset": 0, "target": target}


def pretty(doc):
    return json.dumps(doc, indent=2, sort_keys=True) + "\n"


def read(data, step=0, api=None, bed=False):
    """The evidence in `data`, delivered in pieces of `step`, without a socket."""
    api = api or octo(80, watch_bed=bed)
    before, octoapi.Wire = octoapi.Wire, lambda: Line(data, step)
    try:
        return at_once(api.poll())
    finally:
        octoapi.Wire = before


def octo(port, online=lambda: True, resolve=dotted, **given):
    return OctoApi(Settings(octoprint_port=port, **given), resolve, online)


async def poll(data, api=None, **how):
    """What one poll makes of a server that answers `data`."""
    async with WebServer(data, **how) as server:
        api = api or octo(server.port)
        api.s.octoprint_port = server.port
        return await api.poll()


# --- the fields, compared with json.loads ------------------------------------------------------


def temperature_of(value):
    """What a temperature in JSON is worth: a number in -10 … 500, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if -10 <= value <= 500 else None


def expected(doc, known=(), bed=False):
    """(printing, hottest, target) as a plain reading of the whole answer gives them."""
    flags = doc["state"]["flags"]
    printing = None
    if any(flags.get(name) for name in ACTIVE):
        printing = True
    elif flags.get("ready"):
        printing = False
    elif flags.get("operational"):
        printing = True
    heaters = {
        name: (temperature_of(h.get("actual")), temperature_of(h.get("target")))
        for name, h in doc.get("temperature", {}).items()
        if name[:4] == "tool" and name[4:].isdigit() or name == "bed" and bed
    }
    counted = {"tool0", *known, *(n for n, (actual, _) in heaters.items() if actual is not None)}

    def highest(which):
        if any(heaters.get(name, (None, None))[which] is None for name in counted):
            return None
        return max(h[which] for h in heaters.values() if h[which] is not None)

    return printing, highest(0), highest(1)


temperatures = st.one_of(
    st.none(),
    st.integers(-20, 520),
    st.floats(-20, 520).map(lambda t: round(t, 2)),
    st.sampled_from([-10, 500, 500.1, -14, math.inf, math.nan, True, False, "21", [], [5], {}]),
)
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=40)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=12), inner, max_size=3)
    ),
    max_leaves=8,
)
heaters = st.builds(
    lambda actual, target, more, both: (
        more | {"target": target, "actual": actual} if both else more | {"actual": actual}
    ),
    temperatures,
    temperatures,
    st.dictionaries(st.sampled_from(["offset", "name", "tuning"]), anything, max_size=2),
    st.booleans(),
)
names = st.sampled_from(["tool0", "tool1", "tool2", "tool11", "bed", "chamber", "toolbox", "W"])
flags = st.dictionaries(
    st.sampled_from([*ACTIVE, "operational", "ready", "sdReady", "error", "closedOrError"]),
    st.booleans(),
    min_size=1,
)
answers = st.builds(
    lambda flags, text, more, temperature, rest, order: dict(
        order.permutation(
            [
                ("state", dict(order.permutation([("flags", flags), ("text", text), *more]))),
                ("temperature", temperature),
                *rest,
            ]
        )
    ),
    flags,
    st.sampled_from(["Operational", "Printing", "Offline after error", 'a "b" {c} \\d']),
    st.lists(st.tuples(st.sampled_from(["error", "x", "{", '"', ",:"]), anything), max_size=2),
    st.dictionaries(names, heaters, max_size=5),
    st.lists(st.tuples(st.sampled_from(["sd", "job", "]", "progress"]), anything), max_size=2),
    st.builds(lambda seed: Order(seed), st.randoms()),
)


class Order:
    def __init__(self, random):
        self.random = random

    def permutation(self, items):
        items = list(items)
        self.random.shuffle(items)
        return items


@given(answers, st.sampled_from([None, 0, 3]), st.integers(1, 128), st.booleans())
@settings(max_examples=300, deadline=None)
def test_an_answer_of_any_layout_in_pieces_of_any_size_reads_as_json_loads_reads_it(
    doc, indent, step, bed
):
    text = json.dumps(doc, indent=indent)
    assert read(http(text), step, bed=bed) == ("UP", *expected(json.loads(text), bed=bed), False)


@given(answers, answers)
@settings(max_examples=200, deadline=None)
def test_a_heater_that_was_read_once_counts_in_the_next_answer(first, second):
    api = octo(80)
    read(http(json.dumps(first)), api=api)
    known = {
        name
        for name, h in first["temperature"].items()
        if name[4:].isdigit() and temperature_of(h["actual"]) is not None
    }
    assert read(http(json.dumps(second)), api=api) == ("UP", *expected(second, known), False)


@pytest.mark.parametrize("length", (None, False))
def test_the_same_is_read_in_pieces_of_every_size(length):
    data = http(pretty(answer(tool0=heater(207.3, 210.0), bed=heater(61, 60))), length=length)
    for step in range(1, 129):
        api = octo(80)
        assert read(data, step, api) == ("UP", False, 207.3, 210.0, False)
        assert (api.print_state, api.tool, api.bed) == ("Operational", 207.3, 61.0)


def test_an_answer_cut_anywhere_tells_nothing():
    for data in (http(pretty(answer())), http(json.dumps(answer()), length=False)):
        for at in range(len(data.rstrip())):
            api = octo(80)
            assert read(data[:at], api=api) == ("BUSY", *NOTHING)
            assert (api.print_state, api.tool, api.bed) == ("", None, None)


@pytest.mark.parametrize("step", (0, 1))
def test_what_follows_the_answer_is_not_read(step):
    for length in (None, False):
        data = http(json.dumps(answer()), length=length)
        data += b'{"state": {"flags": {"printing": true}}}'
        assert read(data, step) == ("UP", False, 21.5, 0.0, False)


@pytest.mark.parametrize(
    "body",
    (
        "",
        "[]",
        "null",
        "Not found",
        "<!doctype html>",
        '{"state": {"flags": {"ready": true}}',
        '{"state": {"flags": {"ready": true}}}}',
        '{"state": {"flags": {"ready": true}]}',
        '{"state": {"flags": {"ready": true}}} {}',
        '{"state": {"flags": {"ready": true}}} x',
        '{"state": {"flags": {"ready": true}}, "x": "}',
        '{"a":' * 40 + "1" + "}" * 40,
    ),
)
def test_a_body_that_is_no_balanced_object_is_not_whole(body):
    assert read(http(body)) == read(http(body), 1) == ("BUSY", *NOTHING)


@pytest.mark.parametrize(
    "value",
    ("null", "NaN", "1e999", "-14", "500.01", "true", '"21"', "[21]", "{}", "0" * 60 + "5"),
)
def test_a_reading_that_is_no_temperature_is_none_and_never_cool(value):
    for name in ("actual", "target"):
        text = json.dumps(answer()).replace('"%s": ' % name, '"%s": %s, "was": ' % (name, value))
        assert read(http(text))[2 if name == "actual" else 3] is None


def test_an_escape_in_a_text_does_not_end_it():
    doc = answer(text='say "hi" \\')
    doc["state"]["error"] = '\\"}}{"flags": {"printing": true'
    assert read(http(json.dumps(doc))) == ("UP", False, 21.5, 0.0, False)


def test_the_words_count_only_in_their_own_place():
    doc = answer()
    doc["x"] = {"state": {"flags": {"printing": True}}, "temperature": {"tool1": heater(300)}}
    doc["sd"] = [{"flags": {"printing": True}}, {"tool0": heater(300)}]
    doc["temperature"]["history"] = [{"tool0": heater(300)}]
    assert read(http(json.dumps(doc))) == ("UP", False, 21.5, 0.0, False)


# --- the printer -------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ACTIVE)
def test_every_flag_of_a_job_is_printing(flag):
    assert read(http(pretty(answer(["operational", flag]))))[1] is True
    assert read(http(pretty(answer(["operational", "ready", flag]))))[1] is True


def test_a_transfer_to_the_sd_card_has_no_flag_and_is_printing():
    assert read(http(pretty(answer(["operational"]))))[1] is True


def test_no_flag_at_all_says_nothing_of_printing():
    assert read(http(pretty(answer([]))))[1] is None


@pytest.mark.looptime
async def test_a_phantom_tool_does_not_count():
    doc = answer(tool0=heater(30), tool1=heater(None))
    assert await poll(http(pretty(doc))) == ("UP", False, 30, 0, False)


@pytest.mark.looptime
async def test_a_tool_that_was_read_and_falls_silent_is_not_cool():
    api = octo(0)
    warm = http(pretty(answer(tool0=heater(30), tool1=heater(240, 250))))
    for gone, target in (
        ({"tool1": heater(None)}, [0]),
        ({"tool1": heater(-14)}, [0]),
        ({}, [None]),
    ):
        assert await poll(warm, api) == ("UP", False, 240, 250, False)
        doc = answer(tool0=heater(30), **gone)
        assert await poll(http(pretty(doc)), api) == ("UP", False, None, *target, False)


@pytest.mark.looptime
async def test_a_printer_connected_anew_may_have_fewer_tools():
    api = octo(0)
    await poll(http(pretty(answer(tool0=heater(30), tool1=heater(240)))), api)
    await poll(http('{"error": "Printer is not operational"}', "409 CONFLICT"), api)
    doc = answer(tool0=heater(30), tool1=heater(None))
    assert await poll(http(pretty(doc)), api) == ("UP", False, 30, 0, False)


@pytest.mark.looptime
async def test_the_bed_counts_when_it_is_watched():
    doc = http(pretty(answer(tool0=heater(30), bed=heater(60, 65))))
    assert await poll(doc) == ("UP", False, 30, 0, False)
    assert await poll(doc, octo(0, watch_bed=True)) == ("UP", False, 60, 65, False)


@pytest.mark.looptime
@pytest.mark.parametrize("temperature", ({}, {"bed": heater(20)}, {"tool1": heater(20)}))
async def test_without_tool0_nothing_is_known_of_the_heat(temperature):
    doc = answer() | {"temperature": temperature}
    assert await poll(http(pretty(doc))) == ("UP", False, None, None, False)


@pytest.mark.looptime
async def test_twelve_kilobytes_of_tools_are_read():
    tools = {"tool%d" % n: heater(20.0 + n, n) for n in range(120)}
    data = http(json.dumps(answer(**tools), indent=4))
    assert len(data) > 12000
    assert await poll(data) == ("UP", False, 139, 119, False)


@pytest.mark.looptime
async def test_what_mqtt_tells_of_the_printer_is_kept():
    api = octo(0)
    data = http(pretty(answer(["operational", "printing"], "Printing", tool0=heater(205.7))))
    await poll(data, api)
    assert (api.print_state, api.tool, api.bed) == ("Printing", 205.7, None)
    async with WebServer(
        http(pretty({"state": "Printing", "progress": {"completion": 12.5}}))
    ) as s:
        api.s.octoprint_port, api.address = s.port, "127.0.0.1"
        await api.job()
        assert s.asked[0].startswith("GET /api/job HTTP/1.1\r\n")
    assert (api.job_state, api.progress) == ("Printing", 12.5)
    async with WebServer(
        http(pretty({"state": "Operational", "progress": {"completion": None}}))
    ) as s:
        api.s.octoprint_port = s.port
        await api.job()
    assert (api.job_state, api.progress) == ("Operational", None)
    await poll(b"", api)
    assert (api.print_state, api.tool, api.job_state) == ("", None, "")


# --- everything that is not a good answer ------------------------------------------------------

ERROR = '{"error": "no"}'
SITUATIONS = {
    "lost the printer": (http(ERROR, "409 CONFLICT"), ("UP", None, None, None, True)),
    "key refused": (http(ERROR, "403 FORBIDDEN"), ("UP", *NOTHING)),
    "409 of another server": (http("{}", "409 CONFLICT"), ("BUSY", *NOTHING)),
    "403 of another server": (http("<html>", "403 FORBIDDEN"), ("BUSY", *NOTHING)),
    "404": (http(ERROR, "404 NOT FOUND"), ("BUSY", *NOTHING)),
    "400": (http("", "400 Bad Request"), ("BUSY", *NOTHING)),
    "500": (http(pretty(answer()), "500 INTERNAL SERVER ERROR"), ("BUSY", *NOTHING)),
    "proxy without OctoPrint": (http("<html>", "503 Service Unavailable"), ("BUSY", *NOTHING)),
    "starting up": (b"Not found", ("BUSY", *NOTHING)),
    "redirect": (http("", "302 FOUND", head=["Location: /login"]), ("BUSY", *NOTHING)),
    "web page": (http("<!doctype html><p>Hello"), ("BUSY", *NOTHING)),
    "JSON of something else": (http('{"state": "ok"}'), ("BUSY", *NOTHING)),
    "garbage": (bytes(range(256)) * 20, ("BUSY", *NOTHING)),
    "closes without a word": (b"", ("BUSY", *NOTHING)),
    "cut short": (http(pretty(answer()), length=9999), ("BUSY", *NOTHING)),
    "no length, cut short": (http(pretty(answer())[:-3], length=False), ("BUSY", *NOTHING)),
    "length is no number": (
        http("", head=["Content-Length: many"], length=False),
        ("BUSY", *NOTHING),
    ),
    "status is no number": (http(pretty(answer()), "2OO OK"), ("BUSY", *NOTHING)),
    "endless head": (b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 9000, ("BUSY", *NOTHING)),
    "endless head line": (b"HTTP/1.1 200 " + b"x" * 70000, ("BUSY", *NOTHING)),
    "endless body": (http('{"x": "' + "x" * 70000, length=10**9), ("BUSY", *NOTHING)),
    "endless list": (http('{"x": [' + "0," * 40000, length=False), ("BUSY", *NOTHING)),
}


@pytest.mark.looptime
@pytest.mark.parametrize("hold", (False, True), ids=("closing", "holding"))
@pytest.mark.parametrize("situation", SITUATIONS)
async def test_evidence_of(situation, hold):
    data, expected = SITUATIONS[situation]
    loop = asyncio.get_running_loop()
    start = loop.time()
    before = open_files()
    async with WebServer(data, hold=hold) as server:
        api = octo(server.port)
        assert await api.poll() == expected
        assert api.problem
        assert loop.time() - start < 10.5
    assert open_files() == before


@pytest.mark.looptime
@pytest.mark.parametrize("pause", (0.2, 3))
async def test_an_answer_that_drips_is_given_up_after_ten_seconds(pause):
    start = asyncio.get_running_loop().time()
    assert await poll(http(pretty(answer())), step=1, pause=pause) == ("BUSY", *NOTHING)
    assert 9.9 < asyncio.get_running_loop().time() - start < 10.5


@pytest.mark.looptime
async def test_a_slow_answer_within_ten_seconds_is_as_good_as_any():
    data = http(pretty(answer()))
    assert (await poll(data, step=len(data) // 8, pause=1))[:2] == ("UP", False)


@pytest.mark.looptime
async def test_a_server_that_hangs_is_busy():
    api = octo(0)
    assert await poll(b"", api, hold=True) == ("BUSY", *NOTHING)
    assert api.problem == "OctoPrint hangs or is starting"


@pytest.mark.looptime
async def test_a_refused_or_reset_connection_means_that_the_host_lives():
    assert await octo(free_port()).poll() == ("REFUSED", *NOTHING)

    async def play(reader, writer):
        await reader.read(1)
        reset(writer)

    before = open_files()
    async with Server(play) as server:
        assert await octo(server.port).poll() == ("REFUSED", *NOTHING)
    assert open_files() == before


@pytest.mark.looptime
@pytest.mark.parametrize("quick, seconds", ((False, 4), (True, 2)))
async def test_when_the_port_is_silent_the_other_one_decides(quick, seconds):
    silent, other = Silent(free_port()), Silent(free_port())
    loop = asyncio.get_running_loop()
    before = open_files()
    try:
        port = silent.sockets[0].getsockname()[1]
        api = octo(port, probe_port=other.sockets[0].getsockname()[1])
        start = loop.time()
        assert await api.poll(quick) == ("SILENT", *NOTHING)
        assert api.problem == "no answer"
        assert 2 * seconds <= loop.time() - start < 2 * seconds + 0.2
        api.s.probe_port = free_port()
        assert await api.poll(quick) == ("REFUSED", *NOTHING)
        async with Server(lambda reader, writer: reader.read()) as ssh:
            api.s.probe_port = ssh.port
            assert await api.poll(quick) == ("BUSY", *NOTHING)
    finally:
        assert open_files() == before
        silent.close()
        other.close()


# --- WiFi and names ----------------------------------------------------------------------------


@pytest.mark.looptime
async def test_for_three_minutes_after_wifi_came_only_good_news_count():
    wifi = True
    port = free_port()
    api = octo(port, online=lambda: wifi, wifi_settle_s=180)
    for _ in range(2):
        assert await api.poll() == ("UNKNOWN", *NOTHING)
        assert (await poll(http(pretty(answer())), api))[0] == "UP"
        api.s.octoprint_port = port
        await asyncio.sleep(179)
        assert await api.poll() == ("UNKNOWN", *NOTHING)
        await asyncio.sleep(2)
        assert await api.poll() == ("REFUSED", *NOTHING)
        await asyncio.sleep(14 * 86400)  # more than a turn of ticks_ms
        assert await api.poll() == ("REFUSED", *NOTHING)
        wifi = False
        assert await api.poll() == ("UNKNOWN", *NOTHING)
        assert api.problem == "no WiFi"
        wifi = True


@pytest.mark.looptime
async def test_wifi_lost_during_a_poll_is_not_a_silent_host():
    silent = Silent(free_port())
    states = [True, False]
    try:
        port = silent.sockets[0].getsockname()[1]
        api = octo(port, online=lambda: states.pop(0) if len(states) > 1 else states[0])
        api.s.probe_port = port
        assert await api.poll() == ("UNKNOWN", *NOTHING)
    finally:
        silent.close()


@pytest.mark.looptime
async def test_a_name_is_asked_for_until_its_address_answers_and_then_kept():
    asked = []

    async def resolve(host):
        asked.append(host)
        if len(asked) == 1:
            raise OSError("name not found")
        return "127.0.0.1"

    async with WebServer(http(pretty(answer()))) as server:
        api = octo(server.port, resolve=resolve, octoprint_host="octopi.local")
        assert await api.poll() == ("UNKNOWN", *NOTHING)
        assert (api.problem, api.address) == ("name not found", "")
        for _ in range(3):
            assert (await api.poll())[0] == "UP"
        assert asked == ["octopi.local"] * 2 and api.address == "127.0.0.1"
        assert "\r\nHost: octopi.local:%d\r\n" % server.port in server.asked[0]
    assert (await api.poll())[0] == "REFUSED"
    assert (await api.poll(keep=True))[0] == "REFUSED" and len(asked) == 2
    assert (await api.poll())[0] == "REFUSED" and len(asked) == 3
    api.forget()
    assert api.address == ""


@pytest.mark.looptime
async def test_trouble_of_our_own_is_no_news_of_the_pi():
    async def resolve(host):
        raise MemoryError

    api = octo(1, resolve=resolve)
    assert await api.poll() == ("BUSY", *NOTHING)
    assert "Memory" in api.problem


@pytest.mark.looptime
async def test_a_cancelled_poll_leaves_no_socket():
    before = open_files()
    async with WebServer(b"", hold=True) as server:
        task = asyncio.create_task(octo(server.port).poll())
        await asyncio.sleep(1)
        assert server.calls == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert open_files() == before


# --- what it is asked to do --------------------------------------------------------------------


async def known(server):
    """An OctoApi that has seen that server answer."""
    api = octo(server.port)
    good, server.answer = server.answer, http(pretty(answer()))
    await api.poll()
    server.answer = good
    server.asked.clear()
    return api


@pytest.mark.looptime
@pytest.mark.parametrize(
    "data, expected, problem",
    (
        (b"HTTP/1.1 204 NO CONTENT\r\nServer: x\r\n\r\n", "ACCEPTED", ""),
        (b"", "ASKED", ""),
        (http(ERROR, "403 FORBIDDEN"), "REFUSED_ASK", "API key may not shut down"),
        (http(ERROR, "404 NOT FOUND"), "REFUSED_ASK", "shutdown refused: HTTP 404"),
        (http("CSRF", "400 BAD REQUEST"), "REFUSED_ASK", "shutdown refused: HTTP 400"),
        (http("", "503 Service Unavailable"), "REFUSED_ASK", "shutdown refused: HTTP 503"),
        (http("{}"), "REFUSED_ASK", "shutdown refused: HTTP 200"),
        (b"Not found", "REFUSED_ASK", "shutdown refused: HTTP 0"),
    ),
)
async def test_the_answer_to_the_shutdown_request(data, expected, problem):
    async with WebServer(data) as server:
        api = await known(server)
        assert await api.shutdown() == expected
        assert api.problem == problem
        head = server.asked[0]
        assert head.startswith("POST /api/system/commands/core/shutdown HTTP/1.1\r\n")
        assert "\r\nX-Api-Key: K3Y\r\n" in head and "\r\nContent-Length: 0\r\n" in head


@pytest.mark.looptime
async def test_a_shutdown_that_hangs_was_asked_and_one_without_connection_was_not():
    async with WebServer(b"", hold=True) as server:
        api = await known(server)
        assert await api.shutdown() == "ASKED"
    assert await api.shutdown() is None
    assert await octo(free_port()).shutdown() is None


@pytest.mark.looptime
async def test_a_refused_shutdown_stays_the_problem_until_a_job_runs():
    api = octo(0)
    async with WebServer(http(ERROR, "403 FORBIDDEN")) as server:
        api = await known(server)
        await api.shutdown()
    await poll(http(pretty(answer())), api)
    assert api.problem == "API key may not shut down"
    await poll(http(pretty(answer(["printing"]))), api)
    await poll(http(pretty(answer())), api)
    assert api.problem == ""


@pytest.mark.looptime
async def test_a_text_for_the_display_goes_out_without_control_characters():
    async with WebServer(b"HTTP/1.1 204 NO CONTENT\r\n\r\n") as server:
        api = await known(server)
        assert await api.say('Shut "down"\n at\x7f 50 °C\\')
        head, body = server.asked[0].split("\r\n\r\n")
        assert head.startswith("POST /api/printer/command HTTP/1.1\r\n")
        assert json.loads(body) == {"command": "M117 Shut down at 50 C"}
        server.answer = http(ERROR, "409 CONFLICT")
        assert not await api.say("x")


# --- fuzz --------------------------------------------------------------------------------------


def check(data, step):
    api = octo(80)
    seen = read(data, step, api)
    assert seen[0] in ("UP", "BUSY")
    if seen[0] == "BUSY":
        assert seen == ("BUSY", *NOTHING)
        assert api.problem == "OctoPrint hangs or is starting" or api.problem.startswith(
            "not OctoPrint: HTTP "
        )
    for temperature in seen[2:4]:
        assert temperature is None or -10 <= temperature <= 500


@given(st.binary(max_size=600), st.integers(0, 3))
@settings(max_examples=400, deadline=None)
def test_no_bytes_are_more_than_a_busy_port(data, part):
    check((data, http(data), http(b'{"state": ' + data), http(data, length=False))[part], 64)


@given(answers, st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_answer_is_read_or_not_but_breaks_nothing(doc, draw):
    data = bytearray(http(json.dumps(doc)))
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    check(data, 50)


# --- MicroPython, and urequests ----------------------------------------------------------------

FIRMWARE = Path(octoapi.__file__).parent
SCRIPT = """
import sys
sys.path[:0] = [sys.argv[1], %r]
import asyncio, urequests
from octoapi import OctoApi

class Settings:
    octoprint_host = "127.0.0.1"
    octoprint_api_key = "K3Y"
    probe_port = 1
    watch_bed = False
    wifi_settle_s = 0

async def resolve(host):
    return host

async def main():
    for port in sys.argv[2:]:
        s = Settings()
        s.octoprint_port = int(port)
        api = OctoApi(s, resolve, lambda: True)
        seen = await api.poll()
        try:
            answer = urequests.get(
                "http://127.0.0.1:" + port + "/api/printer?exclude=sd&history=false",
                headers={"X-Api-Key": "K3Y"},
            )
            doc = answer.json()
            heaters = [doc["temperature"][n] for n in doc["temperature"] if n[:4] == "tool"]
            flags = doc["state"]["flags"]
            reference = (
                flags["printing"] or not flags["ready"],
                max(h["actual"] for h in heaters),
                max(h["target"] for h in heaters),
                answer.status_code,
            )
        except Exception as error:
            reference = repr(error)
        print(repr((seen, api.problem, reference)))

asyncio.run(main())
"""


@pytest.mark.real
async def test_micropython_reads_the_same_as_urequests_on_the_same_server(micropython, tmp_path):
    docs = [
        answer(),
        answer(["operational", "printing"], tool0=heater(205.25, 210.0), tool1=heater(199, 220)),
        answer(["operational", "ready"], tool0=heater(-5, 0), tool1=heater(48.5, 0)),
    ]
    others = [b"Not found", http(ERROR, "409 CONFLICT"), b"", http("<p>"), bytes(range(256)) * 9]
    script = tmp_path / "read.py"
    script.write_text(SCRIPT % str(fetch.LIB))
    data = [http(pretty(doc)) for doc in docs] + others
    servers = [await WebServer(d).__aenter__() for d in data]
    process = await asyncio.create_subprocess_exec(
        *(micropython, "-X", "heapsize=200k", script, str(FIRMWARE)),
        *(str(server.port) for server in servers),
        stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"]},
    )
    out, _ = await process.communicate()
    for server in servers:
        await server.__aexit__()
    lines = [eval(line) for line in out.decode().splitlines()]
    assert len(lines) == len(data)
    for seen, problem, reference in lines[: len(docs)]:
        assert seen[0] == "UP" and problem == ""
        assert seen[1:4] == tuple(reference[:3]) and reference[3] == 200
    assert [line[0] for line in lines[len(docs) :]] == [
        ("BUSY", *NOTHING),
        ("UP", None, None, None, True),
        ("BUSY", *NOTHING),
        ("BUSY", *NOTHING),
        ("BUSY", *NOTHING),
    ]


# --- the real thing ----------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("version", ("octoprint", "octoprint_2"))
async def test_a_real_octoprint_says_what_it_is_evidence_of(version, request):
    server = request.getfixturevalue(version)
    api = octo(server.port, octoprint_api_key=server.key)
    pi, printing, hottest, target, lost = await api.poll()
    assert (pi, printing, target, lost) == ("UP", False, 0, False) and 10 < hottest < 40
    assert (api.problem, api.print_state, api.tool) == ("", "Operational", hottest)
    assert await api.say('a "b"')
    await asyncio.to_thread(server.print, *["G4 P200"] * 300)
    assert (await api.poll())[1] is True
    await api.job()
    assert api.job_state == "Printing" and 0 <= (api.progress or 0) <= 100
    await asyncio.to_thread(server.pause)
    assert (await api.poll())[1] is True
    await asyncio.to_thread(server.cancel)
    await asyncio.to_thread(server.wait_flag, "ready")
    await asyncio.to_thread(server.disconnect)
    assert await api.poll() == ("UP", None, None, None, True)
    api.s.octoprint_api_key = "wrong"
    assert await api.poll() == ("UP", None, None, None, False)
    assert api.problem == "API key refused"
    assert await api.shutdown() == "REFUSED_ASK"
    api.s.octoprint_api_key = server.user_key
    assert await api.shutdown() == "REFUSED_ASK"
    assert api.problem == "API key may not shut down" and not server.shutdown_asked
    server.ends_on_shutdown = False
    api.s.octoprint_api_key = server.key
    assert await api.shutdown() == "ACCEPTED"
    await asyncio.sleep(1)
    assert server.shutdown_asked == 1
    server.hang()
    assert await api.poll() == ("BUSY", *NOTHING)
    assert await api.shutdown() == "ASKED"
    server.kill()
    assert await api.poll() == ("REFUSED", *NOTHING)
