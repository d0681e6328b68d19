"""Many plugs on one mosquitto, measured: tools/fleet.sh bench.

The plugs are the firmware's own firmware/mqtt.py and wire.py, one instance each, on CPython; made
up is only what they tell: a plug that prints, whose two temperatures differ at each poll of 5 s.
They live in processes of their own, told by lines on stdin, and end when that closes. Everything
is on 127.0.0.1, limited in number and time.
"""

import asyncio
import datetime
import json
import os
import platform
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

from env import ROOT

PAGE = ROOT / "docs/fleet.md"
REPORT_S = 60  # as mqtt_report_s is by default
POLL_S = 5
_SPREAD_S = 0.004  # from one plug's start to the next; mosquitto's queue of connections is short
_SPARE_FILES = 200
_TURN_S = 300  # until all are connected, at the most

# What a command makes of a plug: state, relay, mode.
_AFTER = {
    "ON": ("print_started", "ON", "ON"),
    "OFF": ("ready_for_shutting_down", "ON", "OFF"),
    "PERMON": ("Switched_ON", "ON", "PERMON"),
    "FORCEOFF": ("Relay_off", "OFF", "FORCEOFF"),
}
_REASON = {
    "print_started": "printing",
    "ready_for_shutting_down": "printing, then off",
    "Switched_ON": "on for good",
    "Relay_off": "off",
}


# --- plugs, in a process of their own ------------------------------------------------------------


class Simulated:
    """One plug that prints. tally: a Counter shared by all of the process."""

    def __init__(self, number, port, report_s, tally):
        from mqtt import Mqtt

        self.id, self.tally = "%06x" % number, tally
        self.had = Counter()  # commands
        self.chance = random.Random(number)
        self.values = {
            "print_state": "Printing",
            "job_state": "Printing",
            "info": '{"version":"5.0.0","ip":"10.0.%d.%d","rssi":-61,"uptime_s":86400,'
            '"heap_free":14336,"heap_largest":9216,"reset_cause":0,"slot":"a"}'
            % (number >> 8 & 255, number & 255),
        }
        self.done = 10 * self.chance.random()
        self.became("print_started", "ON", "ON")
        self.told = False
        settings = SimpleNamespace(
            id=self.id,
            problems=[],
            topics=None,
            mqtt_host="127.0.0.1",
            mqtt_port=port,
            mqtt_user="",
            mqtt_password="",
            mqtt_topic="octoplugout/" + self.id,
            mqtt_report_s=report_s,
            mqtt_keepalive_s=60,
        )
        self.mqtt = Mqtt(settings, self.resolve, self.value, self.command)
        self.mqtt.news = ()

    def became(self, state, relay, mode):
        self.values.update(
            state=state, relay=relay, mode=mode, reason=_REASON[state], countdown_s=""
        )

    async def resolve(self, host):
        return host

    def value(self, what):
        self.told = self.told or what == "info"
        return self.values.get(what)  # None: nothing to be told, as of a log

    def command(self, word):
        self.had[word] += 1
        after = _AFTER.get(word.split(" ")[0])  # PERMON may say for how many hours
        if after:
            self.became(*after)
            self.mqtt.news = (*self.mqtt.news[-4:], self.values["state"])

    def warm(self):
        """What a poll of a printing OctoPrint changes."""
        for what, target in (("tool", 210), ("bed", 60)):
            before = self.values.get(what)
            while self.values.get(what) == before:
                self.values[what] = "%.1f" % self.chance.gauss(target, 0.3)
        self.done = (self.done + 100 * POLL_S / 7200) % 100  # a job of two hours
        if self.chance.random() < POLL_S / REPORT_S:  # asked for once in that time
            self.values["progress"] = "%.1f" % self.done

    async def run(self):
        self.values["progress"] = "%.1f" % self.done
        self.warm()
        wait = 1
        while True:
            try:
                await self.mqtt.run()
            except OSError:
                self.tally["broken"] += 1
            await asyncio.sleep(wait)
            wait = min(2 * wait, 60)

    async def look(self):
        """As online.poll() does, at what is no plain command."""
        import remarks

        while True:
            await asyncio.sleep(1)
            if self.mqtt.given:
                given = self.mqtt.given
                self.mqtt.given = ()
                await remarks.run(self, given)

    async def work(self, delay):
        await asyncio.sleep(delay)
        serving = asyncio.gather(self.run(), self.look())
        try:
            await asyncio.sleep(POLL_S * self.chance.random())
            while True:
                self.warm()
                await asyncio.sleep(POLL_S)
        finally:
            serving.cancel()


