"""The portal's pages and steps in one file: everything is there, and is found where it begins."""

import ast
import asyncio
import re
import subprocess
import sys
import types

import pytest

import build
import merge
import portal
import settings
import shelf
import steps
from platform_rules import imports


def rows():
    """[(name, where it begins)] of the shelf that this PC's portal uses."""
    with steps.open("/keys") as file:
        file.seek(0)
        line = file.readline().decode()
    return [(name, int(at)) for name, at in re.findall(r" ([\w.]+)=(\d+)", line)]


def test_every_page_begins_where_the_first_line_says():
    found = dict(rows())
    assert set(found) == {path.stem for path in shelf.pages()}
    for path in shelf.pages():
        with steps.open("/" + path.stem) as file:
            data = path.read_bytes()
            assert file.read(len(data) + 2) == data + b"=\n"


def test_what_is_not_on_it_is_not_found():
    for name in "/frame.html", "/fram", "/rame", "/settings.mpy", "/", "":
        with pytest.raises(OSError) as found:
            steps.open(name)
        assert found.value.args == (2,)
        with pytest.raises(OSError):
            steps.stat(name)
    assert steps.stat("/frame")[0] == 0x8000


def test_a_first_line_of_any_length_is_read_in_whole_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    for count in range(12):
        parts = [(f"step{n}.mpy", b"M%d" % n) for n in range(count)]
        shelf.lay(tmp_path, parts)
        for name, data in parts:
            with steps.open("/" + name) as file:
                assert file.read(len(data)) == data
        with pytest.raises(OSError):
            steps.open(f"/step{count}.mpy")


def test_a_shelf_that_was_cut_off_is_an_error_and_no_endless_loop(tmp_path, monkeypatch):
    whole = shelf.packed()
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    for size in 0, 1, 127, 128, 200:
        (tmp_path / shelf.NAME).write_bytes(whole[:size])
        with pytest.raises(OSError):
            steps.open("/wifi")


@pytest.mark.parametrize("text", ["=a\n=\n", "=a\nb", "=\n"])
def test_a_page_that_would_end_too_early_is_refused(tmp_path, monkeypatch, text):
    (tmp_path / "keys.txt").write_text("word A sentence\n")
    (tmp_path / "page.html").write_text(text)
    monkeypatch.setattr(shelf, "PAGES", tmp_path)
    with pytest.raises(ValueError, match="page.html: "):
        shelf.packed()


def called(node):
    """(what is called, the name of a module that it is given) of a call of a step, or None."""
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        name = ast.unparse(node.func)
        if name in ("_step", "step", "steps.take") or name.endswith(".step"):
            return name, node.args[0].value
    return None


def test_what_is_imported_while_the_portal_is_shut_stands_beside_the_shelf():
    """Imports are followed from what starts the plug, but not into the portal, nor into the parts
    of the settings: for those the shelf is put up. By Plug.step() and what calls it modules are
    taken off the shelf if they stand on it."""
    texts = build.texts()
    needed, seen, left = {"portal"}, {"portal"}, ["plug", "slots", "info"]
    needed |= set(left)
    left += "outbox placing discovery".split()  # online.py has each named by the one before
    while left:
        name = left.pop()
        if name not in texts or name in seen:
            continue
        seen.add(name)
        if name == "settings":
            continue
        plain = {module for _, module in imports(texts[name])}
        taken = set()
        for node in ast.walk(ast.parse(texts[name])):
            how, module = called(node) or ("", "")
            if how:
                taken.add(module)
        needed |= plain & texts.keys()
        left += plain | taken
    assert {"outbox", "heat", "wake", "placing", "remarks"} <= seen - needed
    needed -= set(settings._PARTS.split()) | {"schema"}  # see the next test
    beside = set(merge.RESIDENT) | set(build.LOOSE.split())
    assert needed <= beside
    assert not {"brief", "fields", "intake", "front", "wifi", "keys"} & beside


@pytest.mark.parametrize(
    "name, before", [("plug", "settings.load("), ("opening", "settings.get(")]
)
def test_the_shelf_is_up_while_settings_are_read(name, before):
    text = (build.FIRMWARE / f"{name}.py").read_text()
    assert text.index("steps.up()") < text.index(before) < text.index("steps.down()")
    after = text[text.index("steps.down()") :]
    assert not re.search(r"\bsettings\.\w+\(", after)


def test_the_shelf_is_looked_for_before_it_asks_itself(monkeypatch):
    """Its file may stand in any folder of sys.path: in an image of one's own in one far behind."""
    seen = []

    class Gate(portal.Portal):
        @property
        def stays(self):
            seen.append(list(sys.path))
            return False

    gate = object.__new__(Gate)
    gate.lan, gate.length, gate.wire, gate._file = True, 0, None, None
    mounts = types.SimpleNamespace(mount=lambda *_: None, umount=lambda *_: None)
    monkeypatch.setattr(steps, "os", mounts)
    monkeypatch.setattr(portal, "_listen", lambda *_: types.SimpleNamespace(close=lambda: None))
    before = list(sys.path)
    asyncio.run(gate.run())
    assert seen == [[*before, "/steps"]] and sys.path == before


ASKS = """
import sys, os
sys.path.insert(0, "a")
import steps
os.mount(steps, "/steps")
sys.path.append("/steps")
for name in "%s".split():
    print(name, __import__(name).run.__name__ != "")
    del sys.modules[name]
for name in "json", "errno", "frame", "nothing":
    try:
        print(name, __import__(name).__name__)
    except ImportError:
        print(name, "is no module")
"""


@pytest.mark.real
def test_the_plugs_python_imports_every_step_from_it(micropython, flash):
    names = "brief fields front intake joining octokey report rows checking matching storing"
    names += " trying wifi asking"
    command = [str(micropython), "-X", "heapsize=48k", "-c", ASKS % names]
    done = subprocess.run(command, cwd=flash, capture_output=True, text=True)
    assert done.stderr == ""
    said = [f"{name} True" for name in names.split()]
    said += ["json json", "errno errno", "frame is no module", "nothing is no module"]
    assert done.stdout.splitlines() == said
