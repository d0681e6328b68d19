"""The portal's WiFi page: the networks in reach, and a form. A step of portal.py.

What is chosen goes to choice.py, and from there to joining.py, which tries it.
"""


async def run(p):
    """Show the page, also with what was wrong with the choice before. p: the Portal."""
    if p.method == b"POST":
        return "choice"
    s = p.plug.s
    chosen = p.tried or s.wifi_ssid.encode()
    await p.top(b"WiFi")
    if p.trouble:
        await p.part("wifi", b"trouble", chosen, p.trouble)
    await p.part("wifi", b"form")
    listed = False
    for entry in p.networks:
        name = entry[2:]
        here = name == chosen
        listed = listed or here
        part = b"locked" if entry[1] else b"free"
        bars = 4 - min(max(entry[0] - 50, 0) // 10, 3)
        await p.part("wifi", part, name.hex(), b"checked" if here else b"", name, bars)
    await p.part("wifi", b"other", b"" if listed else b"checked", b"" if listed else chosen)
    if s.wifi_password:
        await p.part("wifi", b"kept")
    await p.part("wifi", b"end", p.token)
    if p.lan:
        await p.part("wifi", b"lan")
    await p.part("frame", b"back")
    await p.bottom()
