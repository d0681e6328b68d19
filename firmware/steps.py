"""The shelf, portal.pack: modules, pages and other texts in one file of the slot, since each file
takes a block of the flash.

Its first line has rows of 32 bytes that say where what begins: tools/shelf.py. For `import` this
module is a file system, with no more of one than it asks for. It is loaded to take something off
the shelf, and lets go of itself, unless the portal has it up.
"""

import io
import os
import sys

_STEPS = const("/steps")  # the folder in which `import` finds what is on the shelf


def open(name, mode=""):
    """portal.pack, open where /name begins in it. OSError: nothing is called so."""
    for folder in sys.path:
        try:
            file = io.open(folder + "/portal.pack", "rb")
            break
        except OSError:
            pass
    else:
        raise OSError(2)
    name = b" %s=" % name[1:].encode()
    while True:
        rows = file.read(128)
        at = rows.find(name) + len(name)
        if at >= len(name):
            file.seek(int(rows[at : at + 5]))
            return file
        if rows[-1:] == b"\n" or not rows:
            file.close()
            raise OSError(2)


def stat(name):
    """As os.stat() tells of a file. OSError: there is no such."""
    open(name).close()
    return (0x8000,) + (0,) * 9


mount = umount = Exception  # may be called with anything


def up():
    """From now on `import` finds what is on the shelf."""
    if hasattr(os, "mount"):  # not on a PC, where all are files
        os.mount(sys.modules["steps"], _STEPS)  # type: ignore
        sys.path.append(_STEPS)  # last, so that open() never asks itself


def down():
    """And from now on no more; this module, too, is let go."""
    sys.modules.pop("steps", None)
    if _STEPS in sys.path:
        sys.path.remove(_STEPS)
        os.umount(_STEPS)  # type: ignore


def take(name):
    """The module of that name, on the shelf or beside it; it is let go with what is returned."""
    was_up = _STEPS in sys.path
    if not was_up:
        up()
    try:
        return __import__(name)
    except ImportError:  # whatever open() raises, and it is there
        raise MemoryError from None
    finally:
        sys.modules.pop(name, None)
        if not was_up:
            down()
