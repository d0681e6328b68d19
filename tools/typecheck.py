"""pyright, twice: firmware/ against MicroPython's own stubs, the PC's part against CPython's.

    .venv/bin/python tools/typecheck.py [firmware | pc]

The firmware is checked with the ESP8266 port's stubs in the place of CPython's standard library,
so a module, function or argument that the port lacks is an error here and not on the plug.
"""

import json
import os
import subprocess
import sys
import sysconfig

from env import ROOT

SITE = sysconfig.get_path("purelib")

COMMON = {
    "typeCheckingMode": "basic",
    "reportMissingModuleSource": False,
    # A socket or task that is None until opened is checked where it is opened, not at each use
    "reportOptionalMemberAccess": False,
    "reportOptionalSubscript": False,
    "reportOptionalIterable": False,
    "reportOptionalOperand": False,
}

PARTS = {
    "firmware": COMMON
    | {
        "include": ["../firmware"],
        "extraPaths": [str(ROOT / "firmware"), str(ROOT / ".cache/lib")],
        "stubPath": SITE,
        "typeshedPath": SITE,
        "pythonVersion": "3.11",
        # Fallbacks for CPython at the top of a file redefine what the stubs already know
        "reportAssignmentType": False,
        "reportRedeclaration": False,
    },
    "pc": COMMON
    | {
        "include": [f"../{part}" for part in ("simulator", "tools", "tests")],
        "extraPaths": [
            str(ROOT / part) for part in (".", "firmware", "tests", "tools", ".cache/lib")
        ],
        # Runs on both Pythons and adds MicroPython's names to CPython's modules
        "exclude": ["../simulator/hardware"],
        "reportAttributeAccessIssue": False,
        # Defaults are taken for types, and tests hand in wrong ones on purpose
        "reportArgumentType": False,
        "reportCallIssue": False,
        "venvPath": str(ROOT),
        "venv": ".venv",
        "pythonVersion": "3.11",
    },
}


def check(part):
    """0 when that part is clean."""
    config = ROOT / f"build/pyright-{part}.json"
    config.parent.mkdir(exist_ok=True)
    config.write_text(json.dumps(PARTS[part], indent=1))
    print(f"pyright, {part}:", flush=True)
    command = [sys.executable, "-m", "pyright", "-p", str(config)]
    # The version is pinned: a newer one is nobody's news here
    env = dict(os.environ, PYRIGHT_PYTHON_IGNORE_WARNINGS="1")
    return subprocess.run(command, env=env, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(max([check(part) for part in sys.argv[1:] or PARTS]))
