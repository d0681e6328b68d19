"""Lays an answer of the bridge ready, for telling.py to send. Loaded for that and let go."""

import json


async def run(plug, given):
    """given: the answer's type, and what it says: for an error a sentence."""
    kind, data = given
    mqtt = plug.mqtt
    if mqtt:
        if kind == "error":
            data = {"error": data}
        plug.replies += ((kind, json.dumps(data).encode()),)
        if mqtt.missed:
            data = {"error": "%d commands came too fast and were not looked at" % mqtt.missed}
            plug.replies += (("error", json.dumps(data).encode()),)
            mqtt.missed = 0
        mqtt.says |= 2
