"""Sends what the bridge has to tell: answers, a new state.

Each is JSON in the envelope of Printago's OctoPrint plug-in, on a topic below `topic_answers` that
has its type. Loaded for that and let go.
"""

import json
from time import ticks_diff, ticks_ms

from mqtt import as_text, frame

_SEND_MS = const(10000)
_HEAD = '{"type":"%s","timestamp":%d,"printer_id":%s,"client_type":"octoprint","data":'


async def told(plug):
    """Send it, and have OctoPrint wait. OSError: the connection is broken."""
    plug.sends = True
    try:
        await _all(plug)
    finally:
        plug.sends = False


async def _all(plug):
    machine = plug.machine
    mqtt = plug.mqtt
    mqtt.says = 0
    if mqtt.jobs is None:
        try:
            await plug.step("pairing").told(plug)
        except MemoryError:
            mqtt.error = "no room for the bridge"
    if not mqtt.jobs:
        return
    while plug.replies:
        await _send(plug, *plug.replies[0])
        plug.replies = plug.replies[1:]
    state = machine.state
    if plug.last != state:
        plug.last = state
        data = {"event": "state", "state": state, "relay": machine.relay}
        data["reason"] = machine.reason
        await _send(plug, "event", json.dumps(data).encode())


async def _send(plug, kind, data):
    s = plug.s
    topics = dict(s.topics)
    up_s = plug.minutes * 60 + ticks_diff(ticks_ms(), plug.started) // 1000
    head = _HEAD % (kind, up_s, json.dumps(topics.get("bridge_id") or s.hostname))
    topic = topics.get("answers") or "octoprint"
    head = head.encode()
    size = len(head) + len(data) + 1
    send = plug.mqtt.wire.send
    try:
        await send(frame(0x30, as_text(topic + "/" + kind), size), _SEND_MS)
        for part in head, data, b"}":
            await send(part, _SEND_MS)
    except MemoryError:  # a half of it may be out
        plug.replies = ()
        raise OSError("no room")
