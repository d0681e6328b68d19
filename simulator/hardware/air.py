"""Stands for the firmware's `socket`: what happens to its sockets without WiFi.

A connect finds no route; what is already connected neither gets nor gives a byte until the WiFi is
back, as if packets were lost. Everything else is the real thing.
"""

import socket as _real
from socket import *  # noqa: F403  (constants and getaddrinfo, on both Pythons)

import silicon

_OUT_OF_AIR = "send sendto write recv recvfrom recv_into recvfrom_into read readinto"


class socket:
    def __init__(self, *kind):
        self._socket = _real.socket(*kind)

    def __getattr__(self, name):
        if silicon.status() != 5:  # STAT_GOT_IP
            if name == "connect":
                raise OSError(113, "no WiFi")  # EHOSTUNREACH
            if name in _OUT_OF_AIR.split():
                raise OSError(11, "no WiFi")  # EAGAIN
        return getattr(self._socket, name)