async def _plugs(port, first, count, report_s):
    import mqtt

    tally = Counter()

    class Counted(mqtt.Wire):
        """Counts the bytes of MQTT that go either way."""

        async def send(self, data, ms):
            tally["up"] += len(data)
            await super().send(data, ms)

        def read_now(self, buf):
            n = super().read_now(buf)
            tally["down"] += n or 0
            return n

    mqtt.Wire = Counted
    plugs = [Simulated(first + i, port, report_s, tally) for i in range(count)]
    tasks = [asyncio.create_task(plug.work(i * _SPREAD_S)) for i, plug in enumerate(plugs)]
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        words = line.split()
        if words[0] == b"leave":  # without a word, as by a power failure
            for i in range(int(words[1])):
                tasks[i].cancel()
        connected = sum(plug.mqtt.connected for plug in plugs)
        told = sum(plug.told for plug in plugs)
        had = Counter(f"{word} {n}" for plug in plugs for word, n in plug.had.items())
        print(json.dumps(tally | had | {"connected": connected, "told": told}), flush=True)
    for task in tasks:
        task.cancel()


def child(words):
    """`port first count report_s`: the plugs of this process, until stdin closes."""
    for folder in (ROOT / "firmware", ROOT):
        sys.path.insert(0, str(folder))
    import simulator.hardware

    simulator.hardware.install(sources=False)
    port, first, count = map(int, words[:3])
    asyncio.run(_plugs(port, first, count, float(words[3])))


# --- the plugs, from here ------------------------------------------------------------------------


