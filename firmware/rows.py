"""Which page of settings is meant, its rows, and what was typed into them. A step of portal.py.

From here it goes to fields.py, which shows them, or to checking.py and back if something is wrong:
in so many steps because each of them needs a good part of what the heap has left. Secrets never
leave the plug: an empty field keeps the old one, a box clears it.
"""

import sys
from asyncio import sleep_ms

from portal import sweep

_PAGES = const(8)
_PARTS = "configfile figures refusal schema sheet texts"


def _step(module, name, *given):
    # As settings.py does it, which is itself too large to be there as well.
    try:
        return getattr(__import__(module), name)(*given)
    finally:
        for part in _PARTS.split(" "):
            sys.modules.pop(part, None)
        sweep()
        plug = sys.modules.get("plug")
        if plug and plug.watchdog:  # all steps together take longer than it waits
            plug.watchdog()


async def run(p):
    """p: the Portal; its query is b"g=" and the page's number. Sets p.number, and p.rows or
    p.typed, {key: what was typed} where it differs from the value in use, with p.in_use."""
    number = p.query[2:]
    if p.query[:2] != b"g=" or not number.isdigit() or len(number) > 1 or int(number) >= _PAGES:
        raise ValueError(404)
    p.number = int(number)
    keys = _step("sheet", "keys", p.number)
    await sleep_ms(0)
    found, _ = _step("configfile", "read", "config.json", keys)
    await sleep_ms(0)
    # as they are there: looking whether they are any good would take more room than there is
    p.rows = _step("sheet", "filled", _step("schema", "table"), p.number, found or {})
    keys = found = None
    if p.method != b"POST":
        return "fields"
    p.typed = typed = {}
    p.in_use = in_use = {}  # what belongs together is on one page
    for row, value in p.rows:
        key, kind = row[:2]
        in_use[key] = value
        field = p.field(key.encode(), None)
        if key in ("wifi_ssid", "wifi_password"):
            continue  # have a page of their own, which tries them first
        if kind == "bool":
            if (field is not None) != value:
                typed[key] = not value
        elif kind == "secret":
            if field:
                typed[key] = field.decode()
            elif p.field(b"no_" + key.encode()):
                typed[key] = ""
        elif field is not None:
            field = field.replace(b"\r\n", b"\n").decode()
            if field != value:
                typed[key] = field
    p.sent_form = p.rows = ()
    return "checking"
