"""Looks after the heat, and tells of what should not be; it never cuts anything by itself.

Loaded for one look at each reading, if `alarm_above_c` is set, and let go.
"""

from time import ticks_diff

_RISES = const(15)  # C above the coolest since nothing is to be heated: more than what follows
_GONE_MS = const(30000)


async def felt(plug, evidence, now):
    """Set machine.alarm, "" for nothing, and tell of a new one. evidence: what was just heard."""
    s = plug.s
    machine = plug.machine
    pi, _, hottest, target, _ = evidence
    text = ""
    before, coolest, then = plug.felt or (0, 999, now)
    if hottest is not None:
        if target or hottest < coolest:
            coolest = hottest
        if hottest >= s.alarm_above_c:
            text = "%d C, above %d C" % (hottest, s.alarm_above_c)
        elif target == 0 and hottest - coolest >= _RISES:
            text = "%d C and rising, but nothing is to be heated" % hottest
        plug.felt = hottest, coolest, now
    elif pi != "UNKNOWN" and "WAS_PRINTING" in machine.facts and before >= s.cool_below_c:
        # gone, or without the printer, in the middle of a job
        if ticks_diff(now, then) >= _GONE_MS:
            text = "OctoPrint lost a hot printer, %d C" % before
    if text and not machine.alarm:
        if plug.mqtt:
            plug.mqtt.error = text
        await plug.octo.say(text)
    machine.alarm = text
