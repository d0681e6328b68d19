"""Real servers for the tests: mosquitto, OctoPrint with its virtual printer, and the Pi it is on.

Each runs as a process of its own on a free port of this machine, in a folder that is thrown away,
and is driven from outside as a user's would be: through its own interface, or by signals. Nothing
here knows pytest; conftest.py makes fixtures of it.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

ADMIN_KEY = "A" * 32  # may do everything, shut the Pi down included
USER_KEY = "B" * 32  # may read and control the printer, but lacks SYSTEM
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/sbin"


def free_port(address="127.0.0.1"):
    """A TCP port nobody listens on now."""
    with socket.socket() as s:
        s.bind((address, 0))
        return s.getsockname()[1]


def program(name):
    """Path of an installed program, "" if there is none. Looks into sbin too."""
    return shutil.which(name, path=PATH) or ""


def wait_until(true, what, seconds=30, step=0.05):
    """Returns what `true()` returns once that is truthy; TimeoutError naming `what` otherwise."""
    end = time.monotonic() + seconds
    while True:
        found = true()
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(step)


def listens(port, address="127.0.0.1"):
    """True when a connection to that port is accepted."""
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex((address, port)) == 0


class Process:
    """A server process: started, stopped, killed, hung; its output goes to a file."""

    log: Path
    process: subprocess.Popen | None = None

    def spawn(self, command, **options):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                **options,
            )

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        if self.running and self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def hang(self):
        """SIGSTOP: connections are accepted by the kernel, and nothing ever answers."""
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        """SIGKILL: gone at once, its port refuses."""
        self.signal(signal.SIGKILL)
        if self.process:
            self.process.wait(10)

    def stop(self):
        """Asks it to end, and kills it if it does not within 10 s."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        if self.process:
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()

    def tail(self, lines=25):
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""


# --- MQTT --------------------------------------------------------------------------------------


class Mosquitto(Process):
    """A real MQTT broker. Retained messages survive stop() and start(), but not kill().

    With `user` and `password` given, nobody gets in without them.
    """

    def __init__(self, folder, user="", password=""):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.user, self.password = user, password
        self.address, self.port = "127.0.0.1", free_port()
        self.log = self.folder / "mosquitto.log"
        lines = [
            f"listener {self.port} {self.address}",
            "persistence true",
            f"persistence_location {self.folder}/",
            f"allow_anonymous {'false' if user else 'true'}",
            "log_type all",
        ]
        if os.geteuid() == 0:
            lines.append("user root")  # else it gives up the rights to its own folder
        if user:
            passwords = self.folder / "passwords"
            passwords.touch(0o600)
            tool = program("mosquitto_passwd")
            subprocess.run([tool, "-b", str(passwords), user, password], check=True)
            lines.append(f"password_file {passwords}")
        self.config = self.folder / "mosquitto.conf"
        self.config.write_text("\n".join(lines) + "\n")

    def start(self):
        self.spawn([program("mosquitto"), "-c", str(self.config)])
        try:
            wait_until(lambda: listens(self.port) or not self.running, "mosquitto to listen")
        except TimeoutError:
            self.kill()
            raise
        if not self.running:
            raise RuntimeError(f"mosquitto did not start:\n{self.tail()}")
        return self

    def restart(self):
        self.stop()
        return self.start()

    def client(self, seconds=10):
        """A connected Watcher of everything on this broker."""
        return Watcher(self.port, self.user, self.password, seconds=seconds)


class Watcher:
    """An MQTT client on paho that keeps every message it sees, in order, and can send some.

    `messages` is a list of (topic, payload text, retained by the broker). PermissionError when the
    broker refuses, TimeoutError when it says nothing for so many seconds.
    """

    def __init__(self, port, user="", password="", topics="#", seconds=10):
        import paho.mqtt.client as paho
        from paho.mqtt.enums import CallbackAPIVersion

        self.messages = []
        self.latest = {}
        self.subscribed = threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id=uuid.uuid4().hex)
        if user:
            self.client.username_pw_set(user, password)
        self.topics, self.refused = topics, ""
        self.client.on_connect = self._connected
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = self._message
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", port, keepalive=30)
        self.client.loop_start()
        answered = self.subscribed.wait(seconds)
        if self.refused or not answered:
            self.close()
            if self.refused:
                raise PermissionError(self.refused)
            raise TimeoutError("the broker did not take a subscription")

    def _connected(self, client, _userdata, _flags, reason, _properties):
        if reason.is_failure:
            self.refused = str(reason)
            self.subscribed.set()
        else:
            client.subscribe(self.topics, qos=1)

    def _message(self, _client, _userdata, message):
        payload = message.payload.decode("utf-8", "replace")
        self.messages.append((message.topic, payload, bool(message.retain)))
        self.latest[message.topic] = payload

    def publish(self, topic, payload, retain=False, qos=1):
        """Sends and waits until the broker has it."""
        self.client.publish(topic, payload, qos=qos, retain=retain).wait_for_publish(10)

    def wait(self, topic, payload=None, seconds=30):
        """Waits until the latest on `topic` is `payload` (any, if None); returns it."""
        what = f"{topic} {payload if payload is not None else '(anything)'}"
        try:
            wait_until(
                lambda: topic in self.latest and payload in (None, self.latest[topic]),
                what,
                seconds,
            )
        except TimeoutError as late:
            raise TimeoutError(f"{late}; it is {self.latest.get(topic)!r}") from None
        return self.latest[topic]

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# --- OctoPrint ---------------------------------------------------------------------------------

