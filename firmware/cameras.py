"""Finds the cameras in OctoPrint's settings, which may be of any size and are never held.

OctoPrint before 1.9 knows one without a name. Loaded for one command of the bridge and let go.
"""

import json
from time import ticks_add, ticks_diff, ticks_ms

from wire import Wire

_MS = const(10000)  # for a connection, and from one piece to the next
_ALL_MS = const(30000)
_WINDOW = const(64)  # bytes between two awaits
_WORD = const(256)  # longest text that is kept
_MOST = const(4)  # cameras
_HEAD = "GET /api/settings HTTP/1.1\r\nHost: %s:%d\r\nConnection: close\r\nX-Api-Key: %s\r\n\r\n"


async def run(plug, given):
    """given: what is said when a picture was sent, and {parameter: text}."""
    said, wanted = given
    octo = plug.octo
    found = [["", "", ""]]  # provider, name, address of a picture; first that without a name
    octo.status = 0
    try:
        whole = await _read(plug, found)
    except (OSError, ValueError):
        whole = False
    if octo.status == 403:
        return "reply", ("error", "the API key may not read OctoPrint's settings")
    if not whole:
        return "reply", ("error", "OctoPrint does not tell its settings")
    return "picking", (said, wanted, found)


async def _read(plug, found):
    # Whether the answer came whole. OSError, ValueError: it did not come, or is none.
    s = plug.s
    octo = plug.octo
    wire = Wire()
    window = memoryview(bytearray(_WINDOW))
    end = ticks_add(ticks_ms(), _ALL_MS)
    path = [b""] * 6
    word = bytearray()
    depth = quoted = 0
    camera = ["", "", ""]
    head = True
    try:
        await wire.open(octo.address, s.octoprint_port, _MS)
        what = _HEAD % (s.octoprint_host, s.octoprint_port, s.octoprint_api_key)
        await wire.send(what.encode(), _MS)
        while ticks_diff(end, ticks_ms()) > 0 and not plug.critical():
            n = await wire.readinto(window, _MS)
            if not n:
                return False
            for c in window[:n]:
                if head:
                    if c == 10:
                        if not octo.status:
                            octo.status = int(bytes(word[9:12]))
                            if octo.status != 200:
                                return False
                        head = len(word) > 0
                        word = bytearray()
                    elif c != 13 and len(word) < 16:
                        word.append(c)
                elif quoted:
                    if c == 34 and quoted == 1:
                        quoted = 0
                    elif len(word) < _WORD:
                        word.append(c)
                    quoted = quoted and (2 if c == 92 and quoted == 1 else 1)
                elif c == 34:
                    quoted = 1
                    word = bytearray()
                elif c == 58:
                    if depth < 6:
                        path[depth] = bytes(word)
                    word = bytearray()
                elif c | 32 == 123:
                    depth += 1
                    if depth < 6:
                        path[depth] = b""
                elif c == 44 or c | 32 == 125:
                    if word and path[1] == b"webcam":
                        key = path[depth] if depth < 6 else b""
                        word = json.loads(b'"' + word + b'"')
                        if depth == 2:
                            if key == b"snapshotUrl":
                                found[0][2] = word
                        elif path[2] == b"webcams":
                            if depth == 4 and key == b"provider":
                                camera[0] = word
                            elif depth == 4 and key == b"name":
                                camera[1] = word
                            elif depth == 5 and key == b"snapshot" and path[4] == b"compat":
                                camera[2] = word
                    word = bytearray()
                    if c != 44:
                        depth -= 1
                        if not depth:
                            return True
                        if depth == 3 and path[1] == b"webcam" and path[2] == b"webcams":
                            if len(found) <= _MOST:
                                found.append(camera)
                            camera = ["", "", ""]
        return False
    finally:
        wire.close()
