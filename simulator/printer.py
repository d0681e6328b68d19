"""A printer beside its Pi: heaters, a job, a display.

Nothing runs here: whoever looks moves it on to now. States are OctoPrint's words, since it is seen
through OctoPrint's eyes.
"""

AMBIENT_C = 21.3  # what OctoPrint's own virtual printer starts with

# States that last this long, s, and what follows; a job's end and every button pass through one.
_PASSING_S = 0.5
_PASSING = {
    "Starting": "Printing",
    "Pausing": "Paused",
    "Resuming": "Printing",
    "Finishing": "Operational",
    "Cancelling": "Operational",
}
_WITH_JOB = (*_PASSING, "Printing", "Paused")


class Heater:
    """One hot end or bed; °C, and °C a second."""

    def __init__(self, heat_c_s=10.0, cool_c_s=2.0):
        self.actual, self.target = AMBIENT_C, 0.0
        self.heat_c_s, self.cool_c_s = heat_c_s, cool_c_s

    def move(self, seconds):
        goal = max(self.target, AMBIENT_C)
        if self.actual < goal:
            self.actual = min(goal, self.actual + self.heat_c_s * seconds)
        else:
            self.actual = max(goal, self.actual - self.cool_c_s * seconds)

    @property
    def ready(self):
        return self.actual >= self.target - 1


class Job:
    """A file being printed; it counts `duration_s` from when everything is hot."""

    def __init__(self, name="part.gcode", duration_s=60.0, tool_c=210.0, bed_c=60.0):
        self.name, self.duration_s, self.tool_c, self.bed_c = name, duration_s, tool_c, bed_c
        self.done_s = 0.0
        self.completion: float | None = 0.0  # percent; None once it was cancelled


class Printer:
    """clock: callable, seconds that only go up. speed: how many pass here in one of those."""

    def __init__(self, clock, speed=1.0):
        self.clock = clock
        self.renew(speed)

    def renew(self, speed):
        """As at first: cold, not connected, nothing shown."""
        self.speed = speed
        self.heaters = {"tool0": Heater(), "bed": Heater(heat_c_s=5.0, cool_c_s=1.0)}
        self.powered = True
        self.serial_s = 1.0  # from connect() to operational
        self.silent_s = 2.0  # then until the first temperatures
        self.state = "Offline"
        self.job = None
        self.transferring = (
            False  # a file goes to the SD card: OctoPrint has no flag for it but "not ready"
        )
        self.display = ""
        self.displayed = []  # every text it was shown by M117
        self._left_s = 0.0  # of a passing state
        self._mute_s = 0.0  # until temperatures are reported
        self._at = self.clock()

    # --- time

    def look(self):
        """Move on to now."""
        now = self.clock()
        seconds = (now - self._at) * self.speed
        self._at = now
        while seconds > 0:
            step = min(seconds, 0.5)
            seconds -= step
            self._step(step)

    def _step(self, seconds):
        for heater in self.heaters.values():
            heater.move(seconds)
        self._mute_s = max(0.0, self._mute_s - seconds)
        if self.state == "Printing":
            if all(heater.ready for heater in self.heaters.values()):
                job = self.job
                job.done_s += seconds
                job.completion = min(100.0, 100.0 * job.done_s / job.duration_s)
                if job.done_s >= job.duration_s:
                    self._pass("Finishing")
        elif self.state in _PASSING or self.state == "Opening serial connection":
            self._left_s -= seconds
            if self._left_s <= 0:
                self._passed()

    def _pass(self, state, seconds=_PASSING_S):
        self.state, self._left_s = state, seconds

    def _passed(self):
        if self.state == "Opening serial connection":
            self.state, self._mute_s = "Operational", self.silent_s
            return
        if self.state in ("Finishing", "Cancelling"):
            self._cool()
        self.state = _PASSING[self.state]

    def _cool(self):
        for heater in self.heaters.values():
            heater.target = 0.0

    # --- what is true

    @property
    def operational(self):
        """Whether OctoPrint is connected to it and it is not in an error."""
        self.look()
        return self.state == "Operational" or self.state in _WITH_JOB

    @property
    def printing(self):
        """Whether there is a job that would be spoiled without power."""
        self.look()
        return self.state in _WITH_JOB or self.transferring

    @property
    def reported(self):
        """Temperatures as OctoPrint has them: {} for the first moments after connecting."""
        self.look()
        return {} if self._mute_s else self.heaters

    # --- what can be done; ValueError says why not

    def connect(self):
        self.look()
        if self.powered and not self.operational:
            self._pass("Opening serial connection", self.serial_s)

    def disconnect(self, state="Offline"):
        """The cable, or a person: a job is lost, the heaters stay as they are."""
        self.look()
        self.state, self.job = state, None

    def start(self, name="part.gcode", duration_s=60.0, tool_c=210.0, bed_c=60.0):
        if not self.operational:
            raise ValueError("printer is not operational")
        if self.state != "Operational" or self.transferring:
            raise ValueError("printer is printing already")
        if not 0 < duration_s <= 1e6:
            raise ValueError("duration_s: more than 0, at most 1000000")
        if not 0 <= tool_c <= 400:
            raise ValueError("tool_c: 0 to 400")
        if not 0 <= bed_c <= 150:
            raise ValueError("bed_c: 0 to 150")
        self.job = Job(name, duration_s, tool_c, bed_c)
        self.heaters["tool0"].target = float(tool_c)
        self.heaters["bed"].target = float(bed_c)
        self._pass("Starting")

    def pause(self):
        self._press("Pausing", ("Printing",))

    def resume(self):
        self._press("Resuming", ("Paused",))

    def cancel(self):
        self._press("Cancelling", ("Printing", "Paused", "Pausing", "Resuming", "Starting"))
        self.job.completion = None

    def finish(self):
        """The job's last line, whatever was left of it."""
        self.look()
        if self.state != "Printing":
            raise ValueError(f"printer is {self.state}")
        self.job.done_s, self.job.completion = self.job.duration_s, 100.0
        self._pass("Finishing")

    def _press(self, state, allowed):
        self.look()
        if self.state not in allowed:
            raise ValueError(f"printer is {self.state}")
        self._pass(state)

    def heat(self, heater, target_c):
        """Set a heater's target by name; ValueError for an unknown one and beyond 0 to 400 °C."""
        self.look()
        if heater not in self.heaters:
            raise ValueError(f"heater: one of {', '.join(self.heaters)}")
        if not 0 <= target_c <= 400:
            raise ValueError(f"{heater}: 0 to 400")
        self.heaters[heater].target = float(target_c)

    def command(self, line):
        """One line of G-code: M117 shows a text, M104 M109 M140 M190 heat, others do nothing."""
        code, _, rest = line.partition(" ")
        if code == "M117":
            self.display = rest
            self.displayed.append(rest)
        elif code in ("M104", "M109", "M140", "M190"):
            for word in rest.split():
                if word[0] == "S":
                    self.heat("bed" if code in ("M140", "M190") else "tool0", float(word[1:]))

    def power(self, on):
        """Mains. Without it the job is gone, nothing heats, and OctoPrint has lost it."""
        self.look()
        self.powered = on
        if not on:
            self._cool()
            self.disconnect()
            self.transferring = False
            self.display = ""
