"""The portal: set-up pages over HTTP, for one browser at a time, for as long as it was opened.

This file listens, sends, and knows how to stream a page out of templates. Everything else is done
in steps, modules of their own with a `run(p)` that gives the next step's name, if there is one:
intake.py reads a request and judges it, then comes its page. Each is loaded for one request and
let go before the next, since there is no room for two. Everything shown is escaped; everything
read or sent has a limit and a deadline.
"""

import gc
import os
import socket
import sys
from asyncio import sleep_ms
from binascii import hexlify
from time import ticks_add, ticks_diff, ticks_ms

import steps
from wire import Wire

_TURN_MS = const(20)
_READ_MS = const(5000)  # a whole request, and a connection until its first byte
_LONGEST_MS = const(600000)  # open at most so long, however much it is used
_ASK_MS = const(2000)  # OctoPrint forgets a request that nobody asks about for 5 s
_SILENT_MS = const(1000)  # for so long a connection that says nothing keeps its place from others
_WAITING = const(2)  # browsers open some in advance: these must not keep others out
_PIECE = const(256)  # what goes out at once
_OFFERED = const(3)  # Machine.frozen while a SHORT press would allow an update


def _listen(kind, port):
    sock = socket.socket(socket.AF_INET, kind)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(socket.getaddrinfo("0.0.0.0", port)[0][-1])
    if kind == socket.SOCK_STREAM:
        sock.listen(1)
    return sock


def sweep(depth=6):
    """Write over what calls have left on the C stack, and collect: it counts as references, and
    would keep the step that has just been let go of."""
    if depth:
        sweep(depth - 1)
    else:
        gc.collect()


def is_same(one, other):
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


