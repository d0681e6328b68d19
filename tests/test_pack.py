"""What is packed for the plug does what the source does."""

import ast
import builtins
import random
import subprocess
import sys
import types

import pytest

import build
import merge
import pack
import unintern


def run(text, **names):
    space = {"const": lambda value: value, **names}
    exec(compile(text, "packed", "exec"), space)
    return types.SimpleNamespace(**space)


# --- one module of several ----------------------------------------------------------------------

LOW = '"""Low."""\n_X = 1\nclass Low:\n    def x(self):\n        return _X\n'
HIGH = '"""High."""\nfrom board import Low\n_X = 2\ndef both():\n    return Low().x(), _X\n'


def test_private_names_of_merged_modules_do_not_meet():
    merged = merge.merge({"board": LOW, "plug": HIGH})
    assert list(merged) == ["plug"]
    assert run(merged["plug"]).both() == (1, 2)


def test_whoever_imports_from_a_merged_module_is_sent_to_the_whole():
    user = '"""User."""\ndef use():\n    from board import Low\n    return Low\n'
    merged = merge.merge({"board": LOW, "plug": HIGH, "portal": user})
    assert "from plug import Low" in merged["portal"]


def test_a_merged_module_imported_as_a_whole_is_refused_with_the_line():
    with pytest.raises(ValueError, match="line 2: from board"):
        merge.merge({"board": LOW, "plug": '"""High."""\nimport board\n'})


def test_a_public_name_in_two_merged_modules_is_refused():
    with pytest.raises(ValueError, match="Low stands in both board and plug"):
        merge.merge({"board": LOW, "plug": '"""High."""\nclass Low:\n    pass\n'})


PART = '"""A part."""\nasync def run(p):\n    return 1\n'
GUEST = """
import sys
def use(p):
    import closing
    del sys.modules["closing"], closing.left
    sys.modules.pop("closing", None)
    p.step("closing").run(p), p.step("reading").run(p), steps.take("closing").run(p)
    return closing.run(p), _step("closing", "closing")
"""


def test_what_moved_in_with_others_is_found_and_let_go_there():
    merged = merge.merge({"closing": PART, "opening": PART, "plug": GUEST})
    assert "import opening as closing" in merged["plug"]
    assert "del sys.modules['opening'], closing.left" in merged["plug"]
    assert "pop('opening', None)" in merged["plug"]
    assert "closing.closing(p), _step('opening', 'closing')" in merged["plug"]
    assert "p.step('opening').closing(p), p.step('reading').run(p)" in merged["plug"]
    assert "steps.take('opening').closing(p)" in merged["plug"]
    assert {"closing", "run"} <= vars(run(merged["opening"])).keys()


def test_the_plug_opens_and_closes_the_portal_by_modules_that_are_one():
    texts = build.texts()
    assert "closing" in merge.WHOLES["opening"]
    assert "self.step('opening').closing(self)" in texts["plug"]
    assert "self.step('opening').run(self, self.way)" in texts["plug"]


def test_a_part_that_would_hide_what_is_built_in_from_another_is_refused():
    radio = '"""R."""\ndef open():\n    return 1\n'
    with pytest.raises(ValueError, match="opening means another open than that of radio"):
        merge.merge({"radio": radio, "opening": '"""O."""\ndef f():\n    return open("x")\n'})


# --- short names --------------------------------------------------------------------------------

CLASSES = '''"""Two classes."""
_FACTOR = const(3)


def _triple(number):
    return number * _FACTOR


class One:
    def __init__(self, value):
        self._value = value
        self.shown = 7

    def _twice(self):
        return self._value * 2

    def result(self):
        return self._twice() + _triple(self.shown)


class Two:
    def __init__(self, one):
        self._one = one
        one._given = self._value = 5

    def result(self):
        return self._one.result() + self._one._given + self._value
'''


def test_packed_classes_keep_what_is_theirs_apart():
    packed = run(pack.pack(CLASSES))
    source = run(CLASSES)
    assert packed.Two(packed.One(4)).result() == source.Two(source.One(4)).result() == 39


