"""Tries OctoPrint's address and key, or asks it for a key. A step of portal.py."""

import sys
from time import ticks_ms

_SEND_MS = const(15000)


async def run(p):
    """Do p.pending: b"test", b"ask", or b"got" for a key that was given; say it in p.came_of."""
    s = p.plug.s
    what = p.pending
    p.pending = p.came_of = b""
    if what not in (b"test", b"ask", b"got") or not p.plug.board.wlan.isconnected():
        return "octokey"
    if what == b"got":
        p.came_of = b"OctoPrint gave a key"  # that much is sure, whatever the try comes to
    import keys

    try:
        to = p.plug.resolve, s.octoprint_host, s.octoprint_port
        if what == b"ask":
            p.app_token = await keys.request(*to, p.asked_as)
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
