"""A connection waits for nobody: every way one goes, and that none leaves a socket behind."""

import asyncio
import errno
import os

import pytest

from fakes_net import Server, free_port, later, open_files, reset
from servers import Silent
from wire import Wire


@pytest.fixture(autouse=True)
def no_socket_is_left():
    before = open_files()
    yield
    assert open_files() == before


async def failure(coroutine):
    """The errno a call fails with, and after how many seconds."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    with pytest.raises(OSError) as caught:
        await coroutine
    return caught.value.args[0], loop.time() - start


class Wired:
    """A Wire connected to a server that does `play`."""

    def __init__(self, play):
        self.server = Server(play)

    async def __aenter__(self):
        await self.server.__aenter__()
        self.wire = Wire()
        await self.wire.open("127.0.0.1", self.server.port, 1000)
        return self.wire

    async def __aexit__(self, *_):
        self.wire.close()
        await self.server.__aexit__()
        await later(0.1)


@pytest.mark.looptime
async def test_what_is_sent_arrives_and_what_comes_is_read_to_the_end():
    async def play(reader, writer):
        writer.write(b"got " + await reader.readexactly(5))

    async with Wired(play) as wire:
        await wire.send(b"hello", 1000)
        buf = bytearray(6)
        assert await wire.readinto(buf, 1000) == 6 and buf == b"got he"
        assert await wire.readinto(buf, 1000) == 3 and buf[:3] == b"llo"
        assert await wire.readinto(buf, 1000) == 0


@pytest.mark.looptime
async def test_more_than_the_kernel_takes_at_once_goes_out_whole():
    data = os.urandom(3_000_000)
    got = []

    async def play(reader, writer):
        await asyncio.sleep(1)
        got.append(await reader.readexactly(len(data)))

    async with Wired(play) as wire:
        await wire.send(memoryview(data), 60_000)
        while not got:
            await later(0.1)
    assert got == [data]


@pytest.mark.looptime
async def test_a_reader_who_does_not_read_ends_the_send_at_its_deadline():
    async with Wired(lambda reader, writer: asyncio.sleep(1000)) as wire:
        number, seconds = await failure(wire.send(bytes(20_000_000), 3000))
        assert number == errno.ETIMEDOUT and 3 <= seconds < 3.2


@pytest.mark.looptime
async def test_silence_ends_the_read_at_its_deadline_and_not_the_connection():
    async def play(reader, writer):
        await asyncio.sleep(5)
        writer.write(b"x")
        await asyncio.sleep(1000)

    async with Wired(play) as wire:
        buf = bytearray(4)
        assert wire.read_now(buf) is None
        number, seconds = await failure(wire.readinto(buf, 2000))
        assert number == errno.ETIMEDOUT and 2 <= seconds < 2.2
        assert await wire.readinto(buf, 5000) == 1
        assert wire.read_now(buf) is None


@pytest.mark.looptime
async def test_a_silent_host_ends_the_connect_at_its_deadline():
    silent = Silent(free_port())
    try:
        wire = Wire()
        port = silent.sockets[0].getsockname()[1]
        number, seconds = await failure(wire.open("127.0.0.1", port, 4000))
        assert number == errno.ETIMEDOUT and 4 <= seconds < 4.2
        wire.close()
    finally:
        silent.close()


@pytest.mark.looptime
async def test_a_closed_port_refuses_at_once():
    wire = Wire()
    number, seconds = await failure(wire.open("127.0.0.1", free_port(), 4000))
    assert number == errno.ECONNREFUSED and seconds < 0.2
    wire.close()


@pytest.mark.looptime
async def test_a_reset_is_an_error_and_no_end():
    async def play(reader, writer):
        await reader.read(1)
        reset(writer)

    async with Wired(play) as wire:
        await wire.send(b"x", 1000)
        assert (await failure(wire.readinto(bytearray(4), 1000)))[0] == errno.ECONNRESET


async def test_a_sender_who_never_pauses_leaves_the_loop_to_others():
    class Full:
        recv_into = len

    turns = 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    wire = Wire()
    wire.sock = Full()
    for _ in range(100):
        assert await wire.readinto(bytearray(128), 1000) == 128
    assert turns >= 100
    task.cancel()


@pytest.mark.looptime
async def test_a_cancelled_wait_leaves_the_wire_to_be_closed():
    async with Wired(lambda reader, writer: asyncio.sleep(1000)) as wire:
        task = asyncio.create_task(wire.readinto(bytearray(1), 60_000))
        await later(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        wire.close()
        wire.close()


@pytest.mark.looptime
async def test_opening_again_closes_what_was_open():
    def play(reader, writer):
        return reader.read()

    async with Wired(play) as wire, Server(play) as other:
        await wire.open("127.0.0.1", other.port, 1000)
        await later(0.1)
        assert other.calls == 1
        wire.close()
        await later(0.1)


# --- lwIP, the plug's network stack, tells things in its own way --------------------------------


class Lwip:
    """A socket that connects as lwIP's does: each call to connect() raises the next number."""

    def __init__(self, *numbers, why=errno.ECONNRESET):
        self.numbers, self.why, self.closed = list(numbers), why, False

    def setblocking(self, on):
        assert not on

    def connect(self, where):
        raise OSError(self.numbers.pop(0))

    def recv(self, n):
        raise OSError(self.why)

    def close(self):
        self.closed = True


async def lwip(monkeypatch, sock):
    monkeypatch.setattr("wire.socket.socket", lambda: sock)
    wire = Wire()
    try:
        await wire.open("127.0.0.1", 80, 4000)
    finally:
        monkeypatch.undo()
        wire.close()
        assert sock.closed


@pytest.mark.looptime
async def test_on_lwip_a_connection_is_there_when_it_says_so(monkeypatch):
    numbers = errno.EINPROGRESS, errno.EALREADY, errno.EALREADY, errno.EISCONN
    await lwip(monkeypatch, Lwip(*numbers))


@pytest.mark.looptime
@pytest.mark.parametrize("why", (errno.ECONNRESET, errno.ECONNABORTED))
async def test_on_lwip_why_it_failed_comes_from_reading(monkeypatch, why):
    sock = Lwip(errno.EINPROGRESS, errno.EBADF, why=why)
    assert (await failure(lwip(monkeypatch, sock)))[0] == why


@pytest.mark.looptime
async def test_on_lwip_a_connect_that_stays_underway_ends_at_its_deadline(monkeypatch):
    sock = Lwip(errno.EINPROGRESS, *[errno.EALREADY] * 1000)
    number, seconds = await failure(lwip(monkeypatch, sock))
    assert number == errno.ETIMEDOUT and 4 <= seconds < 4.2
