"""From a plug in its box to running firmware: back up, write MicroPython, copy the files, start.
With --ota: a newer firmware onto plugs that are in the network, tools/plug_ota.py.

Started by tools/flash.sh, which makes the environment. Everything that can be known to be wrong is
found before the plug is touched; each step can be run again; what is right already is left alone.
"""

import argparse
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

import build
import bundle
import fetch
import plug_config
import plug_image
import plug_ota
import plug_port
from bundle import BundleError
from env import ROOT, EnvError
from plug_config import ConfigError
from plug_image import ImageError
from plug_ota import OtaError
from plug_port import PortError

BACKUPS = ROOT / "backup"
NEVER = """NEVER with mains connected: inside, everything is live then, signals too. The plug stays
out of the wall until its case is closed again."""
HOLD = """  → Plug out of the wall; adapter set to 3.3 V and connected to its pads (docs/flash.md).
  → Hold the button down, give the plug its 3.3 V, let the button go after a second."""


class Refused(Exception):
    """Something given is not right; the plug was not touched."""


WRONG = (Refused, ConfigError, ImageError, PortError, BundleError, OtaError)


def tell(text=""):
    print(text, flush=True)


class Steps:
    """Numbered headings, and one line of progress."""

    def __init__(self, total):
        self.total, self.number = total, 0
        self.live = sys.stdout.isatty()

    def next(self, title):
        self.number += 1
        self.shown = -1
        tell(f"\n[{self.number}/{self.total}] {title}")

    def percent(self, done):
        step = 1 if self.live else 25
        if done // step > self.shown // step or self.shown < 0:
            self.shown = done
            print(f"\r  {done} %" if self.live else f"  {done} %", flush=True, end=self._end(done))

    def _end(self, done):
        return "" if self.live and done < 100 else "\n"


# --- what is given -------------------------------------------------------------------------------


def read_backup(path):
    """A file that esptool once read from a plug. Refused if it cannot be one."""
    try:
        data = path.read_bytes()
    except OSError as wrong:
        raise Refused(f"{path} cannot be read: {wrong.strerror}") from None
    if len(data) not in (1 << 19, 1 << 20, 1 << 21, 1 << 22):
        raise Refused(f"{path} is no backup of a whole flash: it has {len(data)} bytes")
    if data[:1] != b"\xe9":
        raise Refused(f"{path} is no backup of a plug: it does not begin with 0xE9")
    return data


# --- with the boot loader ------------------------------------------------------------------------


def meet(steps, port):
    """Ask for the button and wait; returns the Chip."""
    steps.next("Boot loader")
    tell(NEVER)
    tell(HOLD)
    tell(f"  Waiting on {port} …")
    chip = plug_port.wait_for_loader(port)
    tell(f"  {chip.kind}, MAC {chip.mac}, flash {chip.size}")
    return chip


def save(steps, port, chip, path):
    """The plug's whole flash into `path`; what is there already stays, it may be the maker's."""
    if path.exists():
        tell(f"  {path} is there already and stays as it is")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    plug_port.read_flash(port, chip.flash_bytes, new, steps.percent)
    with contextlib.suppress(OSError):
        new.chmod(0o600)  # it holds the WiFi password of the firmware before
    os.replace(new, path)
    tell(f"  kept in {path}; sha256 {fetch.digest(path.read_bytes())}")


def put_back(steps, port, path):
    size = len(read_backup(path))
    chip = meet(steps, port)
    if size != chip.flash_bytes:
        raise Refused(f"{path} has {size} bytes; this plug's flash {chip.flash_bytes}")
    steps.next(f"Writing {path} back")
    plug_port.write_flash(port, path, "keep", "keep", steps.percent)
    tell("  written and compared: the plug is as it was.")
    tell("  → Take the 3.3 V away. With the next ones it starts what it had.")


def write_image(steps, port, chip, image):
    if chip.flash_bytes < image.needs:
        needs = image.needs >> 20
        raise Refused(f"{image.path.name} is for {needs} MB or more; this plug has {chip.size}")
    # The header of the image says QIO, and on many a plug two of those lines are not connected.
    plug_port.write_flash(port, image.path, "dout", image.flash_size, steps.percent)
    tell("  written and compared")


# --- with MicroPython ----------------------------------------------------------------------------


