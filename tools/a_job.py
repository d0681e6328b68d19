"""Writes docs/a-job.md: what a plug says by MQTT while one whole job is printed, as captured.

    .venv/bin/python tools/a_job.py              about two minutes; writes docs/a-job.md
    .venv/bin/python tools/a_job.py --print      to the screen instead

Real are: the firmware, on 32-bit MicroPython; OctoPrint 1.11.8 with its virtual printer; the
mosquitto that carries the messages. Only the chip is virtual.
"""

import contextlib
import re
import sys
import tempfile
import textwrap
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
for part in (ROOT / "tools", ROOT / "tests", ROOT):
    sys.path.insert(0, str(part))

import build
import e2e
import fetch
import servers
from env import say

DOCUMENT = ROOT / "docs/a-job.md"
TOPIC = "octoplugout/ab128a"
JOB_C = 80

# What differs from a fresh plug: a job of seconds, on a printer that cools 2 C/s
SETTINGS = {
    "poll_s": 2,
    "poll_idle_s": 2,
    "hot_above_c": 70,
    "cool_below_c": 50,
    "min_job_s": 5,
    "shutdown_wait_s": 3,
    "halt_settle_s": 20,
    "shutdown_max_s": 60,
    "pi_down_s": 5,
    "wifi_settle_s": 3,
    "mqtt_report_s": 10,
    "mqtt_keepalive_s": 30,
    "mqtt_topic": TOPIC,
}

# A step begins where its state is published. Names in braces are settings.
STEPS = {
    e2e.WAITING: (
        "The plug is on and looks for OctoPrint",
        "The plug has just got its power, closed its relay and joined the WiFi; behind the relay"
        " the Pi boots. The plug tells the broker that it is `online`; should it ever vanish, the"
        " broker says `offline` in its name. What is told here of status, state, relay, mode,"
        " reason and countdown is retained: who subscribes later gets it at once.",
    ),
    e2e.CONNECTED: (
        "OctoPrint answers",
        "Nothing is printed. `/mode` is `ON`: the plug watches OctoPrint, and will switch off"
        " after a job.",
    ),
    e2e.STARTED: (
        "A job runs",
        "It does not count yet: a job must last a while (`min_job_s`, {min_job_s} s here, 300 s by"
        " default) and be hot (`hot_above_c`, {hot_above_c} °C here, 175 °C by default), so that a"
        " cancelled try does not switch anything off.",
    ),
    e2e.ARMED: (
        "Off after this job",
        "The job is long and hot enough. `/mode` becomes `OFF`: the power will go off after it."
        " In this run the job is now paused for some seconds and resumed: a paused job is still a"
        " job, and nothing happens.",
    ),
    e2e.COOLING: (
        "The job is over, the nozzle cools",
        "Two readings in a row said that nothing is printed. The plug waits until every nozzle is"
        " below `cool_below_c`; `/reason` tells how far it is.",
    ),
    e2e.ASKING: (
        "Cool: the Pi is asked to shut down",
        "The printer is read once more, and only if it is still idle and cool the plug asks"
        " OctoPrint to shut its computer down.",
    ),
    e2e.COUNTDOWN: (
        "OctoPrint has accepted; the Pi goes down",
        "First OctoPrint ends, then the Pi itself is silent, on OctoPrint's port and on ssh. It"
        " must stay silent for a while (`halt_settle_s`, {halt_settle_s} s here, 45 s by default),"
        " since the network goes before the disk is written. `/countdown` tells the seconds left.",
    ),
    e2e.OFF: (
        "Off",
        "The Pi is down: the relay opens. Printer and Pi have no power, the plug itself goes on"
        " listening to its button and to `/switch`.",
    ),
}

HEAD = """# A job, as the plug tells it

<!-- Made by tools/a_job.py from a real run: change that, not this. -->

This is all that a plug said by MQTT during one whole job, in the order in which
`mosquitto_sub -v -t 'octoplugout/#'` shows it, with the seconds since the plug got its power. It
was captured by

    .venv/bin/python tools/a_job.py

from the real firmware on 32-bit MicroPython, a real OctoPrint {version} with its virtual printer,
and a real mosquitto. The job prints at {job} °C for some seconds, is paused once, and times are
short; with the settings of a fresh plug the same happens more slowly. Where `…` stands, lines like
those around it, in which only numbers differ, are left out.

`{topic}` stands before every topic; `ab128a` are the last six digits of the plug's MAC
address.
"""

