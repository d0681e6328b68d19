"""Calls the broker: what is said once a connection. Loaded for that and let go."""

from time import ticks_add, ticks_ms

_ANSWER_MS = const(10000)


async def dial(mqtt, address, as_text, frame):
    """Have the broker at `address` let `mqtt`, a Mqtt with a new wire, in. OSError: it does not.

    as_text, frame: those of mqtt.py, which loads this.
    """
    s = mqtt.s
    wire = mqtt.wire
    mqtt.jobs = None  # what was subscribed went with the connection before
    flags = 0x26  # a clean session, a will that is retained
    body = as_text("octoplugout-" + s.id) + as_text(mqtt.topic("/status")) + as_text("offline")
    if s.mqtt_user:
        flags |= 0xC0
        body += as_text(s.mqtt_user) + as_text(s.mqtt_password)
    body = b"\0\4MQTT\4" + bytes((flags,)) + s.mqtt_keepalive_s.to_bytes(2, "big") + body
    await wire.open(address, s.mqtt_port, _ANSWER_MS)
    await wire.send(frame(0x10, body), _ANSWER_MS)
    await mqtt.fill(mqtt.first, ticks_add(ticks_ms(), _ANSWER_MS))
    packet = await mqtt.packet()
    if len(packet) != 3 or packet[0] != 0x20 or packet[1] > 1 or packet[2]:
        raise OSError("refused")
    for body in b"\0\1/switch", b"\0\2/update":
        below = as_text(mqtt.topic(str(body[2:], "utf-8")))
        await wire.send(frame(0x82, body[:2] + below + b"\1"), _ANSWER_MS)
    mqtt.address = address
