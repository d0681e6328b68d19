"""The portal: opened by the button, closed by time, and nothing in between moves the relay."""

import asyncio
import json
import sys

import pytest

import portal
from portal_tools import AP, PASSWORD, Answer, Open, hold, opened, talk
from simulator.hardware import chip
from whole import FIRMWARE, House, virtual

PATHS = ["/", "/wifi", "/info", "/restart", "/exit", "/login", "/settings?g=0", "/octoprint"]


def is_open():
    return ("tcp", 80) in chip.serving


def stored(house):
    return json.loads((house.folder / "config.json").read_text())


# --- opening and closing ------------------------------------------------------------------------


@virtual
async def test_hold_opens_on_the_lan_and_exit_brings_everything_back(tmp_path):
    async with opened(tmp_path, broker=True) as (house, browser):
        assert house.plug.machine.frozen
        assert house.plug.octo is None and house.plug.mqtt is None
        assert not {"octoapi", "mqtt"} & set(sys.modules)
        assert not chip.wifi.active[1]  # no access point
        assert (await browser.get()).status == 200
        page = await browser.submit("/exit")
        assert page.status == 200
        await house.until(lambda: not is_open(), 2)
        await house.until(lambda: house.plug.octo, 2)
        assert not house.plug.machine.frozen
        assert not {"portal", "opening", "closing", "captive", "front"} & set(sys.modules)
        await house.until(lambda: house.plug.machine.pi == "UP", 10)
        await house.until(lambda: house.retained("/status") == "online", 10)
        assert not house.moves


@virtual
async def test_the_portal_is_told_to_the_broker_by_the_last_will(tmp_path):
    async with opened(tmp_path, broker=True) as (house, _):
        await house.until(lambda: house.retained("/status") == "offline", 5)


@pytest.mark.parametrize("way", ["ap", "open", "new"])
@virtual
async def test_the_access_point_has_the_password_unless_it_was_forgotten(tmp_path, way):
    async with opened(tmp_path, way) as (house, browser):
        name, password, security = chip.wifi.point
        assert chip.wifi.active == [False, True]  # the station would throw the phone off
        assert name == "SetupOctoPlugout"
        assert (password == PASSWORD and security > 0) == (way == "ap")
        assert (security == 0) == (way != "ap")
        assert ("udp", 53) in chip.serving
        assert (await browser.get()).status == 200  # who is on this network need not log in
        if way != "new":
            await browser.submit("/exit")
            await house.until(lambda: house.plug.octo, 2)
            assert chip.wifi.active == [True, False]
            assert ("udp", 53) not in chip.serving


@virtual
async def test_dns_is_answered_on_the_access_point_only(tmp_path):
    async with opened(tmp_path) as _:
        assert ("udp", 53) not in chip.serving


@virtual
async def test_a_plug_without_a_network_waits_for_its_owner_for_ever(tmp_path):
    async with opened(tmp_path, "new", portal_open_s=5) as (house, browser):
        await house.pause(3600)
        assert (await browser.get()).status == 200
        assert "New here?" in browser.page.text
        # closing it would leave nothing to go on with
        await browser.submit("/exit")
        await house.until(is_open, 5)


@pytest.mark.parametrize("state", ["Asking", "Countdown", "Going"])
@pytest.mark.parametrize("ms", [6000, 16000])
@virtual
async def test_hold_does_nothing_while_the_power_may_be_cut(tmp_path, state, ms):
    async with House(tmp_path, booted=True, min_job_s=1, portal_password=PASSWORD) as house:
        if state == "Going":
            house.pi.freeze()
        if state == "Asking":
            house.pi.octoprint.modes["/api/system"] = "403"
        if state == "Countdown":
            house.pi.on_shutdown = "never"
        await house.reach(state)
        await hold(house, ms)
        for _ in range(20):
            await house.pause(0.2)
            assert house.plug.visit is None and not chip.wifi.active[1]
        assert house.state == state
        assert house.plug.way == ""  # nor later, when nobody thinks of it any more


