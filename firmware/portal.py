"""The portal: set-up pages over HTTP, for one browser at a time, for as long as it was opened.

This file listens, reads requests, decides who may do what, and streams pages out of templates; the
pages themselves are modules of their own, each loaded for one request. It keeps these rules: what
is read has a limit and a deadline; nothing changes but by POST, with the session's token, from a
page of ours; a name that is not the plug's is not answered to; everything shown is escaped.
"""

import gc
import os
import socket
import sys
from asyncio import sleep_ms
from binascii import hexlify
from time import ticks_add, ticks_diff, ticks_ms


from wire import Wire

_TURN_MS = const(20)
_READ_MS = const(5000)  # a whole request, and a connection until its first byte
_SEND_MS = const(15000)  # a whole answer: 8 KB to a phone at the edge of its reach
_LONGEST_MS = const(600000)  # open at most so long, however much it is used
_GRACE_MS = const(400)  # for what a refused client is still sending: closing earlier is a reset
_LINE = const(256)
_HEAD = const(1536)
_FORM = const(2048)
_FIELDS = const(40)
_WAITING = const(2)  # browsers open connections to have them ready: those must not block others
_PIECE = const(512)  # what goes out at once; a segment takes 536

_ADDRESS = b"192.168.4.1"  # the access point's, as the chip has it by itself
_PAGES = (
    b" /=front /login=front /restart=front /exit=front /wifi=wifi /settings=forms"
    b" /octoprint=octokey /info=report "
)
_HEADERS = b"host origin cookie content-length content-type transfer-encoding"
_DOMAINS = b" .local .lan .home .home.arpa .fritz.box "


def _listen(kind, port):
    sock = socket.socket(socket.AF_INET, kind)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(socket.getaddrinfo("0.0.0.0", port)[0][-1])
    if kind == socket.SOCK_STREAM:
        sock.listen(1)
    return sock


def same(one, other):
    """Whether two secrets are equal, in a time that does not tell where they differ."""
    differ = len(one) ^ len(other)
    for i in range(min(len(one), len(other))):
        differ |= one[i] ^ other[i]
    return not differ


def escaped(value):
    """Bytes, text or a whole number as they may stand anywhere in a page."""
    if isinstance(value, int):
        value = b"%d" % value
    elif isinstance(value, str):
        value = value.encode()
    for sign in b"&<>\"'":
        sign = bytes((sign,))
        if sign in value:
            value = value.replace(sign, b"&#%d;" % sign[0])
    return value


def plain(text):
    """The bytes that stand in a form as `text`; ValueError if nothing can stand there so."""
    parts = text.replace(b"+", b" ").split(b"%")
    for i in range(1, len(parts)):
        part = parts[i]
        parts[i] = bytes((int(part[:2], 16),)) + part[2:]
    return b"".join(parts)


