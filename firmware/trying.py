"""Tries OctoPrint's address and key, or asks it for a key. A step of portal.py."""

import asyncio
import sys

_SEND_MS = const(15000)


async def run(p):
    """Do p.pending: b"test" or b"ask". What came of it becomes p.result."""
    s = p.plug.s
    what = p.pending
    p.pending = p.result = b""
    if what not in (b"test", b"ask") or not p.plug.board.wlan.isconnected():
        return "octokey"
    import keys

    try:
        to = p.plug.resolve, s.octoprint_host, s.octoprint_port
        if what == b"test":
            p.result = await keys.test(*to, s.octoprint_api_key) or b"All is well"
        else:
            token = await keys.request(*to, p.user)
            if p.helper:
                p.helper.cancel()
            import asking

            p.helper = asyncio.create_task(asking.run(p, token))
            del sys.modules["asking"]
    except (OSError, ValueError) as error:
        p.result = error.args[0]
    finally:
        sys.modules.pop("keys", None)
        p.ends(_SEND_MS)
    return "octokey"
