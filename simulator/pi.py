"""The Pi behind the plug: it boots with the power, halts when asked, and suffers when cut.

Two ports: OctoPrint's, and `probe`, which stands for its ssh: as long as that answers, the host
lives. What each does in every phase is in the two tables below; the times are fractions of
`boot_s` and `halt_s`.
"""

import asyncio

from .door import HANG, OPEN, REFUSED, RESET, SILENT, Door
from .octoprint import OctoPrint
from .printer import Printer

OFF, BOOTING, UP, HALTING, SYNCING, HALTED, FROZEN = (
    "off",
    "booting",
    "up",
    "halting",
    "syncing",
    "halted",
    "frozen",
)

# fraction of boot_s, OctoPrint's port, its mode until then, the probe's port
_BOOT = (
    (0.0, SILENT, "ok", SILENT),
    (0.5, REFUSED, "ok", OPEN),
    (0.85, OPEN, "boot", OPEN),
    (0.92, RESET, "ok", OPEN),
    (0.96, OPEN, "ok", OPEN),
)

# fraction of halt_s less sync_s: OctoPrint stops answering, its process ends, sshd ends
_HALT = (
    (0.1, HANG, OPEN),
    (0.3, RESET, OPEN),
    (0.35, REFUSED, OPEN),
    (0.7, REFUSED, REFUSED),
)

ON_SHUTDOWN = ("halt", "reboot", "never", "nothing")

_NUMBERS = {
    "boot_s": (0.0, 3600.0),
    "halt_s": (0.0, 3600.0),
    "sync_s": (0.0, 3600.0),
    "down_s": (0.0, 3600.0),
}


