"""Tells a broker how the plug is, and takes commands from it: MQTT 3.1.1, umqtt.simple on a tape.

The library makes and reads the packets but never sees a socket: it writes its question on a tape,
the question goes out over a Wire, and when the answer has come whole the library runs once more
and reads it from the tape. Whatever it raises is a broken connection, an OSError.
"""

from asyncio import sleep_ms
from time import ticks_add, ticks_diff, ticks_ms

from umqtt import simple
from wire import Starved, Tape, Wire

_TICK_MS = const(50)
_ANSWER_MS = const(10000)  # for a connection, for a packet in or out, for an answer
_PING_MS = const(15000)  # a broker that does not answer a ping within this is gone
_BURST_MS = const(1000)  # of several commands within this the last one counts
_LARGEST = const(256)  # bytes of an incoming packet that are looked at
_SKIPPED = const(16384)  # a packet up to this size is read past; one above it breaks the line
_ECONNRESET = const(104)
_ETIMEDOUT = const(110)

# What is published below the root, in the order it is sent. r: retained, on change. t: on change
# and when due. i: retained, when due. The last part of each is its key.
_TOPICS = (
    "r/status r/plugstate r/relay r/mode r/reason r/countdown t/state/printstate"
    " t/state/extrudertemp t/state/bedtemp t/job/jobstate t/job/jobprogress i/info "
)
_COUNT = const(12)
_UNDUE = const(6)  # the first so many are never due
_COMMANDS = b"ON AFTERJOB OFF PERMON FORCEOFF"


