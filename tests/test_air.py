"""The air around the virtual plug: access point, scans, joins that fail, ports, the house's hosts.

What the firmware meets there is played on the chip of this process, and once more by a few lines
of firmware in a process of its own, on both Pythons.
"""

import asyncio
import json
import socket

import aiohttp
import pytest
from yarl import URL

import names
import network
from simulator import flash as flash_module
from simulator import lan
from simulator.door import OPEN, SILENT, Door
from simulator.hardware import air, chip, silicon
from simulator.hardware.virtual import (
    STAT_CONNECT_FAIL,
    STAT_CONNECTING,
    STAT_GOT_IP,
    STAT_NO_AP_FOUND,
    STAT_WRONG_PASSWORD,
    Chip,
)
from simulator.phone import Phone
from simulator.runner import Runner
from simulator.world import Options, World


@pytest.fixture(autouse=True)
def new_chip():
    chip.reset()
    yield
    chip.reset()


@pytest.fixture
def house():
    """The chip's WiFi in the house of lan.py."""
    lan.on_the_air(chip.wifi)
    network.WLAN(network.STA_IF).active(True)
    return chip.wifi


async def until(true, seconds=20):
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)


def status(name, password=""):
    station = network.WLAN(network.STA_IF)
    station.connect(name, password)
    return station.status()


# --- the access point


def test_the_access_point_is_what_it_was_set_to():
    point = network.WLAN(network.AP_IF)
    assert chip.wifi.point == ("MicroPython-8a12ab", "micropythoN", 3)
    point.config(essid="SetupOctoPlugout", password="kz4m9xw2", authmode=3)
    assert chip.wifi.point == ("SetupOctoPlugout", "kz4m9xw2", 3)
    assert (point.config("ssid"), point.config("authmode")) == ("SetupOctoPlugout", 3)
    point.config(authmode=0)
    assert chip.wifi.point[2] == 0
    assert point.ifconfig()[0] == "192.168.4.1"


@pytest.mark.parametrize(
    "values", [{"password": "short"}, {"essid": ""}, {"essid": "x" * 33}, {"password": "x" * 65}]
)
def test_the_sdk_refuses_what_no_phone_could_join(values):
    before = chip.wifi.point
    with pytest.raises(OSError, match="can't set AP config"):
        network.WLAN(network.AP_IF).config(**values)
    assert chip.wifi.point == before


def test_an_access_point_that_is_off_takes_no_configuration():
    point = network.WLAN(network.AP_IF)
    point.active(False)
    with pytest.raises(OSError, match="can't set AP config"):
        point.config(essid="SetupOctoPlugout")


def test_only_the_station_joins_and_leaves(house):
    assert status(lan.NAME, lan.PASSWORD) == STAT_GOT_IP
    with pytest.raises(OSError, match="STA required"):
        network.WLAN(network.AP_IF).disconnect()
    assert network.WLAN(network.STA_IF).isconnected()


# --- joining


@pytest.mark.parametrize(
    ("name", "password", "end"),
    [
        ("workshop", "filament", STAT_GOT_IP),
        ("workshop", "Filament", STAT_WRONG_PASSWORD),
        ("workshop", "", STAT_WRONG_PASSWORD),
        ("attic", "filament", STAT_GOT_IP),
        ("FRITZ!Box 7590", "filament", STAT_WRONG_PASSWORD),
        ("<script>alert('&\"')</script>", "", STAT_GOT_IP),
        ("telephone", "filament", STAT_NO_AP_FOUND),
        ("no such network", "filament", STAT_NO_AP_FOUND),
        ("garage", "filament", STAT_CONNECT_FAIL),
        ("guests", "filament", STAT_CONNECTING),
    ],
)
def test_joining_comes_to_what_the_house_has_in_store(house, name, password, end):
    assert status(name, password) == end


@pytest.mark.looptime
async def test_a_failure_takes_as_long_as_joining_and_an_address_may_never_come(house):
    house.join_ms = 2000
    assert status("workshop", "wrong one") == STAT_CONNECTING
    await asyncio.sleep(2)
    assert network.WLAN(network.STA_IF).status() == STAT_WRONG_PASSWORD
    status("guests", "filament")
    await asyncio.sleep(3600)
    assert network.WLAN(network.STA_IF).status() == STAT_CONNECTING


def test_the_scan_tells_neither_hidden_names_nor_the_truth_about_hostile_ones(house):
    house.networks = list(lan.AIRS["hostile"])
    found = [name for name, *_ in network.WLAN(network.STA_IF).scan()]
    assert lan.HIDDEN.encode() not in found
    assert set(lan.HOSTILE) <= set(found)
    assert all(len(name) <= 32 for name in found)
    assert {len(name) for name in found} >= {0, 32}


# --- ports


