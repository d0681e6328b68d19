"""Captive DNS: what a phone on the access point asks, and what only an attacker would."""

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import captive

ADDRESS = b"\xc0\xa8\4\1"
A, NS, CNAME, PTR, TXT, AAAA, SRV, HTTPS, ANY = 1, 2, 5, 12, 16, 28, 33, 65, 255
EDNS = b"\0\0\x29\x10\0\0\0\0\0\0\0"


def name(text):
    """A name as DNS writes it."""
    labels = [label.encode() for label in text.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def query(host="captive.apple.com", kind=A, group=1, flags=0x0100, counts=(1, 0, 0, 0), more=b""):
    head = struct.pack("!HHHHHH", 0xBEEF, flags, *counts)
    return head + name(host) + struct.pack("!HH", kind, group) + more


def answer(packet):
    return captive.answer(packet, ADDRESS)


def looked_at(reply, asked):
    """(rcode, address or None) of a reply, after checking that all of it is as it should be."""
    number, flags, questions, answers, authority, additional = struct.unpack("!6H", reply[:12])
    assert number == struct.unpack("!H", asked[:2])[0]
    assert flags & 0x8000 and not flags & 0x7A00  # an answer, whole, to a standard query
    assert (questions, authority, additional) == (1, 0, 0)
    at = 12
    while reply[at]:
        at += 1 + reply[at]
    end = at + 5
    assert reply[12:end] == asked[12:end]
    if not answers:
        assert len(reply) == end
        return flags & 15, None
    pointer, kind, group, ttl, size = struct.unpack("!HHHIH", reply[end : end + 12])
    assert (answers, pointer, kind, group, size) == (1, 0xC00C, A, 1, 4)
    assert 5 <= ttl <= 10
    assert len(reply) == end + 16
    return flags & 15, reply[-4:]


@pytest.mark.parametrize(
    "host",
    [
        "captive.apple.com",
        "connectivitycheck.gstatic.com",
        "www.msftconnecttest.com",
        "detectportal.firefox.com",
        "a",
        "x" * 63,
        ".".join(["y" * 63] * 3 + ["z" * 61]),
    ],
)
def test_every_name_is_the_plug(host):
    packet = query(host)
    assert looked_at(answer(packet), packet) == (0, ADDRESS)


@pytest.mark.parametrize("kind", [NS, CNAME, PTR, TXT, AAAA, SRV, HTTPS, ANY, 0, 65535])
def test_every_other_type_exists_and_has_no_records(kind):
    packet = query(kind=kind)
    assert looked_at(answer(packet), packet) == (0, None)


def test_another_class_than_the_internets_has_no_records():
    packet = query("version.bind", TXT, 3)
    assert looked_at(answer(packet), packet) == (0, None)
    packet = query(kind=A, group=3)
    assert looked_at(answer(packet), packet) == (0, None)


def test_what_comes_behind_the_question_is_dropped():
    packet = query(counts=(1, 0, 0, 1), more=EDNS)
    assert looked_at(answer(packet), packet) == (0, ADDRESS)
    padded = query(counts=(1, 0, 0, 1), more=EDNS[:-2] + b"\0\x40" + bytes(64))
    assert answer(padded) == answer(packet)


def test_the_names_letters_come_back_as_they_were():
    """Resolvers mix capitals into a name and want to see the same ones again."""
    packet = query("CaPtIvE.aPpLe.CoM")
    assert b"\7CaPtIvE\5aPpLe\3CoM\0" in (answer(packet) or b"")
    binary = query("")[:12] + b"\3\0\xff.\0" + b"\0\1\0\1"
    assert looked_at(answer(binary), binary) == (0, ADDRESS)


@pytest.mark.parametrize("wanted", [0x0100, 0x0000])
def test_whether_recursion_was_wanted_comes_back(wanted):
    reply = answer(query(flags=wanted))
    assert struct.unpack("!H", reply[2:4])[0] & 0x0100 == wanted


MALFORMED = {
    "nothing": b"",
    "one byte": b"\0",
    "half a head": query()[:7],
    "a head alone": query()[:12],
    "no end of the name": query()[:20],
    "no type": query()[:-4],
    "half a class": query()[:-1],
    "a label beyond the end": query()[:12] + b"\x3f" + b"a" * 10,
    "a pointer as name": query()[:12] + b"\xc0\x0c\0\1\0\1",
    "a pointer behind a label": query()[:12] + b"\1a\xc0\x0c\0\1\0\1",
    "a label of 64": query()[:12] + b"\x40" + b"a" * 64 + b"\0\0\1\0\1",
    "a label of an unknown kind": query()[:12] + b"\x80aa\0\0\1\0\1",
    "a name of 256": query()[:12] + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1",
    "labels without end": query()[:12] + b"\1a" * 240,
    "no question": query(counts=(0, 0, 0, 0)),
    "two questions": query(counts=(2, 0, 0, 0), more=name("b.de") + b"\0\1\0\1"),
    "65535 questions": query(counts=(65535, 0, 0, 0)),
    "an answer in it": query(counts=(1, 1, 0, 0)),
    "an authority in it": query(counts=(1, 0, 1, 0)),
    "an answer": query(flags=0x8180),
    "an inverse query": query(flags=0x0900),
    "a status query": query(flags=0x1000),
    "a notify": query(flags=0x2000),
    "an update": query(flags=0x2800),
}


@pytest.mark.parametrize("packet", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_plain_question_gets_no_answer(packet):
    assert answer(packet) is None


def test_every_beginning_of_a_question_is_borne():
    packet = query(counts=(1, 0, 0, 1), more=EDNS)
    whole = len(packet) - len(EDNS)
    for n in range(len(packet)):
        assert (answer(packet[:n]) is None) == (n < whole)


def check(packet):
    """The reply, if any, is as it should be and hardly larger than what was asked."""
    reply = answer(packet)
    if reply is not None:
        looked_at(reply, packet)
        assert len(reply) <= len(packet) + 16


@given(st.binary(max_size=600))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_borne(packet):
    check(packet)


@given(st.binary(max_size=80), st.sampled_from([A, AAAA, HTTPS]), st.integers(0, 65535))
@settings(max_examples=500, deadline=None)
def test_any_name_and_any_flags_are_borne(labels, kind, flags):
    check(query(flags=flags)[:12] + labels + b"\0" + struct.pack("!HH", kind, 1))


def test_a_hundred_thousand_broken_packets_are_borne():
    chance = random.Random(20261121)
    whole = [
        query(),
        query("a.b.c.d.e", HTTPS),
        query("x" * 63 + ".local", AAAA, counts=(1, 0, 0, 1), more=EDNS),
    ]
    answered = 0
    for _ in range(100_000):
        packet = bytearray(chance.choice(whole))
        for _ in range(chance.randrange(4)):
            what = chance.randrange(4)
            at = chance.randrange(len(packet)) if packet else 0
            if what == 0 and packet:
                packet[at] = chance.randrange(256)
            elif what == 1:
                del packet[at:]
            elif what == 2:
                packet[at:at] = chance.randbytes(chance.randrange(8))
            elif packet:
                packet[at] ^= 1 << chance.randrange(8)
        check(bytes(packet))
        answered += answer(bytes(packet)) is not None
    assert 20_000 < answered < 90_000  # both ways are walked


class Socket:
    """A UDP socket with these packets in it; `sent` is what went out."""

    def __init__(self, packets, sends=True):
        self.packets, self.sends, self.sent = list(packets), sends, []

    def recvfrom(self, size):
        if not self.packets:
            raise OSError(11)
        return self.packets.pop(0)[:size], ("192.168.4.2", 5353)

    def sendto(self, data, where):
        if not self.sends:
            raise OSError(12)
        self.sent.append((data, where))


def test_the_socket_is_served_without_waiting():
    sock = Socket([query(), b"rubbish", query(kind=AAAA)])
    captive.serve(sock, ADDRESS)
    assert [data for data, _ in sock.sent] == [answer(query()), answer(query(kind=AAAA))]
    assert {where for _, where in sock.sent} == {("192.168.4.2", 5353)}


def test_a_flood_does_not_keep_the_loop_to_itself():
    sock = Socket([query()] * 100)
    captive.serve(sock, ADDRESS)
    assert 0 < len(sock.sent) < 10


def test_a_reply_that_does_not_go_out_is_no_trouble():
    captive.serve(Socket([query(), query()], sends=False), ADDRESS)
