"""A whole job, and all that can go wrong in one, with nothing stood in for but the chip.

The firmware as flashed, on 32-bit MicroPython with the plug's heap, in a process of its own; a
real OctoPrint with its virtual printer; a real mosquitto. What is proved each time: the relay does
not open when it must not, and the plug tells what it is waiting for.
"""

import time
from pathlib import Path

import pytest

from e2e import (
    ARMED,
    ASKING,
    CONNECTED,
    COOLING,
    COUNTDOWN,
    FOR_GOOD,
    GOING,
    HANGS,
    JOB_C,
    OFF,
    ROOT,
    STARTED,
    WAITING,
    Plug,
)
from servers import USER_KEY, Pi, wait_until

pytestmark = [pytest.mark.real, pytest.mark.slow]

JOB = [WAITING, CONNECTED, STARTED, ARMED, COOLING, ASKING, COUNTDOWN, OFF]


@pytest.fixture
def house(micropython, flash, mosquitto, request, tmp_path):
    """Makes the plug of a test: house(**settings), on OctoPrint 1.11.8 unless another is given."""
    made = []

    def make(server=None, halt_s=1.0, **settings):
        server = server or request.getfixturevalue("octoprint")
        pi = Pi(server, halt_s)
        made.append(pi)
        plug = Plug(flash, tmp_path / "flash", pi, mosquitto, **settings)
        made.append(plug)
        plug.reach(CONNECTED)
        return plug

    yield make
    for part in reversed(made):
        part.close()


@pytest.fixture
def watcher(mosquitto):
    """Somebody who listens to all that is said under octoplugout/, from before the plug is on."""
    with mosquitto.client() as client:
        yield client


def stays_on(plug, seconds=0.0, state=None):
    """The relay has not moved, and does not for so long; nor does the state, if one is given."""
    end = time.monotonic() + seconds
    while True:
        assert plug.relay and not plug.switched_off and not plug.pi.cut_alive, plug.story()
        assert state in (None, plug.state), plug.story()
        if time.monotonic() >= end:
            return
        time.sleep(0.05)


def payloads(watcher, topic):
    """What was published below the plug's root on that topic, in order."""
    return [text for name, text, _ in watcher.messages if name == f"{ROOT}/{topic}"]


def in_order(seen, wanted):
    """True if `seen` is `wanted`, or that with some left out: nothing else and nothing twice."""
    rest = iter(wanted)
    return all(one in rest for one in seen)


def cancelled_while_armed(plug):
    """Print with the plug armed by hand, and cancel: it is idle, cold, and may be shut down."""
    plug.octoprint.job(60)
    plug.reach(STARTED)
    plug.long()
    plug.reach(ARMED)
    plug.octoprint.cancel()


@pytest.mark.parametrize("version", ["octoprint", "octoprint_2"])
def test_a_job_is_printed_and_paused_and_cools_and_only_then_the_power_goes_off(
    house, watcher, mosquitto, request, version
):
    octoprint = request.getfixturevalue(version)
    plug = house(octoprint)
    octoprint.job(5, tool=JOB_C)
    plug.reach(ARMED)
    assert octoprint.flags()["printing"]  # armed because it is long and hot enough, not over
    octoprint.pause()
    watcher.wait(f"{ROOT}/state/printstate", "Paused")
    stays_on(plug, 3, ARMED)  # some ten polls
    octoprint.unpause()
    plug.reach(COOLING)
    assert octoprint.shutdown_asked == 0
    plug.reach(COUNTDOWN)
    assert octoprint.shutdown_asked == 1
    stays_on(plug)
    plug.tells("Pi silent")
    assert plug.pi.halted and not octoprint.running
    plug.reach(OFF)
    wait_until(lambda: not plug.pi.powered, "the power to be gone")
    assert not plug.relay and plug.switched_off == 1 and not plug.pi.cut_alive
    assert in_order(plug.states, JOB), plug.story()

    watcher.wait(f"{ROOT}/relay", "OFF")
    watcher.wait(f"{ROOT}/countdown", "")
    watcher.wait(f"{ROOT}/reason", "off")
    published = payloads(watcher, "plugstate")
    assert in_order(published, JOB) and published[-5:] == JOB[-5:]
    assert payloads(watcher, "relay") == ["ON", "OFF"]
    left = [int(text) for text in payloads(watcher, "countdown") if text]
    assert left and left == sorted(left, reverse=True)
    assert 100.0 in [float(text) for text in payloads(watcher, "job/jobprogress") if text]
    with mosquitto.client() as late:  # who comes now is told how things stand
        late.wait(f"{ROOT}/status", "online")
        late.wait(f"{ROOT}/plugstate", OFF)
        late.wait(f"{ROOT}/relay", "OFF")
        late.wait(f"{ROOT}/mode", "OFF")
        late.wait(f"{ROOT}/info")
        retained = {topic.removeprefix(ROOT) for topic, _, kept in late.messages if kept}
        # /countdown is empty by now, which to a broker means that there is nothing to keep
        assert retained == set("/status /plugstate /relay /mode /reason /info /log".split())

    shown = octoprint.shown()
    assert shown[0] == "OctoPlugout 5.0" and "PRINT started" in shown
    assert "Poweroff after PRINT" in shown and shown[-1] == "Poweroff in 1s"
    assert any(text.startswith("Shutdown at T=35 (now 4") for text in shown)


