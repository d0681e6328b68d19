"""Whatever comes in, nothing but what is documented comes out, and nothing of it is kept.

OctoPrint's answers, MQTT packets, DNS answers and config.json: 100,000 hostile inputs each on
CPython, 10,000 each on 32-bit MicroPython with the whole firmware in the heap of a 1 MB plug.
"""

import importlib
import io
import os
import re
import struct
import sys

import pytest

import configfile
import hostile
import mqtt
import names
import octoapi
import schema
import settings
from fakes_net import Line, Settings, at_once

COUNT = 100_000
PARTS = 4  # so that they run side by side

parts = pytest.mark.parametrize("part", range(PARTS))


def inputs(kind, part):
    return hostile.inputs(kind, COUNT // PARTS, part)


@parts
def test_no_answer_of_octoprint_is_more_than_evidence(part, monkeypatch):
    line = Line(b"")
    monkeypatch.setattr(octoapi, "Wire", lambda: line)

    async def resolve(host):
        return host

    octo = octoapi.OctoApi(Settings(watch_bed=True), resolve, lambda: True)
    seen = set()
    for number, data in enumerate(inputs("http", part)):
        line.data, line.step = data, number % 130
        pi, printing, hottest, target, lost = at_once(octo.poll())
        assert pi in ("UP", "BUSY"), data
        assert printing in (True, False, None), data
        for degrees in hottest, target, octo.tool, octo.bed:
            assert degrees is None or -10 <= degrees <= 500, data
        # our own mistakes would be taken for a busy Pi, and be told in words
        assert "Error" not in octo.problem and len(octo.problem) < 60, (data, octo.problem)
        assert len(octo.print_state) <= 32, data
        assert not (lost and printing), data
        seen.add((pi, printing, hottest is None, lost))
        if number % 1000 == 0:
            octo.forget()
    assert len(seen) > 6  # the inputs reach every kind of evidence


@parts
def test_a_broker_can_only_give_commands_or_break_the_line(part, monkeypatch):
    line = Line(b"")
    monkeypatch.setattr(mqtt, "Wire", lambda: line)
    commands = set()

    async def resolve(host):
        return host

    plug = mqtt.Mqtt(Settings(problems=()), resolve, lambda what: None, commands.add)
    for number, data in enumerate(inputs("mqtt", part)):
        line.data, line.step = data, number % 50
        with pytest.raises(OSError):
            at_once(plug.run())
        assert not plug.connected
    assert commands == {"ON", "OFF", "FORCEOFF"}


class Network:
    """Stands for the module socket of names.py: one answer, then silence."""

    AF_INET = SOCK_DGRAM = 0

    def socket(self, *kind):
        return self

    def getaddrinfo(self, host, port):
        return ((host, port),)

    def setblocking(self, on):
        pass

    def sendto(self, query, where):
        self.where = where
        if self.answer is not None and len(self.answer) > 2:
            self.answer = bytes(query[:2]) + self.answer[2:]

    def recvfrom(self, size):
        if self.answer is None:
            raise OSError(11)
        answer, self.answer = self.answer, None
        return answer[:size], self.where

    def close(self):
        self.closed = True


@parts
def test_a_name_server_can_only_give_an_address_or_none(part, monkeypatch):
    network = Network()
    monkeypatch.setattr(names, "socket", network)
    now = 0

    def ticks_ms():
        nonlocal now
        now += 400
        return now & 0x3FFFFFFF

    async def sleep_ms(ms):
        pass

    monkeypatch.setattr(names, "ticks_ms", ticks_ms)
    monkeypatch.setattr(names, "sleep_ms", sleep_ms)
    found = 0
    for _number, data in enumerate(inputs("dns", part)):
        network.answer = data
        network.closed = False
        try:
            address = at_once(names.resolve("octopi.lan", "127.0.0.1", 1000))
            found += 1
            assert re.fullmatch(r"\d+\.\d+\.\d+\.\d+", address), data
            assert all(int(part) < 256 for part in address.split(".")), data
        except OSError as error:
            assert isinstance(error.args[0], str), data
        assert network.closed
    assert found > 100


class Disk:
    """Stands for os and open of configfile.py: one file, in memory."""

    def __init__(self, data):
        self.data, self.moved = data, None

    def stat(self, path):
        return os.stat_result([0] * 6 + [len(self.data)] + [0] * 3)

    def rename(self, old, new):
        self.moved = new

    def open(self, path, mode):
        return io.BytesIO(self.data)


@parts
def test_no_config_json_is_worse_than_its_defaults(part, monkeypatch):
    def step(module, name, *given):  # as on the plug, but nothing is let go
        return getattr(importlib.import_module(module), name)(*given)

    # Whatever plug an earlier test has run: these very modules, and others that import them anew
    for module in (settings, schema, configfile):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    for name in ("loading", "odds"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(settings, "_step", step)
    monkeypatch.setattr(schema, "_make_room", lambda name: None)
    defaults = vars(settings.load("there is none", "abcdef"))
    rows = list(schema.rows())
    read = schema.rows
    # reading them all again would take most time
    monkeypatch.setattr(schema, "rows", lambda keys=None: rows if keys is None else read(keys))
    kept = {row[0]: row for row in rows if row[5]}
    told = set()
    for data in inputs("config", part):
        disk = Disk(data)
        monkeypatch.setattr(configfile, "os", disk)
        monkeypatch.setattr(configfile, "open", disk.open, raising=False)
        bag = vars(settings.load("config.json", "abcdef"))
        assert set(bag) == set(defaults), data
        problems = bag["problems"]
        assert len(problems) <= 11 and all(len(text) < 500 for text in problems), data
        told.add(len(problems))
        for key in bag:
            value = bag[key]
            if value != defaults[key] and key in kept and isinstance(value, (int, float)):
                assert schema.check(kept[key], value, False) == value, data
        assert bag["cool_below_c"] < bag["hot_above_c"], data
        assert bag["long_press_ms"] < bag["portal_press_ms"], data
        if problems and "set aside" in problems[0]:
            assert disk.moved == "config.bad", data
        else:
            assert disk.moved is None, data
    assert told > {0, 1, 2}


# --- on MicroPython -----------------------------------------------------------------------------

ON_PLUG = 10_000


@pytest.fixture(scope="module")
def plug(micropython, tmp_path_factory):
    """The delivery for 1 MB plugs with the fuzzer beside it, and bytes of heap that this takes."""
    from bench import delivery, modules

    delivery.prepare()
    of = delivery.DELIVERIES["1mb"]
    here = os.path.dirname(__file__)
    delivery.compile_beside(f"{here}/fuzz_on_plug.py", of.folder / "fuzz_on_plug.mpy")
    cost = "import gc;gc.collect();a=gc.mem_alloc();import fuzz_on_plug;gc.collect()\n"
    own = int(delivery.run(of, cost + "print(gc.mem_alloc()-a)"))
    return delivery, of, of.heap + modules.shims("1mb") + own


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("kind", hostile.KINDS)
def test_nothing_escapes_and_nothing_is_kept_on_a_1_mb_plug(kind, plug):
    delivery, of, heap = plug
    fed = b"".join(
        struct.pack("!H", len(data[:1000])) + data[:1000]
        for data in hostile.inputs(kind, ON_PLUG, "plug")
    )
    config = '{"wifi_ssid": "x", "mqtt_host": "127.0.0.1", "octoprint_host": "127.0.0.1", '
    config += '"wifi_settle_s": 0}'
    said = delivery.run(
        of,
        f"import fuzz_on_plug;fuzz_on_plug.feed_all({kind!r})",
        heap,
        config=config,
        files={"inputs": fed},
        seconds=600,
    )
    last = said.splitlines()[-1].split()
    assert last[:1] == ["fuzzed"], said[-2000:]
    count, escaped, kept = (int(number) for number in last[1:])
    assert count == ON_PLUG
    assert escaped == 0, said[:2000]
    # a few blocks of 16 bytes more or less are what the collector happens to take for pointers
    assert kept <= 256, said
