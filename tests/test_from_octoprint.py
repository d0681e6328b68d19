"""OFF sent from inside OctoPrint, by the lines of docs/octoprint.md, pasted as they stand there.

A real OctoPrint with a virtual printer, Debian's mosquitto_pub, and a real broker with a password.
At the end a plug as well: the firmware on MicroPython, which obeys.
"""

import json
import re
from pathlib import Path

import pytest

import conftest
import fetch
import servers
from e2e import ARMED, CONNECTED, COUNTDOWN, OFF, STARTED, Plug
from servers import wait_until

pytestmark = pytest.mark.real

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = (DOCS / "octoprint.md").read_text(encoding="utf-8")
PLUG_IN = DOCS / "octoprint_plug.py"
ROOT = "octoplugout/ab128a"
SWITCH = f"{ROOT}/switch"
SENT_ONCE = [(SWITCH, "OFF", False)]
MENU = "/api/system/commands/custom/plugoff"
PAUSES = ["G4 P200"] * 75  # 15 s, unless cancelled

both = pytest.mark.parametrize("started", ["1.11.8", "2.0.0rc7"], indirect=True, scope="module")


def block(first):
    """The page's indented block that begins with that line, as one would paste it."""
    found = re.search(rf"(?m)^    {re.escape(first)}\n(?:    .*\n)*", PAGE)
    assert found, first
    return re.sub(r"(?m)^    ", "", found[0])


def log(server):
    return (server.folder / "logs/octoprint.log").read_text(errors="replace")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The home of the user that OctoPrint runs as: mosquitto_pub looks for its options there."""
    if not servers.program("mosquitto_pub"):
        conftest.lacking("mosquitto_pub", "install it (Debian: apt-get install mosquitto-clients)")
    folder = tmp_path_factory.mktemp("home")
    (folder / ".config").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        patch.delenv("XDG_CONFIG_HOME", raising=False)
        yield folder


def serve(version, folder, *blocks):
    """An OctoPrint with the plug-in, and with these blocks of the page in its config.yaml."""
    program = fetch.CACHE / f"octoprint-{version}/bin/octoprint"
    if not program.exists():
        conftest.lacking(f"OctoPrint {version}", "run .venv/bin/python tools/fetch.py octoprints")
    server = servers.OctoPrint(program, folder)
    config = folder / "config.yaml"
    # Each value stays JSON, which is YAML; the page's lines stand below them as they are
    lines = [
        f"{name}: {json.dumps(value)}" for name, value in json.loads(config.read_text()).items()
    ]
    config.write_text("\n".join([*lines, *blocks]))
    (folder / "plugins").mkdir()
    (folder / "plugins" / PLUG_IN.name).write_bytes(PLUG_IN.read_bytes())
    return server


@pytest.fixture(scope="module")
def started(request, home, tmp_path_factory):
    """An OctoPrint of the version given with all that the page describes."""
    folder = tmp_path_factory.mktemp("octoprint")
    server = serve(request.param, folder, block("system:"), block("events:"))
    try:
        yield server.start()
    finally:
        server.resume()
        server.kill()


@pytest.fixture
def broker(home, mosquitto_locked):
    """A broker with a password, named in the user's file as the page says."""
    options = block("-h broker.local").replace("broker.local", mosquitto_locked.address)
    options = options.replace("octoprint", "plug").replace("secret", "secret word")
    (home / ".config/mosquitto_pub").write_text(f"{options}-p {mosquitto_locked.port}\n")
    return mosquitto_locked


@pytest.fixture
def server(started, broker):
    started.renew()
    return started


@pytest.fixture
def watcher(broker):
    with broker.client() as client:
        yield client


def test_every_way_runs_what_the_page_tells_to_try_first():
    shown = re.search(r"(?m)^    (mosquitto_pub .*)$", PAGE)
    assert shown and PAGE.count(f"command: timeout 5 {shown[1]}\n") == 3
    assert " -r" not in shown[1] and SWITCH in shown[1]


@both
def test_the_menu_command_sends_off_which_the_broker_does_not_keep(server, watcher, broker):
    status, listed = server.call("GET", "/api/system/commands/custom")
    assert status == 200 and [one["name"] for one in listed] == ["Off after this job"]
    assert "all is cool" in listed[0]["confirm"]
    assert server.call("POST", MENU, {}, key=server.user_key)[0] == 403
    assert server.call("POST", MENU, {})[0] == 204
    watcher.wait(SWITCH, "OFF")
    assert watcher.messages == SENT_ONCE
    with broker.client() as late:
        late.publish("after", "that")
        late.wait("after")
        assert SWITCH not in late.latest


