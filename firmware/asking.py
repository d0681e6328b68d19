"""Waits until somebody allows the key that OctoPrint was asked for. A task beside the portal.

OctoPrint forgets a request that nobody has asked about for 5 s, so it cannot be left to a phone
whose owner is looking at another page just then.
"""

import sys
from asyncio import sleep_ms

_ASK_MS = const(2000)
_MISSES = const(5)


async def run(p, token):
    """Store the key that `token` leads to, and say in p.came_of how it went. p: the Portal."""
    import keys

    s = p.plug.s
    to = p.plug.resolve, s.octoprint_host, s.octoprint_port
    key = ""
    misses = 0
    try:
        while not key:
            await sleep_ms(_ASK_MS)
            p.used()
            try:
                key = await keys.fetch(*to, token)
                misses = 0
            except OSError:
                misses += 1
                if misses > _MISSES:
                    raise
        sys.modules.pop("keys", None)
        import settings

        wrong = settings.save({"octoprint_api_key": key}, bag=s)
        sys.modules.pop("settings", None)
        p.came_of = wrong.get("") or wrong.get("octoprint_api_key") or ""
        if not wrong:
            p.came_of = await keys.test(*to, key) or b"OctoPrint gave a key, and all is well"
    except (OSError, ValueError) as error:
        p.came_of = error.args[0]
    except MemoryError:
        p.came_of = b"No room at the moment. Please try once more."
    finally:
        sys.modules.pop("keys", None)