class Pi:
    """A Pi with OctoPrint, its printer on the same outlet.

    clock: callable, seconds. speed: how many seconds pass here in one of those. `cuts` lists every
    time the power was taken from it while it was alive: (seconds, its state, whether the printer
    was printing).
    """

    def __init__(self, clock, speed=1.0, port=0, probe_port=0, version="1.11.8"):
        self.clock, self.speed = clock, speed
        self.printer = Printer(clock, speed)
        self.octoprint = OctoPrint(self.printer, port, version)
        self.octoprint.on_shutdown = self._shutdown
        self.probe = Door(_greet, probe_port)
        self.cuts = []
        self.log = []  # (seconds, state)
        self.state = OFF
        self._ways = (SILENT, SILENT, "ok")
        self._timers = []
        self._network = True
        self._as_new()

    def _as_new(self):
        self.boot_s = 20.0
        self.halt_s = 8.0  # from the request until it could be cut
        self.sync_s = 2.0  # the last of it: the network has gone, the disk is not written yet
        self.down_s = 5.0  # how long it is silent in a reboot, before booting
        self.on_shutdown = "halt"
        self.proxy = (
            False  # haproxy in front, as on OctoPi: 503 instead of refused while OctoPrint is down
        )
        self.autoconnect = True
        self.shutdowns = 0  # accepted requests

    def renew(self, speed):
        """Without power: another Pi and printer, cold, with nothing in memory, that fast."""
        if self.state != OFF:
            raise ValueError(f"the Pi is {self.state}")
        self._as_new()
        self.cuts.clear()
        self.log.clear()
        self.printer.renew(speed)
        self.octoprint.renew()
        self.speed, self.network = speed, True

    # --- life

    def open(self):
        """Take the ports, without power. OSError if one is taken."""
        self.octoprint.open(SILENT)
        self.probe.open(SILENT)
        self._enter(OFF)

    def close(self):
        self._forget()
        self.octoprint.close()
        self.probe.close()

    def power(self, on, booted=False):
        """The outlet. booted: skip the booting, as for a Pi that has been up all along."""
        if on == (self.state != OFF):
            return
        self._forget()
        self.printer.power(on) if on else self._cut()
        if not on:
            self._enter(OFF)
            self._set(SILENT, SILENT)
        elif booted:
            self._up()
        else:
            self._boot()

    def _cut(self):
        # A halted Pi may be cut, and so may one that has no power: everything else is alive.
        if self.state not in (OFF, HALTED):
            self.cuts.append((self.clock(), self.state, self.printer.printing))
        self.printer.power(False)

    def follow(self, chip, booted=False):
        """Take the power from this chip's relay; booted: as it stands now, without booting."""
        self.power(chip.relay, booted)
        chip.relay_listeners.append(lambda _, closed: self.power(closed))

    def _boot(self):
        self._enter(BOOTING)
        for part, way, mode, probe in _BOOT:
            self._later(part * self.boot_s, self._set, way, probe, mode)
        self._later(self.boot_s, self._up)

    def _up(self):
        self._enter(UP)
        self._set(OPEN, OPEN)
        if self.autoconnect:
            self.printer.connect()

    def _shutdown(self):
        """OctoPrint accepted a shutdown: it answers so whether or not anything comes of it."""
        self.shutdowns += 1
        if self.state == UP and self.on_shutdown != "nothing":
            self.halt(self.on_shutdown)

    def halt(self, then="halt"):
        """Go down.

        then: "halt"; "reboot" to come back; "never": services stop, the host stays for ever.
        """
        if then not in ON_SHUTDOWN:
            raise ValueError(f"on_shutdown: one of {', '.join(ON_SHUTDOWN)}")
        if self.state in (OFF, HALTED):
            raise ValueError(f"the Pi is {self.state}")
        self._forget()
        self._enter(HALTING)
        # The network is gone while the disk is still being synced.
        seen_s = self.halt_s if then == "never" else max(0.0, self.halt_s - self.sync_s)
        for part, way, probe in _HALT:
            self._later(part * seen_s, self._set, way, probe)
            self._later(part * seen_s, self.printer.disconnect)
        if then == "never":
            return
        self._later(seen_s, self._vanish)
        if then == "halt":
            self._later(self.halt_s, self._enter, HALTED)
        else:
            self._later(self.halt_s + self.down_s, self._boot)

    def _vanish(self):
        self._enter(SYNCING)
        self._set(SILENT, SILENT)

    # --- mishaps

    @property
    def network(self):
        """Whether packets get through to it; the Pi lives on without."""
        return self._network

    @network.setter
    def network(self, up):
        self._network = bool(up)
        self._apply()

    def hang(self):
        """OctoPrint hangs: the kernel still accepts."""
        self._living()
        self._set(HANG, OPEN)

    def kill(self):
        """OctoPrint is killed; the host lives."""
        self._living()
        self._forget()
        self.printer.disconnect()
        self._set(REFUSED, OPEN)

    def restart(self):
        """OctoPrint alone starts anew; the printer is reset with it."""
        self.kill()
        for part, way, mode, _ in _BOOT[1:]:
            self._later((part - 0.5) * self.boot_s, self._set, way, OPEN, mode)
        self._later(0.5 * self.boot_s, self._up)

    def freeze(self):
        """The whole host hangs: not one packet, and the disk is not synced."""
        self._living()
        self._forget()
        self._enter(FROZEN)
        self._set(SILENT, SILENT)

    def start(self):
        """Boot it anew, as a hand at its reset button does."""
        if self.state == OFF:
            raise ValueError("the Pi is off: it has no power")
        self._forget()
        self.printer.disconnect()
        self._boot()

    def _living(self):
        if self.state in (OFF, HALTED):
            raise ValueError(f"the Pi is {self.state}")

    # --- settings from outside

    def configure(self, **values):
        """Set attributes; ValueError names the field and its limits, and nothing is set."""
        for name, value in values.items():
            if name in _NUMBERS:
                lowest, highest = _NUMBERS[name]
                number = isinstance(value, int | float) and not isinstance(value, bool)
                if not number or not lowest <= value <= highest:
                    raise ValueError(f"{name}: a number from {lowest:g} to {highest:g} (seconds)")
            elif name == "on_shutdown":
                if value not in ON_SHUTDOWN:
                    raise ValueError(f"on_shutdown: one of {', '.join(ON_SHUTDOWN)}")
            elif name in ("network", "proxy", "autoconnect"):
                if not isinstance(value, bool):
                    raise ValueError(f"{name}: true or false")
            else:
                known = (*_NUMBERS, "on_shutdown", "network", "proxy", "autoconnect")
                raise ValueError(f"{name}: unknown; there are {', '.join(known)}")
        for name, value in values.items():
            setattr(self, name, value)
        self._apply()

    # --- parts

    def _enter(self, state):
        self.state = state
        self.log.append((self.clock(), state))

    def _set(self, way, probe, mode="ok"):
        self._ways = (way, probe, mode)
        self._apply()

    def _apply(self):
        way, probe, mode = self._ways if self._network else (SILENT, SILENT, "ok")
        if self.proxy and probe == OPEN and (way in (REFUSED, RESET) or mode == "boot"):
            way, mode = OPEN, "proxy503"
        # What the host does with every path goes before what OctoPrint was told to do.
        self.octoprint.modes.pop("", None)
        if mode != "ok":
            self.octoprint.modes[""] = mode
        self.octoprint.host(way)
        self.probe.set(probe)

    def _later(self, seconds, do, *arguments):
        if seconds <= 0:
            do(*arguments)
            return
        self._timers.append(
            asyncio.get_running_loop().call_later(seconds / self.speed, do, *arguments)
        )

    def _forget(self):
        for timer in self._timers:
            timer.cancel()
        self._timers = []


async def _greet(reader, writer):
    """As sshd does: says what it is, waits."""
    writer.write(b"SSH-2.0-simulated\r\n")
    await writer.drain()
    await reader.read(256)
