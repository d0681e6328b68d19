"""Looks at what came by MQTT and is no plain command: PRINT, what bridge.py is to do, mistakes.

Loaded for that while nothing is at stake, and let go.
"""

from time import ticks_diff, ticks_ms

_LATEST_MS = const(20000)
_COMMANDS = "ON AFTERJOB OFF PERMON FORCEOFF"  # that mqtt.py takes itself


async def made(plug):
    """Look at mqtt.given: (topic, text, retained, longer than what is there of it, when)."""
    mqtt = plug.mqtt
    topic, text, retained, cut, came = mqtt.given
    mqtt.given = ()
    if topic == mqtt.jobs and not retained:
        step = "bridge"
        if ticks_diff(ticks_ms(), came) > _LATEST_MS:
            text = b""  # who sent it does not expect it to be done any more
        while step:
            step, text = await plug.step(step).begun(plug, text) or ("", None)
            if step and plug.critical():
                mqtt.given = topic, b"", 0, False, came  # there was none to be had, or no answer
                break
        return
    if retained:
        if topic != mqtt.jobs:
            mqtt.clear = True
        mqtt.error = "ignored, since retained: %r" % text[:24]
    elif text.strip()[:6].upper() == b"PRINT " and not cut:
        mqtt.clear = True
        await plug.step("wake").begun(plug, text.strip()[6:])
    else:
        mqtt.error = "%r is none of %s, PERMON 1 to 999, PRINT file" % (text[:24], _COMMANDS)
