"""The simulator's page in front of a person: Chromium, and the real firmware behind it.

Whatever the browser's console complains of, and whatever a page asks of anybody but the simulator,
fails the test that was at it.
"""

import asyncio
import json

import aiohttp
import pytest
import pytest_asyncio

import visitor as visitors
from conftest import lacking
from simulator.octoprint import GOOD_KEY
from simulator.server import Server
from simulator.world import Options, World
from visitor import PHONE, faults

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

SPEED = 20
DESK = {"width": 1400, "height": 950}

# Keeps the name of every control that was used, by whatever means.
NOTE = """
window.used = new Set()
window.named = e => e.dataset.story ? "a story" : e.id || e.name || e.textContent.trim()
for (const kind of ["click", "change"])
  addEventListener(kind, event => {
    const control = event.target.closest?.("button, select, input, summary")
    if (control) used.add(named(control))
  }, true)
"""
CONTROLS = "[...document.querySelectorAll('button, select, input, summary')].map(named)"


class Simulator:
    """The simulator as `python -m simulator` has it, and pages that look at it."""

    def __init__(self, browser, **options):
        self.browser = browser
        self.world = World(Options(runtime="cpython", speed=SPEED, **options))
        self.complaints = []
        self.contexts = []

    async def start(self):
        await self.world.start()
        self.server = Server(self.world)
        self.url = self.world.phone.home = f"http://127.0.0.1:{await self.server.start(0)}/"
        await self.world.phone.start(0)
        self.ours = (self.url, self.world.phone.url)

    async def stop(self):
        await self.server.stop()
        await self.world.phone.stop()
        await self.world.stop()

    async def page(self, size=DESK, dark=False, **more):
        """The page, open and awake."""
        context = await self.browser.new_context(
            viewport=size, color_scheme="dark" if dark else "light", **more
        )
        self.contexts.append(context)
        context.set_default_timeout(20000)
        page = await context.new_page()
        await page.add_init_script(NOTE)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._said)
        page.on("request", self._asked)
        await page.goto(self.url)
        await page.wait_for_selector(".node.now")
        return page

    def _said(self, line):
        if line.type in ("error", "warning"):
            self.complaints.append(f"{line.text} {line.location.get('url')}")

    def _asked(self, request):
        if not request.url.startswith((*self.ours, "about:")):
            self.complaints.append(f"{request.url} was asked for")

    @property
    def plug(self):
        return self.world.runner

    @property
    def pi(self):
        return self.world.pi

    async def connected(self):
        """Wait for an idle printer that the plug looks after, and its broker."""
        await until(lambda: self.plug.state == "Waiting_for_print_activity_connected")
        await until(lambda: self.pi.printer.state == "Operational")
        await until(self.greetings)

    def greetings(self):
        """How often the plug has told the broker that it is there."""
        return sum(payload == b"online" for _, _, _, payload, _ in self.world.broker.log)


