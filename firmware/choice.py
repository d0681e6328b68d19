"""Takes the choice of a network from the portal's WiFi page. A step of portal.py."""

import sys


async def run(p):
    """Look around once more, or have what was chosen tried. p: the Portal."""
    s = p.plug.s
    if p.field(b"do") == b"scan":
        import radio

        p.networks = radio.scan(p.plug.board.wlan)
        del sys.modules["radio"]
        return p.go(b"/wifi")
    name = p.field(b"n")
    name = bytes.fromhex(name.decode()) if name else p.field(b"ssid")
    password = p.field(b"password")
    p.tried = name
    p.trouble = b""
    if name == s.wifi_ssid.encode() and not password and not p.field(b"clear"):
        password = s.wifi_password.encode()
    elif not password and [1 for entry in p.networks if entry[2:] == name and entry[1]]:
        p.trouble = b"this network has a password"
    if not 0 < len(name) <= 32:
        p.trouble = b"a name has 1 to 32 characters"
    elif 0 < len(password) < 8 or len(password) > 64:
        p.trouble = b"a password has 8 to 64 characters"
    if not p.trouble:
        try:
            p.candidate = name.decode(), password.decode()
        except ValueError:
            p.trouble = b"name and password must be in letters that this plug knows (UTF-8)"
    if p.trouble:
        p.method = b"GET"  # the form has been taken: what follows shows
        return "wifi"
    p.then = "joining"
    await p.top(b"Joining", b"Refresh: 8; url=/wifi\r\n")
    await p.part("wifi", b"joining", name)
    await p.part("wifi", b"home" if p.lan else b"away", s.wifi_ssid)
    await p.bottom()
