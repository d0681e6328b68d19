"""PRINT: from wherever the plug is to a job that is off afterwards, and every way it can fail."""

import pytest

from e2e import ARMED, CONNECTED, OFF, ROOT, Plug
from servers import Pi, wait_until
from whole import House, virtual

SELECT = "POST", "/api/files/local/"
QUIET = "nothing printing"


def sent(house):
    return [path for method, path in house.pi.octoprint.requests_seen
            if method == "POST" and path.startswith(SELECT[1])]  # fmt: skip


async def print_it(house, path="part.gcode"):
    word = path if isinstance(path, bytes) else b"PRINT " + path.encode()
    await house.broker.publish(house.topic("/switch"), word)


async def told(house, text, limit_s=60):
    await house.until(lambda: house.retained("/print") == text, limit_s)


def plug(tmp_path, **given):
    return House(tmp_path, broker=True, remote_print=True, **given)


@virtual
async def test_from_off_to_a_print_to_off(tmp_path):
    async with plug(tmp_path, initial_state="Relay_off") as house:
        await house.until(lambda: house.retained("/status") == "online", 60)
        await print_it(house)
        await told(house, "waiting for OctoPrint")
        await house.until("Waiting", 6)
        await told(house, "printing part.gcode", 200)
        await house.until("Armed", 10)
        assert (house.printer.job.name, house.retained("/switch")) == ("part.gcode", "-")
        await house.until("Relay_off", 1500)
        assert len(sent(house)) == 1 and not house.pi.cuts
        assert house.retained("/print") == "printing part.gcode"


@virtual
async def test_octoprint_that_is_without_its_printer_is_told_to_connect(tmp_path):
    async with plug(tmp_path, initial_state="Relay_off") as house:
        house.pi.autoconnect = False
        await house.until(lambda: house.retained("/status") == "online", 60)
        await print_it(house)
        await told(house, "connecting the printer", 200)
        await told(house, "printing part.gcode", 100)
        assert ("POST", "/api/connection") in house.pi.octoprint.requests_seen


@virtual
@pytest.mark.parametrize("state", ["Switched_ON", "Connected", "Cooling"])
async def test_it_starts_from_any_state_that_does_not_print(tmp_path, state):
    async with plug(tmp_path, booted=True, cool_below_c=20) as house:
        await house.until(lambda: house.retained("/status") == "online", 60)
        await house.until(lambda: house.reason == QUIET, 60)
        if state == "Switched_ON":
            await house.short()
        elif state == "Cooling":
            await house.long()
            await house.until("Cooling", 30)
        await print_it(house)
        await told(house, "printing part.gcode", 60)
        await house.until("Armed", 10)


@virtual
async def test_a_path_is_sent_as_it_is_with_what_is_no_letter_in_numbers(tmp_path):
    async with plug(tmp_path, booted=True) as house:
        path = "Box für A&B/a%20 (2).gcode"
        house.pi.octoprint.files = [path]
        await house.until(lambda: house.retained("/status") == "online", 60)
        await print_it(house, path)
        await told(house, "printing " + path, 60)
        assert house.printer.job.name == path
        assert sent(house) == [SELECT[1] + "Box%20f%C3%BCr%20A%26B/a%2520%20%282%29.gcode"]


@virtual
@pytest.mark.parametrize(
    "word, answer",
    [
        (b"PRINT nothing.gcode", "no: there is no such file"),
        (b"PRINT ../config.yaml", "no: a path has 1 to 160 bytes, no .. in it and no / before it"),
        (b"PRINT /etc/x", "no: a path has 1 to 160 bytes, no .. in it and no / before it"),
        (b"PRINT " + b"x" * 161, "no: a path has 1 to 160 bytes, no .. in it and no / before it"),
        (b"PRINT \xff\xfe", "no: a path has 1 to 160 bytes, no .. in it and no / before it"),
        (b"print nothing.gcode", "no: there is no such file"),
    ],
)
async def test_what_cannot_be_printed_is_told_and_over(tmp_path, word, answer):
    async with plug(tmp_path, booted=True) as house:
        await house.until(lambda: house.retained("/status") == "online", 60)
        await print_it(house, word)
        await told(house, answer)
        seen = len(sent(house))
        await house.pause(120)
        assert len(sent(house)) == seen <= 1 and house.state == "Connected"


@virtual
@pytest.mark.parametrize("word", [b"PRINT", b"PRINT ", b"PRINT " + b"x" * 300, b"PRINTER x"])
async def test_without_a_path_or_longer_than_a_packet_it_is_no_command(tmp_path, word):
    async with plug(tmp_path, booted=True) as house:
        await house.until(lambda: house.retained("/status") == "online", 60)
        await print_it(house, word)
        await house.pause(5)
        assert [text for text in house.published("/error") if "is none of ON" in text]
        assert not house.retained("/print") and not sent(house)


@virtual
async def test_unless_it_is_allowed_nothing_is_printed(tmp_path):
    async with House(tmp_path, booted=True, broker=True) as house:
        await house.until(lambda: house.retained("/status") == "online", 60)
        await print_it(house)
        await told(house, "no: remote_print is off")
        await house.pause(60)
        assert not sent(house) and house.printer.job is None


@virtual
async def test_a_retained_print_is_for_another_day(tmp_path):
    async with plug(tmp_path, booted=True) as house:
        topic = house.topic("/switch")
        await house.broker.publish(topic, b"PRINT part.gcode", retain=True)
        await house.until(lambda: house.retained("/status") == "online", 60)
        await house.pause(60)
        assert not sent(house) and house.retained("/switch") == "-"


