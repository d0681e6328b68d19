"""The settings that go onto the plug: checked and completed by the firmware's own code.

A file is refused before the plug is touched. The passwords that a plug makes for itself are made
here where neither the file nor the plug has them, so that they can be told.
"""

import builtins
import difflib
import json
import os
import sys
import tempfile
from pathlib import Path

from env import ROOT

OWN = ("portal_password", "ota_key")


class ConfigError(Exception):
    """What is wrong with a file of settings."""


def read(path):
    """The settings in the file, as a dict. ConfigError names each wrong one with its limits."""
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as wrong:
        raise ConfigError(f"{path} cannot be read: {wrong.strerror}") from None
    except ValueError as wrong:
        raise ConfigError(f"{path} is not JSON: {wrong}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must be one JSON object: {{ … }}")
    problems = _problems(values)
    if problems:
        raise ConfigError(f"{path} is not as the firmware wants it:\n  " + "\n  ".join(problems))
    return values


def complete(values, theirs=""):
    """`values` with all of OWN: as given, else as in `theirs` (the plug's file), else new."""
    try:
        old = json.loads(theirs)
    except ValueError:
        old = {}
    values = dict(values)
    for key in OWN:
        if key not in values and isinstance(old, dict) and not _problems({key: old.get(key)}):
            values[key] = old[key]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_bytes(as_bytes(values))
        _firmware("settings").first_start(path=str(path), urandom=os.urandom)
        return json.loads(path.read_text(encoding="utf-8"))


def as_bytes(values):
    """The file as the plug likes it: one setting a line, so that it never has to hold it whole."""
    lines = [json.dumps({key: values[key]}, ensure_ascii=False)[1:-1] for key in values]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def _problems(values):
    """What the firmware's own loader says about them, with a hint at what was meant."""
    settings = _firmware("settings")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_bytes(as_bytes(values))
        found = settings.load(str(path), every=True).problems
    known = [row[0] for row in _firmware("schema").rows()]
    problems = []
    for problem in found:
        problem = problem.replace(f"{folder}/", "")
        name = problem.removeprefix("unknown setting: ")
        near = difflib.get_close_matches(name, known, 1) if name != problem else []
        problems.append(problem + (f" (is it {near[0]}?)" if near else ""))
    return problems


def _firmware(name):
    if not hasattr(builtins, "const"):
        builtins.const = lambda value: value
    if str(ROOT / "firmware") not in sys.path:
        sys.path.append(str(ROOT / "firmware"))
    return __import__(name)
