"""Says on which topic Home Assistant is told of the plug, and withdraws what it need not know.

The file `ha` holds the topic on which it was told last. Loaded for that and let go.
"""

import os

from mqtt import as_text, frame

_FILE = "ha"
_SEND_MS = const(10000)


async def told(plug):
    """("discovery", topic), or None for nothing; the plug then listens for Home Assistant's start.

    OSError: the connection is broken.
    """
    plug.sends = True
    try:
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
            return "discovery", topic
    finally:
        plug.sends = False
