"""Everything around one plug, and the plug: Pi and printer on its relay, broker, network."""

import asyncio
import shutil
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from . import flash
from .broker import Broker
from .octoprint import GOOD_KEY
from .pi import Pi
from .runner import Runner

_READY_S = 10.0


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
    ):
        if runtime not in ("auto", "micropython", "cpython"):
            raise ValueError("--runtime: one of auto, micropython, cpython")
        if not 1 <= speed <= 1000:
            raise ValueError("--speed: a number from 1 to 1000")
        self.config, self.flash, self.runtime, self.heap = config, flash, runtime, heap
        self.speed = speed
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
        self.pi = self.broker = self.runner = None
        self._temporary = None

    async def start(self):
        """Start everything. OSError when a port is taken, flash.FlashError, ValueError."""
        options = self.options
        clock = time.monotonic
        if options.octoprint is None:
            self.pi = Pi(clock, options.speed)
            self.pi.boot_s = 10.0
            self.pi.open()
        if options.mqtt is None:
            self.broker = Broker()
            await self.broker.start()
        folder = options.flash
        if folder is None:
            folder = self._temporary = tempfile.mkdtemp(prefix="octoplugout-flash-")
        folder = Path(folder)
        self.runner = Runner(folder, options.runtime, options.heap)
        await asyncio.to_thread(self._fill, folder)
        chip = self.runner.chip
        chip.wifi.join_ms = 300 / options.speed
        if self._asks_names():
            chip.wifi.dns = _resolver()
        if self.pi is not None:
            self.pi.follow(chip)
        await self.runner.start()
        await self._ready()

    def _fill(self, folder):
        options = self.options
        if not (folder / "main.py").exists() or options.flash is None:
            flash.fill(folder, self.runner.runtime)
        host, port = options.octoprint or ("127.0.0.1", self.pi.octoprint.port)
        forced = {"octoprint_host": host, "octoprint_port": port}
        forced["octoprint_api_key"] = options.api_key or GOOD_KEY
        if self.pi is not None:
            forced["probe_port"] = self.pi.probe.port
        host, port = options.mqtt or ("127.0.0.1", self.broker.port)
        forced |= {"mqtt_host": host, "mqtt_port": port}
        given = options.config
        if "wifi_ssid" not in (given or {}):
            forced |= {"wifi_ssid": "workshop", "wifi_password": "any will do"}
        # A flash that was used before has its times already: dividing them again would be wrong.
        fresh = given is not None or not (folder / "config.json").exists()
        flash.configure(folder, given, forced, options.speed if fresh else 1)

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
        if self.runner is not None:
            await self.runner.stop()
        if self.pi is not None:
            self.pi.close()
        if self.broker is not None:
            await self.broker.stop()
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