@virtual
async def test_the_portal_closes_at_once_when_the_power_is_to_be_cut(tmp_path):
    async with opened(tmp_path) as (house, _):
        for _ in range(2):
            await house.long()
        await house.until("Countdown", 2)
        await house.pause(0.6)
        assert not is_open()
        assert house.plug.octo is not None
        assert not house.plug.machine.frozen
        # and the plug goes on as if it had never been open
        await house.until("Relay_off", 300)
        assert not house.pi.cuts


@virtual
async def test_a_press_while_the_portal_is_open_does_what_it_always_does(tmp_path):
    async with opened(tmp_path) as (house, browser):
        assert house.state == "Connected"
        await house.short()
        assert house.state == "Switched_ON"
        assert "Switched_ON" in (await browser.get()).text
        assert is_open()


@virtual
async def test_it_closes_when_nobody_uses_it_and_stays_closed(tmp_path):
    async with opened(tmp_path, portal_open_s=60) as (house, browser):
        for _ in range(5):
            await house.pause(50)
            assert (await browser.get()).status == 200
        await house.pause(59)
        assert is_open()
        await house.until(lambda: not is_open(), 3)
        for _ in range(60):
            await house.pause(60)
            assert not is_open() and not chip.wifi.active[1]


@virtual
async def test_it_closes_after_ten_minutes_however_much_it_is_used(tmp_path):
    async with opened(tmp_path, portal_open_s=180) as (house, browser):
        began = house.s
        while is_open() and house.s < began + 900:
            await house.pause(20)
            if is_open():
                await browser.get()
        assert 560 < house.s - began < 640


@virtual
async def test_who_has_not_logged_in_keeps_nothing_open(tmp_path):
    async with opened(tmp_path, logged_in=False, portal_open_s=60) as (house, browser):
        began = house.s
        while is_open() and house.s < began + 200:
            await browser.get("/login")
            await house.pause(5)
        assert house.s - began < 75


@virtual
async def test_hold_while_it_is_open_opens_it_anew(tmp_path):
    async with opened(tmp_path) as (house, browser):
        before = browser.cookie
        await hold(house, 6000)
        await house.pause(2)
        await house.until(is_open, 10)
        assert (await browser.get()).where == "/login"  # the session before is over
        browser.cookie = ""
        await browser.log_in()
        assert browser.cookie != before
        await hold(house, 16000)
        await house.until(lambda: chip.wifi.active[1], 10)
        assert chip.wifi.point[2] == 0


@virtual
async def test_evidence_from_before_is_forgotten(tmp_path):
    """What was idle and cool before the portal was opened proves nothing after it."""
    async with opened(tmp_path) as (house, browser):
        await house.print_part(3600)
        await browser.submit("/exit")
        await house.until(lambda: house.plug.octo, 5)
        assert house.plug.machine.pi == ""
        await house.until("Started", 20)


@virtual
async def test_time_alone_fires_no_row_while_it_is_open(tmp_path):
    async with opened(tmp_path, portal_open_s=600) as (house, _):
        house.pi.kill()
        await house.pause(500)
        assert house.state == "Connected"
        assert is_open()


@virtual
async def test_a_port_that_cannot_be_had_closes_the_visit(tmp_path, monkeypatch):
    bound = chip.bound

    def refused(kind, port):
        raise OSError(98)

    async with Open(tmp_path) as here:
        house = here.house
        await here.browser.log_in()
        await here.browser.submit("/exit")
        await house.until(lambda: house.plug.octo, 5)
        monkeypatch.setattr("simulator.hardware.silicon.bound", refused)
        await hold(house, 6000)
        await house.pause(5)
        assert house.plug.visit is None
        await house.until(lambda: house.plug.machine.pi == "UP", 10)
        monkeypatch.setattr("simulator.hardware.silicon.bound", bound)
        assert not house.moves