def test_no_private_name_of_the_firmware_is_left():
    packer = build.packer_of_all()
    for module in packer.modules:
        tree = ast.parse(packer.module(module))
        hidden = {getattr(*found) for found in pack._identifiers(tree)} - pack._consts(tree)
        assert not [name for name in hidden if name[0] == "_" and name[1:2] not in ("", "_")]


ENTRY = '''"""An entry."""
import sys
LIMIT = 3
def limited(value, floor=1):
    """Between floor and LIMIT."""
    try:
        return min(LIMIT, max(floor, int(value)))
    except ValueError as error:
        return str(error)
values = [limited(text) for text in ("0", "9", "x")]
for name in ("limited", "LIMIT", "name"):
    globals().pop(name, None)
'''


def test_an_entry_keeps_no_name_of_its_own_and_does_the_same():
    packed = pack.entry(ENTRY)
    assert not any(word in packed for word in ("LIMIT", "limited", "floor", "values", "Between"))
    space = {}
    exec(packed, space)
    made = {name: space[name] for name in space if name not in ("sys", "__builtins__")}
    assert list(made.values()) == [[1, 3, "invalid literal for int() with base 10: 'x'"]]


def test_entries_hide_nothing_that_is_built_in():
    for name in build.ENTRY:
        tree = ast.parse(pack.entry((build.FIRMWARE / name).read_text(encoding="utf-8")))
        stored = {node.id for node in ast.walk(tree) if pack._is_stored(node)}
        assert stored and not stored & set(dir(builtins))


def test_main_speaks_of_the_plug_by_its_name():
    """Without trial.py it says itself what is to be started."""
    packed = pack.entry((build.FIRMWARE / "main.py").read_text(encoding="utf-8"))
    assert "'plug'" in packed and "import trial" in packed


def test_a_word_of_the_rom_is_listed_once():
    assert len(set(pack.SHORT)) == len(pack.SHORT)


# --- the table ----------------------------------------------------------------------------------

SOURCE = (build.FIRMWARE / "statemachine.py").read_text(encoding="utf-8")


def test_every_word_of_the_table_has_its_own_short_one():
    words = pack.table_words(SOURCE)
    assert len(set(words.values())) == len(words)
    assert not set(words.values()) & set(pack._WORLD)
    assert set(words.values()) <= {*pack.SHORT, *pack.PORT}


def test_no_word_is_part_of_a_state_or_a_fact():
    """Code asks `alias in "Waiting Connected"`, and so for facts."""
    words = pack.table_words(SOURCE)
    module = run(SOURCE)
    rows = [line.split(" ") for line in module.STATES.strip().split("\n")]
    several = [row[0] for row in rows if row[1] != "-"] + module._KEPT.split()
    for word in several:
        assert [w for w in words.values() if w in words[word]] == [words[word]]


def test_who_speaks_of_states_and_facts_is_on_the_list_of_those_who_do():
    """Else it would look on the plug for a word that the machine does not have there."""
    packer = build.packer_of_all()
    words = {word for word in packer._words if not word.islower()} - set(pack._WORLD)
    speaking = {
        name
        for name, text in packer.modules.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.strip()
        if {word.strip("!") for word in node.value.split()} <= words
    }
    assert speaking == set(pack.SPEAK)


def test_facts_are_called_by_their_order_so_that_they_outlive_an_update():
    words = pack.table_words(SOURCE)
    kept = run(SOURCE)._KEPT.split()
    assert [words[fact] for fact in kept] == [f"a{at}" for at in range(len(kept))]


def test_who_speaks_of_a_step_is_sent_to_what_it_is_called():
    texts = {
        "one": """
import gc, sys
_PARTS = "one two"
def f():
    import two
    from two import g
    two.g(two="two")
    sys.modules.pop("two")
    return "two three", "one"
""",
        "two": "def g(two): pass",
    }
    packer = pack.Packer(texts, set(), steps=["two"])
    called = packer.called["two"]
    packed = packer.module("one")
    assert f"'one {called}'" in packed and f"pop('{called}')" in packed
    assert f"import {called}\n" in packed and f"from {called} import" in packed
    assert f"{called}.{packer._public.get('g', 'g')}(two='{called}')" in packed
    assert "'two three'" in packed, "only where it is all that is said, or among parts"


