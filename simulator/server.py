"""The control interface: JSON over HTTP for tests, measurements and the page at /.

Every wrong input is answered 400 with {"error": sentence, "field": name}, and changes nothing.
"""

import asyncio
import json
from urllib.parse import urlsplit

from aiohttp import web

from . import broker as broker_module
from . import lan, scenarios, show
from . import octoprint as octoprint_module
from . import phone as phone_module

_LIMIT = 64 * 1024
_QUEUE = 2000  # events a slow listener may be behind before it is dropped
_SHOW_S = 0.35  # until the firmware's end has told what the button did: it looks every 250 ms
_BEAT_S = 0.25  # how often the printer is told of
_CAUSES = (0, 1, 2, 3, 4, 6)


class Wrong(Exception):
    """An input that is not accepted: which field, and what it may be."""

    def __init__(self, field, limits):
        super().__init__(f"{field}: {limits}")
        self.field = field


class Server:
    """One world's control interface. `start()` returns the port."""

    def __init__(self, world):
        self.world = world
        self.queues = set()
        self.pressing = asyncio.Lock()
        self.show = show.Show(world, self._send)
        self._beating = None
        self.app = web.Application(client_max_size=_LIMIT, middlewares=[self._guard])
        self.app.add_routes(
            [
                web.get("/", self.page),
                web.get("/api/plug", self.plug),
                web.post("/api/plug/button", self.button),
                web.get("/api/plug/wifi", self.air),
                web.post("/api/plug/wifi", self.wifi),
                web.get("/api/portal", self.portal),
                web.post("/api/plug/power", self.power),
                web.post("/api/plug/reset", self.reset),
                web.post("/api/plug/stall", self.stall),
                web.get("/api/plug/serial", self.serial),
                web.get("/api/plug/log", self.log),
                web.get("/api/events", self.events),
                web.get("/api/printer", self.printer),
                web.post("/api/printer", self.set_printer),
                web.get("/api/pi", self.pi),
                web.post("/api/pi", self.set_pi),
                web.get("/api/mqtt", self.mqtt),
                web.post("/api/mqtt", self.set_mqtt),
                web.post("/api/play", self.play),
                web.post("/api/speed", self.speed),
                *self.show.routes(),
            ]
        )
        runner = world.runner
        runner.chip.listeners.append(self._pin)
        runner.chip.relay_listeners.append(lambda ms, on: self._plug())
        runner.listeners.append(lambda _: self._plug())
        if world.broker is not None:
            world.broker.listeners.append(lambda entry: self._send("mqtt", _message(entry)))

    async def start(self, port):
        """Listen on 127.0.0.1; OSError if the port is taken."""
        self._serving = web.AppRunner(self.app, access_log=None, shutdown_timeout=0.5)
        await self._serving.setup()
        site = web.TCPSite(self._serving, "127.0.0.1", port)
        await site.start()
        self._beating = asyncio.create_task(self._beat())
        return self._serving.addresses[0][1]

    async def stop(self):
        if self._beating is not None:
            self._beating.cancel()
        await self.show.stop()
        for queue in self.queues:
            queue.put_nowait(None)
        await self._serving.cleanup()

    @web.middleware
    async def _guard(self, request, handler):
        """A page from elsewhere may not press the button, and every error is JSON."""
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            return _error(403, "another site's page may not control the simulator")
        try:
            return await handler(request)
        except Wrong as wrong:
            return _error(400, str(wrong), wrong.field)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            return _error(error.status, error.reason)

    # --- the plug

    def snapshot(self):
        """What GET /api/plug answers."""
        runner, world = self.world.runner, self.world
        chip = runner.chip
        return {
            "now_ms": chip.clock(),
            "state": runner.state,
            "fired": getattr(world, "row_places", {}).get(runner.fired),
            "relay": chip.relay,
            "led": chip.led,
            "reason": runner.reason,
            "countdown_s": runner.countdown,
            "uptime_ms": runner.uptime_ms,
            "stall_ms_max": runner.stall_ms_max,
            "heap_free": runner.heap_free,
            "resets": len(chip.resets),
            "reset_cause": chip.cause,
            "dead": runner.dead,
            "power": chip.powered,
            "pressed": chip.pressed,
            "wifi": {
                "up": chip.wifi.up,
                "status": chip.wifi.status() if chip.powered else 0,
                "access_point": chip.powered and chip.wifi.active[1],
            },
            "portal": runner.serves("tcp", 80),
            "runtime": runner.runtime,
            "heap": runner.heap if runner.runtime == "micropython" else None,
            "cuts": len(world.pi.cuts) if world.pi else None,
        }

    async def page(self, request):
        return web.FileResponse(show.FOLDER / "index.html", headers={"Cache-Control": "no-cache"})

    async def plug(self, request):
        return web.json_response(self.snapshot())

    async def button(self, request):
        data = await _body(request, ("hold_ms", "down"))
        runner = self.world.runner
        if not runner.chip.powered:
            raise Wrong("hold_ms", "the plug has no power")
        if "down" in data:
            runner.button(_bool(data, "down"))
            return web.json_response(self.snapshot())
        ms = _number(data, "hold_ms", 1, 60000, "ms")
        async with self.pressing:  # one finger
            await runner.hold(ms)
            await asyncio.sleep(_SHOW_S)
        return web.json_response(self.snapshot())

    async def wifi(self, request):
        """{"up"} · {"air"} · {"network", "join" and "password"}; see lan.AIRS and lan.JOINS."""
        data = await _body(request, ("up", "air", "network", "join", "password"))
        wifi = self.world.runner.chip.wifi
        if not data.keys() - {"join", "password"}:
            raise Wrong("up", "true or false; or air, or network with join or password")
        changes = []
        if "up" in data:
            up = _bool(data, "up")
            changes.append(lambda: setattr(wifi, "up", up))
        if "air" in data:
            networks = list(lan.AIRS[_choice(data, "air", lan.AIRS)])
            changes.append(lambda: setattr(wifi, "networks", networks))
        if "network" in data:
            name = _text(data, "network")
            if not 1 <= len(name.encode("utf-8", "surrogateescape")) <= 32:
                raise Wrong("network", "a name of 1 to 32 bytes")
            if "join" not in data and "password" not in data:
                raise Wrong("network", "goes with join or password")
            if "join" in data:
                outcome = lan.JOINS[_choice(data, "join", lan.JOINS)]
                changes.append(lambda: wifi.come_to(name, outcome))
            if "password" in data:
                password = _text(data, "password")
                changes.append(lambda: wifi.passwords.update({name: password}))
        elif "join" in data or "password" in data:
            raise Wrong("network", "which one join and password are of")
        for change in changes:
            change()
        self.world.runner.chip.aired()
        return web.json_response(self.snapshot())

    async def air(self, request):
        """What is on the air, the plug's own access point, and what the station comes to."""
        chip = self.world.runner.chip
        wifi = chip.wifi
        words = {number: word for word, number in lan.JOINS.items()}
        networks = [
            {
                "name": name.decode("utf-8", "backslashreplace"),
                "hex": name.hex(),
                "channel": channel,
                "rssi": rssi,
                "authmode": security,
                "hidden": hidden,
            }
            for name, _, channel, rssi, security, hidden in wifi.networks
        ]
        name, password, security = wifi.point
        return web.json_response(
            {
                "up": wifi.up,
                "status": wifi.status() if chip.powered else 0,
                "wanted": wifi.wanted and wifi.wanted[0],
                "networks": networks,
                "passwords": wifi.passwords,
                "joins": {name: words[number] for name, number in wifi.outcomes.items()},
                "known_airs": list(lan.AIRS),
                "known_joins": list(lan.JOINS),
                "access_point": {
                    "active": chip.powered and wifi.active[1],
                    "name": name,
                    "password": password if security else "",
                    "authmode": security,
                },
            }
        )

    async def portal(self, request):
        """Where the portal is, why not, and what one enters there to have the stand-ins."""
        world = self.world
        phone, chip = getattr(world, "phone", None), world.runner.chip
        reason = phone_module.in_the_way(world.runner)
        name, _, security = chip.wifi.point
        enter = {"WiFi": f"{lan.NAME}, password {lan.PASSWORD}"}
        if world.pi is not None:
            enter["OctoPrint"] = f"octopi.local or {lan.PI}, key {octoprint_module.GOOD_KEY}"
        if world.broker is not None:
            enter["MQTT broker"] = f"broker.local or {lan.BROKER}"
        settings = world.settings() if hasattr(world, "settings") else {}
        return web.json_response(
            {
                "url": phone.url if phone and phone.port else None,
                "open": reason is None,
                "why_not": reason and f"{reason[0]}. {reason[1]}",
                "plug": phone_module.address(chip),
                "access_point": name if chip.powered and chip.wifi.active[1] else None,
                "access_point_open": security == 0,
                "password": settings.get("portal_password"),
                "enter": enter,
            }
        )

    async def power(self, request):
        data = await _body(request, ("on",))
        await self.world.runner.power(_bool(data, "on"))
        return web.json_response(self.snapshot())

    async def reset(self, request):
        data = await _body(request, ("cause",))
        cause = data.get("cause")
        if isinstance(cause, bool) or cause not in _CAUSES:
            limits = "0 power-on, 1 hardware watchdog, 2 exception, 3 software watchdog,"
            raise Wrong("cause", limits + " 4 machine.reset(), 6 reset pin")
        if not self.world.runner.chip.powered:
            raise Wrong("cause", "the plug has no power")
        await self.world.runner.reset(cause)
        return web.json_response(self.snapshot())

    async def stall(self, request):
        await _body(request, ())
        self.world.runner.measure()
        return web.json_response(self.snapshot())

    async def serial(self, request):
        return web.json_response({"lines": list(self.world.runner.serial)})

    async def log(self, request):
        chip = self.world.runner.chip
        pins = [{"ms": m, "pin": n, "driven": d, "level": v} for m, n, d, v in chip.pin_log]
        relay = [{"ms": ms, "closed": closed} for ms, closed in chip.relay_log]
        return web.json_response({"now_ms": chip.clock(), "relay": relay, "pins": pins})

    # --- the page

    async def play(self, request):
        """{"scenario": name} plays it from its beginning; {"stop": true} leaves it."""
        data = await _body(request, ("scenario", "stop"))
        if "stop" in data:
            if _bool(data, "stop"):
                await self.show.stop()
        else:
            name = _choice(data, "scenario", scenarios.BY_NAME)
            try:
                await self.show.play(name)
            except ValueError as error:
                raise Wrong("scenario", str(error)) from error
        return web.json_response({"story": self.show.story})

    async def speed(self, request):
        """{"speed"}: the plug and what is around it begin anew, that fast."""
        data = await _body(request, ("speed",))
        speed = _number(data, "speed", 1, 1000, "times", whole=False)
        try:
            await self.show.hurry(speed)
        except ValueError as error:
            raise Wrong("speed", str(error)) from error
        return web.json_response(self.snapshot())

    # --- events

    async def _beat(self):
        while True:
            for kept in (True, False):
                if kept:
                    self.show.beat()
                if self.queues:
                    told = self._printer() if self.world.pi else {}
                    self._send("printer" if self.world.pi else "tick", told)
                await asyncio.sleep(_BEAT_S)

    def _pin(self, ms, n, driven, level):
        self._send("pin", {"ms": ms, "pin": n, "driven": driven, "level": level})

    def _plug(self):
        self._send("plug", self.snapshot())

    def _send(self, event, data):
        for queue in list(self.queues):
            if queue.qsize() > _QUEUE:
                self.queues.discard(queue)
                queue.put_nowait(None)
            else:
                queue.put_nowait((event, data))

    async def events(self, request):
        """Server-sent: "plug" at first and at every change, "pin", "mqtt", "printer", "story"."""
        response = web.StreamResponse(headers={"Cache-Control": "no-store"})
        response.content_type = "text/event-stream"
        await response.prepare(request)
        queue = asyncio.Queue()
        queue.put_nowait(("plug", self.snapshot()))
        self.queues.add(queue)
        try:
            while True:
                item = await queue.get()
                if item is None:
                    return response
                event, data = item
                await response.write(f"event: {event}\ndata: {json.dumps(data)}\n\n".encode())
        except ConnectionError:
            return response
        finally:
            self.queues.discard(queue)

    # --- the printer and its Pi

    def _pi_or_wrong(self, field="mode"):
        if self.world.pi is None:
            raise Wrong(field, "a real OctoPrint is in its place (--octoprint)")
        return self.world.pi

    def _printer(self):
        pi = self.world.pi
        printer, octoprint = pi.printer, pi.octoprint
        printer.look()
        job = printer.job
        return {
            "now_ms": self.world.runner.chip.clock(),
            "state": printer.state,
            "printing": printer.printing,
            "temperatures": {
                name: {"actual": round(heater.actual, 1), "target": heater.target}
                for name, heater in printer.heaters.items()
            },
            "job": job
            and {
                "name": job.name,
                "duration_s": job.duration_s,
                "completion": job.completion,
            },
            "transferring": printer.transferring,
            "display": printer.display,
            "displayed": printer.displayed[-50:],
            "mode": octoprint.mode,
            "modes": octoprint.modes,
            "version": octoprint.version,
            "port": octoprint.port,
            "requests": len(octoprint.requests),
            "bytes_in": octoprint.bytes_in,
            "bytes_out": octoprint.bytes_out,
            "appkeys_waiting": [r.app for r in octoprint.appkeys.values() if r.allowed is None],
            "pi": self._pi(),
        }

    def _pi(self):
        pi = self.world.pi
        return {
            "state": pi.state,
            "cuts": [{"s": s, "state": state, "printing": was} for s, state, was in pi.cuts],
            "shutdowns": pi.shutdowns,
            "probe_port": pi.probe.port,
            "on_shutdown": pi.on_shutdown,
            "boot_s": pi.boot_s,
            "halt_s": pi.halt_s,
            "sync_s": pi.sync_s,
            "down_s": pi.down_s,
            "network": pi.network,
            "proxy": pi.proxy,
            "autoconnect": pi.autoconnect,
        }

    async def printer(self, request):
        self._pi_or_wrong()
        answer = self._printer() | {"known_modes": octoprint_module.MODES}
        answer["log"] = [list(seen) for seen in self.world.pi.octoprint.requests][-200:]
        return web.json_response(answer)

    async def set_printer(self, request):
        """{"mode", "path"} · {"do": start pause resume finish cancel heat connect …} · …"""
        pi = self._pi_or_wrong()
        job = ("name", "duration_s", "tool_c", "bed_c")
        known = ("mode", "path", "do", *job, "transferring", "version", "appkey", "key_valid")
        data = await _body(request, known)
        printer, octoprint = pi.printer, pi.octoprint
        do = data.get("do")
        actions = ("start", "pause", "resume", "cancel", "connect", "disconnect", "error")
        actions += ("finish", "heat")
        if do is not None and do not in actions:
            raise Wrong("do", f"one of {', '.join(actions)}")
        # Everything is looked at before anything is changed.
        changes = []
        if "mode" in data:
            mode = _choice(data, "mode", octoprint_module.MODES)
            path = _text(data, "path") if "path" in data else ""
            if not path:
                changes.append(lambda: setattr(octoprint, "mode", mode))
            elif mode == "ok":
                changes.append(lambda: octoprint.modes.pop(path, None))
            else:
                changes.append(lambda: octoprint.modes.update({path: mode}))
        elif "path" in data:
            raise Wrong("path", "goes with mode")
        if "transferring" in data:
            transferring = _bool(data, "transferring")
            changes.append(lambda: setattr(printer, "transferring", transferring))
        if "version" in data:
            version = _text(data, "version")
            parts = version.split(".")
            if len(parts) < 2 or not all(part.isdigit() for part in parts[:2]):
                raise Wrong("version", 'text such as "1.11.8"')
            changes.append(lambda: setattr(octoprint, "version", version))
        if "appkey" in data:
            allow = _choice(data, "appkey", ("allow", "deny")) == "allow"
            changes.append(lambda: octoprint.decide(allow))
        if "key_valid" in data:
            valid = _bool(data, "key_valid")
            changes.append(lambda: octoprint.accept_key(valid))
        if do == "start":
            values = {}
            if "name" in data:
                values["name"] = _text(data, "name")
            for field, highest in (("duration_s", 1e6), ("tool_c", 400), ("bed_c", 150)):
                if field in data:
                    values[field] = _number(data, field, 0, highest, "s or °C", whole=False)
            changes.append(lambda: printer.start(**values))
        elif do == "heat" and "tool_c" in data and not data.keys() - {"do", "tool_c"}:
            target = _number(data, "tool_c", 0, 400, "°C", whole=False)
            changes.append(lambda: printer.heat("tool0", target))
        elif do == "heat":
            raise Wrong("tool_c", "a number from 0 to 400 (°C), the target, and nothing else")
        elif any(field in data for field in job):
            raise Wrong("do", '"start" goes with name, duration_s, tool_c and bed_c')
        elif do == "error":
            changes.append(lambda: printer.disconnect("Offline after error"))
        elif do is not None:
            changes.append(getattr(printer, do))
        for change in changes:
            try:
                change()
            except ValueError as error:
                raise Wrong("do", str(error)) from error
        return web.json_response(self._printer())

    async def pi(self, request):
        self._pi_or_wrong("do")
        return web.json_response(self._pi())

    async def set_pi(self, request):
        """{"do": halt reboot hang kill restart freeze start} · boot_s and the others of GET."""
        pi = self._pi_or_wrong("do")
        data = await _body(request, None)
        actions = {
            "halt": pi.halt,
            "reboot": lambda: pi.halt("reboot"),
            "hang": pi.hang,
            "kill": pi.kill,
            "restart": pi.restart,
            "freeze": pi.freeze,
            "start": pi.start,
        }
        do = data.pop("do", None)
        if do is not None and do not in actions:
            raise Wrong("do", f"one of {', '.join(actions)}")
        try:
            pi.configure(**data)
        except ValueError as error:
            field, _, limits = str(error).partition(": ")
            raise Wrong(field, limits) from error
        if do is not None:
            try:
                actions[do]()
            except ValueError as error:
                raise Wrong("do", str(error)) from error
        return web.json_response(self._pi())

    # --- the broker

    def _broker_or_wrong(self):
        if self.world.broker is None:
            raise Wrong("mode", "a real broker is in its place (--mqtt)")
        return self.world.broker

    async def mqtt(self, request):
        broker = self._broker_or_wrong()
        since = request.query.get("since", "0")
        if not since.isdigit():
            raise Wrong("since", "a whole number of ms, as in the log")
        return web.json_response(
            {
                "port": broker.port,
                "mode": broker.mode,
                "known_modes": broker_module.MODES,
                "retained": {t: p.decode("utf-8", "replace") for t, p in broker.retained.items()},
                "log": [_message(entry) for entry in broker.log if entry[0] >= int(since)],
            }
        )

    async def set_mqtt(self, request):
        """{"mode"} · {"do": "restart", "keep"} · {"publish": topic, "payload", "retain"}"""
        broker = self._broker_or_wrong()
        data = await _body(request, ("mode", "do", "keep", "publish", "payload", "retain"))
        if "do" in data:
            _choice(data, "do", ("restart",))
            await broker.restart(_bool(data, "keep") if "keep" in data else False)
        elif "publish" in data:
            topic = _text(data, "publish")
            if not topic or len(topic) > 1000 or "#" in topic or "+" in topic:
                raise Wrong("publish", "a topic of 1 to 1000 characters without # and +")
            payload = _text(data, "payload") if "payload" in data else ""
            retain = _bool(data, "retain") if "retain" in data else False
            await broker.publish(topic, payload.encode(), retain)
        else:
            broker.mode = _choice(data, "mode", broker_module.MODES)
        return web.json_response({"mode": broker.mode, "port": broker.port})


