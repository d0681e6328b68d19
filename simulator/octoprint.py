"""Stands for OctoPrint 1.8 to 2.0: its API, and every way it was seen to go wrong.

Answers are laid out as the real ones, byte for byte where a plug could care: sorted keys, laid
out on many lines from 1.9 on, Content-Length always there, no chunks. Raw streams, so that they
can be garbled.
"""

import asyncio
import json
import secrets
import socket
import struct
from collections import deque
from urllib.parse import parse_qsl, unquote

from .door import HANG, OPEN, REFUSED, RESET, SILENT, Door

# What it can do instead of working. The first group is decided by the port, the second by what is
# sent, the third by what OctoPrint knows of the printer.
MODES = {
    "ok": "works",
    "hang": "accepts a connection and never says a word",
    "reset": "accepts a connection and resets it",
    "refused": "nothing listens",
    "silent": "not one packet comes back",
    "403": "the key is refused",
    "404": "another server: nothing is found",
    "500": "an internal error",
    "502": "a proxy without OctoPrint behind it, in other words",
    "proxy503": "OctoPi's proxy while OctoPrint is down",
    "boot": "the intermediary server at start-up: 9 bytes, no status line",
    "slow": "one byte every 200 ms",
    "drip": "half an answer, then nothing more",
    "endless_head": "header lines without end",
    "endless_body": "a body without end",
    "garbage": "bytes that are not HTTP",
    "empty": "closes without an answer",
    "truncated": "closes in the middle of the body",
    "redirect": "sends one elsewhere",
    "not_octoprint": "200 and a web page",
    "wrong_json": "200 and JSON of something else",
    "offline": "not connected to the printer: 409",
    "error": "printer in error: 409",
    "just_connected": "connected, no temperature yet",
    "huge": "12 KB: a printer with many tools",
    "null_temps": "temperatures are null",
    "missing_tool0": "no tool0 among the temperatures",
    "phantom_tool": "a second tool that never reports",
    "open_thermistor": "tool0 reads -14 °C",
}

_PORT = {"hang": HANG, "reset": RESET, "refused": REFUSED, "silent": SILENT}
_PRINTER = (
    "offline",
    "error",
    "just_connected",
    "huge",
    "null_temps",
    "missing_tool0",
    "phantom_tool",
)

_REASONS = {
    200: "OK",
    201: "CREATED",
    202: "ACCEPTED",
    204: "NO CONTENT",
    302: "FOUND",
    400: "BAD REQUEST",
    403: "FORBIDDEN",
    404: "NOT FOUND",
    409: "CONFLICT",
    415: "UNSUPPORTED MEDIA TYPE",
    429: "TOO MANY REQUESTS",
    500: "INTERNAL SERVER ERROR",
    502: "BAD GATEWAY",
    503: "SERVICE UNAVAILABLE",
}

_FORBIDDEN = (
    "You don't have the permission to access the requested resource."
    " It is either read-protected or not readable by the server."
)
_NOT_FOUND = (
    "The requested URL was not found on the server."
    " If you entered the URL manually please check your spelling and try again."
)
_FLAGS = (
    "cancelling closedOrError error finishing operational paused"
    " pausing printing ready resuming sdReady"
)

# A key's user may do these unless told otherwise. SYSTEM is what a shutdown needs.
_PERMISSIONS = (
    "STATUS",
    "CONNECTION",
    "WEBCAM",
    "FILES_LIST",
    "FILES_UPLOAD",
    "FILES_SELECT",
    "PRINT",
    "CONTROL",
)

GOOD_KEY = "SIMULATEDKEYSIMULATEDKEYSIMULATE"
WEAK_KEY = "WEAKKEYWITHOUTSYSTEMWITHOUTSYSTE"

_FILES = "/api/files/local/"
_HEAD_LIMIT = 16384
_BODY_LIMIT = 1 << 20


