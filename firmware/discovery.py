"""Home Assistant's MQTT discovery: tells it of the plug in the words of discovery.txt.

Where that is not wanted any more it is withdrawn: the file `ha` holds the topic on which it was
told last. Loaded by outbox.py for one call and let go.
"""

import os
import sys

from mqtt import as_text, frame

_FILE = "ha"
_SEND_MS = const(10000)


async def send(plug, put):
    """Do what the settings ask for; put: that of outbox.py. OSError: the connection is broken."""
    s = plug.s
    mqtt = plug.mqtt
    prefix = s.ha_prefix or "homeassistant"
    name = "octoplugout-" + s.id
    topic = "%s/device/%s/config" % (prefix, name) if s.ha_discovery else ""
    before = ""
    try:
        with open(_FILE) as file:
            before = file.read()
    except OSError:
        pass
    if before != topic:
        if before:
            await mqtt.wire.send(frame(0x31, as_text(before)), _SEND_MS)
        try:
            if topic:
                with open(_FILE, "w") as file:
                    file.write(topic)
            else:
                os.remove(_FILE)
        except OSError:
            pass
    if topic:
        birth = prefix + "/status"
        mqtt.birth = birth.encode()
        await mqtt.wire.send(frame(0x82, b"\0\3" + as_text(birth) + b"\0"), _SEND_MS)
        await put(mqtt, topic, _lines, plug, name)


def _lines(plug, name):
    # The text in bytes, a line at a time. `<…>` in it stands for a topic, or for one of three.
    for folder in sys.path:
        try:
            file = open(folder + "/discovery.txt")
            break
        except OSError:
            pass
    else:
        return
    with file:
        for line in file:
            parts = line.split("<")
            for i in range(1, len(parts)):
                mark, rest = parts[i].split(">")
                if mark[0] == "/":
                    mark = plug.mqtt.topic(mark)
                else:
                    mark = {"id": name, "name": plug.s.hostname, "version": plug.version}[mark]
                parts[i] = mark.replace("\\", "\\\\").replace('"', '\\"') + rest
            yield "".join(parts).encode()
