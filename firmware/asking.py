"""Looks whether somebody has allowed the key that OctoPrint was asked for. A step of portal.py.

It is taken between requests, again and again, whichever page the phone's owner is looking at.
"""

import sys
from asyncio import sleep_ms

_MISSES = const(5)


async def run(p):
    """Store the key once there is one; p.app_token becomes "" when nothing is left to wait for."""
    s = p.plug.s
    p.used()
    try:
        if not p.given_key:  # it is given once: without the room to store it, it waits here
            import keys

            async def resolve(_):  # trying.py has looked it up: there is no room for names.py
                return p.asked_at

            to = resolve, s.octoprint_host, s.octoprint_port
            p.given_key = await keys.fetch(*to, p.app_token)
            p.misses = 0
            del keys, sys.modules["keys"], to, resolve
        if p.given_key:
            import keeping

            wrong = {}
            for _ in keeping.save_slowly({"octoprint_api_key": p.given_key}, wrong, bag=s):
                await sleep_ms(0)
            p.came_of = wrong.get("") or wrong.get("octoprint_api_key") or b""
            p.pending = b"" if wrong else b"got"  # tried as soon as somebody looks
            p.app_token = p.given_key = ""
    except OSError as error:
        p.misses += 1
        if p.misses > _MISSES:
            p.app_token = ""
            p.came_of = error.args[0]
    except ValueError as error:
        p.app_token = ""
        p.came_of = error.args[0]
    finally:
        for name in ("keys", "keeping"):
            sys.modules.pop(name, None)