class Portal:
    """plug: the Plug. way: "lan", "ap" or "open". open_ms: how long it stays after its last use.

    password: what one logs in with on the LAN. For the steps there are: method, path, query and
    field(name) of the request; tell_once, which the next page shows; next_step, the name of the
    one to be taken once the answer is out; stays, which ends everything when it is made False.
    """

    def __init__(self, plug, way, open_ms, password):
        self.plug = plug
        self.lan = way == "lan"
        self.open_ms = open_ms
        self.pass_word = password
        self.token = hexlify(os.urandom(8))
        # pending, came_of: of trying OctoPrint
        self.tell_once = self.tried = self.not_joined = self.path = b""
        self.pending = self.came_of = self.nonce = b""
        # offered: until when a SHORT press is waited for
        self.next_step = self.wire = self._file = self.inner = self.offered = None
        self.app_token = self.given_key = ""  # a key that OctoPrint was asked for
        # length, got: bytes of an upload; wrongs: log-ins in a row
        self.misses = self.length = self.got = self.wrongs = 0
        # outcome: of the last update, a part of pages/update.html and its values
        self.outcome = self.in_reach = ()
        self.stays = True
        self.began = ticks_ms()
        self.used()
        self._view = memoryview(bytearray(128))
        self.outbox = memoryview(bytearray(_PIECE))

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
        steps.up()
        try:
            if not self.lan:
                import captive

                dns = _listen(socket.SOCK_DGRAM, 53)
            while self.stays:
                # Without a network there is nothing but the portal: then it stays.
                if ticks_diff(self.until, ticks_ms()) <= 0:
                    if self.plug.s.wifi_ssid or self.plug.again:
                        break
                if dns:
                    captive.serve(dns, b"\xc0\xa8\4\1")
                if waiting and ticks_diff(ticks_ms(), waiting[0].since) >= _SILENT_MS:
                    if len(waiting) == _WAITING:
                        waiting.pop(0).close()
                try:
                    if len(waiting) < _WAITING:
                        sock = web.accept()[0]
                        sock.setblocking(False)
                        wire = Wire()
                        wire.sock = sock
                        wire.since = ticks_ms()  # type: ignore
                        waiting.append(wire)
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
                            self.rest = bytes(self._view[:n])
                            await self._serve()
                        self._close()
                        break
                # Between requests, since there is no room for both.
                step = None
                if self.offered and (
                    self.plug.machine.frozen != _OFFERED
                    or ticks_diff(self.offered, ticks_ms()) <= 0
                ):
                    step = "update"
                elif self.app_token and ticks_diff(ticks_ms(), self.due) >= 0:
                    self.due = ticks_add(ticks_ms(), _ASK_MS)
                    step = "asking"
                if step:
                    try:
                        await self._step(step)
                    except MemoryError:
                        pass
                await sleep_ms(_TURN_MS)
        finally:
            web.close()
            steps.down()
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
        self.rest = self.query = b""
        self.sent_form = self.rows = ()
        self.typed = self.refusals = {}
        if self.length and not self.offered:
            self.plug.machine.frozen = True  # whatever became of an upload, it is over
        self.length = self.got = 0
        self.inner = self.outer = self.whole = None
        gc.collect()

    # ---- a request ---------------------------------------------------------------------------

    async def _serve(self):
        self._name = ""
        self.filled = 0
        self.begun = self.all_read = self.headed = False
        self.method = b""
        self.ends(_READ_MS)
        self.leads_to = self.set_cookie = b""
        step = "intake"
        again = False
        while step:
            await sleep_ms(0)  # button and LED come between two steps
            try:
                step = await self._step(step)
            except ValueError as error:
                self.status = error.args[0] if isinstance(error.args[0], int) else 400
                step = "brief"
            except OSError:
                step = None  # gone, or too slow
            except Exception as error:
                gc.collect()
                if isinstance(error, MemoryError) and not again and not self.begun:
                    again = True  # with what the first try has left behind swept away
                    continue
                sys.print_exception(error)
                self.status = 503
                step = "brief" if step != "brief" else None
            if step == "brief":
                if self.begun:
                    break  # too late: what is on its way is cut off instead
                self.sent_form = self.rows = ()
                self.typed = self.refusals = {}
        self._close()
        step = self.next_step
        self.next_step = None
        if step:
            await self._step(step)

    async def _step(self, name):
        try:
            return await __import__(name).run(self)
        finally:
            sys.modules.pop(name, None)
            sweep()

    def ends(self, ms):
        """Whatever is sent or read has to come to its end within so many ms."""
        self._end = ticks_add(ticks_ms(), ms)

    async def turn(self):
        """Let others run."""
        await sleep_ms(0)

    async def read_on(self):
        """Read on: what came is added to `rest`; how many bytes, 0 at the end."""
        n = await self.wire.readinto(self._view, ticks_diff(self._end, ticks_ms()))
        self.rest += bytes(self._view[:n])
        return n

    def field(self, name, missing=b""):
        """What the form has for `name` (bytes), or `missing`. ValueError: it has no such bytes."""
        name += b"="
        for field in self.sent_form:
            if field[: len(name)] == name:
                parts = field[len(name) :].replace(b"+", b" ").split(b"%")
                for i in range(1, len(parts)):
                    part = parts[i]
                    parts[i] = bytes((int(part[:2], 16),)) + part[2:]
                return b"".join(parts)
        return missing

    def go_to(self, where, status=303):
        """Lead the browser elsewhere: to be returned by a step."""
        self.leads_to = where
        self.status = status
        return "brief"

    # ---- an answer ---------------------------------------------------------------------------

    async def put(self, data):
        """Send bytes. They go out in pieces that fill a segment; `flush` sends the last one."""
        data = memoryview(data)
        while data:
            n = min(len(data), _PIECE - self.filled)
            self.outbox[self.filled : self.filled + n] = data[:n]
            self.filled += n
            data = data[n:]
            if self.filled == _PIECE:
                await self.flush()

    async def flush(self):
        """Send what has been put. OSError if nobody takes it in time."""
        if not self.headed:
            await self.wire.send(self.outbox[: self.filled], ticks_diff(self._end, ticks_ms()))
        self.begun = True
        self.filled = 0
        await sleep_ms(0)  # button and LED come between two pieces

    async def send_part(self, name, part, *values):
        """Send a part of pages/`name`.html with {0} {1} … replaced by the values, escaped.

        A part follows a line that has `=` and its name (bytes), and ends before the next such.
        """
        if self._name != name:
            if self._file:
                self._file.close()
            self._name = name
            self._file = steps.open("/" + name)
            self._begins = self._file.tell()
            self._last = b""
        file = self._file
        part = b"=" + part + b"\n"
        line = self._last
        ends = 0
        while line != part:
            if line == b"=\n":  # once more from the beginning
                file.seek(self._begins)
                ends += 1
            line = file.readline()
            if ends > 1 or not line:
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

    async def begin_page(self, title, more=b""):
        """Begin a page. more: header lines, each with its end."""
        await self.send_part("frame", b"http", b"200 OK")
        await self.put(more + b"\r\n")
        if self.method == b"HEAD":
            await self.flush()
            self.headed = True  # and no body is to follow
        await self.send_part("frame", b"top", title)
        if self.tell_once and self.path != b"/login":
            await self.send_part("frame", b"notice", self.tell_once)
            self.tell_once = b""

    async def finish(self):
        """End a page."""
        await self.send_part("frame", b"end")
        await self.flush()
