"""Days in the life of a plug, from the outside: relay, states, reasons, the printer's display.

Times are the defaults that a user gets. A House counts every time the Pi loses its power while it
is alive: it never may, but by a person's hand or by what `docs/safety.md` allows.
"""

import asyncio

import pytest

from whole import BOOTING, HALTED, OFF, UP, WEAK_KEY, House, virtual

ON_STATES = "Switched_ON Waiting Connected Started Armed Cooling Asking Countdown Going".split()
DONE = "Armed Cooling Asking Countdown Relay_off"


def off_in_the_end(house):
    """The relay opened once, on a Pi that had halted."""
    assert [closed for _, closed in house.moves] == [False], house.story()
    assert not house.pi.cuts, house.story()
    assert house.pi.state == OFF
    assert house.state == "Relay_off"


def on_all_along(house):
    assert not house.moves, house.story()
    assert not house.pi.cuts, house.story()


# --- a job, and how it may go -------------------------------------------------------------------


@virtual
async def test_a_job_is_printed_and_everything_is_off_a_minute_after_the_pi_is(tmp_path):
    async with House(tmp_path) as house:
        await house.until("Connected", 60)
        await house.pause(10)
        await house.print_part(600)
        await house.until("Relay_off", 1500)
        off_in_the_end(house)
        assert house.path == f"Waiting Connected Started {DONE}"
        assert house.asked() == 1
        halted = [at - house.start for at, state in house.pi.log if state == HALTED][-1]
        assert 30 <= house.moves[0][0] - halted <= 60
        told = house.told
        assert told[:3] == ["OctoPlugout 5.0", "PRINT started", "Poweroff after PRINT"]
        assert told[3].startswith("Shutdown at T=50 (now 19")
        assert told[-1] == "Poweroff in 30s"
        assert len(told) > 15  # and each 5 degrees on the way down
        await house.pause(600)
        off_in_the_end(house)
        assert house.reason == "off"


@virtual
async def test_a_job_is_printed_with_the_plugs_own_beat(tmp_path):
    """The same with every look at the button taken, 100 a second."""
    async with House(tmp_path, booted=True, grain_ms=1, min_job_s=20) as house:
        await house.until("Connected", 20)
        await house.print_part(30, tool_c=180)
        await house.until("Relay_off", 400)
        off_in_the_end(house)
        assert house.path == f"Waiting Connected Started {DONE}"


@virtual
async def test_a_pi_that_boots_is_no_trouble_with_the_wifi(tmp_path):
    async with House(tmp_path) as house:
        house.pi.boot_s = 60.0
        await house.until("Connected", 100)
        reasons = [text for _, text in house.reasons if "WiFi" in text]
        assert not reasons
        assert house.reasons[0][1] == "looking for OctoPrint"


