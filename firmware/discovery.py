"""Tells Home Assistant of the plug, by MQTT discovery, in the words of pages/discovery.txt.

What is not wanted any more is withdrawn: the file `ha` holds the topic on which it was told last.
Loaded by outbox.py for that and let go.
"""

import os
import sys

from mqtt import as_text, frame

_FILE = "ha"
_SEND_MS = const(10000)
_ROW = const(32)  # bytes


async def place(plug):
    """The topic, or "" for none; the plug then listens for Home Assistant's start.

    OSError: the connection is broken.
    """
    s = plug.s
    mqtt = plug.mqtt
    prefix = s.ha_prefix or "homeassistant"
    topic = "%s/device/octoplugout-%s/config" % (prefix, s.id) if s.ha_discovery else ""
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
        prefix += "/status"
        mqtt.birth = prefix.encode()
        await mqtt.wire.send(frame(0x82, b"\0\3" + as_text(prefix) + b"\0"), _SEND_MS)
    return topic


def parts(plug):
    """Yield what is told, as pieces of bytes.

    `<…>` in the text stands for the topic that has this name by default, or for one of three
    words; all are within quotes there.
    """
    for folder in sys.path:  # as steps.open() does, which is too large here
        try:
            file = open(folder + "/portal.pack", "rb")
            break
        except OSError:
            pass
    else:
        return
    with file:
        row = b" "
        while b" discovery=" not in row:  # tools/shelf.py lays them out
            row = file.read(_ROW)
            if row[:1] != b" ":
                return
        file.seek(int(row[-5:]))
        for line in file:
            if line == b"=\n":
                break
            for part in line.split(b"<"):
                at = part.find(b">")
                if at > 0:
                    mark = str(part[:at], "utf-8")
                    if mark == "id":
                        mark = plug.s.id
                    elif mark == "name":
                        mark = plug.s.hostname
                    elif mark == "version":
                        mark = plug.version
                    else:
                        mark = plug.mqtt.topic(mark)
                    yield mark.replace("\\", "\\\\").replace('"', '\\"').encode()
                yield part[at + 1 :]
