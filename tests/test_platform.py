"""The firmware uses nothing that the plug's MicroPython lacks, and its imports run one way."""

import json
import subprocess
from pathlib import Path

import pytest

from platform_rules import ABSENT_METHODS, BUILTINS, METHODS, NAMES, imports, problems

FIRMWARE = Path(__file__).resolve().parent.parent / "firmware"
# slim/ is left out: what is in it stands for a library of the image, under the library's rules
SOURCES = sorted(FIRMWARE.glob("*.py"))
OURS = {path.stem for path in SOURCES}

# Which of ours a module may import. A new module gets its row here: the fewer, the better.
PLATFORM = {"machine", "network", "esp"}
ARROWS = {
    # use nothing of ours: rules, tables, and what stands alone
    "statemachine": set(),
    "gestures": set(),
    "info": set(),
    "intro": set(),
    "apply": set(),
    "names": set(),
    "wire": set(),
    "board": set(),
    "radio": set(),
    "captive": set(),
    "diary": {"statemachine"},
    # the settings and their parts, each loaded when needed
    "settings": {"keeping"},
    "keeping": set(),
    "spare": set(),
    "configfile": set(),
    "figures": set(),
    "texts": set(),
    "refusal": set(),
    "schema": {"steps", "figures", "texts", "refusal"},
    "odds": {"schema"},
    "sheet": {"schema"},
    "loading": {"schema"},
    "firsts": {"configfile"},
    "saving": {"schema", "configfile"},
    # the network's parts: the connection below them, never each other
    "octoapi": {"wire"},
    "keys": {"steps", "wire"},
    "mqtt": {"dialing", "wire"},
    "dialing": set(),
    "online": set(),
    "connecting": {"mqtt", "octoapi", "online"},
    "reconnect": set(),
    "heat": set(),
    "pending": {"wire"},
    "order": set(),
    "wake": set(),
    "remarks": set(),
    "outbox": {"mqtt"},
    "placing": {"mqtt"},
    "discovery": {"mqtt"},
    # the bridge: what listens and tells, and the steps of a command in their order
    "pairing": {"mqtt"},
    "telling": {"mqtt"},
    "bridge": set(),
    "parsing": set(),
    "finding": {"steps"},
    "weighing": set(),
    "wrong": set(),
    "doing": set(),
    "cameras": {"wire"},
    "picking": set(),
    "places": set(),
    "parcel": set(),
    "copying": {"wire"},
    "reply": set(),
    # the portal: what opens it, what serves, and its steps
    "steps": set(),
    "opening": {"portal", "radio", "settings", "steps"},
    "closing": {"radio"},
    "portal": {"wire", "captive", "steps"},
    "intake": {"portal"},
    "front": {"portal"},
    "wifi": {"radio", "texts"},
    "joining": {"portal", "saving"},
    "report": {"info", "diary"},
    "brief": set(),
    "rows": {"portal"},
    "checking": {"schema"},
    "matching": {"odds", "refusal", "schema"},
    "storing": {"keeping"},
    "fields": set(),
    "octokey": set(),
    "trying": {"keys", "portal"},
    "asking": {"keeping", "keys"},
    # … for updates
    "update": {"portal", "slots"},
    "remote": {"settings"},
    "ota": {"portal", "taking"},
    "unpack": {"ota", "slots", "taking"},
    "taking": set(),
    "slots": set(),
    "trial": set(),
    "recovery": {"radio", "unpack"},
    # builds and wires all of them; then what starts it
    "plug": OURS - {"boot", "main", "trial", "recovery", "plug"},
    "main": {"plug", "trial", "recovery"},
    "boot": set(),
}
# boot.py is there to drive the relay before anything else is loaded
HARDWARE = {"board": PLATFORM, "boot": {"machine"}, "radio": {"network"}}
HARDWARE |= {"slots": {"machine"}, "trial": {"machine"}, "recovery": {"machine"}}
# What these rules may import at all, so that they run anywhere
PURE = {"statemachine": {"micropython"}, "gestures": {"micropython"}}
PURE |= {"figures": set(), "texts": set(), "refusal": set()}
# What one module may use although the rules refuse it, and why
EXCUSED = {
    # Given a dotted address it asks nobody; names are resolved without blocking, by names.py
    "names": {"socket.getaddrinfo"},
    "wire": {"socket.getaddrinfo"},
    "portal": {"socket.getaddrinfo"},
    "recovery": {"socket.getaddrinfo"},
}


