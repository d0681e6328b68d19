"""Lays an answer of the bridge ready, for telling.py to send. Loaded for that and let go."""

import json

# All that the bridge may load
_PARTS = "bridge finding weighing wrong doing reply pairing cameras picking places parcel copying"


async def run(plug, given):
    """given: the answer's type, and what it says: for an error a sentence."""
    kind, data = given
    mqtt = plug.mqtt
    if mqtt:
        if kind == "error":
            data = {"error": data}
        plug.replies += ((kind, json.dumps(data)),)
        if mqtt.missed:
            data = {"error": "%d commands came too fast and were not looked at" % mqtt.missed}
            plug.replies += (("error", json.dumps(data)),)
            mqtt.missed = 0
        mqtt.says |= 2


def early(plug):
    """Make names of what is going to be imported for the bridge, and room for what it then sets.

    They are made once and for good: later they would lie in the middle of what is free.
    """
    for name in _PARTS.split(" "):
        hasattr(plug, name)
    mqtt = plug.mqtt
    mqtt.largest = mqtt.largest
    mqtt.jobs = None
