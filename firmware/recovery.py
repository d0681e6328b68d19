"""What runs when neither slot starts: an access point with one page, which takes a bundle.

At the root and never updated. It does without everything of the slots, has one visitor at a time
and waits for him where it stands. The relay stays as it is, on or off: only a row of the state
machine moves it, and there is none here. The network has the portal's password if config.json
still tells it. Nothing is installed before somebody has pressed the button. Left alone for ten
minutes it ends, and main.py tries the slots again.
"""

import json
import os
import socket
import sys
from time import sleep_ms, ticks_add, ticks_diff, ticks_ms

import machine
from radio import begin
from unpack import receive

_IDLE_MS = const(600000)
_PRESS_MS = const(60000)
_HEAD_MS = const(5000)
_HEAD = const(2048)  # bytes, and as many before the file
_TURN_MS = const(100)
_PIECES = const(2000)  # of what is refused, at most
_QUIET = const(100)  # looks at which nothing was there
_PAGE = b"""\
HTTP/1.0 200 OK\r
Content-Type: text/html\r
Connection: close\r
\r
<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">
<title>OctoPlugout</title><h1>Neither version on this plug starts</h1>
<p>The power stays as it is. Choose a bundle (octoplugout-....opo), send it, wait a minute, then
press the plug's button: the answer comes after that.</p>
<p><b>%s</b></p>
<form method="post" enctype="multipart/form-data"><input type="file" name="bundle">
<button>Send</button></form></html>
"""


class Visit:
    """One connection, as a bundle is read from it: rest, length, got, ends() and read_on()."""

    inner = None

    def __init__(self, sock, fed):
        self.sock = sock
        self.fed = fed
        self.rest = b""
        self.got = self.length = 0
        self.kind = b""
        sock.setblocking(False)
        self.ends(_HEAD_MS)

    def ends(self, ms):
        """What is read has to come within so many ms."""
        self._end = ticks_add(ticks_ms(), ms)

    async def turn(self):
        """Nobody else is to be let run, but the watchdog wants to be fed."""
        self.fed()

    async def read_on(self):
        """More of it comes to `rest`; how many bytes. OSError: nothing came in time."""
        while True:
            self.fed()
            try:
                data = self.sock.recv(512)
                self.rest += data
                return len(data)
            except OSError as error:
                if error.args[0] != 11 or ticks_diff(self._end, ticks_ms()) <= 0:  # EAGAIN
                    raise
            sleep_ms(5)

    async def line(self):
        """The next line without its end. OSError: it is too long, or none came."""
        while True:
            at = self.rest.find(b"\n")
            if at >= 0:
                line = self.rest[:at].rstrip(b"\r")
                self.rest = self.rest[at + 1 :]
                self.got += at + 1
                return line
            if len(self.rest) > _HEAD or not await self.read_on():
                raise OSError(0)

    def pass_by(self):
        """Take what still comes of an upload: else its sender would not see the answer."""
        quiet = 0
        for _ in range(_PIECES):
            self.fed()
            try:
                if not self.sock.recv(512):
                    break
                quiet = 0
            except OSError:
                quiet += 1
                if quiet > _QUIET:
                    break
                sleep_ms(5)

    def say(self, text):
        """Send the page with that on it."""
        data = memoryview(_PAGE % text)
        while data:
            self.fed()
            try:
                data = data[self.sock.send(data[:512]) :]
            except OSError as error:
                if error.args[0] != 11 or ticks_diff(self._end, ticks_ms()) <= 0:
                    raise
                sleep_ms(5)


