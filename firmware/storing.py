"""Checks and stores what was typed into a page of settings, and has it used. A step of portal.py.

What is wrong is said beside its field, with what was typed kept, by the page that is shown then.
"""

import sys
from asyncio import sleep_ms

from portal import sweep


async def run(p):
    """p: the Portal. p.typed: {key: what was typed}; p.refusals becomes {key: what is wrong}.
    p.in_use: {key: value} of the whole page as it was, numbers as text."""
    typed = p.typed
    s = p.plug.s
    if typed:
        # First without keeping.py: what is to be said of many mistakes needs the room.
        import schema

        new, p.refusals = schema.checked(typed)
        if p.refusals:
            import odds

            for key, value in p.in_use.items():
                try:
                    p.in_use[key] = schema.number(value)
                except ValueError:
                    pass  # a text
            p.in_use.update(new)
            try:
                broken = odds.broken(p.in_use)
            except TypeError:  # the file has no numbers there: looked at again once all is right
                broken = ()
            for key in new:
                if key in broken:
                    p.refusals[key] = broken[key]
            del odds
        new = p.in_use = None
        del schema
        for part in "odds schema texts figures refusal".split():
            sys.modules.pop(part, None)
        sweep()
    if typed and not p.refusals:
        import keeping

        p.refusals = wrong = {}
        for _ in keeping.save_slowly(typed, wrong, bag=s):
            await sleep_ms(0)
        del sys.modules["keeping"], keeping
    if p.refusals:
        p.method = b"GET"  # the form has been taken: what follows shows
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
