"""What the plug under measurement meets: OctoPrint, a broker, a name server; and the plug.

All of it lives in one CPython process; the plug is a process of MicroPython. The broker and the
HTTP server count everything, and do what a measurement tells them, at the moment it tells them.
"""

import asyncio
import json
import re
import struct
import time
from pathlib import Path

from . import delivery

# Laid out as OctoPrint 1.9 and later do: sorted, pretty-printed.
_FLAGS = (
    "cancelling closedOrError error finishing operational paused pausing printing ready resuming"
)


def printer(actual=21.3, target=0.0, printing=False):
    """The body of an answer to GET /api/printer, 578 bytes with both heaters cold."""
    flags = dict.fromkeys([*_FLAGS.split(), "resuming", "sdReady"], False)
    flags["operational"] = flags["sdReady"] = True
    flags["ready"], flags["printing"] = not printing, printing
    answer = {
        "sd": {"ready": True},
        "state": {"error": "", "flags": flags, "text": "Printing" if printing else "Operational"},
        "temperature": {
            "bed": {"actual": 21.3, "offset": 0, "target": 0.0},
            "tool0": {"actual": actual, "offset": 0, "target": target},
        },
    }
    return (json.dumps(answer, indent=2, sort_keys=True) + "\n").encode()


def http(status, body=b"", reason="OK", kind="application/json"):
    """A whole answer with a head as long as OctoPrint's, about 290 bytes."""
    head = (
        f"HTTP/1.1 {status} {reason}\r\nContent-Length: {len(body)}\r\nContent-Type: {kind}\r\n"
        "Cache-Control: no-cache, no-store, must-revalidate, post-check=0, pre-check=0\r\n"
        "Pragma: no-cache\r\nExpires: -1\r\nX-Robots-Tag: noindex, nofollow, noimageindex\r\n"
        "X-Content-Type-Options: nosniff\r\nX-Frame-Options: sameorigin\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body


JOB = (
    b'{\n  "job": {"file": {"name": "a.gcode"}},\n  "progress": {\n    "completion": 42.5\n  },\n'
    b'  "state": "Operational"\n}\n'
)


# Nothing is unfinished.
TIMELAPSE = (
    b'{\n  "config": {\n    "type": "off"\n  },\n  "enabled": true,\n  "files": [],\n'
    b'  "unrendered": []\n}\n'
)
UPDATE = b'{\n  "information": {},\n  "status": "current"\n}\n'


class Http:
    """An HTTP server. `answer(path)` gives the bytes to send, or a coroutine function that is
    given reader and writer and does what it likes.

    polls: how often /api/printer was asked. paths: all requests. busy: answers under way.
    aborted: connections that the plug closed before it had read all.
    """

    def __init__(self):
        self.answer = self.healthy
        self.body = printer()
        self.polls = self.busy = self.aborted = self.empty = 0
        self.bytes_in = self.bytes_out = 0
        self.paths = []
        self.hold_s = 0.0

    def healthy(self, path):
        if path.startswith("/api/printer?"):
            return http(200, self.body)
        if path == "/api/job":
            return http(200, JOB)
        if path.startswith("/api/timelapse?"):
            return http(200, TIMELAPSE)
        if path.startswith("/plugin/softwareupdate/check?"):
            return http(200, UPDATE)
        return http(204, reason="NO CONTENT")

    async def start(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    def close(self):
        self.server.close()

    async def _serve(self, reader, writer):
        self.busy += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            size = re.search(rb"Content-Length: (\d+)", head)
            body = await reader.readexactly(int(size[1])) if size else b""
            self.bytes_in += len(head) + len(body)
            path = head.split(b" ")[1].decode()
            self.paths.append(path)
            self.polls += path.startswith("/api/printer?")
            answer = self.answer(path)
            if isinstance(answer, bytes):
                half = len(answer) // 2
                writer.write(answer[:half])
                if self.hold_s:
                    await asyncio.sleep(self.hold_s)
                writer.write(answer[half:])
                self.bytes_out += len(answer)
                await writer.drain()
                # Not closed before the plug has read it: then a reset means that it has not.
                writer.write_eof()
                if await reader.read():
                    self.aborted += 1
            else:
                await answer(reader, writer)  # pyright: ignore[reportGeneralTypeIssues]
        except asyncio.IncompleteReadError:
            self.empty += 1
        except OSError:
            self.aborted += 1
        except asyncio.CancelledError:
            pass  # the measurement is over
        finally:
            self.busy -= 1
            writer.close()


class Broker:
    """The little of an MQTT broker that one plug needs. `client` is the plug's stream while it is
    connected and subscribed.

    connects, lost: connections taken, and those that the plug ended. published: (topic, text) in
    order. latest: the same by topic. `handle(reader, writer)`: takes over new connections.
    """

    def __init__(self):
        self.connects = self.lost = self.taken = 0
        self.published = []
        self.latest = {}
        self.client = None
        self.handle = None
        self.listening = True
        self._open = set()

    async def start(self, port=0):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    def close(self):
        self.server.close()
        self.drop()

    def drop(self):
        """Ends the plug's connection."""
        self.client = None
        for writer in list(self._open):
            writer.transport.abort()

    def send(self, topic, payload, retained=False):
        """Publishes to the plug, QoS 0."""
        text = topic.encode()
        packet = struct.pack("!H", len(text)) + text + payload.encode()
        self.client.write(bytes([0x30 | retained]) + _size(len(packet)) + packet)

    async def _serve(self, reader, writer):
        self._open.add(writer)
        try:
            if self.handle:
                await self.handle(reader, writer)  # pyright: ignore[reportGeneralTypeIssues]
                return
            while True:
                kind, packet = await _packet(reader)
                if kind == 0x10:
                    self.connects += 1
                    writer.write(b"\x20\x02\0\0")
                elif kind == 0x82:
                    writer.write(b"\x90\x03" + packet[:2] + packet[-1:])
                    if self.client is None:  # what comes later need not be below the root
                        self.root = packet[4 : 4 + packet[3]].decode().rsplit("/", 1)[0]
                    self.client = writer
                elif kind == 0xC0:
                    writer.write(b"\xd0\0")
                elif kind & 0xF0 == 0x30:
                    size = packet[0] << 8 | packet[1]
                    topic, text = packet[2 : 2 + size].decode(), packet[2 + size :].decode()
                    below = topic[len(self.root) :]
                    self.published.append((below, text))
                    self.latest[below] = text
                    self.taken += below == "/switch" and text == "-"
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            if self.client is writer:
                self.client = None
                self.lost += 1
            self._open.discard(writer)
            writer.close()


def _size(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


async def _packet(reader):
    kind = (await reader.readexactly(1))[0]
    size = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return kind, await reader.readexactly(size)


class Names(asyncio.DatagramProtocol):
    """A name server on 127.0.0.1:53: every name is this machine. `silent` answers nothing."""

    silent = False

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, where):
        if not self.silent:
            head = data[:2] + b"\x81\x80\0\1\0\1\0\0\0\0"
            record = b"\xc0\x0c\0\1\0\1\0\0\0\x05\0\x04\x7f\0\0\1"
            self.transport.sendto(head + data[12:] + record, where)

    @classmethod
    async def start(cls):
        """The server; PermissionError or OSError where port 53 cannot be had."""
        loop = asyncio.get_running_loop()
        _, names = await loop.create_datagram_endpoint(cls, local_addr=("127.0.0.1", 53))
        return names

    def close(self):
        self.transport.close()


class Plug:
    """The firmware, running under MicroPython. `lines`: (seconds, text) of all it has printed.
    `files`: {name: text} of what else is on its flash.

    said: called with every line. trouble: the first line that must not be there, or "".
    """

    def __init__(self, of, heap, config, shims="bare", start=delivery.START, said=None, files=()):
        self.of, self.heap, self.shims, self.start_code = of, heap, shims, start
        self.config, self.said = config, said
        self.files = dict(files)
        self.lines = []
        self.trouble = ""
        self.process = None

    async def __aenter__(self):
        self.folder = delivery.flash(self.of, self.shims)
        self.root = Path(self.folder.name)
        (self.root / "config.json").write_text(written(self.config))
        for name, text in self.files.items():
            (self.root / name).write_text(text)
        self.process = await asyncio.create_subprocess_exec(
            *delivery.command(self.of, self.heap, self.start_code),
            cwd=self.root,
            env=delivery.environment(self.of),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self.reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_):
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self.reader
        self.folder.cleanup()

    async def _read(self):
        async for line in self.process.stdout:
            text = line.decode("utf-8", "replace").rstrip()
            self.lines.append((time.monotonic(), text))
            if re.match(r"[A-Za-z]*(Error|Interrupt|Exit|Exception)\b", text):
                self.trouble = self.trouble or text  # the last line of a traceback
            if self.said:
                self.said(text)
        self.trouble = self.trouble or "the plug ended"

    def text(self):
        return "\n".join(text for _, text in self.lines)


def written(config):
    """config.json as the firmware writes it: one entry a line."""
    lines = (f"{json.dumps(key)}: {json.dumps(config[key])}" for key in config)
    return "{\n" + ",\n".join(lines) + "\n}\n"