def test_a_switched_off_plug_boots_the_pi_again_at_a_short_press(house, watcher):
    plug = house()
    watcher.wait(f"{ROOT}/plugstate", CONNECTED)
    watcher.publish(f"{ROOT}/switch", "FORCEOFF")
    plug.reach(OFF)
    wait_until(lambda: not plug.octoprint.running, "the power to be gone")
    plug.now()
    plug.press()  # not sooner than the relay may
    plug.tells("on again")
    plug.reach(CONNECTED)
    assert plug.octoprint.running and plug.relay
    watcher.wait(f"{ROOT}/plugstate", CONNECTED)


def test_wifi_lost_at_every_stage_of_a_job_never_opens_the_relay(house):
    plug = house()
    octoprint = plug.octoprint

    def outage(state):
        plug.reach(state)
        plug.now()
        plug.wifi(False)
        plug.tells("no WiFi")
        stays_on(plug, 1.5, state)
        plug.now()
        plug.wifi(True)

    outage(CONNECTED)
    octoprint.job(9, tool=JOB_C)
    outage(STARTED)
    outage(ARMED)
    outage(COOLING)
    plug.reach(COUNTDOWN)
    plug.wifi(False)
    plug.tells("no WiFi")
    wait_until(lambda: plug.pi.halted, "the Pi to halt")
    stays_on(plug, 4, COUNTDOWN)  # silent, but that may be the missing WiFi
    plug.wifi(True)
    plug.tells("Pi silent")
    plug.reach(OFF)
    assert not plug.pi.cut_alive and octoprint.shutdown_asked == 1


def test_wifi_lost_when_off_was_asked_for_and_the_pi_is_not_seen_opens_nothing(house):
    plug = house(boot_s=600)
    plug.octoprint.kill()
    plug.reach(WAITING)
    plug.long()
    plug.reach(GOING)
    plug.wifi(False)
    plug.tells("no WiFi")
    stays_on(plug, 2, GOING)
    plug.now()
    plug.wifi(True)
    plug.octoprint.start(wait=False)
    plug.reach(COUNTDOWN)  # seen again: after its shutdown, as it should be
    assert plug.octoprint.shutdown_asked == 1
    stays_on(plug)


def test_octoprint_hanging_in_a_print_and_in_the_countdown_is_not_taken_for_halted(house):
    plug = house(shutdown_max_s=15)  # longer than a hanging OctoPrint is waited for
    octoprint = plug.octoprint
    octoprint.ends_on_shutdown = False
    octoprint.job(60)
    plug.long()
    plug.reach(ARMED)
    octoprint.hang()
    plug.tells(HANGS)
    stays_on(plug, 0, ARMED)
    octoprint.resume()
    octoprint.cancel()
    plug.reach(COUNTDOWN)
    octoprint.hang()
    plug.tells("Pi does not halt: press long to cut the power")
    stays_on(plug, 2, COUNTDOWN)
    plug.long()  # a person has decided
    plug.reach(OFF)
    assert not plug.relay and octoprint.shutdown_asked == 1


def test_octoprint_killed_in_a_print_and_restarted_in_the_countdown_keeps_its_power(house):
    plug = house(halt_s=None)
    octoprint = plug.octoprint
    octoprint.ends_on_shutdown = False
    octoprint.job(60)
    plug.long()
    plug.reach(ARMED)
    octoprint.kill()
    plug.tells("was printing")
    stays_on(plug, 2, ARMED)
    octoprint.start()
    plug.reach(COUNTDOWN)
    plug.now()
    octoprint.kill()  # refuses from now on, while the host lives
    plug.tells("Pi does not halt: press long to cut the power")
    stays_on(plug, 2, COUNTDOWN)
    octoprint.start(wait=False)
    plug.reach(CONNECTED)  # back after its shutdown: for a new job, not to be switched off
    stays_on(plug)
    assert octoprint.shutdown_asked == 0  # not asked again since that start


def test_an_octoprint_that_stays_up_after_accepting_keeps_its_power(house):
    plug = house()
    plug.octoprint.ends_on_shutdown = False
    cancelled_while_armed(plug)
    plug.reach(COUNTDOWN)
    plug.reach(CONNECTED)
    stays_on(plug)
    assert plug.octoprint.shutdown_asked == 1


