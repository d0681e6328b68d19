"""Mutants of statemachine.py, and what is run against each.

table()       every row of TABLE deleted, every guard word deleted, every guard negated
CONDITIONS    small replacements in the conditions, thresholds and bookkeeping, by name
PAIRS         mutants that mask each other, together
searched      runs the cheap searches, tested the tests of behaviour; each returns what killed it
"""

import inspect
import itertools
import time

import machine_search
import machine_tools
import machine_world
from machine_tools import BUSY, COLD, COLD_PRINT, HOT_IDLE, SILENT, mutant, statemachine

EVENT_WORDS = ("SHORT", "LONG", "INSIST", "ON", "OFF", "PERMON", "FORCEOFF", "ACCEPTED")


def table():
    """{name: (old, new)} for each mutation of a row, with the block's beginning as context."""
    found = {}
    blocks = statemachine.TABLE.strip("\n").split(":\n")
    names = [blocks[0]] + [block.split("\n")[-1] for block in blocks[1:]]
    for name, block in zip(names, blocks[1:], strict=False):
        rows = [row for row in block.split("\n") if " > " in row]
        for i, row in enumerate(rows):
            head = "\n" + name + ":\n" + "".join(r + "\n" for r in rows[:i])

            def add(what, new, head=head, row=row):
                found[what] = (head + row + "\n", head + new)

            title = "%s: %s" % (name, row)
            add("delete " + title, "")
            guards, target = row.split(" > ")
            words = guards.split(" ")
            for n, word in enumerate(words):
                if n == 0 and word.split("|")[0] in EVENT_WORDS and word != "ACCEPTED":
                    continue
                rest = words[:n] + words[n + 1 :]
                if rest:
                    add("drop %s of %s" % (word, title), " ".join(rest) + " > " + target + "\n")
                other = word[1:] if word[0] == "!" else "!" + word
                turned = words[:n] + [other] + words[n + 1 :]
                add("negate %s of %s" % (word, title), " ".join(turned) + " > " + target + "\n")
    return found


def _few(kind, person):
    few = (COLD, HOT_IDLE, COLD_PRINT, BUSY, SILENT)
    machine_search.search(kind, few, person, acts=2)


SEARCHES = (
    lambda kind: machine_world.search(1, kind),
    lambda kind: machine_world.search(1, kind, dict(quick=True)),
    lambda kind: machine_world.search(1, kind, dict(proxy=True, wall=True)),
    lambda kind: machine_search.search(kind, acts=0),
    lambda kind: machine_search.search(kind, acts=0, shutdown_pi=False),
    lambda kind: machine_world.search(1, kind, shutdown_pi=False),  # last: a mutant may not end
    lambda kind: _few(kind, ("OFF", "LONG", "SHORT")),
)


def searched(kind):
    """The first search that finds the mutant out, by number, or None."""
    for number, search in enumerate(SEARCHES):
        try:
            search(kind)
        except machine_search.Broken as broken:
            return number, str(broken).split("\n")[0]
    return None


def _cases(module):
    # Every quick test of the module with every set of its parameters, as pytest would run it.
    for name, test in vars(module).items():
        if not name.startswith("test_") or not inspect.isfunction(test):
            continue
        marks = getattr(test, "pytestmark", [])
        if any(mark.name == "slow" for mark in marks) or "wraps" in name:
            continue
        sets = []
        for mark in marks:
            names = [part.strip() for part in mark.args[0].split(",")]
            sets.append([
                dict(zip(names, value if len(names) > 1 else [value], strict=True))
                for value in mark.args[1]
            ])  # fmt: skip
        for combination in itertools.product(*sets):
            arguments = {}
            for part in combination:
                arguments.update(part)
            yield name, test, arguments


_took = {}  # seconds of each case when it passed, by number


def tested(kind):
    """The first test of behaviour that fails with the mutant in place, or None."""
    import test_conditions
    import test_statemachine

    original = machine_tools.Machine
    modules = (machine_tools, test_conditions, test_statemachine)
    cases = list(enumerate(case for module in modules[1:] for case in _cases(module)))
    # test_row finds most of them out, and of the others the quick ones come first.
    cases.sort(key=lambda case: (case[1][0] != "test_row", _took.get(case[0], 0)))
    try:
        for module in modules:
            module.Machine = kind
        for number, (name, test, arguments) in cases:
            begun = time.perf_counter()
            try:
                test(**arguments)
            except BaseException as failure:  # pytest's own failures are no Exceptions
                if isinstance(failure, KeyboardInterrupt):
                    raise
                return name
            _took[number] = time.perf_counter() - begun
    finally:
        for module in modules:
            module.Machine = original
    return None


