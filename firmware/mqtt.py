"""Tells a broker how the plug is, and takes commands from it: MQTT 3.1.1 over a Wire.

The few packets a plug needs are made and read here (the tests hold them against umqtt.simple,
which would cost 4 KB of heap more). Whatever is not as it should be is a broken connection: an
OSError.
"""

import sys
from asyncio import sleep_ms
from time import ticks_add, ticks_diff, ticks_ms

from wire import Wire

_TICK_MS = const(50)
_ANSWER_MS = const(10000)  # for a connection, for a packet in or out, for an answer
_PING_MS = const(15000)  # a broker that does not answer a ping within this is gone
_BURST_MS = const(1000)  # of several commands within this the last one counts
_SKIPPED = const(131072)  # a packet up to this size is read past; one above it breaks the line

# What is published below the root, in the order it is sent: how, sub-topic, what of the plug.
# r: retained, on change. t: on change and when due. i: retained, when due.
_TOPICS = (
    "r/status=online r/plugstate=state r/relay=relay r/mode=mode r/reason=reason"
    " r/countdown=countdown_s r/print=told t/state/printstate=print_state"
    " t/state/extrudertemp=tool t/state/bedtemp=bed t/job/jobstate=job_state"
    " t/job/jobprogress=progress i/info=info "
)
_COUNT = const(13)
_UNDUE = const(7)  # the first so many are never due
_STATE = const(1)  # which of them is the state, and where it stands in the text
_STATE_AT = const(16)


def as_text(text):
    # As MQTT writes it: two bytes of length, then UTF-8.
    text = text.encode()
    return len(text).to_bytes(2, "big") + text


def frame(kind, body, more=0):
    # A packet: kind, length of the rest in 7 bits a byte, the rest (under 16 KB here) but for
    # `more` bytes that the caller sends himself.
    size = len(body) + more
    return bytes((kind, size) if size < 128 else (kind, size & 127 | 128, size >> 7)) + body


