"""What every test may use: the plug's platform under CPython, and real servers.

A real server that is not installed skips its test and says what to install; with CI=true that is a
failure, since a skipped proof proves nothing.
"""

import gc
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
for part in (ROOT / ".cache/lib", ROOT / "tests", ROOT / "tools", ROOT / "firmware", ROOT):
    sys.path.insert(0, str(part))

import simulator.hardware  # noqa: E402

simulator.hardware.install()

import fetch  # noqa: E402
import servers  # noqa: E402

_OURS = [path.stem for path in (ROOT / "firmware").glob("*.py")]


@pytest.fixture(autouse=True)
def _same_modules():
    """The plug lets go of modules and loads them anew: the next test finds those that it knows."""
    before = {name: sys.modules[name] for name in _OURS if name in sys.modules}
    yield
    for name in _OURS:
        if name in before:
            sys.modules[name] = before[name]
        else:
            sys.modules.pop(name, None)


_REAL = {"micropython", "mosquittos", "octoprints", "page"}


@pytest.fixture(autouse=True, scope="module")
def _frozen():
    """The firmware collects garbage often: it need not look at pytest's own things each time, nor
    at what the tests before have left."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items):
    """Whatever uses a real server is `real`: .ci/run gives these the machine for themselves."""
    for item in items:
        if _REAL & set(getattr(item, "fixturenames", ())):
            item.add_marker("real")


def lacking(what, remedy):
    """Skips the test, or fails it where everything has to be there."""
    text = f"{what} is missing: {remedy}"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


@pytest.fixture(scope="session")
def micropython():
    """Path of the program that starts 32-bit MicroPython 1.25 (`-X heapsize=36k` and a script)."""
    if not fetch.MICROPYTHON.exists():
        lacking("32-bit MicroPython", "run .venv/bin/python tools/fetch.py micropython")
    return fetch.MICROPYTHON


@pytest.fixture(scope="session")
def chip():
    """Path of MicroPython with the ESP8266's configuration and names (`-X heapsize=38k`)."""
    import chip as made

    if not made.CHIP.exists():
        lacking("MicroPython as the ESP8266 has it", "run .venv/bin/python tools/fetch.py chip")
    return made.CHIP


@pytest.fixture(scope="session")
def flash(tmp_path_factory):
    """A folder as the plug's file system is after flashing: boot.py, main.py and slot a."""
    import build

    if not fetch.ASYNCIO.exists() or not fetch.LIB.exists():
        lacking("MicroPython's libraries", "run .venv/bin/python tools/fetch.py lib asyncio")
    folder = tmp_path_factory.mktemp("plug") / "flash"
    build.build(folder)
    return folder


@pytest.fixture(scope="session")
def mosquittos(tmp_path_factory):
    """Makes brokers: mosquittos(user="", password="") starts one; all end with the session."""
    if not servers.program("mosquitto"):
        lacking("mosquitto", "install it (Debian: apt-get install mosquitto)")
    made = []

    def make(user="", password=""):
        broker = servers.Mosquitto(tmp_path_factory.mktemp("mosquitto"), user, password)
        made.append(broker)
        return broker.start()

    yield make
    for broker in made:
        broker.stop()


@pytest.fixture
def mosquitto(mosquittos):
    """A broker of the test's own that lets everybody in."""
    broker = mosquittos()
    yield broker
    broker.stop()


@pytest.fixture
def mosquitto_locked(mosquittos):
    """A broker that wants user `plug` with password `secret word`."""
    broker = mosquittos("plug", "secret word")
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def octoprints(tmp_path_factory):
    """Makes OctoPrints: octoprints(version) starts one with its virtual printer."""
    made = []

    def make(version, **more):
        path = fetch.CACHE / f"octoprint-{version}/bin/octoprint"
        if not path.exists():
            lacking(
                f"OctoPrint {version}", f"run .venv/bin/python tools/fetch.py octoprint {version}"
            )
        server = servers.OctoPrint(path, tmp_path_factory.mktemp("octoprint"), **more)
        made.append(server)
        return server.start()

    yield make
    for server in made:
        server.resume()
        server.kill()


@pytest.fixture(scope="session")
def _octoprint_1(octoprints):
    return octoprints("1.11.8")


@pytest.fixture(scope="session")
def _octoprint_2(octoprints):
    return octoprints("2.0.0rc7")


@pytest.fixture
def octoprint(_octoprint_1):
    """OctoPrint 1.11.8, connected to its printer, cold and idle. May be hung, killed, …"""
    _octoprint_1.renew()
    return _octoprint_1


@pytest.fixture
def octoprint_2(_octoprint_2):
    """OctoPrint 2.0.0rc7 in the same state."""
    _octoprint_2.renew()
    return _octoprint_2


@pytest.fixture
def pi(octoprint):
    """The machine OctoPrint runs on: it halts 2 s after it was asked, and is silent then."""
    machine = servers.Pi(octoprint)
    yield machine
    machine.close()


@pytest.fixture
async def page():
    """An empty page in the system's Chromium, with playwright's interface."""
    path = servers.program("chromium") or servers.program("chromium-browser")
    if not path:
        lacking("Chromium", "install it (Debian: apt-get install chromium)")
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        # It would call home at every start otherwise, and as root it has no sandbox
        flags = (
            "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
            "--disable-background-networking --disable-component-update"
        ).split()
        browser = await playwright.chromium.launch(executable_path=path, args=flags)
        yield await browser.new_page()
        await browser.close()
