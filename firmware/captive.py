"""Captive DNS: on the access point every name is the plug. Pure but for the socket handed in.

Answers A with the portal's address; every other type exists and has no records, so that a phone
asks no further. The reply ends with the question: what came behind it (EDNS) is dropped, and the
name's bytes go back as they came, whatever their case. What is no plain question gets no answer.
"""

_LARGEST = const(300)  # a question: 12 of head, 255 of name, 4 of type and class, 11 and more EDNS
_TTL_S = const(8)  # short: once the plug is on a network its names must mean the real thing
_AT_ONCE = const(4)


def answer(packet, address):
    """The reply to a query packet, or None if it deserves none. address: the portal's 4 bytes."""
    size = len(packet)
    # one question and no records; not an answer (0x80), nothing but a standard query (0x78)
    if size < 17 or packet[2] & 0xF8 or packet[4:10] != b"\0\1\0\0\0\0":
        return None
    at = 12
    while packet[at]:
        if packet[at] > 63:
            return None  # a pointer, and there is nothing before it to point at
        at += 1 + packet[at]
        if at > 266 or at + 5 > size:
            return None
    end = at + 5
    kind = packet[at + 1 : end]
    reply = packet[:2] + bytes((0x84 | packet[2] & 1, 0x80, 0, 1, 0, kind == b"\0\1\0\1"))
    reply += b"\0\0\0\0" + packet[12:end]
    if kind == b"\0\1\0\1":
        reply += b"\xc0\x0c\0\1\0\1\0\0\0" + bytes((_TTL_S, 0, 4)) + address
    return reply


def serve(sock, address):
    """Answer what waits on the UDP socket, without waiting."""
    try:
        for _ in range(_AT_ONCE):
            packet, sender = sock.recvfrom(_LARGEST)
            packet = answer(packet, address)
            if packet:
                sock.sendto(packet, sender)
    except OSError:
        pass  # nothing more there; or a reply that did not go out, and will be asked for again