# These look at the network, need a wizard, or cost start-up time; none has to do with printing
QUIET = (
    "achievements action_command_notification action_command_prompt announcements backup "
    "classicwebcam corewizard customcontrolmanager discovery errortracking eventmanager "
    "file_check firmware_check gcodeviewer health_check logging pi_support pluginmanager "
    "softwareupdate tracking uploadmanager"
).split()

# What OctoPrint runs when it is asked to shut the system down: notes it, then OctoPrint ends
SHUTDOWN = """#!/bin/sh
echo asked >> "$(dirname "$0")/shutdown-asked"
[ -e "$(dirname "$0")/stay-up" ] || kill -9 "-$(cat "$(dirname "$0")/pid")"
"""


class OctoPrint(Process):
    """A real OctoPrint with its virtual printer, which heats 10 °C/s and cools 2 °C/s.

    `program` is the `octoprint` of its environment. The printer is connected at start. Asked to
    shut the system down, it really ends, unless `ends_on_shutdown` is set to False. `limited`: it
    counts what is asked from one address, which all tests share, and refuses the fourth request
    for a key in a minute.
    """

    def __init__(self, program, folder, port=0, address="127.0.0.1", limited=False):
        self.program, self.folder = str(program), Path(folder)
        self.limited = limited
        self.address, self.port = address, port or free_port(address)
        self.url = f"http://{self.address}:{self.port}"
        self.key, self.user_key = ADMIN_KEY, USER_KEY
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "output.log"
        self.marker = self.folder / "shutdown-asked"
        script = self.folder / "shutdown.sh"
        script.write_text(SHUTDOWN)
        script.chmod(0o755)
        # JSON is YAML too, which saves the tests a library
        (self.folder / "config.yaml").write_text(json.dumps(self._config(script), indent=1))
        (self.folder / "users.yaml").write_text(json.dumps(self._users(), indent=1))

    def _config(self, script):
        serial = {"port": "VIRTUAL", "baudrate": 115200}
        return {
            "accessControl": {"salt": "0" * 32, "autologinLocal": False},
            "server": {
                "firstRun": False,
                "host": self.address,
                "port": self.port,
                "secretKey": "0" * 32,
                "commands": {"systemShutdownCommand": str(script)},
                "onlineCheck": {"enabled": False},
                "pluginBlacklist": {"enabled": False},
            },
            "devel": {"enableRateLimiter": self.limited},
            "serial": serial | {"autoconnect": True, "exclusive": False},
            "printerConnection": {
                "autoconnect": True,
                "preferred": {"connector": "serial", "parameters": serial},
            },
            "gcodeAnalysis": {"runAt": "never"},
            "webcam": {"timelapse": {"type": "off"}},
            "plugins": {
                "_disabled": QUIET,
                "virtual_printer": {"enabled": True, "simulated_errors": []},
            },
        }

    def _users(self):
        def user(key, *groups):
            return {"password": "x", "active": True, "apikey": key, "groups": groups}

        return {"admin": user(self.key, "admins", "users"), "worker": user(self.user_key, "users")}

    # its life

    def start(self, wait=True):
        """Starts it; with `wait`, returns once it answers and its printer is operational."""
        self.marker.unlink(missing_ok=True)
        command = [self.program, "serve", "--iknowwhatimdoing", "--basedir", str(self.folder)]
        self.spawn([*command, "--host", self.address, "--port", str(self.port)])
        assert self.process
        (self.folder / "pid").write_text(str(self.process.pid))
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=120):
        def ready():
            if not self.running:
                raise RuntimeError(f"OctoPrint ended by itself:\n{self.tail()}")
            return self.flags().get("ready") and self.temperatures()

        wait_until(ready, f"OctoPrint at {self.url} to have its printer", seconds, 0.1)

    def restart(self, wait=True):
        self.stop()
        return self.start(wait)

    @property
    def ends_on_shutdown(self):
        return not (self.folder / "stay-up").exists()

    @ends_on_shutdown.setter
    def ends_on_shutdown(self, ends):
        if ends:
            (self.folder / "stay-up").unlink(missing_ok=True)
        else:
            (self.folder / "stay-up").touch()

    @property
    def shutdown_asked(self):
        """How often it was asked to shut the system down since start()."""
        return len(self.marker.read_text().split()) if self.marker.exists() else 0

    # its interface

    def call(self, method, path, body=None, key="", timeout=10.0, headers=()):
        """(status, answer): answer is the JSON value, or text; (0, reason) when there is none."""
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        request.add_header("X-Api-Key", key or self.key)
        if not isinstance(body, (bytes, type(None))):
            request.add_header("Content-Type", "application/json")
        for name, value in headers:
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            status, text = refused.code, refused.read().decode("utf-8", "replace")
        except (OSError, ValueError) as wrong:
            return 0, str(wrong)
        except Exception as wrong:  # what is no HTTP at all: http.client raises its own kind
            return 0, repr(wrong)
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def do(self, path, **body):
        """POSTs a command; RuntimeError with the answer unless it was taken."""
        status, answer = self.call("POST", path, body)
        if status not in (200, 201, 204):
            raise RuntimeError(f"POST {path} {body}: {status} {answer}")
        return answer

    def flags(self):
        """The state flags of /api/printer; {} while there are none (not connected, not up)."""
        status, answer = self.call("GET", "/api/printer?exclude=sd&history=false")
        return answer["state"]["flags"] if status == 200 and isinstance(answer, dict) else {}

    def temperatures(self):
        """{"tool0": {"actual": …, "target": …}, …} in °C; {} while there are none."""
        status, answer = self.call("GET", "/api/printer?exclude=sd&history=false")
        return answer["temperature"] if status == 200 and isinstance(answer, dict) else {}

    def wait_flag(self, flag, value=True, seconds=30):
        wait_until(lambda: self.flags().get(flag) == value, f"{flag} to be {value}", seconds)

    def shown(self):
        """The texts the printer's display got (M117) since it was connected, in order."""
        log = self.folder / "logs/plugin_virtual_printer_serial.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        # Numbered and with a checksum while printing: <<< N7 M117 text*42
        sent = [line.partition("M117 ")[2] for line in lines if " <<< " in line]
        return [text.partition("*")[0] for text in sent if text]

    def connect(self, wait=True):
        self.do("/api/connection", command="connect")
        if wait:
            wait_until(lambda: self.flags().get("ready") and self.temperatures(), "the printer")

    def disconnect(self):
        self.do("/api/connection", command="disconnect")
        wait_until(lambda: not self.flags(), "the printer to be disconnected")

    def print(self, *lines, name="job.gcode", wait=True):
        """Uploads these lines of G-code and prints them; see job() for one that lasts."""
        mark = uuid.uuid4().hex
        text = "\n".join(lines) + "\n"
        parts = [
            f'--{mark}\r\nContent-Disposition: form-data; name="print"\r\n\r\ntrue\r\n',
            f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n',
            f"Content-Type: application/octet-stream\r\n\r\n{text}\r\n--{mark}--\r\n",
        ]
        header = ("Content-Type", f"multipart/form-data; boundary={mark}")
        body = "".join(parts).encode()
        status, answer = self.call("POST", "/api/files/local", body, headers=[header])
        if status != 201:
            raise RuntimeError(f"upload of {name}: {status} {answer}")
        if wait:
            wait_until(lambda: self.flags().get("printing"), "the job to print")

    def job(self, seconds, tool=0, name="job.gcode", wait=True):
        """Prints for about so many seconds, at `tool` °C if given, which is heated first.

        The time is made of short pauses: the printer does not listen during one, so a long one
        would hold up pausing and cancelling.
        """
        heat, cool = ([f"M109 S{tool}"], ["M104 S0"]) if tool else ([], [])
        self.print(*heat, *["G4 P200"] * int(seconds * 5), *cool, name=name, wait=wait)

    def pause(self):
        self.do("/api/job", command="pause", action="pause")
        self.wait_flag("paused")

    def unpause(self):
        self.do("/api/job", command="pause", action="resume")
        self.wait_flag("paused", False)

    def cancel(self):
        self.do("/api/job", command="cancel")

    def heat(self, tool=None, bed=None):
        """Sets targets in °C."""
        if tool is not None:
            self.do("/api/printer/tool", command="target", targets={"tool0": tool})
        if bed is not None:
            self.do("/api/printer/bed", command="target", target=bed)

    def fault(self, what):
        """Makes the virtual printer fail: `maxtemp_error`, `drop_connection`, `go_awol`, …"""
        self.do("/api/printer/command", command=f"!!DEBUG:{what}")

    def renew(self):
        """As after start(): running, connected, cold, no job, not asked to shut down.

        A connection made anew gives a new virtual printer, at room temperature.
        """
        self.ends_on_shutdown = True
        if not self.running:
            self.start()
            return
        self.resume()
        try:
            status, _ = self.call("POST", "/api/job", {"command": "cancel"})
            if status == 0:
                raise TimeoutError
            if status == 204:
                wait_until(lambda: not self.flags().get("cancelling"), "the job to be cancelled")
            self.disconnect()
            self.connect()
            self.marker.unlink(missing_ok=True)
        except (TimeoutError, RuntimeError):
            self.kill()
            self.start()


