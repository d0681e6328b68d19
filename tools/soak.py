"""A plug at work for an hour, and something going wrong every few seconds: see soak.sh.

The firmware runs under 32-bit MicroPython in the heap of a 1 MB plug; OctoPrint with its virtual
printer and mosquitto are real. Looked for: a task that is lost (the plug no longer polls, or no
longer talks to the broker), heap that is not given back, and a relay that moves though nobody and
nothing gave a reason. Ends with 1 if there was one of these.
"""

import argparse
import contextlib
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import build
import e2e
import fetch
import servers
from bench import report

QUIET_S = 20  # without faults, once in a while, to see whether all is well


class Soak:
    """The plug, its servers, and what happened to them: `counts`, `wrong`, `free` heap bytes."""

    def __init__(self, folder, seed):
        self.chance = random.Random(seed)
        folder = Path(folder)
        build.build(folder / "flash")
        program = fetch.CACHE / "octoprint-1.11.8/bin/octoprint"
        self.octoprint = servers.OctoPrint(program, folder / "octoprint").start()
        self.pi = servers.Pi(self.octoprint)
        self.broker = servers.Mosquitto(folder / "mosquitto").start()
        self.plug = e2e.Plug(folder / "flash", folder / "plug", self.pi, self.broker)
        self.watcher = self.broker.client()
        self.counts = Counter()
        self.wrong = []
        self.free = []  # (seconds, most bytes that were free in a quiet time)
        self.orders = []  # (seconds, word) that people gave
        self.started = time.monotonic()
        self.plug.chip.relay_listeners.insert(0, self._moved)

    @property
    def s(self):
        return time.monotonic() - self.started

    def close(self):
        self.watcher.close()
        self.plug.close()
        self.pi.close()
        self.octoprint.resume()
        self.octoprint.kill()
        self.broker.resume()
        self.broker.stop()

    def say(self, text):
        print(f"{self.s:7.1f}  {text}", flush=True)

    def complain(self, text):
        self.wrong.append(f"{self.s:.1f} s: {text}")
        self.say("WRONG: " + text)

    def _moved(self, _ms, closed):
        self.counts["relay on" if closed else "relay off"] += 1
        self.say(f"relay {'on' if closed else 'off'} ({self.plug.state}, {self.plug.reason})")
        if closed:
            kept = 300 if "on again" in self.plug.reason else 30  # an order that was remembered
            if not self.ordered(kept, "ON PERMON AFTERJOB SHORT LONG"):
                self.complain("the relay closed though nobody said so")
        elif self.pi.halted:
            self.counts["off once the Pi was down"] += 1
        elif not self.ordered(20, "FORCEOFF LONG"):
            self.complain("the relay opened over a living Pi")

    def ordered(self, seconds, words):
        """Whether one of these was said in the last so many seconds."""
        return any(self.s - at <= seconds and word in words.split() for at, word in self.orders)

    def order(self, word):
        """A press or a command."""
        self.orders.append((self.s, word))
        if word in ("SHORT", "LONG"):
            self.plug.press(150 if word == "SHORT" else 800)
        else:
            with contextlib.suppress(RuntimeError):  # the broker is away
                self.watcher.publish(e2e.ROOT + "/switch", word)

    # --- what goes wrong

    def wifi(self):
        self.plug.wifi(False)
        time.sleep(self.chance.uniform(0.5, 8))
        self.plug.wifi(True)

    def octoprint_hangs(self):
        self.octoprint.hang()
        time.sleep(self.chance.uniform(0.5, 14))
        self.octoprint.resume()

    def octoprint_restarts(self):
        if self.pi.powered and self.octoprint.running:
            self.octoprint.kill()
            self.octoprint.start(False)

    def printer_lost(self):
        with contextlib.suppress(RuntimeError, TimeoutError):
            self.octoprint.do("/api/connection", command="disconnect")
            time.sleep(self.chance.uniform(0.5, 5))
            self.octoprint.do("/api/connection", command="connect")

    def broker_hangs(self):
        self.broker.hang()
        time.sleep(self.chance.uniform(0.5, 8))
        self.broker.resume()

    def broker_restarts(self):
        self.broker.stop()
        time.sleep(self.chance.uniform(0, 3))
        self.broker.start()

    def nonsense(self):
        word = self.chance.choice(("nonsense", "", "-", "\0", "x" * 1000, "ONN"))
        self.watcher.publish(e2e.ROOT + "/switch", word)

    def retained(self):
        self.watcher.publish(e2e.ROOT + "/switch", "FORCEOFF", retain=True)
        self.orders.append((self.s, "FORCEOFF"))  # it is sent to a subscriber at once as well

    def commands(self):
        self.order(self.chance.choice("ON PERMON AFTERJOB OFF SHORT LONG".split()))

    def force(self):
        self.order("FORCEOFF")

    def crash(self):
        self.plug.crash()

    def job(self):
        with contextlib.suppress(RuntimeError, TimeoutError):
            if self.octoprint.flags().get("ready"):
                self.octoprint.job(3, e2e.JOB_C, wait=False)
                self.counts["jobs started"] += 1
                self.order("OFF")

    FAULTS = (
        (wifi, octoprint_hangs, printer_lost, broker_hangs, broker_restarts, nonsense) * 3
        + (commands,) * 5
        + (job,) * 8
        + (octoprint_restarts, retained, force, crash)
    )

    def quiet(self):
        """Nothing goes wrong for a while: is all well?"""
        free = []
        end = time.monotonic() + QUIET_S
        while time.monotonic() < end:
            time.sleep(0.5)
            free.append(self.plug.runner.heap_free or 0)
        self.free.append((self.s, max(free)))
        try:
            servers.wait_until(self._powered, "the Pi to boot", 180, 1)
            self.octoprint.wait_ready(90)
            self.watcher.wait(e2e.ROOT + "/status", "online", 70)
            self.watcher.wait(e2e.ROOT + "/state/printstate", "Operational", 70)
            servers.wait_until(
                lambda: self.watcher.latest.get(e2e.ROOT + "/plugstate") == self.plug.state,
                "the broker to know the state",
            )
        except (TimeoutError, RuntimeError) as late:
            self.complain(str(late).split("\n")[0])
        self.say(f"quiet: {self.plug.state}, {self.plug.reason}; {self.free[-1][1]} B free")

    def _powered(self):
        # What is under way may still end with the power off. By the button: the broker may not
        # have the plug just now. And not twice within the five seconds that the relay rests.
        if not self.plug.relay and not self.ordered(10, "SHORT"):
            self.order("SHORT")
        elif self.plug.relay and self.pi.halted and not self.ordered(20, "FORCEOFF"):
            # it had been asked before somebody said "on for good": nobody wakes it but the power
            self.counts["halted with the power on"] += 1
            self.order("FORCEOFF")
        return self.octoprint.running

    def run(self, minutes):
        end = time.monotonic() + 60 * minutes
        next_quiet = time.monotonic() + 60
        while time.monotonic() < end:
            time.sleep(self.chance.uniform(1, 5))
            fault = self.chance.choice(self.FAULTS)
            self.counts[fault.__name__] += 1
            self.say(fault.__name__)
            # beside the clock, so that one fault may come into another
            thread = threading.Thread(target=self._try, args=(fault,), daemon=True)
            thread.start()
            thread.join(self.chance.uniform(1, 15))
            if not self.plug.relay and self.chance.random() < 0.3:
                self.order("ON")
            if time.monotonic() > next_quiet:
                thread.join(60)
                self.quiet()
                next_quiet = time.monotonic() + 60

    def _try(self, fault):
        try:
            fault(self)
        except (OSError, RuntimeError, TimeoutError) as error:
            self.counts["not carried out"] += 1
            self.say(f"{fault.__name__} could not be carried out: {error}")

    def rows(self, minutes):
        """Rows for docs/bench.md."""
        command = f"tools/soak.sh --minutes {minutes:g}"
        rows = [("soak", f"{self.s / 60:.0f} minutes", "real OctoPrint and mosquitto", command)]
        for name in sorted(self.counts):
            rows.append((name.replace("_", " "), str(self.counts[name]), "times", command))
        free = [most for _, most in self.free]
        if len(free) > 1:
            third = max(1, len(free) // 3)
            # quiet() reads before it waits for connections, so that single readings stand out
            first, last = (int(statistics.median(part)) for part in (free[:third], free[-third:]))
            note = "free in quiet times, in the middle: "
            note += f"{first:,} B in the first third, {last:,} B in the last"
            rows.append(("growth", f"{first - last:+,} B", note, command))
            if first - last > 512:
                self.complain(f"{first - last} B of heap were not given back")
        serial = [line for line in self.plug.runner.serial if "Error" in line]
        rows.append(
            ("errors on the serial line", str(len(serial)), "; ".join(serial[-3:]), command)
        )
        wrong = "; ".join(self.wrong) or "no lost task, no unexplained switch"
        rows.append(("wrong", str(len(self.wrong)), wrong, command))
        return rows


def main():
    parser = argparse.ArgumentParser("tools/soak.sh", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="how long; 60 if not given")
    parser.add_argument("--seed", type=int, default=1, help="of what goes wrong when")
    parser.add_argument("--write", action="store_true", help="the summary into docs/bench.md")
    given = parser.parse_args()
    if not servers.program("mosquitto"):
        sys.exit("mosquitto is not installed (Debian: apt-get install mosquitto)")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    with tempfile.TemporaryDirectory(prefix="octoplugout-soak-") as folder:
        soak = Soak(folder, given.seed)
        try:
            soak.run(given.minutes)
            soak.quiet()
        finally:
            rows = soak.rows(given.minutes)
            soak.close()
    for what, figure, note, _ in rows:
        print(f"{what:28} {figure:>12}  {note}")
    if given.write:
        report.write({"soak": rows})
    return bool(soak.wrong)


if __name__ == "__main__":
    sys.exit(main())
