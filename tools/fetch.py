"""Fetch the outside parts that pip does not install, each checked, into .cache.

    .venv/bin/python tools/fetch.py PART …

    lib                    umqtt.simple and urequests   -> .cache/lib
    micropython            32-bit MicroPython           -> .cache/micropython/run SCRIPT …
    asyncio                its asyncio as source        -> .cache/asyncio
    chip                   it as the ESP8266 has it     -> .cache/chip/micropython SCRIPT …
    octoprint [VERSION]    a real OctoPrint             -> .cache/octoprint-VERSION/bin/octoprint
    octoprints             all versions listed there
    all                    everything that the tests use

What is there already is left alone, so starting this again costs nothing; `--quiet` keeps a
failure to one line. Versions and checksums stand in pyproject.toml under [tool.octoplugout].

Where Debian's packages come from is read from apt's own configuration, so a mirror or proxy set
there is used. On another system DEBIAN_MIRROR=URL names one.
"""

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from env import ROOT, EnvError, Lock, Progress, pip_install, say

CACHE = ROOT / ".cache"
LIB = CACHE / "lib"
ASYNCIO = CACHE / "asyncio"
MICROPYTHON = CACHE / "micropython/run"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

# Only from a Debian mirror can another Debian release be read: a derivative has none of it
DEBIAN = {"stable", "testing", "sid", "bullseye", "bookworm", "trixie", "forky", "duke"}

# Starts the program with its own loader and libraries: nothing of it is installed on this system.
# Under a name without a path: that would be in the heap, where a plug has none.
RUN = """#!/bin/sh
root=${0%/*}/root
exec "$root/usr/lib/ld-linux.so.2" --argv0 micropython \\
  --library-path "$root/usr/lib/i386-linux-gnu" "$root/usr/bin/micropython" "$@"
"""


class FetchError(Exception):
    """What could not be had, and what to do about it."""


def config():
    """The table [tool.octoplugout] of pyproject.toml."""
    import tomllib

    with open(ROOT / "pyproject.toml", "rb") as f:
        return tomllib.load(f)["tool"]["octoplugout"]


def digest(data):
    return hashlib.sha256(data).hexdigest()


