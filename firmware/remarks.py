"""Looks at what came by MQTT and is no plain command: PRINT, what bridge.py is to do, mistakes.

Loaded for that while nothing is at stake, and let go.
"""

from time import ticks_diff, ticks_ms

_LATEST_MS = const(20000)
_COMMANDS = "ON AFTERJOB OFF PERMON FORCEOFF"  # that mqtt.py takes itself


async def run(plug, given):
    """given: (topic, text, retained, longer than what is there of it, when it came). What is to be
    done next, and what that is given."""
    mqtt = plug.mqtt
    topic, text, retained, cut, came = given
    said = repr(text[:24])[1:]  # in quotes, and what no display shows in figures
    if topic == mqtt.jobs and not retained:
        if ticks_diff(ticks_ms(), came) > _LATEST_MS:
            text = b""  # who sent it does not expect it to be done any more
        return "bridge", text
    if retained:
        if topic != mqtt.jobs:
            mqtt.clear = True
        mqtt.error = "ignored, since retained: " + said
    elif text.strip()[:6].upper() == b"PRINT " and not cut:
        mqtt.clear = True
        return "order", text.strip()[6:]
    else:
        mqtt.error = "%s is none of %s, PERMON 1 to 999, PRINT file" % (said, _COMMANDS)
