"""Writes what is said around a copy: the question, and the head of where it goes.

Loaded for one command of the bridge and let go.
"""

import os
from binascii import hexlify

_FILE = const(64)  # letters of a file's name
_UPLOAD = """\
POST /api/files/local HTTP/1.1\r
Host: %s:%d\r
Connection: close\r
X-Api-Key: %s\r
Content-Type: multipart/form-data; boundary=%s\r
Content-Length: """
_BEFORE = """\
--%s\r
Content-Disposition: form-data; name="path"\r
\r
Printago\r
--%s\r
Content-Disposition: form-data; name="file"; filename="%s"\r
Content-Type: application/octet-stream\r
\r
"""
_HEAD = "%s %s HTTP/1.1\r\nHost: %s:%d\r\nConnection: close\r\n"
_PICTURE = "Content-Type: image/jpeg\r\nContent-Length: "


async def run(plug, given):
    """given: what is said when it is done; (host, port, address, path) of the source and of the
    target. Without one it is uploaded to OctoPrint."""
    said, places = given
    host, port, at, path = places[0]
    ask = _HEAD % ("GET", path, host, port) + "\r\n"
    before = after = ""
    if len(places) > 1:
        host, to_port, to, path = places[1]
        head = _HEAD % ("PUT", path, host, to_port) + _PICTURE
    else:
        s = plug.s
        file = _file(path)
        if not file:
            return "reply", ("error", "url: its name does not end in .gcode, .gco or .g")
        said += file
        mark = str(hexlify(os.urandom(12)), "utf-8")  # no file can have it in it
        to = plug.octo.address
        to_port = s.octoprint_port
        head = _UPLOAD % (s.octoprint_host, to_port, s.octoprint_api_key, mark)
        before = _BEFORE % (mark, mark, file)
        after = "\r\n--%s--\r\n" % mark
    return "copying", (said, at, port, ask, to, to_port, head, before, after)


def _file(path):
    # The name of the file at the end of a path; "" if it is none that can be printed.
    name = path.split("?")[0].split("/")[-1]
    made = bytearray()
    at = 0
    while at < len(name):
        c = ord(name[at])
        try:
            if c == 37:
                c = int(name[at + 1 : at + 3], 16)
                at += 2
        except ValueError:
            pass
        at += 1
        good = (
            97 <= c | 32 <= 122 or 48 <= c <= 57 or c == 45 or c == 46 and made and made[-1] != 46
        )
        made.append(c if good else 95)
    name = str(made[-_FILE:], "utf-8")
    if name[:1] == ".":
        name = "_" + name[1:]  # it would be hidden
    if name.lower().endswith((".gcode", ".gco", ".g")):
        return name
    return ""
