"""The three ways the firmware comes onto a plug, each modelled by 32-bit MicroPython on this PC.

The model is Debian's i386 build: its objects are as large as the ESP8266's, its heap as small as
-X heapsize says. What one delivery is measured in beside it is nearer to the chip:

    1mb   stock 1 MB image: ours as .mpy in a folder; 36k, not the 38k of the plug, because some
          names stand in this build's ROM and not in the plug's image; those that stand only there
          (PORT in tools/pack.py) cost heap here, so this model is the stricter one
    2mb   stock 2 MB image: ours as .mpy in a folder; 38k
    chip  stock 1 MB image again, in MicroPython built with the ESP8266's configuration and names
          (tools/chip.py), so in all of the plug's 38k
    rom   ours in ROMFS or frozen, run in place; 38k; the ROMFS image sits in the heap here and in
          flash there, so its size is added to the heap
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import build
import chip
import fetch

K = 1024

# Compiled anew for every run, so that nothing moves under a run while somebody edits the firmware.
_place = tempfile.TemporaryDirectory(prefix="octoplugout-bench-")
BUILT = Path(_place.name)
SHIMS = Path(__file__).with_name("shims")

# -c keeps to what the port does: boot.py and main.py one after the other, in the same names.
START = 'execfile("boot.py");execfile("main.py")'
MOUNT = (
    "import vfs\nb=bytearray(%d)\nwith open('rom','rb') as f:f.readinto(b)\n"
    "vfs.mount(vfs.VfsRom(memoryview(b)),'/r')\ndel b,f,vfs\n"
)


class Delivery:
    """`heap`: bytes of the model; `path`: sys.path beside the slot; `rom`: bytes run in place;
    `program`: the MicroPython that is the model."""

    def __init__(self, name, title, heap, program=fetch.MICROPYTHON):
        self.name, self.title, self.heap, self.program = name, title, heap, program
        self.folder = BUILT / name
        self.rom = 0

    @property
    def path(self):
        return "s:/r:.frozen" if self.rom else "s:.frozen"

    def code(self, then=START):
        """What MicroPython is given to run."""
        return (MOUNT % self.rom if self.rom else "") + then


DELIVERIES = {
    each.name: each
    for each in (
        Delivery("1mb", "1 MB plug: all as .mpy", 36 * K),
        Delivery("chip", "1 MB plug, as the ESP8266 is configured", 38 * K, chip.CHIP),
        Delivery("2mb", "2 MB board: the same in 38k", 38 * K),
        Delivery("rom", "ours frozen or in ROMFS", 38 * K),
    )
}

# The 1 MB plug with each of the portal's steps in a file of its own, to be looked at one by one.
LOOSE = Delivery("loose", "1 MB plug: steps as files", 36 * K)


def prepare():
    """Compiles the firmware and lays out BUILT anew; returns what build.build() returns."""
    for old in BUILT.iterdir():
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    rows = build.build(BUILT / "1mb")
    for shim in sorted(SHIMS.glob("*.py")):
        kind, _, name = shim.stem.rpartition("_")
        compile_beside(shim, BUILT / "shims" / (kind or "bare") / f"{name}.mpy")
    build.build(LOOSE.folder, loose=True)
    stock = DELIVERIES["1mb"].folder
    for name, slot, of in (
        ("chip", "a", stock),
        ("2mb", "a", stock),
        ("rom", "inside", LOOSE.folder),
    ):
        delivery = DELIVERIES[name]
        shutil.copytree(of / "a", delivery.folder / slot)
        for entry in stock.iterdir():
            if entry.is_file():
                shutil.copy(entry, delivery.folder)
        if name == "rom":
            _romfs(delivery.folder / slot, delivery.folder / "rom")
            shutil.rmtree(delivery.folder / slot)
            delivery.rom = (delivery.folder / "rom").stat().st_size
    return rows


def _romfs(folder, image):
    command = [sys.executable, "-m", "mpremote", "romfs", "-o", str(image), "build", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode or not image.exists():
        raise build.BuildError(done.stdout + done.stderr)


def compile_beside(source, target):
    """Compiles a file that is no part of the firmware but uses its modules, by the short names
    that they have on the plug."""
    packer = build.packer_of_all()
    text = Path(source).read_text(encoding="utf-8")
    return build.compile_mpy(Path(source), Path(target), 3, lambda: packer.beside(text))


def flash(delivery, shims="bare"):
    """A temporary folder as the plug's file system, with the shims of that kind beside it."""
    here = tempfile.TemporaryDirectory(prefix="octoplugout-bench-")
    root = Path(here.name)
    for part in delivery.folder.iterdir():
        (root / part.name).symlink_to(part)
    (root / "s").mkdir()
    for kind in dict.fromkeys(("bare", shims)):
        for shim in (BUILT / "shims" / kind).glob("*.mpy"):
            link = root / "s" / shim.name
            link.unlink(missing_ok=True)
            link.symlink_to(shim)
    return here


def command(delivery, heap, then=START):
    """argv of MicroPython with `heap` bytes beside the image that is run in place."""
    size = f"heapsize={heap + delivery.rom}"
    return [str(delivery.program), "-X", size, "-c", delivery.code(then)]


def environment(delivery, **more):
    """What MicroPython finds in its environment."""
    return dict(os.environ, MICROPYPATH=delivery.path, HOME="/nonexistent", **more)


def run(delivery, code, heap=200 * K, shims="bare", config="{}", seconds=60, files=()):
    """Runs `code` in a flash of that delivery; what it prints. RuntimeError if it fails.

    files: {name: bytes} of what else is on the flash.
    """
    with flash(delivery, shims) as root:
        (Path(root) / "config.json").write_text(config)
        for name, data in dict(files).items():
            (Path(root) / name).write_bytes(data)
        done = subprocess.run(
            command(delivery, heap, code),
            cwd=root,
            env=environment(delivery),
            capture_output=True,
            text=True,
            timeout=seconds,
        )
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return done.stdout
