"""Asks OctoPrint over HTTP, scans the answer as it streams by, and says what it is evidence of.

One request a poll, over a Wire of its own. The answer is never held in memory: it may be of any
size up to 32 KB and is seen through a window of 32 bytes. Nothing that a server does raises: what
is not a whole, well-formed answer of OctoPrint's is evidence that something answers, and no more.
"""

from time import ticks_add, ticks_diff, ticks_ms

from wire import Wire

_ANSWER_MS = const(10000)
_WINDOW = const(32)  # bytes between two awaits: 400 lines of Python, some ms on the ESP8266
_LARGEST = const(32768)
_WORD = const(32)  # longest key, number or text looked at; what is longer is cut
_DEEPEST = const(28)  # brackets within brackets: one bit each in a small int

# The flags that tell whether it prints; those further on overrule those before, and from the third
# on they are a job's. What is kept of them is a place in here, or one of two numbers below.
_FLAGS = "/operational/ready/printing/paused/pausing/resuming/finishing/cancelling/starting/"
_UNTOLD = const(-2)
_READY = const(12)
_ERROR = const(99)
_HOST = " HTTP/1.1\r\nHost: %s:%d\r\nConnection: close\r\nX-Api-Key: "
_TYPE = "\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


def scan(it):
    """A generator that is sent one HTTP answer byte by byte and ends with it.

    ValueError: it is not well-formed; brackets and quotes have to match. A word counts only where
    OctoPrint has it, at its own depth. On `it` are set: `status` of HTTP; `_flags`, the true one
    that is furthest on in _FLAGS, or _ERROR; `_text` of `state`; `_progress`, `_tool` and `_bed`,
    in percent and degrees C; `_read` and `_top`, for target and actual: a bit for each heater that
    has it, and the highest. `it.s` are the settings.
    """
    length = -1  # bytes of the body still to come; below 0: nobody said how many
    word = bytearray()
    while True:
        c = yield
        if c == 10:
            line = bytes(word).lower()
            word = bytearray()
            if not it.status:
                it.status = int(line[9:12])
            elif line[:15] == b"content-length:":
                length = int(line[15:])
            elif not line:
                break
        elif c != 13 and len(word) < _WORD:
            word.append(c)
            if not it.status and len(word) == 5 and word.lower() != b"http/":
                raise ValueError
    if it.status not in (200, 403, 409):
        return  # whatever it says
    path = [bytes()] * 4
    depth = quoted = 0
    lists = 1  # a bit for each level: it is a list
    while length:
        c = yield
        length -= 1
        if quoted:
            if quoted == 2:
                quoted = 1  # what is escaped neither ends a text nor is looked at
            elif c == 92:
                quoted = 2
            elif c == 34:
                quoted = 0
            elif 32 <= c < 127 and len(word) < _WORD:
                word.append(c)
        elif c <= 32:
            pass
        elif c | 32 == 123:  # { [
            depth += 1
            lists = lists * 2 + (c == 91)
            if depth > _DEEPEST or lists == 3:
                raise ValueError
            if depth < 4:
                path[depth] = bytes()
        elif not depth:
            raise ValueError
        elif c == 34:
            quoted = 1
            word = bytearray(b'"')  # tells a text from a number
        elif c == 58:
            if depth < 4:
                path[depth] = bytes(word[1:])
            word = bytearray()
        elif c == 44 or c | 32 == 125:  # , } ]
            if word and depth < 4:
                where = b"/".join(path[1 : depth + 1])
                _take(it, str(where, "utf-8"), str(word, "utf-8"))
            word = bytearray()
            if c != 44:
                if lists & 1 != (c == 93):
                    raise ValueError
                lists >>= 1
                depth -= 1
                if not depth:
                    break
        elif len(word) < _WORD:
            word.append(c)
    else:
        raise ValueError
    while length > 0:
        length -= 1
        if (yield) > 32:
            raise ValueError


