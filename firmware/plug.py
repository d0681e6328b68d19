"""The plug put together: builds the parts, wires them, keeps them running. No rules of its own.

The main loop looks at the button, moves LED and relay and gives the machine its ticks. The network
lives in tasks beside it, each kept going by `_keep`; whatever happens to them, the loop goes on.
What leaves the loop itself is caught in main.py, which starts it all again in place.
"""

import asyncio
import gc
import sys
from time import ticks_add, ticks_diff, ticks_ms

from micropython import const, kbd_intr

_VERSION = "5.0.0"

_TICK_MS = const(10)  # how often button and LED are looked at
_SLOW_MS = const(250)  # how often everything else is
_SERIAL_MS = const(3000)  # Ctrl-C on the serial line works so long after the start
_WAIT_MS = const(1000)  # a task that failed starts again after this, doubling …
_LONGEST_MS = const(60000)  # … up to this
_SWEEP_MS = const(8000)  # out of memory still, having waited so long: not by chance
_GOOD_MS = const(15000)  # and anew once it has lasted longer than any failure does

_RECEIVING = const(2)  # Machine.frozen, when an update is on its way
_OFFERED = const(3)  # and when a SHORT press would allow it

current = None  # the Plug that runs
watchdog = None  # what feeds it; None when there is none. settings.py calls it, too