def wanted_files(frozen=False):
    """{path on the plug: path here} of what is built; main.py comes last.

    frozen: without the modules of the slot, as the image has them.
    """
    build.build()
    found = [path for path in build.FLASH.rglob("*") if path.is_file() and path.suffix != ".new"]
    names = {path.relative_to(build.FLASH).as_posix(): path for path in found}
    if frozen:
        names = {name: names[name] for name in names if not is_module(name)}
    order = sorted(names, key=lambda name: (name == "main.py", name))
    return {name: names[name] for name in order}


def is_module(name):
    """Whether that is a module of the slot, which an image may have frozen in."""
    return name.startswith("a/") and name.endswith(".mpy")


def suits(about, files):
    """PortError if that MicroPython cannot run what was built."""
    platform, version, mpy, kind, _ = about
    if platform != "esp8266":
        raise PortError(f"This is no ESP8266 but {platform}: {kind}")
    format = files["trial.mpy"].read_bytes()[1]
    numbers = tuple(int(part) for part in version.split(".")[:2])
    if numbers < plug_image.OLDEST or mpy != format:
        raise PortError(
            f"The plug runs MicroPython {version}, which takes .mpy files of format {mpy}; this "
            f"firmware needs 1.25 or newer, and format {format}. Run tools/flash.sh without "
            "--files: that writes the right one"
        )


def copy(steps, port, files, config):
    """Make the plug's files those; returns (copied, removed)."""
    about, there = plug_port.listing(port)
    suits(about, files)
    tell(f"  MicroPython {about[1]}, {about[3]}, {about[4]:,} bytes free")
    sums = {name: fetch.digest(path.read_bytes()) for name, path in files.items()}
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "config.json"
        if config is not None:
            theirs = plug_port.read_file(port, "config.json") if "config.json" in there else ""
            config = plug_config.complete(config, theirs)
            settings.write_bytes(plug_config.as_bytes(config))
            sums["config.json"] = fetch.digest(settings.read_bytes())
            files = {**files, "config.json": settings}
            tell(f"  the password of its pages: {config['portal_password']}")
        # main.py may have been set aside by an earlier try
        here = dict(there)
        here.setdefault("main.py", there.get("main.off"))
        changed = [name for name in files if here.get(name) != sums[name]]
        old = [name for name in there if name.startswith("a/") and name not in sums]
        if not changed and not old and "main.py" in there and "slot" not in there:
            tell(f"  all {len(files)} files are right already")
            return 0, 0
        done = 0

        def see(line):
            nonlocal done
            if line.startswith("right "):
                done += 1
                tell(f"  {done}/{len(changed)} {line[6:].removesuffix('.new')}")

        plug_port.mpremote(port, *_plan(files, sums, changed, old), on_line=see)
    for name in old:
        tell(f"  removed {name}, of an older version")
    tell(f"  {len(changed)} of {len(files)} files copied, read back and compared")
    return len(changed), len(old)


def _plan(files, sums, changed, old):
    """mpremote's commands, in an order in which power may go at any point."""
    folders = {str(parent) for name in changed for parent in Path(name).parents} - {"."}
    yield ["resume", "exec", "hold()"]
    for name in old:
        yield ["exec", f"remove({name!r})"]
    for name in sorted(folders):
        yield ["exec", f"folder({name!r})"]
    for name in changed:
        if name == "main.py":
            continue
        yield ["fs", "cp", "-f", files[name], f":{name}.new"]
        yield ["exec", f"check({name + '.new'!r}, {sums[name]!r}); turn({name!r})"]
    yield ["exec", "remove('slot'); remove('slot.why')"]  # slot a it is
    if "main.py" in changed:
        yield ["fs", "cp", "-f", files["main.py"], ":main.py.new"]
        yield ["exec", f"check('main.py.new', {sums['main.py']!r}); turn('main.py')"]
    else:
        yield ["exec", "os.rename('main.off', 'main.py')"]
    yield ["exec", "remove('main.off')"]


def start(port):
    said = plug_port.start(port)
    if ">>> " in said or "Traceback" in said:
        raise PortError(f"The files are right, but the firmware does not run:\n{said.strip()}")
    tell("  it runs")
    for line in said.splitlines():
        if line.strip():
            tell(f"  the plug says: {line.strip()}")


# --- over the air --------------------------------------------------------------------------------


def over_the_air(hosts, given_key, config, path):
    """Bring the plugs at these hosts to the bundle in that file, or to one made now. True: all."""
    hosts = list(dict.fromkeys(hosts))
    found = plug_ota.keys(hosts, given_key, config)
    data, what = bundle.load(path) if path else _made()
    tell(f"Version {what.version}, {what.size:,} bytes, sha256 {what.digest}")
    outcomes = plug_ota.update_all(hosts, data, what, found)
    tell("\n" + plug_ota.table(outcomes, what.version))
    return all(one.good for one in outcomes)