def _take(it, path, word):
    rest = path[12:]
    number = None
    try:
        if len(word) < _WORD and -10 <= float(word) <= 500:  # NaN is not either
            number = float(word)
    except ValueError:
        pass
    if path[:12] == "state/flags/":
        it._flags = max(it._flags, _FLAGS.find("/" + rest + "/") if word == "true" else -1)
    elif path[:12] == "temperature/":
        heater, kind = rest.split("/")
        actual = kind == "actual"
        if number is not None and (actual or kind == "target"):
            bit = 0
            if heater == "bed":
                bit = it.s.watch_bed << 28
                if actual:
                    it._bed = number
            elif heater[:4] == "tool" and heater[4:].isdigit():
                bit = 1 << int(heater[4:]) % 28
                if actual and bit == 1:
                    it._tool = number
            if bit:
                it._read[actual] |= bit
                it._top[actual] = max(it._top[actual], number)
    elif path == "state" or path == "state/text":
        it._text = word[1:]
    elif path == "progress/completion":
        it._progress = number
    elif path == "error":
        it._flags = _ERROR


def _silent(error):
    # No answer at all: our own deadline, ECONNABORTED (lwIP gave up on its SYN), ENETUNREACH,
    # EHOSTDOWN, EHOSTUNREACH. Every other error came from a living host.
    return error.args[0] in (110, 103, 101, 112, 113)


