"""What the plug does on the network: watches OctoPrint, serves the broker, tells the display.

Two tasks that plug.py keeps going, and what goes with them. Not in the heap while the portal is
open: connecting.py brings it all.
"""

import asyncio
from time import ticks_add, ticks_diff, ticks_ms

from micropython import const

_WAIT_MS = const(1000)
_SOON_MS = const(120000)  # when the power may be cut it mostly is within this
_ASK_MS = const(5000)  # a refused shutdown is asked for again after this, doubling …
_ASK_LONGEST_MS = const(300000)  # … up to this

_SETTLED = "Cooling Asking Countdown Going"  # here the address that last answered is used

# The states that the printer's display tells of, as their texts stand in the setting `messages`.
_TOLD = "Connected Started Armed Cooling Asking Switched_ON"


def entered(plug):
    """The machine has entered a state: broker and display are to hear of it."""
    machine = plug.machine
    alias = machine.alias
    plug.hurry = True
    if plug.mqtt:
        plug.mqtt.news = plug.mqtt.news[-4:] + (machine.state,)
        if "bridge" in plug.s.topics:
            plug.mqtt.says |= 2
    if alias in _TOLD:
        plug.say = alias
    machine.pending = "a last look" if alias == "Cooling" and plug.s.render_wait_s else ""
    if alias not in ("Asking", "Cooling"):
        plug.ask_wait = 0


async def _step(module, name, plug, *given):
    # By a module that is loaded for that, and those that it names, with what they are given. Where
    # there is no room for one, the plug goes on.
    try:
        while module:
            module, *given = await getattr(plug.step(module), name)(plug, *given) or ("",)
            if module and name == "run" and plug.critical():
                plug.mqtt.given = plug.mqtt.jobs, b"", 0, 0, 0  # an answer has to wait
                break
    except MemoryError:
        mqtt = plug.mqtt
        if name == "told":
            mqtt.says = 0
            plug.replies = ()
        else:
            plug.machine.pending = ""
        if module in ("order", "wake"):
            plug.file = ""
            plug.octo.told = "no: there is no room for it"
        elif (name == "run" or name == "told") and mqtt:
            mqtt.error = "no room for it"


async def poll(plug):
    """Ask OctoPrint when it is time to, and tell the machine what its answers are evidence of."""
    machine = plug.machine
    octo = plug.octo
    while True:
        plug.asks = False
        await asyncio.sleep_ms(50)
        mqtt = plug.mqtt
        if mqtt and mqtt.given and not (plug.critical() or plug.replies or plug.sends):
            plug.asks = True
            given = mqtt.given
            mqtt.given = ()
            await _step("remarks", "run", plug, given)
        now = ticks_ms()
        due = plug.hurry or ticks_diff(now, plug.polled) >= machine.poll_ms
        if not machine.poll_ms or machine.frozen or not due:
            continue
        if plug.sends and not plug.critical():
            continue
        plug.asks = True
        plug.hurry = False
        plug.polled = now
        if plug.say and machine.pi == "UP":
            text = _text(plug)
            plug.say = ""
            if text:
                await octo.say(text)
        turns = machine.turns
        alias = machine.alias
        s = plug.s
        heat = machine.hottest
        if alias == "Cooling" and s.render_wait_s and machine.pi == "UP":
            if machine.pending if heat is None else heat < s.cool_below_c:
                await _step("pending", "looked", plug, now)
        evidence = await octo.poll(alias == "Countdown", alias in _SETTLED)
        await asyncio.sleep_ms(0)  # the last bytes and what follows from them are two steps
        if machine.turns != turns or machine.frozen:
            octo.forget()  # the relay has moved meanwhile: this was heard of another world
            continue
        machine.note = octo.problem
        if octo.tool is not None:
            octo.heat = octo.tool, octo.bed
        now = ticks_ms()
        machine.observe(evidence, now)
        plug.sync()
        if not plug.critical():
            if s.alarm_above_c:
                await _step("heat", "felt", plug, evidence, now)
            if plug.file:
                await _step("wake", "looked", plug, evidence, now)
            elif evidence[4] and s.reconnect:
                await _step("reconnect", "missed", plug, now)
        if machine.alias == "Cooling" and (machine.hottest or plug.told) <= plug.told - 5:
            plug.say = "Cooling"
        if machine.ask:
            if plug.ask_wait and ticks_diff(now, plug.ask_due) < 0:
                continue
            answer = await octo.shutdown(plug.post)
            machine.note = octo.problem
            if answer == "REFUSED_ASK":
                if not plug.ask_wait:
                    plug.say = "refused"
                plug.ask_wait = min(2 * plug.ask_wait or _ASK_MS, _ASK_LONGEST_MS)
                plug.ask_due = ticks_add(ticks_ms(), plug.ask_wait)
            if answer:
                plug.post(answer)
        elif plug.mqtt and machine.pi == "UP":
            if plug.job != octo.print_state or ticks_diff(now, plug.job_due) >= 0:
                plug.job = octo.print_state
                plug.job_due = ticks_add(now, int(plug.s.mqtt_report_s * 1000))
                await octo.job()


def _text(plug):
    # What the printer's display is told; "" for nothing.
    machine = plug.machine
    if plug.say == "refused":
        return machine.reason
    s = plug.s
    plug.told = int(machine.hottest or 0)
    text = s.messages.split("\n")[_TOLD.split().index(plug.say)]
    for sign, value in ("%c", s.cool_below_c), ("%t", plug.told), ("%w", s.shutdown_wait_s):
        text = text.replace(sign, str(value))
    return text


async def serve(plug):
    """Have the broker served. OSError: the connection was lost."""
    # Connecting and looking up a name take heap: not both at once, and OctoPrint first.
    first = plug.hurry and plug.machine.poll_ms
    # Nor while the power may be cut soon: that loads what knows how.
    while (
        first
        or not plug.mqtt
        or not plug.board.wlan.isconnected()
        or plug.looks_up
        or plug.critical()
        and ticks_diff(ticks_ms(), plug.machine.since) < _SOON_MS
    ):
        await asyncio.sleep_ms(_WAIT_MS)
        first = False
    await plug.mqtt.run()


def teller(plug):
    """value() of this plug, as Mqtt wants it."""
    return lambda name: value(plug, name)


def value(plug, name):
    """The text to publish for `name`, an attribute of machine or OctoApi; None for nothing.

    For "outbox" a coroutine that sends the longer ones. There is hardly room for it beside a poll:
    but for Home Assistant's sake it waits until the power is off.
    """
    if name == "info" or name == "outbox":
        if plug.critical():
            return None
        if name == "info":
            return plug.step(name).told(plug)
        if plug.asks or plug.machine.poll_ms and not plug.at_home:
            return None
        return _step("telling" if plug.mqtt.says == 2 else name, "told", plug)
    found = getattr(plug.machine if hasattr(plug.machine, name) else plug.octo, name)
    if isinstance(found, float):
        return "%.1f" % found
    if isinstance(found, bool):
        return "ON" if found else "OFF"
    if found is None and name == "countdown_s":
        return ""
    return found if found is None else str(found)
