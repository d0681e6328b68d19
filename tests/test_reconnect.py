"""Connecting the printer once its power is on: when the plug has OctoPrint do it, and when not."""

import re
import time

import pytest

from e2e import CONNECTED, OFF, Plug
from servers import Pi, wait_until
from whole import House, virtual

CONNECT = "POST", "/api/connection"


def attempts(house):
    return house.pi.octoprint.requests_seen.count(CONNECT)


async def switched_on(house):
    """The plug switches the power off and on; OctoPrint does not look for a printer by itself."""
    house.pi.autoconnect = False
    await house.reach("Relay_off")
    await house.pause(10)
    await house.short()
    await house.until("Connected", 200)


@virtual
async def test_octoprint_that_does_not_connect_by_itself_is_told_to(tmp_path):
    async with House(tmp_path, reconnect=True) as house:
        await switched_on(house)
        came = house.s
        assert not house.printer.operational
        await house.until(lambda: house.printer.operational, 60)
        assert house.s - came >= 10 and attempts(house) == 1
        await house.until(lambda: house.reason == "nothing printing", 30)
        await house.pause(400)
        assert attempts(house) == 1


@virtual
async def test_unless_it_is_switched_on_nothing_is_done(tmp_path):
    async with House(tmp_path) as house:
        await switched_on(house)
        await house.pause(400)
        assert attempts(house) == 0 and not house.printer.operational
        assert house.reason == "OctoPrint lost the printer"


@virtual
async def test_it_is_tried_again_but_not_for_ever(tmp_path):
    async with House(tmp_path, reconnect=True, reconnect_window_s=120) as house:
        house.printer.connect = lambda: None
        await switched_on(house)
        await house.pause(600)
        tried = attempts(house)
        assert 2 <= tried <= 8
        await house.pause(600)
        assert attempts(house) == tried
        assert house.plug.machine.relay


@virtual
async def test_who_disconnects_by_hand_is_not_contradicted(tmp_path):
    async with House(tmp_path, reconnect=True, reconnect_window_s=3600) as house:
        await switched_on(house)
        await house.until(lambda: house.printer.operational, 60)
        await house.until(lambda: house.reason == "nothing printing", 30)
        house.printer.disconnect()
        await house.pause(600)
        assert attempts(house) == 1 and not house.printer.operational


@virtual
async def test_a_plug_that_starts_anew_contradicts_nobody_either(tmp_path):
    async with House(tmp_path, booted=True, reconnect=True) as house:
        await house.until("Connected", 120)
        await house.until(lambda: house.reason == "nothing printing", 30)
        house.printer.disconnect()
        await house.pause(20)
        await house.kill()
        await house.pause(600)
        assert attempts(house) == 0 and not house.printer.operational


@virtual
async def test_an_attempt_of_octoprints_own_is_not_broken_off(tmp_path):
    async with House(tmp_path, reconnect=True, reconnect_delay_s=0) as house:
        house.printer.serial_s = 100
        await switched_on(house)
        house.printer.connect()
        await house.pause(90)
        assert house.printer.state == "Opening serial connection" and attempts(house) == 0


@virtual
async def test_a_key_that_may_not_is_told_and_not_tried_again(tmp_path):
    async with House(tmp_path, reconnect=True, broker=True) as house:
        octoprint = house.pi.octoprint
        octoprint._post_api_connection = lambda *_: octoprint._error(403, "no permission")
        await switched_on(house)
        await house.pause(100)
        assert "API key may not connect the printer" in house.published("/error")
        assert attempts(house) == 1


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("version", ["octoprint", "octoprint_2"])
def test_the_real_one_connects_after_the_power_came_and_stays_disconnected_by_hand(
    micropython, flash, request, tmp_path, version
):
    octoprint = request.getfixturevalue(version)
    pi = Pi(octoprint, 1.0)
    plug = None
    try:
        plug = Plug(flash, tmp_path / "flash", pi, reconnect=True, reconnect_delay_s=1)
        plug.reach(CONNECTED)
        octoprint.disconnect()
        plug.tells("lost the printer")
        assert not connected(octoprint)
        for _ in range(3):
            plug.long()
        plug.reach(OFF)
        wait_until(lambda: not pi.powered, "the power to be gone")
        autoconnect(octoprint, False)
        plug.press()
        plug.reach(CONNECTED, 120)
        wait_until(lambda: connected(octoprint), "OctoPrint to have its printer", 60)
        plug.tells("nothing printing")
        octoprint.disconnect()
        plug.tells("lost the printer")
        polls = len(plug.told)
        time.sleep(3)  # some ten polls
        assert not connected(octoprint), plug.told[polls:]
    finally:
        if plug:
            plug.close()
        pi.close()
        octoprint.stop()
        autoconnect(octoprint, True)


def connected(octoprint):
    state = octoprint.call("GET", "/api/connection", key=octoprint.key)[1]["current"]["state"]
    return state not in ("Closed", "Offline")


def autoconnect(octoprint, on):
    """Whether it connects by itself at its next start; it must not run."""
    config = octoprint.folder / "config.yaml"
    word = "true" if on else "false"
    text = config.read_text()
    config.write_text(re.sub(r"(autoconnect\"?: *)(true|false)", rf"\g<1>{word}", text))
