"""A name becomes an address whatever the network answers, or an OSError."""

import asyncio
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import names
from fakes_net import later, open_files

A, CNAME, AAAA = 1, 5, 28


def packed(name):
    return b"".join(bytes((len(p),)) + p.encode() for p in name.split(".")) + b"\0"


def record(name, kind, data, klass=1):
    name = name if isinstance(name, bytes) else packed(name)
    return name + struct.pack(">HHIH", kind, klass, 60, len(data)) + data


def address(text):
    return bytes(int(part) for part in text.split("."))


def answer(query, *records, flags=0x8180, questions=1, count=None, more=b""):
    """A reply to `query` with these answers; count: how many it claims to have."""
    head = query[:2] + struct.pack(">HHHHH", flags, questions, count or len(records), 0, 0)
    return head + query[12:] * questions + b"".join(records) + more


class Resolver(asyncio.DatagramProtocol):
    """A DNS server for `async with`; `play(query)` gives the packets to send back."""

    def __init__(self, play):
        self.play, self.asked = play, []

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        where = ("127.0.0.1", 0)
        self.transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=where)
        self.port = self.transport.get_extra_info("sockname")[1]
        return self

    def datagram_received(self, data, addr):
        self.asked.append((asyncio.get_running_loop().time(), data))
        for packet in self.play(data):
            self.transport.sendto(packet, addr)

    async def __aexit__(self, *_):
        self.transport.close()
        await asyncio.sleep(0.1)


async def resolve(play, host="pi.example.org", ms=3000):
    before = open_files()
    try:
        async with Resolver(play) as server:
            return await names.resolve(host, "127.0.0.1", ms, server.port)
    finally:
        await later(0.1)
        assert open_files() == before


async def test_an_address_needs_nobody():
    for text in ("192.168.1.20", "127.0.0.1", "10.0.0.255"):
        assert await names.resolve(text, "") == text


@pytest.mark.looptime
async def test_a_name_is_asked_of_the_resolver():
    asked = []

    def play(query):
        asked.append(query)
        yield answer(query, record(b"\xc0\x0c", A, address("10.1.2.3")))

    assert await resolve(play, "Pi.Example.org.") == "10.1.2.3"
    assert asked[0][2:] == struct.pack(">HHHHH", 0x100, 1, 0, 0, 0) + packed("pi.example.org") + (
        b"\0\1\0\1"
    )


@pytest.mark.looptime
@pytest.mark.parametrize("turned", (False, True))
async def test_other_names_for_it_are_followed(turned):
    records = [
        record("pi.example.org", CNAME, packed("a.example.org")),
        record("a.example.org", CNAME, packed("b.example.org")),
        record("other.example.org", A, address("6.6.6.6")),
        record("b.example.org", AAAA, bytes(16)),
        record("b.example.org", A, address("10.1.2.3")),
    ]
    if turned:
        records.reverse()
    assert await resolve(lambda query: [answer(query, *records)]) == "10.1.2.3"


@pytest.mark.looptime
async def test_a_lost_question_is_asked_again():
    seen = []

    def play(query):
        seen.append(query)
        if len(seen) == 3:
            yield answer(query, record("pi.example.org", A, address("10.1.2.3")))

    assert await resolve(play) == "10.1.2.3"
    assert len(set(seen)) == 1


GOOD = record("pi.example.org", A, address("10.1.2.3"))
EVIL = record("pi.example.org", A, address("6.6.6.6"))
HOSTILE = {
    "nothing": lambda q: b"",
    "a question": lambda q: answer(q, EVIL, flags=0x0100),
    "another id": lambda q: bytes((q[0] ^ 1,)) + answer(q, EVIL)[1:],
    "another question": lambda q: answer(q[:12] + packed("x.org") + q[-4:], EVIL),
    "two questions": lambda q: answer(q, EVIL, questions=2),
    "another name": lambda q: answer(q, record("x.org", A, address("6.6.6.6"))),
    "another class": lambda q: answer(q, record("pi.example.org", A, address("6.6.6.6"), 3)),
    "no address": lambda q: answer(q),
    "short address": lambda q: answer(q, record("pi.example.org", A, b"\6\6\6")),
    "a name pointing at itself": lambda q: answer(q, record(b"\xc0\x20", A, address("6.6.6.6"))),
    "a name pointing ahead": lambda q: answer(q, record(b"\xc0\xff", A, address("6.6.6.6"))),
    "names in a circle": lambda q: answer(
        q, record("pi.example.org", CNAME, packed("pi.example.org"))
    ),
    "a label too long": lambda q: answer(q, record(b"\x7fx" * 60, A, address("6.6.6.6"))),
    "cut short": lambda q: answer(q, EVIL)[:-1],
    "more claimed than there is": lambda q: answer(q, count=9999),
    "a size that leads outside": lambda q: answer(q, b"\xc0\x0c\0\1\0\1\0\0\0\0\xff\xff"),
}