def put(path, data):
    """Writes a file so that it is either there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_bytes(data)
    os.replace(new, path)


def noted(folder, what):
    """True when `folder` was filled from exactly `what` (any JSON value)."""
    try:
        return json.loads((folder / "fetched.json").read_text()) == what
    except (OSError, ValueError):
        return False


def note(folder, what):
    put(folder / "fetched.json", json.dumps(what, indent=1).encode())


# --- the two libraries -------------------------------------------------------------------------


def lib():
    """umqtt.simple and urequests in .cache/lib; returns that folder.

    They are on the package index as plain archives without any build description, which pip
    refuses to download, let alone install.
    """
    wanted = config()["lib"]
    if noted(LIB, wanted):
        return LIB
    with Lock(CACHE / "lib.lock"):
        if noted(LIB, wanted):
            return LIB
        say("Fetching umqtt.simple and urequests …")
        for name, part in wanted.items():
            archive = _archive(name, part["version"])
            if digest(archive) != part["sha256"]:
                raise FetchError(
                    f"{name} {part['version']}: sha256 is {digest(archive)}, "
                    f"not {part['sha256']} as pyproject.toml says; nothing was unpacked"
                )
            with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
                for path, member in part["files"].items():
                    put(LIB / path, _member(tar, member))
        # The device needs no such file; CPython would else take any other `umqtt` on its path
        put(LIB / "umqtt/__init__.py", b"")
        note(LIB, wanted)
    return LIB


def _archive(name, version):
    try:
        import pypi_simple
    except ImportError:
        raise FetchError(
            "the Python that runs this lacks pypi-simple: run python3 tools/env.py, then "
            ".venv/bin/python tools/fetch.py"
        ) from None

    index = _pip_index()
    try:
        with pypi_simple.PyPISimple(**({"endpoint": index} if index else {})) as client:
            for package in client.get_project_page(name).packages:
                if package.version == version and package.package_type == "sdist":
                    with tempfile.TemporaryDirectory() as folder:
                        path = Path(folder) / package.filename
                        client.download_package(package, path)
                        return path.read_bytes()
    except (OSError, ValueError, pypi_simple.NoSuchProjectError) as wrong:
        raise FetchError(f"{name} {version} could not be downloaded: {wrong}") from None
    raise FetchError(f"{name} has no version {version} as a source archive")


def _pip_index():
    """The package index pip is set to, or None for its default."""
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    return os.environ.get("PIP_INDEX_URL") or asked.stdout.strip() or None


def _member(tar, path):
    """The bytes of PREFIX/path, whatever the archive calls its top folder."""
    for member in tar:
        if member.isfile() and member.name.split("/", 1)[-1] == path:
            data = tar.extractfile(member)
            assert data
            return data.read()
    raise FetchError(f"the archive holds no {path}")


# --- MicroPython -------------------------------------------------------------------------------


def micropython():
    """32-bit MicroPython; returns the program to start as a Path.

    A 32-bit build already on this system is used; else Debian's is unpacked into .cache.
    """
    wanted = config()["micropython"] | {"run": RUN}
    folder = MICROPYTHON.parent
    if noted(folder, wanted) and _is_right(MICROPYTHON, wanted["version"]):
        return MICROPYTHON
    with Lock(CACHE / "micropython.lock"):
        if noted(folder, wanted) and _is_right(MICROPYTHON, wanted["version"]):
            return MICROPYTHON
        own = shutil.which("micropython")
        if own and _is_right(own, wanted["version"]):
            run = f'#!/bin/sh\nexec "{own}" "$@"\n'
        else:
            if sys.platform != "linux" or os.uname().machine not in ("x86_64", "i686", "i386"):
                raise FetchError(
                    "32-bit MicroPython for this PC is only known as Debian's package for Intel "
                    f"and AMD processors under Linux, and this is {sys.platform} on "
                    f"{os.uname().machine if hasattr(os, 'uname') else 'another processor'}. "
                    "The simulator runs under CPython here"
                )
            _tool("dpkg-deb", "dpkg")
            new = folder.with_name("micropython.new")
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir(parents=True)
            with Apt(wanted["release"], "deb", "32-bit MicroPython") as apt:
                apt.run("download", *wanted["packages"])
                for package in sorted(apt.folder.glob("*.deb")):
                    _run(["dpkg-deb", "-x", str(package), str(new / "root")])
            shutil.rmtree(folder, ignore_errors=True)
            new.rename(folder)
            run = RUN
        put(MICROPYTHON, run.encode())
        MICROPYTHON.chmod(0o755)
        if not _is_right(MICROPYTHON, wanted["version"], tell=True):
            raise FetchError(f"{MICROPYTHON} does not run; delete {folder} and try again")
        note(folder, wanted)
    return MICROPYTHON


def _is_right(program, version, tell=False):
    """True when this program is MicroPython of that version with 32-bit objects."""
    code = "import sys; print(sys.implementation.version[:3], sys.maxsize == 0x7fffffff)"
    try:
        done = subprocess.run(
            [str(program), "-c", code],
            capture_output=True,
            text=True,
            timeout=20,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as wrong:
        if tell:
            say(f"{program}: {wrong}")
        return False
    expected = f"({', '.join(version.split('.'))}) True"
    if tell and done.stdout.strip() != expected:
        say(f"{program}: {(done.stdout + done.stderr).strip()[-500:]}, not {expected}")
    return done.stdout.strip() == expected


def asyncio():
    """The six source files of MicroPython's asyncio in .cache/asyncio; returns that folder."""
    table = config()
    wanted = table["asyncio"] | {"version": table["micropython"]["version"]}
    sums = wanted["sha256"]
    if noted(ASYNCIO, wanted):
        return ASYNCIO
    with Lock(CACHE / "asyncio.lock"):
        if noted(ASYNCIO, wanted):
            return ASYNCIO
        found = {}
        title = "the sources of MicroPython's asyncio"
        with Apt(table["micropython"]["release"], "deb-src", title) as apt:
            apt.run("source", "--download-only", wanted["source"])
            for archive in apt.folder.glob("*.orig.tar.*"):
                with tarfile.open(archive, "r:*") as tar:
                    for member in tar:
                        folder, _, name = member.name.rpartition("/")
                        if folder.endswith("/" + wanted["folder"]) and name in sums:
                            data = tar.extractfile(member)
                            found[name] = data.read() if data else b""
        for name, expected in sums.items():
            if name not in found:
                raise FetchError(f"Debian's source of MicroPython holds no asyncio/{name}")
            if digest(found[name]) != expected:
                raise FetchError(
                    f"asyncio/{name}: sha256 is {digest(found[name])}, not {expected} as "
                    "pyproject.toml says; nothing was unpacked"
                )
        for name, data in found.items():
            put(ASYNCIO / name, data)
        note(ASYNCIO, wanted)
    return ASYNCIO