class Plug:
    """`first`: the first run since the chip started, not a restart in place. What run() of the one
    before returned: `way`, in which the portal is to be opened, "" for none; `minutes`, for how
    long the plug has been up; `broker`, the address at which it was reached, or "".
    """

    version = _VERSION

    def __init__(self, first, way="", minutes=0, broker=""):
        global watchdog
        self.watchdog = watchdog = self.step("slots").watchdog(first)
        from board import Board

        self.board = board = Board()
        # Settings come before the rest is loaded: reading them takes room.
        import settings
        import steps

        steps.up()
        try:
            self.s = s = settings.load(id=board.id)
            blink = first and settings.get("led_version")
        finally:
            steps.down()
        del sys.modules["settings"], settings, steps
        for problem in s.problems:
            print(problem)  # and on /error
        gc.collect()

        from gestures import Gestures
        from statemachine import Machine

        self.started = now = ticks_ms()  # moves on a minute at a time
        self.minutes = self.before = minutes
        # A restart goes on from here, also where no name can be looked up: OctoPrint's address
        # stands behind the machine's words.
        state, self.known = (board.saved + " @").split(" @")[:2]
        try:
            self.machine = Machine(s, now, state or None)
        except ValueError:
            self.machine = Machine(s, now)
        self.gestures = Gestures(s)
        self.changes = None  # keys of settings, stored, to be followed once nothing is at stake
        self.octo = self.mqtt = None  # while the portal is open; else see connecting.py
        self.works = self.entered = None
        self.broker = broker
        self.way = way if s.wifi_ssid else "open"  # in which the portal is to be opened
        self.machine.frozen = self.way != ""
        if not self.way:
            self.connect()
        self.visit = None  # the task that has the portal open
        self.joins = True  # the station is seen to
        self.again = False  # a restart in place is wanted, once nothing is at stake
        self.left = None  # what this run leaves to the next, when it is to end
        self._serial = True
        self.looks_up = False  # a name
        self._intro = blink and not board.cause  # then the task that has the LED at first
        self._why = ""  # what the machine said last
        self.tasks = [None, None]

    def connect(self):
        """Have a poller, and a connection to the broker that the settings name, if any."""
        import connecting  # not by step(), whose frame would keep it while the heap fills

        del sys.modules["connecting"]
        connecting.connect(self)

    def step(self, name):
        """The module of that name, which is let go with what is returned."""
        gc.collect()  # or it would come to lie between what is garbage already
        try:
            part = __import__(name)
            del sys.modules[name]
        except ImportError:
            import steps

            part = steps.take(name)
        return part

    # ---- the loop ----------------------------------------------------------------------------

    async def run(self):
        """The loop. Lets through only what is no Exception, and ends only for a restart in place:
        returns what the next Plug is to be given after `first`."""
        s = self.s
        board = self.board
        gestures = self.gestures
        machine = self.machine
        if self._intro:
            self._intro = asyncio.create_task(self.step("intro").blink(board, _VERSION))
        self.slow = ticks_ms()
        while self.left is None:
            try:
                now = ticks_ms()
                gesture = gestures.sample(board.pressed(), now)
                if gesture:
                    if gesture == "SHORT" and machine.frozen == _OFFERED:
                        machine.frozen = _RECEIVING  # an update is allowed; that is all it does
                    elif gesture[:4] != "HOLD":
                        self.post(gesture)
                    elif gesture == "HOLD" and s.wifi_ssid:
                        self.way = "lan" if board.wlan.isconnected() else "ap"
                    else:
                        self.way = "open"
                if ticks_diff(now, self.slow) >= 0:
                    self.slow = ticks_add(now, _SLOW_MS)
                    board.relay(machine.relay)  # first of all, whatever fails below
                    machine.tick(now)
                    self.sync()
                    self._see_to_it(now)
                held = gestures.held_ms
                if held >= s.portal_press_ms:
                    pace = 40 if held >= 15000 else 100
                    board.blink(pace, pace, now)
                elif not self._intro:
                    board.blink(*self.blinks, now)
                elif self._intro.done():
                    self._intro = None
                if self.watchdog:  # not after a round that failed
                    self.watchdog()
            except Exception as error:  # above all MemoryError: the next round may have room
                gc.collect()
                sys.print_exception(error)
            await asyncio.sleep_ms(_TICK_MS)
        for task in self.tasks:
            if task:
                task.cancel()
        await asyncio.sleep_ms(_TICK_MS)
        return self.left

    def _see_to_it(self, now):
        critical = self.critical()
        if ticks_diff(now, self.started) >= 60000:
            self.started = ticks_add(self.started, 60000)
            self.minutes += 1
            if self.watchdog and not critical:
                served = self.visit or self.board.wlan.isconnected()
                self.step("slots").prove(served, self.minutes - self.before)
        if self._serial and ticks_diff(now, self.started) >= _SERIAL_MS:
            self._serial = self.gestures.held_ms > 0
            if not self._serial:
                kbd_intr(-1)  # line noise would stop the plug
        if self.changes and not critical:
            self.step("apply").changes(self)
        if not self._intro:  # its module is not to be in the heap beside theirs
            self._guests(critical)
        busy = critical or self.visit or self._intro or self.gestures.held_ms
        if (self.again or self.way) and not busy:
            # in place: main.py runs the plug anew
            if self.mqtt:
                self.broker = self.mqtt.address
            self.left = self.way, self.minutes, self.broker
        if not self.visit and self.octo:
            if not self.board.wlan.isconnected():
                self.octo.since = None  # however short: the Pi may have lost it too
            elif self.octo.since is None:
                self.hurry = True
        if self.joins:
            self.board.join(self.s, now)

    def _guests(self, critical):
        # Poller and MQTT, or the portal: the heap has room for one of them, and the portal only
        # in one that a start has swept. So it is opened and closed by a restart in place, unless
        # the power may be cut soon: then it goes at once, and what it leaves has to do.
        if critical:
            self.way = ""
        elif not self.s.wifi_ssid and self.octo:
            self.way = "open"
        task = self.visit
        if task:
            if not task.done():
                if critical or self.way:
                    task.cancel()
                return
            task = self.visit = None  # it still holds the whole portal
            self.again = True  # as soon as the power is not at stake
        if self.octo is None:
            if not critical:
                if not self.again:
                    self.visit = asyncio.create_task(self.step("opening").run(self, self.way))
                    self.way = ""
                return
            try:
                self.step("closing").run(self)
            except MemoryError:
                raise SystemExit  # half done, so whatever the state
        tasks = self.tasks
        for i in range(2):
            if tasks[i] is None or tasks[i].done():  # type: ignore
                tasks[i] = asyncio.create_task(self._keep(self.works[i]))  # type: ignore

    async def _keep(self, work):
        wait = _WAIT_MS
        while True:
            started = ticks_ms()
            try:
                await work(self)
            except OSError:
                pass  # the usual: somebody does not answer
            except Exception as error:
                gc.collect()
                sys.print_exception(error)
                if isinstance(error, MemoryError) and wait > _SWEEP_MS:
                    self.again = True  # the heap may be in pieces: a new start sweeps it
            if ticks_diff(ticks_ms(), started) >= _GOOD_MS:
                wait = _WAIT_MS
            await asyncio.sleep_ms(wait)
            wait = min(2 * wait, _LONGEST_MS)

    def critical(self):
        """Whether the power may be cut soon: the poller never pauses, nothing is loaded."""
        return self.machine.alias in "Asking Countdown Going"

    def post(self, event):
        """A press, a command, or how a shutdown request went: tell the machine. UPDATE: open."""
        if event == "UPDATE":
            self.way = "lan"
        self.machine.post(event, ticks_ms())
        self.sync()

    def sync(self):
        """What the machine has become goes to relay, RTC memory, LED, broker and display."""
        machine = self.machine
        board = self.board
        board.relay(machine.relay)
        words = machine.led
        for row in self.s.led_patterns:
            row = row.split()
            if row[0] == machine.state and machine.look == machine.alias:
                words = row[1:]
        if self.s.led_off and not (self.critical() or machine.alarm):
            words = "00"
        self.blinks = int(words[0]), int(words[1])
        before = board.saved.split(" ")[0]
        if self.octo:
            self.known = self.octo.address
        board.save(machine.save() + " @" + self.known)
        why = self._why
        self._why = machine.reason
        if before == machine.state:
            return
        if self.octo:
            self.entered(self)  # type: ignore
        if not machine.relay or self.s.initial_state == "last" and not self.critical():
            self.step("diary").entered(self, before, why)

    async def resolve(self, host):
        """The address of `host`. OSError if it cannot be found, or not now."""
        if host.replace(".", "").isdigit():
            return host
        while self.looks_up:  # there is room for one at a time
            await asyncio.sleep_ms(_SLOW_MS)
        if self.critical():
            raise OSError(2)
        self.looks_up = True
        try:
            import names

            return await names.resolve(host, self.board.wlan.ifconfig()[3])
        finally:
            sys.modules.pop("names", None)
            self.looks_up = False


def run(first=True, *left):
    """Run the plug until something ends it: raises whatever that was, or returns what the next
    run is to be given as `left`."""
    global current
    current = plug = Plug(first, *left)
    if sys.implementation.name == "micropython":
        # What is called once is let go; a restart in place loads everything anew.
        for part in plug, plug.board, plug.machine, plug.octo, plug.gestures:
            if part:
                type(part).__init__ = None  # type: ignore
    return asyncio.run(plug.run())
