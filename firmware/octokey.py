"""The portal's OctoPrint page: address and key, a try of both, asking for a key. A step.

What was typed is stored by storing.py; then the browser comes back, and what the button is to do
is done.
"""

import asyncio
import sys

_SEND_MS = const(15000)


async def run(p):
    """Show the page, or take what was typed. p: the Portal."""
    s = p.plug.s
    if p.method == b"POST":
        p.typed = typed = {}
        host = p.field(b"octoprint_host").decode()
        port = p.field(b"octoprint_port").decode()
        key = p.field(b"octoprint_api_key").decode()
        if host != s.octoprint_host:
            typed["octoprint_host"] = host
        if port != str(s.octoprint_port):
            typed["octoprint_port"] = port
        if key:
            typed["octoprint_api_key"] = key
        p.pending = p.field(b"do")
        p.asked_as = p.field(b"user")[:64].decode()
        p.query = b"g=1"  # where it is shown if something is wrong with it
        return "storing"
    if p.pending:
        await _try(p)
    waits = p.helper and not p.helper.done()
    await p.begin_page(b"OctoPrint", b"Refresh: 3\r\n" if waits else b"")
    if p.came_of:
        await p.send_part("octokey", b"result", p.came_of)
    if waits:
        await p.send_part("octokey", b"waits", s.octoprint_host, s.octoprint_port)
    elif not p.plug.board.wlan.isconnected():
        await p.send_part("octokey", b"offline")
    await p.send_part("octokey", b"form", s.octoprint_host, s.octoprint_port)
    await p.send_part("octokey", b"kept" if s.octoprint_api_key else b"none")
    await p.send_part("octokey", b"end", p.token)
    await p.send_part("frame", b"back")
    await p.finish()
    return None


async def _try(p):
    # Does p.pending, b"test" or b"ask"; what came of it becomes p.came_of.
    s = p.plug.s
    what = p.pending
    p.pending = p.came_of = b""
    if what not in (b"test", b"ask") or not p.plug.board.wlan.isconnected():
        return
    import keys

    try:
        to = p.plug.resolve, s.octoprint_host, s.octoprint_port
        if what == b"test":
            p.came_of = await keys.test(*to, s.octoprint_api_key) or b"All is well"
        else:
            token = await keys.request(*to, p.asked_as)
            if p.helper:
                p.helper.cancel()
            import asking

            p.helper = asyncio.create_task(asking.run(p, token))
            del sys.modules["asking"]
    except (OSError, ValueError) as error:
        p.came_of = error.args[0]
    finally:
        sys.modules.pop("keys", None)
        p.ends(_SEND_MS)
