"""MicroPython for the plug: from its makers or from a file, looked at before it is written.

No checksum of the official image was at hand that could stand in pyproject.toml. So it is fetched
over HTTPS, its own parts are checked (they catch damage, not malice), and its sha256 is remembered
in .cache/image: from then on it must stay the same. Whoever wants more gives a file of his own.
"""

import hashlib
import re
import struct
import subprocess
import sys
import urllib.error
import urllib.request

import fetch
from env import Lock

FOLDER = fetch.CACHE / "image"
FIRST_PART = 0x9000  # what the chip's ROM loads; the length of all stands in its last 4 bytes
MD5 = 16  # bytes at the end, over everything but the first four and itself

# What an image says it is for -> (where its file system begins, --flash-size of esptool, needs B)
BOARDS = {
    b"ESP module (1M) with ESP8266": (0x99000, "1MB", 1 << 20),
    b"ESP module with ESP8266": (0x100000, "detect", 2 << 20),
}
OLDEST = (1, 25)  # MicroPython; newer ones have the same .mpy format so far


class ImageError(Exception):
    """What is wrong with an image, or why there is none."""


class Image:
    """A checked image. `path`; `version` as "1.25.0"; `flash_size` for esptool; `needs` bytes."""

    def __init__(self, path, version, board):
        self.path, self.version = path, version
        _, self.flash_size, self.needs = BOARDS[board]


def look(path):
    """Check the file; returns an Image. ImageError names what is wrong."""
    try:
        data = path.read_bytes()
    except OSError as wrong:
        raise ImageError(f"{path} cannot be read: {wrong.strerror}") from None
    return Image(path, *_looked(data, path))


def _looked(data, path):
    name = path.name
    if data[:1] != b"\xe9":
        raise ImageError(f"{name} is no image for an ESP8266: it does not begin with 0xE9")
    if len(data) <= FIRST_PART + MD5:
        raise ImageError(f"{name} is too short for MicroPython: {len(data)} bytes")
    (length,) = struct.unpack_from("<I", data, FIRST_PART - 4)
    if length != len(data) - MD5:
        raise ImageError(
            f"{name} is damaged or not MicroPython: it says that it has {length + MD5} bytes, "
            f"and has {len(data)}"
        )
    if hashlib.md5(data[4:-MD5]).digest() != data[-MD5:]:
        raise ImageError(f"{name} is damaged: its own checksum does not fit")
    found = re.search(rb"MicroPython v(\d+)\.(\d+)(?:\.(\d+))?", data)
    board = next((board for board in BOARDS if board in data), None)
    if not found or not board:
        raise ImageError(f"{name} is not MicroPython for an ESP8266 with 1 MB or more")
    numbers = [int(part or 0) for part in found.groups()]
    version = ".".join(map(str, numbers))
    if tuple(numbers[:2]) < OLDEST:
        raise ImageError(f"{name} is MicroPython {version}; 1.25 or newer is needed")
    limit = BOARDS[board][0]
    if len(data) > limit:
        raise ImageError(f"{name} has {len(data)} bytes; the plug's file system begins at {limit}")
    done = subprocess.run(
        [sys.executable, "-m", "esptool", "--chip", "esp8266", "image-info", str(path)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode or "(valid)" not in done.stdout:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise ImageError(f"{name}: esptool finds its first part not valid: {''.join(said)}")
    return version, board


def official(tell=print):
    """The pinned image, downloaded if it is not here; returns an Image."""
    wanted = fetch.config()["image"]
    url = wanted["url"]
    path = FOLDER / url.rpartition("/")[2]
    remembered = path.with_name(path.name + ".sha256")
    with Lock(fetch.CACHE / "image.lock"):
        known = remembered.read_text().strip() if remembered.exists() else ""
        if known and path.exists() and fetch.digest(path.read_bytes()) == known:
            return look(path)
        tell(f"Downloading MicroPython {wanted['version']} from {url} …")
        data = _download(url)
        found = fetch.digest(data)
        if known and found != known:
            raise ImageError(
                f"{url} is not what it was: its sha256 was {known} and is now {found}. "
                f"If that is meant to be, delete {remembered.name} in .cache/image"
            )
        new = path.with_name(path.name + ".new")
        fetch.put(new, data)
        version, _ = _looked(data, new)
        if version != wanted["version"]:
            raise ImageError(f"{url} is MicroPython {version}, not {wanted['version']}")
        new.replace(path)
        if not known:
            fetch.put(remembered, found.encode() + b"\n")
            tell(f"Its sha256, remembered from now on: {found}")
        return look(path)


def _download(url):
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            if not answer.url.startswith("https://"):
                raise ImageError(f"{url} leads to {answer.url}, which is not HTTPS")
            data = answer.read((1 << 20) + 1)
    except (OSError, urllib.error.URLError) as wrong:
        reason = getattr(wrong, "reason", wrong)
        raise ImageError(
            f"{url} could not be downloaded: {reason}. Download it yourself and give it with "
            "--image FILE"
        ) from None
    if len(data) > 1 << 20:
        raise ImageError(f"{url} is larger than the plug's flash")
    return data
