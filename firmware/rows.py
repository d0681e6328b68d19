"""Which page of settings is meant, and its rows with the values in use. A step of portal.py.

On the way from a form: taking.py, storing.py, and back here if something was wrong; to a page:
fields.py. In so many steps because each of them needs a good part of what the heap has left.
"""

import sys

_PAGES = const(7)


async def run(p):
    """p: the Portal; its query is b"g=" and the page's number. Sets p.number and p.rows."""
    number = p.query[2:]
    if p.query[:2] != b"g=" or not number.isdigit() or len(number) > 1 or int(number) >= _PAGES:
        raise ValueError(404)
    p.number = int(number)
    import settings

    p.rows = settings.page(p.number)
    del sys.modules["settings"]
    return "taking" if p.method == b"POST" else "fields"
