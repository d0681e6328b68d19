"""A plug in its house, and somebody who visits its portal with a browser.

`House` is the simulator with the real firmware on 32-bit MicroPython; `Visitor` is Chromium in the
size of a phone. Between them is `Way`, which carries bytes to the plug's port 80 unchanged and
keeps what the plug sent, so that tests can search it for what must not be there. The plug's names
lead there, so the browser asks for http://192.168.4.1/ as a phone's does.
"""

import asyncio
import json
import shutil
from pathlib import Path

import chip
import servers
from simulator.world import Options, World

# The stricter model of the 1 MB image, in Debian's build
HEAP = 36 * 1024


def model():
    """(MicroPython, bytes of heap) nearest to the plug: as the ESP8266 has it, if that is here."""
    return (chip.CHIP, 38 * 1024) if chip.CHIP.exists() else (None, HEAP)


POINT = "http://192.168.4.1"
LAN = "http://192.168.1.57"
NAMES = "192.168.4.1 192.168.1.57 octoplugout octoplugout.local connectivitycheck.gstatic.com"
PHONE = {"width": 390, "height": 844}

# As root Chromium has no sandbox, and it would call home at every start
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update --disable-extensions"
)


def chromium():
    """Path of the system's Chromium, "" if there is none."""
    return servers.program("chromium") or servers.program("chromium-browser")


HELD = {"portal_press_ms": 1000}  # a HOLD that a test has the time for, and a busy machine too


class House:
    """`async with House(flash, folder, settings)`: flash is a built one, folder gets its copy.

    settings: config.json of a plug that is set up, or None for a new one. heap: bytes, in Debian's
    build; 0: the model.
    """

    def __init__(self, flash, folder, settings=None, heap=0, scan_ms=100):
        self.folder = Path(folder)
        shutil.copytree(flash, self.folder, dirs_exist_ok=True)
        if settings is not None:
            (self.folder / "config.json").write_text(json.dumps(settings))
        program, heap = (None, heap) if heap else model()
        given = {"runtime": "micropython", "heap": heap, "program": program}
        self.world = World(Options(flash=self.folder, **given))
        self.world.scan_ms, self.world.boot_s = scan_ms, 1.0

    async def __aenter__(self):
        try:
            await self.world.start()
        except BaseException:
            await self.world.stop()
            raise
        return self

    async def __aexit__(self, *_):
        await self.world.stop()

    @property
    def runner(self):
        return self.world.runner

    @property
    def settings(self):
        """What config.json on the plug says now."""
        return self.world.settings()

    async def until(self, true, what, seconds=40):
        """Wait until true() is, else fail with `what` and what the plug said on its console."""
        try:
            async with asyncio.timeout(seconds):
                while not true():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            said = "\n".join(list(self.runner.serial)[-30:])
            state = f"{self.runner.state}: {self.runner.reason}"
            raise AssertionError(f"{what}; the plug is {state}, and said:\n{said}") from None

    def online(self):
        """Whether the plug has an address in its network."""
        return self.runner.chip.wifi.status() == 5

    async def opened(self):
        """Wait until the portal is open."""
        await self.until(lambda: self.runner.serves("tcp", 80), "the portal does not open")

    async def closed(self):
        await self.until(lambda: not self.runner.serves("tcp", 80), "the portal does not close")

    async def hold(self, ms=1600):
        """HOLD (see HELD), and wait for the portal."""
        await self.runner.hold(ms)
        await self.opened()


class Way:
    """What is between browser and plug. `sent`: what the plug sent, one item a connection."""

    def __init__(self):
        self.house = None
        self.sent = []
        self.tasks = set()

    async def start(self):
        self.server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    async def stop(self):
        self.server.close()
        for task in list(self.tasks):
            task.cancel()

    def lead(self, house):
        """To this house's plug from now on; forgets what the last one sent."""
        self.house, self.sent = house, []

    async def _carry(self, reader, writer):
        self.tasks.add(task := asyncio.current_task())
        try:
            port = self.house.runner.ports["tcp", 80]
            there, plug = await asyncio.open_connection("127.0.0.1", port)
        except (KeyError, OSError, AttributeError):
            writer.transport.abort()  # nobody listens
            self.tasks.discard(task)
            return
        sent = bytearray()
        self.sent.append(sent)
        back = asyncio.create_task(self._copy(there, writer, sent))
        try:
            await self._copy(reader, plug, bytearray())
            await back
        finally:
            back.cancel()
            plug.transport.abort()
            writer.transport.abort()
            self.tasks.discard(task)

    async def _copy(self, reader, writer, into):
        try:
            while data := await reader.read(4096):
                into += data
                writer.write(data)
                await writer.drain()
            writer.write_eof()
        except OSError:
            writer.transport.abort()