def test_a_low_port_is_a_free_one_of_this_pc_and_stays_the_same(house):
    opened = []
    for _ in range(2):
        line = air.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        line.bind(("0.0.0.0", 80))
        line.listen(1)
        assert chip.serving == {("tcp", 80)}
        opened.append(line._socket.getsockname())
        line.close()
        assert chip.serving == set()
    assert opened == [("127.0.0.1", chip.ports["tcp", 80])] * 2
    assert chip.ports["tcp", 80] > 1024


def test_tcp_and_udp_have_ports_of_their_own():
    fresh = Chip(lambda: 0)
    for kind in ("tcp", "udp"):
        fresh.bound(kind, 53)
        fresh.opened(kind, 53)
    assert fresh.ports.keys() == fresh.serving
    assert fresh.serving == {("tcp", 53), ("udp", 53)}


def test_what_the_plug_serves_is_reached_through_either_network_and_else_not(house):
    server = air.socket()
    server.bind(("0.0.0.0", 80))
    server.listen(1)
    server.setblocking(False)
    network.WLAN(network.AP_IF).active(True)
    browser = socket.create_connection(server._socket.getsockname())
    line, _ = server.accept()
    line.setblocking(False)
    browser.send(b"hello")
    network.WLAN(network.AP_IF).active(False)
    for cut_off in (lambda: line.recv(9), lambda: line.send(b"x"), server.accept):
        with pytest.raises(OSError) as error:
            cut_off()
        assert error.value.errno == 11
    assert status(lan.NAME, lan.PASSWORD) == STAT_GOT_IP
    assert line.recv(9) == b"hello"
    with pytest.raises(OSError) as error:
        server.accept()  # nobody is there
    assert error.value.errno == 11
    for part in (browser, line, server):
        part.close()


# --- the house's hosts


@pytest.fixture
async def hosts(house, monkeypatch):
    """hosts(address, port) -> who answers; the OctoPrint of the house says "octoprint"."""

    async def greet(reader, writer):
        writer.write(b"octoprint")
        await writer.drain()

    pi, nobody, resolver = Door(greet), Door(None), lan.Resolver(lan.NAMES)
    pi.open(OPEN)
    nobody.open(SILENT)
    await resolver.start()
    table = {(lan.PI, 80): pi.port, (lan.ROUTER, 53): resolver.port, lan.MDNS: resolver.port}
    monkeypatch.setattr(silicon, "routes", lan.routes(table, nobody.port))
    monkeypatch.setattr(names, "socket", air)
    status(lan.NAME, lan.PASSWORD)

    async def ask(address, port):
        line = air.socket()
        line.setblocking(False)
        try:
            line.connect((address, port))
        except BlockingIOError:
            pass
        try:
            return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(line._socket, 9), 1)
        except TimeoutError:
            return "silent"
        finally:
            line.close()

    ask.asked = resolver.asked
    yield ask
    resolver.stop()
    pi.close()
    nobody.close()


async def test_the_pi_is_at_its_address_and_everybody_else_is_silent(hosts):
    assert await hosts(lan.PI, 80) == b"octoprint"
    assert await hosts(lan.PI, 81) == "silent"
    assert await hosts("192.168.1.99", 80) == "silent"
    assert await hosts("93.184.216.34", 80) == "silent", "nothing leaves this PC"


@pytest.mark.parametrize("name", ["octopi.local", "OctoPi", "broker", "broker.local"])
async def test_the_houses_names_are_known(hosts, name):
    wanted = lan.BROKER if "broker" in name else lan.PI
    assert await names.resolve(name, lan.ROUTER) == wanted
    assert hosts.asked == [name.lower()]


async def test_another_name_is_not_found(hosts):
    with pytest.raises(OSError, match="name not found"):
        await names.resolve("octopi.example", lan.ROUTER)
    with pytest.raises(OSError, match="name not found"):
        await names.resolve("nobody.local", lan.ROUTER, ms=300)


@pytest.mark.parametrize("cut", range(0, 30, 3))
async def test_the_resolver_survives_broken_questions(cut):
    question = b"\x12\x34\1\0\0\1\0\0\0\0\0\0\6octopi\5local\0\0\1\0\1"
    resolver = lan.Resolver(lan.NAMES)
    assert resolver._answer(question).endswith(socket.inet_aton(lan.PI))
    assert resolver._answer(question[:cut]) is None
    other = question[:-4] + b"\0\x1c\0\1"  # AAAA: the name is there, such an address is not
    assert resolver._answer(other)[2:8] == b"\x81\x80\0\1\0\0"


# --- firmware in a process of its own

PLUG = """
class Machine:
    state, reason, countdown_s = "idle", "", None
class Plug:
    machine = Machine()
current = Plug()
"""

