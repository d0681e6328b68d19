"""The simulator is a fair picture of the world: ports, OctoPrint, Pi, broker, the plug's life."""

import asyncio
import functools
import inspect
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest

import servers
from simulator import flash as flash_module
from simulator import runner as runner_module
from simulator.broker import Broker
from simulator.door import HANG, OPEN, REFUSED, RESET, SILENT, Door
from simulator.octoprint import GOOD_KEY, MODES, WEAK_KEY
from simulator.pi import Pi
from simulator.runner import MICROPYTHON, Runner, RuntimeMissing, choose, heap_bytes
from simulator.server import Server
from simulator.world import Options, World, address

ROOT = Path(__file__).resolve().parent.parent

QUESTION = "/api/printer?exclude=sd&history=false"
SHUTDOWN = "/api/system/commands/core/shutdown"


def loop_time():
    return asyncio.get_running_loop().time()


async def ask(port, path=QUESTION, key=GOOD_KEY, method="GET", body=None, seconds=5.0):
    """(head, body) as bytes of one request; what is missing after `seconds` is missing."""
    data = b"" if body is None else json.dumps(body).encode()
    request = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Api-Key: {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        "Connection: close\r\n\r\n"
    )
    answer = b""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(request.encode() + data)
                while part := await reader.read(4096):
                    answer += part
            finally:
                writer.transport.abort()
    except TimeoutError:
        return answer, None
    head, _, rest = answer.partition(b"\r\n\r\n")
    return head, rest


async def asked(*question, **more):
    """(status, JSON) of one request."""
    head, body = await ask(*question, **more)
    return int(head.split(b" ")[1]), json.loads(body) if body else None


async def knock(port):
    """What a connect to that port comes to: "accepted", "refused" or "silent"."""
    try:
        async with asyncio.timeout(1.5):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
    except TimeoutError:
        return "silent"
    except ConnectionRefusedError:
        return "refused"
    except ConnectionResetError:
        return "accepted"  # and reset already
    writer.transport.abort()
    return "accepted"


# --- a port


async def echo(reader, writer):
    while data := await reader.read(100):
        writer.write(data)
        await writer.drain()


@pytest.fixture
async def door():
    door = Door(echo)
    door.open()
    yield door
    door.close()
    assert door.errors == []


async def test_a_silent_port_gives_not_one_packet_back(door):
    door.set(SILENT)
    line = socket.socket()
    line.setblocking(False)
    with pytest.raises(BlockingIOError):
        line.connect(("127.0.0.1", door.port))
    await asyncio.sleep(0.5)
    assert line.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    with pytest.raises(OSError, match="not connected"):
        line.getpeername()
    assert await knock(door.port) == "silent"
    assert door.accepted == 0
    line.close()


@pytest.mark.parametrize("way", [SILENT, HANG])
async def test_what_was_connected_hears_nothing_more(door, way):
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(b"one")
    assert await reader.readexactly(3) == b"one"
    door.set(way)
    writer.write(b"two")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await reader.read(1)
    door.set(OPEN)
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    writer.close()


async def test_refusing_resets_what_was_connected_and_keeps_the_port(door):
    port = door.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"one")
    await reader.readexactly(3)
    door.set(REFUSED)
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    writer.close()
    assert await knock(port) == "refused"
    door.set(OPEN)
    assert door.port == port
    assert await knock(port) == "accepted"


async def test_a_resetting_port_accepts_first(door):
    door.set(RESET)
    with pytest.raises(ConnectionResetError):
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        await reader.read(1)


@pytest.mark.parametrize("first", [OPEN, HANG, RESET, REFUSED, SILENT])
@pytest.mark.parametrize("then", [OPEN, HANG, RESET, REFUSED, SILENT])
async def test_every_way_can_follow_every_other(door, first, then):
    expected = {REFUSED: "refused", SILENT: "silent"}
    door.set(first)
    await knock(door.port)
    door.set(then)
    assert await knock(door.port) == expected.get(then, "accepted")
    with pytest.raises(ValueError, match="way: one of open, hang"):
        door.set("ajar")


async def test_an_error_in_what_serves_is_kept():
    async def broken(reader, writer):
        raise KeyError("a fault of ours")

    door = Door(broken)
    door.open()
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    assert await reader.read(1) == b""
    writer.close()
    assert [type(error) for error in door.errors] == [KeyError]
    door.close()


# --- OctoPrint, its printer and its Pi


def with_pi(test):
    """Run the test on virtual time with `pi`, a Pi that is up, its printer connected and idle."""

    @functools.wraps(test)
    async def run(**given):
        pi = Pi(loop_time)
        pi.open()
        pi.power(True, booted=True)
        await asyncio.sleep(4)
        try:
            await test(pi=pi, **given)
        finally:
            pi.close()
        assert pi.octoprint.door.errors == pi.probe.errors == []

    signature = inspect.signature(test)
    others = [p for name, p in signature.parameters.items() if name != "pi"]
    run.__signature__ = signature.replace(parameters=others)
    return pytest.mark.looptime(run)


@with_pi
@pytest.mark.parametrize(
    ("mode", "starts", "ends"),
    [
        ("ok", b"HTTP/1.1 200 OK\r\n", b"}\n"),
        ("403", b"HTTP/1.1 403 ", b"}\n"),
        ("404", b"HTTP/1.1 404 ", b"}\n"),
        ("500", b"HTTP/1.1 500 ", b"}\n"),
        ("502", b"HTTP/1.1 502 ", b"</html>"),
        ("proxy503", b"HTTP/1.1 503 ", b"</html>\n"),
        ("boot", b"Not found", b""),
        ("empty", b"", b""),
        ("redirect", b"HTTP/1.1 302 ", b""),
        ("not_octoprint", b"HTTP/1.1 200 ", b"</html>"),
        ("wrong_json", b"HTTP/1.1 200 ", b"}\n"),
        ("offline", b"HTTP/1.1 409 ", b'{\n  "error": "Printer is not operational"\n}\n'),
        ("error", b"HTTP/1.1 409 ", b'{\n  "error": "Printer is not operational"\n}\n'),
        ("just_connected", b"HTTP/1.1 200 ", b'"temperature": {}\n}\n'),
        ("huge", b"HTTP/1.1 200 ", b"}\n"),
        ("null_temps", b"HTTP/1.1 200 ", b"}\n"),
        ("missing_tool0", b"HTTP/1.1 200 ", b"}\n"),
        ("phantom_tool", b"HTTP/1.1 200 ", b"}\n"),
        ("open_thermistor", b"HTTP/1.1 200 ", b"}\n"),
    ],
)
async def test_modes_that_answer(pi, mode, starts, ends):
    pi.octoprint.mode = mode
    head, body = await ask(pi.octoprint.port)
    assert (head + b"\r\n").startswith(starts)
    assert body.endswith(ends)
    if head.startswith(b"HTTP"):
        assert f"Content-Length: {len(body)}\r\n".encode() in head
    pi.octoprint.mode = "ok"
    assert (await asked(pi.octoprint.port))[0] == 200


