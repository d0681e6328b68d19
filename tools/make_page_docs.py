"""The pictures of docs/simulator.md: the simulator's page as a browser shows it.

    .venv/bin/python tools/make_page_docs.py [FOLDER]    docs/simulator if none is given

Starts the simulator and plays stories in the system's Chromium, as tests/test_browser_page.py
does; takes a minute. `tools/env.py test` installs what it needs but Chromium.
"""

import asyncio
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
for part in (ROOT / "tests", ROOT):
    sys.path.insert(0, str(part))

import visitor as visitors
from simulator.server import Server
from simulator.world import Options, World

FOLDER = ROOT / "docs/simulator"
LARGEST = 300 * 1024  # bytes of a picture
DESK = {"width": 1360, "height": 1190}
PHONE = {"width": 390, "height": 1180}


async def shoot(page, folder, name):
    """Write folder/name.png: what is in the window now."""
    path = folder / f"{name}.png"
    await page.screenshot(path=path, animations="disabled")
    size = path.stat().st_size
    print(f"{path.name}: {size} bytes")
    if size > LARGEST:
        raise SystemExit(f"{path.name} is larger than {LARGEST} bytes")


async def open_page(browser, url, size=DESK, dark=False):
    context = await browser.new_context(
        viewport=size, color_scheme="dark" if dark else "light", reduced_motion="reduce"
    )
    context.set_default_timeout(60000)
    page = await context.new_page()
    await page.goto(url)
    await page.wait_for_selector(".node.now")
    return page


async def pictures(browser, url, folder):
    page = await open_page(browser, url)
    await page.click("[data-story=evening]")
    await page.wait_for_selector("#count:not([hidden])")
    await page.wait_for_selector("#led.on")
    await shoot(page, folder, "evening")
    dark = await open_page(browser, url, dark=True)
    await dark.click("#leave")
    await dark.click("[data-story=cable]")
    await dark.wait_for_selector("#verdict.passed")
    await shoot(dark, folder, "cable-dark")
    phone = await open_page(browser, url, PHONE)
    await phone.locator("#button").focus()
    await phone.keyboard.down("Space")
    await phone.wait_for_selector("#held[data-reach=portal]", state="attached")
    await phone.wait_for_selector("#led.on")
    await shoot(phone, folder, "phone")
    await phone.keyboard.up("Space")
    await page.wait_for_selector("#frame:not([hidden])")
    await page.frame_locator("#frame").get_by_label("Portal password").wait_for()
    await page.locator(".portal").scroll_into_view_if_needed()
    await page.wait_for_timeout(1000)  # what was out of sight is drawn now
    await shoot(page, folder, "portal")


async def make(folder):
    """Write all pictures into folder."""
    from playwright.async_api import async_playwright

    folder.mkdir(parents=True, exist_ok=True)
    world = World(Options())
    await world.start()
    server = Server(world)
    world.phone.home = url = f"http://127.0.0.1:{await server.start(0)}/"
    await world.phone.start(0)
    try:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=visitors.chromium(), args=visitors.FLAGS.split()
            )
            await pictures(browser, url, folder)
            await browser.close()
    finally:
        await server.stop()
        await world.phone.stop()
        await world.stop()


def main(arguments):
    if not visitors.chromium():
        raise SystemExit("Chromium is missing (Debian: apt-get install chromium)")
    asyncio.run(make(Path(arguments[0]) if arguments else FOLDER))


if __name__ == "__main__":
    main(sys.argv[1:])