@virtual
async def test_a_short_job_does_not_switch_off(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await house.print_part(120)
        await house.until("Started", 60)
        await house.until("Connected", 400)
        await house.pause(1800)
        on_all_along(house)
        assert house.path == "Waiting Connected Started Connected"
        assert house.reason == "nothing printing"
        assert house.asked() == 0


@virtual
async def test_a_cold_job_does_not_switch_off(tmp_path):
    """Drawing with a pen, say: long, and never hot."""
    async with House(tmp_path, booted=True) as house:
        await house.print_part(1200, tool_c=0, bed_c=0)
        await house.pause(2400)
        on_all_along(house)
        assert house.path == "Waiting Connected Started Connected"


@virtual
async def test_a_job_cancelled_early_does_not_switch_off(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await house.print_part(3600)
        await house.pause(200)
        house.printer.cancel()
        await house.pause(1200)
        on_all_along(house)
        assert house.state == "Connected"


@virtual
async def test_a_job_cancelled_after_it_counts_switches_off(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await house.print_part(3600)
        await house.until("Armed", 400)
        house.printer.cancel()
        await house.until("Relay_off", 600)
        off_in_the_end(house)
        assert house.path == f"Waiting Connected Started {DONE}"


@virtual
async def test_a_short_job_switches_off_when_asked_to(tmp_path):
    """A long press while it prints: off after this job, however short."""
    async with House(tmp_path, booted=True) as house:
        await house.print_part(60)
        await house.until("Started", 60)
        await house.long()
        assert house.state == "Armed"
        await house.until("Relay_off", 600)
        off_in_the_end(house)


@virtual
async def test_paused_overnight_it_stays_on_and_finishes_in_the_morning(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await house.print_part(900)
        await house.until("Armed", 400)
        house.printer.pause()
        house.loop.grain_ms = 1000
        await house.pause(9 * 3600)
        on_all_along(house)
        assert house.state == "Armed"
        house.loop.grain_ms = 100
        house.printer.resume()
        await house.until("Relay_off", 1500)
        off_in_the_end(house)


@virtual
async def test_a_filament_change_with_a_cold_nozzle_is_no_end_of_the_job(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await house.print_part(900)
        await house.until("Armed", 400)
        house.printer.pause()
        for heater in "tool0", "bed":
            house.printer.heat(heater, 0)
        await house.pause(1800)
        on_all_along(house)
        assert house.state == "Armed"
        assert house.reason == "printing, then off"
        house.printer.heat("tool0", 210)
        house.printer.resume()
        await house.until("Relay_off", 1500)
        off_in_the_end(house)


@virtual
async def test_a_serial_error_in_mid_job_leaves_it_to_a_person(tmp_path):
    """OctoPrint cannot see the nozzle any more: it may be hot, and printing from the SD card."""
    async with House(tmp_path, booted=True) as house:
        await house.print_part(3600)
        await house.until("Armed", 400)
        house.printer.disconnect("Offline after error")
        house.loop.grain_ms = 500
        await house.pause(4 * 3600)
        on_all_along(house)
        assert house.asked() == 0
        assert "OctoPrint lost the printer" in house.reason


@virtual
async def test_a_printer_lost_while_it_cools_is_cool_after_a_while(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await house.reach("Cooling")
        house.printer.disconnect("Offline after error")
        lost = house.s
        await house.pause(60)
        assert house.reason == "OctoPrint lost the printer"
        await house.until("Relay_off", 1500)
        assert house.states[-3][0] - lost >= 900  # Asking
        off_in_the_end(house)


@virtual
async def test_a_transfer_to_the_sd_card_is_work(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await house.reach("Cooling")
        house.printer.transferring = True
        await house.pause(1800)
        on_all_along(house)
        assert house.state == "Armed"
        assert house.asked() == 0
        house.printer.transferring = False
        await house.until("Relay_off", 300)
        off_in_the_end(house)


@virtual
async def test_a_second_print_at_the_last_second_is_printed(tmp_path):
    """It starts after the reading that was cool and before the request goes out."""
    async with House(tmp_path, booted=True) as house:
        house.when("Asking", lambda: house.printer.start(duration_s=400))
        await house.reach("Asking")
        await house.until("Armed", 10)
        assert house.asked() == 0
        await house.until("Relay_off", 1500)
        off_in_the_end(house)
        assert house.path.endswith(f"Asking {DONE}")


@virtual
async def test_a_print_started_after_an_accepted_shutdown_without_effect_is_printed(tmp_path):
    async with House(tmp_path, booted=True) as house:
        house.pi.on_shutdown = "nothing"
        await house.reach("Countdown")
        await house.print_part(600)
        await house.pause(200)
        on_all_along(house)
        assert house.path.endswith("Countdown Waiting Connected Started")


@virtual
async def test_a_cold_nozzle_with_a_preheat_is_not_cool(tmp_path):
    """Somebody gets ready for the next job."""
    async with House(tmp_path, booted=True) as house:
        await house.reach("Cooling")
        await house.until(lambda: house.printer.heaters["tool0"].actual < 52, 300)
        house.printer.heaters["tool0"].heat_c_s = 0.0  # the target is set, and it is cold yet
        house.printer.heat("tool0", 200)
        await house.pause(900)
        on_all_along(house)
        assert house.state == "Cooling"
        assert house.asked() == 0


@virtual
async def test_a_preheat_at_the_last_second_stops_the_request(tmp_path):
    async with House(tmp_path, booted=True) as house:
        house.when("Asking", lambda: house.printer.heat("tool0", 200))
        await house.reach("Asking")
        await house.until("Cooling", 15)
        await house.pause(600)
        on_all_along(house)
        assert house.asked() == 0


@virtual
async def test_the_bed_counts_when_it_is_watched(tmp_path):
    async with House(tmp_path, booted=True, watch_bed=True) as house:
        await house.reach("Cooling")
        house.printer.heat("bed", 90)
        await house.pause(600)
        assert house.state == "Cooling"
        assert house.asked() == 0
        house.printer.heat("bed", 0)
        await house.until("Relay_off", 600)
        off_in_the_end(house)


# --- mishaps, in every state --------------------------------------------------------------------


async def the_router_reboots(house):
    """The plug is back after a minute, the Pi after three."""
    house.wifi.up = False
    house.pi.network = False
    await house.pause(60)
    house.wifi.up = True
    await house.pause(120)
    house.pi.network = True


async def the_pi_loses_its_own_wifi(house):
    house.pi.network = False
    await house.pause(300)
    house.pi.network = True


async def the_plug_loses_its_wifi(house):
    house.wifi.up = False
    await house.pause(600)
    house.wifi.up = True


async def octoprint_hangs(house):
    await _octoprint(house, "hang")


async def octoprint_hangs_behind_its_proxy(house):
    await _octoprint(house, "proxy503")


async def octoprint_is_killed(house):
    """And somebody starts it again after a while."""
    lose_the_job(house)
    await _octoprint(house, "refused")
    house.printer.connect()


async def octoprint_restarts(house):
    lose_the_job(house)
    for mode, seconds in ("refused", 12), ("boot", 3), ("reset", 2):
        await _octoprint(house, mode, seconds)
    await house.pause(8)
    house.printer.connect()


def lose_the_job(house):
    """The serial line is closed; opened again it resets the printer, which forgets its targets."""
    house.printer.disconnect()
    for heater in house.printer.heaters:
        house.printer.heat(heater, 0)


async def _octoprint(house, mode, seconds=300):
    house.pi.octoprint.mode = mode
    await house.pause(seconds)
    house.pi.octoprint.mode = "ok"


MISHAPS = (
    the_router_reboots,
    the_pi_loses_its_own_wifi,
    the_plug_loses_its_wifi,
    octoprint_hangs,
    octoprint_hangs_behind_its_proxy,
    octoprint_is_killed,
    octoprint_restarts,
)
JOB_LOST = (octoprint_is_killed, octoprint_restarts)


@pytest.mark.parametrize("state", ["Relay_off", *ON_STATES])
@pytest.mark.parametrize("mishap", MISHAPS, ids=lambda mishap: mishap.__name__)
@virtual
async def test_a_mishap_cuts_no_living_pi_and_is_got_over(tmp_path, mishap, state):
    if mishap is the_pi_loses_its_own_wifi and state == "Going":
        mishap = the_router_reboots  # with this a living Pi may be cut, see below
    async with House(tmp_path) as house:
        tasks = []
        house.when(state, lambda: tasks.append(asyncio.create_task(mishap(house))))
        await house.reach(state)
        await house.until(lambda: tasks[0].done(), 900)
        tasks[0].result()
        stays = {"Relay_off", "Switched_ON"}
        if state in stays:
            await house.pause(400)
            assert house.state == state
            assert len(house.moves) == (state == "Relay_off")
            # FORCEOFF cut a Pi that was booting, by command; nothing else did
            assert [what for _, what, _ in house.pi.cuts] == [BOOTING] * (state == "Relay_off")
        elif state in ("Waiting", "Connected") or state == "Started" and mishap in JOB_LOST:
            await house.until(lambda: house.state == "Connected", 300)
            await house.pause(400)
            on_all_along(house)
        else:
            await house.until(lambda: house.state == "Relay_off", 1500)
            off_in_the_end(house)
            await house.pause(60)
            off_in_the_end(house)


@virtual
async def test_what_no_plug_can_tell_a_pi_unreachable_since_the_start_and_off_was_asked(tmp_path):
    """The one mishap above that cuts: OFF, and the Pi has not been heard of since it has power."""
    async with House(tmp_path) as house:
        house.pi.network = False
        await house.reach("Going")
        await house.until("Relay_off", 600)
        assert house.moves[0][0] >= 120 + 45  # it had its time to boot, and to settle
        assert house.pi.cuts


@pytest.mark.parametrize("state", ["Started", "Armed", "Cooling"])
@virtual
async def test_without_wifi_nothing_is_switched_and_the_reason_says_so(tmp_path, state):
    async with House(tmp_path, booted=True) as house:
        await house.reach(state)
        house.wifi.up = False
        await house.pause(3600)
        on_all_along(house)
        assert house.state == state
        assert "nothing is switched" in house.reason
        assert "no WiFi" in house.reason


# --- how the Pi halts ---------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [5, 20, 60, 110])
@virtual
async def test_a_pi_that_takes_its_time_to_halt_is_waited_for(tmp_path, seconds):
    async with House(tmp_path, booted=True) as house:
        house.pi.halt_s, house.pi.sync_s = seconds, min(2.0, seconds * 0.2)
        await house.reach("Countdown")
        await house.until("Relay_off", seconds + 90)
        off_in_the_end(house)
        halted = [at - house.start for at, what in house.pi.log if what == HALTED][-1]
        assert 43 <= house.moves[0][0] - halted <= 80


@virtual
async def test_a_pi_that_never_halts_is_never_cut_and_the_reason_says_what_to_do(tmp_path):
    async with House(tmp_path, booted=True) as house:
        house.pi.on_shutdown = "never"
        await house.reach("Countdown")
        await house.pause(119)
        assert house.reason.startswith("Pi still shutting down")
        led = house.plug.machine.led
        house.loop.grain_ms = 500
        await house.pause(3 * 3600)
        on_all_along(house)
        assert house.state == "Countdown"
        assert house.reason == "Pi does not halt: press long to cut the power"
        assert house.plug.machine.led != led
        await house.long()
        assert house.state == "Relay_off"


@virtual
async def test_a_pi_that_reboots_instead_is_not_cut(tmp_path):
    async with House(tmp_path, booted=True) as house:
        house.pi.on_shutdown = "reboot"
        house.pi.down_s, house.pi.boot_s = 8.0, 50.0  # silent for 2 + 8 + 25 s
        await house.reach("Countdown")
        await house.pause(900)
        on_all_along(house)
        assert house.path.endswith("Countdown Waiting Connected")


@virtual
async def test_a_shutdown_without_effect_goes_back_to_watching(tmp_path):
    async with House(tmp_path, booted=True) as house:
        house.pi.on_shutdown = "nothing"
        await house.reach("Countdown")
        start = house.s
        await house.until("Waiting", 150)
        assert house.s - start >= 120
        on_all_along(house)


# --- keys ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["Connected", "Started", "Armed", "Cooling", "Asking"])
@virtual
async def test_a_revoked_key_switches_nothing_and_is_told(tmp_path, state):
    async with House(tmp_path, booted=True) as house:
        house.when(state, lambda: house.pi.octoprint.accept_key(False))
        await house.reach(state)
        await house.pause(3600)
        on_all_along(house)
        assert "API key" in house.reason
        house.pi.octoprint.accept_key(True)
        if state in ("Connected", "Started"):
            await house.pause(60)
            assert house.state == "Connected"  # nobody saw the job grow old
            assert house.reason == "nothing printing"
        else:
            await house.until(lambda: house.state == "Relay_off", 1500)
            off_in_the_end(house)


@virtual
async def test_a_key_without_system_is_told_on_every_way_and_asked_ever_less(tmp_path):
    async with House(tmp_path, booted=True, octoprint_api_key=WEAK_KEY) as house:
        await house.reach("Asking")
        asking = house.plug.machine.led
        await house.pause(20)
        assert "API key may not shut down" in house.reason
        assert house.plug.machine.led != asking
        told = [text for text in house.told if "API key may not shut down" in text]
        assert len(told) == 1
        await house.pause(3600 - 20)
        on_all_along(house)
        # 5, 10, 20 … 300 s: six on the way, then one every five minutes
        assert 12 <= house.asked() <= 20
        assert house.state == "Asking"
        assert len(house.told) == len(set(house.told))  # told once, not at every try
        house.pi.octoprint.keys[WEAK_KEY][1].append("SYSTEM")
        await house.until("Relay_off", 500)
        off_in_the_end(house)


@virtual
async def test_no_shutdown_command_in_octoprint_is_told(tmp_path):
    async with House(tmp_path, booted=True) as house:
        house.pi.octoprint.on_shutdown = None
        await house.reach("Asking")
        await house.pause(600)
        on_all_along(house)
        assert "HTTP 404" in house.reason


# --- off, by hand and by command ----------------------------------------------------------------


@pytest.mark.parametrize("how", ["LONG", "OFF"])
@virtual
async def test_off_with_the_pi_already_halted(tmp_path, how):
    """Somebody shut it down in OctoPrint's menu, before the plug asked."""
    async with House(tmp_path, booted=True) as house:
        await house.reach("Started")
        house.printer.cancel()
        await house.until("Connected", 60)
        house.pi.halt()
        await house.until("Waiting", 120)
        await house.pause(600)
        on_all_along(house)
        await (house.long() if how == "LONG" else house.pause(0))
        if how == "OFF":
            house.command("OFF")
        await house.until("Relay_off", 180)
        off_in_the_end(house)
        assert house.path.endswith("Waiting Going Countdown Relay_off")


@virtual
async def test_off_of_an_armed_plug_whose_pi_was_halted_by_hand(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await house.reach("Cooling")
        house.pi.halt()
        await house.pause(600)
        on_all_along(house)
        house.command("OFF")
        await house.until("Relay_off", 180)
        off_in_the_end(house)


@pytest.mark.parametrize("how", ["LONG", "OFF"])
@virtual
async def test_off_while_the_pi_boots_waits_for_it_and_shuts_it_down(tmp_path, how):
    async with House(tmp_path) as house:
        house.pi.boot_s = 90.0
        await house.pause(5)
        await (house.long() if how == "LONG" else house.pause(0))
        if how == "OFF":
            house.command("OFF")
        assert house.state == "Going"
        assert house.reason.startswith("off once the Pi is down")
        await house.until("Relay_off", 400)
        off_in_the_end(house)
        assert house.path == f"Waiting Going {DONE}"
        assert house.asked() == 1


@virtual
async def test_off_while_it_prints_means_after_the_print(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await house.reach("Started")
        house.command("OFF")
        house.command("OFF")
        await house.pause(300)
        assert house.state == "Armed"
        on_all_along(house)
        await house.until("Relay_off", 1500)
        off_in_the_end(house)


@pytest.mark.parametrize("word, state", [("ON", "Waiting"), ("SHORT", "Switched_ON")])
@virtual
async def test_on_after_the_shutdown_was_accepted_comes_when_the_pi_has_halted(
    tmp_path, word, state
):
    """It will halt whatever one wishes: the power is cut, and back five seconds later."""
    async with House(tmp_path, booted=True) as house:
        await house.reach("Countdown")
        house.command(word)
        assert house.state == "Countdown"
        assert "then on again" in house.reason
        await house.until("Relay_off", 120)
        await house.until(state, 10)
        assert not house.pi.cuts
        (opened, _), (closed, is_on) = house.moves
        assert is_on
        assert closed - opened >= 5
        await house.until(lambda: house.pi.state == UP, 30)


@pytest.mark.parametrize("word, state", [("ON", "Waiting"), ("SHORT", "Switched_ON")])
@virtual
async def test_on_before_the_request_stops_it(tmp_path, word, state):
    async with House(tmp_path, booted=True) as house:
        house.when("Asking", lambda: house.loop.call_soon(house.command, word))
        await house.reach("Asking")
        await house.until(state, 5)
        await house.pause(300)
        on_all_along(house)


@pytest.mark.parametrize("word, state", [("ON", "Waiting"), ("SHORT", "Switched_ON")])
@virtual
async def test_on_while_the_request_is_under_way_does_not_stay_on_over_a_halted_pi(
    tmp_path, word, state
):
    """It has gone out and OctoPrint has not answered yet; it will, and the Pi will halt."""
    async with House(tmp_path, booted=True) as house:
        await house.reach("Cooling")
        house.pi.octoprint.modes["/api/system"] = "slow"
        await house.until(lambda: house.asked() == 1, 300)
        await house.pause(1)
        house.command(word)
        await house.until(lambda: house.moves and house.state == state, 200)
        assert [closed for _, closed in house.moves] == [False, True]
        assert not house.pi.cuts
        await house.until(lambda: house.pi.state == UP, 60)


@virtual
async def test_three_long_presses_switch_off_whatever_is_heard(tmp_path):
    async with House(tmp_path, booted=True) as house:
        house.pi.octoprint.mode = "hang"
        await house.until("Waiting", 5)
        for _ in range(3):
            await house.long()
            await house.pause(2)
        assert house.state == "Relay_off"
        await house.pause(300)
        assert len(house.moves) == 1


@virtual
async def test_one_long_press_while_it_prints_never_cuts(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await house.reach("Armed")
        await house.pause(60)
        await house.long()  # Cooling
        await house.pause(60)
        assert house.state == "Armed"  # it prints, after all
        on_all_along(house)


@virtual
async def test_forceoff_cuts_at_once(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await house.reach("Armed")
        house.command("FORCEOFF")
        assert house.state == "Relay_off"
        assert [closed for _, closed in house.moves] == [False]


@virtual
async def test_a_storm_of_commands_ends_with_the_last_and_never_chatters(tmp_path):
    """A button of a dashboard that got stuck; the relay rests five seconds between two moves."""
    async with House(tmp_path, booted=True) as house:
        words = ("ON", "OFF", "PERMON", "FORCEOFF", "SHORT", "OFF", "ON")
        for n in range(700):
            house.command(words[n % 7])
            await house.pause(0.1)
        house.command("PERMON")
        await house.pause(10)
        assert house.state == "Switched_ON"
        moves = house.moves
        for (opened, is_on), (closed, was_on) in zip(moves, moves[1:], strict=False):
            assert is_on != was_on
            if was_on:
                assert closed - opened >= 5
        assert len(moves) <= 2 * 70 / 5


@virtual
async def test_hammering_the_button_switches_off_and_stays_off(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await house.until("Connected", 20)
        for _ in range(8):
            await house.long()
            await house.pause(1)
        await house.pause(30)
        assert house.state == "Relay_off"
        assert len(house.moves) == 1


# --- power --------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["Relay_off", *ON_STATES])
@virtual
async def test_mains_lost_and_back_starts_as_the_setting_says(tmp_path, state):
    async with House(tmp_path, booted=state != "Going") as house:
        await house.reach(state)
        await house.mains(False)
        await house.pause(3)
        assert house.pi.state == OFF
        await house.mains(True)
        assert house.state == "Waiting"
        assert house.pi.state == BOOTING
        await house.until("Connected", 60)


@pytest.mark.parametrize("state", ON_STATES)
@virtual
async def test_a_brown_out_lets_go_of_the_pi_and_starts_afresh(tmp_path, state):
    """Late states are not taken up again: the Pi behind it starts from nothing."""
    async with House(tmp_path, booted=state != "Going") as house:
        await house.reach(state)
        await house.reset(6)
        early = {"Switched_ON": "Switched_ON"}
        assert house.state in (early.get(state, "Waiting"), "Connected", "Started")
        if state in ("Armed", "Cooling", "Asking", "Countdown", "Going"):
            assert house.state == "Waiting"
        await house.pause(300)
        assert house.state in (early.get(state, "Connected"),)
        assert house.asked() <= 1


@virtual
async def test_a_brown_out_in_the_countdown_leaves_it_on(tmp_path):
    async with House(tmp_path, booted=True) as house:
        await house.reach("Countdown")
        await house.pause(20)
        await house.reset(1)  # hardware watchdog: the pin was let go for a moment
        await house.pause(900)
        assert house.state == "Connected"
        assert house.pi.state == UP


# --- a Pi that is not to be shut down -----------------------------------------------------------


@virtual
async def test_with_shutdown_pi_false_the_power_goes_after_some_quiet(tmp_path):
    async with House(tmp_path, booted=True, shutdown_pi=False) as house:
        await house.reach("Countdown")
        start = house.s
        assert "Pi" not in house.reason  # nobody asks it to shut down
        await house.until("Relay_off", 60)
        assert 30 <= house.s - start <= 40
        assert house.asked() == 0
        assert "Asking" not in house.path


@virtual
async def test_with_shutdown_pi_false_no_answer_stops_the_timer(tmp_path):
    async with House(tmp_path, booted=True, shutdown_pi=False) as house:
        await house.reach("Countdown")
        house.pi.octoprint.mode = "hang"
        await house.pause(900)
        on_all_along(house)
        house.pi.octoprint.mode = "ok"
        await house.until("Relay_off", 60)


@virtual
async def test_with_shutdown_pi_false_a_print_in_the_countdown_is_printed(tmp_path):
    async with House(tmp_path, booted=True, shutdown_pi=False) as house:
        await house.reach("Countdown")
        await house.pause(20)
        await house.print_part(400)
        await house.until("Armed", 10)
        await house.pause(300)
        on_all_along(house)
