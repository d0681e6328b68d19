"""The smallest heap that does the work, and what is free in it at which moment."""

import asyncio
import contextlib
import re
import time

import aiohttp

from env import say

from . import modules, visitor
from .delivery import DELIVERIES, K
from .faults import LONG, SOON
from .plant import Broker, Http, Names, Plug, printer

STEP = K // 4

# Everything on, short times, and settings that cost something.
CONFIG = visitor.CONFIG | {
    "wifi_ssid": "a network of thirty-two letters.",
    "wifi_password": "its password",
    "wifi_country": "DE",
    "octoprint_host": "octopi.lan",
    "octoprint_api_key": "A" * 32,
    "watch_bed": True,
    "mqtt_host": "broker.lan",
    "mqtt_user": "plug",
    "mqtt_password": "its password",
    "mqtt_topic": "home/workshop/printer/{id}",
    "mqtt_report_s": 1,
    "mqtt_keepalive_s": 4,
    "topic_bedtemp": "/bed",
    "topic_jobprogress": "/progress",
    "hot_above_c": 60,
    "min_job_s": 0,
    "shutdown_wait_s": 1,
    "shutdown_max_s": 3,
    "pi_down_s": 1,
    "boot_s": 1,
    "wifi_settle_s": 0,
    "poll_s": 0.2,
    "poll_idle_s": 0.2,
    "led_patterns": ["print_started 100 900", "going_down 200 800"],
}

# Which, one after the other, lead through seven states while OctoPrint answers.
COMMANDS = "PERMON AFTERJOB OFF ON off PERMON nonsense".split()

# The back-off goes up to 60 s, and while the power may be cut the broker is not called for 120 s.
AWAY_S = 200


class Failed(Exception):
    """The work was not done, and why."""


