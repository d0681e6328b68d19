"""Asks OctoPrint over HTTP, scans the answer as it streams by, and says what it is evidence of.

One request a poll, over a Wire of its own. The answer is never held in memory: it may be of any
size up to 32 KB and is seen through a window of 128 bytes. Nothing that a server does raises: what
is not a whole, well-formed answer of OctoPrint's is evidence that something answers, and no more.
"""

from time import ticks_add, ticks_diff, ticks_ms

from wire import Wire

_CONNECT_MS = const(4000)
_QUICK_MS = const(2000)
_ANSWER_MS = const(10000)
_WINDOW = const(128)
_LARGEST = const(32768)

# What the Scan is in the midst of.
_HEAD = const(0)
_BODY = const(1)
_TEXT = const(2)  # between quotes
_ESCAPED = const(3)
_BROKEN = const(4)

_WORD = const(32)  # longest key, number or text looked at; what is longer is cut
_DEEPEST = const(26)
_BED = const(1 << 28)  # beside the tools' bits; all of them fit a small int

# A number that is missing, no number, or no temperature. Above every real one, so that the highest
# of several is UNREAD if any of them is.
_UNREAD = const(9999)

# flags of Scan
_ACTIVE = const(1)
_READY = const(2)
_OPERATIONAL = const(4)
_ERROR = const(8)
_SEEN = const(16)  # there are flags at all
_CLOSED = const(32)  # the outermost object is

_JOB = b" printing paused pausing resuming finishing cancelling starting "


def _silent(error):
    # No answer at all: our own deadline, ECONNABORTED (lwIP gave up on its SYN), ENETUNREACH,
    # EHOSTDOWN, EHOSTUNREACH. Everything else came from a living host.
    return error.args[0] in (110, 103, 101, 112, 113)


class Scan:
    """Reads one HTTP answer in pieces of any size and keeps what a plug needs of it.

    status: of HTTP, 0 until known. text: of `state`. tool, bed: degrees C or None.
    A key counts where OctoPrint has it, at its own depth, so the same word elsewhere is nothing.
    """

    def __init__(self, watch_bed=False, known=0):
        self.mode = _HEAD
        self.status = self.flags = self.depth = self.read = 0
        self.left = -1  # bytes of the body still to come; below 0: nobody said how many
        self.lists = 1  # one bit a level below the topmost one: it is a list
        self.keys = [b""] * 4
        self.word = bytearray()
        self.known = known
        self.watch_bed = watch_bed
        self.actual = self.target = _UNREAD
        self.hottest = self.highest = -_UNREAD
        self.tool = self.bed = None
        self.progress = _UNREAD
        self.text = ""

    got = 0  # bytes of the answer
    sent = False  # the question went out whole
    reset = False  # the connection was reset before a byte of the answer came

    def feed(self, data):
        """Look at the next bytes. True once nothing more is wanted."""
        mode = self.mode
        word = self.word
        for c in data:
            if mode == _HEAD:
                if c == 10:
                    mode = self._line(bytes(word))
                    word = bytearray()
                elif c != 13 and len(word) < _WORD:
                    word.append(c)
                continue
            if not self.left or mode == _BROKEN:
                break
            self.left -= 1
            if mode == _TEXT:
                if c == 34:
                    mode = _BODY
                elif c == 92:
                    mode = _ESCAPED
                elif len(word) < _WORD:
                    word.append(c)
            elif mode == _ESCAPED:
                mode = _TEXT
            elif c <= 32:
                pass
            elif not self.depth and (c != 123 or self.flags & _CLOSED):
                mode = _BROKEN
            elif c == 34:
                mode = _TEXT
                word = bytearray(b'"')  # tells a text from a number or true
            elif c == 58:  # colon
                if self.depth < 4:
                    self.keys[self.depth] = bytes(word[1:])
                word = bytearray()
            elif c in b",}]":
                if word:
                    self._value(bytes(word))
                    word = bytearray()
                if c != 44 and not self._leave(c == 93):
                    mode = _BROKEN
            elif c in b"{[":
                self.depth += 1
                self.lists = self.lists << 1 | (c == 91)
                if self.depth < 4:
                    self.keys[self.depth] = b""
                elif self.depth > _DEEPEST:
                    mode = _BROKEN
            elif len(word) < _WORD:
                word.append(c)
        self.mode = mode
        self.word = word
        return mode == _BROKEN or mode != _HEAD and (not self.left or self.whole())

    def whole(self):
        """True if the answer came to its end, in one piece."""
        return self.mode == _BODY and self.left <= 0 and self.flags & _CLOSED

    def _line(self, line):
        # one line of the head; what follows it
        try:
            if not self.status:
                if line[:7] != b"HTTP/1.":
                    return _BROKEN
                self.status = int(line[9:12])
            elif not line:
                if self.status == 204:
                    self.left = 0
                return _BODY
            elif line[:15].lower() == b"content-length:":
                self.left = int(line[15:])
        except ValueError:
            return _BROKEN
        return _HEAD

    def _leave(self, is_list):
        # a closing bracket; False if it closes nothing of its kind
        if self.lists & 1 != is_list:
            return False
        if self.depth == 3 and self.keys[1] == b"temperature":
            self._heater(self.keys[2])
        self.lists >>= 1
        self.depth -= 1
        if not self.depth:
            self.flags |= _CLOSED
        return True

    def _heater(self, name):
        bit = 0
        if name[:4] == b"tool" and name[4:].isdigit():
            bit = 1 << int(name[4:]) % 28
        elif name == b"bed":
            self.bed = _or_none(self.actual)
            if self.watch_bed:
                bit = _BED
        if name == b"tool0":
            self.tool = _or_none(self.actual)
        if self.actual < _UNREAD:
            self.read |= bit
            self.known |= bit
        # one that was never read is a heater the printer has not got
        if self.known & bit:
            self.hottest = max(self.hottest, self.actual)
            self.highest = max(self.highest, self.target)
        self.actual = self.target = _UNREAD

    def _value(self, word):
        depth = self.depth
        if depth > 3:
            return
        _, top, middle, key = self.keys
        if depth == 1:
            if top == b"error":
                self.flags |= _ERROR
            elif top == b"state":
                self._text(word)
        elif depth == 2:
            if top == b"state" and middle == b"text":
                self._text(word)
            elif top == b"progress" and middle == b"completion":
                self.progress = _number(word, 0, 100)
        elif top == b"temperature":
            if key == b"actual":
                self.actual = _number(word, -10, 500)
            elif key == b"target":
                self.target = _number(word, -10, 500)
        elif top == b"state" and middle == b"flags":
            self.flags |= _SEEN
            if b" " + key + b" " in _JOB:
                if word != b"false":
                    self.flags |= _ACTIVE
            elif word == b"true":
                if key == b"ready":
                    self.flags |= _READY
                elif key == b"operational":
                    self.flags |= _OPERATIONAL

    def _text(self, word):
        if word[:1] == b'"':
            self.text = "".join([chr(c) for c in word[1:] if 32 <= c < 127])