class Mqtt:
    """The connection to the broker.

    s: the settings. client_id: text, the same for ever. resolve: async, host -> dotted address, or
    OSError. value: key of a topic -> text, None if there is nothing to tell. command: is called
    with "ON" "OFF" "PERMON" "FORCEOFF". connected: whether the broker has let us in.
    """

    connected = False

    def __init__(self, s, client_id, resolve, value, command):
        self.s = s
        self.client_id = client_id.encode()
        self.resolve = resolve
        self.value = value
        self.command = command

    async def run(self):
        """Connect and serve until the connection breaks: then it raises OSError."""
        s = self.s
        self.tape = simple.socket = Tape()
        self.wire = Wire()
        self.first = memoryview(bytearray(1))
        self.word = self.error = self.since = None  # command, complaint, and when the burst began
        self.clear = False  # "-" is to be put on /switch
        self.client = client = simple.MQTTClient(
            self.client_id,
            "",
            user=s.mqtt_user.encode() or None,
            password=s.mqtt_password.encode(),
            keepalive=s.mqtt_keepalive_s,
        )
        client.set_callback(self._heard)
        client.set_last_will(self._topic("/status"), b"offline", True)
        try:
            await self.wire.open(await self.resolve(s.mqtt_host), s.mqtt_port, _ANSWER_MS)
            await self._ask(client.connect)
            await self._ask(client.subscribe, self._topic("/switch"), 1)
            self.connected = True
            await self._serve()
        finally:
            self.connected = False
            self.wire.close()
            self._act()  # a command that was taken is not lost with the connection

    def _call(self, function, *given):
        # runs the library once; False if it wants to read more
        try:
            function(*given)
            return True
        except Starved:
            return False
        except Exception as error:
            raise OSError(repr(error))

    async def _ask(self, function, *given):
        # puts one question to the broker and stays until it is answered
        client = self.client
        tape = self.tape
        pid = client.pid
        size = 0
        end = ticks_add(ticks_ms(), _ANSWER_MS)
        tape.load()
        while True:
            client.pid = pid  # the library counts its questions, and this is still the same one
            done = self._call(function, *given)
            await self.wire.send(tape.out[size:], _ANSWER_MS)
            size = size or len(tape.out)
            if done:
                return
            await self._fill(self.first, end)
            tape.load(await self._packet())

    async def _fill(self, view, end):
        while view:
            n = await self.wire.readinto(view, ticks_diff(end, ticks_ms()))
            if not n:
                raise OSError(_ECONNRESET)
            view = view[n:]

    async def _packet(self):
        # The packet that begins with `first`, without what is above _LARGEST.
        end = ticks_add(ticks_ms(), _ANSWER_MS)
        first = self.first
        packet = bytearray(first)
        self.retained = packet[0] & 1
        size = shift = 0
        while not shift or first[0] & 128:
            await self._fill(first, end)
            packet.append(first[0])
            size |= (first[0] & 127) << shift
            shift += 7
            if size > _SKIPPED or shift > 28:
                raise OSError("packet too large")
        at = len(packet)
        packet.extend(bytes(min(size, _LARGEST)))
        await self._fill(memoryview(packet)[at:], end)
        self.cut = size > _LARGEST
        while size > _LARGEST:
            rest = memoryview(bytearray(min(size - _LARGEST, _LARGEST)))
            await self._fill(rest, end)
            size -= len(rest)
        return packet

    def _heard(self, topic, text):
        word = text.strip().upper()
        if word in (b"", b"-"):
            return
        if self.since is None:
            self.since = ticks_ms()
        if self.retained:  # it was meant for another day
            self.clear = True
            self.error = "ignored, since retained: %r" % text[:24]
        elif self.cut or word not in _COMMANDS.split():
            self.error = "%r is none of ON AFTERJOB OFF PERMON FORCEOFF" % text[:24]
        else:
            self.word = word

    def _act(self):
        word = self.word
        self.word = None
        if word:
            self.clear = True
            self.command("ON" if word == b"AFTERJOB" else word.decode())

    async def _serve(self):
        client = self.client
        tape = self.tape
        wire = self.wire
        half = self.s.mqtt_keepalive_s * 500
        now = due = ticks_ms()
        ping = ticks_add(now, half)
        pinged = False
        sent = [-1] * _COUNT  # a hash of what each topic was sent last
        at = i = 0
        while True:
            n = wire.read_now(self.first)
            tape.load()
            if n == 0:
                raise OSError(_ECONNRESET)
            if n:
                tape.load(await self._packet())
                if not self._call(client.wait_msg):
                    raise OSError("bad packet")
                if self.word == b"FORCEOFF":
                    self._act()
                if pinged:
                    pinged = False
                    ping = ticks_add(now, half)
            else:
                await sleep_ms(_TICK_MS)
            now = ticks_ms()
            if ticks_diff(now, ping) >= 0:
                if pinged:
                    raise OSError(_ETIMEDOUT)
                pinged = True
                ping = ticks_add(now, _PING_MS)
                client.ping()
            if self.since is not None and ticks_diff(now, self.since) >= _BURST_MS:
                self.since = None
                self._act()
            if ticks_diff(now, due) >= 0:
                due = ticks_add(now, int(self.s.mqtt_report_s * 1000))
                sent[_UNDUE:] = [-1] * (_COUNT - _UNDUE)
            # One topic a turn, and the next only when this one has gone out.
            if self.clear:
                self.clear = False
                self._call(client.publish, self._topic("/switch"), b"-", True)
            elif self.error and self.since is None:
                self._call(client.publish, self._topic("/error"), self.error.encode())
                self.error = None
            else:
                end = _TOPICS.find(" ", at)
                below = _TOPICS[at + 1 : end]
                kind = _TOPICS[at]
                if kind != "i" or sent[i] < 0:
                    key = below[below.rfind("/") + 1 :]
                    text = "online" if key == "status" else self.value(key)
                    if text is not None:
                        text = text.encode()
                        mark = 0
                        for c in text:
                            mark = (mark * 33 ^ c) & 0xFFFFFF
                        if mark != sent[i]:
                            sent[i] = mark
                            self._call(client.publish, self._topic(below), text, kind != "t")
                i = (i + 1) % _COUNT
                at = end + 1 if i else 0
            await wire.send(tape.out, _ANSWER_MS)

    def _topic(self, below):
        topics = self.s.topics
        key = below[below.rfind("/") + 1 :]
        return (self.s.mqtt_topic + (topics and topics.get(key) or below)).encode()
