"""The pictures of docs/portal.md: the portal's pages as a phone shows them.

    .venv/bin/python tools/make_portal_docs.py [FOLDER]    docs/portal if none is given

Starts the simulator with the firmware under 32-bit MicroPython, visits the portal with the
system's Chromium as tests/test_browser_portal.py does, and writes one PNG a page. Needs what those
tests need; `tools/env.py test` installs it but for Chromium.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
for part in (ROOT / "tests", ROOT):
    sys.path.insert(0, str(part))

import build
import visitor as visitors
from simulator import lan
from visitor import LAN, POINT, House, Visitor

FOLDER = ROOT / "docs/portal"
LARGEST = 60 * 1024  # bytes of a picture
TALLEST = 900  # px of a page that is shown

SET_UP = {
    "wifi_ssid": lan.NAME,
    "wifi_password": lan.PASSWORD,
    "portal_password": "correct horse",
    "octoprint_host": "octopi.local",
    "octoprint_api_key": "SIMULATEDKEYSIMULATEDKEYSIMULATE",
    "led_version": False,
    "poll_idle_s": 0.3,
    "wifi_settle_s": 0,
    **visitors.HELD,
}


async def shoot(page, folder, name):
    """Write folder/name.png: the page from its top, as long as it is, but not for ever."""
    height = await page.evaluate("document.documentElement.scrollHeight")
    clip = {"x": 0, "y": 0, "width": visitors.PHONE["width"], "height": min(height, TALLEST)}
    path = folder / f"{name}.png"
    await page.screenshot(path=path, full_page=True, clip=clip, animations="disabled")
    size = path.stat().st_size
    print(f"{path.name}: {size} bytes")
    if size > LARGEST:
        raise SystemExit(f"{path.name} is larger than {LARGEST} bytes")


async def new_plug(visitor, flash, home, folder):
    """First set-up, from the access point."""
    async with House(flash, home) as house:
        await house.opened()
        page = await visitor.page(house)
        await page.goto(POINT + "/")
        await shoot(page, folder, "new")
        await page.goto(POINT + "/wifi")
        await page.get_by_role("radio", name=lan.NAME).check()
        await page.get_by_label("Password", exact=True).fill("wrong password")
        await shoot(page, folder, "wifi")
        await page.get_by_role("button", name="Join").click()
        await page.goto(POINT + "/wifi")
        await shoot(page, folder, "wifi-wrong")


async def set_up(visitor, flash, home, folder):
    """A plug at work, from its own network."""
    async with House(flash, home, SET_UP) as house:
        connected = "Waiting_for_print_activity_connected"
        await house.until(lambda: house.runner.state == connected, "it finds no OctoPrint")
        await house.hold()
        page = await visitor.page(house)
        await page.goto(LAN + "/")
        await shoot(page, folder, "login")
        await page.get_by_label("Portal password").fill(SET_UP["portal_password"])
        await page.get_by_role("button", name="Log in").click()
        await page.wait_for_url(LAN + "/")
        await shoot(page, folder, "menu")
        await page.goto(LAN + "/octoprint")
        await shoot(page, folder, "octoprint")
        await page.goto(LAN + "/settings?g=4")
        await page.get_by_label("Cool below").fill("500")
        await page.get_by_role("button", name="Save").click()
        await page.wait_for_selector("[role=alert]")
        await shoot(page, folder, "settings-wrong")
        await page.emulate_media(color_scheme="dark")
        await page.goto(LAN + "/info")
        await shoot(page, folder, "info-dark")


async def make(folder):
    """Write all pictures into folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        flash = Path(work) / "flash"
        await asyncio.to_thread(build.build, flash)
        async with Visitor() as visitor:
            await new_plug(visitor, flash, Path(work) / "new", folder)
            await set_up(visitor, flash, Path(work) / "used", folder)


def main(arguments):
    if not visitors.chromium():
        raise SystemExit("Chromium is missing (Debian: apt-get install chromium)")
    asyncio.run(make(Path(arguments[0]) if arguments else FOLDER))


if __name__ == "__main__":
    main(sys.argv[1:])