# --- the host that is switched -----------------------------------------------------------------


class Listener:
    """Accepts connections and closes them: stands for the Pi's ssh port, which is only probed."""

    def __init__(self, port, address="127.0.0.1"):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((address, port))
        self.socket.listen(16)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                self.socket.accept()[0].close()
            except OSError:
                return

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(5)


class Silent:
    """A port that drops what comes, like a host that is off; a dead server only refuses.

    The queue of a listener is filled with connections to itself: then the kernel drops further
    ones without a word. No rights are needed for that.
    """

    def __init__(self, port, address="127.0.0.1"):
        self.sockets = []
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sockets.append(listener)
        try:
            # A process that is just ending may hold its port for a moment
            wait_until(lambda: self._bound(listener, address, port), f"port {port} to be free", 10)
            listener.listen(0)
            for _ in range(3):
                s = socket.socket()
                s.setblocking(False)
                s.connect_ex((address, port))
                self.sockets.append(s)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _bound(listener, address, port):
        try:
            listener.bind((address, port))
        except OSError:
            return False
        return True

    def close(self):
        """From now on the port refuses."""
        for s in self.sockets[::-1]:
            s.close()
        self.sockets = []


class Pi:
    """The machine behind the relay: OctoPrint and an ssh port, and what the network sees of it.

    Once OctoPrint has been asked to shut down (which ends OctoPrint, so its port refuses), the ssh
    port answers for `halt_s` more seconds; then both are silent, and `halted` is set. `halt_s`
    None: it never halts. `power(False)` takes it off the network at once, in whatever state;
    `cut_alive` tells whether that ever happened before it had halted. `power(True)` boots it.
    """

    def __init__(self, octoprint, halt_s=2.0):
        self.octoprint, self.halt_s = octoprint, halt_s
        self.address, self.ssh_port = octoprint.address, free_port(octoprint.address)
        self.halted, self.cut_alive, self.powered = False, False, True
        self.asked_at = None
        self.silent = []
        self.lock = threading.RLock()
        self.ended = threading.Event()
        self.ssh = Listener(self.ssh_port, self.address)
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self):
        while not self.ended.wait(0.05):
            with self.lock:
                if not self.powered or self.halted:
                    continue
                if self.asked_at is None and self.octoprint.shutdown_asked:
                    self.asked_at = time.monotonic()
                if self.asked_at is not None and self.halt_s is not None:
                    gone = not self.octoprint.running
                    if gone and time.monotonic() - self.asked_at >= self.halt_s:
                        self._silence()
                        self.halted = True

    def _silence(self):
        if self.ssh:
            self.ssh.close()
            self.ssh = None
        self.octoprint.kill()
        if not self.silent:
            ports = (self.octoprint.port, self.ssh_port)
            self.silent = [Silent(port, self.address) for port in ports]

    def halt(self):
        """Halts it now, asked or not."""
        with self.lock:
            self._silence()
            self.halted = True

    def power(self, on, wait=True):
        with self.lock:
            if on == self.powered:
                return
            self.powered = on
            if on:
                self._boot()
            else:
                self.cut_alive = self.cut_alive or not self.halted
                self._silence()
        if on:
            self.octoprint.start(wait)

    def _boot(self):
        for silent in self.silent:
            silent.close()
        self.silent, self.halted, self.asked_at = [], False, None
        self.octoprint.marker.unlink(missing_ok=True)
        self.ssh = Listener(self.ssh_port, self.address)

    def close(self):
        """Gives the ports back; OctoPrint is left as it is."""
        self.ended.set()
        self.thread.join(5)
        with self.lock:
            for silent in self.silent:
                silent.close()
            if self.ssh:
                self.ssh.close()
