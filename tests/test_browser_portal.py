"""The portal in front of a person: Chromium in the size of a phone, the firmware as on a plug.

The plug runs under 32-bit MicroPython with the heap of a 1 MB plug. What is typed and read here
is what a person types and reads; what is claimed of bytes is checked on the bytes the plug sent.
"""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
import pytest_asyncio

import visitor as visitors
from conftest import lacking
from servers import wait_until
from simulator import lan
from visitor import LAN, POINT, House, Visitor, faults

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "correct horse"
SET_UP = {
    "wifi_ssid": lan.NAME,
    "wifi_password": lan.PASSWORD,
    "portal_password": PASSWORD,
    "ota_key": "the ota key is a secret",
    "octoprint_host": lan.PI,
    "octoprint_api_key": "SIMULATEDKEYSIMULATEDKEYSIMULATE",
    "mqtt_password": "the brokers secret",
    "led_version": False,
    **visitors.HELD,
}
SECRETS = ("wifi_password", "portal_password", "ota_key", "octoprint_api_key", "mqtt_password")
LARGEST = 8192  # bytes of an answer, its head included


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def visitor():
    if not visitors.chromium():
        lacking("Chromium", "install it (Debian: apt-get install chromium)")
    async with Visitor() as visitor:
        yield visitor


@pytest_asyncio.fixture(loop_scope="module")
async def new_plug(micropython, flash, tmp_path):
    """A House with a plug that nobody has set up yet, its portal open."""
    async with House(flash, tmp_path / "flash") as house:
        await house.opened()
        yield house


@pytest_asyncio.fixture(loop_scope="module")
async def plug(micropython, flash, tmp_path):
    """A House with a plug that is set up and in its network, its portal closed."""
    async with House(flash, tmp_path / "flash", SET_UP) as house:
        await house.until(lambda: house.runner.chip.wifi.status() == 5, "it joins no network")
        yield house


async def log_in(house, page, password=PASSWORD):
    """HOLD, then the log-in page on the LAN."""
    if not house.runner.serves("tcp", 80):
        await house.hold()
    await page.goto(LAN + "/")
    await page.get_by_label("Portal password").fill(password)
    await page.get_by_role("button", name="Log in").click()
    await page.wait_for_url(LAN + "/")


async def join(page, name, password):
    """On the WiFi page: choose a network, type its password, join."""
    await page.get_by_role("radio", name=name).check()
    await page.get_by_label("Password", exact=True).fill(password)
    await page.get_by_role("button", name="Join").click()


def relay_moves(house):
    return [closed for _, closed in house.runner.chip.relay_log]


def assert_clean(visitor, page):
    """Nothing from elsewhere, nothing to complain of, nothing larger than it may be."""
    others = [url for url in page.asked if not url.startswith((POINT, LAN, "http://octoplugout"))]
    assert others == []
    assert page.complaints == []
    assert max(len(sent) for sent in visitor.way.sent) <= LARGEST


# --- everybody can use it


LOOKS = pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])


@LOOKS
async def test_every_page_is_for_everybody_small_and_needs_nothing_else(visitor, plug, dark):
    page = await visitor.page(plug, dark=dark, scripts=False)
    await plug.hold()
    await page.goto(LAN + "/")
    assert await faults(page) == []
    await log_in(plug, page)
    links = await page.locator("nav a").evaluate_all("links => links.map(a => a.href)")
    assert len(links) > 8
    for link in links:
        answer = await page.goto(link)
        assert answer.status == 200, link
        assert await faults(page) == [], link
    assert_clean(visitor, page)
    sent = b"".join(visitor.way.sent)
    for key in SECRETS:
        assert SET_UP[key].encode() not in sent, key


# --- the first set-up