def _message(entry):
    ms, client, topic, payload, retain = entry
    text = payload.decode("utf-8", "replace")
    return {"ms": ms, "client": client, "topic": topic, "payload": text, "retain": retain}


def _error(status, text, field=None):
    data = {"error": text}
    if field is not None:
        data["field"] = field
    return web.json_response(data, status=status)


async def _body(request, known):
    """The request's JSON object; Wrong for anything else and for fields that nobody knows."""
    try:
        data = json.loads(await request.read() or b"{}")
    except (ValueError, RecursionError):
        raise Wrong("body", "JSON, for instance {}") from None
    if not isinstance(data, dict):
        raise Wrong("body", "a JSON object")
    for field in data:
        if known is not None and field not in known:
            raise Wrong(field[:40], f"unknown; there are {', '.join(known) or 'none'}")
    return data


def _bool(data, field):
    value = data.get(field)
    if not isinstance(value, bool):
        raise Wrong(field, "true or false")
    return value


def _number(data, field, lowest, highest, unit, whole=True):
    value = data.get(field)
    kind = int if whole else int | float
    if not isinstance(value, kind) or isinstance(value, bool) or not lowest <= value <= highest:
        what = "a whole number" if whole else "a number"
        raise Wrong(field, f"{what} from {lowest:g} to {highest:g} ({unit})")
    return value


def _text(data, field):
    value = data.get(field)
    if not isinstance(value, str) or len(value) > 10000:
        raise Wrong(field, "text of at most 10000 characters")
    return value


def _choice(data, field, choices):
    value = data.get(field)
    if not isinstance(value, str) or value not in choices:
        raise Wrong(field, f"one of {', '.join(choices)}")
    return value