def test_a_refused_key_never_leads_to_a_shutdown(house):
    plug = house(octoprint_api_key="C" * 32)
    plug.tells("API key refused")
    plug.octoprint.job(60, tool=JOB_C)
    stays_on(plug, 1, CONNECTED)
    plug.long()
    plug.reach(ARMED)
    plug.octoprint.cancel()
    stays_on(plug, 3, ARMED)
    assert "API key refused" in plug.reason and plug.octoprint.shutdown_asked == 0


def test_a_key_without_system_is_told_of_and_a_short_press_ends_it(house):
    plug = house(octoprint_api_key=USER_KEY)
    cancelled_while_armed(plug)
    plug.reach(ASKING)
    plug.tells("API key may not shut down")
    wait_until(
        lambda: "API key may not shut down" in plug.octoprint.shown()[-1], "the display to tell"
    )
    plug.wifi(False)
    plug.tells("no WiFi")
    stays_on(plug, 1.5)
    plug.now()
    plug.wifi(True)
    plug.reach(ASKING)
    plug.tells("API key may not shut down")
    stays_on(plug, 1, ASKING)
    assert plug.octoprint.shutdown_asked == 0
    plug.press()
    plug.reach(FOR_GOOD)
    stays_on(plug)


def test_a_print_whose_serial_connection_is_lost_is_not_switched_off(house):
    plug = house()
    octoprint = plug.octoprint
    octoprint.job(60, tool=JOB_C)
    plug.reach(ARMED)
    octoprint.fault("drop_connection")
    plug.tells("OctoPrint lost the printer")
    stays_on(plug, 5, ARMED)  # blind_cool_s is 3
    assert octoprint.shutdown_asked == 0
    octoprint.connect()
    plug.reach(COUNTDOWN)  # it was seen idle and cool
    stays_on(plug)


def test_a_printer_lost_while_idle_and_cold_counts_as_cool_after_a_while(house):
    plug = house()
    plug.octoprint.disconnect()
    plug.tells("OctoPrint lost the printer")
    plug.long()
    plug.reach(ARMED)
    plug.reach(COUNTDOWN)
    assert plug.octoprint.shutdown_asked == 1
    stays_on(plug)


def test_a_broker_that_restarts_is_told_what_it_missed(house, mosquitto, watcher):
    plug = house()
    watcher.wait(f"{ROOT}/plugstate", CONNECTED)
    mosquitto.stop()
    plug.octoprint.job(60)
    plug.reach(STARTED)
    plug.long()
    plug.reach(ARMED)
    mosquitto.start()
    watcher.wait(f"{ROOT}/plugstate", ARMED)
    watcher.wait(f"{ROOT}/status", "online")
    mosquitto.hang()
    plug.press()  # what hangs does not make the button wait
    plug.reach(FOR_GOOD)
    mosquitto.resume()
    watcher.wait(f"{ROOT}/plugstate", FOR_GOOD)
    watcher.wait(f"{ROOT}/mode", "PERMON")
    watcher.publish(f"{ROOT}/switch", " afterjob ")
    plug.reach(STARTED)
    watcher.wait(f"{ROOT}/switch", "-")
    stays_on(plug)


def test_a_plug_whose_python_dies_is_told_of_and_goes_on_without_moving_the_relay(house, watcher):
    plug = house()
    plug.octoprint.job(60)
    plug.reach(STARTED)
    plug.long()
    plug.reach(ARMED)
    watcher.wait(f"{ROOT}/plugstate", ARMED)
    plug.now()
    plug.crash()  # and is back at once: the last will is told all the same
    wait_until(lambda: "offline" in payloads(watcher, "status"), "the last will")
    watcher.publish(f"{ROOT}/switch", "FORCEOFF", retain=True)
    watcher.wait(f"{ROOT}/status", "online")
    watcher.wait(f"{ROOT}/switch", "-")  # cleared
    assert "retained" in watcher.wait(f"{ROOT}/error")
    stays_on(plug, 1, ARMED)
    assert plug.states[-1] == ARMED and plug.runner.chip.resets

    watcher.publish(f"{ROOT}/switch", "forceoff")  # given now, it counts
    plug.reach(OFF)
    watcher.wait(f"{ROOT}/mode", "FORCEOFF")
    watcher.wait(f"{ROOT}/plugstate", OFF)
    assert not plug.relay


def test_the_documented_job_is_a_whole_one():
    text = (Path(__file__).parent.parent / "docs/a-job.md").read_text()
    lines = [line.split() for line in text.split("\n") if line.startswith("  ")]
    told = {}
    for words in lines:
        if len(words) > 2:
            told.setdefault(words[1], []).append(words[2])
    assert told["/plugstate"] == JOB
    assert told["/relay"] == ["ON", "OFF"]
    assert told["/status"] == ["online", "offline"]
    assert told["/mode"] == ["ON", "OFF"]
    assert "Paused" in told["/state/printstate"]