def ids(path):
    return path.name


@pytest.mark.parametrize("path", SOURCES, ids=ids)
def test_firmware_uses_nothing_that_the_port_lacks(path):
    found = problems(path.read_text(), OURS, EXCUSED.get(path.stem, ()))
    assert not found, "\n".join(f"{path.name}:{line}: {text}" for line, text in found)


@pytest.mark.parametrize("path", SOURCES, ids=ids)
def test_imports_run_one_way(path):
    name = path.stem
    assert name in ARROWS, f"{path.name} is new: say in ARROWS what it may import of ours"
    used = {module for _, module in imports(path.read_text())}
    wrong = (used & OURS) - ARROWS[name]
    assert not wrong, f"{name} must not import {', '.join(sorted(wrong))}"
    wrong = (used & PLATFORM) - HARDWARE.get(name, set())
    assert not wrong, f"only board meets the hardware, {name} imports {', '.join(sorted(wrong))}"
    if name in PURE:
        assert used <= PURE[name], f"{name} has to run anywhere: {used - PURE[name]}"


def test_no_arrow_leads_back():
    """The table itself has no circle, so none can be allowed by mistake."""
    left = {name: set(below) for name, below in ARROWS.items()}
    while left:
        free = [name for name, below in left.items() if not below & left.keys()]
        assert free, f"these import each other in a circle: {sorted(left)}"
        for name in free:
            del left[name]


@pytest.mark.parametrize("path", SOURCES, ids=ids)
def test_mpy_cross_takes_every_file(path, tmp_path):
    import build

    assert build.compile_mpy(path, tmp_path / "x.mpy", 3) > 0


@pytest.mark.parametrize("name", ["boot.py", "main.py"])
def test_what_starts_the_plug_is_small_enough_to_be_compiled_there(name, micropython):
    """They are source there: its own compiler has to get through them in the heap."""
    code = f"compile(open({str(FIRMWARE / name)!r}).read(), {name!r}, 'exec')"
    command = [str(micropython), "-X", "heapsize=30k", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# --- the rules themselves


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("s.partition(':')", "partition"),
        ("x = ' a'.center(9)", "center"),
        ("for l in s.splitlines(): pass", "splitlines"),
        ("'7'.zfill(3)", "zfill"),
        ("t.removeprefix('x')", "removeprefix"),
        ("n.bit_length()", "bit_length"),
        ("import binascii\nbinascii.crc32(b'')", "crc32"),
        ("from binascii import crc32", "crc32"),
        ("import hashlib\nhashlib.md5()", "md5"),
        ("from hashlib import md5 as m", "md5"),
        ("import random\nrandom.randint(1, 2)", "randint"),
        ("import random\nrandom.choice([1])", "choice"),
        ("import random as r\nr.random()", "random.random"),
        ("pow(2, 3, 5)", "pow"),
        ("compile('1', '', 'eval')", "compile"),
        ("execfile('x.py')", "execfile"),
        ("print(__file__)", "__file__"),
        ("x = complex(1, 2)", "complex"),
        ("x = 2j", "complex"),
        ("import os\nos.sync()", "sync"),
        ("import os\nos.path.exists('x')", "path"),
        ("from os import replace", "replace"),
        ("import unetwork", "unetwork"),
        ("import umath", "umath"),
        ("import ugc", "ugc"),
        ("import dataclasses", "dataclasses"),
        ("from typing import Any", "typing"),
        ("import asyncio\nasyncio.Event()", "Event"),
        ("from asyncio import Lock", "Lock"),
        ("import asyncio\nasyncio.wait_for(x, 1)", "wait_for"),
        ("import asyncio\nasyncio.gather(a, b)", "gather"),
        ("import asyncio\nasyncio.open_connection('h', 1)", "open_connection"),
        ("from asyncio import start_server", "start_server"),
        ("import machine\nmachine.Timer(-1)", "Timer"),
        ("from machine import Timer", "Timer"),
        ("import machine\nmachine.soft_reset()", "soft_reset"),
        ("pin.irq(handler)", "irq"),
        ("import math\nmath.inf", "inf"),
        ("import math\nmath.isclose(1, 2)", "isclose"),
        ("import time\ntime.monotonic()", "monotonic"),
        ("import socket\nsocket.getaddrinfo('h', 1)", "getaddrinfo"),
        ("try:\n pass\nexcept TimeoutError:\n pass", "TimeoutError"),
        ("try:\n pass\nexcept (ConnectionError, OSError):\n pass", "ConnectionError"),
        ("def f():\n return NotImplemented", "NotImplemented"),
        ("class A:\n def __setattr__(self, n, v): pass", "__setattr__"),
        ("print('x', flush=True)", "flush"),
        ("b.decode(errors='replace')", "decode"),
        ("def f(a, /): pass", "positional"),
        ("match x:\n case 1: pass", "match"),
        ("from . import x", "relative"),
        ("from time import *", "*"),
    ],
)
def test_the_rules_catch(source, word):
    found = problems(source)
    assert found and any(word in text for _, text in found), found