@both
def test_the_menu_command_fails_when_the_broker_does_not_answer(server, broker):
    broker.hang()
    assert server.call("POST", MENU, {}, timeout=60)[0] == 500
    broker.kill()
    status, said = server.call("POST", MENU, {}, timeout=60)
    assert status == 500 and "Connection refused" in json.dumps(said)
    assert server.flags()["ready"]


@both
def test_a_job_printed_to_its_end_sends_off_and_a_cancelled_one_does_not(server, watcher):
    server.print("G4 P200", wait=False)
    watcher.wait(SWITCH, "OFF")
    server.wait_flag("ready")
    server.print(*PAUSES)
    server.cancel()
    server.wait_flag("ready")
    server.do("/api/printer/command", command="@PLUG PERMON")  # comes after what the job sent
    watcher.wait(SWITCH, "PERMON")
    assert watcher.messages == [*SENT_ONCE, (SWITCH, "PERMON", False)]


@both
def test_m81_in_a_job_sends_off(server, watcher):
    server.print("M81", *PAUSES)
    watcher.wait(SWITCH, "OFF")
    assert server.flags()["printing"]
    server.cancel()
    server.wait_flag("ready")
    assert watcher.messages == SENT_ONCE


@both
def test_at_plug_in_a_job_sends_off_and_the_printer_never_sees_it(server, watcher):
    server.print("M117 before", "@PLUG OFF", "M117 after", *PAUSES)
    watcher.wait(SWITCH, "OFF")
    wait_until(lambda: "after" in server.shown(), "the line after it")
    assert server.flags()["printing"]
    server.cancel()
    server.wait_flag("ready")
    assert watcher.messages == SENT_ONCE
    serial = (server.folder / "logs/plugin_virtual_printer_serial.log").read_text(errors="replace")
    assert "M117 before" in serial and "PLUG" not in serial.upper()


@both
def test_at_plug_typed_into_the_terminal_takes_words_in_any_case_but_not_forceoff(server, watcher):
    for line in ("@PLUG FORCEOFF", "@PLUG", "@PLUGOFF", "@plug permon"):
        server.do("/api/printer/command", command=line)
    watcher.wait(SWITCH, "PERMON")
    assert "not sent: 'FORCEOFF'" in log(server) and "not sent: ''" in log(server)
    assert watcher.messages == [(SWITCH, "PERMON", False)]


@both
def test_at_plug_without_a_broker_is_logged_and_the_job_goes_on(server, broker):
    broker.kill()
    server.print("@PLUG OFF", *PAUSES[:5], wait=False)
    wait_until(lambda: "could not send OFF" in log(server), "the failure to be logged")
    server.wait_flag("ready")
    assert server.call("GET", "/api/job")[1]["progress"]["completion"] == 100


@pytest.mark.slow
def test_a_short_cold_job_with_at_plug_off_arms_the_plug_and_ends_with_the_power_off(
    micropython, flash, home, broker, watcher, tmp_path
):
    server = serve("1.11.8", tmp_path / "octoprint")
    parts = [server.start()]
    try:
        pi = servers.Pi(server, halt_s=1.0)
        parts.append(pi)
        judged = {"min_job_s": 300, "hot_above_c": 175}  # by itself it would let such a job pass
        login = {"mqtt_user": broker.user, "mqtt_password": broker.password}
        settings = judged | login | {"mqtt_topic": ROOT}
        plug = Plug(flash, tmp_path / "flash", pi, broker, **settings)
        parts.append(plug)
        plug.reach(CONNECTED)
        server.print(*PAUSES[:10])
        plug.reach(STARTED)
        plug.reach(CONNECTED)  # over, and nothing comes of it
        plug.now()
        assert ARMED not in plug.states

        server.print("@PLUG OFF", *PAUSES)
        plug.reach(ARMED)
        watcher.wait(f"{ROOT}/plugstate", ARMED)
        watcher.wait(SWITCH, "-")
        assert server.flags()["printing"] and not server.shutdown_asked
        plug.reach(COUNTDOWN)
        assert server.shutdown_asked == 1
        plug.reach(OFF)
        assert not plug.relay and plug.switched_off == 1 and not pi.cut_alive, plug.story()
        assert [text for topic, text, _ in watcher.messages if topic == SWITCH] == ["OFF", "-"]
    finally:
        for part in reversed(parts[1:]):
            part.close()
        server.kill()
