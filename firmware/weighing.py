"""Weighs the parameters of a bridge's command, and says what OctoPrint is to be asked.

In pages/bridge.txt each is `name:kind,lowest,highest=default`; without a default it has to be
there. Where the kind is a text the limits are bytes. Loaded for one command and let go.
"""

import json


async def run(plug, given):
    """given: the command's line, and the parameters as they came."""
    line, values = given
    line, wanted, what, said = line.split("|")
    error = None
    good = {}
    if what[0] == "!":
        error = what[1:]
    elif not isinstance(values, dict):
        error = "parameters: a JSON object"
    else:
        for part in wanted.split():
            name, kind = part.split(":")
            kind, *text = kind.split("=")
            kind, *limits = kind.split(",")
            low, high = [int(limit) for limit in limits] or (0, 0)
            value = values.pop(name, None)
            if value is None:
                if not text:
                    return "wrong", (name, "missing", ())
                good[name] = text[0]
                continue
            try:
                good[name] = _good(value, kind, low, high)
            except (ValueError, TypeError):
                return "wrong", (name, kind, limits)
        for name in values:
            return "wrong", (name, "unknown", ())
    if not error:
        if not (plug.machine.poll_ms and plug.octo.address):
            return "wrong", ("", "off", ())
    if error:
        return "reply", ("error", error)
    if what[0] == ">":
        return what[1:], (said, good)
    for name in good:
        what = what.replace("<%s>" % name, good[name])
    return "doing", (said, what)


def _good(value, kind, low, high):
    # As it is sent. ValueError, TypeError: it is not good.
    if kind == "not":
        if value is True or value is False:
            return "false" if value else "true"
    elif kind == "number" or kind == "whole":
        fits = isinstance(value, int) or kind == "number" and isinstance(value, float)
        if fits and value is not True and value is not False and low <= value <= high:
            return json.dumps(value)
    elif kind == "moves" or kind == "axes":
        if isinstance(value, str):
            value = value.replace(" ", "").split(",")
        made = ""
        if isinstance(value, dict) != (kind == "moves"):
            raise ValueError
        for axis in value:
            if axis not in ("x", "y", "z") or axis in made:
                raise ValueError
            made += ',"%s"' % axis
            if kind == "moves":
                made += ":" + _good(value[axis], "number", low, high)
        if made:
            return made[1:]
    elif isinstance(value, str):
        text = value.encode()
        if kind == "local":
            if value == kind:
                return value
        elif low <= len(text) <= high:
            before = 0
            made = bytearray()
            for c in text:
                # half an emoji, as JSON may spell it, is no UTF-8
                if c < 32 or c == 127 or before == 0xED and c >= 0xA0:
                    raise ValueError
                before = c
                if 97 <= c | 32 <= 122 or 45 <= c <= 57 or c == 95:
                    made.append(c)
                else:
                    made += b"%%%02X" % c
            if kind == "text":
                return value
            if value[0] != "/" and ".." not in value:
                return str(made, "utf-8")
    raise ValueError