# Opens its access point, both ports, and says what it was asked, until the button goes down.
MAIN = """
import time
import machine
import network
import socket
import plug

station = network.WLAN(network.STA_IF)
station.active(True)
print(len(station.scan()), "found")
point = network.WLAN(network.AP_IF)
point.active(True)
point.config(essid="SetupOctoPlugout", authmode=0)
button = machine.Pin(0, machine.Pin.IN, machine.Pin.PULL_UP)

web = socket.socket()
web.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
web.bind(socket.getaddrinfo("0.0.0.0", 80)[0][-1])
web.listen(1)
web.setblocking(False)
dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
dns.bind(socket.getaddrinfo("0.0.0.0", 53)[0][-1])
dns.setblocking(False)
plug.current.machine.state = "open"

HEAD = "HTTP/1.0 302 Found\\r\\nLocation: http://192.168.4.1/wifi\\r\\n"
HEAD += "Content-Type: text/html\\r\\n"
HEAD += "Set-Cookie: s=1; Domain=192.168.4.1; HttpOnly\\r\\n\\r\\n"

while button():
    time.sleep_ms(10)
    try:
        data, sender = dns.recvfrom(200)
        dns.sendto(b"heard " + data, sender)
    except OSError:
        pass
    try:
        line, sender = web.accept()
    except OSError:
        continue
    line.setblocking(True)
    asked = line.recv(2000)
    if b"POST" in asked and b"end" not in asked:
        asked += line.recv(2000)  # the body may come by itself
    if b"/drop" not in asked:
        line.send(HEAD.encode() + asked + b'<a href="http://192.168.4.1/">')
    line.close()
web.close()
dns.close()
point.active(False)
plug.current.machine.state = "closed"
while True:
    button()
    time.sleep_ms(10)
"""

RUNTIMES = ["cpython", pytest.param("micropython", marks=pytest.mark.real)]


@pytest.fixture(params=RUNTIMES)
async def plug(request, tmp_path):
    """A Runner whose firmware has its ports open."""
    if request.param == "micropython":
        request.getfixturevalue("micropython")
    (tmp_path / "main.py").write_text(MAIN)
    (tmp_path / "plug.py").write_text(PLUG)
    runner = Runner(tmp_path, request.param, 64 * 1024)
    await runner.start()
    await until(lambda: runner.state == "open")
    yield runner
    await runner.stop()


@pytest.fixture
async def phone(plug):
    phone = Phone(plug, "http://127.0.0.1:1/")
    await phone.start(0)
    yield phone
    await phone.stop()


