"""A newer version of the firmware, as a bundle, for tests that update a plug."""

import shutil

import build
import bundle

VERSION = "5.0.1"


def newer(folder, version=VERSION):
    """The firmware of this repository but for its version: the bundle's bytes."""
    firmware = folder / "firmware"
    shutil.copytree(build.FIRMWARE, firmware, ignore=shutil.ignore_patterns("__pycache__"))
    plug = firmware / "plug.py"
    text = plug.read_text(encoding="utf-8")
    assert f'_VERSION = "{bundle.current_version()}"' in text
    plug.write_text(text.replace(bundle.current_version(), version, 1), encoding="utf-8")
    real, build.FIRMWARE = build.FIRMWARE, firmware
    try:
        build.build(folder / "flash")
    finally:
        build.FIRMWARE = real
    return bundle.of_slot(folder / "flash/a", bundle.sequence_of(version))