def _made():
    data = bundle.make()
    return data, bundle.check(data)


# --- the command ---------------------------------------------------------------------------------


def arguments(words):
    parser = argparse.ArgumentParser(
        prog="tools/flash.sh",
        description="Back up the plug, write MicroPython and the firmware's files, start it. "
        "NEVER with mains connected; docs/flash.md shows how.",
    )
    add = parser.add_argument
    add("--port", metavar="P", help="serial port; found by itself if there is exactly one")
    add("--config", metavar="FILE", type=Path, help="settings to put on the plug (config.json)")
    add("--frozen", action="store_true", help="the image has the firmware's modules frozen in")
    what = parser.add_mutually_exclusive_group()
    add = what.add_argument
    add("--files", action="store_true", help="only the files: MicroPython is there, no button")
    add("--image", metavar="FILE", type=Path, help="a MicroPython image that you have checked")
    add("--backup", metavar="FILE", type=Path, help="only save the plug's whole flash in FILE")
    add("--restore", metavar="FILE", type=Path, help="only write a backup back, and nothing else")
    add("--monitor", action="store_true", help="only show what the plug says, until Ctrl-C")
    add("--ota", metavar="HOST", nargs="+", help="update plugs that are in the network")
    add = parser.add_argument
    add(
        "--ota-key",
        metavar="KEY",
        help="their ota_key, or a file with lines HOST KEY; else it is taken from --config or "
        f"${plug_ota.VARIABLE}, or asked for",
    )
    add("--ota-file", metavar="FILE", type=Path, help="a bundle; else one is made")
    given = parser.parse_args(words)
    if (given.ota_key or given.ota_file) and not given.ota:
        parser.error("--ota-key and --ota-file go with --ota")
    if given.ota and given.port:
        parser.error("--ota goes through the network, not through a port")
    if given.config and (given.backup or given.restore or given.monitor):
        parser.error("--config goes with an installation or --files")
    if given.frozen and not (given.files or given.image):
        parser.error("--frozen goes with --image or --files")
    return given


def flash(given):
    config = plug_config.read(given.config) if given.config else None
    if given.restore:
        read_backup(given.restore)
    if given.backup and given.backup.exists():
        raise Refused(f"{given.backup} is there already: name another file, or delete it")
    only_loader = given.backup or given.restore
    image = files = kept = None
    if not only_loader:
        files = wanted_files(given.frozen)
        if not given.files:
            image = plug_image.look(given.image) if given.image else plug_image.official(tell)
    port = plug_port.find(given.port)
    plug_port.opened(port).close()
    steps = Steps(2 if only_loader or given.files else 5)
    if given.restore:
        put_back(steps, port, given.restore)
        return
    if not given.files:
        chip = meet(steps, port)
        steps.next("Saving what is on it, about 95 s for 1 MB")
        kept = given.backup or BACKUPS / f"{chip.mac}.bin"
        save(steps, port, chip, kept)
        if given.backup:
            return
        steps.next(f"Writing MicroPython {image.version}, about 40 s")
        write_image(steps, port, chip, image)
        tell(f"  → {plug_port.CYCLE}")
        tell("  Waiting for MicroPython …")
        plug_port.wait_for_repl(port, tell, fresh=True)
    steps.next("Files")
    if given.files:
        tell(NEVER)
        plug_port.wait_for_repl(port, tell)
    copy(steps, port, files, config)
    steps.next("Start")
    start(port)
    tell("\nDone. Take the adapter off and close the case before the plug goes into the wall.")
    if not given.files:
        tell(f"The way back to what was on it: tools/flash.sh --restore {kept}")


def main(words):
    given = arguments(words)
    began = time.monotonic()
    try:
        if given.ota:
            config = plug_config.read(given.config) if given.config else None
            return 0 if over_the_air(given.ota, given.ota_key, config, given.ota_file) else 1
        if given.monitor:
            port = plug_port.find(given.port)
            tell(f"What the plug says on {port}; Ctrl-C ends this.")
            plug_port.monitor(port, lambda text: print(text, end="", flush=True))
            return 0
        flash(given)
        tell(f"({time.monotonic() - began:.0f} s)")
    except (*WRONG, build.BuildError, fetch.FetchError, EnvError) as wrong:
        print(f"\nNot done: {wrong}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. It can be run again.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