async def until(holds, seconds=30):
    """Wait until holds() does."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.02)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house():
    if not visitors.chromium():
        lacking("Chromium", "install it (Debian: apt-get install chromium)")
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=visitors.chromium(), args=visitors.FLAGS.split()
        )
        simulator = Simulator(browser)
        await simulator.start()
        yield simulator
        await simulator.stop()
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def sim(house):
    """A fresh plug in a fresh house, everything 20 times as fast."""
    await house.server.show.hurry(SPEED)
    house.complaints.clear()
    yield house
    for context in house.contexts:
        await context.close()
    house.contexts.clear()
    assert house.complaints == []


# --- the plug


async def test_the_mouse_holds_the_button_and_the_ring_shows_how_long(sim):
    sim.pi.network = False  # or Going would not last
    page = await sim.page()
    box = await page.locator("#button").bounding_box()
    assert await page.locator("#presses").inner_text() == (
        "short under 0.6 s\nSwitched_ON\nlong from 0.6 s\nGoing\n"
        "hold from 5 s\nopens the portal\nhold on from 15 s\naccess point without a password"
    )
    await page.mouse.move(box["x"] + 40, box["y"] + 40)
    await page.mouse.down()
    await until(lambda: sim.plug.chip.pressed)
    await page.wait_for_selector("#held[data-reach=short]", state="attached")
    await page.wait_for_selector("#held[data-reach=long]", state="attached")
    assert "long" in await page.inner_text("#pressing")
    await page.mouse.up()
    await until(lambda: sim.plug.state == "going_down")
    await page.wait_for_selector("#node-Going.now")
    await page.wait_for_function("fired.textContent.includes('Waiting → Going, because a long')")


async def test_the_thresholds_are_those_of_this_plugs_settings(sim):
    await sim.world.anew(SPEED, {"long_press_ms": 900, "portal_press_ms": 2000})
    page = await sim.page()
    text = await page.inner_text("#presses")
    assert "short under 0.9 s" in text
    assert "hold from 2 s" in text
    posted = []

    async def catch(route):
        posted.append(json.loads(route.request.post_data))
        await route.fulfill(json={})

    await page.route("**/api/plug/button", catch)
    for name in ("Short", "Long", "Hold", "Hold past 15 s"):
        await page.get_by_role("button", name=name, exact=True).click()
    await until(lambda: len(posted) == 4)
    short, long, hold, longest = (press["hold_ms"] for press in posted)
    assert short < 900 <= long < 2000 <= hold < 15000 <= longest


async def test_keys_hold_the_button_and_letting_the_page_go_releases_it(sim):
    page = await sim.page()
    await page.focus("#button")
    for key in ("Space", "Enter"):
        before = sim.plug.state
        await page.keyboard.down(key)
        await page.keyboard.down(key)  # a key that is held repeats itself
        await until(lambda: sim.plug.chip.pressed)
        await asyncio.sleep(0.1)  # the plug wants it for 30 ms
        await page.keyboard.up(key)
        await until(lambda before=before: sim.plug.state != before)
    await page.keyboard.down("Space")
    await until(lambda: sim.plug.chip.pressed)
    await page.focus("#mains")
    await until(lambda: not sim.plug.chip.pressed)
    presses = [level for _, n, _, level in sim.plug.chip.pin_log if n == 0]
    assert presses == [0, 1, 0, 1, 0, 1]


# Runs Lights on a clock and frames of its own: [[ms, lit] of every frame].
FRAMES = """
async changes => {
  document.body.innerHTML = '<i id=led></i><i id=ledhalo></i><i id=relay></i><i id=relayhalo></i>'
  const {Lights} = await import("/page/plug.js")
  let now = 5000, frame = null
  performance.now = () => now
  window.requestAnimationFrame = then => { frame = then }
  const lights = new Lights(), seen = []
  lights.onrelay = on => seen.push("click " + on)
  const run = ms => {
    for (const end = now + ms; now < end; now += 50) {
      const then = frame
      frame = null
      then?.()
      seen.push(led.classList.contains("on"))
    }
  }
  for (const [what, on, ms, wait] of changes) {
    what == "clock" ? lights.clock(ms) : lights.change(what, on, ms)
    run(wait)
  }
  run(400)
  return [seen, frame === null]
}
"""


async def test_no_blink_is_lost_between_two_frames_or_shown_before_its_time(sim):
    page = await sim.page()
    await page.goto(sim.url + "api/plug")  # nothing else goes on there
    # 20 ms of light while a frame takes 50: one frame shows it, and then none
    changes = [["led", True, 1000, 0], ["led", False, 1020, 0]]
    seen, asleep = await page.evaluate(FRAMES, changes)
    assert seen == [False, False, True, False, False, False, False, False]
    assert asleep, "nothing to be drawn, nothing drawn"
    # what comes late through the network is as long on the page as it was on the pin
    changes = [["clock", 0, 1000, 50], ["led", True, 1000, 150], ["led", False, 1200, 0]]
    seen, _ = await page.evaluate(FRAMES, changes)
    assert seen.count(True) == 5, "200 ms, and the frame that saw its end"
    changes = [["relay", True, 1000, 0], ["relay", True, 1010, 0], ["relay", False, 1300, 0]]
    seen, _ = await page.evaluate(FRAMES, changes)
    assert [entry for entry in seen if isinstance(entry, str)] == ["click true", "click false"]


async def test_the_lamps_are_lit_as_the_pins_are(sim):
    page = await sim.page()
    await page.wait_for_selector("#relay.on")
    await page.wait_for_selector("#led.on")  # 50 ms, every 3 s
    await page.wait_for_selector("#led:not(.on)")
    await page.get_by_role("switch", name="Mains").click()
    await page.wait_for_selector("#relay:not(.on)")
    assert await page.inner_text("#state") == "No power"
    assert await page.locator(".node.now").count() == 0
    await page.get_by_role("switch", name="Mains").click()
    await page.wait_for_selector("#relay.on")
    await page.wait_for_selector("#node-Waiting.now")


async def test_the_relay_clicks_unless_it_is_told_not_to(sim):
    page = await sim.page()

    async def clicks():
        return int(await page.evaluate("document.body.dataset.clicks ?? 0"))

    await until(lambda: sim.plug.chip.relay)
    await page.get_by_role("switch", name="Mains").click()
    await page.wait_for_function("document.body.dataset.clicks == 1")
    await page.get_by_role("switch", name="Relay click").click()
    await page.get_by_role("switch", name="Mains").click()
    await page.wait_for_selector("#relay.on")
    assert await clicks() == 1


# --- every control


async def test_every_control_does_what_it_says(sim):
    page = await sim.page()
    world, plug, pi, printer, broker = (
        sim.world,
        sim.plug,
        sim.pi,
        sim.pi.printer,
        sim.world.broker,
    )

    async def press(name, holds, role="button"):
        await page.get_by_role(role, name=name, exact=True).click()
        await until(holds)

    async def choose(what, label, holds):
        await page.select_option(what, label)
        await until(holds)

    def is_in(state):
        return lambda: plug.state == state

    def printer_is(state):
        def holds():
            printer.look()
            return printer.state == state

        return holds

    def passes(state):
        plug.passed.clear()
        return lambda: state in [name for _, name in plug.passed]

    await sim.connected()

    # the printer
    await page.fill("#job [name=duration_s]", "90000")
    await page.fill("#job [name=tool_c]", "190")
    await press("Start", printer_is("Printing"))
    assert (printer.job.duration_s, printer.job.tool_c) == (90000, 190)
    await press("Pause", printer_is("Paused"))
    await press("Resume", printer_is("Printing"))
    await press("Finish", printer_is("Operational"))
    assert printer.job.completion == 100
    await press("Start", printer_is("Printing"))
    await press("Cancel", printer_is("Operational"))
    assert printer.job.completion is None
    await press("Start", printer_is("Printing"))
    await press("Fail", printer_is("Offline after error"))
    await press("Connect", printer_is("Operational"))
    await press("Disconnect", printer_is("Offline"))
    await press("Connect", printer_is("Operational"))
    await page.fill("#heat [name=tool_c]", "70")
    await press("Heat", lambda: printer.heaters["tool0"].target == 70)

    # OctoPrint and its Pi
    await press("Hang OctoPrint", lambda: pi.octoprint.door.way == "hang")
    await press("Kill OctoPrint", lambda: pi.octoprint.door.way == "refused")
    await press("Restart OctoPrint", lambda: pi.octoprint.door.way == "open")
    await choose("#mode", "500", lambda: pi.octoprint.mode == "500")
    await choose("#mode", "ok", lambda: pi.octoprint.mode == "ok")
    await press("Freeze it", lambda: pi.state == "frozen")
    await press("Start the Pi", lambda: pi.state == "up")
    await press("Halt it", lambda: pi.state == "halted")
    await press("Start the Pi", lambda: pi.state == "up")
    slowly = await page.locator("#onshutdown option", has_text="slowly").get_attribute("value")
    await choose("#onshutdown", slowly, lambda: pi.halt_s == 90)
    await press("Reboot it", lambda: pi.state == "halting")
    await press("Start the Pi", lambda: pi.state == "up")
    assert pi.cuts == []

    # the network
    await press("WiFi", lambda: not plug.chip.wifi.up, "switch")
    await press("WiFi", lambda: plug.chip.wifi.up, "switch")
    await press("The Pi's network", lambda: not pi.network, "switch")
    await press("The Pi's network", lambda: pi.network, "switch")
    await press("OctoPrint is slow", lambda: pi.octoprint.mode == "slow", "switch")
    await page.wait_for_selector("#slow[aria-checked=true]")
    await press("OctoPrint is slow", lambda: pi.octoprint.mode == "ok", "switch")
    await press("Broker", lambda: broker.mode == "refused", "switch")
    await page.wait_for_function("mqttmode.value == 'refused'")
    await choose("#mqttmode", "hang", lambda: broker.mode == "hang")
    greetings = sim.greetings()
    await choose("#mqttmode", "ok", lambda: sim.greetings() > greetings)
    await page.wait_for_selector("#brokerup[aria-checked=true]")
    await sim.connected()  # by WiFi and the Pi's network, too

    # commands
    heard = broker.log
    await press("PERMON", is_in("Switched_ON"))
    await press("OFF", passes("going_down"))
    await press("ON", passes("Waiting_for_print_activity"))
    await press("AFTERJOB", lambda: any(payload == b"AFTERJOB" for *_, payload, _ in heard))
    await page.fill("#send [name=word]", "permon")
    await page.check("#send [name=retain]")
    await press("Send", lambda: any(entry[3:] == (b"permon", True) for entry in heard))
    await press("FORCEOFF", is_in("Relay_off"))
    await page.wait_for_selector("#messages :text('FORCEOFF')")

    # a key that is asked for
    async with aiohttp.ClientSession(f"http://127.0.0.1:{pi.octoprint.port}") as session:
        for answer in ("Deny", "Allow"):
            await press("ON", lambda: plug.chip.relay) if not plug.chip.relay else None
            await until(lambda: pi.state == "up")
            ask = session.post("/plugin/appkeys/request", json={"app": "OctoPlugout"})
            async with ask as reply:
                assert reply.status == 201
            (request,) = pi.octoprint.appkeys.values()
            await page.wait_for_selector("#appkeys :text('OctoPlugout')")
            await press(answer, lambda asked=request: asked.allowed is not None)
            assert request.allowed is (answer == "Allow")
            pi.octoprint.appkeys.clear()
    assert GOOD_KEY in pi.octoprint.keys

    # the plug
    before = plug.state
    await press("Short", lambda: plug.state != before)
    await press("Long", passes("going_down"))
    await press("Mains", lambda: not plug.chip.powered, "switch")
    await press("Mains", lambda: plug.chip.powered, "switch")
    await page.click("#sound")
    await page.route("**/api/plug/button", lambda route: route.fulfill(json={}))
    await page.get_by_role("button", name="Hold", exact=True).click()
    await page.get_by_role("button", name="Hold past").click()
    await page.click("#button")

    # what is shown
    await page.click("summary")
    await page.wait_for_selector("#next li:nth-child(3)")
    for name in ("5 min", "20 min", "1 min"):
        button = page.get_by_role("button", name=name, exact=True)
        await button.click()
        assert await button.get_attribute("aria-pressed") == "true"
    await page.click("[data-story=off-while-off]")
    await page.wait_for_selector("#steps .now")
    await page.click("#again")
    await page.wait_for_selector("#steps .now")
    await page.click("#leave")
    await until(lambda: sim.server.show.story["state"] == "stopped")
    await page.wait_for_selector("#shelf")
    for speed in (1, 5, 20):
        name = f"{speed}×"
        await press(name, lambda speed=speed: world.speed == speed and plug.chip.powered)
        await page.wait_for_selector(f"#speeds [aria-pressed=true]:text('{name}')")

    controls = set(await page.evaluate(CONTROLS))
    assert controls - set(await page.evaluate("[...used]")) == set()


async def test_what_cannot_be_done_is_told_and_changes_nothing(sim):
    page = await sim.page()
    await sim.connected()
    await page.get_by_role("button", name="Resume").click()
    await page.wait_for_selector("#wrong:text('do: printer is Operational')")
    assert sim.pi.printer.state == "Operational"
    assert len(sim.complaints) == 1  # the browser's own, of the 400
    sim.complaints.clear()


# --- what is shown


async def test_the_state_the_row_and_the_countdown_are_the_plugs(sim):
    await sim.world.anew(SPEED, {"shutdown_max_s": 600})
    sim.pi.on_shutdown = "nothing"  # or the Countdown would be over before it is read
    page = await sim.page()
    await sim.connected()
    live = page.locator("#live")
    sim.pi.printer.start(duration_s=90000)
    await page.wait_for_selector("#node-Started.now")
    said = "Last: Connected → Started, because something is being printed."
    assert await page.inner_text("#fired") == said
    assert (await live.text_content()).startswith("Started: printing")
    assert await page.locator(".way.last").count() == 1
    await page.get_by_role("button", name="OFF", exact=True).click()
    await page.wait_for_selector("#node-Armed.now")
    await page.wait_for_selector("#lcd:text('Poweroff after PRINT')")
    sim.pi.printer.finish()
    await page.wait_for_selector("#node-Countdown.now")
    await page.wait_for_selector("#count:not([hidden])")
    assert (await page.inner_text("#left")).isdigit()
    await page.wait_for_function("read.textContent.includes('Countdown, relay on')")
    await page.get_by_role("button", name="Long", exact=True).click()
    await page.wait_for_selector("#node-Relay_off.now")
    assert "→ Relay_off, because a long press" in await page.inner_text("#fired")
    await page.wait_for_function("read.textContent.includes('Relay_off, relay off')")


async def test_a_page_opened_later_knows_what_happened_before(sim):
    await sim.connected()
    await asyncio.sleep(1.2)
    page = await sim.page()
    found = await (await page.request.get(sim.url + "api/history")).json()
    assert [state for _, state in found["states"]][-1] == sim.plug.state
    assert found["relay"][0][1] is True
    assert len(found["samples"]) > 2
    await page.wait_for_selector("#messages :text('online')")
    assert "Connected, relay on" in await page.inner_text("#read")


async def test_the_portal_is_in_the_frame_while_it_is_open(sim):
    await sim.world.anew(SPEED, {"portal_press_ms": 1000, "portal_password": "correct horse"})
    page = await sim.page()
    await sim.connected()
    assert await page.is_hidden("#frame")
    await page.wait_for_selector("#closed:text('The portal is closed')")
    await page.get_by_role("button", name="Hold", exact=True).click()
    await page.wait_for_selector("#frame:not([hidden])")
    frame = page.frame_locator("#frame")
    await frame.get_by_label("Portal password").fill("correct horse")
    await frame.get_by_role("button", name="Log in").click()
    await frame.get_by_role("link", name="Wiring").wait_for()
    link = await page.get_attribute("#portal", "href")
    assert link == sim.world.phone.url
    await page.get_by_role("switch", name="Mains").click()
    await page.wait_for_selector("#frame", state="hidden")
    await page.wait_for_selector("#closed:text('The plug has no power')")


async def test_beside_real_servers_only_what_is_there_is_shown(sim):
    nobody = "127.0.0.1:1"
    other = Simulator(sim.browser, octoprint=nobody, api_key="KEY", mqtt=nobody)
    await other.start()
    try:
        page = await other.page()
        await page.wait_for_selector("#nostories:text('the stories need the stand-ins')")
        for part in ("#printers", "#pis", "#mqtts", "#cable", "#slow", "#brokerup", "#shelf"):
            assert await page.is_hidden(part)
        assert "--octoprint" in await page.inner_text("footer")
        await page.get_by_role("button", name="Short", exact=True).click()
        await page.wait_for_selector("#node-Switched_ON.now")
        await page.context.close()
        assert other.complaints == []
    finally:
        await other.stop()


# --- stories


async def test_a_story_is_played_to_its_end_and_judged(sim):
    page = await sim.page()
    await page.click("[data-story=off-while-off]")
    await page.wait_for_selector("#verdict.passed", timeout=40000)
    assert await page.locator("#steps .done").count() == 3
    assert "switched the relay on" in await page.inner_text("#theirs")
    assert sim.plug.chip.relay_log == []


async def test_a_story_that_a_person_spoils_is_told_as_such(sim):
    page = await sim.page()
    await page.click("[data-story=off-while-off]")
    await page.wait_for_selector("#steps li:nth-child(3).now")  # FORCEOFF: nothing comes after it
    await page.get_by_role("button", name="Short", exact=True).click()
    await page.wait_for_selector("#verdict.failed", timeout=40000)
    assert "the relay went on, not nowhere" in await page.inner_text("#verdict")


# --- everybody


# What nobody sees keeps nobody out. The page's own code goes on to find it.
GONE = """
const all = Object.fromEntries([...document.querySelectorAll("[id]")].map(e => [e.id, e]))
document.getElementById = id => all[id]
document.querySelectorAll("[hidden]").forEach(e => e.remove())
"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
async def test_nobody_is_kept_out(sim, size, dark):
    """Neither while a story plays nor by the shelf of them."""
    page = await sim.page(size, dark)
    await page.click("[data-story=retained]")
    await page.wait_for_selector("#steps .now")
    await page.click("summary")
    await page.evaluate(GONE)
    assert await faults(page) == []
    width = "document.documentElement.scrollWidth - innerWidth"
    assert await page.evaluate(width) <= 0
    await sim.server.show.stop()
    page = await sim.page(size, dark)
    await page.evaluate(GONE)
    assert await faults(page) == []


