"""Make .venv from pyproject.toml: quick when it is there already, safe to start twice at once.

    python3 tools/env.py [GROUP …]    groups of [dependency-groups]; "simulate" if none is given

Only the standard library is used here, since nothing else is installed yet. What has been
installed is noted in .venv/octoplugout.json together with a hash of the pins, so a changed pin
installs again and an unchanged one costs nothing. Imported, `ensure("test")` does the same and
returns the environment's python.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "octoplugout.json"
CONSTRAINTS = ROOT / "tools/constraints.txt"


class EnvError(Exception):
    """Why there is no environment, and what to do about it."""


def say(text):
    print(text, file=sys.stderr, flush=True)


class Progress:
    """One line on what is going on: rewritten on a terminal, now and then repeated elsewhere."""

    def __init__(self, title):
        self.title, self.count, self.started = title, 0, time.monotonic()
        self.shown = self.started
        self.live = sys.stderr.isatty()
        say(f"{title} …")

    def step(self, what):
        self.count += 1
        now = time.monotonic()
        if self.live:
            text = f"  {self.count}: {what}"[:78]
            print(f"\r{text:<78}", end="", file=sys.stderr, flush=True)
        elif now - self.shown > 5:
            self.shown = now
            say(f"  {self.count}: {what}")

    def done(self):
        took = f"  done in {time.monotonic() - self.started:.0f} s"
        say(f"\r{took:<78}" if self.live else took)


def requirements(table, group, path=()):
    """What a group of [dependency-groups] and those it includes require, in order, each once."""
    if group not in table:
        raise EnvError(f"pyproject.toml has no group {group!r}; there are: {', '.join(table)}")
    if group in path:
        raise EnvError(f"pyproject.toml: group {group!r} includes itself")
    found = []
    for entry in table[group]:
        if isinstance(entry, dict):
            found += requirements(table, entry["include-group"], (*path, group))
        else:
            found.append(entry)
    return list(dict.fromkeys(found))


def pins():
    """(groups table, hash of everything that decides what is installed)."""
    import tomllib

    with open(ROOT / "pyproject.toml", "rb") as f:
        table = tomllib.load(f)["dependency-groups"]
    text = json.dumps(table, sort_keys=True) + CONSTRAINTS.read_text()
    return table, hashlib.sha256(text.encode()).hexdigest()


def installed(digest):
    """The groups that are in .venv with these pins; None when it has to be looked at."""
    try:
        stamp = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return None
    # A moved checkout or a replaced Python leaves an environment that does not start
    if stamp.get("at") != str(VENV) or not PYTHON.exists():
        return None
    return set(stamp.get("groups", ())) if stamp.get("hash") == digest else set()


def create():
    """A new, empty .venv with pip, whatever part of it this machine's Python lacks."""
    if VENV.exists():
        shutil.rmtree(VENV)
    say("Making .venv …")
    if _venv():
        return
    # Debian keeps ensurepip in a package of its own; where pip itself is there, it can do
    if _works([sys.executable, "-m", "pip", "--version"]):
        _run([sys.executable, "-m", "venv", "--without-pip", str(VENV)])
        _run([sys.executable, "-m", "pip", "--python", str(PYTHON), "install", "-q", "pip"])
        return
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if os.name == "posix" and os.geteuid() == 0 and shutil.which("apt-get"):
        say("Python's venv module is incomplete: apt-get install python3-venv …")
        _works(["apt-get", "update", "-qq"])
        for name in ("python3-venv", f"python{version}-venv"):
            if (
                _works(["apt-get", "install", "-y", "-qq", "--no-install-recommends", name], 600)
                and _venv()
            ):
                return
    shutil.rmtree(VENV, ignore_errors=True)
    raise EnvError(
        "this Python cannot make an environment (its venv or ensurepip part is missing).\n"
        "On Debian or Ubuntu: sudo apt-get install python3-venv, then start again."
    )


def _venv():
    shutil.rmtree(VENV, ignore_errors=True)
    return _works([sys.executable, "-m", "venv", str(VENV)])


def _works(command, timeout=300):
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    try:
        return (
            subprocess.run(
                command, capture_output=True, timeout=timeout, env=env, stdin=subprocess.DEVNULL
            ).returncode
            == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def _run(command):
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise EnvError(f"{' '.join(command)}\n{(done.stdout + done.stderr)[-2000:]}")


def pip_install(python, arguments, title):
    """pip with its progress as one line; EnvError with pip's own last words when it fails.

    Also used by fetch.py for OctoPrint's environments.
    """
    command = [str(python), "-m", "pip", "install", "--progress-bar", "off", "--no-input"]
    command += ["--disable-pip-version-check", *arguments]
    progress = Progress(title)
    tail = []
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
    ) as pip:
        assert pip.stdout
        for line in pip.stdout:
            tail = (tail + [line])[-40:]
            word, _, rest = line.strip().partition(" ")
            if word in ("Collecting", "Building", "Installing"):
                progress.step(f"{word} {rest}")
    if pip.returncode:
        wrong = [t for t in tail if t.startswith("ERROR") or "error" in t.lower()] or tail
        raise EnvError(f"pip could not install {title!r}:\n{''.join(wrong)[-3000:]}")
    progress.done()


class Lock:
    """Holds others back while one run fills a folder; waits, and says so, when another does."""

    def __init__(self, path):
        self.path = Path(path)

    def __enter__(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = open(self.path, "a")  # noqa: SIM115 - held until __exit__
        try:
            import fcntl
        except (
            ImportError
        ):  # not a POSIX system: nothing to hold on to, and two at once are unlikely
            return self
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say(
                f"Waiting for another run that prepares {self.path.parent.name or 'this folder'} …"
            )
            fcntl.flock(self.file, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_):
        self.file.close()


def ensure(*groups):
    """.venv with these groups in it; returns its python. EnvError says what is in the way."""
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever starts this may have an older one
        raise EnvError(
            f"Python 3.11 or newer is needed; this is {sys.version.split()[0]} ({sys.executable})"
        )
    groups = groups or ("simulate",)
    table, digest = pins()
    for group in groups:
        requirements(table, group)
    have = installed(digest)
    if have is not None and have.issuperset(groups):
        return PYTHON
    with Lock(ROOT / ".venv.lock"):
        have = installed(digest)  # another run may have done it meanwhile
        if have is not None and have.issuperset(groups):
            return PYTHON
        if have is None or not _works([str(PYTHON), "-m", "pip", "--version"]):
            have = set()
            create()
        else:
            try:  # pins have changed: what was there before is wanted again
                have |= set(json.loads(STAMP.read_text())["groups"]) & set(table)
            except (OSError, ValueError):
                pass
        wanted = sorted(have.union(groups))
        names = list(dict.fromkeys(r for group in wanted for r in requirements(table, group)))
        pip_install(
            PYTHON, ["-c", str(CONSTRAINTS), *names], f"Installing {', '.join(wanted)} into .venv"
        )
        new = STAMP.with_suffix(".new")
        new.write_text(json.dumps({"hash": digest, "groups": wanted, "at": str(VENV)}))
        os.replace(new, STAMP)
    return PYTHON


def main(arguments):
    try:
        ensure(*arguments)
    except EnvError as wrong:
        say(f"No environment: {wrong}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
