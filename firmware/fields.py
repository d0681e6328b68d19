"""Shows a page of the portal's settings, drawn from their table. A step of portal.py."""


async def run(p):
    """p: the Portal. Its number, rows, typed and wrong: see rows.py and checking.py."""
    wrong = p.refusals
    await p.begin_page(b"Settings")
    await p.send_part("fields", b"%d" % p.number)
    if wrong:
        await p.send_part("fields", b"wrong", wrong.get("", b"Nothing was saved: see below"))
    await p.send_part("fields", b"form", p.number)
    for row, value in p.rows:
        key, kind, choices, unit, label, words = row
        if key in ("wifi_ssid", "wifi_password"):
            continue
        if kind != "secret":
            value = p.typed.get(key, value)
        if unit:
            label += " (%s)" % unit
        part = b"line"
        if kind == "bool":
            part = b"box"
            value = b"checked" if value else b""
        elif kind == "secret":
            part = b"kept" if value else b"secret"
            value = b""
        elif kind in ("list", "choice"):
            part = kind.encode()
        elif kind != "text" and kind != "host":
            part = b"number"
        await p.send_part("fields", part, key, label, value, b"true" if key in wrong else b"false")
        if kind == "choice":
            for choice in choices:
                await p.send_part("fields", b"chosen" if choice == value else b"option", choice)
            await p.send_part("fields", b"choices")
        if part == b"kept" and key != "portal_password":
            await p.send_part("fields", b"clear", key)
        if key in wrong:
            why = wrong[key]
            await p.send_part("fields", b"why", key, why[why.find(": ") + 2 :])
        if words:
            await p.send_part("fields", b"help", words)
    await p.send_part("fields", b"end", p.token)
    await p.send_part("frame", b"back")
    await p.finish()
