"""Sends the switch-off log, retained, which is too long to be held.

Loaded for that while nothing is at stake, and let go. It goes out in pieces, all within one
deadline; what the broker sends meanwhile waits on the connection.
"""

import os
from time import ticks_add, ticks_diff, ticks_ms

from mqtt import as_text, frame

_LOG = const("offs")
_PIECE = const(128)
_ALL_MS = const(10000)


async def told(plug):
    """Send it, and have OctoPrint wait; ("placing",) if Home Assistant is to be told, or no more.

    OSError: the connection is broken. Should the file change meanwhile, spaces stand for what is
    missing.
    """
    plug.sends = True
    try:
        mqtt = plug.mqtt
        mqtt.says = ("bridge" in plug.s.topics) * 2  # next it is telling.py's turn
        send = mqtt.wire.send
        end = ticks_add(ticks_ms(), _ALL_MS)
        here = os.listdir()
        size = os.stat(_LOG)[6] if _LOG in here else 0
        await send(frame(0x31, as_text(mqtt.topic("/log")), size), _ALL_MS)
        at = 0
        while at < size:
            with open(_LOG, "rb") as file:  # which is smaller than what sends
                file.seek(at)
                piece = file.read(min(_PIECE, size - at)) or b" " * min(_PIECE, size - at)
            await send(piece, ticks_diff(end, ticks_ms()))
            at += len(piece)
    except MemoryError:  # a half of it may be out
        raise OSError
    finally:
        plug.sends = False
    if plug.s.ha_discovery or "ha" in here:
        return ("placing",)