class Visitor:
    """Chromium on a phone: `async with Visitor() as visitor`, then `await visitor.page(house)`."""

    def __init__(self):
        self.way = Way()

    async def __aenter__(self):
        from playwright.async_api import async_playwright

        await self.way.start()
        names = (
            "192.168.4.1 192.168.1.57 octoplugout octoplugout.local connectivitycheck.gstatic.com"
        )
        rules = ", ".join(f"MAP {name} 127.0.0.1:{self.way.port}" for name in names.split())
        # What a phone in the plug's own network finds: nothing
        rules += ", MAP *.example ~NOTFOUND"
        self.playwright = await async_playwright().start()
        self.browser = await self.playwright.chromium.launch(
            executable_path=chromium(), args=[*FLAGS.split(), f"--host-resolver-rules={rules}"]
        )
        return self

    async def __aexit__(self, *_):
        await self.browser.close()
        await self.playwright.stop()
        await self.way.stop()

    async def page(self, house=None, dark=False, scripts=True, scale=1):
        """A page of a new session. `page.asked`: every URL it asked for; `page.complaints`: what
        the browser's console had to say."""
        if house is not None:
            self.way.lead(house)
        context = await self.browser.new_context(
            viewport=PHONE,
            device_scale_factor=scale,
            is_mobile=True,
            has_touch=True,
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
        )
        context.set_default_timeout(20000)
        page = await context.new_page()
        page.asked, page.complaints = [], []

        def told(line):
            if line.type in ("error", "warning"):  # the rest are hints to whoever writes pages
                page.complaints.append(line.text)

        page.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("console", told)
        page.on("dialog", lambda dialog: page.complaints.append(dialog.message))
        return page


# --- what is good for everybody ---------------------------------------------------------------

# Runs in the page, and returns sentences on what keeps somebody out.
_LOOK = """
() => {
  const wrong = []
  const told = element => element.outerHTML.slice(0, 90)
  const one = document.querySelectorAll("h1").length
  if (one != 1) wrong.push(one + " h1")
  if (!document.documentElement.lang) wrong.push("no lang")
  if (!document.title.trim()) wrong.push("no title")
  if (!document.querySelector("main")) wrong.push("no main")
  const zoom = document.querySelector("meta[name=viewport]")?.content ?? ""
  if (!zoom.includes("width=device-width")) wrong.push("viewport: " + zoom)
  if (/user-scalable|maximum-scale/.test(zoom)) wrong.push("zoom is locked: " + zoom)
  if (document.documentElement.scrollWidth > window.innerWidth)
    wrong.push("wider than the screen: " + document.documentElement.scrollWidth)
  const ids = [...document.querySelectorAll("[id]")].map(e => e.id)
  if (new Set(ids).size != ids.length) wrong.push("an id twice: " + ids)
  for (const e of document.querySelectorAll("[aria-invalid=true]")) {
    const why = document.getElementById(e.getAttribute("aria-describedby"))
    if (!why?.textContent.trim()) wrong.push("wrong, but why: " + told(e))
  }

  for (const e of document.querySelectorAll("input:not([type=hidden]), select, textarea, meter")) {
    const label = [...(e.labels ?? [])].map(l => l.textContent.trim()).join("")
    if (!label && !e.getAttribute("aria-label")) wrong.push("no label: " + told(e))
  }
  for (const e of document.querySelectorAll("button, a"))
    if (!e.textContent.trim() && !e.getAttribute("aria-label")) wrong.push("no text: " + told(e))

  // a fingertip: 24 px at least (WCAG 2.2, 2.5.8), the row of a box or radio button counts
  for (const e of document.querySelectorAll("button, nav a, select, textarea, input")) {
    if (e.type == "hidden") continue
    const row = /checkbox|radio/.test(e.type) ? e.closest("label") ?? e : e
    const box = row.getBoundingClientRect()
    if (box.height < 24 || box.width < 24) wrong.push("too small for a finger: " + told(e))
  }

  // contrast (WCAG 2.1): 4.5 for text, 3 for large text and for what shows where to type
  const parse = text => {
    const n = text.match(/[\\d.]+/g).map(Number)
    return {rgb: n.slice(0, 3), a: n.length > 3 ? n[3] : 1}
  }
  const light = rgb => {
    const even = v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4
    const [r, g, b] = rgb.map(v => even(v / 255))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const ratio = (one, other) => {
    const [a, b] = [light(one), light(other)].sort((x, y) => y - x)
    return (a + 0.05) / (b + 0.05)
  }
  const night = matchMedia("(prefers-color-scheme: dark)").matches
  const canvas = night ? [18, 18, 18] : [255, 255, 255]
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const paint = parse(getComputedStyle(e).backgroundColor)
      if (paint.a > 0.99) return paint.rgb
    }
    return canvas
  }
  let least = 99
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement
    const style = getComputedStyle(e)
    if (!texts.currentNode.data.trim() || /STYLE|SCRIPT|OPTION/.test(e.tagName)) continue
    if (e.closest("meter") || style.visibility != "visible" || !e.getClientRects().length) continue
    const size = parseFloat(style.fontSize), bold = style.fontWeight >= 700
    const need = size >= 24 || bold && size >= 18.66 ? 3 : 4.5
    const is = ratio(parse(style.color).rgb, behind(e))
    least = Math.min(least, is)
    if (is < need) wrong.push(`contrast ${is.toFixed(2)}: ${told(e)}`)
  }
  for (const e of document.querySelectorAll("input, select, textarea")) {
    if (/hidden|checkbox|radio/.test(e.type)) continue
    const style = getComputedStyle(e)
    const text = ratio(parse(style.color).rgb, behind(e))
    if (text < 4.5) wrong.push(`contrast ${text.toFixed(2)} of what is typed: ${told(e)}`)
    const edge = Math.max(ratio(parse(style.borderTopColor).rgb, behind(e.parentElement)),
                          ratio(behind(e), behind(e.parentElement)))
    if (edge < 3) wrong.push(`edge ${edge.toFixed(2)}: ${told(e)}`)
  }
  return {wrong, least}
}
"""


async def faults(page):
    """Sentences on what keeps somebody from using this page; [] if nothing does."""
    return (await page.evaluate(_LOOK))["wrong"]
