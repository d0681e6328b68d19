"""Tells Home Assistant of the plug, by MQTT discovery, in the words of pages/discovery.txt.

Loaded for that, after placing.py has said where, and let go.
"""

import sys
from asyncio import sleep_ms
from time import ticks_add, ticks_diff, ticks_ms

from mqtt import as_text, frame

_ALL_MS = const(10000)
_ROW = const(32)  # bytes


async def told(plug, topic):
    """Publish it there, retained, in pieces within one deadline. OSError: the connection broke.

    First they are counted. Should they be others by then, spaces stand for those that are missing.
    """
    plug.sends = True
    try:
        send = plug.mqtt.wire.send
        size = 0
        for sends in (False, True):
            end = ticks_add(ticks_ms(), _ALL_MS)
            if sends:
                await send(frame(0x31, as_text(topic), size), _ALL_MS)
            source = parts(plug)
            try:
                for piece in source:
                    if sends:
                        piece = piece[:size]
                        size -= len(piece)
                        await send(piece, ticks_diff(end, ticks_ms()))
                    else:
                        size += len(piece)
                    await sleep_ms(0)
            finally:
                source.close()  # and with it the file
        await send(b" " * size, ticks_diff(end, ticks_ms()))
    except MemoryError:  # a half of it may be out
        raise OSError
    finally:
        plug.sends = False


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
