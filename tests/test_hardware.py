"""The virtual chip does what the real one was seen to do: pins, registers, resets, WiFi, time."""

import asyncio
import socket
import subprocess
import time
import types
from pathlib import Path

import micropython as micropython_module
import pytest

import esp
import machine
import network
from simulator.hardware import Reset, air, chip, port, start_ticks, through_air
from simulator.hardware.virtual import HARDWARE_WATCHDOG, NETWORKS, SOFT_RESET

HARDWARE = Path(port.__file__).parent
GPIO_OUT, GPIO_ENABLE = 0x60000300, 0x6000030C


@pytest.fixture(autouse=True)
def new_chip():
    chip.reset()
    yield
    chip.reset()


def relay_on():
    return machine.Pin(12, machine.Pin.OUT, value=1)


# --- pins


def test_after_power_on_nothing_drives_the_relay_and_its_pull_up_does_not_close_it():
    assert machine.Pin(12).value() == 1
    assert machine.mem32[GPIO_ENABLE] >> 12 & 1 == 0
    assert not chip.relay


def test_a_value_sets_level_and_direction_in_one_go():
    relay_on()
    assert chip.relay_log == [(chip.relay_log[0][0], True)]
    assert [(n, driven, level) for _, n, driven, level in chip.pin_log] == [(12, True, 1)]


def test_without_a_value_the_latch_decides():
    relay_on()
    machine.Pin(12, machine.Pin.OUT)
    assert chip.relay
    assert len(chip.pin_log) == 1
    machine.Pin(12, machine.Pin.IN)
    assert not chip.relay
    machine.Pin(12, machine.Pin.OUT)
    assert chip.relay, "the latch outlives the change of direction"


def test_the_registers_show_latch_and_direction_and_can_be_written():
    machine.Pin(12, machine.Pin.OUT, value=1)
    machine.Pin(13, machine.Pin.OUT, value=0)
    assert machine.mem32[GPIO_OUT] == 1 << 12
    assert machine.mem32[GPIO_ENABLE] == 1 << 12 | 1 << 13
    machine.mem32[GPIO_OUT] = 1 << 13
    assert not chip.relay
    assert chip.level(13) == 1
    machine.mem32[GPIO_ENABLE] = 0
    assert not chip.driven(13)


def test_writing_what_is_there_already_is_no_change():
    pin = relay_on()
    pin.on()
    pin(1)
    assert len(chip.pin_log) == 1


@pytest.mark.parametrize("n", [-1, 6, 7, 8, 11, 17])
def test_pins_that_the_port_does_not_have(n):
    with pytest.raises(ValueError, match="invalid pin"):
        machine.Pin(n)


def test_the_led_is_lit_when_its_pin_is_low():
    led = machine.Pin(13, machine.Pin.OUT, value=1)
    assert not chip.led
    led(0)
    assert chip.led


def test_the_button_pulls_its_pin_low_and_every_look_at_it_is_counted():
    button = machine.Pin(0, machine.Pin.IN, machine.Pin.PULL_UP)
    assert button() == 1
    chip.press()
    assert button() == 0
    chip.release()
    assert button() == 1
    assert chip.samples == 3


@pytest.mark.looptime
async def test_the_button_is_held_for_as_long_as_asked():
    start = chip.clock()
    await chip.hold(700)
    at = [ms - start for ms, n, _, _ in chip.pin_log if n == 0]
    assert at == [0, 700]


# --- what outlives what


def test_a_software_reset_keeps_pins_and_rtc_memory():
    relay_on()
    machine.RTC().memory(b"kept")
    with pytest.raises(Reset) as reset:
        machine.reset()
    assert reset.value.cause == machine.reset_cause() == SOFT_RESET
    assert chip.relay
    assert machine.RTC().memory() == b"kept"
    assert chip.resets == [SOFT_RESET]


