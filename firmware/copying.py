"""Copies what a server has to another, in pieces that are let go of at once.

The length must be known before: an upload that is cut off has not come whole, and is dropped
there. Loaded for one command of the bridge and let go.
"""

from time import ticks_add, ticks_diff, ticks_ms

from wire import Wire

_MS = const(10000)  # for a connection, for each piece, for an answer
_ALL_MS = const(600000)
_PIECE = const(512)  # bytes
_LARGEST = const(67108864)
_LONGEST = const(4096)  # bytes of a head
_WORD = const(32)  # bytes of a line that are looked at


async def run(plug, given):
    """given: what is said when it is done; address and port of the source, what it is asked;
    those of the target, its head up to the length, and what comes before the copy and after it.
    """
    said, at, port, ask, to, to_port, head, before, after = given
    machine = plug.machine
    turns = machine.turns
    end = ticks_add(ticks_ms(), _ALL_MS)
    view = memoryview(bytearray(_PIECE))
    source = Wire()
    target = Wire()
    why = "the source does not answer"
    try:
        await source.open(at, port, _MS)
        await source.send(ask.encode(), _MS)
        status, left, rest = await _head(source, view)
        if status != 200:
            raise ValueError("the source answers HTTP %d" % status)
        if not 0 < left <= _LARGEST:
            raise ValueError("the source does not tell a length of at most 64 MB")
        why = "the target does not answer"
        await target.open(to, to_port, _MS)
        size = len(before) + left + len(after)
        await target.send((head + "%d\r\n\r\n" % size + before).encode(), _MS)
        while left:
            why = "the source broke off"
            if not rest:
                rest = view[: await source.readinto(view, _MS)]
                if not rest:
                    raise OSError
            rest = rest[:left]
            if plug.critical() or machine.turns != turns or ticks_diff(end, ticks_ms()) <= 0:
                raise ValueError("broken off: it took too long, or the power is switched")
            why = "the target broke off"
            await target.send(rest, _MS)
            left -= len(rest)
            rest = b""
        await target.send(after.encode(), _MS)
        why = "the target does not answer"
        status, _, _ = await _head(target, view)
        if 200 <= status < 300:
            return "reply", ("success", said)
        why = "the target answers HTTP %d" % status
    except ValueError as error:
        why = error.args[0]
    except OSError:
        pass
    finally:
        source.close()
        target.close()
    return "reply", ("error", why)


async def _head(wire, view):
    # (status, length or -1, what has come of the body)
    status = 0
    length = -1
    total = 0
    line = bytearray()
    while total < _LONGEST:
        n = await wire.readinto(view, _MS)
        if not n:
            raise OSError
        total += n
        for i in range(n):
            c = view[i]
            if c != 10:
                if c != 13 and len(line) < _WORD:
                    line.append(c)
                continue
            if not line:
                return status, length, view[i + 1 : n]
            line = bytes(line).lower()
            try:
                if not status:
                    status = int(line[9:12]) if line[:5] == b"http/" else 999
                elif line[:15] == b"content-length:":
                    length = int(line[15:])
                elif line[:18] == b"transfer-encoding:":
                    return status, -1, b""
            except ValueError:
                raise OSError
            line = bytearray()
    raise OSError