class Swarm:
    """`count` plugs with ids 000001 and on, at a broker on 127.0.0.1, in so many processes."""

    def __init__(self, port, count, processes=1, report_s=REPORT_S):
        self.count, self.children = count, []
        share = -(-count // processes)
        for first in range(0, count, share):
            numbers = [port, first + 1, min(share, count - first), report_s]
            self.children.append(
                subprocess.Popen(
                    [sys.executable, __file__, *map(str, numbers)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env=dict(os.environ, PYTHONPATH=str(ROOT / "tools")),
                )
            )

    def ask(self, line="tell"):
        """Counter of all plugs: connected, told (all topics once), broken (connections), up and
        down (bytes of MQTT), and as "OFF 2" how many plugs had OFF twice."""
        total = Counter()
        for process in self.children:
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()
        for process in self.children:
            text = process.stdout.readline()
            if not text:
                raise RuntimeError("a process of simulated plugs has ended")
            total.update(json.loads(text))
        return total

    def wait(self, seconds=_TURN_S):
        """Until all are connected and have told everything once. TimeoutError: they have not."""
        end = time.monotonic() + seconds
        while True:
            there = self.ask()
            if there["connected"] == there["told"] == self.count:
                return self
            if time.monotonic() > end:
                raise TimeoutError(f"{there['connected']} of {self.count} plugs are connected")
            time.sleep(0.2)

    def stop(self):
        for process in self.children:
            process.stdin.close()
        for process in self.children:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
            process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


# --- measuring -----------------------------------------------------------------------------------


def allow_files(plugs):
    """Raise this process's limit of open files, which mosquitto inherits. OSError: it is fixed."""
    import resource

    needed = plugs + _SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft in (unlimited,) or soft >= needed:
        return
    if hard != unlimited and hard < needed:
        raise OSError(
            f"{plugs} plugs need {needed} open files in one process; this system allows {hard}: "
            f"take --plugs {max(hard - _SPARE_FILES, 1)} or raise `ulimit -Hn`"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def memory_kb(pid):
    """Resident memory of a process in KiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", text)[0])


def cpu_s(pid):
    """Seconds of processor time that a process has used."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")


def broker_counts(port):
    """(bytes, published messages) that mosquitto says it was sent; it says so every second."""
    import servers

    with servers.Watcher(port, topics="$SYS/broker/#") as watcher:
        watcher.wait("$SYS/broker/bytes/received")
        watcher.wait("$SYS/broker/publish/messages/received")
        return (
            int(watcher.latest["$SYS/broker/bytes/received"]),
            int(watcher.latest["$SYS/broker/publish/messages/received"]),
        )


def measure(count, seconds, say):
    """[(what, figure)] of `count` plugs that print for so many seconds, and are then commanded;
    and whether all commands arrived once and were answered."""
    import fleet
    import servers

    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        broker = servers.Mosquitto(folder)
        text = broker.config.read_text().replace("log_type all", "log_type error\nsys_interval 1")
        broker.config.write_text(text)
        stack.callback(broker.stop)
        broker.start()
        pid = broker.process.pid
        empty = memory_kb(pid)
        say(f"mosquitto on 127.0.0.1:{broker.port}; {count} plugs connect")
        began = time.monotonic()
        swarm = stack.enter_context(Swarm(broker.port, count, 2))
        swarm.wait()
        say(f"all connected after {time.monotonic() - began:.1f} s; they print for {seconds} s")
        time.sleep(3)
        before, (bytes_before, messages_before) = swarm.ask(), broker_counts(broker.port)
        cpu, began = cpu_s(pid), time.monotonic()
        time.sleep(seconds)
        after, (bytes_after, messages_after) = swarm.ask(), broker_counts(broker.port)
        took = time.monotonic() - began
        cpu = cpu_s(pid) - cpu
        minutes = took / 60 * count
        full = memory_kb(pid)

        where = fleet.Broker("127.0.0.1", broker.port)
        view = stack.enter_context(fleet.Fleet(where)).settle()
        shown = len(view.plugs())
        say(f"{shown} plugs in the table")
        lost = twice = silent = 0
        times = []
        for word in _AFTER:
            results = view.send(word, view.plugs(), 60)
            had = swarm.ask()
            once = had[f"{word} 1"]
            more = sum(n for key, n in had.items() if key.startswith(word + " ")) - once
            lost += count - once - more
            twice += more
            answered = sum(one.good for one in results)
            silent += count - answered
            seen = [one.seconds for one in results if one.seconds is not None]
            if seen:
                times.append((word, min(seen), max(seen)))
            say(f"{word}: {once} of {count} had it once, {answered} answered")
        most = memory_kb(pid)
        end = swarm.ask()
    sent = count * len(_AFTER)
    good = shown == count and not (lost or twice or silent)
    version = _mosquitto_version()
    rows = [
        ("plugs connected, and in the table", f"{count:,}, {shown:,}"),
        ("connections that broke", f"{end['broken']:,}"),
        (f"commands sent, {' '.join(_AFTER)} to all", f"{sent:,}"),
        ("commands lost", f"{lost:,}"),
        ("commands that came twice", f"{twice:,}"),
        ("commands without an answer seen by the tool", f"{silent:,}"),
    ]
    for word, first, last in times:
        rows.append((f"{word}: first answer, last answer", f"{first:.2f} s, {last:.2f} s"))
    rows += [
        (
            "a plug that prints, to the broker",
            f"{(after['up'] - before['up']) / minutes:,.0f} bytes a minute",
        ),
        (
            "… as the broker counts them",
            f"{(bytes_after - bytes_before) / minutes:,.0f} bytes in "
            f"{(messages_after - messages_before) / minutes:.1f} messages a minute",
        ),
        (
            "from the broker to it",
            f"{(after['down'] - before['down']) / minutes:,.0f} bytes a minute",
        ),
        ("mosquitto's memory without plugs", f"{empty / 1024:.1f} MiB resident"),
        ("… with all of them printing", f"{full / 1024:.1f} MiB"),
        ("… after the commands", f"{most / 1024:.1f} MiB"),
        ("mosquitto's share of one core while they print", f"{100 * cpu / took:.1f} %"),
        ("mosquitto, system", f"{version}, {platform.system()} {platform.machine()}"),
    ]
    return rows, good


def _mosquitto_version():
    import servers

    said = subprocess.run(
        [servers.program("mosquitto"), "-h"], capture_output=True, text=True
    ).stdout
    return (re.findall(r"version ([\d.]+)", said) or ["?"])[0]


def table(rows, count, seconds):
    """The figures as Markdown."""
    today = datetime.date.today().isoformat()
    command = f"tools/fleet.sh bench --plugs {count} --seconds {seconds} --write"
    lines = [f"Measured {today} with `{command}`:", "", "| what | figure |", "|---|---|"]
    return "\n".join([*lines, *(f"| {what} | {figure} |" for what, figure in rows)])


def put(text, path=PAGE):
    """Between the page's markers."""
    page = path.read_text(encoding="utf-8")
    begin, end = "<!-- measured -->", "<!-- /measured -->"
    head, tail = page.split(begin)[0], page.split(end)[1]
    path.write_text(f"{head}{begin}\n{text}\n{end}{tail}", encoding="utf-8")


def run(count, seconds, write=False):
    """Measure, print, and put it into docs/fleet.md if `write`; True when nothing was lost."""
    import servers

    def say(text):
        print(text, file=sys.stderr, flush=True)

    if not servers.program("mosquitto"):
        say("Not done: mosquitto is not installed (Debian: apt-get install mosquitto)")
        return False
    if not Path("/proc/self/status").exists():
        say("Not done: memory and processor time are read from /proc, which is Linux's")
        return False
    try:
        allow_files(count)
        rows, good = measure(count, seconds, say)
    except (OSError, RuntimeError) as wrong:
        say(f"Not done: {wrong}")
        return False
    text = table(rows, count, seconds)
    print(text)
    if write:
        put(text)
    return good


if __name__ == "__main__":
    child(sys.argv[1:])