TAIL = """
## Unplugged

At the end the plug itself was pulled out of the wall. It could not say goodbye: this is its last
will, which the broker sends when the plug does not answer any more.
"""


class Listener(servers.Watcher):
    """A Watcher that knows when each message came."""

    def __init__(self, port):
        self.times = []
        super().__init__(port, topics="octoplugout/#")

    def _message(self, client, userdata, message):
        self.times.append(time.monotonic())
        super()._message(client, userdata, message)


def run():
    """Print the job; returns (seconds, topic below the root, payload) of every message."""
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        build.build(folder / "built")
        octoprint = servers.OctoPrint(fetch.octoprint(), folder / "octoprint")
        stack.callback(octoprint.kill)
        broker = servers.Mosquitto(folder / "mosquitto")
        stack.callback(broker.stop)
        broker.start()
        listener = stack.enter_context(Listener(broker.port))
        pi = servers.Pi(octoprint, halt_s=6)
        stack.callback(pi.close)
        pi.halt()
        pi.power(False)  # it boots when the relay closes
        plug = e2e.Plug(folder / "built", folder / "flash", pi, broker, **SETTINGS)
        stack.callback(plug.close)
        started = time.monotonic()

        def told(topic, payload=None):
            return listener.wait(f"{TOPIC}/{topic}", payload, 120)

        told("state/printstate", "Operational")
        octoprint.job(15, tool=JOB_C, name="bracket.gcode")
        plug.reach(e2e.ARMED)
        octoprint.pause()
        told("state/printstate", "Paused")
        time.sleep(5)  # for the document to show that nothing happens
        octoprint.unpause()
        told("plugstate", e2e.OFF)
        told("relay", "OFF")
        told("countdown", "")
        told("reason", "off")
        plug.unplug()
        told("status", "offline")
        assert not pi.cut_alive
        times = [at - started for at in listener.times]
        return [
            (at, topic.removeprefix(TOPIC), payload)
            for at, (topic, payload, _) in zip(times, listener.messages, strict=False)
        ]


def shortened(messages):
    """The lines of one step; of many in a row that only repeat or count, the first and last."""
    lines, repeats, seen = [], [], set()

    def flush():
        if len(repeats) > 6:
            repeats[2:-2] = [f"{'…':>7}  {len(repeats) - 4} more like these"]
        lines.extend(repeats)
        repeats.clear()

    for at, topic, payload in messages:
        line = f"{at:7.1f}  {topic:<20} {payload}".rstrip()
        kind = topic, re.sub(r"[0-9.]+", "0", payload)
        if kind in seen:
            repeats.append(line)
        else:
            flush()
            lines.append(line)
            seen.add(kind)
    flush()
    return lines


def document(messages):
    """The text of docs/a-job.md."""
    version = next(iter(fetch.config()["octoprint"]))
    parts = [HEAD.format(version=version, job=JOB_C, topic=TOPIC)]
    # What is said before the state itself belongs to the first step
    steps, last = [[]], []
    for message in messages:
        if message[1] == "/plugstate" and any(m[1] == "/plugstate" for m in steps[-1]):
            steps.append([])
        (last if message[1:] == ("/status", "offline") else steps[-1]).append(message)
    for number, step in enumerate(steps, 1):
        state = next(payload for _, topic, payload in step if topic == "/plugstate")
        title, text = STEPS[state]
        text = textwrap.fill(text.format(**SETTINGS), 99)
        parts.append(f"\n## {number}. {title}\n\n{text}\n")
        parts.append("\n```\n" + "\n".join(shortened(step)) + "\n```\n")
    parts.append(TAIL)
    parts.append("\n```\n" + "\n".join(shortened(last)) + "\n```\n")
    return "".join(parts)


def main(arguments):
    if arguments not in ([], ["--print"]):
        print(__doc__)
        return 0 if set(arguments) & {"-h", "--help"} else 2
    try:
        text = document(run())
    except (build.BuildError, fetch.FetchError, TimeoutError, RuntimeError, OSError) as wrong:
        say(f"No job was captured: {wrong}")
        return 1
    if arguments:
        print(text)
    else:
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(text)
        say(f"Written: {DOCUMENT.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