async def test_a_finger_presses_the_button(sim):
    page = await sim.page(PHONE, has_touch=True, is_mobile=True)
    await page.locator("#button").tap()
    await until(lambda: len([1 for _, n, _, _ in sim.plug.chip.pin_log if n == 0]) == 2)
    assert not sim.plug.chip.pressed


async def test_the_keyboard_alone_reaches_everything_in_the_order_of_the_page(sim):
    page = await sim.page()
    await page.wait_for_selector("#mode option", state="attached")
    await page.wait_for_selector("#mqttmode option", state="attached")
    wanted = await page.evaluate(
        """[...document.querySelectorAll('a, button, select, input, summary, [tabindex="0"]')]
        .filter(e => e.checkVisibility() && !e.disabled || e.matches('.skip'))
        .map(e => (e.id || e.name || e.textContent.trim()) + '')"""
    )
    reached, dim = [], []
    for _ in wanted:
        await page.keyboard.press("Tab")
        name, outline = await page.evaluate(
            """() => {
              const e = document.activeElement, style = getComputedStyle(e)
              return [e.id || e.name || e.textContent.trim(), style.outlineStyle]
            }"""
        )
        reached.append(name)
        if outline == "none":
            dim.append(name)
    assert reached == wanted
    assert dim == []
    await page.focus("#mains")
    await page.keyboard.press("Space")
    await until(lambda: not sim.plug.chip.powered)


