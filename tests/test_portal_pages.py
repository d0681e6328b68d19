"""The portal's pages: what they show, what they change, and what never leaves the plug."""

import html
import json
import re
from urllib.parse import quote, quote_plus

import pytest

import sheet
from portal_tools import AP, PASSWORD, hold, opened
from simulator.hardware import chip
from simulator.hardware.virtual import (
    STAT_CONNECT_FAIL,
    STAT_CONNECTING,
    STAT_NO_AP_FOUND,
    STAT_WRONG_PASSWORD,
)
from whole import FIRMWARE, GOOD_KEY, WEAK_KEY, virtual

SECRETS = {
    "wifi_password": "secret of the wifi",
    "octoprint_api_key": "SECRETKEY0123456789SECRETKEY0123",
    "mqtt_password": 'secret of the <broker> & "more"',
    "portal_password": PASSWORD,
    "ota_key": "secretofupdatesabcdefghij",
}
GROUPS = range(8)
PATHS = ["/", "/wifi", "/octoprint", "/info", "/restart", "/exit", "/login"]
PATHS += [f"/settings?g={group}" for group in GROUPS]


def is_open():
    return ("tcp", 80) in chip.serving


def stored(house):
    return json.loads((house.folder / "config.json").read_text())


def forms_of(text):
    """What stands between <form> and </form>."""
    return re.findall(r"<form.*?</form>", text, re.S)


# --- every page ---------------------------------------------------------------------------------


@virtual
async def test_every_page_is_small_whole_and_for_everybody(tmp_path):
    async with opened(tmp_path, **SECRETS) as (_, browser):
        for path in PATHS:
            page = await browser.get(path)
            assert page.status == 200, path
            assert len(page.raw) <= 8192, (path, len(page.raw))
            text = page.body
            assert text.startswith("<!doctype html>") and text.endswith("</html>\r\n")
            assert '<html lang="en">' in text and "<h1>" in text
            assert "prefers-color-scheme: dark" in text and "focus-visible" in text
            assert "<script" not in text and not re.search(r"<[^>]* on\w+=", text)
            assert "user-scalable" not in text and "maximum-scale" not in text
            assert not re.search(r'(src|href)="(https?:)?//(?!192\.168\.4\.1|octoplugout)', text)
            for form in forms_of(text):
                labelled = set(re.findall(r'<label for="([^"]+)"', form))
                for tag in re.findall(r"<(?:input|select|textarea)[^>]*>", form):
                    kind = re.search(r'type="(\w+)"', tag)
                    name = re.search(r'id="([^"]+)"', tag)
                    if kind and kind[1] in ("hidden", "checkbox", "radio"):
                        continue  # those stand inside their label
                    assert name and name[1] in labelled, tag
            ids = re.findall(r' id="([^"]+)"', text)
            assert len(set(ids)) == len(ids)


@virtual
async def test_the_longest_pages_fit_into_eight_kilobytes(tmp_path):
    """Thirty-two letters that are all escaped, everywhere, and a full list of networks."""
    wide = "&" * 31
    topics = {row[0]: f"/{wide[:30]}{chr(97 + n)}" for n, row in enumerate(sheet.form(3))}
    given = topics | {"mqtt_user": "<" * 64, "mqtt_topic": "'" * 64, "wifi_ssid": wide}
    given |= {"led_patterns": ["ready_for_shutting_down_extruder_HOT 60000 60000"] * 12}
    given |= {"messages": ["&" * 48] * 6, "wifi_password": "12345678"}
    async with opened(tmp_path, "open", **given) as (house, browser):
        names = [b"&" * 31 + bytes([65 + n]) for n in range(20)]
        chip.wifi.networks = [(name, b"123456", 1, -50, 3, False) for name in names]
        await browser.submit("/wifi", do="scan")
        for path in PATHS:
            page = await browser.get(path)
            assert (page.status, len(page.raw) <= 8192) == (200, True), (path, len(page.raw))


