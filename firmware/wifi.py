"""The portal's WiFi page: the networks in reach, and which of them to join. A step of portal.py.

What is chosen goes to joining.py, which tries it once the answer is out.
"""

import sys


async def run(p):
    """Show the page, or take what was chosen there. p: the Portal."""
    if p.method == b"POST":
        return await _choose(p)
    return await _page(p)


async def _page(p):
    # Also with what was wrong with the choice before.
    s = p.plug.s
    chosen = p.tried or s.wifi_ssid.encode()
    await p.begin_page(b"WiFi")
    if p.not_joined:
        await p.send_part("wifi", b"trouble", chosen, p.not_joined)
    await p.send_part("wifi", b"form")
    listed = False
    for entry in p.in_reach:
        name = entry[2:]
        here = name == chosen
        listed = listed or here
        part = b"locked" if entry[1] else b"free"
        bars = 4 - min(max(entry[0] - 50, 0) // 10, 3)
        await p.send_part("wifi", part, name.hex(), b"checked" if here else b"", name, bars)
    await p.send_part("wifi", b"other", b"" if listed else b"checked", b"" if listed else chosen)
    if s.wifi_password:
        await p.send_part("wifi", b"kept")
    await p.send_part("wifi", b"end", p.token)
    if p.lan:
        await p.send_part("wifi", b"lan")
    await p.send_part("frame", b"back")
    await p.finish()


async def _choose(p):
    # Looks around once more, or has what was chosen tried.
    s = p.plug.s
    if p.field(b"do") == b"scan":
        if not p.plug.watchdog:  # which nobody would feed for two seconds
            import radio

            p.in_reach = radio.scan(p.plug.board.wlan)
            del sys.modules["radio"]
        return p.go_to(b"/wifi")
    name = p.field(b"n")
    name = bytes.fromhex(name.decode()) if name else p.field(b"ssid")
    password = p.field(b"password")
    p.tried = name
    p.not_joined = b""
    if name == s.wifi_ssid.encode() and not password and not p.field(b"clear"):
        password = s.wifi_password.encode()
    elif not password and [1 for entry in p.in_reach if entry[2:] == name and entry[1]]:
        p.not_joined = b"this network has a password"
    if not 0 < len(name) <= 32:
        p.not_joined = b"a name has 1 to 32 characters"
    elif 0 < len(password) < 8 or len(password) > 64:
        p.not_joined = b"a password has 8 to 64 characters"
    if not p.not_joined:
        import texts

        try:
            p.candidate = name.decode(), password.decode()
            texts.good(("wifi_ssid", "text", "", 1, 32, ""), p.candidate[0], None)
            texts.good(("wifi_password", "text", "", 0, 64, ""), p.candidate[1], None)
        except ValueError:
            p.not_joined = b"name and password must be in letters that this plug knows (UTF-8)"
        finally:
            del sys.modules["texts"]
    if p.not_joined:
        return await _page(p)
    p.next_step = "joining"
    await p.begin_page(b"Joining", b"Refresh: 8; url=/wifi\r\n")
    await p.send_part("wifi", b"joining", name)
    await p.send_part("wifi", b"home" if p.lan else b"away", s.wifi_ssid)
    await p.finish()
