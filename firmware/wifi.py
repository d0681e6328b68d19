"""The portal's WiFi page: choose a network, try it, keep it only if it works. Loaded on use.

What is tried is not stored before it has led to an address; whatever else comes of it, the plug is
back on the settings it had, and the page says why.
"""

from asyncio import sleep_ms
from time import ticks_ms


_LOOK_MS = const(250)
_LOOKS = const(80)
_EARLY = const(8)  # before that many the chip may still tell of the attempt before
_STAY_MS = const(60000)  # how long the access point stays when it is no longer needed
# The chip's numbers for how joining went.
_WHY = (
    b"no address: the network gave none within 20 s",
    b"no address: the network gave none within 20 s",
    b"wrong password",
    b"network not found",
    b"the network refuses",
)
_GOT_IP = const(5)


async def get(p):
    """Show the networks and a form. p: the Portal."""
    await _page(p, p.tried, p.trouble)


async def _page(p, chosen, trouble):
    s = p.plug.s
    chosen = chosen or s.wifi_ssid.encode()
    await p.top(b"WiFi")
    if trouble:
        await p.part("wifi", b"trouble", chosen, trouble)
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


async def post(p):
    """Look around once more, or try what was chosen."""
    plug = p.plug
    s = plug.s
    if p.field(b"do") == b"scan":
        import radio

        p.networks = radio.scan(plug.board.wlan)
        return b"/wifi"
    name = p.field(b"n")
    name = bytes.fromhex(name.decode()) if name else p.field(b"ssid")
    password = p.field(b"password")
    locked = [entry for entry in p.networks if entry[2:] == name and entry[1]]
    trouble = b""
    if name == s.wifi_ssid.encode() and not password and not p.field(b"clear"):
        password = s.wifi_password.encode()
    elif locked and not password:
        trouble = b"this network has a password"
    if not 0 < len(name) <= 32:
        trouble = b"a name has 1 to 32 characters"
    elif 0 < len(password) < 8 or len(password) > 64:
        trouble = b"a password has 8 to 64 characters"
    try:
        p.tried = name
        p.trouble = trouble
        name, password = name.decode(), password.decode()
    except ValueError:
        trouble = b"not in letters that this plug knows (UTF-8)"
    if trouble:
        return await _page(p, p.tried, trouble)
    p.candidate = name, password
    p.then = _try
    await p.top(b"Joining", b"Refresh: 8; url=/wifi\r\n")
    await p.part("wifi", b"joining", name)
    await p.part("wifi", b"home" if p.lan else b"away", s.wifi_ssid)
    await p.bottom()


async def _try(p):
    # Called once the answer is out. However it ends, the settings are those that work.
    plug = p.plug
    s = plug.s
    wlan = plug.board.wlan
    old = s.wifi_ssid, s.wifi_password
    s.wifi_ssid, s.wifi_password = p.candidate
    plug.joins = joined = False
    status = 0
    try:
        wlan.active(True)
        plug.board.join(s, ticks_ms(), True)
        for turn in range(_LOOKS):
            await sleep_ms(_LOOK_MS)
            status = wlan.status()
            if status == _GOT_IP or turn > _EARLY and status > 1:
                break
        if status == _GOT_IP:
            import settings

            wrong = settings.save({"wifi_ssid": s.wifi_ssid, "wifi_password": s.wifi_password})
            joined = not wrong
            for key in wrong:
                p.trouble = wrong[key].encode()
        else:
            p.trouble = _WHY[status] if 0 <= status < 5 else _WHY[0]
    except MemoryError:
        p.trouble = b"no room to store it, please try once more"
    finally:
        plug.joins = p.lan
        if not joined:
            s.wifi_ssid, s.wifi_password = old
            if p.lan:
                plug.board.join(s, ticks_ms(), True)
            else:
                wlan.active(False)
    p.used()
    if joined:
        address = wlan.ifconfig()[0]
        p.tried = b""
        p.notice = "Joined. The plug is at http://%s/ or http://%s/" % (s.hostname, address)
        if not p.lan:
            p.notice += ". This network goes off in a minute"
            p.open_ms = _STAY_MS
            p.used()
