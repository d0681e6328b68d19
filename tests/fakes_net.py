"""Servers in the test's own event loop, so that they keep to its virtual time."""

import asyncio
import binascii
import gc
import os
import socket
import struct
import sys
import time

# What MicroPython still calls by its old names, umqtt.simple does too.
for old, module in (("usocket", socket), ("ustruct", struct), ("ubinascii", binascii)):
    sys.modules.setdefault(old, module)

from umqtt import simple  # noqa: F401


class Settings:
    """The settings that the network modules use, at their defaults but for what is given."""

    id = "abcdef"
    octoprint_host = "127.0.0.1"
    octoprint_port = 80
    octoprint_api_key = "K3Y"
    probe_port = 1  # nobody listens there: it refuses
    watch_bed = False
    wifi_settle_s = 0
    mqtt_host = "127.0.0.1"
    mqtt_port = 1883
    mqtt_user = mqtt_password = ""
    mqtt_topic = "octoplugout/abcdef"
    mqtt_report_s = 60
    mqtt_keepalive_s = 60
    topics = problems = ()

    def __init__(self, **given):
        self.__dict__.update(given)


class Server:
    """A TCP server for `async with`; `play(reader, writer)` is what it does with each caller."""

    def __init__(self, play):
        self.play = play
        self.calls = 0
        self.tasks = set()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._call, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def _call(self, reader, writer):
        self.calls += 1
        self.tasks.add(asyncio.current_task())
        try:
            await self.play(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the end of the test; asyncio would log a cancellation as a fault
        finally:
            writer.close()

    async def __aexit__(self, *_):
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class WebServer(Server):
    """Reads one request, keeps it as text in `asked`, and sends `answer` in pieces of `step`.

    pause: seconds before each piece. hold: keep the connection open afterwards.
    """

    def __init__(self, answer=b"", step=0, pause=0, hold=False):
        super().__init__(self._play)
        self.answer, self.step, self.pause, self.hold = answer, step, pause, hold
        self.asked = []

    async def _play(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = 0
        for line in head.split("\r\n"):
            if line.lower().startswith("content-length:"):
                length = int(line[15:])
        self.asked.append(head + (await reader.readexactly(length)).decode())
        step = self.step or len(self.answer) or 1
        for at in range(0, len(self.answer), step):
            if self.pause:
                await asyncio.sleep(self.pause)
            writer.write(self.answer[at : at + step])
            await writer.drain()
        if self.hold:
            await asyncio.sleep(10_000)


def reset(writer):
    """Break the connection off with a TCP reset."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def http(body, status="200 OK", length=None, head=()):
    """An answer as OctoPrint's server writes it; `length` may lie, or be False: not told."""
    body = body if isinstance(body, bytes) else body.encode()
    lines = ["HTTP/1.1 " + status, "Server: fake", "Content-Type: application/json", *head]
    if length is not False:
        lines.append("Content-Length: %d" % (len(body) if length is None else length))
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def free_port():
    """A port that nobody listens on: it refuses."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def open_files():
    """How many sockets and files this process holds, but for what earlier tests left to the
    collector."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


async def later(seconds):
    """Let virtual time pass, in steps of 50 ms, and the real time the kernel takes for bytes."""
    for _ in range(max(1, round(seconds / 0.05))):
        time.sleep(0.0002)
        await asyncio.sleep(0.05)


async def dotted(host):
    """Stands for the resolver where every host is an address already."""
    return host


class Line:
    """Stands for a Wire whose other end sends `data` in pieces of `step` bytes, and closes."""

    def __init__(self, data, step=0):
        self.data, self.step = bytes(data), step

    async def open(self, address, port, ms):
        self.at = 0

    async def send(self, data, ms):
        pass

    async def readinto(self, buf, ms):
        return self.read_now(buf)

    def read_now(self, buf):
        size = min(self.step or len(buf), len(buf), len(self.data) - self.at)
        buf[:size] = self.data[self.at : self.at + size]
        self.at += size
        return size

    def close(self):
        pass


def at_once(coroutine):
    """What a coroutine returns that never has to wait."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


class Broker(Server):
    """An MQTT broker that keeps the packets it gets, as (time, first byte, rest), in `packets`.

    welcome: sent for a CONNECT. subscribed: the answer to a SUBSCRIBE, after the two bytes of its
    number. pongs: whether it answers pings. later: bytes sent once the plug has subscribed.
    """

    def __init__(self, welcome=b"\x20\2\0\0", subscribed=b"\1", pongs=True, later=b"", mute=False):
        super().__init__(self._play)
        self.welcome, self.subscribed, self.pongs = welcome, subscribed, pongs
        self.later, self.mute = later, mute
        self.packets = []
        self.raw = b""

    async def _play(self, reader, writer):
        self.writer = writer
        loop = asyncio.get_running_loop()
        sock = writer.get_extra_info("socket")
        while True:
            head = await reader.readexactly(1)
            # The plug's kernel keeps the rest of a packet back until this acknowledges its head,
            # which it would do after 40 ms: in virtual time that is minutes.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            size = shift = 0
            length = b""
            while not length or length[-1] & 128:
                length += await reader.readexactly(1)
                size |= (length[-1] & 127) << shift
                shift += 7
            body = await reader.readexactly(size)
            self.packets.append((loop.time(), head[0], body))
            self.raw += head + length + body
            if self.mute:
                continue
            if head == b"\x10":
                writer.write(self.welcome)
            elif head == b"\x82":
                writer.write(b"\x90\3" + body[:2] + self.subscribed + self.later)
            elif head == b"\xc0" and self.pongs:
                writer.write(b"\xd0\0")

    def of(self, kind):
        """The bodies of the packets whose first byte is `kind`."""
        return [body for _, first, body in self.packets if first == kind]

    @property
    def published(self):
        """[(sub-topic, text, retained)] in order."""
        found = []
        for _, first, body in self.packets:
            if first >> 4 == 3:
                end = 2 + int.from_bytes(body[:2], "big")
                found.append((body[2:end].decode()[18:], body[end:].decode(), bool(first & 1)))
        return found

    def send(self, data):
        self.writer.write(data)

    def command(self, text, qos=1, retained=False, topic=b"switch"):
        """A message on /switch or another topic of six letters, as the broker passes it on."""
        text = text if isinstance(text, bytes) else text.encode()
        body = b"\0\x19octoplugout/abcdef/" + topic + b"\0\x07"[: 2 * qos] + text
        size = len(body)
        length = b""
        while not length or size:
            length += bytes((size & 127 | (size > 127) << 7,))
            size >>= 7
        self.send(bytes((0x30 | qos << 1 | retained,)) + length + body)


class Starved(Exception):
    """The library wants to read more than the tape holds."""


class Tape:
    """Stands in for umqtt.simple's `socket` module and for its socket.

    What the library writes collects in `out`; it reads `answer`, and when that is used up, where
    on a real socket it would wait, it gets Starved.
    """

    def __init__(self, answer=b""):
        self.out, self.answer = b"", answer

    def socket(self):
        return self

    def getaddrinfo(self, host, port):
        return ((None,),)

    def connect(self, address):
        pass

    setblocking = connect

    def write(self, data, n=None):
        data = data.encode() if isinstance(data, str) else data
        self.out += data if n is None else data[:n]

    def read(self, n):
        if n and not self.answer:
            raise Starved
        data, self.answer = self.answer[:n], self.answer[n:]
        return data