def disguises(secret):
    """How a secret might look in an answer."""
    yield secret
    yield quote(secret)
    yield quote_plus(secret)
    yield html.escape(secret)
    yield secret.encode().hex()
    yield json.dumps(secret)[1:-1]
    yield "".join(f"&#{ord(c)};" if c in "&<>\"'" else c for c in secret)


@pytest.mark.parametrize("way", ["lan", "open"])
@virtual
async def test_no_secret_is_in_any_byte_that_is_sent(tmp_path, way):
    async with opened(tmp_path, way, **SECRETS) as (house, browser):
        for path in PATHS:
            await browser.get(path)
            await browser.ask("HEAD", path)
        for group in GROUPS:
            rows = [row for row in sheet.form(group) if row[1] not in ("secret", "bool")]
            wrong = {row[0]: "\t wrong \x01" for row in rows}
            page = await browser.submit(f"/settings?g={group}", **wrong)
        for typed in ("2short", "x" * 65, "new secret of mqtt"):
            fields = {"mqtt_password": typed, "mqtt_port": "wrong"}
            page = await browser.submit("/settings?g=2", **fields)
            assert page.status == 200 and typed not in page.body
        for typed in ("2short", "x" * 65):
            page = await browser.submit("/settings?g=0", portal_password=typed)
            assert typed not in page.body
            page = await browser.submit("/wifi", n="", ssid="other", password=typed, do="join")
            assert typed not in page.body
        await browser.post("/login", {"p": "a wrong guess at it"})
        sent = browser.sent.decode()
        for secret in (*SECRETS.values(), "a wrong guess at it"):
            for text in disguises(secret):
                assert text not in sent
                assert text[:12] not in sent


# --- settings -----------------------------------------------------------------------------------


@virtual
async def test_a_form_that_is_sent_as_it_came_changes_nothing(tmp_path):
    async with opened(tmp_path, **SECRETS) as (house, browser):
        before = (house.folder / "config.json").read_bytes()
        for group in GROUPS:
            page = await browser.submit(f"/settings?g={group}")
            assert (page.status, page.where) == (303, "/"), group
            assert "Nothing was changed" in (await browser.get("/")).text
            assert "Nothing was changed" not in (await browser.get("/")).text
        assert (house.folder / "config.json").read_bytes() == before


@virtual
async def test_forms_show_every_setting_but_the_network(tmp_path):
    async with opened(tmp_path) as (_, browser):
        for group in GROUPS:
            page = await browser.get(f"/settings?g={group}")
            for key, *_, unit, label, words in sheet.form(group):
                named = f'name="{key}"' in page.body
                assert named == (key not in ("wifi_ssid", "wifi_password"))
                if named:
                    assert str(label) in page.text and str(words) in page.text
                    assert f"({unit})" in page.text if unit else True


def test_menu_and_forms_call_the_pages_by_their_names():
    front = (FIRMWARE / "pages/front.html").read_text()
    fields = (FIRMWARE / "pages/fields.html").read_text()
    links = re.findall(r'<a href="/settings\?g=(\d)">(.*?)</a>', front)
    titles = re.findall(r"=(\d)\n<h2>(.*?)</h2>", fields)
    assert links == titles
    assert [int(number) for number, _ in links] == list(GROUPS)
    names = list(sheet.groups())
    assert len(names) == len(GROUPS)
    for (_, title), name in zip(links[2:], names[2:], strict=True):
        assert name.startswith(title)


WRONG = {
    0: {"wifi_country": "Germany", "hostname": "my plug!", "portal_password": "short"},
    1: {"octoprint_host": "http://pi/", "octoprint_port": "0", "probe_port": "x"},
    2: {"mqtt_host": "a b", "mqtt_port": "65536", "mqtt_topic": "a/#", "mqtt_report_s": "-1",
        "mqtt_keepalive_s": "1.5"},
    3: {"topic_relay": "/mode", "topic_bedtemp": "+"},
    4: {"initial_state": "later", "cool_below_c": "180", "min_job_s": "ten", "poll_s": "nan"},
    5: {"long_press_ms": "9999999", "led_patterns": "nowhere 1 2", "messages": "a\n" * 9},
    6: {"pin_relay": "6", "pin_led": "99", "pin_button": ""},
    7: {"topic_commands": "a/#", "topic_answers": "b/", "bridge_id": "x" * 65},
}  # fmt: skip


