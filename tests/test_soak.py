"""Three weeks of a plug's life, on virtual time, with something going wrong every few minutes.

What is driven: the whole firmware as plug.py puts it together (main loop, poller, MQTT, machine,
board) on the virtual chip. What is not: sockets. OctoPrint and the broker are in memory, behind a
stand-in for wire.Wire, and the loop's clock goes in steps of 20 s while nothing is at stake and
of 0.5 s from Cooling on, so three weeks are a few hundred thousand rounds and not 180 million.
Presses are given as gestures. poll_s is 60. The clock starts 5 minutes before ticks_ms wraps.
"""

import asyncio
import gc
import os
import random
import sys

import pytest

import mqtt
import octoapi
import plug
import simulator.hardware
from fakes_net import http
from simulator.hardware import chip, port
from whole import Loop, virtual

WEEKS = 3
DAY_S = 86400

OFF, BOOTING, UP, HALTING, HALTED = "off booting up halting halted".split()


class World:
    """A Pi with its printer on the plug's relay, a broker, and what goes wrong with them."""

    def __init__(self, loop, chance):
        self.loop, self.chance = loop, chance
        self.pi, self.since = OFF, loop.time()
        self.job_until = 0.0  # a job prints until then
        self.target = self.temperature = 20.0
        self.heated = loop.time()
        self.mishap = ""  # how OctoPrint answers, if not as it should
        self.broker = True
        self.wires = 0  # open now
        self.polls = self.lost = 0
        self.published = {}
        self.inbox = None  # of the connection to the broker
        self.cuts = []  # (seconds, what the Pi was doing): power taken from a living Pi

    def relay(self, _, closed):
        if closed and self.pi == OFF:
            self.enter(BOOTING)
        elif not closed:
            if self.now in (UP, HALTING):
                self.cuts.append((self.loop.time(), self.now))
            self.job_until = 0.0
            self.enter(OFF)

    def enter(self, state):
        self.pi, self.since = state, self.loop.time()

    @property
    def now(self):
        """What the Pi is doing."""
        age = self.loop.time() - self.since
        if self.pi == BOOTING and age > 40:
            self.enter(UP)
        elif self.pi == HALTING and age > self.halts_s:
            self.enter(HALTED)
        return self.pi

    @property
    def printing(self):
        return self.loop.time() < self.job_until

    def warmth(self):
        """Degrees C of the tool: 5 up or 1 down a second."""
        now = self.loop.time()
        passed, self.heated = now - self.heated, now
        target = 210.0 if self.printing else 20.0
        if self.temperature < target:
            self.temperature = min(target, self.temperature + 5 * passed)
        else:
            self.temperature = max(target, self.temperature - passed)
        return self.temperature

    def port(self):
        """How OctoPrint's port behaves now."""
        if self.now in (OFF, HALTED):
            return "silent"
        if self.pi == BOOTING:
            return "refused"
        if self.pi == HALTING:
            return "hang" if self.loop.time() - self.since < 2 else "refused"
        return self.mishap

    def answer(self, question):
        """The bytes that OctoPrint answers."""
        if question.startswith(b"GET /api/printer"):
            self.polls += 1
            flag = "printing" if self.printing else "ready"
            body = (
                '{"state": {"flags": {"operational": true, "%s": true}, "text": "x"}, '
                '"temperature": {"tool0": {"actual": %.1f, "target": %.1f}}}'
            ) % (flag, self.warmth(), 210.0 if self.printing else 0.0)
            return http(body)
        if question.startswith(b"POST /api/system"):
            if self.mishap == "key":
                return http('{"error": "no"}', "403 FORBIDDEN")
            self.halts_s = self.chance.choice((6, 20, 60, 100))
            self.enter(HALTING)
            return http("", "204 NO CONTENT")
        return http('{"state": "x", "progress": {"completion": 1}}')