@virtual
async def test_a_job_of_somebody_else_is_left_alone(tmp_path):
    async with plug(tmp_path, booted=True) as house:
        await house.until(lambda: house.retained("/status") == "online", 60)
        await house.until(lambda: house.reason == QUIET, 60)
        house.printer.start("other.gcode", 600)
        await house.until("Started", 20)
        await print_it(house)
        await told(house, "no: printing")
        assert house.state == "Started" and not sent(house)


@virtual
async def test_a_job_that_begins_while_it_waits_ends_it(tmp_path):
    async with plug(tmp_path, booted=True) as house:
        await house.until(lambda: house.retained("/status") == "online", 60)
        await house.until(lambda: house.reason == QUIET, 60)
        house.pi.octoprint.modes = {SELECT[1]: "404"}
        house.pi.octoprint._post_api_files_local = lambda *_: house.pi.octoprint._conflict()
        house.pi.octoprint.modes = {}
        await print_it(house)
        await house.pause(20)
        assert house.retained("/print") == "waiting for OctoPrint" and sent(house)
        house.printer.start("other.gcode", 600)
        await told(house, "no: something else is printing")
        assert house.state == "Started"


@virtual
async def test_a_request_that_was_taken_is_never_sent_again(tmp_path):
    """Else a job that failed at once would be begun for ever."""
    async with plug(tmp_path, booted=True) as house:
        octoprint = house.pi.octoprint
        octoprint._post_api_files_local = lambda *_: (204, b"", "text/plain", "")
        await house.until(lambda: house.retained("/status") == "online", 60)
        await house.until(lambda: house.reason == QUIET, 60)
        await print_it(house)
        await told(house, "starting part.gcode")
        await told(house, "given up: " + QUIET, 70)
        assert len(sent(house)) == 1


@virtual
async def test_it_is_given_up_after_a_quarter_of_an_hour(tmp_path):
    async with plug(tmp_path, booted=True) as house:
        await house.until(lambda: house.retained("/status") == "online", 60)
        house.pi.octoprint.mode = "hang"
        await print_it(house)
        await house.pause(890)
        assert house.retained("/print") == "waiting for OctoPrint"
        await house.until(lambda: house.retained("/print").startswith("given up: "), 60)
        assert house.plug.machine.relay


@virtual
@pytest.mark.parametrize("by", ["short", "OFF"])
async def test_a_person_who_wants_something_else_ends_it(tmp_path, by):
    async with plug(tmp_path, booted=True) as house:
        await house.until(lambda: house.retained("/status") == "online", 60)
        house.printer.disconnect()
        house.printer.connect = lambda: None
        await house.until(lambda: house.reason == "OctoPrint lost the printer", 60)
        await print_it(house)
        await told(house, "connecting the printer")
        if by == "short":
            await house.short()
        else:
            await house.broker.publish(house.topic("/switch"), b"OFF")
        await house.until(lambda: house.retained("/print").startswith("given up: "), 30)
        house.printer.connect = type(house.printer).connect.__get__(house.printer)
        house.printer.connect()
        await house.pause(120)
        assert not sent(house)


@virtual
async def test_a_key_that_may_not_print_is_told(tmp_path):
    async with plug(tmp_path, booted=True) as house:
        house.pi.octoprint.modes = {SELECT[1]: "403"}
        await house.until(lambda: house.retained("/status") == "online", 60)
        await print_it(house)
        await told(house, "no: the API key may not print")


@virtual
@pytest.mark.parametrize(
    "named, begun, below, answer",
    [
        ("remarks", False, "/error", "no room for it"),
        ("order", False, "/print", "no: there is no room for it"),
        ("wake", True, "/print", "no: there is no room for it"),
    ],
)
async def test_without_room_for_it_that_is_told(
    tmp_path, monkeypatch, named, begun, below, answer
):
    import builtins

    load = builtins.__import__

    def full(name, *rest):
        if name == named:
            raise MemoryError
        return load(name, *rest)

    async with plug(tmp_path, booted=True) as house:
        await house.until(lambda: house.retained("/status") == "online", 60)
        if begun:
            house.printer.disconnect()
            await print_it(house)
            await told(house, "connecting the printer", 60)
        monkeypatch.setattr(builtins, "__import__", full)
        if not begun:
            await print_it(house)
        await house.until(lambda: answer in house.published(below), 60)
        assert not house.plug.file and not house.plug.mqtt.given


# --- the real OctoPrint --------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("version", ["octoprint", "octoprint_2"])
def test_the_real_one_boots_prints_the_file_and_is_shut_down(
    micropython, flash, mosquitto, request, tmp_path, version
):
    octoprint = request.getfixturevalue(version)
    octoprint.print("M109 S45", *["G4 P200"] * 30, "M104 S0", name="a b (1).gcode")
    octoprint.cancel()
    octoprint.wait_flag("ready")
    pi = Pi(octoprint, 1.0)
    plug = None
    try:
        with mosquitto.client() as client:
            plug = Plug(flash, tmp_path / "flash", pi, mosquitto, remote_print=True)
            plug.reach(CONNECTED)
            for _ in range(3):
                plug.long()
            plug.reach(OFF)
            wait_until(lambda: not pi.powered, "the power to be gone")
            pi.cut_alive = False
            plug.now()
            client.publish(f"{ROOT}/switch", "PRINT a b (1).gcode")
            client.wait(f"{ROOT}/print", "waiting for OctoPrint")
            client.wait(f"{ROOT}/print", "printing a b (1).gcode", 120)
            client.wait(f"{ROOT}/switch", "-")
            plug.reach(ARMED)
            plug.now()
            plug.reach(OFF, 120)
            assert octoprint.shutdown_asked == 1 and not pi.cut_alive
    finally:
        if plug:
            plug.close()
        pi.close()
        octoprint.stop()