@pytest.mark.parametrize(
    ("dark", "scripts"), [(False, True), (True, False)], ids=["light", "dark, no JavaScript"]
)
async def test_a_phone_sets_up_a_new_plug(visitor, new_plug, dark, scripts):
    page = await visitor.page(new_plug, dark, scripts)
    assert new_plug.runner.chip.wifi.point[0] == "SetupOctoPlugout"
    assert new_plug.runner.chip.wifi.point[2] == 0, "open, as long as nothing is set up"
    # What an Android phone asks as soon as it has joined
    await page.goto("http://connectivitycheck.gstatic.com/generate_204")
    assert page.url == POINT + "/"
    page.asked.clear()
    await page.locator("p").get_by_role("link", name="WiFi").click()
    await join(page, lan.NAME, lan.PASSWORD)
    await page.wait_for_selector("text=Trying to join workshop")
    assert await faults(page) == []
    # The page looks by itself how it went
    await page.wait_for_selector("text=Joined")
    text = await page.inner_text("main")
    assert "http://octoplugout/" in text
    assert LAN + "/" in text
    assert new_plug.settings["wifi_ssid"] == lan.NAME
    assert new_plug.settings["wifi_password"] == lan.PASSWORD

    await page.goto(POINT + "/octoprint")
    await page.get_by_label("Address").fill("octopi.local")
    await page.get_by_role("button", name="Ask OctoPrint for a key").click()
    octoprint = new_plug.world.pi.octoprint
    await new_plug.until(lambda: octoprint.appkeys, "no request for a key")
    await page.wait_for_selector("text=OctoPrint asks whether to allow a key for OctoPlugout")
    assert await faults(page) == []
    octoprint.decide(True)
    await page.wait_for_selector("[role=status]:has-text('OctoPrint gave a key')")
    assert new_plug.settings["octoprint_api_key"] in octoprint.keys
    assert new_plug.settings["octoprint_host"] == "octopi.local"

    await page.goto(POINT + "/exit")
    await page.get_by_role("button", name="Close").click()
    await page.wait_for_selector("text=You can close this page")
    await new_plug.closed()
    await new_plug.until(
        lambda: new_plug.runner.state == "Waiting_for_print_activity_connected",
        "OctoPrint is not found",
    )
    wifi = new_plug.runner.chip.wifi
    await new_plug.until(lambda: not wifi.active[1], "the access point stays")
    assert relay_moves(new_plug) == [True]
    assert new_plug.runner.dead is None
    assert_clean(visitor, page)