class Mqtt:
    """The connection to the broker.

    s: the settings. resolve: async, host -> dotted address, or OSError. value: what of the plug
    (see _TOPICS) -> text, or None if there is nothing to tell; "outbox" -> a coroutine that sends
    what outbox.py has, or None while it must not. command: is called with "ON" "OFF" "PERMON"
    "PERMON 3" (hours) "FORCEOFF", and "UPDATE".
    connected: the broker has let us in. Whoever enters a state adds its name to the tuple `news`,
    so that it is published however soon the next one follows. says: there is something in
    outbox.py to be sent: True all of it, 2 what the bridge has. birth: the topic on which Home
    Assistant says that it has started, as bytes; None while that does not matter. jobs: that of
    what bridge.py is to do, likewise. given: what came and is none of those words, as remarks.py
    wants it, which is to look at it; missed: how many came before it could.
    """

    connected = says = False
    address = ""  # where the broker was last
    news = given = ()
    birth = jobs = None
    missed = 0
    largest = 256  # bytes of an incoming packet that are looked at

    def __init__(self, s, resolve, value, command):
        self.s = s
        self.resolve = resolve
        self.value = value
        self.command = command

    async def run(self):
        """Connect and serve until the connection breaks: then it raises OSError."""
        s = self.s
        self.wire = wire = Wire()
        self.first = memoryview(bytearray(1))
        self.word = self.since = None  # the command, and when its burst began
        self.error = ", ".join(s.problems)  # what is to be complained of
        self.answer = bytes()  # to the broker's own packet
        self.clear = False  # "-" is to be put on /switch
        self.says = True
        self.news = self.news[-4:]  # a broker may be away for weeks
        try:
            # An address that let us in is tried first: finding one takes heap.
            address = self.address or await self.resolve(s.mqtt_host)
            self.address = ""
            import dialing

            del sys.modules["dialing"]
            await dialing.dial(self, address, as_text, frame)
            del dialing
            self.connected = True
            await self._serve()
        finally:
            self.connected = False
            wire.close()
            self._act()  # a command that was taken is not lost with the connection

    async def fill(self, view, end):
        while view:
            n = await self.wire.readinto(view, ticks_diff(end, ticks_ms()))
            if not n:
                raise OSError("closed")
            view = view[n:]

    async def packet(self):
        # The packet that begins with `first`, without its length and what is above `largest`.
        end = ticks_add(ticks_ms(), _ANSWER_MS)
        first = self.first
        kind = first[0]
        size = shift = 0
        while not shift or first[0] & 128:
            await self.fill(first, end)
            size |= (first[0] & 127) << shift
            shift += 7
            if size > _SKIPPED or shift > 28:
                raise OSError("too large")
        largest = self.largest
        self.cut = size > largest
        packet = bytearray(min(size, largest) + 1)
        packet[0] = kind
        await self.fill(memoryview(packet)[1:], end)
        while size > largest:
            rest = min(size - largest, largest)
            size -= rest
            await self.fill(memoryview(bytearray(rest)), end)
        return packet

    def _take(self, packet):
        # What the broker sends by itself.
        kind = packet[0]
        if kind == 0x90 and packet[-1] < 128 or kind == 0xD0:
            return  # subscribed; pong
        at = 3 + (packet[1] << 8 | packet[2]) if len(packet) > 2 else 999
        topic = bytes(packet[3:at])
        if kind & 6:
            self.answer = frame(0x40, packet[at : at + 2])
            at += 2
        if kind >> 4 != 3 or at > len(packet):
            raise OSError("bad packet")
        text = bytes(packet[at:])
        word = text.strip().upper()
        if word in b"-":  # our own, or nothing
            return
        if topic == self.birth:
            if word == b"ONLINE" and not kind & 1:  # else it has been told already
                self.says = True
            return
        if topic == self.topic("/update").encode():
            if not kind & 1:
                self.command("UPDATE")
            return
        if self.since is None:
            self.since = ticks_ms()
        plain = word in b"ON AFTERJOB OFF PERMON FORCEOFF".split() or (
            word[:7] == b"PERMON " and word[7:].isdigit() and 0 < int(word[7:]) < 1000
        )
        # What is retained was meant for another day.
        if plain and not (kind & 1 or self.cut or topic == self.jobs):
            self.word = word = word.decode()
            if word == "FORCEOFF":
                self._act()
        else:
            if self.given:
                self.missed += 1
            self.given = topic, text, kind & 1, self.cut, ticks_ms()

    def _act(self):
        word = self.word
        self.word = None
        if word:
            self.clear = True
            self.command("ON" if word == "AFTERJOB" else word)

    async def _serve(self):
        half = self.s.mqtt_keepalive_s * 500
        now = due = ticks_ms()
        ping = ticks_add(now, half)
        pinged = False
        sent = [-1] * _COUNT  # a hash of what each topic was sent last
        at = i = 0
        while True:
            n = self.wire.read_now(self.first)
            if n == 0:
                raise OSError("closed")
            if n:
                self._take(await self.packet())
                if pinged:
                    pinged = False
                    ping = ticks_add(now, half)
            else:
                await sleep_ms(_TICK_MS)
            now = ticks_ms()
            out = self.answer
            self.answer = bytes()
            if ticks_diff(now, ping) >= 0:
                if pinged:
                    raise OSError("silent")
                pinged = True
                ping = ticks_add(now, _PING_MS)
                out += frame(0xC0, bytes())
            if self.since is not None and ticks_diff(now, self.since) >= _BURST_MS:
                self.since = None
                self._act()
            if ticks_diff(now, due) >= 0:
                due = ticks_add(now, int(self.s.mqtt_report_s * 1000))
                sent[_UNDUE:] = [-1] * (_COUNT - _UNDUE)
            # One topic a turn, and the next only when this one has gone out.
            text = None
            if self.clear:
                self.clear = False
                below = "/switch"
                text = kind = "-"
            elif self.error and self.since is None:
                below = "/error"
                text = self.error
                self.error = None
                kind = "t"
            else:
                if self.news:  # then at once what follows from it
                    at = _STATE_AT
                    i = _STATE
                end = _TOPICS.find(" ", at)
                kind = _TOPICS[at]
                below, what = _TOPICS[at + 1 : end].split("=")
                if kind != "i" or sent[i] < 0:
                    text = what if what == "online" else self.value(what)
                    if self.news:
                        text = self.news[0]
                        self.news = self.news[1:]
                    if text is not None:
                        mark = 0
                        for c in text.encode():
                            mark = (mark * 33 ^ c) & 0xFFFFFF
                        if mark == sent[i]:
                            text = None
                        else:
                            sent[i] = mark
                i = (i + 1) % _COUNT
                at = end + 1 if i else 0
            if text is not None:
                text = text.encode()
                out += frame(0x30 if kind == "t" else 0x31, as_text(self.topic(below)), len(text))
            await self.wire.send(out, _ANSWER_MS)
            if text:
                await self.wire.send(text, _ANSWER_MS)
            elif self.says:
                more = self.value("outbox")
                if more:
                    await more
                more = None  # or its module would stay

    def topic(self, below):
        topics = self.s.topics
        key = below[below.rfind("/") + 1 :]
        return self.s.mqtt_topic + (topics and topics.get(key) or below)
