"""Says which slot is to be started, and gives one up that is on trial and proves bad.

At the root beside main.py, which loads it before each start and lets it go; like that one it is
never updated over the air. /slot holds a letter: `b` is confirmed; `b? 2` is on trial and may be
started twice more; `b!` is confirmed, and the watchdog of its trial still runs, as it does until
the chip is reset. It is written anew and takes the old one's place in one go. Why a slot was given
up stands in /slot.why.
"""

import gc
import os
import sys

_FEW = const(3)  # starts that fail in a row, then the other slot is tried; after twice as many …
_MANY = const(6)  # … recovery.py


def find(first, error, fails):
    """(folder, module) to be started: the letter of a slot and "plug", or "" and "recovery".

    first: the chip has just started. error: what ended the run before, or None. fails: how many
    runs in a row ended so, and soon.
    """
    text = _read()
    here = text[:1]
    if here != "a" and here != "b":
        text = ""
        here = "a" if _is_whole("a") or not _is_whole("b") else "b"
    other = "a" if here == "b" else "b"
    if text[1:2] == "?":
        left = int(text[3:4]) if text[3:4].isdigit() else 0
        why = ""
        if error is not None and not isinstance(error, KeyboardInterrupt):
            why = repr(error)[:80]
        elif not left:
            why = "was not confirmed in its starts"
        elif not _is_whole(here):
            why = "is not whole"
        elif _write("slot", "%s? %d" % (here, left - 1)):
            from machine import WDT

            WDT()  # bites if the slot does not feed it, from the first line on
            return here, "plug"
        if _is_whole(other):
            # Without a reset of the chip in between the watchdog runs on, and wants to be fed.
            _write("slot", other if first else other + "!")
            why = "slot %s given up: %s" % (here, why or "the flash cannot be written")
            _write("slot.why", why)
            print(why)
            return other, "plug"
    elif first and text[1:2] == "!":
        _write("slot", here)
    if fails >= _MANY:
        return "", "recovery"
    if (fails >= _FEW or not _is_whole(here)) and _is_whole(other):
        return other, "plug"
    return here, "plug"


def _read():
    try:
        with open("slot") as file:
            return file.read(8)
    except (OSError, ValueError):
        return ""


def _write(name, text):
    # Whether it is there now.
    try:
        with open(name + ".new", "w") as file:
            file.write(text)
        os.rename(name + ".new", name)
        return True
    except OSError:
        return False


def _is_whole(letter):
    # An update begins by adding `seq-new`, and takes it away once it is whole and allowed. Modules
    # may be frozen into the image; the table of settings never is.
    try:
        os.stat(letter + "/seq-new")
        return False
    except OSError:
        pass
    try:
        os.stat(letter + "/settings.txt")
        return True
    except OSError:
        return False


def clear(gone):
    """Make room after a run: `gone` are its modules, and no longer in sys.modules.

    The collector takes whatever lies on the stack for a reference, and some of it lies there for
    ever, left by who was there before. A function of the plug that happens to come to such a place
    stays, with its module and all that this knows, and the next run finds no room. So what is gone
    is emptied, and the bad places are kept taken.
    """
    if sys.implementation.name != "micropython":
        return  # who knows what is in use
    for module in gone:
        for name in dir(module):
            part = getattr(module, name)
            if type(part) is type:
                for inner in dir(part):
                    try:
                        delattr(part, inner)
                    except AttributeError:
                        pass  # of what it is made from
            if name[:2] != "__":
                delattr(module, name)
    sweep(12)
    occupy()


def sweep(depth):
    # What calls leave behind is below the stack's end; others write over it.
    if depth:
        sweep(depth - 1)


def occupy():
    # A tuple of one is laid into every free place, and held by nobody. Those that the collector
    # leaves are where nothing else must be. (A float would do on a PC; the ESP8266's takes no
    # place, and this would never end.)
    number = 0
    try:
        gc.disable()
        while True:
            (number,)  # noqa: B018  # type: ignore
    except MemoryError:
        pass
    finally:
        gc.enable()  # also after a Ctrl-C, or noise that looks like one
    gc.collect()