# By name: (old, new) in statemachine.py.
CONDITIONS = {
    "a lock locks nothing": ("if self.s.button_lock and (", "if False and ("),
    "a lock holds INSIST off": ("if insists and self._try(", "if insists and not self.s.button_lock and self._try("),
    "PI_DOWN after 2 polls": ("runs[_DOWN] > 2", "runs[_DOWN] > 1"),
    "PI_DOWN at once": ("runs[_DOWN] > 2 and t[_DOWN] >= s.pi_down_s * 1000", "runs[_DOWN] > 0"),
    "BUSY is down": ('pi == "SILENT" or pi == "REFUSED",', 'pi == "SILENT" or pi == "REFUSED" or pi == "BUSY",'),
    "UNKNOWN is down": ('pi == "SILENT" or pi == "REFUSED",', 'pi == "SILENT" or pi == "REFUSED" or pi == "UNKNOWN",'),
    "REFUSED is silent": ('            pi == "SILENT",\n', '            pi == "SILENT" or pi == "REFUSED",\n'),
    "BUSY is silent": ('            pi == "SILENT",\n', '            pi == "SILENT" or pi == "BUSY",\n'),
    "UNKNOWN is silent": ('            pi == "SILENT",\n', '            pi == "SILENT" or pi == "UNKNOWN",\n'),
    "IDLE after one": ('runs[_IDLE if word == "IDLE" else _COOL] > 1', 'runs[_IDLE if word == "IDLE" else _COOL] > 0'),
    "IDLE without knowing": ("            printing is False,\n", "            not printing,\n"),
    "COOL without target": ("target is not None and target < below", "True"),
    "COOL with no target": ("target is not None and target < below", "(target is None or target < below)"),
    "COOL with a hot target": ("target is not None and target < below", "target is not None"),
    "COOL with no temperature": ("cool = known and self.hottest < below", "cool = (not known or self.hottest < below)"),
    "COOL while pending": ('word == "COOL" and self.pending', 'word == "COOL" and False'),
    "blind at once": ("runs[_LOST] and t[_LOST] >= s.blind_cool_s * 1000", "runs[_LOST]"),
    "blind after printing": ('blind and "WAS_IDLE" in self.facts and', "blind and"),
    "blind after heating": ('"WAS_IDLE" in self.facts and not self._heating', '"WAS_IDLE" in self.facts'),
    "blind without a reading": ("self._heating = True  # when last heard of", "self._heating = False"),
    "HOT at once": ("hot and self._printing and t[_STATE] >= s.min_job_s * 1000", "hot and self._printing"),
    "HOT when idle": ("hot and self._printing and", "hot and"),
    "HOT above": ("self.hottest >= s.hot_above_c", "self.hottest > s.hot_above_c"),
    "cut between readings": ("if not self._reading or t[_STATE] < wait", "if t[_STATE] < wait"),
    "no wait in the countdown": ("if not self._reading or t[_STATE] < wait", "if not self._reading"),
    "HALTED after printing": ('if "WAS_PRINTING" in self.facts and not by_hand', "if False"),
    "HALTED by hand never after printing": ('if "WAS_PRINTING" in self.facts and not by_hand', 'if "WAS_PRINTING" in self.facts'),
    "HALTED after 4 readings": ("runs[_SILENT] > 4", "runs[_SILENT] > 3"),
    "HALTED without settling": ("runs[_SILENT] > 4 and t[_SILENT] >= self._settle_ms()", "runs[_SILENT] > 4"),
    "always 45 s": ("settle if self._stopped else settle * 4 // 3", "settle"),
    "always 60 s": ("settle if self._stopped else settle * 4 // 3", "settle * 4 // 3"),
    "45 s without a sign": ("settle if self._stopped else settle * 4 // 3", "settle * 4 // 3 if self._stopped else settle"),
    "UNKNOWN is a sign": ('self._stopped = pi == "BUSY" or pi == "REFUSED"', 'self._stopped = pi != "UP"'),
    "a sign is kept": ("self._warm = self._stopped = self._after_ask = False", 'self._warm = self._after_ask = False\n        self._stopped = getattr(self, "_stopped", False)'),
    "silence rule without a shutdown": ('if s.shutdown_pi or "FROM_GOING" in self.facts:\n                return', "if True:\n                return"),
    "quiet rule from Going": ('if s.shutdown_pi or "FROM_GOING" in self.facts:\n                return', "if s.shutdown_pi:\n                return"),
    "quiet without IDLE and COOL now": (' >= wait and self._holds("IDLE") and self._holds("COOL")', " >= wait"),
    "quiet without waiting": ('return self._quiet >= wait and self._holds("IDLE")', 'return self._holds("IDLE")'),
    "quiet goes on over heat": ("        elif printing or self._warm:\n            self._quiet = 0\n", ""),
    "quiet counts before the countdown": ("min(t[_READ], t[_STATE])", "t[_READ]"),
    "quiet counts gaps": ("            if quiet or lost:\n", "            if True:\n"),
    "quiet goes on in the next countdown": ("t[_STATE] = self._quiet = 0", 't[_STATE] = 0\n        self._quiet = getattr(self, "_quiet", 0)'),
    "old evidence counts": ("if self.pi and t[_READ] >= max(3 * self.poll_ms, 12000)", "if False"),
    "evidence is old after 3 polls": ("t[_READ] >= max(3 * self.poll_ms, 12000)", "t[_READ] >= 3 * self.poll_ms"),
    "runs survive a gap": ("self._runs = [0] * _RUNS\n        self._warm", "self._runs = self._runs if self.relay and self._t[_READ] < _AGES else [0] * _RUNS\n        self._warm"),
    "a run is not broken": ("runs[i] = holds and runs[i] + 1", "runs[i] = runs[i] + 1 if holds else runs[i]"),
    "a run keeps its first time": ("if holds and not runs[i]:\n                t[i] = 0", "if holds and not runs[i]:\n                pass"),
    "OVERDUE at once": ("return t[_STATE] >= s.shutdown_max_s * 1000", "return True"),
    "gone without asking": ('self._after_ask = "ASKED" in facts', "self._after_ask = True"),
    "never gone": ('            self.facts.add("GONE")\n        return', "            pass\n        return"),
    "NO_EFFECT while not up": ('return late and self.pi == "UP"', "return late"),
    "NO_EFFECT at once": ("late = t[_ASKED] >= s.shutdown_max_s * 1000", "late = True"),
    "BOOTED at once": ("return t[_CLOSED] >= s.boot_s * 1000", "return True"),
    "hours are over at once": ("return self.hours == 1 and t[_STATE] >= _HOUR_MS", "return self.hours == 1"),
    "hours are over for good": ("return self.hours == 1 and t[_STATE] >= _HOUR_MS", "return t[_STATE] >= _HOUR_MS"),
    "hours do not pass": ("            self.hours -= 1\n            self._t[_STATE] = 0\n", "            self.hours -= 1\n"),
    "hours pass anywhere": (' >= _HOUR_MS and self.alias == "Switched_ON":', " >= _HOUR_MS:"),
    "hammering switches on": ("return not self._again and t[_OPENED] >= _REST_MS", "return t[_OPENED] >= _REST_MS"),
    "LONG switches on at once": ("return not self._again and t[_OPENED] >= _REST_MS", "return not self._again"),
    "the relay closes at once": ("elif not self.relay and self._t[_OPENED] < _REST_MS:", "elif False:"),
    "wakes at once": ("return self.remembered and t[_OPENED] >= _REST_MS", "return self.remembered"),
    "LONG in Relay_off counts": ("self._insists = self.relay  #", "self._insists = True  #"),
    "any LONG insists": ('self._again = self._t[_LONG] < _AGAIN_MS', "self._again = True"),
    "a refusal is not heard": ('            if "ACCEPTED" not in facts:\n                facts.discard("ASKED")', "            if False:\n                pass"),
    "a refusal after 204 counts": ('            if "ACCEPTED" not in facts:\n', "            if True:\n"),
    "ASKED outside its states": ('if asking and (event == "ASKED"', 'if (event == "ASKED"'),
    "204 is not ASKED": ('            facts.add("ASKED")\n', '            facts.add("ASKED" if event == "ASKED" else event)\n'),
    "ASKED is kept": ('("ASKED", "ACCEPTED", "GONE", "FROM_GOING", "BY_HAND")', '("ACCEPTED", "GONE", "FROM_GOING", "BY_HAND")'),
    "ACCEPTED is kept": ('("ASKED", "ACCEPTED", "GONE", "FROM_GOING", "BY_HAND")', '("ASKED", "GONE", "FROM_GOING", "BY_HAND")'),
    "GONE is kept": ('("ASKED", "ACCEPTED", "GONE", "FROM_GOING", "BY_HAND")', '("ASKED", "ACCEPTED", "FROM_GOING", "BY_HAND")'),
    "FROM_GOING is kept": ('("ASKED", "ACCEPTED", "GONE", "FROM_GOING", "BY_HAND")', '("ASKED", "ACCEPTED", "GONE", "BY_HAND")'),
    "BY_HAND is kept": ('("ASKED", "ACCEPTED", "GONE", "FROM_GOING", "BY_HAND")', '("ASKED", "ACCEPTED", "GONE", "FROM_GOING")'),
    "by hand is kept by SHORT": ('                self.facts.discard("BY_HAND")\n', "                pass\n"),
    "printing is forgotten in Countdown": ('if printing or self.alias != "Countdown":', "if True:"),
    "printing is never forgotten": ('            facts.discard("WAS_PRINTING")\n            if quiet', "            if quiet"),
    "printing is not remembered": ('facts.add("WAS_PRINTING" if printing else "WAS_IDLE")', 'facts.add("WAS_IDLE")'),
    "the relay's turn forgets nothing": ("            facts.clear()\n", ""),
    "ask without a reading here": ("not self.s.shutdown_pi or not self._read or", "not self.s.shutdown_pi or"),
    "ask whatever was read": ('return self._holds("IDLE") and self._holds("COOL")\n        once', "return True\n        once"),
    "ask when not cool": ('return self._holds("IDLE") and self._holds("COOL")\n        once', 'return self._holds("IDLE")\n        once'),
    "ask when not idle": ('return self._holds("IDLE") and self._holds("COOL")\n        once', 'return self._holds("COOL")\n        once'),
    "ask by hand when hot": ("return once and not self._warm and", "return once and"),
    "ask by hand when printing": ('not self._warm and "WAS_PRINTING" not in facts', "not self._warm"),
    "ask by hand again": ('"BY_HAND" in facts and "ASKED" not in facts and', '"BY_HAND" in facts and'),
    "ask without shutdown_pi": ("if not self.s.shutdown_pi or not self._read", "if not self._read"),
    "restart: the request is old": ("        self._t[_ASKED] = 0\n        self._t[_OPENED]", "        self._t[_OPENED]"),
    "restart: the relay rested": ("self._t[_OPENED] = 0 if state else _AGES", "self._t[_OPENED] = _AGES"),
    "frozen rows fire": ("return not self.frozen and self._try", "return self._try"),
    "insisting is going down": ("            if not self._event:  # it is down, not insisted on\n", "            if True:\n"),
}  # fmt: skip

# Two rules that stand behind each other: without both the relay would open wrongly, or the
# shutdown be asked for.
PAIRS = (
    ("drop IDLE of Cooling: IDLE COOL SHUTS_DOWN > Asking", "ask when not idle"),
    ("drop COOL of Cooling: IDLE COOL SHUTS_DOWN > Asking", "ask when not cool"),
    ("delete Asking: PRINTING > Armed", "ask whatever was read"),
    ("delete Countdown: PRINTING !ACCEPTED !BY_HAND > remembered/Armed", "HALTED after printing"),
    ("drop WAS_IDLE of Going: PI_DOWN BOOTED WAS_IDLE > Countdown", "HALTED after printing"),
    ("no wait in the countdown", "HALTED without settling"),
    ("drop ASKED of Asking: PI_DOWN ASKED > Countdown", "delete Asking: !COOL !ASKED > Cooling"),
)


def build(*names):
    """The Machine with these mutations."""
    tables = table()
    return mutant(*(tables.get(name) or CONDITIONS[name] for name in names)).Machine
