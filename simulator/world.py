"""Everything around one plug, and the plug: Pi and printer on its relay, broker, network.

A plug whose file system is given by `flash` is its owner's: it starts with the settings that are
there, with none it comes up to be set up. Without one it is set up for the stand-ins already.
"""

import asyncio
import json
import shutil
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from . import flash, lan, rows
from .broker import Broker
from .door import SILENT, Door
from .octoprint import GOOD_KEY
from .phone import Phone
from .pi import Pi
from .runner import Runner

_READY_S = 10.0
_KEPT = ("config.json", "ha", "last", "offs")  # what the plug writes at its root


class Options:
    """What the command line says. Raises ValueError naming the option that is wrong."""

    def __init__(
        self,
        config=None,
        flash=None,
        runtime="auto",
        heap=38 * 1024,
        octoprint=None,
        api_key=None,
        mqtt=None,
        speed=1.0,
        program=None,
    ):
        if runtime not in ("auto", "micropython", "cpython"):
            raise ValueError("--runtime: one of auto, micropython, cpython")
        if not 1 <= speed <= 1000:
            raise ValueError("--speed: a number from 1 to 1000")
        self.config, self.flash, self.runtime, self.heap = config, flash, runtime, heap
        self.speed, self.program = speed, program
        self.octoprint = octoprint and address("--octoprint", octoprint, 80)
        self.api_key = api_key
        if octoprint and not api_key:
            raise ValueError("--api-key: needed with --octoprint")
        self.mqtt = mqtt and address("--mqtt", mqtt, 1883)


def address(option, text, port):
    """(host, port) out of host, host:port or an http:// URL; ValueError names the option."""
    parts = urlsplit(text if "//" in text else "//" + text)
    try:
        number = parts.port or port
    except ValueError:
        number = 0
    if parts.scheme not in ("", "http") or not parts.hostname or not 1 <= number <= 65535:
        raise ValueError(f"{option}: HOST:PORT or http://HOST:PORT, port from 1 to 65535")
    if parts.path not in ("", "/"):
        raise ValueError(f"{option}: no path; the plug asks for /api/printer and the like itself")
    return parts.hostname, number