@with_pi
async def test_what_the_printer_modes_leave_out(pi):
    async def temperatures(mode):
        pi.octoprint.mode = mode
        return (await asked(pi.octoprint.port))[1]["temperature"]

    assert set(await temperatures("ok")) == {"bed", "tool0"}
    assert set(await temperatures("missing_tool0")) == {"bed"}
    assert (await temperatures("null_temps"))["tool0"]["actual"] is None
    assert (await temperatures("phantom_tool"))["tool1"]["actual"] is None
    assert (await temperatures("open_thermistor"))["tool0"]["actual"] < -10
    huge = await temperatures("huge")
    assert len(huge) > 100
    _, body = await ask(pi.octoprint.port)
    assert 12000 < len(body) < 13500


@with_pi
async def test_modes_that_never_end(pi):
    async def got(mode):
        pi.octoprint.mode = mode
        answer, end = await ask(pi.octoprint.port, seconds=20)
        assert end is None, f"{mode}: it ended"
        return answer

    assert await got("hang") == b""
    assert len(await got("slow")) == 100  # 200 ms each
    assert b"\r\n\r\n" in await got("drip")
    assert b"\r\n\r\n" not in await got("endless_head")
    assert len(await got("endless_body")) > 50000


@with_pi
async def test_modes_that_break_off(pi):
    pi.octoprint.mode = "reset"
    with pytest.raises(ConnectionResetError):
        await ask(pi.octoprint.port)
    pi.octoprint.mode = "refused"
    with pytest.raises(ConnectionRefusedError):
        await ask(pi.octoprint.port)
    pi.octoprint.mode = "garbage"
    head, body = await ask(pi.octoprint.port)
    assert not head.startswith(b"HTTP")
    pi.octoprint.mode = "truncated"
    head, body = await ask(pi.octoprint.port)
    assert f"Content-Length: {len(body)}\r\n".encode() not in head
    with pytest.raises(ValueError, match="mode: one of ok, hang"):
        pi.octoprint.mode = "sulking"
    assert pi.octoprint.mode == "truncated"


@with_pi
async def test_a_mode_for_one_path_leaves_the_others_alone(pi):
    pi.octoprint.modes[SHUTDOWN] = "500"
    assert (await asked(pi.octoprint.port, SHUTDOWN, method="POST"))[0] == 500
    assert (await asked(pi.octoprint.port))[0] == 200
    assert pi.state == "up"
    assert pi.octoprint.requests_seen[-2:] == [("POST", SHUTDOWN), ("GET", "/api/printer")]


@with_pi
async def test_versions_differ_as_the_real_ones_do(pi):
    octoprint = pi.octoprint
    octoprint.version = "1.8.7"
    _, body = await ask(octoprint.port)
    assert body.count(b"\n") == 1
    assert (await asked(octoprint.port, SHUTDOWN, key="bad", method="POST"))[0] == 403
    octoprint.version = "1.11.8"
    assert (await asked(octoprint.port, SHUTDOWN, key="bad", method="POST")) == (
        400,
        {"error": "CSRF validation failed"},
    )
    assert (await asked(octoprint.port, key="bad"))[0] == 403
    pi.printer.start(duration_s=100, tool_c=0, bed_c=0)
    await asyncio.sleep(2)
    pi.printer.pause()
    await asyncio.sleep(1)
    flags = (await asked(octoprint.port))[1]["state"]["flags"]
    assert (flags["paused"], flags["printing"]) == (True, False)
    octoprint.version = "2.0.0"
    flags = (await asked(octoprint.port))[1]["state"]["flags"]
    assert (flags["paused"], flags["printing"]) == (True, True)


@with_pi
async def test_a_job_heats_prints_and_cools(pi):
    port = pi.octoprint.port
    pi.printer.start("cube.gcode", duration_s=60, tool_c=200, bed_c=60)
    await asyncio.sleep(10)
    status, answer = await asked(port)
    assert answer["state"]["text"] == "Printing"
    assert not answer["state"]["flags"]["ready"]
    assert 100 < answer["temperature"]["tool0"]["actual"] < 200
    await asyncio.sleep(30)
    job = (await asked(port, "/api/job"))[1]
    assert job["job"]["file"]["name"] == "cube.gcode"
    assert 10 < job["progress"]["completion"] < 70
    await asyncio.sleep(60)
    answer = (await asked(port))[1]
    assert answer["state"]["flags"]["ready"]
    assert answer["temperature"]["tool0"]["target"] == 0
    assert (await asked(port, "/api/job"))[1]["progress"]["completion"] == 100
    await asyncio.sleep(100)
    assert (await asked(port))[1]["temperature"]["tool0"]["actual"] < 50


@with_pi
async def test_a_job_is_paused_resumed_and_cancelled_through_the_api(pi):
    async def do(**body):
        return (await asked(pi.octoprint.port, "/api/job", method="POST", body=body))[0]

    async def text():
        return (await asked(pi.octoprint.port))[1]["state"]["text"]

    assert await do(command="cancel") == 409
    pi.printer.start(duration_s=100, tool_c=0, bed_c=0)
    await asyncio.sleep(1)
    assert await do(command="pause", action="pause") == 204
    assert await text() == "Pausing"
    await asyncio.sleep(1)
    assert await text() == "Paused"
    assert await do(command="pause", action="resume") == 204
    await asyncio.sleep(1)
    assert await text() == "Printing"
    assert await do(command="cancel") == 204
    assert await text() == "Cancelling"
    await asyncio.sleep(1)
    assert await text() == "Operational"
    job = (await asked(pi.octoprint.port, "/api/job"))[1]
    assert job["progress"]["completion"] is None
    assert job["job"]["file"]["name"] == "part.gcode"
    assert await do(command="dance") == 400


@with_pi
async def test_a_transfer_to_the_sd_card_has_no_flag_of_its_own(pi):
    pi.printer.transferring = True
    flags = (await asked(pi.octoprint.port))[1]["state"]["flags"]
    assert (flags["operational"], flags["ready"], flags["printing"]) == (True, False, False)
    assert pi.printer.printing


@with_pi
async def test_the_printer_shows_what_it_is_told(pi):
    path = "/api/printer/command"
    body = {"command": "M117 Poweroff after PRINT"}
    assert (await asked(pi.octoprint.port, path, method="POST", body=body))[0] == 204
    assert pi.printer.displayed == ["Poweroff after PRINT"]
    pi.printer.disconnect()
    assert (await asked(pi.octoprint.port, path, method="POST", body=body))[0] == 409
    body = {"command": "connect"}
    assert (await asked(pi.octoprint.port, "/api/connection", method="POST", body=body))[0] == 204
    assert (await asked(pi.octoprint.port))[0] == 409
    await asyncio.sleep(1.5)
    assert (await asked(pi.octoprint.port))[1]["temperature"] == {}
    await asyncio.sleep(2)
    assert "tool0" in (await asked(pi.octoprint.port))[1]["temperature"]


