"""The servers that other tests lean on do what those tests take for granted."""

import socket
import subprocess

import pytest

import servers

pytestmark = pytest.mark.real


def refuses(port):
    with socket.socket() as s:
        s.settimeout(2)
        try:
            s.connect(("127.0.0.1", port))
        except ConnectionRefusedError:
            return True
    return False


def silent(port):
    with socket.socket() as s:
        s.settimeout(0.5)
        try:
            s.connect(("127.0.0.1", port))
        except TimeoutError:
            return True
    return False


# --- mosquitto


def test_mosquitto_keeps_a_retained_message_over_a_restart(mosquitto):
    with mosquitto.client() as client:
        client.publish("plug/state", "Armed", retain=True)
    mosquitto.restart()
    with mosquitto.client() as client:
        assert client.wait("plug/state") == "Armed"
        assert ("plug/state", "Armed", True) in client.messages


def test_mosquitto_refuses_when_stopped_and_accepts_in_vain_when_hung(mosquitto):
    mosquitto.hang()
    assert servers.listens(mosquitto.port)
    with pytest.raises(TimeoutError):
        mosquitto.client(seconds=1)
    mosquitto.resume()
    mosquitto.client().close()
    mosquitto.stop()
    assert refuses(mosquitto.port)


def test_mosquitto_with_a_password_lets_nobody_in_without(mosquitto_locked):
    with mosquitto_locked.client() as client:
        client.publish("a", "b")
        assert client.wait("a") == "b"
    with pytest.raises(PermissionError):
        servers.Watcher(mosquitto_locked.port, "plug", "wrong")


# --- OctoPrint


def test_octoprint_prints_pauses_and_cancels(octoprint):
    octoprint.job(60)
    assert octoprint.flags()["printing"]
    octoprint.pause()
    octoprint.unpause()
    assert octoprint.flags()["printing"]
    octoprint.cancel()
    octoprint.wait_flag("ready")


def test_octoprint_heats_and_is_cold_again_when_renewed(octoprint):
    octoprint.heat(tool=60)
    heated = "tool0 to be hot"
    servers.wait_until(lambda: octoprint.temperatures()["tool0"]["actual"] > 50, heated)
    octoprint.renew()
    assert octoprint.temperatures()["tool0"]["actual"] < 30


def test_octoprint_takes_the_shutdown_from_an_admin_only_and_really_ends(octoprint):
    path = "/api/system/commands/core/shutdown"
    assert octoprint.call("POST", path, {}, key=octoprint.user_key)[0] == 403
    assert octoprint.call("GET", "/api/printer", key=octoprint.user_key)[0] == 200
    assert octoprint.call("GET", "/api/printer", key="no such key")[0] == 403
    assert octoprint.shutdown_asked == 0 and octoprint.running
    assert octoprint.call("POST", path, {})[0] == 204
    servers.wait_until(lambda: not octoprint.running, "OctoPrint to end")
    assert octoprint.shutdown_asked == 1
    assert refuses(octoprint.port)


def test_octoprint_can_be_asked_in_vain(octoprint):
    octoprint.ends_on_shutdown = False
    assert octoprint.call("POST", "/api/system/commands/core/shutdown", {})[0] == 204
    servers.wait_until(lambda: octoprint.shutdown_asked, "the shutdown command")
    assert octoprint.running and octoprint.flags()["ready"]


@pytest.mark.parametrize("fault", ["maxtemp_error", "drop_connection"])
def test_octoprint_loses_its_printer_and_says_409(octoprint, fault):
    octoprint.job(60)
    octoprint.fault(fault)
    servers.wait_until(lambda: octoprint.call("GET", "/api/printer")[0] == 409, "409")
    octoprint.renew()
    assert octoprint.flags()["ready"]


def test_octoprint_disconnects_on_demand(octoprint):
    octoprint.disconnect()
    assert octoprint.call("GET", "/api/printer")[0] == 409
    octoprint.connect()
    assert octoprint.flags()["ready"]


def test_octoprint_hung_accepts_and_says_nothing_and_killed_it_refuses(octoprint):
    octoprint.hang()
    assert servers.listens(octoprint.port)
    status, _ = octoprint.call("GET", "/api/version", timeout=1)
    assert status == 0
    octoprint.resume()
    octoprint.wait_flag("ready")
    octoprint.kill()
    assert refuses(octoprint.port)


def test_octoprint_2_sets_paused_and_printing_together(octoprint_2):
    assert octoprint_2.call("GET", "/api/version")[1]["server"].startswith("2.0")
    octoprint_2.job(60)
    octoprint_2.pause()
    flags = octoprint_2.flags()
    assert flags["paused"] and flags["printing"]
    octoprint_2.cancel()
    octoprint_2.wait_flag("ready")


# --- the Pi


def test_pi_asked_to_shut_down_refuses_then_is_silent_and_boots_again(pi, octoprint):
    assert servers.listens(pi.ssh_port)
    octoprint.do("/api/system/commands/core/shutdown")
    servers.wait_until(lambda: pi.halted, "the Pi to halt")
    assert silent(octoprint.port) and silent(pi.ssh_port)
    pi.power(False)
    assert not pi.cut_alive
    pi.power(True)
    assert octoprint.flags()["ready"] and servers.listens(pi.ssh_port)


def test_pi_whose_power_is_cut_while_alive_is_told_on(pi, octoprint):
    pi.power(False)
    assert pi.cut_alive and silent(octoprint.port) and not octoprint.running


def test_a_silent_port_refuses_once_closed():
    port = servers.free_port()
    host = servers.Silent(port)
    assert silent(port)
    host.close()
    assert refuses(port)


# --- MicroPython, the flash folder, Chromium


def test_micropython_has_the_objects_and_the_heap_of_the_plug(micropython):
    code = "import gc, sys; print(sys.maxsize == 0x7fffffff, gc.mem_free() < 36 * 1024)"
    command = [str(micropython), "-X", "heapsize=36k", "-c", code]
    assert subprocess.check_output(command, text=True).split() == ["True", "True"]


def test_the_flash_folder_runs_under_micropython(micropython, flash):
    code = "import sys; sys.path.insert(0, 'a'); import asyncio, statemachine; print(asyncio)"
    command = [str(micropython), "-X", "heapsize=36k", "-c", code]
    said = subprocess.check_output(command, cwd=flash, text=True)
    assert "a/asyncio.mpy" in said


async def test_chromium_shows_a_page(page):
    await page.set_content("<p>relay <b>on</b></p>")
    assert await page.inner_text("b") == "on"
