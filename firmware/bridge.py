"""Takes a command of Printago's, JSON on a topic of its own: the first step of the bridge.

What each step returns is the next, and what that is given; reply.py is the last. Loaded for one
command and let go.
"""

import json
from asyncio import sleep_ms

_DEEPEST = const(4)  # brackets in brackets
_PIECE = const(64)  # bytes between two awaits
_SHOWN = const(24)  # letters of a word that is not known


async def run(plug, text):
    """text: bytes; none: of a command that had to wait for too long, or whose answer was lost."""
    depth = quoted = colons = 0
    for at in range(0, len(text), _PIECE):
        await sleep_ms(0)
        for c in text[at : at + _PIECE]:
            if quoted:
                if quoted == 2:
                    quoted = 1
                elif c == 92:
                    quoted = 2
                elif c == 34:
                    quoted = 0
            elif c == 34:
                quoted = 1
            elif c == 58:
                colons += 1
            elif c | 32 == 123:  # { [
                depth += 1
                if depth > _DEEPEST:
                    return _no("brackets within brackets: at most %d" % _DEEPEST)
            elif c | 32 == 125:
                depth -= 1
    if not text:
        return _no("the plug was busy or about to switch off: this may not have been done")
    try:
        found = json.loads(str(text, "utf-8"))
    except ValueError:
        return _no("not JSON in UTF-8, or longer than 700 bytes")
    if not isinstance(found, dict):
        return _no("not a JSON object")
    if _keys(found) != colons:
        return _no("a name is there twice")
    kind = found.get("type")
    action = found.get("action")
    found = found.get("parameters")
    if not kind:
        return _no("No command type specified in the received message.")
    if not action:
        return _no("No action specified for %s command.", kind)
    if found is None:
        return _no("No parameters specified for %s action.", action)
    return "finding", (kind, action, found)


def _keys(value):
    # How many names there are: fewer than colons, if one is there twice.
    count = 0
    if isinstance(value, dict):
        count = len(value)
        value = value.values()
    elif not isinstance(value, list):
        return 0
    for part in value:
        count += _keys(part)
    return count


def _no(text, word=None):
    if word is not None:
        word = str(word)[:_SHOWN].encode("utf-8", "replace")
        text %= str(bytes([c for c in word if 32 <= c < 127]), "utf-8")
    return "reply", ("error", text)
