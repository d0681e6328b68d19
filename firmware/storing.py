"""Checks and stores what was typed into a page of settings, and has it used. A step of portal.py.

What is wrong is said beside its field, with what was typed kept, by the page that is shown then.
"""

import sys


async def run(p):
    """p: the Portal. p.typed: {key: what was typed}; p.refusals becomes {key: what is wrong}."""
    typed = p.typed
    s = p.plug.s
    if typed:
        import settings

        p.refusals = settings.save(typed, bag=s)
        del sys.modules["settings"], settings
    if p.refusals:
        p.method = b"GET"  # the form has been taken: what follows shows
        return "rows"
    if "portal_password" in typed:
        p.pass_word = typed["portal_password"].encode()
    saved = {key: getattr(s, key, None) for key in typed} or None
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
