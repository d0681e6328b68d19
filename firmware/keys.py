"""Tries address and key of OctoPrint, and asks it for a key (application keys). Loaded for that.

An answer is looked through for a few words as it streams by, 10 s and 8 KB of it at most; nothing
else of it is held. What is wrong is told in the sentences of
pages/keys.txt: as OSError when nobody
answered, which may be different in a moment, as ValueError when an answer said so.
"""

from json import dumps
from time import ticks_add, ticks_diff, ticks_ms

from wire import Wire

_OPEN_MS = const(4000)
_ANSWER_MS = const(10000)
_LARGEST = const(8192)
_LONGEST = const(64)  # bytes of a token or key
_ECONNREFUSED = const(111)


async def test(resolve, host, port, key):
    """What is wrong with this address and key, or "".

    resolve: async, host -> dotted address, or OSError.
    """
    try:
        _fit(key.encode(), b"unfit")
        # first what a key is needed for: of /api/currentuser everybody is told what he may do
        what = "GET /api/printer?exclude=sd,temperature"
        printer, missed, _ = await _ask(resolve, host, port, what, key, (b'"error"',))
        if printer not in (200, 403, 409) or missed and printer != 200:
            _wrong(b"foreign", printer)
        if printer == 403:
            _wrong(b"refused")
        marks = b'"permissions"', b'"SYSTEM"'
        status, missed, _ = await _ask(resolve, host, port, "GET /api/currentuser", key, marks)
        if status != 200 or missed > 1:
            _wrong(b"foreign", status)
        if missed:
            _wrong(b"weak")
        if printer == 409:
            _wrong(b"offline")
        return ""
    except (OSError, ValueError) as error:
        return error.args[0]


async def request(resolve, host, port, user=""):
    """Have OctoPrint ask its user, or anybody, to allow a key: the token to fetch() it with."""
    body = {"app": "OctoPlugout"}
    if user:
        body["user"] = user
    what = "POST /plugin/appkeys/request"
    marks = b'"app_token"', b'"'
    status, missed, token = await _ask(resolve, host, port, what, "", marks, dumps(body).encode())
    if status == 429:
        _wrong(b"often")
    if status == 404 or status == 403:
        _wrong(b"plugin")
    return _fit(b"" if missed or status != 201 else token, b"foreign", status)


async def fetch(resolve, host, port, token):
    """The key that was allowed, "" while nobody has decided: to be called every 1 to 4 s."""
    what = "GET /plugin/appkeys/request/" + token
    marks = b'"api_key"', b'"'
    status, missed, key = await _ask(resolve, host, port, what, "", marks)
    if status == 202:
        return ""
    if status == 404:
        _wrong(b"denied")
    return _fit(b"" if missed or status != 200 else key, b"foreign", status)


def _wrong(word, status=0, passing=False):
    # The words are bytes: short texts would stay in the heap, as names do.
    import steps

    with steps.open("/keys") as file:
        for line in file:
            if line.startswith(word + b" "):
                word = line[len(word) + 1 :].strip()
                break
    word = str(word, "utf-8").replace("{status}", str(status))
    raise (OSError if passing else ValueError)(word)


def _fit(text, word, status=0):
    # A token becomes part of an address, a key of a head.
    for c in text or b"?":
        if not (97 <= c | 32 <= 122 or 48 <= c <= 57 or c in b"-_.") or len(text) > _LONGEST:
            _wrong(word, status)
    return str(text, "utf-8")


async def _ask(resolve, host, port, what, key, marks, body=b""):
    # (status, how many of the marks did not come one after the other in the body, the text between
    # the last mark and the next quote)
    marks = (b"\r\n\r\n",) + marks
    seen = b""
    status = got = 0
    word = b"unnamed"
    wire = Wire()
    try:
        address = await resolve(host)
        word = b"silent"
        await wire.open(address, port, _OPEN_MS)
        word = b"mute"
        end = ticks_add(ticks_ms(), _ANSWER_MS)
        head = "%s HTTP/1.1\r\nHost: %s:%d\r\nConnection: close\r\n" % (what, host, port)
        if key:
            head += "X-Api-Key: %s\r\n" % key
        if body:
            head += "Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
        await wire.send((head + "\r\n").encode() + body, _ANSWER_MS)
        buf = memoryview(bytearray(_LONGEST))
        while got < _LARGEST:
            n = await wire.readinto(buf, ticks_diff(end, ticks_ms()))
            if not n:
                break
            got += n
            seen += bytes(buf[:n])
            if not status and got >= 12:
                word = b"nohttp"
                if seen[:5] == b"HTTP/" and seen[9:12].isdigit():
                    status = int(seen[9:12])
                if not status:
                    break
            while marks and marks[0] in seen:
                seen = seen[seen.find(marks[0]) + len(marks[0]) :]
                marks = marks[1:]
            if marks:
                seen = seen[-_LONGEST:]
            elif b'"' in seen or len(seen) > _LONGEST:
                break
    except OSError as error:
        if error.args[0] == _ECONNREFUSED:
            word = b"closed"
    finally:
        wire.close()
    if not status:
        _wrong(word, 0, True)
    if status >= 500:
        _wrong(b"starting", status, True)
    return status, len(marks), seen[: max(0, seen.find(b'"'))]
