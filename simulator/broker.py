"""An MQTT broker inside the simulator, and every way one was seen to go wrong.

amqtt does the work; in front of it stands a door of our own, so that the port can be silent,
refuse, or say half a packet. `log` has every message that came in.
"""

import asyncio
import logging
import secrets
import time
from collections import deque

from amqtt.broker import Broker as Amqtt
from amqtt.plugins.base import BasePlugin

from .door import HANG, OPEN, REFUSED, RESET, SILENT, Door

MODES = {
    "ok": "works",
    "hang": "accepts a connection and never says a word: no CONNACK",
    "reset": "accepts a connection and resets it",
    "refused": "nothing listens",
    "silent": "not one packet comes back",
    "half": "half a CONNACK, then nothing more",
    "huge": "a packet that says it is 268 MB long",
    "garbage": "bytes that are not MQTT",
    "no_entry": "CONNACK: not authorised",
}

_PORT = {"hang": HANG, "reset": RESET, "refused": REFUSED, "silent": SILENT}
_SAID = {
    "half": b"\x20\x02",
    "huge": b"\x20\x02\x00\x00\x30\xff\xff\xff\x7f\x00\x01x",
    "no_entry": b"\x20\x02\x00\x05",
}


class Watch(BasePlugin):
    """Tells `heard` of every message."""

    heard = None

    async def on_broker_message_received(self, *, client_id, message):
        if self.heard is not None and message is not None:
            self.heard(client_id, message)


class Broker:
    """One broker on one port; 0 = any free one, kept over a restart.

    log: (ms, client, topic, payload as bytes, retain) of every message that came in.
    """

    def __init__(self, port=0, clock=None):
        self.clock = clock or (lambda: time.monotonic_ns() // 1_000_000)
        self.log = deque(maxlen=10000)
        self.listeners = []  # called with each entry of the log
        self.door = Door(self._serve, port)
        self._mode = "ok"
        self._amqtt = self._inside = None
        logging.getLogger("amqtt").setLevel(logging.CRITICAL)  # what a plug sends is not our news
        logging.getLogger("transitions").setLevel(logging.ERROR)

    @property
    def port(self):
        return self.door.port

    @property
    def mode(self):
        return self._mode

    @mode.setter
    def mode(self, mode):
        if mode not in MODES:
            raise ValueError(f"mode: one of {', '.join(MODES)}")
        self._mode = mode
        self.door.set(_PORT.get(mode, OPEN))

    @property
    def retained(self):
        """{topic: payload as bytes}."""
        if self._amqtt is None:
            return {}
        return {topic: bytes(m.data) for topic, m in self._amqtt.retained_messages.items()}

    async def start(self):
        """Listen. OSError if the port is taken."""
        if self.door.port == 0 or self.door.way == REFUSED:
            self.door.open(REFUSED)
        await self._start()
        self.mode = self._mode

    async def _start(self):
        plugins = {
            "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True},
            "simulator.broker.Watch": {},
        }
        self._amqtt = Amqtt({"listeners": {"default": {"type": "external"}}, "plugins": plugins})
        await self._amqtt.start()
        watch = self._amqtt.plugins_manager.get_plugin("Watch")
        watch.heard = self._heard
        self._inside = await asyncio.start_server(self._connected, "127.0.0.1", 0)

    async def _connected(self, reader, writer):
        await self._amqtt.stream_connected(reader, writer, "default")

    async def stop(self):
        if self._amqtt is None:
            return
        self.door.close()
        await self._stop()

    async def _stop(self):
        amqtt, self._amqtt = self._amqtt, None
        self._inside.close()
        await amqtt.shutdown()

    async def restart(self, keep=False, away_s=0.0):
        """As when its service restarts: connections break; retained messages go, unless `keep`."""
        kept = self.retained if keep else {}
        self.door.set(REFUSED)
        await self._stop()
        await asyncio.sleep(away_s)
        await self._start()
        for topic, payload in kept.items():
            await self._amqtt.retain_message(None, topic, payload, 0)
        self.door.set(_PORT.get(self._mode, OPEN))

    async def publish(self, topic, payload, retain=False):
        """Send as a client would; a retained empty payload clears what is retained."""
        if retain:
            await self._amqtt.retain_message(None, topic, payload, 0)
        await self._amqtt.internal_message_broadcast(topic, payload, 0)
        self._note("", topic, payload, retain)

    def _heard(self, client, message):
        packet = message.publish_packet
        self._note(client, message.topic, bytes(message.data or b""), bool(packet.retain_flag))

    def _note(self, client, topic, payload, retain):
        entry = (self.clock(), client, topic, payload, retain)
        self.log.append(entry)
        for listener in self.listeners:
            listener(entry)

    async def _serve(self, reader, writer):
        if self._mode != "ok":
            await reader.read(1)
            writer.write(_SAID.get(self._mode) or secrets.token_bytes(200))
            await writer.drain()
            await asyncio.Event().wait()
        port = self._inside.sockets[0].getsockname()[1]
        inside, outside = await asyncio.open_connection("127.0.0.1", port)
        tasks = [
            asyncio.create_task(_carry(reader, outside)),
            asyncio.create_task(_carry(inside, writer)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            outside.close()


async def _carry(reader, writer):
    try:
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # this side or that is gone: who waits for both will see it
