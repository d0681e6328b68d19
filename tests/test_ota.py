"""Updates through the portal: the page with its SHORT press, and the PC that knows ota_key."""

import asyncio
import hashlib
import hmac
import io
import json
import re
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

import flash as flash_tool
import fleet
import plug_ota
import portal_tools
import trial
import updates
import visitor
from bundle import pack
from portal_tools import opened, talk
from servers import wait_until
from simulator import lan
from simulator.hardware import chip
from test_fleet import pretend
from test_portal_on_plug import Here
from updates import VERSION
from whole import House, virtual

FILES = {"pages/x.html": b"<p>" * 300, "plug.mpy": b"M\x06" + bytes(range(250)) * 8}
NEWER = pack(FILES, 50001)
KEY = "secretofupdates"
EDGE = "----WebKitFormBoundaryAbCdEf"


def lay(folder):
    """What is there beside the running slot."""
    for name, text in {"b/old.mpy": "old", "b/seq": "40000\n", "slot": "a"}.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def kept(folder):
    """{name: content} of all files but settings and what the state leaves."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    return {name: names[name] for name in sorted(names) if name not in ("ha", "last", "offs")}


def form(data, token, edge=EDGE, name="bundle"):
    """A form with a file, as Chromium sends it."""
    return (
        f'--{edge}\r\nContent-Disposition: form-data; name="t"\r\n\r\n{token}\r\n'
        f'--{edge}\r\nContent-Disposition: form-data; name="{name}"; filename="x.opo"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode() + (data + f"\r\n--{edge}--\r\n".encode())


async def upload(browser, data, token=None, edge=EDGE, **headers):
    """Send it with the page's form, and look at the page that follows."""
    token = token or (await browser.get("/update")).fields["t"]
    headers = {"Content_Type": f"multipart/form-data; boundary={edge}"} | headers
    page = await browser.post("/update", form(data, token, edge), **headers)
    if page.status == 303 and page.where == "/update":
        page = await browser.get("/update")
    return page


# --- the page ------------------------------------------------------------------------------------


@virtual
async def test_an_upload_and_a_short_press_and_no_more_than_that(tmp_path):
    lay(tmp_path)
    async with opened(tmp_path) as (house, browser):
        await house.until("Connected", 5)
        before = json.loads((tmp_path / "config.json").read_text())
        page = await upload(browser, NEWER)
        assert hashlib.sha256(NEWER).hexdigest() in page.text
        assert "Press the plug's button, short" in page.text and "5.0.1" in page.text
        assert page.head["refresh"] == "2"
        assert kept(tmp_path)["slot"] == b"a"
        assert "b/seq" not in kept(tmp_path)
        runs = house.plug
        await house.short()
        await house.until(lambda: kept(tmp_path)["slot"][:2] == b"b?", 3)
        page = await browser.get("/update")
        assert "5.0.1 is in its place" in page.text
        await house.until(lambda: house.plug is not runs, 5)  # the restart in place
        there = kept(tmp_path)
        assert there["b/seq"].split()[0] == b"50001" and "bundle" not in there
        assert {
            name[2:]: there[name] for name in there if name[:2] == "b/" if name != "b/seq"
        } == FILES
        assert json.loads(there["config.json"]) == before
        assert house.state == "Connected", "the press was for the update"
        assert not house.moves


@virtual
async def test_without_a_press_nothing_comes_of_it(tmp_path):
    lay(tmp_path)
    async with opened(tmp_path) as (house, browser):
        page = await upload(browser, NEWER)
        assert "Press the plug's button" in page.text
        await house.pause(61)
        page = await browser.get("/update")
        assert "Nobody pressed" in page.text and "refresh" not in page.head
        assert not trial._is_whole("b"), "nothing ever starts what nobody allowed"
        assert kept(tmp_path)["slot"] == b"a" and "b/seq" not in kept(tmp_path)
        await house.short()
        assert house.state == "Switched_ON", "now it is a press like any other"
        assert not house.moves


@virtual
async def test_a_long_press_is_no_consent(tmp_path):
    lay(tmp_path)
    async with opened(tmp_path) as (house, browser):
        await upload(browser, NEWER)
        await house.until("Connected", 5)
        await house.long()
        await house.until("Armed", 3)
        await house.pause(61)
        assert kept(tmp_path)["slot"] == b"a" and "b/seq" not in kept(tmp_path)