class Portal:
    """plug: the Plug. way: "lan", "ap" or "open". open_ms: how long it stays after its last use.

    password: what one logs in with on the LAN. For the pages there are: path, query, field(name);
    notice, which the next page shows once; then, an async function that is called with the portal
    once the answer is out; open, which ends everything when it is made False.
    """

    def __init__(self, plug, way, open_ms, password):
        self.plug = plug
        self.lan = way == "lan"
        self.open_ms = open_ms
        self.password = password
        self.token = hexlify(os.urandom(8))
        self.notice = self.talked = self.tried = self.trouble = b""
        self.then = self.wire = self._file = None
        self.wrongs = 0  # log-ins in a row
        self.networks = ()
        self.open = True
        self.began = ticks_ms()
        self.used()
        self._view = memoryview(bytearray(128))
        self._out = memoryview(bytearray(_PIECE))
        for folder in sys.path:
            self._folder = folder + "/pages/"
            try:
                os.stat(self._folder + "frame.html")
                break
            except OSError:
                pass

    def used(self, ms=0):
        """Stay open for `ms`, or what the setting says, from now on, but not for ever."""
        now = ticks_ms()
        left = max(0, _LONGEST_MS - ticks_diff(now, self.began))
        self.until = ticks_add(now, min(ms or self.open_ms, left))

    async def run(self):
        """Serve until the time is over. Raises OSError if the port cannot be had."""
        waiting = []
        dns = None
        web = _listen(socket.SOCK_STREAM, 80)
        try:
            if not self.lan:
                import captive

                dns = _listen(socket.SOCK_DGRAM, 53)
            while self.open:
                # Without a network there is nothing but the portal: then it stays.
                if ticks_diff(self.until, ticks_ms()) <= 0 and self.plug.s.wifi_ssid:
                    break
                if dns:
                    captive.serve(dns, b"\xc0\xa8\4\1")
                try:
                    sock = web.accept()[0]
                    sock.setblocking(False)
                    wire = Wire()
                    wire.sock = sock
                    wire.since = ticks_ms()  # type: ignore
                    waiting.append(wire)
                    if len(waiting) > _WAITING:
                        waiting.pop(0).close()
                except OSError:
                    pass  # nobody there
                for wire in waiting:
                    try:
                        n = wire.read_now(self._view)
                    except OSError:
                        n = 0
                    if n is not None or ticks_diff(ticks_ms(), wire.since) >= _READ_MS:
                        waiting.remove(wire)
                        self.wire = wire
                        if n:
                            self._rest = bytes(self._view[:n])
                            await self._serve()
                        self._close()
                        break
                await sleep_ms(_TURN_MS)
        finally:
            web.close()
            if dns:
                dns.close()
            for wire in waiting:
                wire.close()
            self._close()

    def _close(self):
        # Lets go of what one request took.
        if self._file:
            self._file.close()
        if self.wire:
            self.wire.close()
        self._file = self.wire = None
        self._rest = self.query = b""
        self.form = ()
        gc.collect()

    # ---- a request ---------------------------------------------------------------------------

    async def _serve(self):
        self._name = ""
        self._filled = 0
        self._begun = self._whole = False
        self.method = b""
        self._ends(_READ_MS)
        try:
            try:
                where = await self._request()
                if where:
                    await self.brief(303, where)
            except ValueError as error:
                why = error.args[0]
                await self.brief(why if isinstance(why, int) else 400)
            except OSError:
                raise
            except Exception as error:  # above all MemoryError: the next request may have room
                self.form = ()
                gc.collect()
                sys.print_exception(error)
                await self.brief(503)
        except OSError:
            pass  # gone, or too slow
        self._close()
        if self.then:
            then = self.then
            self.then = None
            await then(self)  # type: ignore

    def _ends(self, ms):
        self._end = ticks_add(ticks_ms(), ms)

    async def _more(self):
        n = await self.wire.readinto(self._view, ticks_diff(self._end, ticks_ms()))
        self._rest += bytes(self._view[:n])
        return n

    async def _line(self, most, status):
        # The next line without its end, of at most so many bytes.
        while True:
            at = self._rest.find(b"\n")
            if (len(self._rest) if at < 0 else at) > most:
                raise ValueError(status)
            if at >= 0:
                line = self._rest[:at]
                self._rest = self._rest[at + 1 :]
                return line[:-1] if line[-1:] == b"\r" else line
            if not await self._more():
                raise OSError(0)

    async def _request(self):
        # Answers a request, or returns where to go instead. ValueError(HTTP status): refused.
        words = (await self._line(_LINE, 414)).split(b" ")
        if len(words) != 3 or words[2][:7] != b"HTTP/1.":
            raise ValueError(400)
        self.method, path = words[:2]
        head = await self._head()
        at = (path + b"?").find(b"?")
        self.query = path[at + 1 :]
        self.path = path = path[:at]
        if path in (b"/favicon.ico", b"/wpad.dat"):
            raise ValueError(404)
        posted = self.method == b"POST"
        self._whole = not posted
        if self.method not in (b"GET", b"HEAD", b"POST"):
            raise ValueError(405)
        host = head.get(b"host", b"")
        if path[:1] != b"/" or not self._ours(host.lower()):
            if self.lan:
                raise ValueError(421)
            # What every system's look for a captive portal gets, and every other page as well.
            return await self.brief(302, b"http://" + _ADDRESS + b"/")
        if posted:
            if head.get(b"origin", b"http://" + host) != b"http://" + host:
                raise ValueError(403)
            await self._body(head)
            self._whole = True
        at = _PAGES.find(b" " + path + b"=")
        if at < 0:
            raise ValueError(404)
        known = not self.lan
        for cookie in head.get(b"cookie", b"").split(b";"):
            known = known or same(cookie.strip(), b"s=" + self.token)
        head = None
        if not known and path != b"/login":
            return b"/login"
        if posted and known and not same(self.field(b"t"), self.token):
            raise ValueError(403)
        if known:
            self.used()
        self._ends(_SEND_MS)
        name = str(_PAGES[at + len(path) + 2 : _PAGES.find(b" ", at + 1)], "utf-8")
        try:
            page = __import__(name)
            return await (page.post if posted else page.get)(self)
        finally:
            sys.modules.pop(name, None)

    async def _head(self):
        # The header lines that matter, {name: value}.
        head = {}
        left = _HEAD
        while True:
            line = await self._line(left, 431)
            if not line:
                return head
            left -= len(line)
            at = line.find(b":")
            name = line[:at].lower()
            if at < 1 or b" " in name or b"\t" in name or b"\0" in line or name in head:
                raise ValueError(400)
            if name in _HEADERS.split():
                head[name] = line[at + 1 :].strip()

    def _ours(self, host):
        # Whether a browser that asks `host` means this plug. Any other name may be one that its
        # owner had point here, so that his page in that browser could read ours.
        if host[-3:] == b":80":
            host = host[:-3]
        wlan = self.plug.board.wlan
        if not self.lan and host == _ADDRESS:
            return True
        if wlan.isconnected() and host == wlan.ifconfig()[0].encode():
            return True
        name = self.plug.s.hostname.lower().encode()
        domain = host[len(name) :]
        return host[: len(name)] == name and (not domain or b" " + domain + b" " in _DOMAINS)

    async def _body(self, head):
        # The form as a list of b"name=value", still in the letters of an URL.
        length = head.get(b"content-length", b"")
        if not length.isdigit() or b"transfer-encoding" in head:
            raise ValueError(411)
        length = int(length) if len(length) < 5 else _FORM + 1
        if length > _FORM:
            raise ValueError(413)
        if head.get(b"content-type", b"")[:33] != b"application/x-www-form-urlencoded":
            raise ValueError(415)
        self.form = form = []
        field = b""
        while length:
            if not self._rest and not await self._more():
                raise OSError(0)
            part = self._rest[:length]
            self._rest = b""
            length -= len(part)
            fields = (field + part).split(b"&")
            field = fields.pop()
            form.extend(fields)
            if len(form) > _FIELDS:
                raise ValueError(413)
        form.append(field)

    def field(self, name, missing=b""):
        """What the form has for `name` (bytes), or `missing`."""
        name += b"="
        for field in self.form:
            if field[: len(name)] == name:
                return plain(field[len(name) :])
        return missing

    # ---- an answer ---------------------------------------------------------------------------

    async def put(self, data):
        """Send bytes. They go out in pieces that fill a segment; `flush` sends the last one."""
        data = memoryview(data)
        while data:
            n = min(len(data), _PIECE - self._filled)
            self._out[self._filled : self._filled + n] = data[:n]
            self._filled += n
            data = data[n:]
            if self._filled == _PIECE:
                await self.flush()

    async def flush(self):
        """Send what has been put. OSError if nobody takes it in time."""
        if not self._begun or self.method != b"HEAD":
            await self.wire.send(self._out[: self._filled], ticks_diff(self._end, ticks_ms()))
        self._begun = True
        self._filled = 0

    async def part(self, name, part, *values):
        """Send a part of pages/`name`.html with {0} {1} … replaced by the values, escaped.

        A part follows a line that has `=` and its name (bytes), and ends before the next such.
        """
        if self._name != name:
            if self._file:
                self._file.close()
            self._name = name
            self._file = open(self._folder + name + ".html", "rb")
            self._last = b""
        file = self._file
        part = b"=" + part + b"\n"
        line = self._last
        ends = 0
        while line != part:
            line = file.readline()
            if not line:
                file.seek(0)
                ends += 1
                if ends > 1:
                    raise OSError(2)
        while True:
            self._last = line = file.readline()
            if not line or line[:1] == b"=":
                return
            pieces = line[:-1].split(b"{")
            line = pieces.pop(0)
            for piece in pieces:
                if piece[1:2] == b"}":
                    line += escaped(values[piece[0] - 48]) + piece[2:]
                else:
                    line += b"{" + piece
            await self.put(line + b"\r\n")

    async def top(self, title, more=b""):
        """Begin a page. more: header lines, each with its end."""
        await self.part("frame", b"http", b"200 OK")
        await self.put(more + b"\r\n")
        if self.method == b"HEAD":
            await self.flush()
        await self.part("frame", b"top", title)
        if self.notice and self.path != b"/login":
            await self.part("frame", b"notice", self.notice)
            self.notice = b""

    async def bottom(self):
        """End a page."""
        await self.part("frame", b"end")
        await self.flush()

    async def brief(self, status, where=b"", more=b""):
        """Answer with a status, in the words of brief.html. where: for 302 and 303; more: header
        lines, each with its end."""
        if self._begun:
            return  # too late: what is on its way is cut off instead
        self._filled = 0
        await self.part("brief", b"%d" % status)
        body = bytes(self._out[: self._filled])
        self._filled = 0
        await self.part("frame", b"http", status)
        if where:
            more += b"Location: " + where + b"\r\n"
        await self.put(more + b"Content-Length: %d\r\n\r\n" % len(body))
        if self.method == b"HEAD":
            body = b""
        await self.put(body)
        await self.flush()
        # Closing before all was read is a reset, and the browser might not see the answer.
        self._ends(_GRACE_MS)
        for _ in range(32):
            self._rest = b""
            if self._whole or not await self._more():
                break
