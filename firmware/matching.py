"""Says what is wrong with what was typed, and what does not go together: all is told at once. A
step of portal.py."""

import sys

_PARTS = "figures odds refusal schema"


async def run(p):
    """p: the Portal. p.typed, p.refusals: see checking.py; the refusals become sentences.
    p.in_use: {key: value} of the whole page, numbers that were not typed as text."""
    import odds
    import refusal
    import schema

    refusal.told(p.refusals, schema.table())
    in_use = p.in_use
    for key, value in in_use.items():
        if isinstance(value, str):
            try:
                in_use[key] = schema.number(value)
            except ValueError:
                pass  # a text
    try:
        broken = odds.broken(in_use)
    except TypeError:  # the file has no numbers there: looked at again once all is right
        broken = ()
    for key in broken:
        if key in p.typed:
            p.refusals.setdefault(key, broken[key])
    p.in_use = None
    for part in _PARTS.split(" "):
        sys.modules.pop(part, None)
    p.method = b"GET"  # the form has been taken: what follows shows
    return "rows"