@pytest.mark.parametrize(
    "source",
    [
        "'%.1f' % 20.5\nf'{x:5.1f}'\n'{:.1f}'.format(1.5)",
        "try:\n from micropython import const\nexcept ImportError:\n from typing import Any",
        "import random\nrandom.getrandbits(8)",
        "import hashlib\nhashlib.sha256(b'').digest()",
        "class A:\n def title(self): return 1\nA().title()",
        "def compile(x): pass\ncompile(1)",
        "from os import rename, urandom\nimport os\nos.listdir()",
        "b'x'.hex()\n' a '.strip().split(',', 1)\n[].sort(key=len)\npow(2, 3)",
        "import asyncio\nasyncio.run(main())\nawait_ = asyncio.sleep_ms",
        "from umqtt import simple\nimport machine\nmachine.mem32[0]",
    ],
)
def test_the_rules_let_pass(source):
    assert problems(source) == []


def test_an_excuse_covers_one_name_only():
    source = "import socket\nsocket.getaddrinfo('h', 1)\nsocket.gethostbyname('h')"
    assert [line for line, _ in problems(source, excused={"socket.getaddrinfo"})] == [3]


def test_the_rules_see_imports_wherever_they_stand():
    source = (
        "import a.b\ndef f():\n from c import d\n __import__('e')\ntry:\n import g\nfinally: 0"
    )
    assert {name for _, name in imports(source)} == {"a", "c", "e", "g"}


def test_what_the_rules_allow_is_there_in_real_micropython(micropython):
    """Each allowed name is asked of MicroPython 1.25, but for what is the ESP8266's alone.

    The other half, that what is refused is indeed missing on the plug, is the port's own build
    configuration: the unix build has more.
    """
    own = {"socket": {"IP_ADD_MEMBERSHIP", "IPPROTO_IP", "IPPROTO_TCP", "TCP_NODELAY"}}
    own["os"] = {"dupterm", "chdir", "uname", "umount", "mount", "VfsLfs2"}
    modules = {name: sorted(names - own.get(name, set())) for name, names in NAMES.items()}
    methods = {kind.__name__: sorted(names) for kind, names in METHODS.items()}
    code = f"""
import builtins, json
lacks = []
for module, names in json.loads({json.dumps(json.dumps(modules))}).items():
    there = __import__(module)
    lacks += [module + "." + n for n in names if not hasattr(there, n)]
for kind, names in json.loads({json.dumps(json.dumps(methods))}).items():
    there = getattr(builtins, kind)
    lacks += [kind + "." + n for n in names if not hasattr(there, n)]
for n in {sorted(BUILTINS - {"True", "False", "None", "__name__"})!r}:
    if not hasattr(builtins, n):
        lacks.append(n)
print(json.dumps(lacks))
"""
    said = subprocess.run([str(micropython), "-c", code], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout) == []


def test_methods_named_in_the_list_of_the_missing_are_the_known_ones():
    assert {"partition", "center", "splitlines", "irq"} <= ABSENT_METHODS
    assert not ABSENT_METHODS & {"split", "hex", "append", "get", "to_bytes"}