class Work:
    """One plug with its servers, and what it has to do."""

    def __init__(self, of, heap, shims="bare", said=None, names=True, given=()):
        self.of, self.heap, self.shims, self.said, self.names = of, heap, shims, said, names
        self.given = dict(given)  # settings

    async def __aenter__(self):
        self.http, self.broker = await Http().start(), await Broker().start()
        hosts = {} if self.names else {"octoprint_host": "127.0.0.1", "mqtt_host": "127.0.0.1"}
        ports = {"octoprint_port": self.http.port, "mqtt_port": self.broker.port}
        config = CONFIG | {"probe_port": self.http.port} | hosts | ports | self.given
        self.plug = await Plug(self.of, self.heap, config, self.shims, said=self.said).__aenter__()
        return self

    async def __aexit__(self, *_):
        await self.plug.__aexit__()
        self.http.close()
        self.broker.close()

    async def until(self, true, what, seconds=20):
        end = time.monotonic() + seconds
        while not true():
            reason = self.broker.latest.get("/reason", "")
            if self.plug.trouble or "MemoryError" in reason:
                raise Failed(self.plug.trouble or reason)
            if time.monotonic() > end:
                raise Failed(f"{seconds} s without {what}")
            await asyncio.sleep(0.02)

    async def do(self, polls, commands, reconnects):
        """Does so many of each; raises Failed."""
        http, broker = self.http, self.broker
        flip = asyncio.create_task(self.print_jobs())
        try:
            await self.until(lambda: broker.client, "MQTT")
            for n in range(reconnects + 1):
                parts = reconnects + 1
                for m in range(commands * n // parts, commands * (n + 1) // parts):
                    await self._command(COMMANDS[m % len(COMMANDS)])
                if n < reconnects:
                    broker.drop()
                    broker.latest.clear()
                    await self.until(lambda: "/info" in broker.latest, "MQTT again", AWAY_S)
            await self.until(lambda: http.polls >= polls, f"{polls} polls", polls)
            if broker.connects > reconnects + 1:
                raise Failed(
                    f"{broker.connects - reconnects - 1} connections given up by the plug"
                )
            if http.aborted or http.empty:
                raise Failed(f"{http.aborted + http.empty} polls given up by the plug")
        finally:
            flip.cancel()

    async def _command(self, word):
        broker = self.broker
        taken = broker.taken
        broker.send(broker.root + "/switch", word)
        if word == "nonsense":
            await self.until(lambda: "/error" in broker.latest, "an answer to nonsense")
            del broker.latest["/error"]
        else:
            await self.until(lambda: broker.taken > taken, "a command taken")

    async def print_jobs(self):
        """Jobs of a few polls, for ever, so that the machine goes through its states."""
        while True:
            for body in (printer(), printer(83.4, 0.0), printer(215.0, 215.0, True)):
                self.http.body = body
                await asyncio.sleep(2)


async def attempt(of, heap, work, names):
    """(bytes, "" or why the work was not done) for a heap of `heap` bytes beside the shims."""
    try:
        async with Work(of, heap + of.shims, names=names) as plant:
            await plant.do(*work)
        return heap, ""
    except Failed as why:
        return heap, str(why)


async def smallest(of, work, names, low, high, step, wide=8):
    """(bytes of the smallest heap that does it, why the next smaller one does not).

    Looks at `wide` sizes at once: they mostly wait. (None, why) if not even `high` does it.
    """
    reasons = {}
    while True:
        stride = max(step, -(-(high - low) // wide // step) * step)
        sizes = range(low, high + 1, stride)
        say(f"{of.name}: heaps from {low / K:g}k to {high / K:g}k")
        for size, why in await asyncio.gather(*(attempt(of, s, work, names) for s in sizes)):
            reasons[size] = why
        failed = [size for size in reasons if reasons[size]]
        worst = max(failed, default=None)
        good = [size for size in reasons if not reasons[size] and size > (worst or 0)]
        if not good:
            return None, reasons[worst]
        if worst is None:
            return min(good), "not tried"
        if min(good) - worst <= step:
            return min(good), reasons[worst]
        low, high = worst + step, min(good) - step


class Moments:
    """Used, free and largest block in bytes, as the probe prints them, by what is going on.

    names: how many MicroPython keeps in the heap, and in how many pools; (0, 0) if it did not say.
    """

    def __init__(self):
        self.names = 0, 0
        self.seen = {}
        self.modules = set()
        self.now = ""
        self.work = None
        self._used = self._free = 0

    def said(self, text):
        """Looks at a line that the plug printed."""
        if text.startswith("modules "):
            now = set(text.split()[1:])
            self.modules = self.modules & now or now  # what is seen every time stays
        found = re.match(r"qstr pool: n_pool=(\d+), n_qstr=(\d+)", text)
        if found:
            self.names = int(found[2]), int(found[1])
        found = re.match(r"GC: total: \d+, used: (\d+), free: (\d+)", text)
        if found:
            self._used, self._free = int(found[1]), int(found[2])
        found = re.search(r"max free sz: (\d+)", text)
        if found:
            now = self.now
            if self.work and self.work.http.busy and now == CONNECTED:
                now = POLLING
            self.seen.setdefault(now, []).append((self._used, self._free, int(found[1]) * 16))

    def worst(self, moment):
        """(most used, least free, smallest largest block) seen at that moment, or None."""
        seen = self.seen.get(moment)
        return seen and (max(s[0] for s in seen), min(s[1] for s in seen), min(s[2] for s in seen))


START, CONNECTED, POLLING = "after start", "connected, MQTT on", "during a poll"
COMMANDED, PUBLISHED = "while commands come", "all published on reconnect"
MOMENTS = START, CONNECTED, POLLING, COMMANDED, PUBLISHED


async def moments(of, names, heap=0):
    """Moments of a plug at work, in the model's heap or one of `heap` bytes; raises Failed."""
    seen = Moments()
    probe = modules.shims(of.name, "probe")
    async with Work(of, (heap or of.heap) + probe, "probe", seen.said, names) as work:
        seen.work, seen.now = work, START
        await work.until(lambda: seen.seen, "a first reading")
        seen.now = "starting"
        await work.until(lambda: "/info" in work.broker.latest, "MQTT")
        seen.now = CONNECTED
        work.http.hold_s = 0.2
        before = work.http.polls
        await work.until(lambda: work.http.polls >= before + 10, "10 polls")
        seen.now = COMMANDED
        for word in COMMANDS:
            await work.until(lambda: work.broker.client, "MQTT", AWAY_S)
            work.broker.send(work.broker.root + "/switch", word)
            await asyncio.sleep(0.5)
        seen.now = PUBLISHED
        work.broker.drop()
        work.broker.latest.clear()
        await work.until(lambda: "/info" in work.broker.latest, "MQTT again")
        seen.now = CONNECTED
        await asyncio.sleep(1)
    return seen


OPEN = "portal open"
VISITS = 3
_door = asyncio.Lock()  # there is one port 80


async def visits(of, names):
    """Moments of a plug whose portal is opened, looked at, used and closed again three times, in
    the model's heap; raises Failed."""
    seen = Moments()
    probe = modules.shims(of.name, "probe")
    async with _door, Work(of, of.heap + probe, "probe", seen.said, names) as work:
        seen.now = "starting"
        await work.until(lambda: "/info" in work.broker.latest, "MQTT")
        for n in range(1, VISITS + 1):
            say(f"{of.name}: the portal is open, visit {n} of {VISITS}")
            seen.now = "opening"
            hold = work.plug.root / "hold"
            hold.touch()
            await asyncio.sleep(visitor.HOLD_S)
            hold.unlink()
            async with visitor.Visitor() as guest:
                try:
                    await guest.enter()
                    seen.now = OPEN
                    await guest.look()
                    await guest.save(cool_below_c=str(40 + n))
                    work.broker.latest.clear()
                    await guest.leave()
                except (aiohttp.ClientError, TimeoutError) as wrong:
                    raise Failed(f"visit {n}: {wrong!r}; {work.plug.trouble}") from None
            seen.now = "closing"
            await work.until(lambda: "/info" in work.broker.latest, "MQTT again")
            await work.until(lambda: work.broker.latest.get("/reason") in RESTS, "rest", AWAY_S)
            seen.now = f"after visit {n}"
            await asyncio.sleep(3)
    return seen


def _faulty(http, every=10):
    """An answer function for `http`: each tenth poll goes wrong, each time in another way."""
    count = 0
    ways = SOON * 4 + LONG

    def answer(path):
        nonlocal count
        if not path.startswith("/api/printer?") or http.polls % every:
            return http.healthy(path)
        count += 1
        return ways[count % len(ways)]

    return answer


RESTS = "nothing printing", "on for good"


async def endurance(of, names, polls, heap=0):
    """(bytes used after a tenth of the polls, at the end, least free, smallest largest block,
    names of the modules that stayed). One fault in ten polls; raises Failed."""
    seen = Moments()
    probe = modules.shims(of.name, "probe")
    async with Work(of, (heap or of.heap) + probe, "probe", seen.said, names) as work:
        faulty = _faulty(work.http)

        async def until(wanted):
            # Works up to so many polls, then comes to rest in the state it began in.
            work.http.answer = faulty
            flip = asyncio.create_task(work.print_jobs())
            try:
                while work.http.polls < wanted:
                    done = work.http.polls
                    if seen.now != done * 10 // polls:
                        seen.now = done * 10 // polls
                        say(f"{of.name}: {done} of {polls} polls, one in ten goes wrong")
                        work.broker.drop()
                    await work.until(lambda done=done: work.http.polls > done, "a poll", 60)
            finally:
                flip.cancel()
            work.http.answer, work.http.body = work.http.healthy, printer()
            work.broker.latest.pop("/info", None)
            await work.until(lambda: "/info" in work.broker.latest, "MQTT again", AWAY_S)
            await work.until(lambda: work.broker.latest.get("/reason") in RESTS, "rest", AWAY_S)
            seen.now = f"after {wanted}"
            await asyncio.sleep(3)
            return min(seen.seen[seen.now])

        first, last = await until(polls // 10), await until(polls)
    every = [reading for readings in seen.seen.values() for reading in readings]
    least = min(r[1] for r in every), min(r[2] for r in every)
    own = probe + of.rom
    return first[0] - own, last[0] - own, *least, seen.modules


_served = 0  # how many want names now
_names = None


@contextlib.asynccontextmanager
async def resolver():
    """True inside where names can be served, which takes port 53."""
    global _served, _names
    _served += 1
    if _served == 1:
        _names = asyncio.create_task(Names.start())
    try:
        await _names  # pyright: ignore[reportGeneralTypeIssues]
    except OSError:
        _served -= 1
        yield False
        return
    try:
        yield True
    finally:
        _served -= 1
        if not _served:
            _names.result().close()


QUICK = 20, 5, 1
FULL = 200, 50, 10


async def quick():
    """Module costs, what is used at work in a heap with room to spare, and roughly the smallest
    heap, all for the 1 MB plug. Rows for the table."""
    of = DELIVERIES["1mb"]
    rows = []
    command = "tools/bench.sh heap --quick"
    costs = modules.costs(of.name)
    for name, cost, kept in costs:
        note = "resident" if kept is None else f"on use; {kept} stay when let go"
        rows.append((name, f"{cost:,} B", note, command))
    total = sum(c for name, c, kept in costs if kept is None and name.startswith("module"))
    rows.append(("modules, resident", f"{total:,} B", "with asyncio", command))
    async with resolver() as names:
        try:
            seen = await moments(of, names, 64 * K)
        except Failed as why:
            return [*rows, ("at work", "failed", str(why), command)]
        probe = modules.shims(of.name, "probe")
        for moment in MOMENTS:
            worst = seen.worst(moment)
            if worst:
                used = worst[0] - probe
                # A thirty-third of the heap are the collector's tables.
                free = of.heap * 32 // 33 - used
                rows.append((moment, f"{used:,} B used", f"{free:,} B free in 36k", command))
        low = (used + 33 * K // 32) // K * K
        size, why = await smallest(of, QUICK, names, low, low + 7 * K, K)
    text = f"{size / K:g}k" if size else f"more than {low // K + 7}k"
    rows.append(("smallest heap, roughly", text, f"below: {why}", command))
    return rows


# What each delivery is to reach: smallest heap in KB, then free and largest block at worst.
# The chip's model has 2k more than that of the plug, and may use them.
TARGETS = {"1mb": (34, 6, 2.5), "chip": (36, 6, 2.5), "2mb": (32, 9, 3), "rom": (24, 16, 8)}


async def full(of):
    """Rows of everything about one delivery."""
    command = f"tools/bench.sh heap --delivery {of.name}"
    rows = []
    want, want_free, want_block = TARGETS[of.name]

    def row(what, figure, note=""):
        rows.append((f"{of.name}: {what}", figure, note, command))

    row(of.title, f"{of.heap // K}k", f"shims of {of.shims} B not counted")
    async with resolver() as names:
        if not names:
            row("names", "not resolved", "port 53 cannot be had: dotted addresses instead")
        try:
            roomy = await moments(of, names, 64 * K)
        except Failed as why:
            return [*rows, (f"{of.name}: at work", "failed", str(why), command)]
        probe = modules.shims(of.name, "probe")
        used = max(roomy.worst(moment)[0] for moment in MOMENTS if roomy.worst(moment))
        used -= probe + of.rom
        low = (used + 33 * K // 32) // K * K
        (size, why), tight, long, open_ = await asyncio.gather(
            smallest(of, FULL, names, low, low + 14 * K, STEP),
            _or_why(moments(of, names)),
            _or_why(endurance(of, names, 2000)),
            _or_why(visits(of, names)),
        )
    text = f"{size / K:.2f}k" if size else f"more than {low // K + 14}k"
    row("smallest heap that works", text, f"wanted {want}k; just below: {why}")
    if isinstance(tight, Failed):
        row(f"at work in {of.heap // K}k", "fails", str(tight))
    else:
        for moment in MOMENTS:
            if tight.worst(moment):
                _, free, block = tight.worst(moment)
                row(moment, f"{free:,} / {block:,} B", "least free, smallest largest block")
        n, pools = tight.names
        row("names", f"{n} in {pools} pools", "the fourth, of 1.1 KB, begins at the 141st")
        row("worst wanted", f"{want_free * K:,.0f} / {want_block * K:,.0f} B", "")
    if isinstance(open_, Failed):
        row(OPEN, "fails", str(open_))
    else:
        _, free, block = open_.worst(OPEN)
        row(OPEN, f"{free:,} / {block:,} B", "every page looked at, settings saved")
        free, block = max(r[1:] for r in open_.seen[f"after visit {VISITS}"])
        row("after it was closed", f"{free:,} / {block:,} B", "at rest again")
        used = [min(open_.seen[f"after visit {n}"])[0] for n in range(1, VISITS + 1)]
        note = f"used after visit {VISITS}, beside what was used after the second"
        row("growth with each opening", f"{used[-1] - used[-2]:+,} B", note)
    if isinstance(long, Failed):
        row("2,000 polls, 200 faults", "fails", str(long))
    else:
        first, last, free, block, _ = long
        row("2,000 polls, 200 faults", f"{free:,} / {block:,} B", "least free, smallest block")
        row(
            "growth",
            f"{last - first:+,} B",
            f"used {first:,} B after 200 polls, {last:,} B at the end",
        )
    return rows


async def all_of(deliveries):
    """Rows of several deliveries, measured side by side: they mostly wait."""
    done = await asyncio.gather(*(full(of) for of in deliveries))
    return [row for rows in done for row in rows]


async def _or_why(work):
    try:
        return await work
    except Failed as why:
        return why