def test_the_hardware_watchdog_lets_go_of_the_relay_and_keeps_the_rtc_memory():
    relay_on()
    machine.RTC().memory(b"kept")
    chip.restart(HARDWARE_WATCHDOG)
    assert not chip.relay
    assert [closed for _, closed in chip.relay_log] == [True, False]
    assert machine.mem32[GPIO_ENABLE] == 0
    assert machine.RTC().memory() == b"kept"
    assert machine.reset_cause() == machine.WDT_RESET


def test_without_mains_everything_is_lost():
    relay_on()
    machine.RTC().memory(b"lost")
    heard = []
    chip.relay_listeners.append(lambda ms, closed: heard.append(closed))
    chip.power(False)
    assert not chip.relay
    assert not chip.led
    chip.power(True)
    assert heard == [False]
    assert machine.RTC().memory() == b""
    assert machine.reset_cause() == machine.PWRON_RESET
    assert not chip.relay, "nobody drives it yet"


def test_soft_reset_is_nothing_but_sys_exit():
    with pytest.raises(SystemExit):
        machine.soft_reset()
    assert chip.resets == []


def test_the_rtc_memory_is_492_bytes():
    machine.RTC().memory(bytes(492))
    with pytest.raises(ValueError, match="too long"):
        machine.RTC().memory(bytes(493))
    assert len(machine.RTC().memory()) == 492


def test_the_watchdog_notes_when_it_was_fed():
    watchdog = machine.WDT()
    assert chip.watchdog is not None
    chip.watchdog = 0
    watchdog.feed()
    assert chip.watchdog > 0
    assert esp.flash_size() == 1 << 20


# --- WiFi


def joined(ssid="workshop", key="secret"):
    station = network.WLAN(network.STA_IF)
    station.active(True)
    station.connect(ssid, key)
    return station


def test_a_fresh_image_opens_its_own_access_point():
    access_point = network.WLAN(network.AP_IF)
    assert access_point.active()
    access_point.active(False)
    assert chip.wifi.active == [False, False]


@pytest.mark.looptime
async def test_joining_takes_its_time_and_gives_an_address():
    chip.wifi.join_ms = 2000
    station = joined()
    assert station.status() == network.STAT_CONNECTING
    assert station.ifconfig()[0] == "0.0.0.0"
    await asyncio.sleep(2)
    assert station.isconnected()
    assert station.ifconfig()[0] == chip.wifi.address[0]
    assert station.ifconfig()[3] == chip.wifi.dns


@pytest.mark.looptime
async def test_the_station_joins_again_by_itself_when_the_network_is_back():
    chip.wifi.join_ms = 1000
    station = joined()
    await asyncio.sleep(1)
    chip.wifi.up = False
    assert station.status() == network.STAT_NO_AP_FOUND
    chip.wifi.up = True
    assert not station.isconnected()
    await asyncio.sleep(1)
    assert station.isconnected()


def test_a_wrong_password_is_refused_where_there_is_one():
    chip.wifi.passwords["workshop"] = "right"
    assert joined(key="wrong").status() == network.STAT_WRONG_PASSWORD
    assert joined(key="right").isconnected()
    assert joined(ssid="another").isconnected()


def test_connecting_needs_an_active_station():
    with pytest.raises(OSError, match="not active"):
        network.WLAN(network.STA_IF).connect("workshop", "secret")


def test_a_scan_finds_hostile_names_too():
    station = network.WLAN(network.STA_IF)
    with pytest.raises(OSError, match="not active"):
        station.scan()
    station.active(True)
    assert station.scan() == NETWORKS
    assert any(b"<script>" in found[0] for found in station.scan())


def test_configuration_takes_what_the_port_takes():
    station = joined()
    station.config(pm=station.PM_NONE, txpower=17)
    assert station.config("pm") == 0
    assert station.config("mac") == b"\x5c\xcf\x7f\xab\x12\x8a"
    assert machine.unique_id()[2::-1] == station.config("mac")[3:]
    assert station.config("essid") == "workshop"
    with pytest.raises(ValueError, match="unknown config param"):
        station.config(reconnects=3)
    with pytest.raises(ValueError, match="too long"):
        network.hostname("x" * 33)
    with pytest.raises(ValueError, match="2 letters"):
        network.country("DEU")