@with_pi
async def test_keys_have_permissions(pi):
    port = pi.octoprint.port
    assert "SYSTEM" in (await asked(port, "/api/currentuser"))[1]["permissions"]
    assert "SYSTEM" not in (await asked(port, "/api/currentuser", key=WEAK_KEY))[1]["permissions"]
    assert (await asked(port, key=WEAK_KEY))[0] == 200
    assert (await asked(port, SHUTDOWN, key=WEAK_KEY, method="POST"))[0] == 403
    pi.octoprint.accept_key(False)
    assert (await asked(port))[0] == 403
    assert pi.shutdowns == 0


@with_pi
async def test_an_application_key_is_asked_for_and_allowed_once(pi):
    port = pi.octoprint.port
    assert (await asked(port, "/plugin/appkeys/probe", key="")) == (204, None)

    async def request():
        body = {"app": "OctoPlugout"}
        status, answer = await asked(
            port, "/plugin/appkeys/request", key="", method="POST", body=body
        )
        assert status == 201
        return f"/plugin/appkeys/request/{answer['app_token']}"

    path = await request()
    assert (await asked(port, path, key=""))[0] == 202
    assert pi.octoprint.decide(True) == ["OctoPlugout"]
    status, answer = await asked(port, path, key="")
    assert status == 200
    assert (await asked(port, key=answer["api_key"]))[0] == 200
    assert (await asked(port, path, key=""))[0] == 404, "a key is given once"

    path = await request()
    pi.octoprint.decide(False)
    assert (await asked(port, path, key=""))[0] == 404

    path = await request()
    await asyncio.sleep(6)
    assert (await asked(port, path, key=""))[0] == 404, "who does not ask again has gone"


@with_pi
async def test_requests_without_host_or_with_a_broken_length_are_refused(pi):
    for head in (b"GET /api/printer HTTP/1.1\r\n\r\n", b"x\r\n\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", pi.octoprint.port)
        writer.write(head)
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        writer.close()