@virtual
async def test_restart_runs_the_plug_anew_in_place(tmp_path):
    async with opened(tmp_path) as (house, browser):
        before = house.plug
        page = await browser.submit("/restart")
        assert "Restarting" in page.text
        await house.until(lambda: house.plug is not before, 3)
        assert not is_open() and house.state == before.machine.alias
        assert not house.moves


@virtual
async def test_a_page_that_fails_is_told_and_the_portal_goes_on(tmp_path):
    async with opened(tmp_path) as (house, browser):
        house.plug.minutes = None  # the info page cannot reckon with that
        assert (await browser.get("/info")).status == 503
        house.plug.minutes = 0
        assert (await browser.get("/")).status == 200


# --- who may ------------------------------------------------------------------------------------


@virtual
async def test_on_the_lan_nothing_is_shown_before_the_log_in(tmp_path):
    async with opened(tmp_path, logged_in=False) as (house, browser):
        for path in PATHS:
            if path != "/login":
                page = await browser.get(path)
                assert (page.status, page.where) == (303, "/login")
                page = await browser.post(path, {"t": "0" * 16})
                assert (page.status, page.where) == (303, "/login")
        assert house.plug.s.hostname not in browser.sent.decode()


@virtual
async def test_the_session_is_a_cookie_that_scripts_and_other_sites_cannot_use(tmp_path):
    async with opened(tmp_path, logged_in=False) as (_, browser):
        page = await browser.log_in()
        cookie = page.head["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        assert len(browser.cookie) == 2 + 16
        for wrong in ("s=", "s=" + "0" * 16, browser.cookie[:-1], browser.cookie + "0", "x"):
            page = await browser.get("/", Cookie=wrong)
            assert page.where == "/login"
        assert (await browser.get("/", Cookie="a=b; " + browser.cookie + "; c=d")).status == 200


@virtual
async def test_wrong_passwords_slow_down(tmp_path):
    async with opened(tmp_path, logged_in=False) as (house, browser):
        tried, began = 0, house.s
        while house.s < began + 90:
            page = await browser.log_in("wrong password")
            assert page.status == 200 and "set-cookie" not in page.head
            tried += "Wrong password" in page.text
            assert "Wrong password" in page.text or "Wait" in page.text
            await house.pause(0.9)
        assert 5 < tried < 10
        # not even the right one is looked at before the time is over
        await browser.log_in("wrong password")
        page = await browser.log_in()
        assert page.status == 200 and "Wait" in page.text
        await house.pause(31)
        assert (await browser.log_in()).status == 303
        # and then it begins anew
        browser.cookie = ""
        await browser.log_in("wrong password")
        await house.pause(1.2)
        assert (await browser.log_in()).status == 303


@virtual
async def test_only_the_password_is_the_password(tmp_path):
    async with opened(tmp_path, logged_in=False, portal_open_s=600) as (house, browser):
        for password in ("", PASSWORD[:-1], PASSWORD + "x", PASSWORD.upper(), "\0"):
            assert "Wrong" in (await browser.log_in(password)).text
            assert not browser.cookie
            await house.pause(31)


POSTS = ["/wifi", "/settings?g=0", "/restart", "/exit"]


@pytest.mark.parametrize("way", ["lan", "ap"])
@virtual
async def test_nothing_is_changed_without_the_sessions_token(tmp_path, way):
    async with opened(tmp_path, way) as (house, browser):
        before = stored(house)
        for path in POSTS:
            for token in (None, "", "0" * 16, "x"):
                fields = {"hostname": "mine", "ssid": "mine", "do": "join", "n": ""}
                page = await browser.post(path, fields | ({"t": token} if token else {}))
                assert page.status == 403, path
        assert stored(house) == before
        assert is_open()


ORIGINS = [
    "http://evil.example",
    "null",
    "",
    "https://{}",
    "http://{}.evil.example",
    "http://{}:81",
]


@virtual
async def test_a_foreign_origin_is_refused(tmp_path):
    async with opened(tmp_path) as (_, browser):
        token = (await browser.get("/exit")).fields["t"]
        for origin in ORIGINS:
            page = await browser.post("/exit", {"t": token}, Origin=origin.format(browser.host))
            assert page.status == 403, origin
            assert is_open()
        page = await browser.post("/exit", {"t": token}, Origin=None)  # old browsers send none
        assert page.status == 200


NAMES = {
    "127.0.0.1": 200,
    "127.0.0.1:80": 200,
    "octoplugout": 200,
    "OctoPlugout": 200,
    "octoplugout.local": 200,
    "octoplugout.lan": 200,
    "octoplugout.home": 200,
    "octoplugout.home.arpa": 200,
    "octoplugout.fritz.box": 200,
    "octoplugout.fritz.box:80": 200,
    AP: 421,
    "evil.example": 421,
    "octoplugout.evil.example": 421,
    "octoplugout.local.evil.example": 421,
    "evil.octoplugout": 421,
    "octoplugoutx": 421,
    "octoplugou": 421,
    "octoplugout.": 421,
    "octoplugout.lan.home": 421,
    "127.0.0.1:81": 421,
    "127.0.0.1.evil.example": 421,
    "0.0.0.0": 421,
    "localhost": 421,
    "[::1]": 421,
    "": 421,
    " ": 421,
}


@virtual
async def test_only_the_plugs_own_names_are_answered_to(tmp_path):
    async with opened(tmp_path) as (_, browser):
        for host, status in NAMES.items():
            assert (await browser.get("/", Host=host)).status == status, host


@virtual
async def test_on_the_access_point_another_name_leads_to_the_portal(tmp_path):
    async with opened(tmp_path, "ap") as (_, browser):
        for host, status in NAMES.items():
            page = await browser.get("/", Host=host)
            if host == AP or host.lower().startswith("octo") and status == 200:
                assert page.status == 200, host
            else:
                assert (page.status, page.where) == (302, f"http://{AP}/"), host


@virtual
async def test_the_lan_does_not_reach_the_portal_of_the_access_point(tmp_path):
    """It needs no log-in there; so the plug leaves the LAN as long as the access point is open."""
    async with opened(tmp_path, "open") as (house, _):
        for _ in range(100):
            await house.pause(0.2)
            assert not chip.wifi.active[0]


# --- what comes in ------------------------------------------------------------------------------

OURS = b"Host: 127.0.0.1\r\n"
END = OURS + b"\r\n"
FORM = OURS + b"Content-Type: application/x-www-form-urlencoded\r\n"


def posting(length, body=b"", head=FORM, path=b"/login"):
    return b"POST %s HTTP/1.1\r\n%sContent-Length: %s\r\n\r\n%s" % (path, head, length, body)


# What is sent > the status that comes back; None: the connection is closed without one.
ADVERSARIAL = {
    "the request line": {
        b"\r\n\r\n": 400,
        b"\n\n": 400,
        b"GET\r\n\r\n": 400,
        b"GET /\r\n" + END: 400,
        b"GET / HTTP/1.1 x\r\n" + END: 400,
        b"GET  / HTTP/1.1\r\n" + END: 400,
        b"GET / HTTP/2\r\n" + END: 400,
        b"GET / HTTP/0.9\r\n" + END: 400,
        b"GET / FTP/1.1\r\n" + END: 400,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": 400,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x8a" * 200 + b"\n": 400,
        b"\0" * 200 + b"\n": 400,
        b"\xff\xfe\xfd\n": 400,
        b"A" * 300 + b"\r\n" + END: 414,
        b"GET /" + b"a" * 300 + b" HTTP/1.1\r\n" + END: 414,
        b"GET / HTTP/1.1": None,
        b"": None,
    },
    "methods": {
        b"PUT / HTTP/1.1\r\n" + END: 405,
        b"DELETE / HTTP/1.1\r\n" + END: 405,
        b"OPTIONS / HTTP/1.1\r\n" + END: 405,
        b"TRACE / HTTP/1.1\r\n" + END: 405,
        b"PATCH / HTTP/1.1\r\n" + END: 405,
        b"CONNECT evil.example:443 HTTP/1.1\r\n" + END: 405,
        b"get / HTTP/1.1\r\n" + END: 405,
        b"G\0T / HTTP/1.1\r\n" + END: 405,
    },
    "paths": {
        b"GET /../config.json HTTP/1.1\r\n" + END: 404,
        b"GET /config.json HTTP/1.1\r\n" + END: 404,
        b"GET /portal.pack HTTP/1.1\r\n" + END: 404,
        b"GET /front HTTP/1.1\r\n" + END: 404,
        b"GET /a/portal.mpy HTTP/1.1\r\n" + END: 404,
        b"GET /%2e%2e/config.json HTTP/1.1\r\n" + END: 404,
        b"GET /..%2fconfig.json HTTP/1.1\r\n" + END: 404,
        b"GET //etc/passwd HTTP/1.1\r\n" + END: 404,
        b"GET /wifi/ HTTP/1.1\r\n" + END: 404,
        b"GET /wifi=wifi HTTP/1.1\r\n" + END: 404,
        b"GET /=front HTTP/1.1\r\n" + END: 404,
        b"GET /WIFI HTTP/1.1\r\n" + END: 404,
        b"GET /wifi\0 HTTP/1.1\r\n" + END: 404,
        b"GET /wifi;x HTTP/1.1\r\n" + END: 404,
        b"GET /plug HTTP/1.1\r\n" + END: 404,
        b"GET /favicon.ico HTTP/1.1\r\n" + END: 404,
        b"GET /wpad.dat HTTP/1.1\r\nHost: wpad\r\n\r\n": 404,
        b"GET ../ HTTP/1.1\r\n" + END: 421,
        b"GET * HTTP/1.1\r\n" + END: 421,
        b"GET http://evil.example/ HTTP/1.1\r\n" + END: 421,
        b"GET http://127.0.0.1/ HTTP/1.1\r\n" + END: 421,
    },
    "head lines": {
        b"GET / HTTP/1.1\r\n\r\n": 421,
        b"GET / HTTP/1.0\r\n\r\n": 421,
        b"GET / HTTP/1.1\r\n" + OURS + END: 400,
        b"GET / HTTP/1.1\r\n" + OURS + b"Host: evil.example\r\n\r\n": 400,
        b"GET / HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n": 400,
        b"GET / HTTP/1.1\r\n Host: 127.0.0.1\r\n\r\n": 400,
        b"GET / HTTP/1.1\r\n" + OURS + b" folded: x\r\n\r\n": 400,
        b"GET / HTTP/1.1\r\n" + OURS + b"\tx\r\n\r\n": 400,
        b"GET / HTTP/1.1\r\n" + OURS + b"no colon\r\n\r\n": 400,
        b"GET / HTTP/1.1\r\n" + OURS + b": no name\r\n\r\n": 400,
        b"GET / HTTP/1.1\r\n" + OURS + b"X: a\0b\r\n\r\n": 400,
        b"GET / HTTP/1.1\r\n" + OURS + b"X: " + b"a" * 1600 + b"\r\n\r\n": 431,
        b"GET / HTTP/1.1\r\n" + OURS + b"X: y\r\n" * 400 + b"\r\n": 431,
        b"GET / HTTP/1.1\r\n" + OURS: None,
        b"GET / HTTP/1.1\r\n" + OURS + b"Cookie: s=" + b"0" * 1000 + b"\r\n\r\n": 303,
        b"GET / HTTP/1.1\nHost: 127.0.0.1\n\n": 303,
    },
    "bodies": {
        b"POST /login HTTP/1.1\r\n" + FORM + b"\r\np=x": 411,
        posting(b"-1"): 411,
        posting(b"+3", b"p=x"): 411,
        posting(b"3x", b"p=x"): 411,
        posting(b"0x3", b"p=x"): 411,
        posting(b"", b"p=x"): 411,
        posting(b"3, 3", b"p=x"): 411,
        posting(b"3", b"p=x", FORM + b"Transfer-Encoding: chunked\r\n"): 411,
        posting(b"3", b"p=x", FORM + b"Content-Length: 3\r\n"): 400,
        posting(b"2049"): 413,
        posting(b"99999"): 413,
        posting(b"9" * 400): 413,
        posting(b"2048", b"p=" + b"x" * 2046): 200,
        posting(b"200", b"&" * 200): 413,
        posting(b"2000", b"a&" * 1000): 413,
        posting(b"0"): 200,
        posting(b"10", b"p=x"): None,
        posting(b"3", b"p=x", OURS): 415,
        posting(b"3", b"p=x", OURS + b"Content-Type: text/plain\r\n"): 415,
        posting(b"3", b"p=x", OURS + b"Content-Type: multipart/form-data; boundary=x\r\n"): 415,
        posting(b"3", b"p=x", OURS + b"Content-Type: application/json\r\n"): 415,
        posting(b"3", b"p=x", FORM, b"/config.json"): 404,
        posting(b"3", b"p=%"): 400,
        posting(b"4", b"p=%1"): 200,
        posting(b"5", b"p=%zz"): 400,
        posting(b"5", b"p=%-1"): 400,
        posting(b"8", b"p=%ff%fe"): 200,
        posting(b"5", b"p=%00"): 200,
    },
}


@pytest.mark.parametrize("theme", ADVERSARIAL)
@virtual
async def test_what_no_browser_sends_is_refused_and_forgotten(tmp_path, theme):
    async with opened(tmp_path, logged_in=False, portal_open_s=600) as (house, browser):
        tasks = len(asyncio.all_tasks())
        for raw, status in ADVERSARIAL[theme].items():
            page = Answer(await talk(raw))
            assert page.status == (status or 0), (raw, page.raw)
            if status:
                assert page.head["connection"] == "close"
                length = page.head.get("content-length", len(page.bytes))
                assert int(length) == len(page.bytes), raw
            if house.portal.portal.wrongs:
                await house.pause(31)
            assert len(asyncio.all_tasks()) == tasks, raw
        assert (await browser.get("/login")).status == 200
        assert is_open() and not house.moves


@pytest.mark.parametrize(
    "raw", [b"GET /" + b"a" * 100_000, b"GET / HTTP/1.1\r\n" + b"a" * 100_000]
)
@virtual
async def test_who_goes_on_sending_is_cut_off(tmp_path, raw):
    async with opened(tmp_path, logged_in=False) as (house, browser):
        began = house.s
        await talk(raw + b"a" * 100_000)
        assert house.s - began < 5
        assert (await browser.get("/login")).status == 200


def test_there_are_enough_of_them():
    assert sum(len(requests) for requests in ADVERSARIAL.values()) >= 60


@virtual
async def test_a_request_in_any_pieces_is_the_same(tmp_path):
    async with opened(tmp_path, logged_in=False) as (house, browser):
        house.loop.grain_ms = 1
        raw = posting(b"%d" % (len(PASSWORD) + 2), b"p=" + PASSWORD.replace(" ", "+").encode())
        for step in (1, 2, 3, 7, 64, 127, 128, 129):
            reader, writer = await asyncio.open_connection("127.0.0.1", chip.ports["tcp", 80])
            for i in range(0, len(raw), step):
                writer.write(raw[i : i + step])
                await asyncio.sleep(0.005)
            assert Answer(await reader.read()).status == 303, step
            writer.close()


@virtual
async def test_head_is_get_without_a_body(tmp_path):
    async with opened(tmp_path) as (_, browser):
        for path in ("/", "/wifi", "/nope"):
            page = await browser.ask("HEAD", path)
            assert page.status == (404 if path == "/nope" else 200)
            assert page.bytes == b""


@virtual
async def test_a_slow_client_is_cut_off_after_five_seconds(tmp_path):
    async with opened(tmp_path, logged_in=False) as (house, browser):
        began = house.s
        raw = b"GET /login HTTP/1.1\r\n" + END
        slow = asyncio.create_task(talk(raw, byte_s=1))
        await house.pause(1)
        assert (await browser.get("/login")).status == 200  # waits for its turn
        assert house.s - began < 7
        assert not await slow


@virtual
async def test_a_client_that_does_not_read_is_cut_off(tmp_path):
    async with opened(tmp_path) as (house, browser):
        began = house.s
        reader, writer = await asyncio.open_connection("127.0.0.1", chip.ports["tcp", 80], limit=1)
        writer.transport.pause_reading()
        raw = b"GET /wifi HTTP/1.1\r\nCookie: %s\r\n" % browser.cookie.encode() + END
        writer.write(raw)
        await house.pause(1)
        assert (await browser.get("/login")).status == 200
        assert house.s - began < 20
        writer.close()


@virtual
async def test_connections_that_say_nothing_keep_nobody_out(tmp_path):
    """Browsers open some in advance."""
    async with opened(tmp_path, logged_in=False) as (house, browser):
        idle = [
            await asyncio.open_connection("127.0.0.1", chip.ports["tcp", 80]) for _ in range(2)
        ]
        await house.pause(0.5)
        began = house.s
        assert (await browser.get("/login")).status == 200
        assert house.s - began < 2
        await house.pause(7)
        for reader, writer in idle:
            assert await reader.read() == b""  # closed by now
            writer.close()


# --- captive probes -----------------------------------------------------------------------------
# As recorded from each system.

PROBES = {
    "iOS": """GET /hotspot-detect.html HTTP/1.0
        Host: captive.apple.com
        Connection: close
        User-Agent: CaptiveNetworkSupport-491.100.3 wispr""",
    "iOS, elsewhere": """GET /library/test/success.html HTTP/1.0
        Host: www.appleiphonecell.com
        Connection: close
        User-Agent: CaptiveNetworkSupport-407.100.3 wispr""",
    "macOS": """GET /hotspot-detect.html HTTP/1.1
        Host: captive.apple.com
        Upgrade-Insecure-Requests: 1
        Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8
        User-Agent: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15
        Accept-Language: en-us
        Accept-Encoding: gzip, deflate""",
    "Android": """GET /generate_204 HTTP/1.1
        User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/60.0.3112.32
        Host: connectivitycheck.gstatic.com
        Connection: Keep-Alive
        Accept-Encoding: gzip""",
    "Android, second": """GET /gen_204 HTTP/1.1
        Host: www.google.com
        Connection: Keep-Alive""",
    "Android, third": """GET /generate_204 HTTP/1.1
        Host: play.googleapis.com""",
    "Windows": """GET /connecttest.txt HTTP/1.1
        Connection: Close
        User-Agent: Microsoft NCSI
        Host: www.msftconnecttest.com""",
    "Windows, then": """GET /redirect HTTP/1.1
        Host: www.msftconnecttest.com""",
    "Windows, older": """GET /ncsi.txt HTTP/1.1
        Connection: Close
        User-Agent: Microsoft NCSI
        Host: www.msftncsi.com""",
    "Firefox": """GET /canonical.html HTTP/1.1
        Host: detectportal.firefox.com
        User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0
        Accept: */*
        Cache-Control: no-cache
        Pragma: no-cache""",
    "Firefox, then": """GET /success.txt?ipv4 HTTP/1.1
        Host: detectportal.firefox.com""",
    "GNOME": """GET / HTTP/1.1
        Host: nmcheck.gnome.org
        User-Agent: NetworkManager/1.42
        Accept: */*""",
    "GNOME, status": """GET /check_network_status.txt HTTP/1.1
        Host: nmcheck.gnome.org""",
    "Ubuntu": """GET / HTTP/1.1
        Host: connectivity-check.ubuntu.com
        Accept: */*
        Connection: close""",
    "KDE": """GET / HTTP/1.1
        Host: networkcheck.kde.org
        Accept: */*""",
    "Kindle": """GET /kindle-wifi/wifistub.html HTTP/1.1
        Host: spectrum.s3.amazonaws.com""",
    "HEAD": """HEAD / HTTP/1.1
        Host: connectivitycheck.gstatic.com""",
    "by proxy": """GET http://captive.apple.com/ HTTP/1.1
        Host: captive.apple.com""",
}
PROBES = {
    system: "".join(line.strip() + "\r\n" for line in text.split("\n")).encode() + b"\r\n"
    for system, text in PROBES.items()
}


@virtual
async def test_every_systems_probe_leads_to_the_portal(tmp_path):
    async with opened(tmp_path, "new") as _:
        for system, raw in PROBES.items():
            page = Answer(await talk(raw))
            assert (page.status, page.where) == (302, f"http://{AP}/"), system
            assert page.head["connection"] == "close"
            size = int(page.head["content-length"])
            assert "Success" not in page.body
            if system != "HEAD":
                assert 4 < size == len(page.bytes) < 200, system


@pytest.mark.parametrize("path", ["/favicon.ico", "/wpad.dat"])
@virtual
async def test_what_browsers_fetch_by_themselves_is_not_there(tmp_path, path):
    async with opened(tmp_path, "ap") as (_, browser):
        for host in (AP, "wpad", "captive.apple.com"):
            assert (await browser.get(path, Host=host)).status == 404


@virtual
async def test_probes_do_not_keep_the_portal_open(tmp_path):
    async with opened(tmp_path, "ap", portal_open_s=30) as (house, _):
        began = house.s
        while is_open() and house.s < began + 90:
            await talk(PROBES["Android"])
            await house.pause(3)
        assert house.s - began < 40


# --- what goes out ------------------------------------------------------------------------------


def test_pages_have_the_parts_that_the_code_asks_for():
    for path in (FIRMWARE / "pages").glob("*.html"):
        text = path.read_text()
        assert text.endswith("\n") and text.startswith("="), path
        parts = [line for line in text.split("\n") if line.startswith("=")]
        assert len(set(parts)) == len(parts), path
        assert max(len(line) for line in text.encode().split(b"\n")) < 200


def test_every_state_has_its_presses_on_the_menu():
    from statemachine import STATES

    text = (FIRMWARE / "pages/front.html").read_text()
    rows = [line.split(" ") for line in STATES.strip().split("\n")]
    for alias, state, *_ in rows:
        open_there = alias not in ("Asking", "Countdown", "Going") and state != "-"
        assert (f"\n={state}\n" in text) == open_there, state


@pytest.mark.parametrize(
    "text", ["<script>", "a&b", "\"'", "{0}", "{9}", "{", "=end", "\r\nX: y", ""]
)
def test_what_is_shown_is_escaped(text):
    import html

    shown = portal.escaped(text)
    assert html.unescape(shown.decode()) == text
    assert not set(b"<>\"'") & set(shown)


@pytest.mark.parametrize(
    "raw, text", [(b"a+b", b"a b"), (b"%41%2f%2F", b"A//"), (b"%2B", b"+"), (b"%25%32%35", b"%25")]
)
def test_what_was_typed_comes_out_of_a_form(raw, text):
    gate = portal.Portal.__new__(portal.Portal)
    gate.sent_form = [b"other=x", b"name=" + raw, b"named=y"]
    assert gate.field(b"name") == text
    assert gate.field(b"nam") == b""
    assert gate.field(b"nam", None) is None


def test_secrets_are_compared_whole():
    assert portal.is_same(b"", b"") and portal.is_same(b"abc", b"abc")
    for other in (b"", b"ab", b"abcd", b"abd", b"ABC", b"\0abc"):
        assert not portal.is_same(b"abc", other)
        assert not portal.is_same(other, b"abc")
