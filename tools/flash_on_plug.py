"""Runs on the plug, sent there by plug_port.py: says what is there, checks what has arrived.

Small, since it is compiled in the plug's heap. mpremote runs it once; the calls that follow find
it still there. main.py is set aside while files are being changed: a plug that loses power halfway
then waits for the next try instead of running half a firmware.
"""

import os
import sys
from binascii import hexlify
from hashlib import sha256


def digest(path):
    found = sha256()
    buffer = bytearray(256)
    with open(path, "rb") as file:
        while True:
            count = file.readinto(buffer)
            if not count:
                return hexlify(found.digest()).decode()
            found.update(memoryview(buffer)[:count])


def show(folder=""):
    for entry in os.ilistdir(folder or "/"):
        path = folder + entry[0]
        if entry[1] & 0x8000:
            print("has", digest(path), path)
        elif path[:1] in ("a", "b") and path[1:2] in ("", "/"):
            show(path + "/")


def tell():
    machine = sys.implementation
    version = ".".join([str(part) for part in machine.version[:3]])
    kind = getattr(machine, "_machine", "an older image")
    print("is", sys.platform, version, getattr(machine, "_mpy", 0) & 255, kind)
    found = os.statvfs("/")
    print("free", found[0] * found[3])
    show()
    print("told")


def remove(path):
    try:
        os.remove(path)
    except OSError:
        pass


def hold():
    try:
        os.rename("main.py", "main.off")
    except OSError:
        pass


def folder(path):
    try:
        os.mkdir(path)
    except OSError:
        pass


def turn(path):
    """The new file takes the old one's place, in one go."""
    os.rename(path + ".new", path)


def check(path, wanted):
    found = digest(path)
    if found != wanted:
        raise ValueError("differs: " + path)
    print("right", path)
