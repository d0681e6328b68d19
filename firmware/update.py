"""The portal's page of updates, and what happens between an upload and the SHORT press. A step.

A bundle comes as browsers send a form with a file (multipart/form-data), the token before the
file; the file itself goes through ota.py and is never held. What has come whole is offered to
whoever stands before the plug: only a SHORT press within a minute has it used, and does nothing
else.
"""

import os
import sys
from time import ticks_diff, ticks_ms

from portal import is_same

_PRELUDE = const(1024)  # bytes before the file
_LINE = const(256)
_TOLD_MS = const(10000)  # how long a browser has to fetch how it went
_RECEIVING = const(2)  # Machine.frozen; _OFFERED until plug.py sees the SHORT press
_OFFERED = const(3)


async def run(p):
    """Show the page, or take an upload; between requests see to what is offered. p: the Portal."""
    if not p.wire:
        return _decide(p)
    if p.method == b"POST":
        await _find_file(p)
        if p.offered:
            raise ValueError(409)
        if p.length <= 0:
            p.outcome = (b"none",)
        else:
            return "ota"
        return p.go_to(p.path)
    await p.begin_page(b"Update", b"Refresh: 2\r\n" if p.offered else b"")
    if p.outcome:
        await p.send_part("update", b"done" if p.plug.again else b"failed")
        await p.send_part("update", *p.outcome)
        await p.send_part("update", b"said")
        p.outcome = ()
    if p.offered:
        left = max(0, ticks_diff(p.offered, ticks_ms())) // 1000
        await p.send_part("update", b"offer", _version(p.sequence), p.sum, left)
        if p.older:
            await p.send_part("update", b"older")
    elif not p.plug.again:
        await _form(p)
    await p.send_part("frame", b"back")
    await p.finish()
    if p.plug.again:
        p.stays = False
    return None


def _version(number):
    # As tools/bundle.py numbers them.
    return "%d.%d.%d" % (number // 10000, number // 100 % 100, number % 100)


async def _form(p):
    await p.send_part("update", b"runs", p.plug.version, sys.path[0][-1:])
    try:
        with open("slot.why", "rb") as file:
            await p.send_part("update", b"why", file.read(128).strip())
    except OSError:
        pass
    await p.send_part("update", b"form", p.token)


async def _find_file(p):
    # Reads as far as the first byte of the file, whose length p.length becomes.
    at = p.kind.find(b"boundary=")
    if p.kind[:20] != b"multipart/form-data;" or at < 0:
        raise ValueError(415)
    edge = p.kind[at + 9 :].strip(b'"')
    left = p.length
    least = left - _PRELUDE
    line = named = token = b""
    while line or b'"bundle"' not in named:
        at = p.rest.find(b"\n")
        if at < 0:
            if len(p.rest) > _LINE or not await p.read_on():
                raise ValueError(400)
            continue
        line = p.rest[:at].rstrip(b"\r")
        p.rest = p.rest[at + 1 :]
        left -= at + 1
        if left < least:
            raise ValueError(400)
        if b" name=" in line:
            named = line
        elif line and b'"t"' in named:
            token = line
            named = b""
    if not is_same(token, p.token):
        raise ValueError(403)
    p.length = left - len(edge) - 8  # after it: a line's end, two dashes, edge, dashes, line's end


def _forget_why():
    try:
        os.remove("slot.why")
    except OSError:
        pass  # the last update did not go back


def _decide(p):
    # What is offered has been allowed, or its time is over.
    machine = p.plug.machine
    if machine.frozen == _OFFERED:
        machine.frozen = True
        p.outcome = (b"unpressed",)
    else:
        try:
            import slots

            other = slots.other()
            os.rename(other + "/seq-new", other + "/seq")
            slots.activate(other)
            _forget_why()
            p.outcome = b"installed", _version(p.sequence)
            p.plug.again = True
            p.used(_TOLD_MS)
        except OSError as error:
            machine.frozen = True
            p.outcome = b"flash", error.args[0]
        finally:
            sys.modules.pop("slots", None)
    p.offered = None
