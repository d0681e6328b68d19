"""The portal's menu, log-in, restart and exit. A step of portal.py."""

from time import ticks_add, ticks_diff, ticks_ms

from portal import same


_LONGEST_S = const(30)  # that a wrong password makes the next one wait


async def run(p):
    """Show the page of that path, or do what its form says. p: the Portal."""
    if p.method == b"POST":
        return await _do(p)
    if p.path == b"/":
        return await _menu(p)
    if p.path == b"/login":
        return await _login(p, b"")
    what = p.path[1:]
    await p.top(b"Restart" if what == b"restart" else b"Close")
    await p.part("front", what, p.token)
    await p.part("frame", b"back")
    await p.bottom()


async def _do(p):
    if p.path == b"/":
        raise ValueError(405)
    if p.path == b"/login":
        left = ticks_diff(p.again, ticks_ms()) if p.wrongs else 0
        if left > 0:
            return await _login(p, b"Wait %d s, then try again" % (left // 1000 + 1))
        if not p.password or not same(p.field(b"p"), p.password):
            p.wrongs += 1
            wait = min(1 << min(p.wrongs, 9) - 1, _LONGEST_S)
            p.again = ticks_add(ticks_ms(), wait * 1000)
            return await _login(p, b"Wrong password")
        p.wrongs = 0
        p.used()
        p.cookie = b"Set-Cookie: s=" + p.token + b"; HttpOnly; SameSite=Strict\r\n"
        return p.go(b"/")
    p.open = False
    p.plug.again = p.path == b"/restart"
    await p.top(b"Restarting" if p.plug.again else b"Closed")
    await p.part("front", b"bye", b"You can close this page.")
    await p.bottom()


async def _login(p, wrong):
    await p.top(b"OctoPlugout: log in")
    await p.part("front", b"login")
    if wrong:
        await p.part("front", b"wrong", wrong)
    await p.part("front", b"enter")
    await p.bottom()


async def _menu(p):
    machine = p.plug.machine
    await p.top(p.plug.s.hostname)
    if not p.plug.s.wifi_ssid:
        await p.part("front", b"new")
    await p.part("front", b"state", machine.state, machine.reason)
    await p.part("front", machine.state.encode())
    await p.part("front", b"hold")
    await p.part("front", b"links")
    if p.plug.s.wifi_ssid:
        await p.part("front", b"until", p.open_ms // 1000)
    await p.bottom()
