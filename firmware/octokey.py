"""The portal's OctoPrint page: address and key, a try of both, asking for a key. A step.

What was typed is stored by storing.py; then the browser comes back, and what the button is to do
is done by trying.py.
"""


async def run(p):
    """Show the page, or take what was typed. p: the Portal."""
    s = p.plug.s
    if p.method == b"POST":
        p.typed = typed = {}
        p.in_use = {}  # nothing here has to go together
        host = p.field(b"octoprint_host").decode()
        port = p.field(b"octoprint_port").decode()
        key = p.field(b"octoprint_api_key").decode()
        if host != s.octoprint_host:
            typed["octoprint_host"] = host
        if port != str(s.octoprint_port):
            typed["octoprint_port"] = port
        if key:
            typed["octoprint_api_key"] = key
        p.pending = p.field(b"do")
        p.asked_as = p.field(b"user")[:64].decode()
        p.query = b"g=1"  # where it is shown if something is wrong with it
        return "checking"
    if p.pending:
        return "trying"
    waits = p.app_token
    await p.begin_page(b"OctoPrint", b"Refresh: 3\r\n" if waits else b"")
    if p.came_of:
        await p.send_part("octokey", b"result", p.came_of)
    if waits:
        await p.send_part("octokey", b"waits", s.octoprint_host, s.octoprint_port)
    elif not p.plug.board.wlan.isconnected():
        await p.send_part("octokey", b"offline")
    await p.send_part("octokey", b"form", s.octoprint_host, s.octoprint_port)
    await p.send_part("octokey", b"kept" if s.octoprint_api_key else b"none")
    await p.send_part("octokey", b"end", p.token)
    await p.send_part("frame", b"back")
    await p.finish()
    return None
