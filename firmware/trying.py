"""Tries OctoPrint's address and key, or asks it for a key. A step of portal.py."""

import sys
from time import ticks_ms

from portal import sweep

_SEND_MS = const(15000)


async def run(p):
    """Do p.pending: b"test", b"ask", or b"got" for a key that was given; say it in p.came_of."""
    s = p.plug.s
    what = p.pending
    p.came_of = b""
    if what not in (b"test", b"ask", b"got") or not p.plug.board.wlan.isconnected():
        p.pending = b""
        return "octokey"
    if what == b"got":
        p.came_of = b"OctoPrint gave a key"  # that much is sure, whatever the try comes to
    address = ""
    try:
        address = await p.plug.resolve(s.octoprint_host)
    except OSError:
        pass
    sweep()  # names and keys: there is room for one of them
    import keys

    p.pending = b""  # not before: without the room to load it all this is begun anew

    async def resolve(_):
        if not address:
            raise OSError(2)
        return address

    try:
        to = resolve, s.octoprint_host, s.octoprint_port
        if what == b"ask":
            p.app_token = await keys.request(*to, p.asked_as)
            p.asked_at = address
            p.misses = 0
            p.due = ticks_ms()
        else:
            wrong = await keys.test(*to, s.octoprint_api_key)
            p.came_of = wrong or (p.came_of and p.came_of + b", and all is well") or b"All is well"
    except (OSError, ValueError) as error:
        p.came_of = error.args[0]
    finally:
        sys.modules.pop("keys", None)
        p.ends(_SEND_MS)
    return "octokey"
