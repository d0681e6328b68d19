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
    await put(mqtt, mqtt.topic("/log"), _read, "offs")
    if plug.s.ha_discovery or "ha" in os.listdir():
        try:
            from discovery import parts, place

            topic = await place(plug)
        except MemoryError:
            return  # there may be room at the next connection
        finally:
            sys.modules.pop("discovery", None)
        if topic:
            await put(mqtt, topic, parts, plug)


def _read(name):
    try:
        file = open(name, "rb")
    except OSError:
        return
    with file:
        piece = file.read(_PIECE)
        while piece:
            yield piece
            piece = file.read(_PIECE)


async def put(mqtt, topic, pieces, *given):
    """Publish, retained, the bytes that the generator `pieces` yields for what is `given` here.

    First they are counted. Should they be others by then, spaces stand for those that are missing.
    """
    size = 0
    for sends in (False, True):
        end = ticks_add(ticks_ms(), _ALL_MS)
        if sends:
            await mqtt.wire.send(frame(0x31, as_text(topic), size), _ALL_MS)
        source = pieces(*given)
        try:
            for piece in source:
                if sends:
                    piece = piece[:size]
                    size -= len(piece)
                    await mqtt.wire.send(piece, ticks_diff(end, ticks_ms()))
                else:
                    size += len(piece)
                await sleep_ms(0)
        finally:
            source.close()  # and with it the file
    await mqtt.wire.send(b" " * size, ticks_diff(end, ticks_ms()))
