"""What the Pi still has to finish is waited for, and nothing else keeps the power on."""

import json

import pytest

from e2e import ARMED, COOLING, JOB_C, OFF, Plug
from servers import Pi
from whole import House, virtual


async def printed(house):
    """A job is over and all is cool; the plug is about to ask."""
    await house.until(lambda: house.reason == "nothing printing", 60)
    house.printer.start(duration_s=600)
    await house.until("Armed", 500)
    await house.until("Cooling", 500)


async def rendering(house):
    """All is cool, and a timelapse keeps the plug waiting."""
    house.pi.octoprint.rendering = True
    await printed(house)
    await house.until(lambda: house.reason.endswith("timelapse is rendered"), 300)


def asked(house):
    return house.pi.octoprint.requests_seen.count(("POST", SHUTDOWN))


SHUTDOWN = "/api/system/commands/core/shutdown"
TELLS_NOTHING = "403 404 500 not_octoprint"
FAULTS = "garbage empty reset truncated hang endless_head endless_body drip"
LOOKS = ("GET", "/api/timelapse"), ("GET", "/plugin/softwareupdate/check")


@virtual
@pytest.mark.parametrize("what", ["rendering", "updating"])
async def test_what_is_unfinished_is_waited_for(tmp_path, what):
    async with House(tmp_path, booted=True) as house:
        setattr(house.pi.octoprint, what, True)
        await printed(house)
        await house.until(lambda: house.reason.startswith("waiting: "), 300)
        assert "C, waiting for 50 C" in house.reasons[-2][1]
        await house.pause(900)
        words = "a timelapse is rendered" if what == "rendering" else "OctoPrint is updated"
        assert (house.state, house.reason, asked(house)) == ("Cooling", "waiting: " + words, 0)
        setattr(house.pi.octoprint, what, False)
        await house.until("Relay_off", 300)
        assert asked(house) == 1 and not house.pi.cuts


