"""Fills a directory that stands for the plug's file system: firmware, libraries, config.json."""

import importlib
import json
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIRMWARE = ROOT / "firmware"

# Settings that are times, and with --speed go faster; what a person does with the button does not.
_BY_HAND = ("long_press_ms", "portal_press_ms", "portal_open_s", "mqtt_keepalive_s")


# Outside of the slots, as tools/build.py has it
ROOT_FILES = ("boot.py", "main.py", "trial.py", "recovery.py")


class FlashError(Exception):
    """Why there is nothing to run, and what to do about it."""


def fill(folder, runtime):
    """Put the firmware into `folder`: compiled for MicroPython, as source for CPython.

    What is there already of ours is replaced, everything else stays. FlashError says what is wrong
    with the firmware or missing for it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if runtime == "micropython":
        build = _tool("build")
        try:
            build.build(folder)
        except Exception as error:
            raise FlashError(f"firmware: {error}") from error
        return
    slot = folder / "a"
    if slot.exists():
        shutil.rmtree(slot)  # compiled files of another run would do nothing here
    slot.mkdir()
    for source in sorted(FIRMWARE.rglob("*")):  # slim/ stands for what CPython has
        name = source.relative_to(FIRMWARE)
        if source.is_dir() or source.suffix == ".example":
            continue
        if name.parts[0] in ("slim", "pages") or "__pycache__" in name.parts:
            continue
        target = folder / name if name.as_posix() in ROOT_FILES else slot / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    _tool("shelf").lay(slot)


def configure(folder, given, forced, speed=1.0):
    """Write config.json: what the file has, then `given`, then `forced`, times divided by `speed`.

    given: dict of settings from a person, or None; forced: dict of what the simulator must have.
    ValueError names the setting and its limits. Returns the settings written.
    """
    path = Path(folder) / "config.json"
    values = {}
    if path.exists() and given is None:
        try:
            values = json.loads(path.read_text())
        except ValueError:
            return None  # a broken file is the firmware's to deal with, and not ours to mend
        if not isinstance(values, dict):
            return None
    values |= given or {}
    values |= forced
    if speed != 1:
        values |= faster(values, speed)
    path.write_text(json.dumps(values, indent=1) + "\n")
    return values


def faster(values, speed):
    """The time settings, default or given, divided by `speed`, none below its lowest."""
    schema = _firmware("schema")
    shorter = {}
    for key, kind, default, lowest, highest, _ in schema.rows():
        if key.endswith("_s") and kind in ("int", "float") and key not in _BY_HAND:
            value = values.get(key, default)
            if not isinstance(value, int | float) or isinstance(value, bool):
                continue  # wrong on purpose: the firmware is to see it
            value = max(lowest, round(value / speed, 3))
            shorter[key] = min(highest, int(value) if kind == "int" else value)
    return shorter


def check(values):
    """Check settings by the firmware's own schema; ValueError names the first that is wrong."""
    schema = _firmware("schema")
    rows = {row[0]: row for row in schema.rows()}
    for key, value in values.items():
        if key not in rows:
            raise ValueError(f"{key}: there is no such setting")
        schema.check(rows[key], value, False)


def _firmware(name):
    return _imported(FIRMWARE, name)


def _tool(name):
    return _imported(ROOT / "tools", name)


def _imported(folder, name):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    return importlib.import_module(name)