class World:
    """`pi` and `broker` are None where real ones take their place; `runner` is the plug."""

    def __init__(self, options):
        self.options = options
        self.speed = options.speed
        self.scan_ms = 2000 / options.speed  # the radio's own time, which blocks the firmware
        self.boot_s = 10.0  # the Pi's
        self.pi = self.broker = self.runner = self.phone = None
        self.row_places = {}  # where a row of the state table begins: its number in rows.rows()
        self._resolver = self._nobody = self._temporary = self._learning = None

    async def start(self):
        """Start everything. OSError when a port is taken, flash.FlashError, ValueError."""
        options = self.options
        clock = time.monotonic
        if options.octoprint is None:
            self.pi = Pi(clock, options.speed)
            self.pi.boot_s = self.boot_s
            self.pi.open()
        if options.mqtt is None:
            self.broker = Broker()
            await self.broker.start()
        folder = options.flash
        if folder is None:
            folder = self._temporary = tempfile.mkdtemp(prefix="octoplugout-flash-")
        folder = Path(folder)
        self.runner = Runner(folder, options.runtime, options.heap, options.program)
        self.phone = Phone(self.runner)
        ours = self._filled_here(folder)
        await asyncio.to_thread(self._fill, folder)
        chip = self.runner.chip
        chip.wifi.join_ms = 300 / options.speed
        chip.wifi.scan_ms = self.scan_ms
        lan.on_the_air(chip.wifi)
        self._neighbour(chip.wifi)
        chip.routes = await self._routes()
        if self._asks_names():
            chip.wifi.dns = _resolver()
        if self.pi is not None:
            self.pi.follow(chip)
        await self.runner.start()
        if ours:
            self._learning = asyncio.create_task(self._learn())
        await self._ready()

    async def _learn(self):
        # Not while the firmware is built: ast bears no two threads.
        name, self.row_places = await asyncio.to_thread(rows.told_by, self.runner.runtime)
        self.runner.watch_rows(name)

    def _filled_here(self, folder):
        # Else it is somebody's own, built who knows when.
        return self.options.flash is None or not (folder / "main.py").exists()

    def _fill(self, folder):
        if self._filled_here(folder):
            flash.fill(folder, self.runner.runtime)
        self._set_up(folder, self.options.speed, self.options.config)

    def _set_up(self, folder, speed, given):
        """Write config.json: `given`, and what leads the plug to what is here."""
        options = self.options
        owned = options.flash is not None and given is None
        forced = {}
        if options.octoprint or not owned:
            host, port = options.octoprint or (lan.PI, 80)
            forced |= {"octoprint_host": host, "octoprint_port": port}
            forced["octoprint_api_key"] = options.api_key or GOOD_KEY
        if self.pi is not None and not owned:
            forced["probe_port"] = 22
        if options.mqtt or not owned:
            host, port = options.mqtt or (lan.BROKER, 1883)
            forced |= {"mqtt_host": host, "mqtt_port": port}
        if not owned and "wifi_ssid" not in (given or {}):
            forced |= {"wifi_ssid": lan.NAME, "wifi_password": lan.PASSWORD}
        # A flash that was used before has its times already: dividing them again would be wrong.
        fresh = given is not None or not (folder / "config.json").exists()
        speed = speed if fresh else 1
        if forced or speed != 1:
            flash.configure(folder, given, forced, speed)

    @property
    def fixed(self):
        """Why nothing here can begin anew, None when it can."""
        if self.options.flash is not None:
            return "the plug's file system is somebody's own (--flash)"
        return None

    async def anew(self, speed, settings=None):
        """The same house on another day: the plug was out of the wall, everything is as at first.

        Times are those of `speed`; `settings` go before those of --config. ValueError: why not.
        """
        if self.fixed:
            raise ValueError(self.fixed)
        runner, wifi = self.runner, self.runner.chip.wifi
        await runner.power(False)
        self.speed = speed
        wifi.up, wifi.join_ms = True, 300 / speed
        lan.on_the_air(wifi)
        if self.pi is not None:
            self.pi.renew(speed)
            self.pi.boot_s = self.boot_s
        if self.broker is not None:
            self.broker.mode = "ok"
            await self.broker.restart()
            self.broker.log.clear()
        for name in _KEPT:
            (runner.flash / name).unlink(missing_ok=True)
        self._set_up(runner.flash, speed, {**(self.options.config or {}), **(settings or {})})
        runner.passed.clear()
        runner.chip.relay_log.clear()
        runner.chip.pin_log.clear()
        await runner.power(True)

    def _neighbour(self, wifi):
        """A network that the plug was set up for elsewhere is on the air here too."""
        values = self.settings()
        name, password = values.get("wifi_ssid"), values.get("wifi_password", "")
        known = {found[0] for found in wifi.networks} | {lan.HIDDEN.encode()}
        if isinstance(name, str) and name and name.encode() not in known:
            wifi.networks.append((name.encode(), b"\x02\0\0\0\2\0", 6, -55, 3, False))
            wifi.passwords[name] = str(password)

    def settings(self):
        """What config.json on the plug's flash says now; {} where there is none to read."""
        try:
            values = json.loads((self.runner.flash / "config.json").read_text())
        except (OSError, ValueError):
            return {}
        return values if isinstance(values, dict) else {}

    async def _routes(self):
        """Where the plug finds whom; see lan.routes."""
        hosts = {}
        if self.pi is not None:
            hosts[lan.PI, 80] = self.pi.octoprint.port
            hosts[lan.PI, 22] = self.pi.probe.port
        if self.broker is not None:
            hosts[lan.BROKER, 1883] = self.broker.port
        if self._asks_names():
            return lan.routes(hosts)
        self._resolver = lan.Resolver(lan.NAMES)
        await self._resolver.start()
        hosts[lan.ROUTER, 53] = hosts[lan.MDNS] = self._resolver.port
        if self.pi is None or self.broker is None:
            return lan.routes(hosts)  # the real one is somewhere out there
        self._nobody = Door(None)
        self._nobody.open(SILENT)
        return lan.routes(hosts, self._nobody.port)

    def _asks_names(self):
        hosts = [part[0] for part in (self.options.octoprint, self.options.mqtt) if part]
        return any(not host.replace(".", "").isdigit() for host in hosts)

    async def _ready(self):
        """Wait until the firmware shows a state, but not for ever: it may be broken."""
        for _ in range(int(_READY_S / 0.02)):
            if self.runner.state is not None or self.runner.dead is not None:
                return
            await asyncio.sleep(0.02)

    async def stop(self):
        if self._learning is not None:
            await asyncio.gather(self._learning, return_exceptions=True)
        if self.runner is not None:
            await self.runner.stop()
        if self.pi is not None:
            self.pi.close()
        if self.broker is not None:
            await self.broker.stop()
        if self._resolver is not None:
            self._resolver.stop()
        if self._nobody is not None:
            self._nobody.close()
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)


def _resolver():
    """The PC's own name server."""
    try:
        with open("/etc/resolv.conf") as file:
            for line in file:
                words = line.split()
                if words[:1] == ["nameserver"] and len(words) > 1 and ":" not in words[1]:
                    return words[1]
    except OSError:
        pass
    return "127.0.0.1"