async def fetch(phone, path="", method="GET", **more):
    """(status, headers, text) through the phone's port."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(
            method, URL(phone.url + path, encoded=True), allow_redirects=False, **more
        ) as answer,
    ):
        return answer.status, answer.headers, await answer.text()


async def test_the_runner_is_told_of_access_point_and_ports(plug):
    assert list(plug.serial) == ["6 found"]
    assert plug.chip.wifi.active == [True, True]
    assert plug.chip.wifi.point == ("SetupOctoPlugout", "micropythoN", 0)
    assert plug.serves("tcp", 80)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(5)
        line.sendto(b"query", ("127.0.0.1", plug.ports["udp", 53]))
        answer = await asyncio.to_thread(line.recvfrom, 100)
    assert answer[0] == b"heard query"
    await plug.hold(100)
    await until(lambda: plug.state == "closed")
    assert not plug.serves("tcp", 80)
    assert not plug.chip.wifi.active[1]


async def test_a_plug_without_power_serves_nothing(plug):
    await plug.power(False)
    assert not plug.serves("tcp", 80)
    await plug.power(True)
    await until(lambda: plug.serves("tcp", 80))


async def test_the_plug_sees_a_browser_that_typed_its_address(phone):
    mine = phone.url.rstrip("/")
    sent = {"Origin": mine, "Referer": mine + "/menu", "Cookie": "s=abc"}
    path = "settings?g=2&x=%2e%2e%2f"
    _, headers, said = await fetch(phone, path, "POST", data=b"a=1&end=1", headers=sent)
    assert said.startswith("POST /settings?g=2&x=%2e%2e%2f HTTP/1.1\r\n"), "not tidied up"
    assert "\r\nHost: 192.168.4.1\r\n" in said
    assert "\r\nOrigin: http://192.168.4.1\r\n" in said
    assert "\r\nReferer: http://192.168.4.1/menu\r\n" in said
    assert "\r\nCookie: s=abc\r\n" in said
    assert said.count("Host:") == 1
    assert "a=1&end=1" in said
    assert headers["Location"] == mine + "/wifi"
    assert headers["Set-Cookie"] == "s=1; HttpOnly"
    assert f'<a href="{mine}/">' in said


async def test_what_another_site_sends_is_not_made_ours(phone):
    _, _, said = await fetch(phone, headers={"Origin": "http://evil.example"})
    assert "\r\nOrigin: http://evil.example\r\n" in said
    _, headers, said = await fetch(phone, headers={"Host": "evil.example"})
    assert "\r\nHost: evil.example\r\n" in said
    assert headers["Location"] == "http://192.168.4.1/wifi"


async def test_without_a_portal_the_phone_says_why(phone, plug):
    status, _, text = await fetch(phone, "drop")
    assert status == 502
    assert "The plug gave no whole answer" in text
    await plug.hold(100)
    await until(lambda: plug.state == "closed")
    status, _, text = await fetch(phone)
    assert status == 502
    assert "The portal is closed" in text
    assert "Hold the plug&#x27;s button" in text
    assert 'href="http://127.0.0.1:1/"' in text
    await plug.power(False)
    assert "The plug has no power" in (await fetch(phone))[2]


async def test_where_there_is_no_network_there_is_no_way_to_the_portal(phone, plug):
    plug.chip.wifi.active = [True, False]
    status, _, text = await fetch(phone)
    assert status == 502
    assert "The plug cannot be reached" in text


# --- the settings that the simulator brings along


def config(folder):
    path = folder / "config.json"
    return json.loads(path.read_text()) if path.exists() else None


@pytest.fixture
def fill(tmp_path, monkeypatch):
    """fill(**options) -> config.json of the flash that a World with these options makes."""
    monkeypatch.setattr(flash_module, "fill", lambda folder, runtime: folder.mkdir(exist_ok=True))

    def fill(folder=tmp_path, **options):
        world = World(Options(runtime="cpython", **options))
        world.runner = Runner(folder, "cpython")
        world.pi = None if world.options.octoprint else object()
        world._fill(folder)
        return config(folder)

    return fill


def test_under_cpython_everything_of_the_firmware_is_on_the_flash(tmp_path, monkeypatch):
    firmware = tmp_path / "firmware"
    for name in ("main.py", "plug.py", "pages/x.html", "slim/asyncio.py", "__pycache__/plug.pyc"):
        (firmware / name).parent.mkdir(parents=True, exist_ok=True)
        (firmware / name).write_text("")
    monkeypatch.setattr(flash_module, "FIRMWARE", firmware)
    flash_module.fill(tmp_path / "flash", "cpython")
    found = {p.relative_to(tmp_path / "flash").as_posix() for p in (tmp_path / "flash").rglob("*")}
    assert found == {"main.py", "a", "a/plug.py", "a/portal.pack"}


def test_an_empty_flash_is_a_new_plug(fill, tmp_path):
    assert fill(flash=tmp_path) is None


def test_a_used_flash_is_left_as_it_is(fill, tmp_path):
    used = {"wifi_ssid": "Home", "octoprint_host": "octopi.local", "poll_s": 7}
    (tmp_path / "config.json").write_text(json.dumps(used))
    assert fill(flash=tmp_path) == used
    assert fill(flash=tmp_path, speed=50) == used, "its times are as fast as they were"


def test_a_new_plug_can_be_fast_too(fill, tmp_path):
    values = fill(flash=tmp_path, speed=10)
    assert values["min_job_s"] == 30
    assert not values.keys() & {"wifi_ssid", "octoprint_host", "mqtt_host"}


def test_what_was_asked_for_is_entered(fill, tmp_path):
    values = fill(flash=tmp_path, octoprint="octopi.lan:5000", api_key="K", mqtt="10.0.0.9")
    assert values == {
        "octoprint_host": "octopi.lan",
        "octoprint_port": 5000,
        "octoprint_api_key": "K",
        "mqtt_host": "10.0.0.9",
        "mqtt_port": 1883,
    }


@pytest.mark.parametrize("config", [None, {"cool_below_c": 40, "octoprint_port": 5000}])
def test_without_a_flash_or_with_settings_the_stand_ins_are_entered(fill, config):
    values = fill(config=config)
    assert (values["wifi_ssid"], values["wifi_password"]) == (lan.NAME, lan.PASSWORD)
    assert (values["octoprint_host"], values["octoprint_port"]) == (lan.PI, 80)
    assert (values["mqtt_host"], values["mqtt_port"]) == (lan.BROKER, 1883)
    assert values.get("cool_below_c") == (config or {}).get("cool_below_c")


def test_a_network_that_the_plug_brings_along_is_on_the_air(tmp_path, house):
    (tmp_path / "config.json").write_text('{"wifi_ssid": "Home", "wifi_password": "our secret"}')
    world = World(Options(runtime="cpython", flash=tmp_path))
    world.runner = Runner(tmp_path, "cpython")
    world._neighbour(house)
    assert status("Home", "our secret") == STAT_GOT_IP
    assert status("Home", "another") == STAT_WRONG_PASSWORD
