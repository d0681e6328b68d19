"""Takes what was typed into a page of settings. A step of portal.py.

Secrets never leave the plug: an empty field keeps the old one, a box clears it.
"""


async def run(p):
    """Set p.typed, {key: what was typed}, where it differs from the value in use."""
    p.typed = typed = {}
    for row, value in p.rows:
        key, kind = row[:2]
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
    p.form = p.rows = ()
    return "storing"
