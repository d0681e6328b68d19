"""Servers in the test's own event loop, so that they keep to its virtual time."""

import asyncio
import binascii
import os
import socket
import struct
import sys

# What MicroPython still calls by its old names, umqtt.simple does too.
for old, module in (("usocket", socket), ("ustruct", struct), ("ubinascii", binascii)):
    sys.modules.setdefault(old, module)


class Settings:
    """The settings that the network modules use, at their defaults but for what is given."""

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
    topics = ()

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
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
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
    """How many sockets and files this process holds."""
    return len(os.listdir("/proc/self/fd"))


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
