"""All plugs on a broker: a table of them, commands to some or all, an update of all.

Started by tools/fleet.sh, which makes the environment; docs/fleet.md shows how. Nothing is asked
of the plugs for the table: it is what they publish. Rules kept here: what comes from a broker is
shown without control characters and in a limited length; a command is never retained; a plug has
taken a command only when it said so after the command went by; a bad option changes nothing.

The sub-topics are those of a plug whose `topic_…` settings were left alone.
"""

import contextlib
import ipaddress
import json
import re
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import paho.mqtt.client as paho
import typer
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

import bundle
import plug_ota
from bundle import BundleError
from plug_ota import OtaError

COMMANDS = "ON AFTERJOB OFF PERMON FORCEOFF".split()
_COMMANDS = " ".join(COMMANDS) + ", 'PERMON 1' to 'PERMON 999' (hours)"
ROOT_PATTERN = "octoplugout/+"

# What is looked at below a plug's root; firmware/mqtt.py publishes it.
TOPICS = (
    "/status /plugstate /relay /mode /reason /countdown /print /state/printstate"
    " /state/extrudertemp /state/bedtemp /job/jobstate /job/jobprogress /info /switch /error"
).split()

COLUMNS = "plug status state relay mode countdown tool job version ip rssi reason".split()
_TELLING = "plug status state tool job countdown relay reason ip mode version rssi".split()

# In these the plug opens no page, so no update either.
_CRITICAL = ("shutting_down_PI", "delayed_powering_relay_off", "going_down")
_LONGEST = 512  # letters of a payload that are kept; /info has some 150
_QUIET_S = 1.0  # no further retained message for so long: the broker has sent them all
_SETTLE_S = 30.0
_ANSWER_S = 10.0  # of a plug, which collects commands for 1 s
_INFLIGHT = 200  # commands that wait for the broker's acknowledgement at a time
_AT_ONCE = 10  # updates
_OPEN_S = 30.0  # a plug has restarted in place and opened its pages within this
_LOOK_S = 1.0
_TURN_S = 5  # a page of a table that is longer than the terminal
_WIDEST = 40  # letters of a column there
_AROUND = 6  # lines of the terminal that are no row

OFFLINE = "offline: not sent, since a broker keeps no command for it"


class FleetError(Exception):
    """Why it could not be done: the broker, or what is on it."""


class BadInput(FleetError):
    """An option or a word that cannot be; nothing was done."""


# --- what a plug says ----------------------------------------------------------------------------


def clean(payload):
    """The text of a payload (bytes), one line, no control characters, at most 512 letters."""
    text = payload.decode("utf-8", "replace")[:_LONGEST]
    return "".join(c if c.isprintable() else "?" for c in text)


def number(text):
    """A finite float, or None."""
    try:
        found = float(text)
    except (TypeError, ValueError):
        return None
    return found if abs(found) < 1e9 else None


@dataclass
class Plug:
    """A plug as it is known to the broker: `said` is {sub-topic: text}."""

    root: str
    said: dict[str, str] = field(default_factory=dict)

    @property
    def id(self):
        return self.root.rsplit("/", 1)[-1]

    @property
    def online(self):
        """True, False, or None when it says neither."""
        return {"online": True, "offline": False}.get(self.said.get("/status", ""))

    @property
    def state(self):
        return self.said.get("/plugstate", "")

    @property
    def info(self):
        """/info as a dict; {} when it is none."""
        with contextlib.suppress(ValueError):
            found = json.loads(self.said.get("/info", ""))
            if isinstance(found, dict):
                return found
        return {}

    def facts(self):
        """What list --json says: None for what is not known."""
        said, info = self.said, self.info
        left = number(said.get("/countdown"))
        version, ip, rssi = (info.get(key) for key in ("version", "ip", "rssi"))
        return {
            "root": self.root,
            "id": self.id,
            "online": self.online,
            "state": self.state or None,
            "relay": said.get("/relay"),
            "mode": said.get("/mode"),
            "reason": said.get("/reason"),
            "countdown_s": None if left is None else int(left),
            "print_state": said.get("/state/printstate"),
            "tool_c": number(said.get("/state/extrudertemp")),
            "bed_c": number(said.get("/state/bedtemp")),
            "progress_percent": number(said.get("/job/jobprogress")),
            "version": version if isinstance(version, str) else None,
            "ip": ip if isinstance(ip, str) and ip else None,
            "rssi_dbm": rssi if isinstance(rssi, int) else None,
        }

    def row(self, name=None):
        """Texts in the order of COLUMNS; "" for what is not known."""
        facts = self.facts()

        def shown(key, form="{}"):
            return "" if facts[key] is None else form.format(facts[key])

        status = {True: "online", False: "offline", None: "?"}[facts["online"]]
        return (
            name or self.id,
            status,
            shown("state"),
            shown("relay"),
            shown("mode"),
            shown("countdown_s", "{} s"),
            shown("tool_c", "{:.1f} C"),
            shown("progress_percent", "{:.1f} %"),
            shown("version"),
            shown("ip"),
            shown("rssi_dbm", "{} dBm"),
            shown("reason"),
        )


