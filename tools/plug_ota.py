"""Sends a bundle over the network to plugs that know the same ota_key.

The key never travels: a plug gives a nonce, and gets HMAC-SHA256(key, nonce + the bundle's header)
before the bundle. What the plug does with it, and what it refuses, is firmware/remote.py and
ota.py; its own words come back. Several plugs are served at a time, each in a thread.
"""

import getpass
import hashlib
import hmac
import http.client
import os
import sys
import threading
import time
from dataclasses import dataclass

VARIABLE = "OCTOPLUGOUT_OTA_KEY"
_STEP = 2048  # bytes sent at a time
_TALK_S = 30.0  # for one answer: the plug writes to its flash meanwhile
_PRESS_S = 75.0  # the plug waits 60 s for the short press
_LOOK_S = 1.0
_GONE_S = 20.0  # until the portal has closed for the restart

HOLD = (
    "hold the plug's button for 5 s, or send anything to its MQTT topic …/update, then try again"
)


class OtaError(Exception):
    """Why a plug was not updated, or could not be tried."""


@dataclass
class Outcome:
    host: str
    good: bool
    said: str
    before: str = "?"


# --- keys ----------------------------------------------------------------------------------------


def keys(hosts, given=None, config=None, environment=os.environ, ask=getpass.getpass):
    """{host: key}. given: --ota-key, a key or a file of lines `HOST KEY`; config: settings with
    an ota_key. Else the environment, else somebody is asked, for each host. OtaError: there is
    none for a host."""
    found = {}
    if given and os.path.isfile(given):
        with open(given, encoding="utf-8") as file:
            lines = [line.split() for line in file if line.strip() and line[0] != "#"]
        if any(len(words) > 2 for words in lines):
            raise OtaError(f"{given}: each line must be a key, or a host and its key")
        for words in lines:
            for host in [words[0]] if len(words) == 2 else hosts:
                found.setdefault(host, words[-1])
    else:
        key = given or (config or {}).get("ota_key") or environment.get(VARIABLE)
        found = {host: key for host in hosts if key}
    for host in hosts:
        if host not in found:
            found[host] = ask(f"ota_key of {host} (is not shown): ").strip()
        if not found[host]:
            raise OtaError(f"{host}: without its ota_key a plug takes nothing from a PC")
    return found


def proof(key, nonce, header):
    """What shows the plug that one knows its key."""
    return hmac.new(key.encode(), nonce.encode() + header, hashlib.sha256).digest()


# --- one plug ------------------------------------------------------------------------------------


class Plug:
    """host: a name or an address, with `:PORT` if it is not 80."""

    def __init__(self, host):
        self.host = host
        self.before = "?"

    def ask(self):
        """{nonce, version, slot, state, said}: what the plug says of itself and the last update.

        OSError: nobody listens. OtaError: it is no plug, or not open.
        """
        line = self._line()
        try:
            line.request("GET", "/ota")
            return self._understood(line.getresponse())
        except http.client.HTTPException as wrong:
            raise OSError(str(wrong) or "no answer") from None
        finally:
            line.close()

    def send(self, data, key, header, nonce, told):
        """The bundle; told(bytes gone out). OtaError: refused. OSError: the connection broke."""
        line = self._line()
        try:
            sign = proof(key, nonce, header)
            line.putrequest("POST", "/ota", skip_accept_encoding=True)
            line.putheader("Content-Type", "application/octet-stream")
            line.putheader("Content-Length", str(len(sign) + len(data)))
            line.endheaders()
            line.send(sign)
            for at in range(0, len(data), _STEP):
                line.send(data[at : at + _STEP])
                told(min(at + _STEP, len(data)))
            answer = line.getresponse()
            text = _plain(answer.read())
        except http.client.HTTPException as wrong:
            raise OSError(str(wrong) or "no answer") from None
        finally:
            line.close()
        if answer.status != 303:
            raise OtaError(text or f"it answers {answer.status}")

    def _line(self):
        return http.client.HTTPConnection(self.host, timeout=_TALK_S)

    def _understood(self, answer):
        text = answer.read().decode("utf-8", "replace")
        lines = [line.split(" ", 1) for line in text.replace("\r", "").split("\n")]
        said = {words[0]: words[1] for words in lines[:4] if len(words) == 2}
        if answer.status in (404, 421) or answer.status == 200 and "state" not in said:
            raise OtaError("no OctoPlugout 5 with updates answers there")
        if answer.status != 200:
            raise OSError(
                "its pages are closed" if answer.status == 502 else _plain(text.encode())
            )
        said["said"] = " ".join(" ".join(words) for words in lines[4:]).strip()
        self.before = said["version"]
        return said


