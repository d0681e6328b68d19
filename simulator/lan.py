"""The house around the plug: what is on the air, who is where on its network, what names mean.

The addresses are those of an ordinary home, so that whoever sets the plug up enters what he would
at home; behind them stand ports of 127.0.0.1. Unless a real OctoPrint or broker was asked for,
nothing the plug sends leaves this PC: whatever else it calls is silent.
"""

import asyncio
import socket
import struct

from .hardware.virtual import (
    NETWORKS,
    STAT_CONNECT_FAIL,
    STAT_CONNECTING,
    STAT_GOT_IP,
    STAT_NO_AP_FOUND,
    STAT_WRONG_PASSWORD,
)

ROUTER, PI, BROKER, PLUG = "192.168.1.1", "192.168.1.20", "192.168.1.30", "192.168.1.57"
NAMES = {"octopi.local": PI, "octopi": PI, "broker.local": BROKER, "broker": BROKER}
MDNS = ("224.0.0.251", 5353)

NAME, PASSWORD = "workshop", "filament"  # the network to join
HIDDEN = "attic"  # the same, told by no scan

# What joining a network may come to.
JOINS = {
    "ok": STAT_GOT_IP,
    "wrong password": STAT_WRONG_PASSWORD,
    "not found": STAT_NO_AP_FOUND,
    "connect fail": STAT_CONNECT_FAIL,
    "no address": STAT_CONNECTING,
}


def _found(names, first):
    return [
        (name, b"\x02\0\0\0\x01" + bytes((n,)), 1 + n % 13, first - 2 * n, 3, False)
        for n, name in enumerate(names)
    ]


# Names that some owner of an access point thought up to break whoever shows them.
HOSTILE = [
    b"'\"><img src=x onerror=alert(1)>",
    b"</option></select><h1>gone</h1>",
    b"&lt;b&gt; &amp;amp; &#x27; &",
    b"%s %d %n {0} {} ${x} \\u0041",
    b"a\r\nSet-Cookie: s=1\r\n\r\n<p>",
    b"\0\x01\x1b[31m\x7f",
    b"\xff\xfe\xc3\x28 no UTF-8",
    "\u202egnp.efas \U0001f600\U0001f4a9".encode(),
    "ÄÖÜß漢字漢字漢字漢".encode(),  # 32 bytes
    b"x" * 32,
    b" two  spaces ",
    b"+%2B&ssid=other",
]

AIRS = {
    "plain": [
        *NETWORKS,
        *_found([b"guests", b"telephone", b"garage"], -64),
    ],
    "hostile": [*NETWORKS, *_found(HOSTILE, -40)],
    "nothing": [],
}


def on_the_air(wifi, air="plain"):
    """Let a virtual.Wifi be in this house."""
    wifi.networks = list(AIRS[air])
    wifi.only_these = True
    wifi.hidden = (HIDDEN,)
    wifi.address = (PLUG, "255.255.255.0", ROUTER, ROUTER)
    wifi.passwords = {NAME: PASSWORD, HIDDEN: PASSWORD, "FRITZ!Box 7590": "nobody knows it"}
    wifi.outcomes = {
        "guests": STAT_CONNECTING,
        "telephone": STAT_NO_AP_FOUND,
        "garage": STAT_CONNECT_FAIL,
    }


def routes(hosts, nobody=None):
    """`hosts`: {(address, port): port of 127.0.0.1} as hardware/silicon.py has them.

    nobody: the port for every other address outside 127.0.0.0; None lets them through.
    """
    packed = b"".join(
        struct.pack(">H4sH", port, socket.inet_aton(address), here)
        for (address, port), here in hosts.items()
    )
    return packed if nobody is None else packed + struct.pack(">6xH", nobody)


class Resolver(asyncio.DatagramProtocol):
    """The router's name server, and whoever answers for `.local`. `asked`: the names, in order."""

    def __init__(self, names):
        self.names, self.asked = names, []
        self.port = 0

    async def start(self):
        loop = asyncio.get_running_loop()
        where = ("127.0.0.1", 0)
        self.transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=where)
        self.port = self.transport.get_extra_info("sockname")[1]

    def stop(self):
        self.transport.close()

    def datagram_received(self, data, addr):
        answer = self._answer(data)
        if answer:
            self.transport.sendto(answer, addr)

    def _answer(self, query):
        # One question, as the plug asks it; everything else is not for us.
        at, labels = 12, []
        try:
            while query[at]:
                labels.append(query[at + 1 : at + 1 + query[at]])
                at += 1 + query[at]
            (kind,) = struct.unpack_from(">H", query, at + 1)
            name = b".".join(labels).decode().lower()
        except (IndexError, struct.error, UnicodeDecodeError):
            return None
        self.asked.append(name)
        address = self.names.get(name)
        if address is None and name.endswith(".local"):
            return None  # nobody feels meant
        found = address is not None and kind == 1
        head = struct.pack(">HHHHH", 0x8180 if address else 0x8183, 1, found, 0, 0)
        record = struct.pack(">HHHIH4s", 0xC00C, 1, 1, 60, 4, socket.inet_aton(address or ROUTER))
        return query[:2] + head + query[12 : at + 5] + (record if found else b"")