class Apt:
    """apt-get on a private index of one Debian release; nothing on this system is changed."""

    def __init__(self, release, kind, title):
        _tool("apt-get", "apt")
        self.release, self.kind = release, kind
        self.progress = Progress(f"Fetching {title} from Debian {release}")
        CACHE.mkdir(exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="apt-", dir=CACHE))

    def __enter__(self):
        wrong = []
        try:
            for mirror in mirrors():
                try:
                    self.read(mirror)
                    return self
                except FetchError as why:
                    wrong.append(str(why))
        except BaseException:
            self.__exit__()
            raise
        self.__exit__()
        if wrong:
            raise FetchError(f"the index of Debian {self.release} could not be read: {wrong[-1]}")
        raise FetchError(
            "apt on this system knows no Debian mirror. Set DEBIAN_MIRROR to the address of one "
            "(with the package debian-archive-keyring installed) and start again"
        )

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)

    def read(self, mirror):
        for name in ("lists/partial", "cache/archives/partial", "parts"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
        (self.folder / "sources.list").write_text(
            f"{self.kind} {signed}{mirror} {self.release} main\n"
        )
        self.run("update")

    def run(self, command, *arguments):
        self.progress.step(f"apt-get {command}")
        here = self.folder
        options = {
            "Dir::Etc::SourceList": here / "sources.list",
            "Dir::Etc::SourceParts": "-",
            "Dir::State::Lists": here / "lists",
            "Dir::Cache": here / "cache",
            "APT::Architecture": "i386",
            "APT::Architectures": "i386",
            "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
            "Acquire::Languages": "none",
            "APT::Update::Error-Mode": "any",
            "Acquire::Retries": "1",
            "Acquire::http::Timeout": "20",
            "Acquire::https::Timeout": "20",
        }
        # What this system does after its own updates is none of our business
        clear = ["#clear APT::Update::Post-Invoke-Success;", "#clear APT::Update::Post-Invoke;"]
        (here / "apt.conf").write_text("\n".join(clear) + "\n")
        line = ["apt-get", "-q", "-y", "-c", str(here / "apt.conf")]
        for key, value in options.items():
            line += ["-o", f"{key}={value}"]
        _run([*line, command, *arguments], cwd=here)
        if command != "update":
            self.progress.done()


def mirrors():
    """Addresses of Debian mirrors, from DEBIAN_MIRROR and from apt's own configuration."""
    if os.environ.get("DEBIAN_MIRROR"):
        return [os.environ["DEBIAN_MIRROR"]]
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    text = _run(["apt-get", "indextargets", "--no-release-info", "--format", form])
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in DEBIAN and words[2] == "main":
            found.append(words[0])
    return list(dict.fromkeys(found))


def _tool(name, package):
    if not shutil.which(name):
        raise FetchError(f"{name} is not installed; on Debian it is in the package {package}")


def _run(command, cwd=None):
    done = subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=dict(os.environ, LC_ALL="C"),
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise FetchError(f"{command[0]} failed: {said[-1500:]}")
    return done.stdout


def chip():
    """MicroPython with the ESP8266's configuration, see chip.py."""
    import chip as made

    return made.chip()


# --- OctoPrint ---------------------------------------------------------------------------------


def octoprint(version=""):
    """A real OctoPrint in an environment of its own; returns its program."""
    table = config()["octoprint"]
    version = version or next(iter(table))
    if version not in table:
        raise FetchError(f"pyproject.toml lists no OctoPrint {version}; it has {', '.join(table)}")
    folder = CACHE / f"octoprint-{version}"
    program = folder / "bin/octoprint"
    exact = ROOT / f"tools/octoprint/{version}.txt"
    pins = ["-c", str(exact)] if exact.exists() else []
    text = exact.read_bytes() if pins else b""
    wanted = {"version": version, "more": table[version], "at": str(folder), "pins": digest(text)}
    if noted(folder, wanted) and program.exists():
        return program
    with Lock(CACHE / f"octoprint-{version}.lock"):
        if noted(folder, wanted) and program.exists():
            return program
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)])
        names = [*pins, f"OctoPrint=={version}", *table[version]]
        pip_install(folder / "bin/python", names, f"Installing OctoPrint {version}")
        note(folder, wanted)
    return program


# --- the command -------------------------------------------------------------------------------


def parts(words):
    """Calls to make, in order, for the words of the command line; FetchError names a wrong one."""
    simple = {"lib": lib, "micropython": micropython, "asyncio": asyncio, "chip": chip}
    calls, words = [], list(words)
    while words:
        word = words.pop(0)
        if word == "all":
            words = ["lib", "micropython", "asyncio", "chip", "octoprints", *words]
        elif word == "octoprints":
            calls += [lambda v=v: octoprint(v) for v in config()["octoprint"]]
        elif word == "octoprint":
            version = words.pop(0) if words and re.match(r"\d", words[0]) else ""
            calls.append(lambda v=version: octoprint(v))
        elif word in simple:
            calls.append(simple[word])
        else:
            raise FetchError(
                f"{word!r} is none of lib, micropython, asyncio, chip, octoprint, octoprints, all"
            )
    return calls


def main(arguments):
    words = [a for a in arguments if a != "--quiet"]
    if not words or {"-h", "--help"} & set(words):
        print(__doc__)
        return 0 if words else 2
    failed = 0
    try:
        for call in parts(words):
            try:
                print(call())
            except (FetchError, EnvError, OSError) as wrong:
                failed = 1
                text = str(wrong)
                say(text.splitlines()[0] if "--quiet" in arguments else f"Not fetched: {text}")
    except FetchError as wrong:
        say(str(wrong))
        return 2
    except KeyboardInterrupt:
        return 130
    return failed


if __name__ == "__main__":
    import fetch  # which chip.py knows, and its FetchError

    sys.exit(fetch.main(sys.argv[1:]))