@pytest.mark.parametrize("group", WRONG)
@virtual
async def test_what_is_wrong_is_said_beside_its_field_and_kept(tmp_path, group):
    async with opened(tmp_path) as (house, browser):
        before = (house.folder / "config.json").read_bytes()
        page = await browser.submit(f"/settings?g={group}", **WRONG[group])
        assert page.status == 200
        assert "Nothing was saved" in page.text
        for key, typed in WRONG[group].items():
            at = page.body.index(f' id="{key}"')
            tag = page.body[page.body.rindex("<", 0, at) : page.body.index(">", at)]
            if key != "initial_state":
                assert 'aria-invalid="true"' in tag
            assert f'id="{key}-e"' in page.body  # and it says why
            if key == "portal_password":
                assert typed not in page.body
            elif key != "initial_state":
                assert page.fields[key].replace("\r\n", "\n") == typed
        assert (house.folder / "config.json").read_bytes() == before
        # put right, it is taken
        assert is_open()


@virtual
async def test_nonsense_in_the_file_does_not_hide_what_is_wrong_with_the_form(tmp_path):
    async with opened(tmp_path, cool_below_c="cold") as (_, browser):
        page = await browser.submit("/settings?g=4", min_job_s="ten", hot_above_c="200")
        assert page.status == 200 and 'id="min_job_s-e"' in page.body
        assert 'id="hot_above_c-e"' not in page.body


@virtual
@pytest.mark.parametrize(("hot", "wrong"), [("40", True), ("200", False), ("50.5", False)])
async def test_what_does_not_go_together_is_told_with_the_rest(tmp_path, hot, wrong):
    async with opened(tmp_path) as (_, browser):
        page = await browser.submit("/settings?g=4", min_job_s="ten", hot_above_c=hot)
        assert page.status == 200 and 'id="min_job_s-e"' in page.body
        assert ('id="hot_above_c-e"' in page.body) == wrong


@virtual
async def test_values_that_break_the_page_are_shown_as_they_are(tmp_path):
    hostile = "</textarea><script>alert('&\"')</script>{0}=end"
    async with opened(tmp_path) as (_, browser):
        page = await browser.submit("/settings?g=2", mqtt_user=hostile, mqtt_port="x")
        assert page.fields["mqtt_user"] == hostile
        assert "<script" not in page.body
        page = await browser.submit("/settings?g=5", messages=hostile, long_press_ms="x")
        assert page.fields["messages"].strip() == hostile
        assert "<script" not in page.body


@virtual
async def test_settings_are_stored_and_used_at_once(tmp_path):
    async with opened(tmp_path) as (house, browser):
        changed = {"cool_below_c": "41.5", "min_job_s": "7", "initial_state": "Switched_ON"}
        page = await browser.submit("/settings?g=4", **changed)
        assert (page.status, page.where) == (303, "/")
        assert "Saved" in (await browser.get("/")).text
        await house.pause(0.5)
        s = house.plug.s
        assert (s.cool_below_c, s.min_job_s, s.initial_state) == (41.5, 7, "Switched_ON")
        assert stored(house)["cool_below_c"] == 41.5
        page = await browser.submit("/settings?g=5", led_off="1", messages="a\r\nb")
        await house.pause(0.5)
        assert s.led_off is True and s.messages == "a\nb\n\n\n\n"
        page = await browser.get("/settings?g=5")
        assert page.fields["led_off"] == "1" and page.fields["messages"].strip() == "a\nb"
        await browser.submit("/settings?g=5", led_off=None)
        await house.pause(0.5)
        assert s.led_off is False
        page = await browser.submit("/settings?g=2", mqtt_topic="shop/{id}", mqtt_host="127.0.0.1")
        await house.pause(0.5)
        assert s.mqtt_topic == "shop/" + s.id
        assert is_open() and not house.moves