@virtual
async def test_no_update_once_the_power_may_be_cut(tmp_path):
    lay(tmp_path)
    async with opened(tmp_path) as (house, browser):
        await upload(browser, NEWER)
        runs = house.plug
        for _ in range(2):
            await house.long()
        await house.until("Countdown", 3)
        await house.until(lambda: not chip.serving, 3)
        await house.pause(5)
        assert house.state == "Countdown" and house.plug is runs, "no restart in Countdown"
        assert kept(tmp_path)["slot"] == b"a" and "b/seq" not in kept(tmp_path)


@virtual
async def test_an_older_one_is_told_so_and_may_be_installed(tmp_path, monkeypatch):
    lay(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/seq").write_text("50002\n")
    monkeypatch.syspath_prepend("run")
    async with opened(tmp_path) as (house, browser):
        page = await upload(browser, NEWER)
        assert "older than what runs now" in page.text
        await house.short()
        await house.until(lambda: kept(tmp_path)["slot"][:2] == b"b?", 3)


@virtual
async def test_the_led_tells_of_it(tmp_path):
    lay(tmp_path)
    async with opened(tmp_path) as (house, browser):
        await house.pause(1)
        resting = house.plug.blinks
        await upload(browser, NEWER)
        await house.pause(1)
        assert house.plug.blinks == (1500, 150) != resting
        await house.pause(61)
        assert house.plug.blinks == resting


@virtual
async def test_two_at_once(tmp_path):
    lay(tmp_path)
    async with opened(tmp_path) as (house, browser):
        token = (await browser.get("/update")).fields["t"]
        other = portal_tools.Browser(browser.host)
        other.cookie = browser.cookie
        pages = await asyncio.gather(
            upload(browser, NEWER, token), upload(other, pack(FILES, 50009), token)
        )
        offered, refused = sorted(pages, key=lambda page: page.status)
        assert (offered.status, refused.status) == (200, 409)
        assert "Another update waits for its short press" in refused.text
        number = b"50001" if hashlib.sha256(NEWER).hexdigest() in offered.text else b"50009"
        await house.short()
        await house.until(lambda: kept(tmp_path).get("b/seq", b"")[:5] == number, 3)


@virtual
async def test_a_damaged_one_is_refused_in_words(tmp_path):
    lay(tmp_path)
    async with opened(tmp_path) as (house, browser):
        before = kept(tmp_path)
        for data, said in (
            (NEWER[:-1], f"has {len(NEWER) - 1} bytes, but should have {len(NEWER)}"),
            (b"x" * 5000, "does not begin with OPO1"),
            (b"<script>", "has only 8 bytes"),
            (b"", "Choose a bundle first"),
        ):
            page = await upload(browser, data)
            assert said in page.text and 'type="file"' in page.body
            assert kept(tmp_path) == before
        page = await upload(browser, NEWER[:-1] + b"!")
        assert "The file seq came damaged" in page.text
        assert kept(tmp_path)["slot"] == b"a" and "b/seq" not in kept(tmp_path)
        assert house.plug.machine.frozen is True
        page = await upload(browser, NEWER)
        assert "Press the plug's button" in page.text


@virtual
async def test_a_stalled_upload_ends_and_loses_nothing(tmp_path):
    lay(tmp_path)
    async with opened(tmp_path) as (house, browser):
        token = (await browser.get("/update")).fields["t"]
        body = form(NEWER, token)
        head = (
            f"POST /update HTTP/1.1\r\nHost: {browser.host}\r\nCookie: {browser.cookie}\r\n"
            f"Content-Type: multipart/form-data; boundary={EDGE}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode()
        began = house.s
        await talk(head + body[:1500])
        assert 9 < house.s - began < 15
        page = await browser.get("/update")
        assert "stood still for 10 s" in page.text
        assert kept(tmp_path)["slot"] == b"a" and "b/seq" not in kept(tmp_path)
        assert "bundle" not in kept(tmp_path)
        await upload(browser, NEWER)
        await house.short()
        await house.until(lambda: kept(tmp_path)["slot"][:2] == b"b?", 3)


@virtual
async def test_one_that_trickles_in_is_not_waited_for_for_ever(tmp_path):
    lay(tmp_path)
    async with opened(tmp_path) as (house, browser):
        token = (await browser.get("/update")).fields["t"]
        body = form(NEWER, token)
        head = (
            f"POST /update HTTP/1.1\r\nHost: {browser.host}\r\nCookie: {browser.cookie}\r\n"
            f"Content-Type: multipart/form-data; boundary={EDGE}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode()
        _, writer = await asyncio.open_connection("127.0.0.1", chip.ports["tcp", 80])
        writer.write(head + body[:1000])
        began = house.s
        for byte in body[1000:]:
            writer.write(bytes([byte]))
            await house.pause(8)
            if house.plug.machine.frozen != 2 or house.s - began > 400:
                break
        writer.close()
        assert 290 < house.s - began < 330
        assert "b/seq" not in kept(tmp_path)


@virtual
async def test_while_it_still_comes_a_press_is_one_like_any_other(tmp_path):
    lay(tmp_path)
    async with opened(tmp_path) as (house, browser):
        token = (await browser.get("/update")).fields["t"]
        body = form(NEWER, token)
        head = (
            f"POST /update HTTP/1.1\r\nHost: {browser.host}\r\nCookie: {browser.cookie}\r\n"
            f"Content-Type: multipart/form-data; boundary={EDGE}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", chip.ports["tcp", 80])
        writer.write(head + body[:3000])
        await house.pause(1)
        assert house.plug.blinks == (250, 250) and house.reason == "an update comes in"
        await house.short()
        assert house.state == "Switched_ON"
        writer.write(body[3000:])
        assert (await reader.read())[:12] == b"HTTP/1.1 303"
        writer.close()
        page = await browser.get("/update")
        assert "Press the plug's button" in page.text, "that press was before it could be meant"
        assert kept(tmp_path)["slot"] == b"a" and not house.moves


@virtual
async def test_token_and_log_in_are_asked_for(tmp_path):
    lay(tmp_path)
    async with opened(tmp_path) as (_, browser):
        before = kept(tmp_path)
        assert (await upload(browser, NEWER, "0" * 16)).status == 403
        assert (await upload(browser, NEWER, Origin="http://elsewhere.example")).status == 403
        page = await browser.post("/update", {"t": (await browser.get("/update")).fields["t"]})
        assert page.status == 415
        page = await upload(browser, NEWER, Content_Length=None)
        assert page.status == 411
        page = await upload(browser, NEWER, Content_Length="400000")
        assert page.status == 413
        stranger = portal_tools.Browser(browser.host)
        page = await upload(stranger, NEWER, "0" * 16)
        assert (page.status, page.where) == (303, "/login")
        assert (await stranger.get("/update")).where == "/login"
        assert kept(tmp_path) == before


@pytest.mark.parametrize("edge", ["x", "'()+_,-./:=?", "a" * 70])
@virtual
async def test_any_boundary_will_do(tmp_path, edge):
    lay(tmp_path)
    async with opened(tmp_path) as (_, browser):
        page = await upload(browser, NEWER, edge=edge)
        assert "Press the plug's button" in page.text


@virtual
async def test_the_other_pages_keep_their_limits(tmp_path):
    async with opened(tmp_path) as (_, browser):
        page = await browser.post("/settings?g=1", b"a=" + b"x" * 3000)
        assert page.status == 413


@virtual
async def test_the_page_tells_of_a_roll_back(tmp_path):
    lay(tmp_path)
    (tmp_path / "slot.why").write_text("slot b: MemoryError <at start>\n")
    async with opened(tmp_path) as (house, browser):
        page = await browser.get("/update")
        assert "The last update went back: slot b: MemoryError <at start>" in page.text
        await upload(browser, NEWER)
        await house.short()
        await house.until(lambda: "slot.why" not in kept(tmp_path), 3)


# --- from a PC -----------------------------------------------------------------------------------


def sign(nonce, data, key=KEY):
    count = data[6]
    return hmac.new(
        key.encode(), nonce.encode() + data[: 16 + 60 * count], hashlib.sha256
    ).digest()


class PC:
    """Asks for nonces and sends bundles, without a cookie."""

    def __init__(self, browser):
        self.browser = portal_tools.Browser(browser.host)

    async def ask(self):
        """{word: text} of what the plug says."""
        page = await self.browser.get("/ota")
        assert page.status == 200
        lines = [line.split(" ", 1) for line in page.body.strip().split("\r\n")]
        said = {words[0]: words[-1] for words in lines[:4]}
        return said | {"said": page.text.split("state " + said["state"], 1)[1].strip()}

    async def send(self, data, key=KEY, nonce=None):
        nonce = nonce or (await self.ask())["nonce"]
        page = await self.browser.post("/ota", sign(nonce, data, key) + data, Origin=None)
        assert (page.status, page.where) == (303, "/ota")
        return await self.ask()


@virtual
async def test_a_pc_that_knows_the_key_needs_no_press(tmp_path):
    lay(tmp_path)
    async with opened(tmp_path, logged_in=False, ota_key=KEY) as (house, browser):
        runs, state = house.plug, house.state
        said = await PC(browser).send(NEWER)
        assert said["state"] == "installed" and "5.0.1 is in its place" in said["said"]
        assert kept(tmp_path)["slot"][:2] == b"b?"
        await house.until(lambda: house.plug is not runs, 5)
        assert house.state == state and not house.moves


@virtual
async def test_a_key_of_more_than_64_letters_is_allowed_by_hmac(tmp_path):
    lay(tmp_path)
    async with opened(tmp_path, logged_in=False, ota_key="k" * 64) as (_, browser):
        assert (await PC(browser).send(NEWER, "k" * 64))["state"] == "installed"


@virtual
async def test_an_older_one_from_a_pc_needs_the_press(tmp_path, monkeypatch):
    lay(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/seq").write_text("50002\n")
    monkeypatch.syspath_prepend("run")
    async with opened(tmp_path, logged_in=False, ota_key=KEY) as (house, browser):
        pc = PC(browser)
        assert (await pc.send(NEWER))["state"] == "offered"
        assert kept(tmp_path)["slot"] == b"a"
        await house.short()
        await house.until(lambda: kept(tmp_path)["slot"][:2] == b"b?", 3)
        assert (await pc.ask())["state"] == "installed"


@virtual
async def test_another_plugs_key_and_a_changed_header_change_nothing(tmp_path):
    lay(tmp_path)
    async with opened(tmp_path, logged_in=False, ota_key=KEY) as (house, browser):
        pc, before = PC(browser), kept(tmp_path)
        said = await pc.send(NEWER, "another key")
        assert said["state"] == "idle" and "not this plug's ota_key" in said["said"]
        nonce = said["nonce"]
        other = pack(FILES, 50002)
        await pc.browser.post("/ota", sign(nonce, NEWER) + other, Origin=None)
        assert "not this plug's ota_key" in (await pc.ask())["said"]
        assert kept(tmp_path) == before
        assert house.plug.machine.frozen is True


@virtual
async def test_a_nonce_is_good_once_and_for_the_plug_that_gave_it(tmp_path):
    lay(tmp_path)
    async with opened(tmp_path, logged_in=False, ota_key=KEY) as (_, browser):
        pc, before = PC(browser), kept(tmp_path)
        nonce = (await pc.ask())["nonce"]
        await pc.browser.post("/ota", sign(nonce, NEWER) + NEWER[:-1], Origin=None)
        await pc.browser.post("/ota", sign(nonce, NEWER) + NEWER, Origin=None)
        assert "No nonce" in (await pc.ask())["said"]
        for other in (nonce, "0" * 32, ""):
            page = await pc.browser.post("/ota", sign(other, NEWER) + NEWER, Origin=None)
            assert page.status == 303
        assert kept(tmp_path) == before


@virtual
async def test_a_plug_without_a_key_takes_none(tmp_path):
    lay(tmp_path)
    async with opened(tmp_path, logged_in=False, ota_key="") as (_, browser):
        before = kept(tmp_path)
        said = await PC(browser).send(NEWER, "")
        assert "its ota_key is empty" in said["said"]
        assert kept(tmp_path) == before


@virtual
async def test_a_pc_is_listened_to_for_a_minute(tmp_path):
    lay(tmp_path)
    async with opened(tmp_path, logged_in=False, ota_key=KEY) as (house, browser):
        pc = PC(browser)
        await house.pause(50)
        early = (await pc.ask())["nonce"]
        assert (await pc.ask())["nonce"] != early
        await browser.log_in()  # so that the portal stays open
        await house.pause(11)
        last = (await pc.ask())["nonce"]
        assert (await pc.ask())["nonce"] == last, "no new ones any more"
        assert (await pc.send(NEWER))["state"] == "installed", "the last one is still good"


@virtual
async def test_without_having_asked_in_that_minute_there_is_no_way_in(tmp_path):
    lay(tmp_path)
    async with opened(tmp_path, ota_key=KEY) as (house, browser):
        await house.pause(61)
        said = await PC(browser).ask()
        assert not said["nonce"]
        await PC(browser).browser.post("/ota", sign("", NEWER) + NEWER, Origin=None)
        assert "No nonce" in (await PC(browser).ask())["said"]
        assert kept(tmp_path)["slot"] == b"a"


@virtual
async def test_a_word_over_mqtt_opens_the_portal_as_a_hold_does(tmp_path):
    lay(tmp_path)
    async with opened(tmp_path, "mqtt", broker=True, ota_key=KEY) as (house, browser):
        said = await PC(browser).send(NEWER)
        assert said["state"] == "installed"
        assert not house.moves


@virtual
async def test_a_word_over_mqtt_opens_nothing_where_the_power_may_be_cut(tmp_path):
    async with House(tmp_path, booted=True, broker=True) as house:
        await house.until(lambda: house.retained("/status") == "online", 10)
        for _ in range(2):
            await house.long()
        await house.until("Countdown", 3)
        await house.broker.publish(house.topic("/update"), b"1")
        await house.pause(3)
        assert not chip.serving
        assert house.state == "Countdown"


# --- tools/flash.sh --ota, to a plug on 32-bit MicroPython ---------------------------------------


@pytest.fixture(scope="module")
def newer(tmp_path_factory):
    """(path, bytes) of a bundle of version 5.0.1."""
    folder = tmp_path_factory.mktemp("newer")
    path = folder / "newer.opo"
    path.write_bytes(updates.newer(folder))
    return path, path.read_bytes()


SETTINGS = {
    "wifi_ssid": "workshop",
    "wifi_password": "filament",
    "portal_password": portal_tools.PASSWORD,
    "ota_key": KEY,
    "mqtt_host": "none",
    "led_version": False,
    **visitor.HELD,
}


@asynccontextmanager
async def plugs(flash, folder, *settings):
    """Plugs with these settings in their networks; their doors on this PC are `host`s."""
    async with AsyncExitStack() as stack:
        houses = []
        for i, given in enumerate(settings):
            house = visitor.House(flash, folder / f"plug{i}", SETTINGS | given)
            await stack.enter_async_context(house)
            port = await house.world.phone.start(0)
            stack.push_async_callback(house.world.phone.stop)
            house.host = f"127.0.0.1:{port}"
            houses.append(house)
        for house in houses:
            await house.until(house.online, "the plug does not join")
        yield houses


async def send(*words):
    """tools/flash.sh --ota with these words: its exit code."""
    return await asyncio.to_thread(flash_tool.main, ["--ota", *map(str, words)])


def moves(house):
    return [closed for _, closed in house.runner.chip.relay_log]


@pytest.mark.slow
async def test_two_plugs_at_once_one_of_which_does_not_know_the_key(
    micropython, flash, newer, tmp_path, capsys, monkeypatch
):
    path, data = newer
    async with plugs(flash, tmp_path, {}, {"ota_key": "another"}) as (good, bad):
        await good.hold()
        await bad.hold()
        before = kept(bad.folder)
        monkeypatch.setenv("OCTOPLUGOUT_OTA_KEY", KEY)
        assert await send(good.host, bad.host, "127.0.0.1:9", "--ota-file", path) == 1
        said = capsys.readouterr()
        assert KEY not in said.out + said.err
        rows = {line.split()[0]: line for line in said.out.split("\n\n")[-1].splitlines()}
        assert f"{VERSION}  in place, restarted" in rows[good.host]
        assert "not this plug's ota_key" in rows[bad.host]
        assert "does not listen" in rows["127.0.0.1:9"] and "hold the plug's button" in said.out
        assert f"{good.host}: sending 100 %" in said.out
        # The one runs the new version, from the other slot
        await good.until(lambda: not good.runner.serves("tcp", 80), "the portal stays")
        await good.hold()
        browser = Here(good)
        await browser.log_in()
        assert f"{VERSION} in slot b" in (await browser.get("/info")).text
        assert moves(good) == [True], "closed at the start, and never moved since"
        # The other has nothing of it
        assert kept(bad.folder) == before
        assert moves(bad) == [True]
        assert not [line for line in bad.runner.serial if "Error" in line]


@pytest.mark.slow
async def test_a_plug_is_woken_by_the_broker_and_updated_and_the_one_beside_it_left_alone(
    micropython, mosquitto, flash, newer, tmp_path, capsys, monkeypatch
):
    """Real but for the way to the plug: its address leads here, to its port on this computer."""
    given = {"mqtt_host": mosquitto.address, "mqtt_port": mosquitto.port}
    root = "octoplugout/ab128a"
    async with plugs(flash, tmp_path, given) as (house,):
        there = fleet.address

        def address(plug):
            return {lan.PLUG: house.host}[there(plug)]

        monkeypatch.setattr(fleet, "address", address)
        with mosquitto.client() as watcher:
            await asyncio.to_thread(watcher.wait, root + "/info")
            pretend(watcher, "octoplugout/aa0001", state="going_down", ip="10.0.0.3")
            words = ["update", str(newer[0]), "--all", "--ota-key", KEY]
            words += ["--broker", f"{mosquitto.address}:{mosquitto.port}"]
            assert await asyncio.to_thread(fleet.main, words) == 1
            said = capsys.readouterr().out
            assert re.search(rf"(?m)^{root} +5\.0\.0 +{VERSION} +in place, restarted", said)
            assert re.search(r"(?m)^octoplugout/aa0001 +5\.0\.0 +5\.0\.0 +not now, it is", said)
            woken = [topic for topic, *_ in watcher.messages if topic.endswith("/update")]
            assert woken == [root + "/update"]
            await asyncio.to_thread(
                wait_until,
                lambda: VERSION in watcher.latest[root + "/info"],
                "it tells its new version",
            )
        assert (house.folder / "slot").read_text()[0] == "b"
        assert moves(house) == [True]


@pytest.mark.slow
async def test_an_older_one_waits_for_the_press_while_the_pc_waits_too(
    micropython, flash, newer, tmp_path, capsys
):
    async with plugs(flash, tmp_path, {}) as (house,):
        (house.folder / "a/seq").write_text("59999\n")
        await house.hold()
        sending = asyncio.create_task(send(house.host, "--ota-key", KEY, "--ota-file", newer[0]))
        await house.until(lambda: (house.folder / "b/seq-new").exists(), "nothing comes")
        await house.until(lambda: house.runner.reason[:11] == "press short", "it does not ask")
        assert not (house.folder / "b/seq").exists()
        await house.runner.hold(200)
        assert await sending == 0
        assert "press its button, short" in capsys.readouterr().out
        assert (house.folder / "slot").read_text()[0] == "b"
        assert moves(house) == [True]
        assert house.runner.state == "Waiting_for_print_activity"


# --- what the PC makes of it ---------------------------------------------------------------------


def test_where_the_key_comes_from(tmp_path):
    path = tmp_path / "keys"
    path.write_text("# mine\none  k1\n\ntwo k2\n")

    def never(text):
        raise AssertionError(text)

    hosts = ["one", "two"]
    assert plug_ota.keys(hosts, str(path), {}, {}, never) == {"one": "k1", "two": "k2"}
    assert plug_ota.keys(hosts, "k", {}, {}, never) == {"one": "k", "two": "k"}
    assert plug_ota.keys(hosts, None, {"ota_key": "c"}, {}, never) == {"one": "c", "two": "c"}
    there = {plug_ota.VARIABLE: "e"}
    assert plug_ota.keys(hosts, None, None, there, never) == {"one": "e", "two": "e"}
    asked = plug_ota.keys(hosts, None, None, {}, lambda text: text.split()[2])
    assert asked == {"one": "one", "two": "two"}
    path.write_text("alone\n")
    assert plug_ota.keys(hosts, str(path), {}, {}, never) == {"one": "alone", "two": "alone"}
    path.write_text("one k1 what\n")
    with pytest.raises(plug_ota.OtaError, match="each line must be a key, or a host and its key"):
        plug_ota.keys(hosts, str(path), {}, {}, never)
    with pytest.raises(plug_ota.OtaError, match="one: without its ota_key"):
        plug_ota.keys(hosts, None, {}, {}, lambda text: "")


def test_the_table_and_the_lines():
    out = io.StringIO()
    lines = plug_ota.Lines(["a", "b"], out)
    for percent in range(0, 101, 5):
        lines.say("a", "sending", percent)
    lines.say("b", "asking", None)
    shown = out.getvalue().splitlines()
    assert shown[:2] == ["  a: sending 0 %", "  a: sending 25 %"] and len(shown) == 6
    done = [plug_ota.Outcome("a", True, "fine", "5.0.0"), plug_ota.Outcome("bb", False, "no key")]
    assert plug_ota.table(done, "5.0.1").splitlines() == [
        "plug  was    is",
        "a     5.0.0  5.0.1  fine",
        "bb    ?      ?      no key",
    ]


def test_something_else_that_answers_is_no_plug():
    class Answer:
        status = 200

        def read(self):
            return b"<html>Router</html>"

    with pytest.raises(plug_ota.OtaError, match="no OctoPlugout 5"):
        plug_ota.Plug("router")._understood(Answer())
