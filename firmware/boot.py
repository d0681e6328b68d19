"""First after every reset of the chip: sees to it that the relay is driven; nothing else.

While the relay pin is being driven (software resets keep it so) nothing is written: the plug goes
on from what the RTC memory holds. A power-on, the reset pin and the hardware watchdog let go of
the pin; then the start rule decides, and what it decides is left in the RTC memory for the plug.
"""

import machine

_OUT = 0x60000300  # the chip's registers: what the pins are set to, and which are driven
_ENABLE = 0x6000030C
_EARLY = "Relay_off", "Switched_ON", "Waiting_for_print_activity"  # may be taken up again
_EARLY += "Waiting_for_print_activity_connected", "print_started"


PINS = ("pin_button", 0), ("pin_relay", 12), ("pin_led", 13)


INVERTED = 1000, 1001, 1010, 1011, 1100, 1101, 1110, 1111


def remembered():
    """What the RTC memory holds: [pins, state and facts], or None if it holds nothing whole."""
    kept = machine.RTC().memory()
    try:
        if kept[:3] == b"OP5" and kept[3] == sum(kept[4:]) & 0xFF:
            kept = str(kept[4:], "utf-8").split("|")
            button, relay, led, inverted = kept[0].split(" ")
            if int(button) + int(relay) + int(led) >= 0 and int("1" + inverted) in INVERTED:
                return kept if len(kept) == 2 else None
    except (IndexError, ValueError):
        pass
    return None


def settings():
    """The settings that matter now, from a file that may be missing or broken."""
    found = {}
    try:
        import json
        import os

        if os.stat("config.json")[6] <= 6144:
            with open("config.json") as file:
                found = json.load(file)
    except Exception:  # a plug without a good file must still drive its relay
        pass
    return found if isinstance(found, dict) else {}


def number(found, key, default):
    # What the schema would refuse is refused here too; GPIO6 to 11 carry the flash.
    value = found.get(key)
    good = type(value) is int and (0 <= value < 6 or 11 < value < 17)
    return value if good else default


def start():
    kept = remembered()
    if kept:
        relay, invert = int(kept[0].split(" ")[1]), kept[0][-2] == "1"
        if machine.mem32[_ENABLE] >> relay & 1:
            return
    found = settings()
    pins = [number(found, key, default) for key, default in PINS]
    if len(set(pins)) < 3:
        pins = [default for key, default in PINS]
    relay = pins[1]
    invert = found.get("invert_relay") is True
    if not kept and machine.mem32[_ENABLE] >> relay & 1:
        state = "Relay_off" if bool(machine.mem32[_OUT] >> relay & 1) == invert else ""
    else:
        state = found.get("initial_state", "")
        if state == "last":
            try:
                with open("last") as file:
                    state = file.read()
            except OSError:
                state = ""
        if kept and machine.reset_cause() != machine.PWRON_RESET:
            before = kept[1].split(" ")[0]
            if before in _EARLY:
                state = before  # not a return of mains: what was off stays off
    if state not in _EARLY:
        state = "Waiting_for_print_activity"
    machine.Pin(relay, machine.Pin.OUT, value=(state != "Relay_off") != invert)
    pins = "%d %d %d %d%d%d" % (
        pins[0],
        relay,
        pins[2],
        found.get("invert_button") is True,
        invert,
        found.get("invert_led") is True,
    )
    kept = bytes(pins + "|" + state, "utf-8")
    machine.RTC().memory(b"OP5" + bytes([sum(kept) & 0xFF]) + kept)


start()
for name in ("remembered", "settings", "number", "start", "PINS", "INVERTED", "name"):
    globals().pop(name, None)  # main.py shares this namespace, and needs the room