@pytest.mark.looptime
@pytest.mark.parametrize("what", HOSTILE)
async def test_a_hostile_packet_is_no_answer_and_hides_none(what):
    assert await resolve(lambda query: [HOSTILE[what](query), answer(query, GOOD)]) == "10.1.2.3"
    with pytest.raises(OSError, match="name not found: pi.example.org"):
        await resolve(lambda query: [HOSTILE[what](query)] * 3, ms=1500)


@pytest.mark.looptime
async def test_no_such_name_is_told_at_once():
    loop = asyncio.get_running_loop()
    start = loop.time()
    with pytest.raises(OSError, match="name not found"):
        await resolve(lambda query: [answer(query, flags=0x8183)])
    assert loop.time() - start < 1


@pytest.mark.looptime
async def test_a_silent_resolver_costs_three_seconds():
    loop = asyncio.get_running_loop()
    start = loop.time()
    with pytest.raises(OSError, match="name not found"):
        await resolve(lambda query: [])
    assert 3 <= loop.time() - start < 3.5


@pytest.mark.parametrize("host", ("", ".", "a..b", "x" * 64 + ".org", ".".join(["abcdefgh"] * 40)))
async def test_what_is_no_name_is_not_asked(host):
    with pytest.raises(OSError):
        await names.resolve(host, "127.0.0.1", 100, 9)


async def test_without_a_resolver_there_are_no_names():
    for dns in ("", "x", "1.2.3", None):
        with pytest.raises(OSError, match="no DNS server"):
            await names.resolve("pi.example.org", dns or "", 100)


@pytest.mark.looptime
@pytest.mark.parametrize("id", (b"", b"\0\0"), ids=("our id", "id 0"))
@pytest.mark.parametrize("questions", (0, 1))
async def test_local_names_are_asked_of_everybody(monkeypatch, id, questions):
    def play(query):
        assert query[-4:] == b"\0\1\x80\1"  # answer me alone
        found = record("OctoPi.local", A, address("10.1.2.3"), 0x8001)
        yield id + answer(query, found, questions=questions, flags=0x8400)[len(id) :]

    async with Resolver(play) as everybody:
        monkeypatch.setattr(names, "MDNS", ("127.0.0.1", everybody.port))
        assert await names.resolve("octopi.local", "") == "10.1.2.3"


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import asyncio, names

async def main():
    names.MDNS = ("127.0.0.1", int(sys.argv[2]))
    for host in "pi.example.org", "octopi.local", "nobody.example.org", "192.168.1.20":
        try:
            print(await names.resolve(host, "127.0.0.1", 1500, int(sys.argv[2])))
        except OSError as error:
            print(error)

asyncio.run(main())
"""


@pytest.mark.real
async def test_micropython_finds_the_same(micropython, tmp_path):
    def play(query):
        yield b"garbage"
        yield answer(query, EVIL)[:-1]
        if b"nobody" in query:
            yield answer(query, flags=0x8183)
        else:
            yield answer(query, record(b"\xc0\x0c", A, address("10.1.2.3")))

    script = tmp_path / "resolve.py"
    script.write_text(SCRIPT)
    async with Resolver(play) as server:
        process = await asyncio.create_subprocess_exec(
            *(micropython, "-X", "heapsize=100k", script, Path(names.__file__).parent),
            str(server.port),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
    found = ["10.1.2.3", "10.1.2.3", "name not found: nobody.example.org", "192.168.1.20"]
    assert out.decode().splitlines() == found


@given(st.binary(max_size=200), st.booleans())
@settings(max_examples=1000, deadline=None)
def test_no_packet_raises_anything_unexpected(data, started):
    query = b"\1\2\1\0\0\1\0\0\0\0\0\0" + packed("pi.local") + b"\0\1\0\1"
    packet = answer(query, more=data, count=3) if started else data
    try:
        found = names._address(packet, b"pi.local")
        assert found is None or len(found.split(".")) == 4
    except (OSError, IndexError, ValueError):
        pass  # what resolve() turns into waiting on, or into an OSError
