"""Listens for the bridge's commands, and lays ready what says that it is there.

Loaded by telling.py once a connection, and let go.
"""

import json

from mqtt import as_text, frame

_SEND_MS = const(10000)
_LARGEST = const(768)  # bytes of an incoming packet: its topic and a command


async def told(plug):
    """Subscribe, once a connection. OSError: the connection is broken."""
    mqtt = plug.mqtt
    s = plug.s
    topics = dict(s.topics)
    commands = topics.get("commands") or "octoPrint/commands"
    for above in topics.get("answers") or "octoprint", s.mqtt_topic:
        if commands[: len(above) + 1] == above + "/":  # it would hear itself
            mqtt.error = "no bridge: topic_commands is below " + above
            return
    mqtt.largest = _LARGEST
    mqtt.jobs = commands.encode()
    await mqtt.wire.send(frame(0x82, b"\0\4" + as_text(commands) + b"\0"), _SEND_MS)
    data = json.dumps({"name": s.hostname, "version": plug.version, "state": plug.machine.state})
    plug.replies = (("pairing", data.encode()),) + plug.replies
