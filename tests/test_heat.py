"""The heat watch: what it tells of, on which channels, and that it cuts nothing."""

import pytest

from whole import House, virtual

QUIET = "nothing printing"


def watched(tmp_path, **given):
    return House(tmp_path, booted=True, broker=True, alarm_above_c=250, **given)


async def overheated(house):
    await house.until(lambda: house.reason == QUIET, 60)
    house.printer.heat("tool0", 260)
    await house.until(lambda: house.reason.startswith("alarm: "), 200)


async def alarmed(house, text, limit_s=200):
    await house.until(lambda: house.reason == "alarm: " + text, limit_s)


@virtual
async def test_a_heater_above_the_limit_is_told_on_every_channel(tmp_path):
    async with watched(tmp_path) as house:
        await overheated(house)
        text = house.reason[len("alarm: ") :]
        assert text.endswith("C, above 250 C")
        assert house.plug.machine.led == ["100", "100"] and house.plug.blinks == (100, 100)
        await house.pause(3)
        assert house.published("/error") == [text]
        assert house.retained("/reason").startswith("alarm: ")
        assert text in house.told
        await house.pause(600)
        assert house.plug.machine.relay and house.state == "Connected"
        assert len(house.published("/error")) == 1  # told once
        house.printer.heat("tool0", 0)
        await house.until(lambda: house.reason == QUIET, 200)
        assert house.plug.machine.alarm == ""


@virtual
async def test_what_gets_hot_although_nothing_is_to_be_heated_is_told(tmp_path):
    async with watched(tmp_path) as house:
        await house.until(lambda: house.reason == QUIET, 60)
        tool = house.printer.heaters["tool0"]
        cool = type(tool).move

        def burns(self, seconds):  # a transistor that no longer opens
            tool.actual = min(tool.actual + seconds / 3, 120)

        tool.move = burns.__get__(tool)
        await house.until(lambda: house.reason.startswith("alarm: "), 200)
        assert house.reason.endswith("C and rising, but nothing is to be heated")
        assert 36 <= tool.actual < 45
        await house.pause(900)
        assert house.plug.machine.relay
        tool.move = cool.__get__(tool)
        await house.until(lambda: house.reason == QUIET, 300)


@virtual
async def test_heating_cooling_and_another_job_are_no_alarm(tmp_path):
    async with watched(tmp_path) as house:
        await house.until(lambda: house.reason == "nothing printing", 60)
        for _ in range(2):
            house.printer.start(duration_s=600, tool_c=240)
            await house.until("Cooling", 1200)
            await house.short()
            await house.short()
            await house.pause(30)
        assert not [text for _, text in house.reasons if "alarm" in text]


@virtual
@pytest.mark.parametrize("how", ["disconnect", "refused", "hang"])
async def test_octoprint_that_is_gone_in_the_middle_of_a_hot_job_is_told(tmp_path, how):
    async with watched(tmp_path) as house:
        await house.until(lambda: house.reason == "nothing printing", 60)
        house.printer.start(duration_s=6000)
        await house.until("Armed", 500)
        if how == "disconnect":
            house.printer.disconnect()
        else:
            house.pi.octoprint.mode = how
        start = house.s
        await alarmed(house, "OctoPrint lost a hot printer, 210 C")
        assert house.s - start >= 30
        await house.pause(2)
        assert house.published("/error") == ["OctoPrint lost a hot printer, 210 C"]
        await house.pause(3600)
        assert house.plug.machine.relay and not house.pi.cuts


@virtual
async def test_no_wifi_is_no_news_of_the_printer(tmp_path):
    async with watched(tmp_path) as house:
        await house.until(lambda: house.reason == "nothing printing", 60)
        house.printer.start(duration_s=6000)
        await house.until("Armed", 500)
        house.wifi.up = False
        await house.pause(600)
        assert not [text for _, text in house.reasons if "alarm" in text]


@virtual
async def test_it_is_off_unless_a_limit_is_set(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await house.until(lambda: house.reason == "nothing printing", 60)
        house.printer.heat("tool0", 300)
        await house.pause(300)
        assert house.reason == QUIET


@virtual
async def test_an_alarm_is_over_when_the_power_is_gone(tmp_path):
    async with watched(tmp_path) as house:
        await overheated(house)
        for _ in range(3):
            await house.long()
        await house.until("Relay_off", 10)
        assert (house.reason, house.plug.machine.alarm) == ("off", "")


@virtual
async def test_an_alarm_does_not_hide_what_a_countdown_says(tmp_path):
    async with watched(tmp_path) as house:
        await overheated(house)
        await house.long()
        await house.long()
        assert (house.state, house.plug.machine.look) == ("Countdown", "by_hand")
        await house.pause(5)
        assert house.reason.endswith("s, by hand")


@virtual
async def test_an_alarm_ends_when_it_is_no_longer_wanted(tmp_path):
    async with watched(tmp_path) as house:
        await overheated(house)
        house.plug.s.alarm_above_c = 0
        house.plug.changes = ("alarm_above_c",)
        await house.until(lambda: house.reason == QUIET, 10)
