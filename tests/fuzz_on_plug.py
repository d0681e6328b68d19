"""Feeds hostile inputs to the firmware's parsers, on MicroPython with the whole plug in the heap.

Compiled for the plug by test_fuzz.py, which puts the inputs into the file `inputs`: each two bytes
of length and its bytes. Prints one line with what came of them.
"""

import gc
import sys

_SETTLED = const(300)  # inputs after which the heap is looked at the first time

data = bytearray(1100)
left = 0  # bytes of the input that nobody has read yet
size = 0


class Line:
    """Stands for a Wire, and for the socket module of names.py and its socket."""

    AF_INET = SOCK_DGRAM = 0

    async def open(self, address, port, ms):
        pass

    async def send(self, what, ms):
        pass

    async def readinto(self, buf, ms):
        return self.read_now(buf)

    def read_now(self, buf):
        global left
        n = min(len(buf), left, 37)
        at = size - left
        buf[:n] = memoryview(data)[at : at + n]
        left -= n
        return n

    def close(self):
        pass

    def socket(self, *kind):
        return self

    def getaddrinfo(self, host, port):
        return ((host, port),)

    def setblocking(self, on):
        pass

    def sendto(self, query, where):
        self.where = where
        data[0] = query[0]
        data[1] = query[1]

    def recvfrom(self, most):
        global left
        if not left:
            raise ValueError  # as if a broken packet had come: asked again until the time is over
        left = 0
        return bytes(memoryview(data)[:size]), self.where


def at_once(coroutine):
    try:
        while True:
            coroutine.send(None)
    except StopIteration as end:
        return end.value


async def resolve(host):
    return host


async def at_once_too(ms):
    pass  # there is no loop that could wait


def nothing(what):
    pass


def http(plug):
    octo = plug.octo
    evidence = at_once(octo.poll())
    if "Error" in octo.problem or evidence[0] not in ("UP", "BUSY"):
        raise RuntimeError(octo.problem)


def broker(plug):
    mqtt = plug.mqtt
    try:
        at_once(mqtt.run())
    except OSError:
        pass
    if mqtt.given:
        at_once(plug.step("remarks").run(plug, mqtt.given))
        mqtt.given = ()


def dns(plug):
    import names

    names.socket = Line()
    names.sleep_ms = at_once_too
    try:
        at_once(names.resolve("octopi.lan", "127.0.0.1", 2))
    except OSError:
        pass
    del sys.modules["names"]


def config(plug):
    import settings
    import steps

    with open("fuzz.json", "wb") as file:
        file.write(memoryview(data)[:size])
    steps.up()
    settings.load("fuzz.json", "abcdef")
    steps.down()
    del sys.modules["settings"]


def feed_all(kind):
    """Feed all of them to the parser of that kind."""
    global left, size
    gc.threshold(2048)
    sys.path.insert(0, "a")
    from plug import Plug

    plug = None
    if kind != "config":  # which is read before the rest is loaded
        plug = Plug(True)
        plug.octo.resolve = plug.mqtt.resolve = resolve
        sys.modules["octoapi"].Wire = Line  # and mqtt's, which is in there
        plug.mqtt.command = nothing
    feed = {"http": http, "mqtt": broker, "dns": dns, "config": config}[kind]
    count = escaped = before = 0
    with open("inputs", "rb") as file:
        while file.readinto(memoryview(data)[:2]):
            size = data[0] << 8 | data[1]
            left = file.readinto(memoryview(data)[:size])
            try:
                feed(plug)
            except Exception as error:
                escaped += 1
                print("escaped", repr(error), bytes(memoryview(data)[:size]))
            count += 1
            if count == _SETTLED:
                gc.collect()
                before = gc.mem_alloc()
    gc.collect()
    print("fuzzed", count, escaped, gc.mem_alloc() - before)