@virtual
async def test_opening_saving_and_closing_during_a_print_moves_nothing(tmp_path):
    async with opened(tmp_path, min_job_s=1) as (house, browser):
        await browser.submit("/exit")
        await house.reach("Armed")
        pins = [entry for entry in chip.pin_log if entry[1] == 12]
        await hold(house, 6000)
        await house.until(is_open, 5)
        await browser.log_in()
        assert (await browser.submit("/settings?g=4", cool_below_c="41")).status == 303
        await house.pause(3)
        assert house.plug.s.cool_below_c == 41
        await browser.submit("/exit")
        await house.pause(60)
        assert house.state == "Armed"
        assert house.plug.machine.pi == "UP"
        assert not house.moves
        assert [entry for entry in chip.pin_log if entry[1] == 12] == pins


@virtual
async def test_a_broker_that_was_entered_is_connected_to_after_the_portal(tmp_path):
    async with opened(tmp_path, broker=True, mqtt_host="") as (house, browser):
        given = {"mqtt_host": "127.0.0.1", "mqtt_port": str(house.broker.port)}
        await browser.submit("/settings?g=2", **given)
        await browser.submit("/exit")
        await house.until(lambda: house.retained("/status") == "online", 20)


@virtual
async def test_secrets_are_kept_by_an_empty_field_and_cleared_by_a_box(tmp_path):
    async with opened(tmp_path, **SECRETS) as (house, browser):
        await browser.submit("/settings?g=2", mqtt_user="me")
        assert stored(house)["mqtt_password"] == SECRETS["mqtt_password"]
        await browser.submit("/settings?g=2", mqtt_password="another one")
        assert stored(house)["mqtt_password"] == "another one"
        await browser.submit("/settings?g=2", no_mqtt_password="1")
        assert not stored(house).get("mqtt_password")
        page = await browser.get("/settings?g=2")
        assert "no_mqtt_password" not in page.body  # nothing there any more
        page = await browser.get("/settings?g=0")
        assert "no_portal_password" not in page.body  # there must be one


@virtual
async def test_a_new_portal_password_counts_at_once(tmp_path):
    async with opened(tmp_path) as (house, browser):
        await browser.submit("/settings?g=0", portal_password="another horse")
        browser.cookie = ""
        assert (await browser.log_in()).status == 200
        await house.pause(2)
        assert (await browser.log_in("another horse")).status == 303


@virtual
async def test_a_new_name_is_told_before_the_plug_takes_it(tmp_path):
    async with opened(tmp_path) as (house, browser):
        page = await browser.submit("/settings?g=0", hostname="printer-{id}")
        name = "printer-" + house.plug.s.id
        assert page.status == 200
        assert f'href="http://{name}/"' in page.body
        await house.until(lambda: house.plug.board.wlan.isconnected(), 5)
        assert (await browser.get("/", Host=name + ".local")).status == 200
        assert (await browser.get("/", Host="octoplugout")).status == 421


@pytest.mark.parametrize("query", ["", "?", "?g", "?g=", "?g=8", "?g=-1", "?g=00", "?g=x", "?h=1"])
@virtual
async def test_there_are_eight_pages_of_settings(tmp_path, query):
    async with opened(tmp_path) as (_, browser):
        assert (await browser.get("/settings" + query)).status == 404


# --- WiFi ---------------------------------------------------------------------------------------