async def test_the_printed_address_sets_a_new_plug_up(visitor, micropython, tmp_path):
    """As a person does it: tools/simulate.sh --flash EMPTY_FOLDER, then a browser."""
    command = [sys.executable, "-m", "simulator", "--headless", "--port", "0", "--heap", "36k"]
    process = subprocess.Popen(
        [*command, "--flash", str(tmp_path / "empty")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        home = (await asyncio.to_thread(process.stdout.readline)).strip()
        portal = (await asyncio.to_thread(process.stdout.readline)).split(" ")[0]
        page = await visitor.page()
        await page.goto(home)
        await page.wait_for_selector("#portalstate dd:has-text('open')")
        await page.wait_for_selector("#portal[href]")  # the network comes first, then it serves
        assert await page.get_attribute("#portal", "href") == portal
        assert "workshop, password filament" in await page.inner_text("#enter")
        await page.goto(portal)
        assert await faults(page) == []
        await page.locator("nav").get_by_role("link", name="WiFi").click()
        await join(page, "workshop", "filament")
        config = tmp_path / "empty/config.json"
        await asyncio.to_thread(
            wait_until, lambda: '"workshop"' in config.read_text(), "the network to be stored"
        )
        await page.goto(portal + "wifi")
        assert await page.get_by_role("radio", checked=True).count() == 1
        assert page.url == portal + "wifi"
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 20)


# --- networks


REFUSED = [
    ("workshop", "short", "a password has 8 to 64 characters"),
    ("workshop", "", "this network has a password"),
    ("workshop", "wrong secret", "wrong password"),
    ("telephone", "filament", "network not found"),
    ("garage", "filament", "the network refuses"),
]


async def test_a_network_that_is_not_joined_changes_nothing_and_says_why(visitor, new_plug):
    page = await visitor.page(new_plug)
    for name, password, why in REFUSED:
        await page.goto(POINT + "/wifi")
        await join(page, name, password)
        if await page.get_by_text("Trying to join").count():
            await page.goto(POINT + "/wifi")  # earlier than it looks by itself
        await page.wait_for_selector(f"[role=alert]:has-text('{name}: {why}')")
        assert await faults(page) == []
        assert await page.get_by_role("radio", name=name).is_checked(), "the choice is kept"
        assert await page.get_by_label("Password", exact=True).input_value() == ""
        assert "wifi_ssid" not in new_plug.settings
    assert_clean(visitor, page)


async def test_a_hidden_network_is_joined_by_its_name(visitor, new_plug):
    page = await visitor.page(new_plug)
    await page.goto(POINT + "/wifi")
    await page.get_by_label("Its name, if it is not in the list").fill(lan.HIDDEN)
    await page.get_by_label("Password", exact=True).fill(lan.PASSWORD)
    await page.get_by_role("button", name="Join").click()
    await new_plug.until(lambda: new_plug.settings.get("wifi_ssid") == lan.HIDDEN, "not joined")


async def test_hostile_names_of_networks_are_shown_and_do_nothing(visitor, new_plug):
    page = await visitor.page(new_plug)
    new_plug.runner.chip.wifi.networks = list(lan.AIRS["hostile"])
    await page.goto(POINT + "/wifi")
    await page.get_by_role("button", name="Look around once more").click()
    name = lan.HOSTILE[0].decode()
    await page.get_by_role("radio", name=name).wait_for()
    await page.wait_for_load_state("load")  # the page streams: the rows come one by one
    assert page.complaints == []
    assert await page.locator("img, script, main h1:has-text('gone')").count() == 0
    assert await page.locator("h1").count() == 1
    assert await faults(page) == []
    shown = await page.inner_text("main")
    names = [name.decode("utf-8", "replace") for name in lan.HOSTILE]
    seen = [name for name in names if " ".join(name.split()) in " ".join(shown.split())]
    assert len(seen) >= 6, shown
    # And the most hostile of them can be joined
    await join(page, name, "any will do")
    await new_plug.until(lambda: new_plug.settings.get("wifi_ssid") == name, "not joined")
    await page.goto(POINT + "/wifi")
    assert await page.get_by_role("radio", name=name).is_checked()
    assert_clean(visitor, page)


# --- OctoPrint


@pytest.mark.parametrize("allows", [True, False], ids=["allowed", "denied"])
async def test_a_real_octoprint_gives_a_key_if_its_user_allows_it(
    visitor, micropython, flash, tmp_path, octoprint, allows
):
    used = {key: value for key, value in SET_UP.items() if not key.startswith("octoprint_")}
    async with House(flash, tmp_path / "flash", used) as house:
        await house.until(lambda: house.runner.chip.wifi.status() == 5, "it joins no network")
        page = await visitor.page(house)
        await log_in(house, page)
        await page.get_by_role("link", name="OctoPrint", exact=True).click()
        await page.get_by_label("Address").fill(octoprint.address)
        await page.get_by_label("Port").fill(str(octoprint.port))
        await page.get_by_role("button", name="Ask OctoPrint for a key").click()
        await page.wait_for_selector("text=OctoPrint asks whether to allow a key")
        link = page.get_by_role("link", name=str(octoprint.port))
        assert await link.get_attribute("href") == octoprint.url + "/"

        _, said = await asyncio.to_thread(octoprint.call, "GET", "/api/plugin/appkeys")
        assert [asked["app_id"] for asked in said["pending"].values()] == ["OctoPlugout"]
        path = "/plugin/appkeys/decision/" + next(iter(said["pending"]))
        await asyncio.to_thread(octoprint.do, path, decision=allows)

        words = "OctoPrint gave a key, and all is well" if allows else "denied"
        await page.wait_for_selector(f"[role=status]:has-text('{words}')")
        key = house.settings.get("octoprint_api_key", "")
        assert bool(key) == allows
        if allows:
            who = await asyncio.to_thread(octoprint.call, "GET", "/api/currentuser", None, key)
            assert "SYSTEM" in who[1]["permissions"]
            assert key.encode() not in b"".join(visitor.way.sent)
        assert_clean(visitor, page)


# What OctoPrint may be doing, and what the page says of it.
TRIED = [
    ("ok", "All is well"),
    ("offline", "printer"),
    ("403", "key"),
    ("refused", ""),
    ("proxy503", ""),
    ("not_octoprint", "OctoPrint"),
]


async def test_a_try_says_exactly_what_is_wrong(visitor, plug):
    page = await visitor.page(plug, dark=True, scripts=False)
    await log_in(plug, page)
    await plug.until(lambda: plug.world.pi.printer.operational, "the printer is not connected")
    said = []
    for mode, word in TRIED:
        plug.world.pi.octoprint.mode = mode
        await page.goto(LAN + "/octoprint")
        async with page.expect_navigation():
            await page.get_by_role("button", name="Save and try").click()
        said.append(await page.get_by_role("status").inner_text())
        assert word in said[-1], mode
        assert await faults(page) == []
    assert len(set(said)) == len(TRIED), said
    assert_clean(visitor, page)


# --- settings


async def save(page):
    async with page.expect_navigation():  # the page is there as a whole
        await page.get_by_role("button", name="Save").click()


async def test_a_changed_password_is_all_that_changes(visitor, plug):
    before = plug.settings
    page = await visitor.page(plug, scripts=False)
    await log_in(plug, page)
    await page.get_by_role("link", name="This plug").click()
    field = page.get_by_label("Portal password")
    assert await field.get_attribute("type") == "password"
    assert await field.input_value() == "", "secrets are not sent out"
    await field.fill("a new one, with ü")
    await save(page)
    await page.wait_for_selector("text=Saved")
    assert plug.settings == before | {"portal_password": "a new one, with ü"}
    await page.goto(LAN + "/settings?g=2")
    assert page.url == LAN + "/settings?g=2", "who is in stays in"

    page = await visitor.page()
    for password in (PASSWORD, "a new one, with ü"):
        await page.goto(LAN + "/login")
        await page.get_by_label("Portal password").fill(password)
        await page.get_by_role("button", name="Log in").click()
        if password == PASSWORD:
            await page.wait_for_selector("[role=alert]:has-text('Wrong password')")
            assert await faults(page) == []
            await asyncio.sleep(1.1)  # a wrong one makes the next one wait
    await page.wait_for_url(LAN + "/")
    sent = b"".join(visitor.way.sent)
    for secret in [SET_UP[key] for key in SECRETS] + ["a new one, with ü"]:
        assert secret.encode() not in sent
    assert relay_moves(plug) == [True]


# What is typed into a field so that it is wrong; where nothing else is said, by its kind.
WRONG = {
    "portal_password": "short",
    "wifi_country": "D9",
    "hostname": "a plug",
    "octoprint_host": "http://octopi.local",
    "mqtt_host": "broker:1883",
    "mqtt_topic": "octoplugout/#",
    "led_patterns": "Relay_off 100 100\nnonsense",
    "messages": "\n".join("abcdefg"),
}
AT_ONCE = 3  # more wrong ones do not fit beside each other into the smallest heap
WRONG_NUMBER, WRONG_TEXT, WRONG_TOPIC = "-1", "x" * 65, "/printer/+/state"


async def test_a_wrong_value_in_every_field_is_told_beside_it_and_changes_nothing(visitor, plug):
    before = plug.settings
    page = await visitor.page(plug, dark=True, scripts=False)
    await log_in(plug, page)
    told = []
    for number in range(8):
        await page.goto(f"{LAN}/settings?g={number}")
        names = "fields => fields.map(field => field.name)"
        names = await page.locator("[aria-invalid]").evaluate_all(names)
        for at in range(0, len(names), AT_ONCE):
            await page.goto(f"{LAN}/settings?g={number}")
            typed = {}
            for key in names[at : at + AT_ONCE]:
                field = page.locator(f"[name={key}]")
                wrong = WRONG_NUMBER if await field.get_attribute("inputmode") else WRONG_TEXT
                typed[key] = WRONG.get(key, WRONG_TOPIC if key.startswith("topic_") else wrong)
                await field.fill(typed[key])
            await save(page)
            if not await page.locator("[role=alert]").count():
                said = "\n".join(list(plug.runner.serial)[-30:])
                raise AssertionError(f"{number} {typed}: {await page.content()}\n{said}")
            assert await faults(page) == []
            for key, value in typed.items():
                field = page.locator(f"[name={key}]")
                assert await field.get_attribute("aria-invalid") == "true", key
                why = page.locator("#" + await field.get_attribute("aria-describedby"))
                assert await why.is_visible(), key
                secret = await field.get_attribute("type") == "password"
                assert await field.input_value() == ("" if secret else value), key
            told += typed
    assert len(told) == len(set(told)) > 45
    assert plug.settings == before
    assert_clean(visitor, page)


async def test_saving_while_a_print_runs_moves_nothing(visitor, micropython, flash, tmp_path):
    quick = {
        "poll_s": 0.3,
        "poll_idle_s": 0.3,
        "wifi_settle_s": 0,
        "min_job_s": 1,
        "hot_above_c": 60,
    }
    async with House(flash, tmp_path / "flash", SET_UP | quick) as house:
        pi, runner = house.world.pi, house.runner
        connected = "Waiting_for_print_activity_connected"
        await house.until(lambda: runner.state == connected, "it does not find OctoPrint")
        await house.until(lambda: pi.printer.operational, "its printer is not connected")
        pi.printer.start("cube.gcode", duration_s=600, tool_c=210, bed_c=60)
        await house.until(lambda: runner.state == "print_started", "it sees no print")
        page = await visitor.page(house)
        await log_in(house, page)
        await page.get_by_role("link", name="Switching off").click()
        await page.get_by_label("Cool below").fill("45")
        await save(page)
        await page.wait_for_selector("text=Saved")
        await page.goto(LAN + "/settings?g=2")
        await page.get_by_label("Root topic").fill("workshop/plug")
        await save(page)
        await page.wait_for_selector("text=Saved")
        assert runner.state == "print_started"
        assert house.settings["cool_below_c"] == 45
        await page.goto(LAN + "/exit")
        await page.get_by_role("button", name="Close").click()
        await house.closed()
        asked = len(pi.octoprint.requests)
        await house.until(lambda: len(pi.octoprint.requests) > asked, "it asks no more")
        await house.until(lambda: runner.state == "ready_for_shutting_down", "it does not arm")
        assert relay_moves(house) == [True]
        assert pi.cuts == []
        assert runner.chip.resets == []
        assert runner.dead is None