@with_pi
async def test_one_connection_may_ask_twice(pi):
    reader, writer = await asyncio.open_connection("127.0.0.1", pi.octoprint.port)
    for _ in range(2):
        question = f"GET {QUESTION} HTTP/1.1\r\nHost: x\r\nX-Api-Key: {GOOD_KEY}\r\n\r\n"
        writer.write(question.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
        assert len(await reader.readexactly(length)) == 545
    writer.close()


@pytest.mark.real
async def test_the_stand_in_answers_as_octoprint_does(octoprints):
    octoprint = octoprints("1.11.8", limited=True)
    pi = Pi(loop_time)
    pi.open()
    pi.power(True, booted=True)
    pi.printer.look()
    while not pi.printer.reported or not pi.printer.operational:
        await asyncio.sleep(0.1)
    real = octoprint.port
    key, other = servers.ADMIN_KEY, servers.USER_KEY
    pi.octoprint.keys = {
        key: ("admin", ["ADMIN", "STATUS", "SYSTEM"]),
        other: ("user", ["STATUS"]),
    }
    questions = [
        (QUESTION, key, "GET", None),
        ("/api/printer", key, "GET", None),
        (QUESTION, "bad", "GET", None),
        ("/api/version", key, "GET", None),
        (SHUTDOWN, "bad", "POST", {}),
        (SHUTDOWN, other, "POST", {}),
        ("/api/printer/command", key, "POST", {"command": "M117 hello"}),
        ("/api/currentuser", "bad", "GET", None),
        ("/plugin/appkeys/probe", "", "GET", None),
        ("/plugin/appkeys/request/no-such-token", "", "GET", None),
        ("/api/job", key, "POST", {"command": "cancel"}),
        ("/api/connection", key, "POST", {"command": "disconnect"}),
    ]
    try:
        for path, key_, method, body in questions:
            theirs = await ask(real, path, key_, method, body)
            ours = await ask(pi.octoprint.port, path, key_, method, body)
            assert ours[0].split(b"\r\n")[0] == theirs[0].split(b"\r\n")[0], path
            if path == "/api/job":  # why there is no job to cancel is told in other words
                continue
            assert ours[1] == theirs[1], path
        # Three may ask for a key in a minute, with or without saying who they are
        for app in ({"app": "a"}, {"app": "b", "user": "admin"}, {"app": "c"}, {"app": "d"}):
            said = []
            for port in (real, pi.octoprint.port):
                status, answer = await asked(
                    port, "/plugin/appkeys/request", key="", method="POST", body=app
                )
                token = answer.get("app_token", "-")
                said.append((status, str(answer).replace(token, "").replace(str(port), "")))
                path = "/plugin/appkeys/request/" + token
                said[-1] += ((await ask(port, path, key=""))[1],)
            assert said[0] == said[1], app
        assert status == 429
        await asyncio.sleep(1)
        theirs = await ask(real, key=key)
        ours = await ask(pi.octoprint.port, key=key)
        assert ours[1] == theirs[1]
    finally:
        pi.close()


# --- the Pi's life


async def ways(pi):
    return await knock(pi.octoprint.port), await knock(pi.probe.port)


@pytest.mark.looptime
async def test_a_pi_boots_step_by_step():
    pi = Pi(loop_time)
    pi.boot_s = 100.0
    pi.open()
    assert await ways(pi) == ("silent", "silent")
    pi.power(True)
    await asyncio.sleep(40)
    assert await ways(pi) == ("silent", "silent")
    await asyncio.sleep(20)
    assert await ways(pi) == ("refused", "accepted")
    await asyncio.sleep(27)
    assert (await ask(pi.octoprint.port))[0] == b"Not found"
    await asyncio.sleep(15)
    assert pi.state == "up"
    await asyncio.sleep(3)
    assert (await asked(pi.octoprint.port))[0] == 200
    pi.close()


@with_pi
async def test_a_pi_that_is_shut_down_goes_silent_at_last(pi):
    pi.configure(halt_s=100, sync_s=10)
    assert (await asked(pi.octoprint.port, SHUTDOWN, method="POST")) == (204, None)
    assert (pi.state, pi.shutdowns) == ("halting", 1)
    assert (await asked(pi.octoprint.port))[0] == 200, "it answers for a while"
    await asyncio.sleep(15)
    assert await ask(pi.octoprint.port, seconds=5) == (b"", None), "then hangs"
    await asyncio.sleep(30)
    assert await ways(pi) == ("refused", "accepted")
    await asyncio.sleep(25)
    assert await ways(pi) == ("refused", "refused")
    await asyncio.sleep(17)
    assert await ways(pi) == ("silent", "silent")
    assert pi.state == "syncing"
    await asyncio.sleep(10)
    assert pi.state == "halted"
    assert await ways(pi) == ("silent", "silent")
    pi.power(False)
    assert pi.cuts == []


@with_pi
@pytest.mark.parametrize("before_s", [1, 50, 95])
async def test_a_pi_cut_before_it_has_halted_is_counted(pi, before_s):
    pi.configure(halt_s=100, sync_s=10)
    pi.halt()
    await asyncio.sleep(before_s)
    pi.power(False)
    assert len(pi.cuts) == 1
    assert pi.cuts[0][1] in ("halting", "syncing")
    assert await ways(pi) == ("silent", "silent")


@with_pi
async def test_a_print_that_is_cut_is_counted_as_such(pi):
    pi.printer.start()
    pi.power(False)
    assert [(state, printing) for _, state, printing in pi.cuts] == [("up", True)]
    pi.power(True, booted=True)
    await asyncio.sleep(4)
    assert (await asked(pi.octoprint.port, "/api/job"))[1]["job"]["file"]["name"] is None


@with_pi
@pytest.mark.parametrize(
    ("what", "end"), [("reboot", "up"), ("never", "halting"), ("nothing", "up")]
)
async def test_what_else_may_come_of_a_shutdown(pi, what, end):
    pi.configure(halt_s=20, sync_s=5, down_s=10, boot_s=20, on_shutdown=what)
    assert (await asked(pi.octoprint.port, SHUTDOWN, method="POST"))[0] == 204
    seen = set()
    for _ in range(120):
        await asyncio.sleep(1)
        seen.add(pi.probe.way)
    assert pi.state == end
    assert (SILENT in seen) == (what == "reboot")


@with_pi
async def test_behind_a_proxy_a_dead_octoprint_is_a_503(pi):
    pi.configure(proxy=True)
    pi.kill()
    assert (await ask(pi.octoprint.port))[0].startswith(b"HTTP/1.1 503 ")
    pi.restart()
    await asyncio.sleep(pi.boot_s)
    assert (await asked(pi.octoprint.port, "/api/version"))[0] == 200


@with_pi
async def test_a_pi_without_network_lives_on(pi):
    pi.network = False
    assert await ways(pi) == ("silent", "silent")
    assert pi.state == "up"
    pi.network = True
    assert (await asked(pi.octoprint.port))[0] == 200
    pi.freeze()
    assert await ways(pi) == ("silent", "silent")
    pi.power(False)
    assert pi.cuts[0][1] == "frozen"


@with_pi
async def test_the_relay_is_the_pis_power(pi):
    from simulator.hardware import chip
    from simulator.hardware.silicon import DRIVEN, LATCH

    chip.reset()
    pi.follow(chip)
    assert pi.state == "off"
    chip.set_pin(12, DRIVEN | LATCH)
    assert pi.state == "booting"
    chip.set_pin(12, DRIVEN)
    assert pi.state == "off"
    assert [state for _, state, _ in pi.cuts] == ["up", "booting"]
    chip.reset()


@with_pi
@pytest.mark.parametrize(
    "values",
    [{"halt_s": -1}, {"boot_s": True}, {"sync_s": "2"}, {"on_shutdown": "explode"}, {"x": 1}],
)
async def test_a_wrong_configuration_changes_nothing(pi, values):
    before = pi.down_s, pi.halt_s
    with pytest.raises(ValueError, match=next(iter(values))):
        pi.configure(down_s=77, **values)
    assert (pi.down_s, pi.halt_s) == before


# --- the broker


@pytest.fixture
async def broker():
    broker = Broker()
    await broker.start()
    yield broker
    await broker.stop()
    assert broker.door.errors == []


CONNECT = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x"


async def mqtt(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(CONNECT)
    return reader, writer


async def subscribed(port):
    """A client that hears everything: (topic, payload, retained) one after the other."""
    reader, writer = await mqtt(port)
    assert await reader.readexactly(4) == b"\x20\x02\x00\x00"
    writer.write(b"\x82\x06\x00\x01\x00\x01#\x00")
    assert (await reader.readexactly(5))[:2] == b"\x90\x03"

    async def hear():
        kind, length = await reader.readexactly(2)
        body = await reader.readexactly(length)
        size = int.from_bytes(body[:2], "big")
        return body[2 : 2 + size].decode(), body[2 + size :], bool(kind & 1)

    return hear, writer


async def test_the_broker_keeps_what_is_retained(broker):
    hear, writer = await subscribed(broker.port)
    writer.write(b"\x31\x05\x00\x01ahi")  # retained
    assert await hear() == ("a", b"hi", False)
    assert broker.retained == {"a": b"hi"}
    assert [entry[1:] for entry in broker.log] == [("x", "a", b"hi", True)]
    writer.close()
    hear, writer = await subscribed(broker.port)
    assert await hear() == ("a", b"hi", True)
    await broker.publish("a", b"", retain=True)
    assert broker.retained == {}
    writer.close()


@pytest.mark.parametrize(("keep", "left"), [(False, {}), (True, {"a": b"hi"})])
async def test_a_restarted_broker_breaks_its_connections_and_keeps_its_port(broker, keep, left):
    reader, writer = await mqtt(broker.port)
    await reader.readexactly(4)
    await broker.publish("a", b"hi", retain=True)
    port = broker.port
    await broker.restart(keep)
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    writer.close()
    assert broker.port == port
    assert broker.retained == left
    reader, writer = await mqtt(port)
    assert await reader.readexactly(4) == b"\x20\x02\x00\x00"
    writer.close()


@pytest.mark.parametrize(
    ("mode", "said"),
    [("half", b"\x20\x02"), ("no_entry", b"\x20\x02\x00\x05"), ("hang", b"")],
)
async def test_a_broker_that_goes_wrong(broker, mode, said):
    broker.mode = mode
    reader, writer = await mqtt(broker.port)
    assert await reader.readexactly(len(said)) == said
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await reader.read(1)
    writer.close()


async def test_the_brokers_port_can_be_silent(broker):
    broker.mode = "silent"
    assert await knock(broker.port) == "silent"
    broker.mode = "refused"
    assert await knock(broker.port) == "refused"
    with pytest.raises(ValueError, match="mode: one of ok"):
        broker.mode = "asleep"


# --- the plug's file system


def test_times_are_divided_but_not_below_their_lowest():
    values = flash_module.faster({"poll_s": 1, "min_job_s": 600}, 100)
    assert values["min_job_s"] == 6
    assert values["poll_s"] == 0.2
    assert values["shutdown_wait_s"] == 0.3
    assert "long_press_ms" not in values
    flash_module.check(values)


def test_a_flash_that_was_used_keeps_its_settings(tmp_path):
    flash_module.configure(tmp_path, {"cool_below_c": 40}, {"octoprint_port": 1}, 10)
    first = json.loads((tmp_path / "config.json").read_text())
    assert first["cool_below_c"] == 40
    flash_module.configure(tmp_path, None, {"octoprint_port": 2})
    second = json.loads((tmp_path / "config.json").read_text())
    assert second == first | {"octoprint_port": 2}


@pytest.mark.parametrize("content", ["", "{", "[1]", "\0\1"])
def test_a_broken_config_is_left_for_the_firmware(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    assert flash_module.configure(tmp_path, None, {"octoprint_port": 2}) is None
    assert (tmp_path / "config.json").read_text() == content


def test_settings_are_checked_by_the_firmwares_own_schema():
    flash_module.check({"octoprint_port": 5000})
    with pytest.raises(ValueError, match="octoprint_port: .*1 to 65535"):
        flash_module.check({"octoprint_port": 70000})
    with pytest.raises(ValueError, match="no_such: there is no such setting"):
        flash_module.check({"no_such": 1})


@pytest.mark.parametrize(("text", "size"), [("38k", 38912), ("38K", 38912), ("40000", 40000)])
def test_heap_sizes(text, size):
    assert heap_bytes(text) == size


@pytest.mark.parametrize("text", ["", "k", "8k", "-38k", "38.5k", "20000k", "38m"])
def test_heap_sizes_that_make_no_sense(text):
    with pytest.raises(ValueError, match="heap: .*16k to 16384k"):
        heap_bytes(text)


def test_a_missing_micropython_is_told_and_fails_where_ci_is_true(monkeypatch, tmp_path):
    monkeypatch.setattr(runner_module, "MICROPYTHON", tmp_path / "none")
    monkeypatch.delenv("CI", raising=False)
    assert choose("auto") == "cpython"
    with pytest.raises(RuntimeMissing, match="tools/fetch.py micropython"):
        choose("micropython")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(RuntimeMissing, match="tools/fetch.py micropython"):
        choose("auto")
    assert choose("cpython") == "cpython"


# --- the plug in a process of its own, on a firmware of a few lines

# What it does is written in the file `deed`, and done when the button goes down.
TINY_PLUG = """
class Machine:
    state = "idle"
    reason = "nothing pressed"
    countdown_s = None
class Plug:
    machine = Machine()
current = Plug()
"""

TINY_MAIN = """
import sys
import time
import machine
import network
import plug

def read(name="deed"):
    with open(name) as file:
        return file.read().strip()

def joined():
    station = network.WLAN(network.STA_IF)
    station.active(True)
    station.connect("workshop", "secret")
    while not station.isconnected():
        time.sleep_ms(10)
    return station

def do(deed):
    if deed == "reset":
        machine.RTC().memory(b"kept")
        machine.reset()
    elif deed == "raise":
        raise ValueError("a fault")
    elif deed == "exit":
        machine.soft_reset()
    elif deed == "crash":
        import os
        os.system("kill -9 $PPID")
    elif deed == "watchdog":
        machine.WDT()
        while True:
            pass
    elif deed == "join":
        plug.current.machine.reason = joined().ifconfig()[0]
    elif deed == "scan":
        plug.current.machine.reason = "%d networks" % len(joined().scan())
    elif deed == "send":
        joined()
        import socket
        line = socket.socket()
        line.connect(socket.getaddrinfo("127.0.0.1", int(read("port")))[0][-1])
        line.setblocking(False)
        while True:
            try:
                line.send(b"x")
                machine_.reason = "sent"
            except OSError as error:
                machine_.reason = "errno %d" % error.errno
            button()
            time.sleep_ms(10)
    elif deed == "stall":
        time.sleep_ms(400)

relay = machine.Pin(12, machine.Pin.OUT)
memory = machine.RTC().memory()
machine_ = plug.current.machine
machine_.reason = "cause %d, relay %d, memory %s" % (machine.reset_cause(), relay(), memory)
led = machine.Pin(13, machine.Pin.OUT, value=1)
button = machine.Pin(0, machine.Pin.IN, machine.Pin.PULL_UP)
before = button()
while True:
    now = button()
    if now < before:
        deed = read()
        relay(1)
        led(0)
        machine_.countdown_s = 7
        do(deed)
        machine_.state = "did " + deed
        if deed == "return":
            break
    before = now
    time.sleep_ms(10)
"""

RUNTIMES = [
    "cpython",
    pytest.param("micropython", marks=pytest.mark.real),
]


async def until(true, seconds=20):
    """Wait until it is true; TimeoutError after some time, which only a fault takes."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)


@pytest.fixture(params=RUNTIMES)
async def tiny(request, tmp_path):
    """tiny(deed): a running plug whose firmware does that when the button goes down."""
    if request.param == "micropython":
        request.getfixturevalue("micropython")
    (tmp_path / "main.py").write_text(TINY_MAIN)
    (tmp_path / "plug.py").write_text(TINY_PLUG)
    runner = Runner(tmp_path, request.param, heap_bytes("64k"))

    async def start(deed=""):
        (tmp_path / "deed").write_text(deed)
        if runner.state is None:
            await runner.start()
            await until(lambda: runner.state == "idle")
        return runner

    yield start
    await runner.stop()


async def test_pins_and_state_come_out_and_the_button_goes_in(tiny):
    plug = await tiny("nothing")
    assert plug.chip.driven(12)
    assert not plug.chip.relay
    assert not plug.chip.led
    await plug.hold(100)
    await until(lambda: plug.state == "did nothing")
    assert plug.chip.relay
    assert plug.chip.led
    assert plug.countdown == 7
    assert plug.dead is None
    pressed = [level for _, n, _, level in plug.chip.pin_log if n == 0]
    assert pressed == [0, 1]


@pytest.mark.parametrize("deed", ["return", "raise", "exit"])
async def test_a_main_that_ends_is_a_dead_plug_until_it_is_unplugged(tiny, deed):
    plug = await tiny(deed)
    await plug.hold(50)
    await until(lambda: plug.dead is not None)
    assert plug.chip.relay, "the relay stays as it is"
    assert plug.chip.led, "the LED is frozen"
    log = len(plug.chip.pin_log)
    await plug.hold(300)
    assert {n for _, n, _, _ in plug.chip.pin_log[log:]} == {0}, "the button does nothing"
    assert plug.chip.resets == []
    await plug.power(False)
    assert not plug.chip.relay
    await plug.power(True)
    await until(lambda: plug.state == "idle")
    assert plug.dead is None
    assert plug.reason.startswith("cause 0, relay 0, memory b")


async def test_a_reset_keeps_relay_and_memory_and_names_its_cause(tiny):
    plug = await tiny("reset")
    await plug.hold(50)
    await until(lambda: plug.chip.resets == [4] and plug.state == "idle")
    assert plug.reason == "cause 4, relay 1, memory b'kept'"
    assert [closed for _, closed in plug.chip.relay_log] == [True]


async def test_a_crash_is_an_exception_reset(tiny, monkeypatch):
    monkeypatch.setattr(runner_module, "_CRASH_S", 0.0)
    plug = await tiny("crash")
    await plug.hold(50)
    await until(lambda: plug.chip.resets == [2] and plug.state == "idle")
    assert plug.reason.startswith("cause 2, relay 1")


async def test_an_unfed_watchdog_bites(tiny, monkeypatch):
    monkeypatch.setattr(runner_module, "_BITE_S", 0.3)
    plug = await tiny("watchdog")
    await plug.hold(50)
    await until(lambda: plug.chip.resets == [3] and plug.state == "idle")
    assert plug.reason.startswith("cause 3, relay 1")


async def test_the_hardware_watchdog_lets_go_of_the_relay(tiny):
    plug = await tiny("nothing")
    await plug.hold(50)
    await until(lambda: plug.chip.relay)
    await plug.reset(1)
    await until(lambda: plug.chip.resets == [1] and plug.state == "idle")
    assert plug.reason.startswith("cause 1, relay 0")
    assert [closed for _, closed in plug.chip.relay_log] == [True, False]


@pytest.mark.parametrize(("deed", "reason"), [("join", "127.0.0.1"), ("scan", "6 networks")])
async def test_wifi_goes_in_and_out(tiny, deed, reason):
    plug = await tiny(deed)
    plug.chip.wifi.join_ms = 50
    await plug.hold(50)
    await until(lambda: plug.reason == reason)
    assert plug.chip.wifi.wanted == ("workshop", "secret")
    assert plug.chip.wifi.status() == 5


async def test_without_wifi_the_firmwares_sockets_are_cut_off(tiny, tmp_path):
    got = bytearray()

    async def take(reader, writer):
        while data := await reader.read(100):
            got.extend(data)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    (tmp_path / "port").write_text(str(server.sockets[0].getsockname()[1]))
    plug = await tiny("send")
    await plug.hold(50)
    await until(lambda: plug.reason == "sent")
    plug.chip.wifi.up = False
    await until(lambda: plug.reason == "errno 11")
    await asyncio.sleep(0.05)
    before = len(got)
    await asyncio.sleep(0.2)
    assert len(got) == before > 0
    plug.chip.wifi.up = True
    await until(lambda: plug.reason == "sent" and len(got) > before)
    server.close()


async def test_the_longest_stall_is_measured(tiny):
    plug = await tiny("stall")
    await until(lambda: plug.heap_free is not None)
    plug.measure()
    await plug.hold(50)
    await until(lambda: plug.stall_ms_max >= 400)
    plug.measure()
    assert plug.stall_ms_max == 0


async def test_what_the_virtual_hardware_costs_is_given_on_top_of_the_heap(tiny):
    plug = await tiny()
    if plug.runtime == "cpython":
        assert plug.shim_cost == 0
        return
    assert 2000 < plug.shim_cost < 20000
    await until(lambda: plug.heap_free is not None)
    assert 40 * 1024 < plug.heap_free < 64 * 1024


def test_the_virtual_hardware_is_compiled_from_what_the_tests_use(micropython, tmp_path):
    shims = runner_module.Shims(tmp_path)
    assert {f"{name}.mpy" for name in runner_module.SHIMS} == {p.name for p in tmp_path.iterdir()}
    assert micropython == MICROPYTHON
    assert shims.cost > 0


# --- the control interface


class TinyWorld:
    """A world whose plug runs the firmware of a few lines."""

    def __init__(self, runner, pi, broker):
        self.runner, self.pi, self.broker = runner, pi, broker


@pytest.fixture
async def control(tmp_path):
    """control(method, path, **more) -> (status, JSON); .url, .world"""
    (tmp_path / "main.py").write_text(TINY_MAIN)
    (tmp_path / "plug.py").write_text(TINY_PLUG)
    (tmp_path / "deed").write_text("nothing")
    pi, broker = Pi(loop_time), Broker()
    pi.open()
    await broker.start()
    runner = Runner(tmp_path, "cpython")
    pi.follow(runner.chip)
    await runner.start()
    await until(lambda: runner.state == "idle")
    server = Server(TinyWorld(runner, pi, broker))
    url = f"http://127.0.0.1:{await server.start(0)}"
    async with aiohttp.ClientSession(url) as session:

        async def call(method, path, data=None, **more):
            async with session.request(method, path, data=data, **more) as answer:
                return answer.status, await answer.json()

        call.url, call.world, call.session = url, server.world, session
        yield call
    await server.stop()
    await runner.stop()
    await broker.stop()
    pi.close()


async def test_the_plug_as_the_control_interface_shows_it(control):
    status, plug = await control("GET", "/api/plug")
    assert status == 200
    assert {"state", "relay", "led", "reason", "uptime_ms", "stall_ms_max"} <= plug.keys()
    assert {"heap_free", "resets"} <= plug.keys()
    assert (plug["state"], plug["relay"], plug["led"], plug["resets"]) == ("idle", False, False, 0)


async def test_a_press_is_held_and_its_effect_is_in_the_answer(control):
    status, plug = await control("POST", "/api/plug/button", '{"hold_ms": 60}')
    assert status == 200
    assert (plug["state"], plug["relay"], plug["led"]) == ("did nothing", True, True)
    at = [ms for ms, n, _, _ in control.world.runner.chip.pin_log if n == 0]
    assert at[1] - at[0] >= 60
    status, log = await control("GET", "/api/plug/log")
    assert [entry["closed"] for entry in log["relay"]] == [True]


async def test_a_finger_may_go_down_and_up_by_itself(control):
    assert (await control("POST", "/api/plug/button", '{"down": true}'))[1]["pressed"]
    await until(lambda: control.world.runner.chip.relay)
    assert not (await control("POST", "/api/plug/button", '{"down": false}'))[1]["pressed"]


async def test_mains_and_wifi(control):
    await control("POST", "/api/plug/button", '{"hold_ms": 60}')
    status, plug = await control("POST", "/api/plug/power", '{"on": false}')
    assert (status, plug["power"], plug["relay"], plug["state"]) == (200, False, False, None)
    assert plug["cuts"] == 1, "the Pi was booting"
    status, answer = await control("POST", "/api/plug/button", '{"hold_ms": 60}')
    assert (status, answer["error"]) == (400, "hold_ms: the plug has no power")
    status, plug = await control("POST", "/api/plug/power", '{"on": true}')
    assert plug["power"]
    status, plug = await control("POST", "/api/plug/wifi", '{"up": false}')
    assert (status, plug["wifi"]["up"]) == (200, False)


async def test_the_air_can_be_told_what_to_do(control):
    data = '{"air": "hostile", "network": "workshop", "join": "no address"}'
    assert (await control("POST", "/api/plug/wifi", data))[0] == 200
    status, air = await control("GET", "/api/plug/wifi")
    assert b"%s %d %n".hex() in "".join(found["hex"] for found in air["networks"])
    assert air["joins"] == {"workshop": "no address"}
    data = '{"network": "workshop", "join": "ok", "password": "filament"}'
    await control("POST", "/api/plug/wifi", data)
    assert control.world.runner.chip.wifi.outcome("workshop", "filament") == 5
    assert control.world.runner.chip.wifi.outcome("workshop", "other") == 2
    status, air = await control("GET", "/api/plug/wifi")
    assert (air["joins"], air["passwords"]) == ({}, {"workshop": "filament"})
    assert air["access_point"] == {
        "active": True,
        "name": "MicroPython-8a12ab",
        "password": "micropythoN",
        "authmode": 3,
    }


async def test_the_portal_as_the_control_interface_shows_it(control):
    status, portal = await control("GET", "/api/portal")
    assert (status, portal["open"]) == (200, False)
    assert portal["why_not"].startswith("The portal is closed. Hold the plug's button")
    assert portal["enter"]["WiFi"] == "workshop, password filament"


async def test_the_printer_and_its_pi_can_be_told_what_to_do(control):
    assert (await control("POST", "/api/printer", '{"mode": "hang"}'))[1]["mode"] == "hang"
    data = json.dumps({"mode": "500", "path": SHUTDOWN})
    assert (await control("POST", "/api/printer", data))[1]["modes"][SHUTDOWN] == "500"
    status, answer = await control("POST", "/api/printer", '{"do": "start"}')
    assert (status, answer["error"]) == (400, "do: printer is not operational")
    data = '{"halt_s": 3, "on_shutdown": "never", "network": false}'
    status, pi = await control("POST", "/api/pi", data)
    assert (pi["halt_s"], pi["on_shutdown"], pi["network"]) == (3, "never", False)
    status, answer = await control("POST", "/api/pi", '{"do": "halt"}')
    assert (status, answer["error"]) == (400, "do: the Pi is off")
    status, answer = await control("GET", "/api/printer")
    assert set(answer["known_modes"]) == set(MODES)


async def test_messages_can_be_sent_and_read(control):
    data = '{"publish": "a/b", "payload": "ON", "retain": true}'
    assert (await control("POST", "/api/mqtt", data))[0] == 200
    status, answer = await control("GET", "/api/mqtt")
    assert answer["retained"] == {"a/b": "ON"}
    assert answer["log"][0]["topic"] == "a/b"
    assert (await control("POST", "/api/mqtt", '{"mode": "refused"}'))[1]["mode"] == "refused"
    assert (await control("POST", "/api/mqtt", '{"do": "restart"}'))[0] == 200
    assert (await control("GET", "/api/mqtt"))[1]["retained"] == {}


@pytest.mark.parametrize(
    ("path", "data", "field", "limits"),
    [
        ("/api/plug/button", "{}", "hold_ms", "a whole number from 1 to 60000"),
        ("/api/plug/button", '{"hold_ms": 0}', "hold_ms", "from 1 to 60000"),
        ("/api/plug/button", '{"hold_ms": 60001}', "hold_ms", "from 1 to 60000"),
        ("/api/plug/button", '{"hold_ms": 1.5}', "hold_ms", "a whole number"),
        ("/api/plug/button", '{"hold_ms": true}', "hold_ms", "a whole number"),
        ("/api/plug/button", '{"hold_ms": "200"}', "hold_ms", "a whole number"),
        ("/api/plug/button", '{"hold_ms": 1e999}', "hold_ms", "a whole number"),
        ("/api/plug/button", '{"hold_ms": NaN}', "hold_ms", "a whole number"),
        ("/api/plug/button", '{"down": 1}', "down", "true or false"),
        ("/api/plug/button", '{"hold": 200}', "hold", "unknown; there are hold_ms, down"),
        ("/api/plug/button", "hold", "body", "JSON"),
        ("/api/plug/button", b"\xff\xfe", "body", "JSON"),
        ("/api/plug/button", "[" * 50000, "body", "JSON"),
        ("/api/plug/button", "[200]", "body", "a JSON object"),
        ("/api/plug/wifi", '{"up": "no"}', "up", "true or false"),
        ("/api/plug/wifi", "{}", "up", "true or false"),
        ("/api/plug/wifi", '{"air": "thin"}', "air", "one of plain, hostile, nothing"),
        ("/api/plug/wifi", '{"network": ""}', "network", "1 to 32 bytes"),
        ("/api/plug/wifi", '{"network": "x"}', "network", "goes with join or password"),
        ("/api/plug/wifi", '{"network": "x", "join": "maybe"}', "join", "one of ok, wrong"),
        ("/api/plug/wifi", '{"up": true, "join": "ok"}', "network", "which one"),
        ("/api/plug/power", "{}", "on", "true or false"),
        ("/api/plug/reset", '{"cause": 5}', "cause", "0 power-on, 1 hardware watchdog"),
        ("/api/plug/reset", '{"cause": [1]}', "cause", "0 power-on"),
        ("/api/plug/reset", '{"cause": true}', "cause", "0 power-on"),
        ("/api/plug/stall", '{"x": 1}', "x", "unknown; there are none"),
        ("/api/printer", '{"mode": "sulking"}', "mode", "one of ok, hang"),
        ("/api/printer", '{"mode": ["ok"]}', "mode", "one of ok, hang"),
        ("/api/printer", '{"path": "/api"}', "path", "goes with mode"),
        ("/api/printer", '{"do": "dance"}', "do", "one of start, pause"),
        ("/api/printer", '{"do": {}}', "do", "one of start, pause"),
        ("/api/printer", '{"do": "start", "tool_c": 900}', "tool_c", "from 0 to 400"),
        ("/api/printer", '{"do": "start", "name": 5}', "name", "text"),
        ("/api/printer", '{"tool_c": 200}', "do", '"start" goes with'),
        ("/api/printer", '{"version": "new"}', "version", "1.11.8"),
        ("/api/printer", '{"appkey": "maybe"}', "appkey", "one of allow, deny"),
        ("/api/pi", '{"boot_s": -1}', "boot_s", "a number from 0 to 3600"),
        ("/api/pi", '{"halt_s": null}', "halt_s", "a number from 0 to 3600"),
        ("/api/pi", '{"fan": 1}', "fan", "unknown; there are boot_s"),
        ("/api/pi", '{"do": "explode"}', "do", "one of halt, reboot"),
        ("/api/mqtt", '{"mode": "x"}', "mode", "one of ok, hang"),
        ("/api/mqtt", '{"publish": "a/#"}', "publish", "a topic of 1 to 1000"),
        ("/api/mqtt", '{"publish": "a", "payload": 5}', "payload", "text"),
        ("/api/mqtt", '{"do": "stop"}', "do", "one of restart"),
    ],
)
async def test_wrong_input_is_named_and_changes_nothing(control, path, data, field, limits):
    before = len(control.world.runner.chip.pin_log), control.world.pi.boot_s
    status, answer = await control("POST", path, data)
    assert status == 400
    assert answer["field"] == field
    assert answer["error"].startswith(f"{field}: ")
    assert limits in answer["error"]
    assert (len(control.world.runner.chip.pin_log), control.world.pi.boot_s) == before
    assert control.world.pi.octoprint.mode == control.world.broker.mode == "ok"


async def test_what_is_not_there_and_what_is_too_large_is_json_too(control):
    assert (await control("GET", "/api/no_such"))[0] == 404
    assert (await control("GET", "/api/plug/button"))[0] == 405
    status, answer = await control("POST", "/api/plug/button", b"x" * 100000)
    assert status == 413
    assert answer["error"]


async def test_a_page_from_elsewhere_may_not_press_the_button(control):
    for origin, expected in (("http://evil.example", 403), (control.url, 200)):
        data = '{"down": false}'
        headers = {"Origin": origin}
        status, _ = await control("POST", "/api/plug/button", data, headers=headers)
        assert status == expected


async def test_every_pin_change_is_an_event_with_its_time(control):
    async with control.session.get("/api/events") as answer:
        assert answer.content_type == "text/event-stream"

        async def event(kind):
            while True:
                block = await answer.content.readuntil(b"\n\n")
                name, data = block.decode().strip().split("\n")
                if name == f"event: {kind}":
                    return json.loads(data.removeprefix("data: "))

        assert (await event("plug"))["state"] == "idle"
        await control("POST", "/api/plug/button", '{"hold_ms": 60}')
        pins = [await event("pin") for _ in range(4)]
        assert [pin["pin"] for pin in pins] == [0, 12, 13, 0]
        assert pins[0]["ms"] <= pins[1]["ms"] <= pins[3]["ms"]
        assert (await event("printer"))["pi"]["state"] == "booting"


async def test_the_page_is_there(control):
    async with control.session.get("/") as answer:
        assert answer.status == 200
        text = await answer.text()
    assert "/api/events" in text
    assert "http://" not in text, "no assets from elsewhere"


@pytest.mark.real
async def test_the_button_on_the_page_is_the_plugs(control, page):
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    await page.goto(control.url)
    await page.wait_for_selector("dd:has-text('cause 0')")
    box = await page.locator("#button").bounding_box()
    await page.mouse.move(box["x"] + 20, box["y"] + 20)
    await page.mouse.down()
    await page.wait_for_selector("#relay.on")
    await page.wait_for_selector("#led.on")
    assert control.world.runner.chip.pressed
    await page.mouse.up()
    await page.wait_for_selector("dd:has-text('did nothing')")
    await until(lambda: not control.world.runner.chip.pressed)
    await page.click("button:has-text('cancel')")
    await page.wait_for_selector("text=do: printer is Offline")
    await page.select_option("#mode", "hang")
    await until(lambda: control.world.pi.octoprint.mode == "hang")
    assert errors == []


# --- the command line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speed": 0.5}, "--speed: a number from 1 to 1000"),
        ({"runtime": "pypy"}, "--runtime: one of auto, micropython, cpython"),
        ({"octoprint": "http://127.0.0.1:5000"}, "--api-key: needed with --octoprint"),
        ({"octoprint": "https://x", "api_key": "K"}, "--octoprint: HOST:PORT or http"),
        ({"octoprint": "http://x:99999", "api_key": "K"}, "port from 1 to 65535"),
        ({"octoprint": "http://x/octo", "api_key": "K"}, "--octoprint: no path"),
        ({"mqtt": "http://"}, "--mqtt: HOST:PORT"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        Options(**options)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("octopi.local", ("octopi.local", 80)),
        ("10.0.0.5:5000", ("10.0.0.5", 5000)),
        ("http://octopi.local:8080/", ("octopi.local", 8080)),
    ],
)
def test_addresses(text, found):
    assert address("--octoprint", text, 80) == found


def simulate(*options, **more):
    command = [sys.executable, "-m", "simulator", *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, **pipes, **more)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--heap", "8k"], "heap: bytes, or KB as in 38k"),
        (["--port", "70000"], "less than or equal to 65535"),
        (["--config", "/no/such/file"], "--config: /no/such/file: No such file"),
        (["--flash", "/dev/null"], "--flash: /dev/null is not a directory"),
        (["--speed", "0"], "--speed: a number from 1 to 1000"),
    ],
)
def test_the_program_says_what_is_wrong_and_starts_nothing(options, message):
    process = simulate("--headless", *options)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert out == ""
    assert message in err.replace("\n", " ")
    assert "Traceback" not in err


@pytest.mark.parametrize("content", ["[]", "{", "\xff"])
def test_a_config_that_is_no_json_object_is_refused(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_text(content, encoding="latin-1")
    process = simulate("--headless", "--config", str(path))
    out, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert str(path) in err
    assert "Traceback" not in err


def children(pid):
    """The process ids of what that process started and its children."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == pid:
                found += [int(entry.name), *children(int(entry.name))]
    return found


def alive(pid):
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_behind(tmp_path, how):
    (tmp_path / "main.py").write_text(TINY_MAIN)
    (tmp_path / "plug.py").write_text(TINY_PLUG)
    flash = ("--flash", str(tmp_path), "--runtime", "cpython")
    process = simulate("--headless", "--port", "0", *flash)
    url = process.stdout.readline().strip()
    assert url.startswith("http://127.0.0.1:")
    assert process.stdout.readline().endswith(" is the plug's portal while it is open\n")
    started = children(process.pid)
    assert started
    process.send_signal(how)
    out, err = process.communicate(timeout=30)
    assert process.returncode == (-9 if how == signal.SIGKILL else 0)
    assert (out, err) == ("", "")
    for _ in range(500):
        if not any(alive(pid) for pid in started):
            return
        time.sleep(0.01)
    raise AssertionError("the firmware's process lives on")


def test_a_port_that_is_taken_is_named(tmp_path):
    (tmp_path / "main.py").write_text(TINY_MAIN)
    (tmp_path / "plug.py").write_text(TINY_PLUG)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        flash = ("--flash", str(tmp_path), "--runtime", "cpython")
        process = simulate("--headless", "--port", str(port), *flash)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err.startswith(f"--port: {port}: ")
    assert "Traceback" not in err


def test_without_micropython_ci_gets_a_failure_that_says_what_to_install(tmp_path):
    code = (
        "import sys, typer, pathlib, simulator.runner as r\n"
        "r.MICROPYTHON = pathlib.Path('/no')\n"
        "from simulator.__main__ import main\n"
        "sys.argv[1:] = ['--headless', '--port', '0']; typer.run(main)\n"
    )
    environment = {**os.environ, "CI": "true"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "MicroPython (i386) is missing: run tools/fetch.py micropython" in done.stderr
    assert "Traceback" not in done.stderr


# --- the real firmware


@pytest.fixture(params=RUNTIMES)
async def world(request):
    """The whole simulator on the real firmware, 50 times as fast."""
    if request.param == "micropython":
        request.getfixturevalue("micropython")
    world = World(Options(runtime=request.param, speed=50.0))
    await world.start()
    yield world
    await world.stop()


@pytest.mark.real
async def test_a_short_press_changes_the_state(world):
    plug = world.runner
    assert plug.state == "Waiting_for_print_activity"
    assert plug.chip.relay
    await plug.hold(200)
    await until(lambda: plug.state == "Switched_ON")
    assert plug.chip.resets == []
    assert plug.dead is None


@pytest.mark.real
@pytest.mark.slow
async def test_after_the_job_the_pi_is_shut_down_and_then_the_power_goes_off(world):
    plug, pi = world.runner, world.pi
    seen = []
    plug.listeners.append(lambda told: seen.append(told.get("state")))
    await until(lambda: plug.state == "Waiting_for_print_activity_connected", 30)
    pi.printer.start("cube.gcode", duration_s=400, tool_c=210, bed_c=60)
    await until(lambda: plug.state == "print_started", 30)
    await until(lambda: plug.state == "ready_for_shutting_down", 60)
    await until(lambda: plug.state == "Relay_off", 120)
    assert not plug.chip.relay
    assert pi.cuts == [], "the Pi had halted"
    assert pi.shutdowns == 1
    assert "delayed_powering_relay_off" in seen
    root = next(topic for topic in world.broker.retained if topic.endswith("/plugstate"))
    await until(lambda: world.broker.retained[root] == b"Relay_off")
