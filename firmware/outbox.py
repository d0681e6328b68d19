"""Sends retained texts that are too long to be held: the switch-off log, and discovery.py's.

Loaded for that while nothing is at stake, and let go. A text goes out in pieces, all within one
deadline; what the broker sends meanwhile waits on the connection.
"""

import os
import sys
from asyncio import sleep_ms
from time import ticks_add, ticks_diff, ticks_ms

from mqtt import as_text, frame

_PIECE = const(128)
_ALL_MS = const(10000)


async def told(plug):
    """Send them. OSError: the connection is broken."""
    mqtt = plug.mqtt
    mqtt.says = False
    size = _size("offs")
    await put(mqtt, mqtt.topic("/log"), size, _read("offs") if size else ())
    if plug.s.ha_discovery or _size("ha"):
        try:
            import discovery
        except MemoryError:
            return  # there may be room at the next connection
        del sys.modules["discovery"]
        await discovery.send(plug, put)


def _size(name):
    try:
        return os.stat(name)[6]
    except OSError:
        return 0


def _read(name):
    with open(name, "rb") as file:
        piece = file.read(_PIECE)
        while piece:
            yield piece
            piece = file.read(_PIECE)


async def put(mqtt, topic, size, pieces):
    """Publish `size` bytes, retained, as `pieces` yields them.

    They may have become more or less since they were counted: spaces stand for what is missing.
    """
    end = ticks_add(ticks_ms(), _ALL_MS)
    await mqtt.wire.send(frame(0x31, as_text(topic), size), _ALL_MS)
    for piece in pieces:
        piece = piece[:size]
        size -= len(piece)
        await mqtt.wire.send(piece, ticks_diff(end, ticks_ms()))
        await sleep_ms(0)
    await mqtt.wire.send(b" " * size, ticks_diff(end, ticks_ms()))