def summary(plugs):
    """One line on all of them."""
    online = sum(plug.online is True for plug in plugs)
    on = sum(plug.said.get("/relay") == "ON" for plug in plugs)
    hot = sum((number(plug.said.get("/state/extrudertemp")) or 0) >= 50 for plug in plugs)
    counting = sum(bool(plug.said.get("/countdown")) for plug in plugs)
    return (
        f"online {online} of {len(plugs)}; relay on {on}; tool at 50 C or more {hot}; "
        f"counting down {counting}"
    )


# --- the broker ----------------------------------------------------------------------------------


@dataclass
class Broker:
    host: str = "127.0.0.1"
    port: int = 1883
    user: str = ""
    password: str = ""

    def __str__(self):
        return f"{self.host}:{self.port}"


@dataclass
class Result:
    """What came of a command: `seconds` from the sending of all to this plug's answer."""

    root: str
    good: bool
    said: str
    seconds: float | None = None


class Fleet:
    """A connection to a broker that keeps what the plugs below `pattern` say.

    pattern: their root topics, an MQTT filter such as `octoplugout/+`, `site/+/+` or `site/#`.
    A root is a plug once it has a /plugstate. FleetError: the broker cannot be reached or refuses.
    """

    def __init__(self, broker, pattern=ROOT_PATTERN):
        self.broker, self.pattern = broker, pattern
        self.found = {}
        self.changed = threading.Condition()
        self.pending = {}  # {root: the word it was sent}
        self.echoed = set()  # of these the word has gone by
        self.results = {}
        self.began = 0.0
        self.refused, self.subscribed = "", False
        self.retained_at = time.monotonic()
        client = self.client = paho.Client(CallbackAPIVersion.VERSION2)
        if broker.user:
            client.username_pw_set(broker.user, broker.password)
        client.max_inflight_messages_set(_INFLIGHT)
        client.reconnect_delay_set(1, 10)
        client.on_connect = self._connected
        client.on_disconnect = self._gone
        client.on_subscribe = self._answered
        client.on_message = self._heard
        try:
            client.connect(broker.host, broker.port, keepalive=60)
        except OSError as wrong:
            reason = "the name is not known" if isinstance(wrong, socket.gaierror) else wrong
            raise FleetError(f"--broker {broker}: {reason}") from None
        client.loop_start()
        with self.changed:
            self.changed.wait_for(lambda: self.subscribed or self.refused, 10)
        if not self.subscribed:
            self.close()
            raise FleetError(f"--broker {broker}: {self.refused or 'no answer within 10 s'}")

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # Called in paho's thread.

    def _connected(self, client, _data, _flags, reason, _properties):
        with self.changed:
            if reason.is_failure:
                self.refused = f"it says {str(reason).lower()}: see --user and --password"
            self.changed.notify_all()
        if not reason.is_failure:
            below = [""] if self.pattern.endswith("#") else TOPICS
            # QoS 0: our own command and its answer then come in the order the broker had them
            client.subscribe([(self.pattern + topic, 0) for topic in below])

    def _answered(self, _client, _data, _mid, reasons, _properties):
        with self.changed:
            if any(reason.is_failure for reason in reasons):
                self.refused = f"it does not let us read {self.pattern}"
            else:
                self.subscribed = True
                self.retained_at = time.monotonic()
            self.changed.notify_all()

    def _gone(self, *_):
        with self.changed:
            self.subscribed = False

    def _heard(self, _client, _data, message):
        topic = message.topic
        below = next((end for end in TOPICS if topic.endswith(end)), None)
        root = clean(topic.encode())[: -len(below)] if below else ""
        if not root:
            return
        text = clean(message.payload)
        with self.changed:
            if message.retain:
                self.retained_at = time.monotonic()
            elif root in self.pending:
                self._came_of(root, below, text)
            if below not in ("/switch", "/error"):
                self.found.setdefault(root, Plug(root)).said[below] = text

    def _came_of(self, root, below, text):
        # The retained "-" of an earlier command is no answer: it comes with the retain flag, and
        # what is published now without it. Nor is one from before our own word went by.
        if below == "/switch":
            if text == self.pending[root]:
                self.echoed.add(root)
            elif text == "-" and root in self.echoed:
                self._settled(root, True, "taken")
        elif below == "/error" and root in self.echoed:
            self._settled(root, False, f"refused: {text}")
        elif below == "/status" and text == "offline":
            self._settled(root, False, "went offline before it answered")

    def _settled(self, root, good, said):
        del self.pending[root]
        self.results[root] = Result(root, good, said, time.monotonic() - self.began)
        self.changed.notify_all()

    # For everybody.

    def settle(self, most_s=_SETTLE_S):
        """Wait until the broker has sent what it retains: nothing more of it for a second."""
        end = time.monotonic() + most_s
        while True:
            with self.changed:
                rest = self.retained_at + _QUIET_S - time.monotonic()
            if rest <= 0 or time.monotonic() >= end:
                return self
            time.sleep(min(rest, _QUIET_S))

    def plugs(self):
        """Copies of the plugs known by now, sorted by root topic."""
        with self.changed:
            there = [Plug(one.root, dict(one.said)) for one in self.found.values() if one.state]
        return sorted(there, key=lambda plug: plug.root)

    def choose(self, names, every=False):
        """The plugs with these ids or root topics, or every one. BadInput names what is wrong."""
        plugs = self.plugs()
        if every and names:
            raise BadInput("--all: goes without names of plugs")
        if not every and not names:
            raise BadInput("PLUG: name one or more by id or root topic, or say --all")
        if not plugs:
            raise FleetError(f"no plug at {self.broker} below {self.pattern}: see --root")
        if every:
            return plugs
        chosen = {}
        for name in names:
            fits = [plug for plug in plugs if name in (plug.id, plug.root)]
            if not fits:
                there = ", ".join(plug.id for plug in plugs[:8]) + ", …" * (len(plugs) > 8)
                raise BadInput(f"PLUG: {name!r} is none of {len(plugs)} plugs: {there}")
            if len(fits) > 1:
                roots = ", ".join(plug.root for plug in fits)
                raise BadInput(f"PLUG: {name!r} is more than one: name its root, of {roots}")
            chosen[fits[0].root] = fits[0]
        return list(chosen.values())

    def send(self, word, plugs, timeout_s=_ANSWER_S):
        """Send a command to these plugs, each at QoS 1 and not retained, and wait for answers.

        A list of Result in the order of `plugs`. An offline plug is sent nothing.
        """
        messages = {}
        with self.changed:
            self.results = {}
            self.pending = {plug.root: word for plug in plugs if plug.online is not False}
            self.echoed.clear()
            self.began = time.monotonic()
            roots = list(self.pending)
        for plug in plugs:
            if plug.online is False:
                self.results[plug.root] = Result(plug.root, False, OFFLINE)
        for root in roots:
            messages[root] = self.client.publish(root + "/switch", word, qos=1)
        with self.changed:
            self.changed.wait_for(lambda: not self.pending, timeout_s)
            for root in list(self.pending):
                there = self._acknowledged(messages[root])
                who = "no answer" if there else "the broker has not acknowledged it"
                self._settled(root, False, f"{who} within {timeout_s:g} s")
                self.results[root].seconds = None
            return [self.results[plug.root] for plug in plugs]

    @staticmethod
    def _acknowledged(message):
        try:
            return message.is_published()
        except (RuntimeError, ValueError):  # it was not even queued
            return False

    def wake(self, plugs):
        """A word on /update: these plugs open their pages, if they may. Waits for the broker."""
        for plug in plugs:
            message = self.client.publish(plug.root + "/update", "UPDATE", qos=1)
            if message.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
                message.wait_for_publish(10)


