"""The portal's menu, log-in, restart and exit. A step of portal.py."""

from time import ticks_add, ticks_diff, ticks_ms

from portal import is_same


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
    await p.begin_page(b"Restart" if what == b"restart" else b"Close")
    await p.send_part("front", what, p.token)
    await p.send_part("frame", b"back")
    await p.finish()


async def _do(p):
    if p.path == b"/":
        raise ValueError(405)
    if p.path == b"/login":
        left = ticks_diff(p.again, ticks_ms()) if p.wrongs else 0
        if left > 0:
            return await _login(p, b"Wait %d s, then try again" % (left // 1000 + 1))
        if not p.pass_word or not is_same(p.field(b"p"), p.pass_word):
            p.wrongs += 1
            wait = min(1 << min(p.wrongs, 9) - 1, _LONGEST_S)
            p.again = ticks_add(ticks_ms(), wait * 1000)
            return await _login(p, b"Wrong password")
        p.wrongs = 0
        p.used()
        p.set_cookie = b"Set-Cookie: s=" + p.token + b"; HttpOnly; SameSite=Strict\r\n"
        return p.go_to(b"/")
    p.stays = False
    p.plug.again = p.path == b"/restart"
    await p.begin_page(b"Restarting" if p.plug.again else b"Closed")
    await p.send_part("front", b"bye", b"You can close this page.")
    await p.finish()


async def _login(p, wrong):
    await p.begin_page(b"OctoPlugout: log in")
    await p.send_part("front", b"login")
    if wrong:
        await p.send_part("front", b"wrong", wrong)
    await p.send_part("front", b"enter")
    await p.finish()


async def _menu(p):
    machine = p.plug.machine
    await p.begin_page(p.plug.s.hostname)
    if not p.plug.s.wifi_ssid:
        await p.send_part("front", b"new")
    await p.send_part("front", b"state", machine.state, machine.reason)
    await p.send_part("front", machine.state.encode())
    await p.send_part("front", b"hold")
    await p.send_part("front", b"links")
    if p.plug.s.wifi_ssid:
        await p.send_part("front", b"until", p.open_ms // 1000)
    await p.finish()