class Wire:
    """Stands for wire.Wire. Everything but waiting happens at once."""

    world: World
    kind = ""

    async def open(self, address, number, ms):
        self.close()
        if not chip.wifi.up:
            raise OSError(113)
        if number == 1883:
            if not self.world.broker:
                raise OSError(111)
            self.kind = "mqtt"
            self.heard = b""
            self.inbox = self.world.inbox = bytearray()
        else:
            way = self.world.port()
            if way == "silent" or way == "silence":
                await asyncio.sleep_ms(ms)
                raise OSError(110)
            if way == "refused" or number == 22 and way == "hang" and self.world.pi == HALTING:
                raise OSError(111)
            self.kind, self.way = "http", way
            self.inbox = bytearray()
        self.world.wires += 1

    async def send(self, data, ms):
        if not chip.wifi.up:
            await asyncio.sleep_ms(ms)
            raise OSError(110)
        if self.kind == "mqtt":
            self.broker(bytes(data))
            return
        answer = self.world.answer(bytes(data))
        if self.way == "garbage":
            answer = self.world.chance.randbytes(300)
        elif self.way == "cut":
            answer = answer[: len(answer) // 2]
        elif self.way == "503":
            answer = http("<html></html>", "503 Service Unavailable")
        elif self.way == "409":
            answer = http('{"error": "no printer"}', "409 CONFLICT")
        elif self.way == "hang":
            answer = b""
        self.inbox += answer

    def broker(self, data):
        # Packets may come in pieces.
        heard = self.heard = self.heard + data
        while len(heard) > 1:
            size = heard[1] & 127
            at = 2
            if heard[1] & 128:
                if len(heard) < 3:
                    break
                size |= heard[2] << 7
                at = 3
            if len(heard) < at + size:
                break
            kind, body, heard = heard[0] & 0xF0, heard[at : at + size], heard[at + size :]
            self.heard = heard
            if kind == 0x10:
                self.inbox += b"\x20\2\0\0"
            elif kind == 0x80:
                self.inbox += b"\x90\3\0\1\1"
            elif kind == 0xC0:
                self.inbox += b"\xd0\0"
            elif kind == 0x30:
                end = 2 + (body[0] << 8 | body[1])
                self.world.published[body[2:end].decode().rsplit("/", 1)[1]] = body[end:].decode()

    def read_now(self, buf):
        if self.kind == "mqtt" and self.inbox is not self.world.inbox:
            raise OSError(104)
        n = min(len(buf), len(self.inbox))
        if n and chip.wifi.up:
            buf[:n] = self.inbox[:n]
            del self.inbox[:n]
            return n
        return None if self.kind == "mqtt" or self.way == "hang" else 0

    async def readinto(self, buf, ms):
        n = self.read_now(buf)
        while n is None:
            if ms <= 0:
                raise OSError(110)
            await asyncio.sleep_ms(min(ms, 1000))
            ms -= 1000
            n = self.read_now(buf)
        return n

    def close(self):
        if self.kind:
            self.world.wires -= 1
        self.kind = ""


CONFIG = """{
"wifi_ssid": "workshop",
"octoprint_host": "127.0.0.1",
"mqtt_host": "127.0.0.1",
"mqtt_keepalive_s": 600,
"mqtt_report_s": 3600,
"led_version": false,
"poll_s": 60,
"poll_idle_s": 60
}
"""


class Life:
    """Three weeks of it. `told`: what people did, as (seconds, word)."""

    def __init__(self, loop, seed):
        self.loop = loop
        self.chance = random.Random(seed)
        self.world = Wire.world = World(loop, self.chance)
        self.told = []
        self.counts = {}
        self.story = [(0, "")]  # (seconds, what happened)

    def note(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1
        self.story.append((self.loop.time(), str(what)))

    def around(self, end):
        """What happened in the hour before that."""
        return "\n".join(
            "%10.1f %s" % (at, what) for at, what in self.story if end - 3600 < at <= end + 60
        )

    def start(self, first=True, *left):
        plug.current = self.plug = plug.Plug(first, *left)
        sync = self.plug.sync

        def graded():
            sync()
            state = f"{self.plug.machine.alias}, Pi {self.world.now}, {self.world.mishap}"
            if self.story[-1][1] != state:
                self.story.append((self.loop.time(), state))
            at_stake = self.plug.machine.alias in ("Cooling", "Asking", "Countdown", "Going")
            self.loop.grain_ms = 500 if at_stake else 20_000

        self.plug.sync = graded
        self.task = asyncio.create_task(self._main())

    async def _main(self):
        left = await self.plug.run()  # out of memory for too long
        self.note("anew")
        self.task = None
        await self.restart(*left)

    async def restart(self, *left):
        """As main.py does when the plug has failed: the chip stays as it is."""
        for task in [self.task, *self.plug.tasks]:
            if task:
                task.cancel()
        tasks = filter(None, [self.task, *self.plug.tasks])
        await asyncio.gather(*tasks, return_exceptions=True)
        self.start(False, *left)

    def tell(self, word):
        """A person or a home automation says something."""
        self.told.append((self.loop.time(), word))
        self.plug.post(word)
        self.note(word)

    async def happen(self):
        """One thing."""
        world, chance = self.world, self.chance
        what = chance.choice(
            "wifi wifi broker broker mishap mishap mishap mishap key job job job job "
            "ON OFF SHORT LONG PERMON PERMON_1 FORCEOFF memory restart raise".split()
        )
        self.note(what)
        lasts = chance.choice((20, 60, 300, 1800))
        if what == "wifi":
            chip.wifi.up = False
            world.inbox = None
            await asyncio.sleep(lasts)
            chip.wifi.up = True
        elif what == "broker":
            world.broker, world.inbox = False, None
            await asyncio.sleep(lasts)
            world.broker = True
        elif what in ("mishap", "key"):
            ways = "refused hang garbage cut 503 409".split()
            world.mishap = what if what == "key" else chance.choice(ways)
            await asyncio.sleep(lasts)
            world.mishap = ""
        elif what == "job":
            if world.now == UP and not world.printing:
                world.job_until = self.loop.time() + chance.randrange(400, 20_000)
                if chance.random() < 0.7:
                    self.tell("OFF" if self.plug.machine.alias != "Relay_off" else "ON")
        elif what == "memory":
            octo = self.plug.octo  # it may start anew meanwhile, with another
            look = octo._look
            octo._look = _out_of_memory
            await asyncio.sleep(120)
            octo._look = look
        elif what == "raise":
            # a task dies of what nobody foresaw
            at = self.plug.mqtt  # a restart in place has another
            value, at.value = at.value, _out_of_memory
            await asyncio.sleep(300)
            at.value = value
        elif what == "restart":
            await self.restart()
        elif what != "FORCEOFF" or chance.random() < 0.3:
            self.tell(what.replace("_", " "))

    def check(self):
        """What must be true at any time."""
        assert not self.task.done(), self.task
        assert all(task and not task.done() for task in self.plug.tasks)
        assert self.world.wires <= 2
        assert len(asyncio.all_tasks(self.loop)) <= 6
        assert chip.relay == self.plug.machine.relay


def _out_of_memory(*_):
    raise MemoryError


def explained(life, at):
    """Whether a person's order cut the power then: at once, or two minutes after insisting."""
    return any(
        word == "FORCEOFF" and when == at or word == "LONG" and at - 125 <= when <= at
        for when, word in life.told
    )


@pytest.mark.slow
def test_three_weeks_with_faults_lose_no_task_and_switch_nothing_unexplained(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(octoapi, "Wire", Wire)
    monkeypatch.setattr(mqtt, "Wire", Wire)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text(CONFIG)
    fallen = set()  # what tasks died of
    monkeypatch.setattr(sys, "print_exception", lambda error: fallen.add(type(error)))
    seed = int(os.environ.get("SOAK_SEED", "5"))
    kept = []

    @virtual
    async def live():
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        simulator.hardware.start_ticks(port.PERIOD - 300_000)
        chip.reset()
        chip.relay_log.clear()
        life = Life(loop, seed)
        chip.relay_listeners.append(life.world.relay)
        life.start()
        begin = loop.time()
        wraps, ticks, polls = 0, port.ticks_ms(), 0
        checked = begin
        while loop.time() - begin < WEEKS * 7 * DAY_S:
            await asyncio.sleep(life.chance.randrange(60, 1800))
            await life.happen()
            await asyncio.sleep(30)
            life.check()
            now = port.ticks_ms()
            wraps += now < ticks
            ticks = now
            chip.pin_log.clear()
            if loop.time() - checked > 6 * 3600:
                # Six hours, and some quiet: it must have polled, and the broker must know all.
                checked = loop.time()
                machine = life.plug.machine
                await asyncio.sleep(900)
                life.check()
                assert life.world.published["plugstate"] == machine.state
                assert life.world.published["relay"] == ("ON" if machine.relay else "OFF")
                assert life.world.polls > polls or not machine.relay
                polls = life.world.polls
                gc.collect()
                kept.append(len(gc.get_objects()))
                if not machine.relay:
                    life.tell("ON")
        assert wraps == 2
        for at, doing in life.world.cuts:
            assert explained(life, at), f"cut while {doing}:\n{life.around(at)}"
        offs = [at for at, closed in chip.relay_log if not closed]
        life.counts["by itself"] = len(offs) - len(life.world.cuts)
        life.counts["polls"] = life.world.polls
        kept.append(life.counts)

    live()
    assert fallen == {MemoryError}
    counts = kept.pop()
    assert counts["by itself"] > 10  # jobs that ended with the power off, the Pi halted
    assert counts["polls"] > 5000
    assert counts["anew"] > 3  # out of memory for minutes
    assert max(kept[len(kept) // 2 :]) < 1.02 * max(kept[: len(kept) // 2])  # no growth
