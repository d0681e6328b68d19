"""Asks OctoPrint whether the Pi still has something to finish: a timelapse, an update.

Only while all is cool and the shutdown would be asked for next. Loaded for one look and let go.
"""

from time import ticks_add, ticks_diff, ticks_ms

from wire import Wire

_OPEN_MS = const(4000)
_ANSWER_MS = const(10000)
_WINDOW = const(128)
_HEAD = "GET %s HTTP/1.1\r\nHost: %s:%d\r\nConnection: close\r\nX-Api-Key: %s\r\n\r\n"

# Without force the answer may be one of before; an update that is checked for is no real one.
_TIMELAPSE = "/api/timelapse?unrendered=true&force=true"
_UPDATE = "/plugin/softwareupdate/check?check=-"


async def looked(plug, now):
    """Set machine.pending to what is unfinished, "" for nothing.

    An answer that does not come changes nothing; one that tells nothing, as where the key may not
    ask, means "nothing". What takes longer than `render_wait_s` is not waited for.
    """
    machine = plug.machine
    found = machine.pending
    if found == "a last look" or plug.render_due is None:  # the first since it has been cool
        found = "OctoPrint does not tell what it does"
        plug.render_due = ticks_add(now, int(plug.s.render_wait_s * 1000))
    try:
        if await _says(plug, _TIMELAPSE, b'"processing":true'):
            found = "a timelapse is rendered"
        elif await _says(plug, _UPDATE, b'"status":"inProgress"'):
            found = "OctoPrint is updated"
        else:
            found = ""
    except OSError:
        pass
    if ticks_diff(now, plug.render_due) >= 0:
        found = ""
    machine.pending = found


async def _says(plug, path, mark):
    # Whether `mark` is in the answer, which may be of any size. OSError: it did not come whole.
    s = plug.s
    wire = Wire()
    window = memoryview(bytearray(_WINDOW))
    rest = b""
    try:
        await wire.open(plug.octo.address, s.octoprint_port, _OPEN_MS)
        head = _HEAD % (path, s.octoprint_host, s.octoprint_port, s.octoprint_api_key)
        await wire.send(head.encode(), _ANSWER_MS)
        end = ticks_add(ticks_ms(), _ANSWER_MS)
        while mark not in rest:
            n = await wire.readinto(window, ticks_diff(end, ticks_ms()))
            if not n:
                if rest.rstrip()[-1:] in (
                    b"}",
                    b">",
                ):  # of JSON, or a page that tells what is wrong
                    return False
                raise OSError("cut off")
            if ticks_diff(end, ticks_ms()) <= 0:
                raise OSError("endless")
            # Spaces may be in an answer or not. Within a text quotes have a backslash before them.
            rest = rest[-len(mark) :] + bytes(window[:n]).replace(b" ", b"")
        return True
    finally:
        wire.close()