@virtual
async def test_nothing_is_asked_while_it_is_warm_or_prints_and_once_or_twice_then(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await printed(house)
        assert not set(LOOKS) & set(house.pi.octoprint.requests_seen)
        await house.until("Relay_off", 500)
        for look in LOOKS:
            assert 1 <= house.pi.octoprint.requests_seen.count(look) <= 3


@virtual
async def test_it_is_not_waited_for_longer_than_the_setting_says(tmp_path):
    async with House(tmp_path, booted=True, render_wait_s=600) as house:
        house.pi.octoprint.rendering = True
        await printed(house)
        await house.until(lambda: house.reason.startswith("waiting: "), 300)
        start = house.s
        await house.until("Asking", 700)
        assert 600 <= house.s - start < 620


@virtual
async def test_zero_asks_for_nothing(tmp_path):
    async with House(tmp_path, booted=True, render_wait_s=0) as house:
        house.pi.octoprint.rendering = True
        await printed(house)
        await house.until("Relay_off", 500)
        assert not set(LOOKS) & set(house.pi.octoprint.requests_seen)


@virtual
@pytest.mark.parametrize("mode", (TELLS_NOTHING + " " + FAULTS).split())
async def test_an_answer_that_tells_nothing_does_not_keep_the_power_on(tmp_path, mode):
    """A key that may not ask, an OctoPrint without that plug-in; a fault only for a while."""
    answers = mode in TELLS_NOTHING.split()
    async with House(tmp_path, booted=True, render_wait_s=300) as house:
        house.pi.octoprint.modes = {"/api/timelapse": mode, "/plugin/softwareupdate": mode}
        await printed(house)
        await house.until("Relay_off", 600 if answers else 900)
        assert asked(house) == 1 and not house.pi.cuts
        reasons = [text for _, text in house.reasons]
        assert ("waiting: OctoPrint does not tell what it does" in reasons) != answers


@virtual
async def test_a_look_without_an_answer_changes_nothing(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await rendering(house)
        house.pi.octoprint.modes = {"/api/timelapse": "empty"}
        await house.pause(300)
        assert house.reason == "waiting: a timelapse is rendered"


@virtual
async def test_a_person_does_not_wait(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await rendering(house)
        await house.short()
        await house.until("Switched_ON", 2)
        assert house.plug.machine.pending == ""
        for _ in range(3):
            await house.long()
        await house.until("Relay_off", 10)


@virtual
async def test_a_job_that_starts_meanwhile_is_a_job(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await rendering(house)
        house.printer.start(duration_s=600)
        await house.until("Armed", 20)
        assert house.plug.machine.pending == ""
        house.pi.octoprint.rendering = False
        await house.until("Relay_off", 1500)
        assert not house.pi.cuts


@virtual
async def test_without_room_to_look_the_power_goes_all_the_same(tmp_path, monkeypatch):
    import builtins

    load = builtins.__import__

    def full(name, *rest):
        if name == "pending":
            raise MemoryError
        return load(name, *rest)

    async with House(tmp_path, booted=True) as house:
        monkeypatch.setattr(builtins, "__import__", full)
        await printed(house)
        await house.until("Relay_off", 500)


@virtual
@pytest.mark.parametrize("shutdown_pi", [True, False])
async def test_a_printer_that_is_lost_meanwhile_is_cool_in_time(tmp_path, shutdown_pi):
    async with House(tmp_path, booted=True, shutdown_pi=shutdown_pi) as house:
        await rendering(house)
        house.pi.octoprint.rendering = False
        house.printer.disconnect()
        await house.until("Relay_off", 1500)


@virtual
async def test_a_restart_in_place_while_it_cools_goes_on_waiting(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await rendering(house)
        house.plug.again = True
        await house.until(lambda: house.restarts == 1, 10)
        await house.until(lambda: house.reason.endswith("timelapse is rendered"), 60)
        assert house.state == "Cooling"
        house.pi.octoprint.rendering = False
        await house.until("Relay_off", 300)
        assert asked(house) == 1 and not house.pi.cuts


# --- the real OctoPrint --------------------------------------------------------------------------

FFMPEG = """#!/bin/sh
case "$*" in *-version*) echo "ffmpeg version 6.0"; exit;; esac
while [ -e "{0}/renders" ]; do sleep 0.1; done
for film; do :; done
echo film > "$film"
"""
UPDATE = """#!/bin/sh
while [ -e "{0}/updates" ]; do sleep 0.1; done
"""


def busy(octoprint):
    """Give it what takes as long as the files `renders` and `updates` are in its folder."""
    octoprint.stop()
    folder = octoprint.folder
    for name, text in ("ffmpeg", FFMPEG), ("update", UPDATE):
        (folder / name).write_text(text.format(folder))
        (folder / name).chmod(0o755)
    config = octoprint._config(folder / "shutdown.sh")
    plugins = config["plugins"]
    needed = "softwareupdate", "classicwebcam"
    plugins["_disabled"] = [name for name in plugins["_disabled"] if name not in needed]
    config["webcam"]["ffmpeg"] = str(folder / "ffmpeg")
    plugins["classicwebcam"] = {"snapshot": "http://127.0.0.1:9/", "stream": "/webcam"}
    about = {"type": "always_current", "current": "1", "displayName": "Part"}
    about |= {"update_script": str(folder / "update"), "update_folder": str(folder)}
    plugins["softwareupdate"] = {"checks": {"part": about}}
    (folder / "config.yaml").write_text(json.dumps(config))
    octoprint.start()
    shots = folder / "timelapse/tmp"
    shots.mkdir(parents=True, exist_ok=True)
    for n in range(3):
        (shots / f"part_20260101120000-{n}.jpg").write_bytes(b"a picture")
    for name in "renders", "updates":
        (folder / name).touch()


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.11.8", "2.0.0rc7"])
def test_the_real_one_ends_a_timelapse_and_an_update_before_it_is_asked(
    micropython, flash, octoprints, tmp_path, version
):
    octoprint = octoprints(version)
    busy(octoprint)
    pi = Pi(octoprint, 1.0)
    plug = None
    try:
        octoprint.do("/api/timelapse/unrendered/part_20260101120000", command="render")
        octoprint.do("/plugin/softwareupdate/update", targets=["part"], force=True)
        plug = Plug(flash, tmp_path / "flash", pi)
        plug.reach("Waiting_for_print_activity_connected")
        octoprint.job(3, JOB_C)
        plug.reach(ARMED)
        plug.reach(COOLING)
        plug.tells("waiting: a timelapse is rendered")
        (octoprint.folder / "renders").unlink()
        plug.tells("waiting: OctoPrint is updated")
        assert not octoprint.shutdown_asked and plug.state == COOLING
        (octoprint.folder / "updates").unlink()
        plug.reach(OFF)
        assert octoprint.shutdown_asked == 1 and not pi.cut_alive
        assert list(octoprint.folder.glob("timelapse/*.mp4"))
    finally:
        if plug:
            plug.close()
        pi.close()
        octoprint.stop()


@pytest.mark.real
@pytest.mark.slow
def test_a_key_that_may_not_list_timelapses_keeps_nothing_on(
    micropython, flash, octoprints, tmp_path
):
    octoprint = octoprints("1.11.8")
    busy(octoprint)
    octoprint.do("/api/timelapse/unrendered/part_20260101120000", command="render")
    octoprint.do("/api/access/groups", key="plugs", name="Plugs", description="", subgroups=[],
                 permissions=["CONNECTION", "STATUS", "SYSTEM"], default=False)  # fmt: skip
    octoprint.do("/api/access/users", name="plug", password="x", active=True, admin=False,
                 groups=["plugs"])  # fmt: skip
    key = octoprint.do("/api/access/users/plug/apikey")["apikey"]
    assert octoprint.call("GET", "/api/timelapse?unrendered=true", key=key)[0] == 403
    pi = Pi(octoprint, 1.0)
    plug = None
    try:
        plug = Plug(flash, tmp_path / "flash", pi, octoprint_api_key=key)
        plug.reach("Waiting_for_print_activity_connected")
        plug.long()
        plug.reach(OFF)
        assert octoprint.shutdown_asked == 1 and not pi.cut_alive
    finally:
        if plug:
            plug.close()
        pi.close()
        octoprint.stop()
