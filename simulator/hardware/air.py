"""Stands for the firmware's `socket`: what its sockets meet in the air around the plug.

Without WiFi a connect finds no route, and what is connected neither gets nor gives a byte until it
is back, as if packets were lost; what the plug itself serves is reached through its access point
too. Ports below 1024 are the chip's, not this PC's: a bind to one takes a free port of 127.0.0.1.
A route (see silicon.py) leads to who stands for another host. Everything else is the real thing.
"""

import socket as _real
from socket import *  # noqa: F403  (constants and getaddrinfo, on both Pythons)

import silicon

_OUT_OF_AIR = "send sendto write recv recvfrom recv_into recvfrom_into read readinto accept"


class socket:
    _kind = "tcp"
    _serves = False  # takes what comes to the plug, on whichever network that is
    _low = 0  # the port below 1024 that it has
    _routed = ()  # the address that it knows, and where that really is

    def __init__(self, *kind, accepted=None):
        self._socket = accepted or _real.socket(*kind)
        if accepted:
            self._serves = True
        if len(kind) > 1 and kind[1] == _real.SOCK_DGRAM:
            self._kind = "udp"

    def __getattr__(self, name):
        if silicon.status() != 5 and not (self._serves and silicon.active[1]):  # STAT_GOT_IP
            if name == "connect":
                raise OSError(113, "no WiFi")  # EHOSTUNREACH
            if name in _OUT_OF_AIR.split():
                raise OSError(11, "no WiFi")  # EAGAIN
        return getattr(self._socket, name)

    def bind(self, where):
        port = _port(where)
        self._serves = True
        low = 0 < port < 1024
        self._socket.bind(_here(silicon.bound(self._kind, port)) if low else where)
        self._low = low and port
        if low and self._kind == "udp":
            silicon.opened("udp", port)

    def listen(self, *backlog):
        self._socket.listen(*backlog)
        if self._low:
            silicon.opened("tcp", self._low)

    def accept(self):
        line, sender = self.__getattr__("accept")()
        return socket(accepted=line), sender

    def connect(self, where):
        self.__getattr__("connect")(_routed(where))

    def sendto(self, data, where):
        real = _routed(where)
        if real is not where:
            self._routed = (where, real)
        return self.__getattr__("sendto")(data, real)

    def recvfrom(self, size):
        data, sender = self.__getattr__("recvfrom")(size)
        if self._routed and sender == self._routed[1]:
            sender = self._routed[0]
        return data, sender

    def close(self):
        self._socket.close()
        if self._low:
            silicon.freed(self._kind, self._low)
            self._low = 0


def _here(port):
    return _real.getaddrinfo("127.0.0.1", port)[0][-1]


def _port(where):
    # MicroPython on Linux has addresses as the kernel's bytes.
    return where[1] if isinstance(where, tuple) else where[2] << 8 | where[3]


def _routed(where):
    routes = silicon.routes
    if not routes:
        return where
    if not isinstance(where, tuple):
        key = bytes(where[2:8])
    elif where[0].replace(".", "").isdigit():
        key = bytes([where[1] >> 8, where[1] & 255] + [int(part) for part in where[0].split(".")])
    else:
        return where
    for at in range(0, len(routes), 8):
        known = routes[at : at + 6]
        if known == key or known == bytes(6) and key[2] != 127:
            return _here(routes[at + 6] << 8 | routes[at + 7])
    return where
