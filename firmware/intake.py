"""Reads a request to the portal and judges it: the one place that decides who may do what.

Nothing changes but by POST, with the session's token and from a page of ours. A name that is not
the plug's is not answered to. On the LAN one has to be logged in; whoever is on the access point
has had its password, or was meant to need none. A step of portal.py: its ValueErrors are HTTP's.
"""

from portal import is_same

_SEND_MS = const(15000)  # a whole answer: 8 KB to a phone at the edge of its reach
_LINE = const(256)
_HEAD = const(1536)
_FORM = const(2048)
_FIELDS = const(40)
_UPLOAD = const(0x60000)  # as large as the whole file system
_UPLOADS = b" /update /ota "  # not forms that are held: their steps read on, and check the token

_POINT = b"192.168.4.1"  # the access point's address, as the chip has it by itself
_PAGES = (
    b" /=front /login=front /restart=front /exit=front /wifi=wifi /settings=rows"
    b" /octoprint=octokey /info=report /update=update /ota=remote "
)
_HEADERS = b"host origin cookie content-length content-type transfer-encoding"
_DOMAINS = b" .local .lan .home .home.arpa .fritz.box "


async def run(p):
    """The name of the page that is asked for, or of what leads elsewhere."""
    words = (await _line(p, _LINE, 414)).split(b" ")
    if len(words) != 3 or words[2][:7] != b"HTTP/1.":
        raise ValueError(400)
    method, path = words[:2]
    p.method = method
    head = await _head(p)
    posted = method == b"POST"
    p.all_read = not posted
    at = (path + b"?").find(b"?")
    p.query = path[at + 1 :]
    p.path = path = path[:at]
    if path in (b"/favicon.ico", b"/wpad.dat"):
        raise ValueError(404)
    if method not in (b"GET", b"HEAD", b"POST"):
        raise ValueError(405)
    host = head.get(b"host", b"")
    if path[:1] != b"/" or not _ours(p, host.lower()):
        if p.lan:
            raise ValueError(421)
        # What every system's look for a captive portal gets, and every other page as well.
        return p.go_to(b"http://" + _POINT + b"/", 302)
    if posted:
        if head.get(b"origin", b"http://" + host) != b"http://" + host:
            raise ValueError(403)
        upload = b" " + path + b" " in _UPLOADS
        await _body(p, head, upload)
        p.all_read = not upload
    at = _PAGES.find(b" " + path + b"=")
    if at < 0:
        raise ValueError(404)
    known = not p.lan
    for cookie in head.get(b"cookie", b"").split(b";"):
        known = known or is_same(cookie.strip(), b"s=" + p.token)
    if not known and path not in (b"/login", b"/ota"):
        return p.go_to(b"/login")
    if posted and known and not upload and not is_same(p.field(b"t"), p.token):
        raise ValueError(403)
    if known:
        p.used()
    p.ends(_SEND_MS)
    return str(_PAGES[at + len(path) + 2 : _PAGES.find(b" ", at + 1)], "utf-8")


async def _line(p, most, status):
    # The next line without its end, of at most so many bytes.
    while True:
        at = p.rest.find(b"\n")
        if (len(p.rest) if at < 0 else at) > most:
            raise ValueError(status)
        if at >= 0:
            line = p.rest[:at]
            p.rest = p.rest[at + 1 :]
            return line[:-1] if line[-1:] == b"\r" else line
        if not await p.read_on():
            raise OSError(0)


async def _head(p):
    # The header lines that matter, {name: value}.
    head = {}
    left = _HEAD
    while True:
        line = await _line(p, left, 431)
        if not line:
            return head
        left -= len(line)
        at = line.find(b":")
        name = line[:at].lower()
        if at < 1 or b" " in name or b"\t" in name or b"\0" in line or name in head:
            raise ValueError(400)
        if name in _HEADERS.split():
            head[name] = line[at + 1 :].strip()


def _ours(p, host):
    # Whether a browser that asks `host` means this plug. Any other name may be one that its owner
    # had point here, so that his page in that browser could read ours.
    if host[-3:] == b":80":
        host = host[:-3]
    wlan = p.plug.board.wlan
    if not p.lan and host == _POINT:
        return True
    if wlan.isconnected() and host == wlan.ifconfig()[0].encode():
        return True
    name = p.plug.s.hostname.lower().encode()
    domain = host[len(name) :]
    return host[: len(name)] == name and (not domain or b" " + domain + b" " in _DOMAINS)


async def _body(p, head, upload):
    # The form as a list of b"name=value", still in the letters of an URL; of an upload its length.
    length = head.get(b"content-length", b"")
    if not length.isdigit() or b"transfer-encoding" in head:
        raise ValueError(411)
    length = int(length) if len(length) < 8 else _UPLOAD + 1
    if length > (_UPLOAD if upload else _FORM):
        raise ValueError(413)
    if upload:
        p.length = length
        p.got = 0
        p.kind = head.get(b"content-type", b"")
        return
    if head.get(b"content-type", b"")[:33] != b"application/x-www-form-urlencoded":
        raise ValueError(415)
    p.sent_form = form = []
    field = b""
    while length:
        if not p.rest and not await p.read_on():
            raise OSError(0)
        part = p.rest[:length]
        p.rest = b""
        length -= len(part)
        fields = (field + part).split(b"&")
        field = fields.pop()
        form.extend(fields)
        if len(form) > _FIELDS:
            raise ValueError(413)
    form.append(field)
