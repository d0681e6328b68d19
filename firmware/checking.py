"""Checks what was typed into a page of settings. A step of portal.py.

From here it goes to storing.py, or by matching.py to the page again, which shows beside its field
what is wrong, with what was typed kept. Neither is there yet: many mistakes take the room.
"""

import sys

_PARTS = "schema texts figures"


async def run(p):
    """p: the Portal. p.typed: {key: what was typed}; p.refusals becomes {key: what is wrong, for
    refusal.told()}, and the good ones go into p.in_use."""
    if not p.typed:
        return "storing"
    import schema

    good, p.refusals = schema.checked(p.typed)
    for part in _PARTS.split(" "):
        sys.modules.pop(part, None)
    if not p.refusals:
        p.in_use = None
        return "storing"
    p.in_use.update(good)
    return "matching"