def _or_none(number):
    return None if number == _UNREAD else number


def _nothing(pi):
    return pi, None, None, None, False


def _number(word, lowest, highest):
    try:
        if len(word) < _WORD and lowest <= float(word) <= highest:  # false for nan
            return float(word)
    except ValueError:
        pass
    return _UNREAD


class OctoApi:
    """What is known of OctoPrint, and the few things it is asked.

    s: the settings; used are octoprint_host, octoprint_port, octoprint_api_key, probe_port,
    watch_bed and wifi_settle_s. resolve: async, host -> dotted address, or OSError. online: tells
    whether WiFi has an address.

    problem: what is wrong in words, "" if nothing. print_state, job_state: OctoPrint's words.
    tool, bed: degrees C or None. progress: percent or None. address: what answered last, or "".
    """

    def __init__(self, s, resolve, online):
        self.s = s
        self.resolve = resolve
        self.online = online
        self.since = None  # ticks_ms when WiFi came; None without WiFi; -1 once that is long ago
        self.forget()

    def forget(self):
        """Host, port or key have changed: drop everything known."""
        self.address = self.problem = self.refused = self.print_state = self.job_state = ""
        self.tool = self.bed = self.progress = None
        self.fresh = False  # the address answered at the last poll
        self.known = 0  # a bit for each heater read since the printer was connected

    async def poll(self, quick=False, keep=False):
        """Ask once: (pi, printing, hottest, target, lost). Raises nothing but a cancellation.

        pi: "UP" "BUSY" "REFUSED" "SILENT" "UNKNOWN". printing: True, False, or None if that
        cannot be known. hottest, target: the highest of all heaters in degrees C, or None. lost:
        OctoPrint is without its printer. quick: wait 2 s instead of 4 s for a connection. keep:
        use the address that answered last, whatever the name means by now.
        """
        self.print_state = ""
        self.tool = self.bed = None
        self.problem = "no WiFi"
        seen = _nothing("UNKNOWN")
        if self._settling() is not None:
            try:
                seen = await self._look(_QUICK_MS if quick else _CONNECT_MS, keep)
            except Exception as error:  # a MemoryError, say: our trouble, and no news of the Pi
                self.problem = repr(error)
                seen = _nothing("BUSY")
        self.fresh = seen[0] == "UP"
        if seen[0] == "REFUSED" or seen[4]:
            self.known = 0  # nobody holds the connection to the printer
        if not self.fresh and self._settling() is not False:
            seen = _nothing("UNKNOWN")
        return seen

    def _settling(self):
        # None without WiFi; True soon after it came, when the Pi may not be back yet; then False.
        now = ticks_ms()
        if not self.online():
            self.since = None
            return None
        if self.since is None:
            self.since = now
        if not 0 <= ticks_diff(now, self.since) < self.s.wifi_settle_s * 1000:
            self.since = -1
        return self.since >= 0

    async def _look(self, ms, keep):
        address = self.address
        if not address or not (keep or self.fresh):
            try:
                address = await self.resolve(self.s.octoprint_host)
            except OSError:
                self.problem = "name not found"
                return _nothing("UNKNOWN")
        try:
            scan = await self._ask(address, "GET /api/printer?exclude=sd&history=false", ms)
        except OSError as error:
            self.problem = "OctoPrint does not run"
            return _nothing(await self._probe(address, ms) if _silent(error) else "REFUSED")
        status = scan.status if scan.whole() else 0
        flags = scan.flags
        if status == 200 and flags & _SEEN:
            self.address = address
            self.problem = self.refused
            self.known = scan.known
            self.print_state = scan.text
            self.tool = scan.tool
            self.bed = scan.bed
            printing = None
            if flags & _ACTIVE:
                printing = True
                self.refused = ""
            elif flags & _READY:
                printing = False
            elif flags & _OPERATIONAL:
                printing = True  # a transfer to the SD card has no flag of its own
            # tool0 must be there, and whatever was read before
            if (scan.known | 1) & ~scan.read:
                return "UP", printing, None, None, False
            return "UP", printing, _or_none(scan.hottest), _or_none(scan.highest), False
        if status in (403, 409) and flags & _ERROR:
            self.address = address
            self.problem = "API key refused" if status == 403 else "printer not connected"
            return "UP", None, None, None, status == 409
        if scan.reset:
            return _nothing("REFUSED")
        if not scan.got:
            self.problem = "OctoPrint hangs"
        elif scan.status >= 500:
            self.problem = "OctoPrint is starting"
        else:
            self.problem = (
                "not OctoPrint" if status or scan.mode == _BROKEN else "answer cut short"
            )
        return _nothing("BUSY")

    async def _probe(self, address, ms):
        # what another port says of the host, when OctoPrint's says nothing
        wire = Wire()
        try:
            await wire.open(address, self.s.probe_port, ms)
            self.problem = "OctoPrint hangs"
            return "BUSY"
        except OSError as error:
            if not _silent(error):
                return "REFUSED"
            self.problem = "no answer"
            return "SILENT"
        finally:
            wire.close()

    async def _ask(self, address, what, ms=_CONNECT_MS, rest="\r\n"):
        # Sends a request and returns the Scan that saw the answer, if any came. OSError: there was
        # no connection.
        s = self.s
        scan = Scan(s.watch_bed, self.known)
        wire = Wire()
        try:
            await wire.open(address, s.octoprint_port, ms)
            end = ticks_add(ticks_ms(), _ANSWER_MS)
            try:
                await wire.send(
                    (
                        "%s HTTP/1.1\r\nHost: %s:%d\r\nX-Api-Key: %s\r\nConnection: close\r\n%s"
                        % (what, s.octoprint_host, s.octoprint_port, s.octoprint_api_key, rest)
                    ).encode(),
                    _ANSWER_MS,
                )
                scan.sent = True
                window = memoryview(bytearray(_WINDOW))
                while scan.got < _LARGEST:
                    n = await wire.readinto(window, ticks_diff(end, ticks_ms()))
                    scan.got += n
                    if not n or scan.feed(window[:n]):
                        break
            except OSError as error:
                scan.reset = not scan.got and not _silent(error)
        finally:
            wire.close()
        return scan

    async def _tell(self, what, rest="\r\n"):
        # _ask of the one who answered last; None if there is no such or no connection
        try:
            return await self._ask(self.address, what, rest=rest) if self.address else None
        except OSError:
            return None

    async def shutdown(self):
        """Ask OctoPrint to shut its host down.

        "ACCEPTED"; "ASKED": the request went out whole and nothing came back; "REFUSED_ASK": any
        other answer, `refused` says which; None: it did not go out whole.
        """
        scan = await self._tell(
            "POST /api/system/commands/core/shutdown", "Content-Length: 0\r\n\r\n"
        )
        if not scan or not scan.sent:
            return None
        if not scan.got:
            return "ASKED"
        status = scan.status
        self.refused = ""
        if status == 204:
            return "ACCEPTED"
        if status == 403:
            self.refused = "API key may not shut down"
        elif status == 404:
            self.refused = "OctoPrint has no shutdown command"
        else:
            self.refused = "shutdown refused: HTTP %d" % status
        self.problem = self.refused
        return "REFUSED_ASK"

    async def say(self, text):
        """Show `text` on the printer's display (M117). True if OctoPrint took it."""
        import json

        text = "".join([c for c in text if c >= " " and c != "\x7f"])
        body = json.dumps({"command": "M117 " + text})
        scan = await self._tell(
            "POST /api/printer/command",
            "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (len(body.encode()), body),
        )
        return bool(scan) and scan.status == 204

    async def job(self):
        """Fetch job_state and progress."""
        scan = await self._tell("GET /api/job")
        good = scan and scan.status == 200 and scan.whole()
        self.job_state = scan.text if good else ""
        self.progress = _or_none(scan.progress) if good else None