def run(first, *given):
    """Serve until an update was taken, or nobody came for long. first, given: as for the plug."""
    try:
        with open("config.json") as file:
            password = json.load(file).get("portal_password", "")
    except (OSError, ValueError, AttributeError, MemoryError):
        password = ""
    begin(password.encode() if isinstance(password, str) else b"")
    pressed, fed = _button(), _watchdog()
    web = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        web.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        web.bind(socket.getaddrinfo("0.0.0.0", 80)[0][-1])
        web.listen(1)
        web.setblocking(False)
        until = ticks_add(ticks_ms(), _IDLE_MS)
        while ticks_diff(until, ticks_ms()) > 0:
            fed()
            pressed()
            try:
                sock = web.accept()[0]
            except OSError:
                sleep_ms(_TURN_MS)
                continue
            visit = Visit(sock, fed)
            try:
                if _served(visit, pressed):
                    return ()
            except (OSError, ValueError) as error:
                sys.print_exception(error)
            finally:
                sock.close()
            until = ticks_add(ticks_ms(), _IDLE_MS)
    finally:
        web.close()
    return ()


def _served(visit, pressed):
    # Answers one request; True when a new version waits in a slot.
    slot = "b" if _sequence("a") > _sequence("b") else "a"
    try:
        if not _done(_asked(visit)):
            visit.ends(_HEAD_MS)
            visit.say(b"")
            return False
        try:
            os.remove("slot")  # its trial is over: neither starts
        except OSError:
            pass
        _done(receive(visit, slot))
    except ValueError as error:
        visit.pass_by()
        visit.ends(_HEAD_MS)
        visit.say(b"Not taken: %s" % error.args[0] if error.args else b"Not taken")
        return False
    end = ticks_add(ticks_ms(), _PRESS_MS)
    while not pressed():
        visit.fed()
        if ticks_diff(end, ticks_ms()) <= 0:
            visit.ends(_HEAD_MS)
            visit.say(b"Not taken: nobody pressed the button")
            return False
        sleep_ms(_TURN_MS)
    os.rename(slot + "/seq-new", slot + "/seq")
    with open("slot.new", "w") as file:
        file.write(slot + "? 3")
    os.rename("slot.new", "slot")
    visit.ends(_HEAD_MS)
    visit.say(b"Taken. The plug starts it now")
    return True


async def _asked(visit):
    # Reads as far as the first byte of a file; False where only the page is wanted.
    posted = (await visit.line())[:5] == b"POST "
    length = 0
    line = b"-"
    while line:
        line = await visit.line()
        at = line.find(b":")
        name, value = line[:at].lower(), line[at + 1 :].strip()
        if name == b"content-length" and value.isdigit():
            length = int(value)
        elif name == b"content-type":
            visit.kind = value
    at = visit.kind.find(b"boundary=")
    if not posted or at < 0:
        return False
    visit.got = 0
    named = b""
    while line or b'"bundle"' not in named:
        line = await visit.line()
        named = line if b" name=" in line else named
    # after the file: a line's end, two dashes, the boundary, two dashes, a line's end
    visit.length = length - visit.got - len(visit.kind[at + 9 :].strip(b'"')) - 8
    visit.got = 0
    return visit.length > 0


def _done(work):
    # Nothing runs beside it, so nothing of it waits.
    try:
        work.send(None)
    except StopIteration as end:
        return end.value


def _sequence(slot):
    # Of two that fail the older is given up.
    try:
        with open(slot + "/seq", "rb") as file:
            return int(file.readline())
    except (OSError, ValueError):
        return -1


def _button():
    # Whether it has just been let go: while it is down nothing starts, or what does would take the
    # rest of this press for one of its own. boot.py left in the RTC memory which pin it is.
    kept = machine.RTC().memory()
    kept = str(kept[4:], "utf-8").split("|")[0] if kept[:3] == b"OP5" else "0 12 13 000"
    button, _, _, inverted = kept.split(" ")
    pin = machine.Pin(int(button), machine.Pin.IN, machine.Pin.PULL_UP)
    was = [False]

    def pressed():
        now = pin() != (inverted[0] == "0")
        before, was[0] = was[0], now
        return before and not now

    return pressed


def _watchdog():
    # One that a trial has started runs on.
    try:
        with open("slot") as file:
            if file.read(2)[1:] in ("!", "?"):
                return machine.WDT().feed
    except OSError:
        pass
    return lambda: None
