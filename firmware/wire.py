"""A TCP connection on the loop that never blocks.

The socket is non-blocking and is simply asked again after a short sleep, so the deadline stands
in one place, nothing has to be cancelled, and the same lines run on MicroPython and CPython. Every
failure is an OSError whose first argument is the errno; a deadline that passed is ETIMEDOUT.
Whoever opens a wire closes it in a `finally`.
"""

import socket
from asyncio import sleep_ms
from time import ticks_add, ticks_diff, ticks_ms

_STEP_MS = const(20)
# The numbers are Linux's, and MicroPython uses the same ones on every port.
_EBADF = const(9)
_EAGAIN = const(11)
_EISCONN = const(106)
_ETIMEDOUT = const(110)
_EALREADY = const(114)
_EINPROGRESS = const(115)


def _step(end):  # to be awaited; a coroutine of its own would take heap each time
    if ticks_diff(end, ticks_ms()) <= 0:
        raise OSError(_ETIMEDOUT)
    return sleep_ms(_STEP_MS)


class Wire:
    """One TCP connection. All times are milliseconds."""

    sock = None

    async def open(self, address, port, ms):
        """Connect to `address` (dotted text: a name would block) within `ms`, or raise OSError."""
        self.close()
        where = socket.getaddrinfo(address, port)[0][-1]
        self.sock = sock = socket.socket()
        sock.setblocking(False)
        end = ticks_add(ticks_ms(), ms)
        while True:
            # Asking again tells how far it is. Polling for "writable" does not: lwIP, the network
            # stack of the ESP8266, calls a socket writable while it is still connecting.
            try:
                sock.connect(where)
                return
            except OSError as error:
                number = error.args[0]
                if number == _EISCONN:
                    return
                if number == _EBADF:
                    sock.recv(1)  # lwIP tells why a connect failed only to a reader
                if number not in (_EINPROGRESS, _EALREADY, _EAGAIN):
                    raise
            await _step(end)

    async def send(self, data, ms):
        """Send all of `data` (bytes-like) within `ms`, or raise OSError."""
        end = ticks_add(ticks_ms(), ms)
        while data:
            try:
                data = data[self.sock.send(data) :]
            except OSError as error:
                if error.args[0] != _EAGAIN:
                    raise
                await _step(end)

    def read_now(self, buf):
        """Read what is there into `buf`: bytes read, 0 at the end, None when nothing came yet."""
        try:
            # MicroPython's readinto needs no heap; CPython has it under another name.
            return (getattr(self.sock, "readinto", None) or self.sock.recv_into)(buf)  # type: ignore
        except OSError as error:
            if error.args[0] != _EAGAIN:
                raise

    async def readinto(self, buf, ms):
        """Read into `buf` within `ms`: bytes read (1 or more), or 0 at the end; else OSError."""
        end = ticks_add(ticks_ms(), ms)
        await sleep_ms(0)  # a sender who never pauses must not keep the loop to himself
        while True:
            n = self.read_now(buf)
            if n is not None:
                return n
            await _step(end)

    def close(self):
        """Let go of the socket; may be called at any time, any number of times."""
        if self.sock:
            self.sock.close()
            self.sock = None