# --- what the server says


async def test_only_files_of_the_page_are_served(sim):
    async with aiohttp.ClientSession() as session:
        for name, status in (
            ("style.css", 200),
            ("main.js", 200),
            ("none.js", 404),
            ("..%2fserver.py", 404),
            ("%2e%2e/server.py", 404),
        ):
            async with session.get(sim.url + "page/" + name) as answer:
                assert answer.status == status, name


@pytest.mark.parametrize(
    ("path", "data", "field"),
    [
        ("play", {"scenario": "nothing"}, "scenario"),
        ("play", {}, "scenario"),
        ("play", {"stop": 1}, "stop"),
        ("speed", {"speed": 0}, "speed"),
        ("speed", {"speed": "fast"}, "speed"),
        ("speed", {}, "speed"),
        ("printer", {"do": "heat"}, "tool_c"),
        ("printer", {"do": "heat", "tool_c": 500}, "tool_c"),
        ("printer", {"do": "heat", "tool_c": 50, "bed_c": 50}, "tool_c"),
        ("printer", {"do": "finish"}, "do"),
        ("pi", {"do": "stop"}, "do"),
    ],
)
async def test_wrong_wishes_are_named_and_change_nothing(sim, path, data, field):
    started = sim.plug.started
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{sim.url}api/{path}", data=json.dumps(data)) as answer,
    ):
        assert answer.status == 400
        assert (await answer.json())["field"] == field
    assert sim.plug.started == started
