"""What OctoPrint and the broker can do wrong: each a handler for plant.Http or plant.Broker."""

import asyncio
import os

from .plant import http, printer

# --- OctoPrint: coroutine functions (reader, writer), or bytes to be sent as the whole answer


async def reset(reader, writer):
    writer.transport.abort()


async def empty(reader, writer):
    pass


async def hang(reader, writer):
    await reader.read()


async def drip(reader, writer):
    for byte in http(200, printer()):
        writer.write(bytes([byte]))
        await asyncio.sleep(0.2)
        if writer.is_closing() or reader.at_eof():
            break


async def half(reader, writer):
    writer.write(http(200, printer())[:400])
    await reader.read()


async def cut(reader, writer):
    writer.write(http(200, printer())[:500])


async def endless_head(reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not writer.is_closing():
        writer.write(b"X-Endless: " + b"x" * 500 + b"\r\n")
        await writer.drain()


async def endless_body(reader, writer):
    writer.write(http(200, b"{")[:-1].replace(b"Content-Length: 1", b"Content-Length: 99999999"))
    writer.write(b'{"state": {')
    while not writer.is_closing():
        writer.write(b'"x": 1, ' * 64)
        await writer.drain()


async def garbage(reader, writer):
    writer.write(os.urandom(700))


_TOOLS = ", ".join(
    f'"tool{n}": {{"actual": 21.3, "offset": 0, "target": 0.0}}' for n in range(200)
)

REDIRECT = http(302, b"", "FOUND").replace(b"\r\n", b"\r\nLocation: /api/printer\r\n", 1)
STARTING = b"Not found"
PROXY = http(503, b"<html><body><h1>503 Service Unavailable</h1></body></html>\n", "Unavailable")
LOST = http(409, b'{"error": "Printer is not operational"}\n', "CONFLICT")
HUGE = http(200, ('{"temperature": {' + _TOOLS + "}}").encode())
REFUSED_KEY = http(403, b'{"error": "You don\'t have the permission"}\n', "FORBIDDEN")

# Those that are over soon, and those that last until a deadline.
SOON = reset, empty, cut, garbage, REDIRECT, STARTING, PROXY, LOST, HUGE, REFUSED_KEY, endless_head
LONG = hang, half, drip

# --- the broker


async def mute(reader, writer):
    """Takes the connection and never says CONNACK."""
    await reader.read()


async def half_packet(reader, writer):
    """Lets the plug in, then half a packet, then nothing."""
    writer.write(b"\x20\x02\0\0\x90\x03\0\1\1")
    await asyncio.sleep(1)
    writer.write(b"\x30\x20\0\x10abc")
    await reader.read()


async def giant(reader, writer):
    """Lets the plug in, then announces a packet of 268 MB."""
    writer.write(b"\x20\x02\0\0\x90\x03\0\1\1")
    await asyncio.sleep(1)
    writer.write(b"\x30\xff\xff\xff\x7f")
    while not writer.is_closing():
        writer.write(b"x" * 512)
        await writer.drain()