# --- updates -------------------------------------------------------------------------------------


class Woken(plug_ota.Plug):
    """A plug that was told on /update to open its pages: it restarts in place before it listens.

    sleep, clock: of time, in seconds.
    """

    def __init__(self, host, sleep=time.sleep, clock=time.monotonic):
        super().__init__(host)
        self.sleep, self.clock = sleep, clock
        self.until = clock() + _OPEN_S

    def ask(self):
        while True:
            try:
                said = super().ask()
            except OSError:
                if self.clock() >= self.until:
                    raise
                self.sleep(_LOOK_S)
                continue
            self.until = 0.0  # from now on, who does not answer is gone
            return said


def address(plug):
    """Where its pages are; OtaError with the reason why it cannot be updated now."""
    if plug.online is not True:
        raise OtaError(
            "offline. If its pages are open they close after some minutes, and it comes back"
        )
    if plug.state in _CRITICAL:
        raise OtaError(f"not now, it is about to cut the power ({plug.state})")
    ip = plug.info.get("ip")
    try:
        return str(ipaddress.IPv4Address(ip if isinstance(ip, str) else ""))
    except ValueError:
        raise OtaError("its /info has no ip") from None


def read_keys(path):
    """{id or root topic: ota_key} of a JSON file. BadInput names the file and the limits."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as wrong:
        raise BadInput(f"--keys: {path}: {wrong.strerror}") from None
    except ValueError as wrong:
        raise BadInput(f"--keys: {path} is not JSON: {wrong}") from None
    if not isinstance(found, dict):
        raise BadInput(f'--keys: {path}: a JSON object {{"id": "ota_key"}}')
    for name, key in found.items():
        if not isinstance(key, str) or not 1 <= len(key) <= 64:
            raise BadInput(f"--keys: {path}: the key of {name!r} must be 1 to 64 characters")
    return found


def hosts_of(plugs):
    """({ip: plug}, [Outcome of those that cannot be updated])."""
    by_ip, bad = {}, []
    for plug in plugs:
        try:
            by_ip.setdefault(address(plug), []).append(plug)
        except OtaError as wrong:
            bad.append(outcome(plug, False, str(wrong)))
    good = {}
    for ip, there in by_ip.items():
        if len(there) == 1:
            good[ip] = there[0]
        else:  # one of them is wrong, and the other would get its proof
            names = " and ".join(plug.id for plug in there)
            bad += [outcome(plug, False, f"{names} both say {ip}") for plug in there]
    return good, bad


def outcome(plug, good, said, before=None):
    return plug_ota.Outcome(plug.root, good, said, before or plug.info.get("version") or "?")


def keys_for(hosts, named, key=None):
    """{ip: ota_key}: of the file --keys; else one for all, asked for once if it must be."""
    found = {}
    for ip, plug in hosts.items():
        mine = named.get(plug.root) or named.get(plug.id)
        if mine:
            found[ip] = mine
    rest = [ip for ip in hosts if ip not in found]
    if rest:
        typed = []

        def once(_text):
            if not typed:
                typed.append(plug_ota.getpass.getpass("ota_key of the plugs (is not shown): "))
            return typed[0]

        found |= plug_ota.keys(rest, key, ask=once)
    return found


def update_plugs(fleet, hosts, data, what, found, at_once=_AT_ONCE, out=None):
    """Bring the plugs of {ip: plug} to that bundle, so many at a time; a list of Outcome."""
    outcomes, ips = [], list(hosts)
    for at in range(0, len(ips), at_once):
        group = ips[at : at + at_once]
        fleet.wake([hosts[ip] for ip in group])
        done = plug_ota.update_all(group, data, what, found, make=Woken, out=out)
        outcomes += [outcome(hosts[one.host], one.good, one.said, one.before) for one in done]
    return outcomes


# --- pictures ------------------------------------------------------------------------------------


def names_of(plugs):
    """{root: the id, or the root where an id is there twice}."""
    ids = [plug.id for plug in plugs]
    twice = {one for one in ids if ids.count(one) > 1} if len(set(ids)) < len(ids) else set()
    return {plug.root: plug.root if plug.id in twice else plug.id for plug in plugs}


def plain(plugs):
    """The table as text, a line a plug, and the line on all."""
    names = names_of(plugs)
    rows = [tuple(COLUMNS), *(plug.row(names[plug.root]) for plug in plugs)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([*lines, summary(plugs)])


def _columns(rows, width):
    # {column: letters} of those that there is room for, the most telling first.
    chosen = {}
    for name in _TELLING:
        i = COLUMNS.index(name)
        size = min(_WIDEST, max([len(name), *(len(row[i]) for row in rows)]))
        if not chosen or sum(chosen.values()) + 2 * len(chosen) + size <= width:
            chosen[name] = size
    return {name: chosen[name] for name in COLUMNS if name in chosen}


def screen(plugs, width, height, turn=0, note=""):
    """What `watch` shows in so many letters and lines: a line a plug, and the columns that fit. Of
    a longer table page number `turn`, in a circle."""
    names, room = names_of(plugs), max(1, height - _AROUND)
    pages = max(1, -(-len(plugs) // room))
    page = turn % pages
    shown = plugs[page * room : (page + 1) * room]
    rows = [plug.row(names[plug.root]) for plug in shown]
    columns = _columns([plug.row(names[plug.root]) for plug in plugs], width)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name, size in columns.items():
        table.add_column(name, no_wrap=True, overflow="ellipsis", width=size)
    for plug, row in zip(shown, rows, strict=True):
        style = "dim" if plug.online is not True else ""
        style = "bold yellow" if plug.said.get("/countdown") else style
        # Text, not str: a payload is no markup
        cells = [Text(row[COLUMNS.index(name)]) for name in columns]
        table.add_row(*cells, style=style)
    where = f"page {page + 1} of {pages}; " if pages > 1 else ""
    last = Text(f"{where}{note}Ctrl-C ends this", no_wrap=True, overflow="ellipsis")
    first = Text(summary(plugs), style="bold", no_wrap=True, overflow="ellipsis")
    return Group(first, "", table, "", last)


# --- the command ---------------------------------------------------------------------------------


def broker_of(broker, user, password):
    host, _, port = broker.rpartition(":")
    if not host:
        host, port = broker, "1883"
    host = host.strip("[]")
    if not re.fullmatch(r"[\w.:%-]{1,253}", host) or not re.fullmatch(r"\d{1,5}", port):
        raise BadInput(f"--broker: {broker!r}: HOST:PORT, such as 192.168.1.5:1883")
    if not 1 <= int(port) <= 65535:
        raise BadInput(f"--broker: port {port}: must be from 1 to 65535")
    if password and not user:
        raise BadInput("--password: goes with --user")
    return Broker(host, int(port), user, password)


def pattern_of(root):
    root = root.rstrip("/")
    parts = root.split("/")
    if not 1 <= len(root) <= 200 or not root.isprintable() or root[0] == "$":
        raise BadInput("--root: 1 to 200 printable characters, not beginning with $")
    for i, part in enumerate(parts):
        if "#" in part and (part != "#" or i < len(parts) - 1):
            raise BadInput(f"--root: {root!r}: # stands alone, and last")
        if "+" in part and part != "+":
            raise BadInput(f"--root: {root!r}: + stands for a whole level, as in octoplugout/+")
    return root


def limited(name, value, low, high):
    if not low <= value <= high:
        raise BadInput(f"{name}: {value:g}: must be from {low:g} to {high:g}")
    return value


def word_of(command):
    """The command as it is sent. BadInput: a plug knows no such."""
    word, *hours = command.upper().split() or [""]
    timed = word == "PERMON" and len(hours) == 1 and hours[0].isascii() and hours[0].isdigit()
    if word not in COMMANDS or hours and not (timed and 0 < int(hours[0]) < 1000):
        raise BadInput(f"COMMAND: {command!r} is none of {_COMMANDS}")
    return " ".join([word, *hours])


def confirm(plugs, yes):
    """FORCEOFF to several: somebody has to mean it."""
    if yes or len(plugs) < 2:
        return
    text = f"FORCEOFF cuts the power of {len(plugs)} plugs at once, whatever they print"
    if not sys.stdin.isatty():
        raise BadInput(f"{text}: say --yes if that is meant")
    if not typer.confirm(f"{text}. Do it?"):
        raise BadInput("not confirmed, nothing was sent")


HELP = __doc__.split("\n\n")[0] + " docs/fleet.md shows how."
app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None, help=HELP)

BROKER = Annotated[str, typer.Option("--broker", metavar="HOST:PORT", envvar="OCTOPLUGOUT_BROKER")]
USER = Annotated[str, typer.Option("--user", help="for a broker that wants one")]
PASSWORD = Annotated[
    str,
    typer.Option(
        "--password",
        envvar="OCTOPLUGOUT_BROKER_PASSWORD",
        help="on a command line it is seen by whoever lists this PC's processes",
    ),
]
ROOT = Annotated[
    str,
    typer.Option(
        "--root", metavar="PATTERN", help="root topics: + for one level, # at the end for any"
    ),
]
PLUGS = Annotated[list[str] | None, typer.Argument(metavar="PLUG…", help="id, or root topic")]
ALL = Annotated[bool, typer.Option("--all", help="every plug there is")]


def opened(broker, user, password, root):
    """A Fleet that knows what is there."""
    where, pattern = broker_of(broker, user, password), pattern_of(root)
    return Fleet(where, pattern).settle()


@app.command()
def watch(
    broker: BROKER = "127.0.0.1:1883",
    user: USER = "",
    password: PASSWORD = "",
    root: ROOT = ROOT_PATTERN,
):
    """A live table of all plugs, until Ctrl-C."""
    console = Console()
    if not console.is_terminal:
        raise BadInput("watch: needs a terminal; list does not")
    with opened(broker, user, password, root) as fleet:
        began = time.monotonic()
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                note = "" if fleet.subscribed else "THE BROKER IS AWAY. "
                turn = int((time.monotonic() - began) / _TURN_S)
                picture = screen(fleet.plugs(), *console.size, turn, note)
                live.update(picture, refresh=True)
                time.sleep(_LOOK_S)


@app.command("list")
def list_plugs(
    broker: BROKER = "127.0.0.1:1883",
    user: USER = "",
    password: PASSWORD = "",
    root: ROOT = ROOT_PATTERN,
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
    wait: Annotated[
        float, typer.Option("--wait", help="seconds to listen for temperature and job, 0 to 3600")
    ] = 0,
):
    """The table once, as text or JSON."""
    limited("--wait", wait, 0, 3600)
    with opened(broker, user, password, root) as fleet:
        time.sleep(wait)
        plugs = fleet.plugs()
    if as_json:
        print(json.dumps([plug.facts() for plug in plugs], indent=1))
    else:
        print(plain(plugs))


@app.command()
def send(
    command: Annotated[str, typer.Argument(help=_COMMANDS)],
    plugs: PLUGS = None,
    every: ALL = False,
    broker: BROKER = "127.0.0.1:1883",
    user: USER = "",
    password: PASSWORD = "",
    root: ROOT = ROOT_PATTERN,
    yes: Annotated[bool, typer.Option("--yes", help="FORCEOFF to several is meant")] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", help="seconds to wait for answers, 2 to 300")
    ] = _ANSWER_S,
):
    """A command to some or all; exit code 1 if one of them did not take it."""
    word = word_of(command)
    limited("--timeout", timeout, 2, 300)
    if not plugs and not every:
        raise BadInput("PLUG: name one or more by id or root topic, or say --all")
    with opened(broker, user, password, root) as fleet:
        chosen = fleet.choose(plugs or [], every)
        if word == "FORCEOFF":
            confirm(chosen, yes)
        results = fleet.send(word, chosen, timeout)
        time.sleep(_LOOK_S / 2)  # the new state follows the answer
        after = {plug.root: plug.state for plug in fleet.plugs()}
    names = names_of(chosen)
    width = max(map(len, names.values()))
    for one in results:
        state = f", {after.get(one.root, '?')}" if one.good else ""
        print(f"{names[one.root]:<{width}}  {one.said}{state}")
    good = sum(one.good for one in results)
    print(f"{good} of {len(results)} took {word}")
    if good < len(results):
        raise typer.Exit(1)


@app.command()
def update(
    path: Annotated[Path, typer.Argument(metavar="BUNDLE", help="made by tools/bundle.py")],
    plugs: PLUGS = None,
    every: ALL = False,
    broker: BROKER = "127.0.0.1:1883",
    user: USER = "",
    password: PASSWORD = "",
    root: ROOT = ROOT_PATTERN,
    ota_key: Annotated[
        str | None,
        typer.Option(
            "--ota-key", help=f"one for all; else ${plug_ota.VARIABLE}, or it is asked for"
        ),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option("--keys", metavar="FILE", help='JSON, {"id or root topic": "ota_key"}'),
    ] = None,
    at_once: Annotated[
        int, typer.Option("--at-once", help="how many at the same time, 1 to 50")
    ] = _AT_ONCE,
):
    """A bundle onto some or all; exit code 1 if one of them did not get it."""
    limited("--at-once", at_once, 1, 50)
    named = read_keys(keys) if keys else {}
    if not plugs and not every:
        raise BadInput("PLUG: name one or more by id or root topic, or say --all")
    data, what = bundle.load(path)
    with opened(broker, user, password, root) as fleet:
        hosts, bad = hosts_of(fleet.choose(plugs or [], every))
        found = keys_for(hosts, named, ota_key)
        print(f"Version {what.version}, {what.size:,} bytes, sha256 {what.digest}", flush=True)
        outcomes = update_plugs(fleet, hosts, data, what, found, at_once) + bad
    outcomes.sort(key=lambda one: one.host)
    print("\n" + plug_ota.table(outcomes, what.version))
    if not all(one.good for one in outcomes):
        raise typer.Exit(1)


@app.command()
def bench(
    plugs: Annotated[int, typer.Option("--plugs", help="1 to 5000")] = 1000,
    seconds: Annotated[
        int, typer.Option("--seconds", help="of listening to them printing, 10 to 900")
    ] = 120,
    write: Annotated[bool, typer.Option("--write", help="into docs/fleet.md")] = False,
):
    """Simulated plugs and a mosquitto of their own on 127.0.0.1, measured."""
    import fleet_bench

    limited("--plugs", plugs, 1, 5000)
    limited("--seconds", seconds, 10, 900)
    if not fleet_bench.run(plugs, seconds, write):
        raise typer.Exit(1)


def main(words=None):
    """The exit code: 0 done, 1 not done or not by all, 2 a bad option, 130 Ctrl-C."""
    try:
        app(args=words, prog_name="tools/fleet.sh", standalone_mode=True)
    except SystemExit as ended:
        return ended.code or 0
    except BadInput as wrong:
        print(wrong, file=sys.stderr)
        return 2
    except (FleetError, BundleError, OtaError) as wrong:
        print(f"Not done: {wrong}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
