"""Stores what was typed into a page of settings, and has it used. A step of portal.py.

checking.py has found nothing wrong with it; where storing does, it is said as there.
"""

import sys
from asyncio import sleep_ms


async def run(p):
    """p: the Portal. p.typed: {key: what was typed}; p.refusals becomes {key: what is wrong}."""
    typed = p.typed
    s = p.plug.s
    if typed:
        import keeping

        p.refusals = wrong = {}
        for _ in keeping.save_slowly(typed, wrong, bag=s):
            await sleep_ms(0)
        del sys.modules["keeping"], keeping
    if p.refusals:
        p.method = b"GET"  # shown as by checking.py
        return "rows"
    if "portal_password" in typed:
        p.pass_word = typed["portal_password"].encode()
    saved = tuple(typed) or None
    if p.lan and ("hostname" in typed or "wifi_country" in typed):
        await p.begin_page(b"Saved")
        await p.send_part("fields", b"moved", s.hostname, p.plug.board.wlan.ifconfig()[0])
        await p.finish()
        p.plug.changes = saved  # the station joins anew, and is away for some seconds
        return None
    p.plug.changes = saved
    p.tell_once = b"Saved" if typed else b"Nothing was changed"
    if p.path == b"/octoprint":
        p.tell_once = b""
        return p.go_to(p.path)
    return p.go_to(b"/")