@virtual
async def test_a_new_plug_is_set_up(tmp_path):
    async with opened(tmp_path, "new", portal_password="") as (house, browser):
        page = await browser.get("/wifi")
        assert "workshop" in page.text and "Café ☕" in page.text
        assert page.body.count("> workshop\r\n") == 1  # the stronger of the two
        chip.wifi.passwords["workshop"] = "the right one"
        fields = {"n": b"workshop".hex(), "password": "the right one", "do": "join"}
        page = await browser.submit("/wifi", **fields)
        assert "Trying to join workshop" in page.text
        assert page.head["refresh"].startswith("8;")
        page = await browser.get("/wifi")
        assert "Joined" in page.text and "http://octoplugout/" in page.text
        assert stored(house)["wifi_ssid"] == "workshop"
        assert stored(house)["wifi_password"] == "the right one"
        assert len(stored(house)["portal_password"]) == 8
        # the access point goes off by itself, and stays so
        await house.until(lambda: not is_open(), 70)
        await house.pause(60)
        assert chip.wifi.active == [True, False]
        assert chip.wifi.wanted == ("workshop", "the right one")
        await house.until(lambda: house.plug.machine.pi == "UP", 20)


FAILURES = {
    STAT_WRONG_PASSWORD: "wrong password",
    STAT_NO_AP_FOUND: "network not found",
    STAT_CONNECT_FAIL: "the network refuses",
    STAT_CONNECTING: "no address",
}


@pytest.mark.parametrize("way", ["lan", "ap", "new"])
@pytest.mark.parametrize("outcome", FAILURES)
@virtual
async def test_a_network_that_cannot_be_joined_leaves_the_old_one(tmp_path, way, outcome):
    async with opened(tmp_path, way) as (house, browser):
        before = stored(house)
        chip.wifi.come_to("other <one>", outcome)
        if way == "ap":
            house.wifi.up = True
        chip.wifi.join_ms = 1000
        fields = {"n": "", "ssid": "other <one>", "password": "its password", "do": "join"}
        page = await browser.submit("/wifi", **fields)
        assert "Trying to join other <one>" in page.text or "other &lt;one" in page.body
        await house.until(lambda: chip.wifi.wanted and chip.wifi.wanted[0] == "other <one>", 3)
        page = await browser.get("/wifi")
        for _ in range(60):
            if FAILURES[outcome] in page.text:
                break
            await house.pause(0.5)
            page = await browser.get("/wifi")
        assert FAILURES[outcome] in page.text
        assert page.fields["ssid"] == "other <one>"
        assert page.fields["n"] == "" and page.fields["password"] == ""
        assert stored(house) == before
        s = house.plug.s
        assert (s.wifi_ssid, s.wifi_password) == (
            before.get("wifi_ssid", ""),
            before.get("wifi_password", ""),
        )
        if way == "lan":
            assert chip.wifi.wanted[0] == "workshop"
        else:
            assert chip.wifi.active == [False, True]
        assert not house.moves


@virtual
async def test_only_the_password_changes(tmp_path):
    async with opened(tmp_path, "ap") as (house, browser):
        house.wifi.up = True
        chip.wifi.passwords["workshop"] = "changed at the router"
        page = await browser.submit("/wifi", password="changed at the router", do="join")
        assert page.status == 200
        await house.until(lambda: stored(house)["wifi_password"] == "changed at the router", 10)
        assert stored(house)["wifi_ssid"] == "workshop"


@virtual
async def test_an_empty_password_keeps_that_of_the_network_in_use(tmp_path):
    async with opened(tmp_path) as (house, browser):
        await browser.submit("/wifi", do="join")
        await house.pause(5)
        assert house.plug.s.wifi_password == "any will do"
        await browser.submit("/wifi", do="join", clear="1")
        await house.until(lambda: chip.wifi.wanted == ("workshop", ""), 5)


@pytest.mark.parametrize(
    "fields, why",
    [
        ({"n": "", "ssid": ""}, "1 to 32 characters"),
        ({"n": "", "ssid": "x" * 33}, "1 to 32 characters"),
        ({"n": "", "ssid": "x", "password": "1234567"}, "8 to 64 characters"),
        ({"n": "", "ssid": "x", "password": "x" * 65}, "8 to 64 characters"),
        ({"n": b"workshop".hex(), "password": ""}, "has a password"),
        ({"n": "ff", "password": "12345678"}, "UTF-8"),
    ],
)
@virtual
async def test_a_choice_that_cannot_be_is_told_and_not_tried(tmp_path, fields, why):
    async with opened(tmp_path, "new") as (_, browser):
        page = await browser.submit("/wifi", do="join", **fields)
        assert page.status == 200 and why in page.text
        assert page.fields["password"] == ""
        assert chip.wifi.wanted is None