class OctoPrint:
    """One server. `mode` sets what it does (see MODES), `modes` the same for paths that begin so.

    printer: a printer.Printer. on_shutdown: called when a shutdown was accepted, or None: not
    configured (404).
    """

    def __init__(self, printer, port=0, version="1.11.8", host="127.0.0.1"):
        self.printer, self.version = printer, version
        self.keys = {
            GOOD_KEY: ("admin", ["ADMIN", *_PERMISSIONS, "SYSTEM"]),
            WEAK_KEY: ("weak", list(_PERMISSIONS)),
        }
        self.door = Door(self._serve, port, host)
        self.modes = {}
        self.rendering = self.updating = False  # a timelapse; OctoPrint itself
        self.files = ["part.gcode"]  # paths of what may be printed
        self.uploads = {}  # {path: bytes} of what came whole
        self.moves = []  # what head and filament were told: the command's JSON
        # (provider, name, address of a picture) of each camera, the default one first
        self.cameras = [("classicwebcam", "classic", "/webcam/?action=snapshot")]
        self.on_shutdown = None
        self.busy_s = 0.0  # how long it thinks before it answers
        self.requests = deque(maxlen=10000)  # (seconds, method, path, status or None)
        self.bytes_in = self.bytes_out = 0
        self.appkeys = {}  # token -> _Request
        self._appkey_times = []  # of the requests in the last minute
        self.appkey_answer = (
            None  # True, False: what the user clicks at once; None: nobody is there
        )
        self._mode = "ok"
        self._host_way = OPEN

    @property
    def mode(self):
        return self._mode

    @mode.setter
    def mode(self, mode):
        if mode not in MODES:
            raise ValueError(f"mode: one of {', '.join(MODES)}")
        self._mode = mode
        self._apply()

    @property
    def port(self):
        return self.door.port

    @property
    def requests_seen(self):
        """(method, path) of every request so far, the query left away."""
        return [(method, path.partition("?")[0]) for _, method, path, _ in self.requests]

    def open(self, way=OPEN):
        """Start to listen. OSError if the port is taken."""
        self._host_way = way
        self.door.open(REFUSED)
        self._apply()

    def close(self):
        self.door.close()

    def host(self, way):
        """What the host does with the port: unless that is OPEN it goes before `mode`."""
        self._host_way = way
        self._apply()

    def _apply(self):
        way = self._host_way
        self.door.set(_PORT.get(self._mode, OPEN) if way == OPEN else way)

    def renew(self):
        """Works, and remembers no request."""
        self.mode, self.busy_s = "ok", 0.0
        self.modes.clear()
        self.rendering = self.updating = False
        self.requests.clear()
        self.appkeys.clear()
        self.accept_key(True)

    def accept_key(self, valid):
        """Revoke GOOD_KEY, or make it good again."""
        if valid:
            self.keys[GOOD_KEY] = ("admin", ["ADMIN", *_PERMISSIONS, "SYSTEM"])
        else:
            self.keys.pop(GOOD_KEY, None)

    # --- one connection

    async def _serve(self, reader, writer):
        out = _Counted(self, writer)
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.LimitOverrunError:
                return
            self.bytes_in += len(head)
            first, *lines = head[:_HEAD_LIMIT].decode("latin-1").split("\r\n")
            headers = {}
            for line in lines:
                name, _, value = line.partition(":")
                headers[name.strip().lower()] = value.strip()
            words = first.split(" ")
            if len(words) != 3 or "host" not in headers:
                await out.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                return
            method, path, protocol = words
            length = headers.get("content-length", "0")
            if not length.isdigit() or int(length) > _BODY_LIMIT:
                await out.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                return
            body = await reader.readexactly(int(length))
            self.bytes_in += len(body)
            if self.busy_s:
                await asyncio.sleep(self.busy_s)
            close = protocol == "HTTP/1.0" or headers.get("connection", "").lower() == "close"
            # What decides is the mode at the time of the answer.
            starts = sorted(self.modes, key=len, reverse=True)
            mode = next(
                (self.modes[start] for start in starts if path.startswith(start)), self._mode
            )
            seen = [asyncio.get_running_loop().time(), method, path, None]
            try:
                status, answer, kind, extra = self._answer(mode, method, path, headers, body)
                seen[3] = status
            finally:
                self.requests.append(tuple(seen))
            if not await self._send(mode, out, status, answer, kind, extra, close) or close:
                return

    async def _send(self, mode, out, status, answer, kind, extra, close):
        """Send the answer as the mode will have it; False when the connection ends with it."""
        whole = _head(status, len(answer), kind, extra, close) + answer
        if mode == "hang" or mode == "silent":  # for one path: the port itself is open
            await asyncio.Event().wait()
        elif mode in ("reset", "refused"):
            out.reset()
        elif mode == "boot":
            await out.send(b"Not found")
        elif mode == "garbage":
            await out.send(secrets.token_bytes(700))
        elif mode == "slow":
            for n in range(len(whole)):
                await out.send(whole[n : n + 1])
                await asyncio.sleep(0.2)
        elif mode == "drip":
            await out.send(whole[: len(whole) // 2])
            await asyncio.Event().wait()
        elif mode == "truncated":
            await out.send(whole[: -len(answer) // 2])
        elif mode == "endless_head":
            await out.send(whole.partition(b"\r\n")[0] + b"\r\n")
            while True:
                await out.send(b"X-Endless: " + b"x" * 50 + b"\r\n")
                await asyncio.sleep(0.01)
        elif mode == "endless_body":
            await out.send(_head(200, 1 << 30, "application/json", "", close) + b'{"state": {')
            while True:
                await out.send(b'"x": 1, ' * 8)
                await asyncio.sleep(0.01)
        elif mode != "empty":
            await out.send(whole)
            return True
        return False

    # --- answers

    def _answer(self, mode, method, path, headers, body):
        """(status, body, content type, further header lines)."""
        if mode == "404":
            return self._error(404, _NOT_FOUND)
        if mode == "500":
            return self._error(500, "The server encountered an internal error.")
        if mode == "502":
            return 502, b"<html>bad gateway</html>", "text/html", ""
        if mode == "proxy503":
            return (
                503,
                b"<html><body><h1>503 Service Unavailable</h1></body></html>\n",
                "text/html",
                "Cache-Control: no-cache\r\n",
            )
        if mode == "redirect":
            return 302, b"", "text/html", f"Location: http://127.0.0.1:{self.port}{path}\r\n"
        if mode == "not_octoprint":
            return 200, b"<!DOCTYPE html><html><body>It works</body></html>", "text/html", ""
        if mode == "wrong_json":
            return self._json(200, {"state": "on", "temperature": 21})
        path, _, query = path.partition("?")
        file = unquote(path[len(_FILES) :]) if path.startswith(_FILES) else ""
        if path.startswith("/plugin/appkeys/"):
            return self._appkeys(method, path[len("/plugin/appkeys/") :], body)
        user, may = self.keys.get(headers.get("x-api-key", ""), (None, []))
        if user is None and method == "POST" and self._number >= (1, 11):
            return self._error(400, "CSRF validation failed")
        if path == "/api/currentuser" and method == "GET":
            groups = (
                ["guests"]
                if user is None
                else ["users", "admins"]
                if "ADMIN" in may
                else ["users"]
            )
            return self._json(200, {"groups": groups, "name": user, "permissions": list(may)})
        if user is None or mode == "403":
            return self._error(403, _FORBIDDEN)
        if file and method == "POST":
            path = _FILES
        route = getattr(self, "_" + method.lower() + "_" + path.strip("/").replace("/", "_"), None)
        if route is None:
            return self._error(404, _NOT_FOUND)
        need = {"/api/system/commands/core/shutdown": "SYSTEM", "/api/printer": "STATUS"}.get(path)
        if need is not None and need not in may:
            return self._error(403, _FORBIDDEN)
        data = dict(parse_qsl(query))
        kind = headers.get("content-type", "")
        if path == _FILES[:-1] and method == "POST" and kind.startswith("multipart/form-data;"):
            return self._upload(may, kind.partition("boundary=")[2].encode(), body)
        if method == "POST" and body:
            try:
                data = json.loads(body)
            except ValueError:
                return self._error(400, "Malformed request")
            if not isinstance(data, dict):
                return self._error(400, "Malformed request")
            if headers.get("content-type", "").partition(";")[0] != "application/json":
                return self._error(400, "Expected content-type JSON")
        return route(mode, data | {"path": file} if file else data)

    def _get_api_version(self, mode, data):
        return self._json(
            200, {"api": "0.1", "server": self.version, "text": f"OctoPrint {self.version}"}
        )

    def _get_api_printer(self, mode, data):
        if mode in ("offline", "error") or not self.printer.operational:
            return self._conflict()
        state = self._state()
        flags = dict.fromkeys(_FLAGS.split(), False)
        flags["operational"] = flags["sdReady"] = True
        flags["ready"] = state == "Operational" and not self.printer.transferring
        if state in ("Printing", "Starting", "Pausing", "Resuming", "Finishing", "Cancelling"):
            flags["printing"] = True
            if state.lower() in flags:
                flags[state.lower()] = True
        elif state == "Paused":
            flags["paused"] = True
            flags["printing"] = self._number >= (2,)
        answer = {"sd": {"ready": True}, "state": {"error": "", "flags": flags, "text": state}}
        answer["temperature"] = self._temperatures(mode)
        for part in data.get("exclude", "").split(","):
            answer.pop(part, None)
        return self._json(200, answer)

    def _temperatures(self, mode):
        if mode == "just_connected":
            return {}
        temperatures = {}
        for name, heater in self.printer.reported.items():
            temperatures[name] = {
                "actual": round(heater.actual, 2),
                "offset": 0,
                "target": heater.target,
            }
        if not temperatures:
            return temperatures
        if mode == "open_thermistor":
            temperatures["tool0"]["actual"] = -14.5
        elif mode == "null_temps":
            for heater in temperatures.values():
                heater["actual"] = heater["target"] = None
        elif mode == "missing_tool0":
            del temperatures["tool0"]
        elif mode == "phantom_tool":
            temperatures["tool1"] = {"actual": None, "offset": 0, "target": None}
        elif mode == "huge":
            for n in range(1, 146):
                temperatures[f"tool{n}"] = {"actual": 21.3, "offset": 0, "target": 0.0}
        return temperatures

    def _get_api_job(self, mode, data):
        printer = self.printer
        state = {"offline": "Offline", "error": "Offline after error"}.get(mode) or self._state()
        job = printer.job
        name = job and job.name
        file = {
            "date": None,
            "display": name,
            "name": name,
            "origin": job and "local",
            "path": name,
            "size": job and 12345,
        }
        progress = dict.fromkeys(
            ("completion", "filepos", "printTime", "printTimeLeft", "printTimeLeftOrigin")
        )
        if job is not None and job.completion is not None:
            left = max(0, round(job.duration_s - job.done_s))
            progress |= {"completion": job.completion, "filepos": round(123.45 * job.completion)}
            progress |= {
                "printTime": round(job.done_s),
                "printTimeLeft": left,
                "printTimeLeftOrigin": "linear",
            }
        about = {
            "averagePrintTime": None,
            "estimatedPrintTime": None,
            "filament": None,
            "file": file,
        }
        about |= {"lastPrintTime": None, "user": job and "admin"}
        return self._json(200, {"job": about, "progress": progress, "state": state})

    def _get_api_timelapse(self, mode, data):
        made = {"bytes": 1000, "date": "2026-01-01 12:00", "name": 'of "processing": true.mp4'}
        answer = {"config": {"type": "off"}, "enabled": True, "files": [made] * 40}
        if data.get("unrendered") == "true":
            job = {"count": 3, "name": "part", "recording": False, "rendering": self.rendering}
            answer["unrendered"] = [job | {"processing": self.rendering}]
        return self._json(200, answer)

    def _get_plugin_softwareupdate_check(self, mode, data):
        status = "inProgress" if self.updating else "current"
        return self._json(200, {"information": {}, "status": status, "timestamp": 0})

    def _post_api_files_local(self, mode, data):
        if data["path"] not in self.files:
            return self._error(404, _NOT_FOUND)
        if data.get("command") != "select":
            return self._error(400, "command is invalid")
        if mode in ("offline", "error") or not self.printer.operational:
            return self._conflict()
        try:
            if data.get("print") is True:
                self.printer.start(data["path"])
        except ValueError as error:
            return self._error(409, str(error))
        return _nothing()

    def _upload(self, may, mark, body):
        """What a form with a file is answered: `path`, the folder, and `file`."""
        if "FILES_UPLOAD" not in may:
            return self._error(403, _FORBIDDEN)
        head, *parts, tail = body.split(b"--" + mark)
        found = {}
        for part in parts:
            lines, _, text = part.partition(b"\r\n\r\n")
            found[lines.split(b'name="')[1].split(b'"')[0].decode()] = (lines, text[:-2])
        if head or tail.strip() != b"--" or "file" not in found:
            return self._error(400, "No file to upload and no folder to create")
        name = found["file"][0].split(b'filename="')[1].split(b'"')[0].decode()
        if not name.lower().endswith((".gcode", ".gco", ".g")):
            return self._error(415, "Could not upload the file, invalid type")
        folder = found.get("path", ("", b""))[1].decode()
        path = f"{folder}/{name}" if folder else name
        if self.printer.printing and self.printer.job and self.printer.job.name == path:
            return self._error(409, "Trying to overwrite file that is currently being printed")
        self.files.append(path)
        self.uploads[path] = found["file"][1]
        file = {"name": name, "origin": "local", "path": path}
        return self._json(
            201,
            {"done": True, "effectivePrint": False, "effectiveSelect": False}
            | {"files": {"local": file}},
        )

    def _get_api_settings(self, mode, data):
        plugins = {"tracking": {"enabled": False, "server": 'https://x/"?a=[{'}, "pi": {"x": []}}
        webcam: dict = {"bitrate": "10000k", "snapshotTimeout": 5, "webcamEnabled": True}
        cameras = []
        for provider, name, url in self.cameras:
            compat = url and {"snapshot": url, "snapshotTimeout": 5, "stream": "/webcam/?action=x"}
            camera = {
                "canSnapshot": bool(url),
                "compat": compat,
                "displayName": name,
                "name": name,
            }
            cameras.append(camera | {"extras": {"name": "no camera"}, "provider": provider})
        webcam["snapshotUrl"] = self.cameras[0][2] if self.cameras else None
        if self._number >= (1, 9):
            webcam["webcams"] = cameras
            webcam["snapshotWebcam"] = self.cameras[0][1] if self.cameras else None
        filler = {"snapshotUrl": "http://elsewhere/", "x": "y" * 300}
        return self._json(
            200,
            {"api": {"key": "n/a"}, "appearance": filler, "plugins": plugins, "webcam": webcam},
        )

    def _get_api_connection(self, mode, data):
        state = self._state()
        on = state not in ("Offline", "Offline after error")
        if state == "Offline" and self._number < (2,):
            state = "Closed"
        current = {"baudrate": 115200 if on else None, "port": "VIRTUAL" if on else None}
        current |= {"printerProfile": "_default", "state": state}
        options = {
            "baudratePreference": None,
            "baudrates": [250000, 115200],
            "portPreference": "VIRTUAL",
        }
        options |= {"ports": ["VIRTUAL"], "printerProfilePreference": "_default"}
        options["printerProfiles"] = [{"id": "_default", "name": "Default"}]
        return self._json(200, {"current": current, "options": options})

    def _post_api_connection(self, mode, data):
        command = data.get("command")
        if command == "connect":
            self.printer.connect()
        elif command == "disconnect":
            self.printer.disconnect()
        else:
            return self._error(400, "command is invalid")
        return _nothing()

    def _post_api_printer_command(self, mode, data):
        if mode in ("offline", "error") or not self.printer.operational:
            return self._conflict()
        lines = data.get("commands", [data.get("command")])
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            return self._error(400, 'Neither "command" nor "commands" specified')
        for line in lines:
            self.printer.command(line)
        return _nothing()

    def _post_api_printer_tool(self, mode, data):
        if not self.printer.operational:
            return self._conflict()
        if data.get("command") == "extrude":
            if self.printer.printing:
                return self._error(409, "Printer is currently printing")
            if not isinstance(data.get("amount"), (int, float)):
                return self._error(400, "amount is invalid")
            self.moves.append(data)
            return _nothing()
        return self._try(
            lambda: [self.printer.heat(*item) for item in dict(data["targets"]).items()]
        )

    def _post_api_printer_bed(self, mode, data):
        if not self.printer.operational:
            return self._conflict()
        return self._try(lambda: self.printer.heat("bed", data["target"]))

    def _post_api_printer_printhead(self, mode, data):
        if not self.printer.operational or self.printer.printing:
            return self._error(409, "Printer is not operational or currently printing")
        axes = data.get("axes", []) if data.get("command") == "home" else set(data) & set("xyz")
        if data.get("command") not in ("home", "jog") or not axes or set(axes) - set("xyz"):
            return self._error(400, "axis is invalid")
        self.moves.append(data)
        return _nothing()

    def _post_api_job(self, mode, data):
        if mode in ("offline", "error") or not self.printer.operational:
            return self._conflict()
        printer, command, action = self.printer, data.get("command"), data.get("action", "toggle")
        try:
            if command == "cancel":
                printer.cancel()
            elif command == "start":
                printer.start()
            elif command == "pause" and action in ("pause", "resume", "toggle"):
                if not printer.printing or printer.transferring:
                    return self._error(409, "Printer is neither printing nor paused")
                if action == "toggle":
                    action = "resume" if printer.state == "Paused" else "pause"
                if (action == "pause") != (printer.state == "Paused"):
                    getattr(printer, action)()
            else:
                return self._error(400, "command is invalid")
        except ValueError as error:
            return self._error(409, str(error))
        return _nothing()

    def _post_api_system_commands_core_shutdown(self, mode, data):
        if self.on_shutdown is None:
            return self._error(404, _NOT_FOUND)
        self.on_shutdown()
        return _nothing()

    # --- application keys

    def _appkeys(self, method, path, body):
        now = asyncio.get_running_loop().time()
        for token, request in list(self.appkeys.items()):
            if now - request.polled > 5 or now - request.made > 600:
                del self.appkeys[token]
        if path == "probe" and method == "GET":
            return _nothing()
        if path == "request" and method == "POST":
            self._appkey_times = [t for t in self._appkey_times if now - t < 60]
            if len(self._appkey_times) >= 3:
                text = "You have made too many app key requests. Please try again later."
                return self._error(429, text)
            self._appkey_times.append(now)
            try:
                data = json.loads(body)
                app, user = data["app"], data.get("user")
            except (ValueError, KeyError, TypeError, AttributeError):
                return self._error(400, "No app name")
            token = secrets.token_urlsafe(32)
            self.appkeys[token] = _Request(app, now)
            if self.appkey_answer is not None:
                self.appkeys[token].allowed = self.appkey_answer
            url = f"http://127.0.0.1:{self.port}/plugin/appkeys/"
            dialog = f"{url}auth/{token}" + (f"?user={user}" if user else "")
            answer = {"app_token": token, "auth_dialog": dialog}
            return (*self._json(201, answer)[:3], f"Location: {url}request/{token}\r\n")
        if path.startswith("request/") and method == "GET":
            token = path[len("request/") :]
            request = self.appkeys.get(token)
            if request is None:
                return self._error(404, _NOT_FOUND)
            request.polled = now
            if request.allowed is None:
                return self._json(202, {"message": "Awaiting decision"})
            del self.appkeys[token]
            if not request.allowed:
                return self._error(404, _NOT_FOUND)
            key = secrets.token_hex(16).upper()
            self.keys[key] = ("admin", ["ADMIN", *_PERMISSIONS, "SYSTEM"])
            return self._json(200, {"api_key": key})
        return self._error(404, _NOT_FOUND)

    def decide(self, allow):
        """The user clicks Allow or Deny on all that waits; returns the names of the apps."""
        waiting = [request for request in self.appkeys.values() if request.allowed is None]
        for request in waiting:
            request.allowed = bool(allow)
        return [request.app for request in waiting]

    # --- parts

    @property
    def _number(self):
        return tuple(int(part) for part in self.version.split(".")[:2])

    def _state(self):
        self.printer.look()
        return self.printer.state

    def _json(self, status, value):
        if self._number < (1, 9):
            text = json.dumps(value, sort_keys=True, separators=(",", ":"))
        else:
            text = json.dumps(value, sort_keys=True, indent=2)
        return status, (text + "\n").encode(), "application/json", ""

    def _error(self, status, text):
        return self._json(status, {"error": text})

    def _conflict(self):
        return self._error(409, "Printer is not operational")

    def _try(self, do):
        try:
            do()
        except (ValueError, KeyError, TypeError) as error:
            return self._error(400, str(error))
        return _nothing()


class _Request:
    """An app that asks for a key."""

    def __init__(self, app, now):
        self.app, self.made, self.polled, self.allowed = app, now, now, None


class _Counted:
    """A writer that counts, and can reset."""

    def __init__(self, server, writer):
        self.server, self.writer = server, writer

    async def send(self, data):
        self.server.bytes_out += len(data)
        self.writer.write(data)
        await self.writer.drain()

    def reset(self):
        line = self.writer.get_extra_info("socket")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


def _nothing():
    return 204, b"", "text/plain", ""


def _head(status, length, kind, extra, close):
    lines = [
        f"HTTP/1.1 {status} {_REASONS[status]}",
        f"Content-Type: {kind}",
        f"Content-Length: {length}",
        "Cache-Control: max-age=0",
        "X-Clacks-Overhead: GNU Terry Pratchett",
        "Server-Timing: app;dur=1",
        "X-Robots-Tag: noindex, nofollow, noimageindex",
        "X-Content-Type-Options: nosniff",
        "X-Frame-Options: sameorigin",
    ]
    if close:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n" + extra + "\r\n").encode()