class OctoApi:
    """What is known of OctoPrint, and the few things it is asked.

    s: the settings; used are octoprint_host, octoprint_port, octoprint_api_key, probe_port,
    watch_bed and wifi_settle_s. resolve: async, host -> dotted address, or OSError. online: tells
    whether WiFi has an address.

    problem: what is wrong in words, "" if nothing. print_state, job_state: OctoPrint's words.
    tool, bed: degrees C or None; heat: both, when the tool was last heard of, or (). progress:
    percent or None. address: what answered last, or "". told: how far PRINT
    is, None before one.
    """

    told = None

    def __init__(self, s, resolve, online):
        self.s = s
        self.resolve = resolve
        self.online = online
        self.since = None  # ticks_ms when WiFi came; None without WiFi; -1 once that is long ago
        self.forget()

    def forget(self):
        """Host, port or key have changed: drop everything known."""
        self.address = self.problem = self._refused = self.print_state = self.job_state = ""
        self.tool = self.bed = self.progress = None
        self.heat = ()
        self.status = 0
        self._fresh = False  # the address answered at the last poll
        self._known = 0  # a bit for each heater read since the printer was connected

    async def poll(self, quick=False, keep=False):
        """Ask once: (pi, printing, hottest, target, lost). Raises nothing but a cancellation.

        pi: "UP" "BUSY" "REFUSED" "SILENT" "UNKNOWN". printing: True, False, or None if that
        cannot be known. hottest, target: the highest of all heaters in degrees C, or None. lost:
        OctoPrint is without its printer. quick: wait 2 s instead of 4 s for a connection. keep:
        use the address that answered last, whatever the name means by now.
        """
        printing = hottest = target = self._tool = self._bed = None
        lost = False
        problem = self._text = ""
        self._read = [0, 0]
        self._top = [-99, -99]
        pi = "UNKNOWN"
        if not self.online():
            self.since = None
        else:
            try:
                pi = await self._look(2000 if quick else 4000, keep)
            except OSError:  # what else can go wrong there is caught
                problem = "name not found"
            except Exception as error:  # a MemoryError, say: our trouble, and no news of the Pi
                problem = "trouble in the plug: " + type(error).__name__
                pi = "BUSY"
        status = self.status
        self._fresh = pi == "UP"
        if self._fresh:
            if status == 200:
                # without either flag a file is on its way to the SD card
                printing = self._flags != _READY if self._flags >= 0 else None
                # tool0 has to be there, and whatever was read since the printer was connected
                self._known |= self._read[1]
                if not (self._known | 1) & ~self._read[1]:
                    hottest = self._top[1]
                if not (self._known | 1) & ~self._read[0]:
                    target = self._top[0]
                if printing:
                    self._refused = ""
                problem = self._refused
            elif status == 403:
                problem = "API key refused"
            else:
                problem = "printer not connected"
                lost = True
        else:
            self._text = self.job_state = ""
            self._tool = self._bed = self.progress = None
            if status:
                problem = "not OctoPrint: HTTP %d" % status
            elif not problem:
                problem = "no answer"
                if pi == "REFUSED":
                    problem = "OctoPrint does not run"
                elif pi == "BUSY":
                    problem = "OctoPrint hangs or is starting"
        if lost or pi == "REFUSED":
            self._known = 0  # nobody holds the connection to the printer
        if not self.online():
            self.since = None
            problem = "no WiFi"
            pi = "UNKNOWN"
        else:
            now = ticks_ms()
            if self.since is None:
                self.since = now
            if not 0 <= ticks_diff(now, self.since) < self.s.wifi_settle_s * 1000:
                self.since = -1
            if self.since >= 0 and pi != "UP":
                pi = "UNKNOWN"
        self.problem = problem
        self.print_state = self._text
        self.tool = self._tool
        self.bed = self._bed
        return pi, printing, hottest, target, lost

    async def _look(self, ms, keep):
        s = self.s
        address = self.address
        self.status = 0
        if not address or not (keep or self._fresh):
            address = await self.resolve(s.octoprint_host)
        what = "GET /api/printer?exclude=sd&history=false"
        for port in s.octoprint_port, s.probe_port:
            try:
                await self._ask(address, port, what, ms)
                if self._flags == _UNTOLD or (self._flags == _ERROR) == (self.status == 200):
                    return "BUSY"
                self.address = address
                return "UP"
            except OSError as error:
                if not _silent(error):
                    return "REFUSED"
            what = ""  # the other port is only to show whether the host lives
        return "SILENT"

    async def _ask(self, address, port, what, ms, body=bytes(), sent=None):
        # Asks (only connects, if `what` is empty) and returns how many bytes came back, below 0 if
        # they were no answer. OSError: no connection, or it was reset before the first byte.
        # `sent` is called once all is out.
        s = self.s
        self.status = got = 0
        self._flags = _UNTOLD
        self._sent = False
        wire = Wire()
        try:
            await wire.open(address, port, ms)
            if what:
                end = ticks_add(ticks_ms(), _ANSWER_MS)
                head = what + _HOST % (s.octoprint_host, port)
                await wire.send(head.encode(), _ANSWER_MS)  # in two parts: half the heap
                head = s.octoprint_api_key + _TYPE % len(body)
                await wire.send(head.encode() + body, _ANSWER_MS)
                self._sent = True
                if sent:
                    sent("ASKED")
                window = memoryview(bytearray(_WINDOW))
                it = scan(self)
                next(it)
                n = 1
                while n and got < _LARGEST:
                    n = await wire.readinto(window, ticks_diff(end, ticks_ms()))
                    got += n
                    for c in window[:n]:
                        it.send(c)
        except StopIteration:
            return got  # it came to its end
        except ValueError:
            got = -got
        except OSError as error:
            if not self._sent or not got and not _silent(error):
                raise
        finally:
            wire.close()
        self._flags = _UNTOLD  # what came was not whole
        return got

    async def tell(self, what, body=bytes(), sent=None):
        """Ask the one who answered last for something else: how many bytes came back, below 0 if
        they were no answer. `status` is that of HTTP, or 0."""
        try:
            return await self._ask(self.address, self.s.octoprint_port, what, 4000, body, sent)
        except OSError:
            return 0

    async def shutdown(self, sent=None):
        """Ask OctoPrint to shut its host down; `sent("ASKED")` is called once the request is out.

        "ACCEPTED"; "ASKED": the request went out whole and nothing came back; "REFUSED_ASK": any
        other answer, `problem` says which; None: it did not go out whole.
        """
        got = await self.tell("POST /api/system/commands/core/shutdown", bytes(), sent)
        if got >= 0 and not self.status:  # nothing, or not even a whole first line
            return "ASKED" if self._sent else None
        self._refused = ""
        if self.status == 204:
            return "ACCEPTED"
        problem = "API key may not shut down"
        if self.status != 403:
            problem = "shutdown refused: HTTP %d" % self.status
        self.problem = self._refused = problem
        return "REFUSED_ASK"

    async def say(self, text):
        """Show `text` on the printer's display (M117), which has ASCII. True if it was taken."""
        # Letter by letter it would stay in the heap; as numbers it does not.
        ascii = bytes([c for c in text.encode() if 32 <= c < 127 and c != 34 and c != 92])
        body = '{"command": "M117 %s"}' % str(ascii, "utf-8")
        await self.tell("POST /api/printer/command", body.encode())
        return self.status == 204

    async def job(self):
        """Fetch job_state and progress."""
        self._text = ""
        self._progress = None
        await self.tell("GET /api/job")
        self.job_state = self._text
        self.progress = self._progress
