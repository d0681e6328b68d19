"""Sends retained texts that are too long to be held: the switch-off log, and discovery.py's.

Loaded for that while nothing is at stake, and let go. A text goes out in pieces, all within one
deadline; what the broker sends meanwhile waits on the connection.
"""

import os
from asyncio import sleep_ms
from time import ticks_add, ticks_diff, ticks_ms

from mqtt import as_text, frame

_PIECE = const(128)
_ALL_MS = const(10000)


async def told(plug):
    """Send them, and have OctoPrint wait. OSError: the connection is broken."""
    plug.sends = True
    try:
        await _all(plug)
    finally:
        plug.sends = False


async def _all(plug):
    mqtt = plug.mqtt
    mqtt.says = ("bridge" in plug.s.topics) * 2  # next it is telling.py's turn
    await put(mqtt, mqtt.topic("/log"), _read, "offs")
    if plug.s.ha_discovery or "ha" in os.listdir():
        try:
            discovery = plug.step("discovery")
            topic = await discovery.place(plug)
        except MemoryError:
            return  # there may be room at the next connection
        if topic:
            await put(mqtt, topic, discovery.parts, plug)


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
        except MemoryError:  # a half of it may be out
            raise OSError
        finally:
            source.close()  # and with it the file
    await mqtt.wire.send(b" " * size, ticks_diff(end, ticks_ms()))