HOSTILE = [
    b"\"'<>&",
    b"<script>alert(1)</script>",
    b"{0}{1}",
    b"=end",
    "🔌🖨️".encode(),
    b"x" * 32,
    b"a\0b",
    b"\r\nSet-Cookie: s=1",
    b" spaces ",
    b"\xff\xfe",
]


@virtual
async def test_hostile_names_are_shown_and_joined_as_they_are(tmp_path):
    async with opened(tmp_path) as (house, browser):
        known = [(name, b"123456", 1, -50, 0, False) for name in HOSTILE]
        chip.wifi.networks = [*known, (b"", b"123456", 1, -30, 0, True)]
        page = await browser.submit("/wifi", do="scan")
        assert (page.status, page.where) == (303, "/wifi")
        page = await browser.get("/wifi")
        assert "<script" not in page.body and "s=1" not in page.head.get("set-cookie", "")
        for name in HOSTILE:
            assert f'value="{name.hex()}"' in page.body
        assert page.body.count('type="radio"') == len(HOSTILE) + 1
        name = HOSTILE[0]
        await browser.submit("/wifi", n=name.hex(), do="join")
        await house.until(lambda: chip.wifi.wanted == (name.decode(), ""), 5)


@virtual
async def test_looking_around_again_happens_only_when_asked_for(tmp_path):
    async with opened(tmp_path, "ap") as (house, browser):
        chip.wifi.networks = [(b"brand new", b"123456", 1, -50, 3, False)]
        assert "brand new" not in (await browser.get("/wifi")).text
        await browser.submit("/wifi", do="scan")
        assert "brand new" in (await browser.get("/wifi")).text
        assert browser.host == AP


@virtual
async def test_closing_while_a_network_is_tried_leaves_the_old_one(tmp_path):
    async with opened(tmp_path) as (house, browser):
        chip.wifi.come_to("other", STAT_CONNECTING)
        await browser.submit("/wifi", n="", ssid="other", password="its password", do="join")
        await house.until(lambda: chip.wifi.wanted[0] == "other", 3)
        for _ in range(2):
            await house.long()
        await house.until("Countdown", 2)
        await house.pause(2)
        assert chip.wifi.wanted[0] == "workshop"
        assert house.plug.s.wifi_ssid == "workshop"


# --- info ---------------------------------------------------------------------------------------


@virtual
async def test_info_tells_what_one_would_ask_for(tmp_path):
    async with opened(tmp_path, broker=True) as (house, browser):
        text = (await browser.get("/info")).text
        for word in ("5.0.0", "workshop", "127.0.0.1", "octoplugout", "-58 dBm", "power-on"):
            assert word in text
        assert "5c:cf:7f:ab:12:8a" in text
        assert "was connected to 127.0.0.1" in text
        assert "Never switched off yet" in text


@virtual
async def test_the_last_ten_switch_offs_are_kept_with_their_reasons(tmp_path):
    async with opened(tmp_path) as (house, browser):
        await browser.submit("/exit")
        await house.until(lambda: house.plug.octo, 5)
        for _ in range(12):
            house.command("FORCEOFF")
            await house.pause(7)
            await house.short()
            await house.pause(2)
        for _ in range(3):
            await house.long()
        await house.until("Relay_off", 20)
        await hold(house, 6000)
        await house.until(is_open, 5)
        await browser.log_in()
        text = (await browser.get("/info")).text
        assert text.count("FORCEOFF") == 9
        assert text.count("by hand") == 1
        assert len(re.findall(r"<li>", browser.page.body)) == 10


# --- OctoPrint ----------------------------------------------------------------------------------


