"""One TCP port of the virtual Pi: it can do whatever a port of a real one was seen to do.

Changing what it does is immediate and never waits, so that a relay that opens can do it.
"""

import asyncio
import errno
import socket
import struct

OPEN = "open"  # accepts, and serves
HANG = "hang"  # accepts, and never says a word
RESET = "reset"  # accepts, and resets
REFUSED = "refused"  # nothing listens
SILENT = "silent"  # not one packet comes back, as from a host without power

_NO_LINGER = struct.pack("ii", 1, 0)  # close() then sends RST

WAYS = (OPEN, HANG, RESET, REFUSED, SILENT)


class Door:
    """A listening port; `serve(reader, writer)` is called for every connection while it is open.

    Call `open()` inside a running loop. `port` is the number it got. OSError if the port is taken.
    """

    def __init__(self, serve, port=0, host="127.0.0.1"):
        self.serve, self.host, self.port = serve, host, port
        self.way = REFUSED
        self.accepted = 0
        self._listener = None
        self._fillers = []
        self._talks = set()
        # what serve() raised that was not a connection's end: a test wants it empty
        self.errors = []

    def open(self, way=OPEN):
        self._bind()
        self.set(way)

    def set(self, way):
        """Behave that way from now on, towards open connections too."""
        if way not in WAYS:
            raise ValueError(f"way: one of {', '.join(WAYS)}")
        if way == self.way or self._listener is None:
            return
        loop = asyncio.get_running_loop()
        before, self.way = self.way, way
        if before != REFUSED:
            loop.remove_reader(self._listener)
        if before == SILENT:
            self._drain()
        if way in (SILENT, HANG):
            self._freeze()
        elif way != OPEN or before in (SILENT, HANG):
            self._drop()
        if way == SILENT:
            self._mute()
            return
        if way == REFUSED:
            self._listener.close()
            self._bind()
            return
        self._listener.listen(128)
        loop.add_reader(self._listener, self._accept)

    def close(self):
        """Let go of the port and of every connection."""
        if self._listener is None:
            return
        if self.way != REFUSED:
            asyncio.get_running_loop().remove_reader(self._listener)
        self._drop()
        self._listener.close()
        self._listener = None
        for filler in self._fillers:
            filler.close()
        self._fillers = []
        self.way = REFUSED

    def _bind(self):
        # Bound and not listening: the kernel refuses, and the port stays ours.
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind((self.host, self.port))
        except OSError:
            self._listener.close()
            self._listener = None
            raise
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]

    def _mute(self):
        """Have the kernel drop every SYN: a queue of length 0 that is full."""
        self._listener.listen(0)
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((self.host, self.port))
            self._fillers.append(filler)

    def _drain(self):
        for filler in self._fillers:
            filler.close()
        self._fillers = []
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            _reset(connection)

    def _accept(self):
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.ECONNABORTED, errno.EMFILE):
                return
            raise
        self.accepted += 1
        connection.setblocking(False)
        if self.way == RESET:
            _reset(connection)
            return
        talk = _Talk(connection)
        self._talks.add(talk)
        if self.way == OPEN:
            talk.task = asyncio.get_running_loop().create_task(self._talk(talk))
            talk.task.add_done_callback(lambda _: self._over(talk))

    async def _talk(self, talk):
        reader, talk.writer = await asyncio.open_connection(sock=talk.connection)
        await self.serve(reader, talk.writer)
        talk.writer.close()
        await talk.writer.wait_closed()

    def _over(self, talk):
        """The task of this connection has ended, however."""
        if talk.frozen:
            return
        if talk.task is not None and not talk.task.cancelled():
            error = talk.task.exception()
            if error is not None and not isinstance(error, (OSError, EOFError)):
                self.errors.append(error)
        self._talks.discard(talk)
        talk.abort()

    def _freeze(self):
        """Open connections stay as they are, without another byte: the host lost its power."""
        for talk in self._talks:
            talk.frozen = True
            if talk.writer is not None:
                talk.writer.transport.pause_reading()
            if talk.task is not None:
                talk.task.cancel()

    def _drop(self):
        talks, self._talks = self._talks, set()
        for talk in talks:
            if talk.task is not None:
                talk.task.cancel()
            talk.reset = True
            talk.abort()


class _Talk:
    """One accepted connection."""

    def __init__(self, connection):
        self.connection = connection
        self.writer = self.task = None
        self.frozen = self.reset = False

    def abort(self):
        """Close it: with RST if `reset`, else as whoever served it left it."""
        if self.writer is None:
            if self.connection.fileno() >= 0:
                _reset(self.connection)
        elif self.connection.fileno() >= 0:
            if self.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            self.writer.transport.abort()


def _reset(connection):
    """Close with RST instead of FIN."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    finally:
        connection.close()