def test_no_step_is_called_as_a_module_that_import_would_find_first():
    called = build.packer_of_all().called
    assert set(called) == set(pack.STEPS)
    others = {path.stem for path in (build.ROOT / "simulator/hardware").glob("*.py")}
    others |= set(build.texts()) | sys.stdlib_module_names
    assert not set(called.values()) & others


def test_steps_that_are_called_otherwise_are_meant_wherever_a_text_is_called_so():
    """Each such text is given to what loads a module, lets go of it, or says what comes next."""
    where = "_step step take pop __import__ _make_room".split()
    for module, text in build.texts().items():
        tree = ast.parse(text)
        loads = {
            id(node.args[0])
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and node.args
            if getattr(node.func, "attr", getattr(node.func, "id", "")) in where
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Subscript):
                loads.add(id(node.slice))
            elif isinstance(node, ast.IfExp):
                loads |= {id(node.body)} if id(node) in loads else set()
            elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
                loads.add(id(node.value.elts[0]))
            elif isinstance(node, (ast.For, ast.Compare)):
                inside = getattr(node, "iter", node)
                loads |= {id(part) for part in ast.walk(inside)}
        parts = {
            id(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_PARTS"
        }
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        known = {*build.texts(), *sum(merge.WHOLES.values(), ())}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and node.value in pack.STEPS:
                assert id(node) in loads, (module, node.value, node.lineno)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                words = set(node.value.split())
                if words <= known and words & set(pack.STEPS):
                    assert id(node) in parts | docs, (module, node.value, node.lineno)


class Settings:
    initial_state = "Waiting_for_print_activity"
    shutdown_pi = True
    button_lock = False
    cool_below_c, hot_above_c, min_job_s = 50, 175, 20
    pi_down_s, boot_s, blind_cool_s = 15, 30, 60
    shutdown_wait_s, halt_settle_s, shutdown_max_s = 10, 15, 40
    poll_s, poll_idle_s = 5, 15


@pytest.mark.parametrize("seed", range(5))
def test_the_packed_machine_does_what_the_source_does(seed):
    packer = pack.Packer({pack.MACHINE: SOURCE}, build._foreign())
    short, words = packer._public, packer._words
    packed = run(packer.module(pack.MACHINE))
    machines = run(SOURCE).Machine(Settings, 0), getattr(packed, short["Machine"])(Settings, 0)
    chance = random.Random(seed)
    events = "SHORT LONG ON OFF PERMON FORCEOFF ASKED ACCEPTED REFUSED_ASK".split()
    states = set()
    now = 0
    pi, printing, heat = "UP", False, 20
    for _ in range(2000):
        now += chance.choice((250, 1000, 5000))
        event = chance.choice(events)
        if chance.random() < 0.02:
            pi = chance.choice(("UP", "UP", "BUSY", "REFUSED", "SILENT", "SILENT", "UNKNOWN"))
        if chance.random() < 0.05:
            printing, heat = chance.choice(((True, 200), (False, 200), (False, 20), (None, None)))
        lost = chance.random() < 0.01
        what = chance.choices(("post", "observe", "tick"), (1, 20, 10))[0]
        for machine in machines:
            packs = machine is machines[1]
            given = {
                "post": (words.get(event, event) if packs else event,),
                "observe": ((words[pi] if packs else pi, printing, heat, heat, lost),),
                "tick": (),
            }[what]
            getattr(machine, short.get(what, what) if packs else what)(*given, now)
        one, two = machines
        assert (one.state, one.reason, one.relay, one.mode, one.countdown_s) == (
            two.state,
            two.reason,
            two.relay,
            two.mode,
            two.countdown_s,
        )
        states.add(one.state)
    assert len(states) > 5


# --- texts that are let go ----------------------------------------------------------------------

BRIEF = '''"""Speaks of texts in every way that there is."""
def said(kind, other="plain", *, more="by name"):
    words = {"one": 1, "two": ("three", "four")}
    try:
        while words:
            for word in ("five", "six"):
                if kind == "seven" or kind in words:
                    return other + more + word + str(words.get(kind, "eight"))
            raise ValueError("nine")
    except ValueError as error:
        return "%s: %s" % (kind, error)
    finally:
        words.clear()
class Ten:
    eleven = "twelve"
    def shown(self, way="thirteen"):
        return lambda: (way, self.eleven, [c for c in "fourteen"])
'''
ASKS = """
import micropython, sys
sys.path.insert(0, ".")
import brief
print(brief.said("one"), brief.said("seven", more="x"), brief.said("none"), brief.Ten().shown()())
micropython.qstr_info(1)
"""


@pytest.mark.real
def test_the_texts_of_a_module_become_objects_and_no_names(micropython, tmp_path):
    (tmp_path / "brief.py").write_text(BRIEF)
    (tmp_path / "asks.py").write_text(ASKS)
    target = tmp_path / "brief.mpy"
    build.compile_mpy(tmp_path / "brief.py", target, 3)
    (tmp_path / "brief.py").unlink()

    def run_it():
        command = [str(micropython), "asks.py"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        first, *names = done.stdout.splitlines()
        return first, {line[2:-1] for line in names if line.startswith("Q(")}

    before, names = run_it()
    assert {"twelve", "thirteen", "nine", "eight", "fourteen"} <= names
    target.write_bytes(unintern.unintern(target.read_bytes()))
    after, fewer = run_it()
    assert after == before
    assert not {"twelve", "thirteen", "nine", "eight", "fourteen", "five", "six"} & fewer
    assert {"brief", "eleven", "shown", "more"} <= fewer


def test_what_is_no_such_module_is_refused():
    with pytest.raises(ValueError, match="version 6"):
        unintern.unintern(b"M\x05\x00\x1f")


@pytest.mark.parametrize("part", ["board", "wire", "octoapi", "mqtt", "dialing", "plug"])
def test_what_is_said_to_the_world_is_said_packed_as_well(part):
    """'offline', a topic, or a text for people: only words in capitals belong to the table."""
    packer = build.packer_of_all()
    whole = next((name for name, parts in merge.WHOLES.items() if part in parts), part)
    states = run(SOURCE).STATES.split()
    packed = _texts_of(packer.module(whole))
    for text in _texts_of((build.FIRMWARE / f"{part}.py").read_text(encoding="utf-8")):
        if text.isidentifier() and (text in states or not text.islower()):
            continue  # a name, looked up by its text, or a state
        if text in sum(merge.WHOLES.values(), ()):
            continue  # a module, which may have moved in with others
        words = set(text.split())
        if not text.isupper() and not words <= set(packer._words) and len(text) > 1:
            assert text in packed, text
    assert part != "dialing" or "offline" in packed


def _texts_of(source):
    tree = ast.parse(source)
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    wholes = {
        line.targets[0].id: line.value.value
        for line in tree.body
        if isinstance(line, ast.Assign) and isinstance(getattr(line.value, "value", None), str)
    }
    cut = {
        wholes[node.value.id][node.slice.lower.value : node.slice.upper.value]
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript)
        and getattr(node.value, "id", "") in wholes
        and isinstance(node.slice, ast.Slice)
        and isinstance(node.slice.lower, ast.Constant)
    }
    return cut | {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told
    }


SAYS = '''"""Says."""
WORDS = "on a module's own line it stays"
def ask(way="as a default, too"):
    """A docstring."""
    if way == "as a default, too":
        return "POST /api/something", b"the bytes of a body that are more than forty", "short"
    more = b"the bytes of a body that are more than forty", b"", ""
    return {"a key of some length": "shorter than that?"}, "%d of so many" % 3, more
'''


@pytest.mark.parametrize("shortest", [0, 1, 11])
def test_texts_that_are_joined_are_still_what_they_were(shortest):
    packed = pack.pack(SAYS, joined=shortest)
    plain, joined = run(SAYS), run(packed)
    assert (joined.WORDS, joined.ask(), joined.ask(0)) == (plain.WORDS, plain.ask(), plain.ask(0))
    assert ("'POST /api/something'" in packed) is (shortest == 0)
    assert ("'short'" in packed) is (shortest != 1), "a short text may be a name, which is cheaper"
    assert packed.count("b'the bytes of a body") == (1 if shortest else 2)
    assert _texts_of(SAYS) - {"Says.", "A docstring."} <= _texts_of(packed)