@virtual
async def test_address_and_key_are_stored_and_tried(tmp_path):
    async with opened(tmp_path) as (house, browser):
        house.loop.grain_ms = 20
        await house.until(lambda: house.printer.operational, 60)
        page = await browser.submit("/octoprint", do="test")
        assert (page.status, page.where) == (303, "/octoprint")
        assert "All is well" in (await browser.get("/octoprint")).text
        await browser.submit("/octoprint", do="test", octoprint_api_key=WEAK_KEY)
        assert stored(house)["octoprint_api_key"] == WEAK_KEY
        assert "SYSTEM: it may not" in (await browser.get("/octoprint")).text
        await browser.submit("/octoprint", do="test", octoprint_api_key="A" * 32)
        assert "refuses this API key" in (await browser.get("/octoprint")).text
        await browser.submit("/octoprint", do="test", octoprint_port="1")
        assert "nothing runs at this port" in (await browser.get("/octoprint")).text
        assert "A" * 32 not in browser.sent.decode() and WEAK_KEY not in browser.sent.decode()
        assert not house.moves


@virtual
async def test_a_wrong_address_is_told_beside_its_field(tmp_path):
    async with opened(tmp_path) as (house, browser):
        before = stored(house)
        page = await browser.submit("/octoprint", do="test", octoprint_host="http://pi/")
        assert page.status == 200 and page.fields["octoprint_host"] == "http://pi/"
        assert 'id="octoprint_host-e"' in page.body
        assert stored(house) == before


@virtual
async def test_octoprint_is_asked_for_a_key(tmp_path):
    async with opened(tmp_path, octoprint_api_key="") as (house, browser):
        house.loop.grain_ms = 20
        await house.until(lambda: house.printer.operational, 60)
        await browser.submit("/octoprint", do="ask", user="me")
        page = await browser.get("/octoprint")
        assert "click Allow" in page.text and page.head["refresh"] == "3"
        await house.pause(20)  # a request that nobody asks about is forgotten after 5 s
        assert "click Allow" in (await browser.get("/octoprint")).text
        house.pi.octoprint.decide(True)
        await house.until(lambda: stored(house).get("octoprint_api_key"), 10)
        await house.pause(2)
        page = await browser.get("/octoprint")
        assert "OctoPrint gave a key, and all is well" in page.text
        assert "refresh" not in page.head
        key = stored(house)["octoprint_api_key"]
        assert house.plug.s.octoprint_api_key == key
        assert key not in browser.sent.decode()
        await browser.submit("/exit")
        await house.until(lambda: house.plug.machine.pi == "UP", 20)


@virtual
async def test_a_key_that_is_denied_is_told(tmp_path):
    async with opened(tmp_path) as (house, browser):
        house.loop.grain_ms = 20
        await browser.submit("/octoprint", do="ask")
        await browser.get("/octoprint")
        house.pi.octoprint.decide(False)
        await house.pause(5)
        assert "Denied" in (await browser.get("/octoprint")).text
        assert stored(house)["octoprint_api_key"] == GOOD_KEY


@virtual
async def test_closing_ends_the_waiting_for_a_key(tmp_path):
    async with opened(tmp_path) as (house, browser):
        await browser.submit("/octoprint", do="ask")
        await browser.get("/octoprint")
        waiting = list(house.pi.octoprint.appkeys)
        assert len(waiting) == 1
        await browser.submit("/exit")
        await house.until(lambda: house.plug.octo, 5)
        await house.pause(10)
        seen = [path for _, path in house.pi.octoprint.requests_seen]
        asked = seen.count("/plugin/appkeys/request/" + waiting[0])
        await house.pause(10)
        seen = [path for _, path in house.pi.octoprint.requests_seen]
        assert seen.count("/plugin/appkeys/request/" + waiting[0]) == asked


@virtual
async def test_on_the_access_point_octoprint_is_out_of_reach(tmp_path):
    async with opened(tmp_path, "ap") as (_, browser):
        assert "Begin with WiFi" in (await browser.get("/octoprint")).text
        await browser.submit("/octoprint", do="ask")
        assert "click Allow" not in (await browser.get("/octoprint")).text