async def test_without_wifi_a_socket_finds_no_route_and_an_old_connection_says_nothing():
    server = await asyncio.start_server(lambda r, w: w.write(b"hello"), "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    joined()
    through_air(firmware := types.ModuleType("firmware"))
    line = firmware.socket.socket()
    line.connect(address)
    line.setblocking(False)
    chip.wifi.up = False
    await asyncio.sleep(0.05)
    with pytest.raises(OSError) as error:
        line.recv(9)
    assert error.value.errno == 11
    with pytest.raises(OSError) as error:
        line.send(b"x")
    assert error.value.errno == 11
    with pytest.raises(OSError) as error:
        air.socket().connect(address)
    assert error.value.errno == 113
    chip.wifi.up = True
    assert line.recv(9) == b"hello"
    line.close()
    server.close()


# --- time


@pytest.mark.looptime
async def test_ticks_follow_the_running_loop_and_wrap():
    start_ticks(port.PERIOD - 1500)
    start = time.ticks_ms()
    assert start == port.PERIOD - 1500
    await asyncio.sleep_ms(2000)
    now = time.ticks_ms()
    assert now == 500
    assert time.ticks_diff(now, start) == 2000
    assert time.ticks_diff(start, now) == -2000
    assert time.ticks_add(start, 2000) == now


def test_ticks_refuse_an_interval_that_could_mean_two_things():
    with pytest.raises(OverflowError):
        time.ticks_add(0, port.PERIOD // 2)
    assert time.ticks_diff(port.PERIOD // 2, 0) == -port.PERIOD // 2


@pytest.mark.looptime
async def test_a_negative_sleep_is_none():
    start = asyncio.get_running_loop().time()
    await asyncio.sleep_ms(-5)
    assert asyncio.get_running_loop().time() == start


def test_what_was_given_to_kbd_intr_can_be_seen():
    micropython_module.kbd_intr(-1)
    assert micropython_module.interrupt_char == -1
    micropython_module.kbd_intr(3)


# --- the same files under MicroPython

SCRIPT = """
import machine, network, esp, silicon
relay = machine.Pin(12, machine.Pin.OUT, value=1)
machine.Pin(12, machine.Pin.OUT)
print(relay(), machine.mem32[0x60000300], machine.mem32[0x6000030C])
button = machine.Pin(0, machine.Pin.IN, machine.Pin.PULL_UP)
silicon.pins[0] = 0
print(button(), machine.RTC().memory(), machine.unique_id())
machine.RTC().memory(b"kept")
try:
    machine.RTC().memory(bytes(493))
except ValueError:
    print(machine.RTC().memory())
station = network.WLAN(network.STA_IF)
station.active(True)
station.connect("workshop", "secret")
station.config(pm=station.PM_NONE)
print(silicon.wanted, station.status(), network.WLAN(network.AP_IF).active(), esp.flash_size())
try:
    machine.soft_reset()
except SystemExit:
    print("exit")
"""


@pytest.mark.real
def test_the_same_files_stand_for_the_modules_under_micropython(micropython, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [micropython, "-X", "heapsize=64k", script],
        env={"MICROPYPATH": f"{HARDWARE}:.frozen"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout.splitlines() == [
        "1 4096 4096",
        r"0 b'' b'\x8a\x12\xab\x00'",
        "b'kept'",
        "('workshop', 'secret') 0 True 1048576",
        "exit",
    ], done.stderr


def test_the_stand_in_for_socket_has_everything_that_socket_has():
    for name in ("AF_INET", "SOCK_DGRAM", "getaddrinfo", "timeout", "SO_REUSEADDR"):
        assert getattr(air, name) is getattr(socket, name)
