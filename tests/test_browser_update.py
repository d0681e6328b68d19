"""An update as a person makes it: Chromium on a phone sends a bundle, a SHORT press confirms it.

The plug runs under 32-bit MicroPython with the heap of the 1 MB model, without JavaScript.
"""

import hashlib

import pytest
import pytest_asyncio

import updates
import visitor as visitors
from conftest import lacking
from simulator import lan
from visitor import LAN, House, Visitor, faults

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

PASSWORD = "correct horse"
SET_UP = {
    "wifi_ssid": lan.NAME,
    "wifi_password": lan.PASSWORD,
    "portal_password": PASSWORD,
    "ota_key": "the ota key is a secret",
    "led_version": False,
    **visitors.HELD,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def visitor():
    if not visitors.chromium():
        lacking("Chromium", "install it (Debian: apt-get install chromium)")
    async with Visitor() as visitor:
        yield visitor


@pytest.fixture(scope="module")
def newer(tmp_path_factory):
    """Path of a bundle of version 5.0.1."""
    folder = tmp_path_factory.mktemp("newer")
    path = folder / "octoplugout-5.0.1.opo"
    path.write_bytes(updates.newer(folder))
    return path


@pytest_asyncio.fixture(loop_scope="module")
async def plug(micropython, flash, tmp_path):
    """A House with a plug that is set up and in its network."""
    async with House(flash, tmp_path / "flash", SET_UP) as house:
        await house.until(house.online, "it joins no network")
        yield house


async def to_the_page(plug, page):
    """HOLD, log in, choose Update."""
    await plug.hold()
    await page.goto(LAN + "/")
    await page.get_by_label("Portal password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await page.get_by_role("link", name="Update").click()


async def send(page, path):
    await page.get_by_label("Bundle").set_input_files(path)
    await page.get_by_role("button", name="Send to the plug").click()


def moves(plug):
    return [closed for _, closed in plug.runner.chip.relay_log]


async def test_a_phone_updates_the_plug_and_the_power_stays_on(visitor, plug, newer):
    page = await visitor.page(plug, scripts=False)
    state = plug.runner.state
    await to_the_page(plug, page)
    assert await faults(page) == []
    await send(page, newer)
    await page.wait_for_selector("text=Press the plug's button, short")
    text = await page.inner_text("main")
    assert hashlib.sha256(newer.read_bytes()).hexdigest() in text
    assert updates.VERSION in text and "does not switch the power" in text
    assert await faults(page) == []
    assert not (plug.folder / "slot").exists(), "nothing before the press"
    await plug.runner.hold(200)
    # The page looks by itself how it went
    await page.wait_for_selector(f"text=Update {updates.VERSION} is in its place")
    assert await faults(page) == []
    await plug.closed()
    await to_the_page(plug, page)
    assert f"Version {updates.VERSION} runs, in slot b" in await page.inner_text("main")
    assert moves(plug) == [True], "closed at the start, and never moved since"
    assert plug.runner.state == state, "the press was for the update"
    assert plug.settings == SET_UP
    assert SET_UP["ota_key"].encode() not in b"".join(visitor.way.sent)


async def test_what_is_no_bundle_is_refused_in_words_and_may_be_sent_again(
    visitor, plug, newer, tmp_path
):
    page = await visitor.page(plug, dark=True, scripts=False)
    await to_the_page(plug, page)
    photo, damaged = tmp_path / "photo.jpg", tmp_path / "damaged.opo"
    photo.write_bytes(b"\xff\xd8\xff" * 60000)
    data = bytearray(newer.read_bytes())
    data[-500] ^= 1
    damaged.write_bytes(data)
    for path, said in ((photo, "does not begin with OPO1"), (damaged, "came damaged")):
        await send(page, path)
        await page.wait_for_selector(f"text={said}")
        assert await faults(page) == []
    assert not (plug.folder / "b/seq").exists() and not (plug.folder / "slot").exists()
    await send(page, newer)
    await page.wait_for_selector("text=Press the plug's button, short")
    assert moves(plug) == [True]
    assert not [line for line in plug.runner.serial if "Error" in line]
