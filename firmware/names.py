"""Finds the address of a name without blocking: DNS, and mDNS for `.local`.

Both speak the same format over UDP. Imported only while a name is unknown. Only IPv4 addresses.
"""

import os
import socket
from asyncio import sleep_ms
from time import ticks_add, ticks_diff, ticks_ms

_EAGAIN = const(11)
_ASK_MS = const(1000)  # UDP loses packets: ask again this often
_STEP_MS = const(20)
_LARGEST = const(200)  # of an answer beside the question; the rest is cut, the address is in front
_HOPS = const(16)

MDNS = ("224.0.0.251", 5353)  # RFC 6762


async def resolve(host, dns, ms=3000, port=53):
    """The IPv4 address of `host` as dotted text, within `ms`.

    `dns` is the resolver's address (dotted) and `port` its port; names in `.local` are asked of
    everybody on the network instead. Raises OSError with a text.
    """
    host = host.lower()
    while host[-1:] == ".":
        host = host[:-1]
    if _dotted(host):
        return host
    wanted = host.encode()
    local = wanted[-6:] == b".local"
    where = MDNS if local else (dns, port)
    if not _dotted(where[0]):
        raise OSError("no DNS server")
    where = socket.getaddrinfo(where[0], where[1])[0][-1]
    query = bytearray(os.urandom(2) + b"\x01\0\0\x01\0\0\0\0\0\0")
    for label in wanted.split(b"."):
        if not 0 < len(label) < 64:
            raise OSError("not a name: " + host)
        query.append(len(label))
        query.extend(label)
    # type A, class IN; the top bit asks mDNS responders to answer this socket, not everybody
    query.extend(b"\0\0\x01\x80\x01" if local else b"\0\0\x01\0\x01")
    if len(query) > 271:
        raise OSError("not a name: " + host)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        asked = None
        end = ticks_add(ticks_ms(), ms)
        while ticks_diff(end, ticks_ms()) > 0:
            try:
                if asked is None or ticks_diff(ticks_ms(), asked) >= _ASK_MS:
                    asked = ticks_ms()
                    sock.sendto(query, where)
                answer, sender = sock.recvfrom(len(query) + _LARGEST)
                # anybody may answer for .local, and some answer with the id 0
                if (
                    local
                    and answer[:2] == b"\0\0"
                    or (answer[:2] == query[:2] and (local or sender == where))
                ):
                    address = _address(answer, wanted)
                    if address:
                        return address
            except OSError as error:
                if error.args[0] != _EAGAIN:
                    raise
                await sleep_ms(_STEP_MS)
            except (IndexError, ValueError):
                await sleep_ms(0)  # a broken packet; the true one may still come
        raise OSError("name not found: " + host)
    finally:
        sock.close()


def _dotted(host):
    parts = host.split(".")
    return len(parts) == 4 and all(p.isdigit() and int(p) < 256 for p in parts)


def _address(packet, wanted):
    # The address of `wanted` in an answer, or None if it does not tell. OSError: there is none.
    # IndexError, ValueError: no DNS packet.
    if not packet[2] & 0x80:
        return None  # a question, maybe our own
    questions = packet[4] << 8 | packet[5]
    at = 12
    if questions:
        name, at = _name(packet, at)
        if questions > 1 or name != wanted:
            return None
        at += 4
    if packet[3] & 15:
        raise OSError("name not found: " + wanted.decode())
    first = at
    for _ in range(_HOPS):  # one for each CNAME on the way
        at = first
        for _ in range(packet[6] << 8 | packet[7]):
            name, at = _name(packet, at)
            kind = packet[at] << 8 | packet[at + 1]
            size = packet[at + 8] << 8 | packet[at + 9]
            at += 10
            if name == wanted and packet[at - 7] == 1:  # class IN, whatever mDNS's top bit
                if kind == 1 and size == 4:
                    return "%d.%d.%d.%d" % (
                        packet[at],
                        packet[at + 1],
                        packet[at + 2],
                        packet[at + 3],
                    )
                if kind == 5:
                    wanted = _name(packet, at)[0]
                    break
            at += size
        else:
            return None
    raise ValueError


def _name(packet, at):
    # The name that starts at `at`, lower case, and where it ends. Pointers may only lead back.
    name = b""
    end = 0
    while packet[at]:
        size = packet[at]
        if size >= 0xC0:
            target = (size & 0x3F) << 8 | packet[at + 1]
            end = end or at + 2
            if target >= at:
                raise ValueError
            at = target
        else:
            name += packet[at + 1 : at + 1 + size] + b"."
            at += 1 + size
            if size > 63 or len(name) > 256:
                raise ValueError
    return name[:-1].lower(), end or at + 1