def _plain(page):
    # The words of a short page.
    text, tag = [], False
    for letter in page.decode("utf-8", "replace"):
        tag = letter == "<" or tag and letter != ">"
        text.append("" if tag or letter == ">" else letter)
    return " ".join("".join(text).split())


def update(plug, data, bundle, key, say, sleep=time.sleep):
    """Bring one plug to that bundle; returns its last words. say(text, percent or None)."""
    try:
        say("asking", None)
        there = plug.ask()
    except OSError as wrong:
        raise OtaError(f"does not listen ({wrong}): {HOLD}") from None
    if there["state"] != "idle":
        raise OtaError("another update waits for its short press there")
    if not there.get("nonce"):
        raise OtaError(f"no longer listens: {HOLD}")
    try:
        plug.send(
            data,
            key,
            bundle.header,
            there["nonce"],
            lambda sent: say("sending", 100 * sent // len(data)),
        )
        there = plug.ask()
    except OSError as wrong:
        raise OtaError(f"the connection broke ({wrong}); what ran before goes on") from None
    waited = 0.0
    while there["state"] == "offered" and waited < _PRESS_S:
        say("older or unknown to it: press its button, short, within 60 s", None)
        sleep(_LOOK_S)
        waited += _LOOK_S
        try:
            there = plug.ask()
        except OSError:
            there = {"state": "gone", "said": ""}
    if there["state"] == "idle":
        raise OtaError(there["said"] or "it was refused without a word")
    if there["state"] == "gone":
        raise OtaError("it went away while it waited for the press")
    return _restarted(plug, say, sleep)


def _restarted(plug, say, sleep):
    say("restarting", None)
    waited = 0.0
    while waited < _GONE_S:
        try:
            plug.ask()
        except OSError:
            return "in place, restarted; on trial for a minute"
        sleep(_LOOK_S)
        waited += _LOOK_S
    raise OtaError("it did not restart: is it shutting the Pi down? It will when that is over")


# --- all of them ---------------------------------------------------------------------------------


class Lines:
    """A line a plug: rewritten on a terminal, else a new one for every quarter."""

    def __init__(self, hosts, out=None):
        self.out, self.hosts = out or sys.stdout, list(hosts)
        self.live = self.out.isatty()
        self.shown = dict.fromkeys(hosts, ("", -1))
        self.lock = threading.Lock()
        if self.live:
            self.out.write("\n" * len(self.hosts))

    def say(self, host, text, percent):
        with self.lock:
            quarter = -1 if percent is None else percent if self.live else percent // 25
            if self.shown[host] == (text, quarter):
                return
            self.shown[host] = (text, quarter)
            line = f"  {host}: {text}" + ("" if percent is None else f" {percent} %")
            if self.live:
                up = len(self.hosts) - self.hosts.index(host)
                self.out.write(f"\x1b[{up}A\r\x1b[K{line}\x1b[{up}B\r")
            else:
                self.out.write(line + "\n")
            self.out.flush()


def update_all(hosts, data, bundle, found, make=Plug, out=None):
    """Bring them all to that bundle, at the same time; a list of Outcome. found: {host: key}."""
    lines, outcomes = Lines(hosts, out), {}

    def work(host):
        plug = make(host)
        try:
            said = update(plug, data, bundle, found[host], lambda *what: lines.say(host, *what))
            outcomes[host] = Outcome(host, True, said, plug.before)
        except OtaError as wrong:
            outcomes[host] = Outcome(host, False, str(wrong), plug.before)
        except Exception as wrong:  # one plug's trouble is not the others'
            outcomes[host] = Outcome(host, False, f"{type(wrong).__name__}: {wrong}", plug.before)
        lines.say(host, "done" if outcomes[host].good else "not updated", None)

    threads = [threading.Thread(target=work, args=(host,), daemon=True) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [outcomes[host] for host in hosts]


def table(outcomes, version):
    """The same as text, a row a plug."""
    rows = [("plug", "was", "is", "")]
    for one in outcomes:
        rows.append((one.host, one.before, version if one.good else one.before, one.said))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(
        "  ".join([*(row[i].ljust(widths[i]) for i in range(3)), row[3]]).rstrip() for row in rows
    )
