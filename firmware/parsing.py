"""Parses a command of the bridge's, and looks whether it says what every command has to say.

Loaded for one command and let go.
"""

import json

_SHOWN = const(24)  # letters of a word that is not known


async def run(plug, given):
    """given: the command, bytes, and how many colons are in it outside of texts."""
    text, colons = given
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
