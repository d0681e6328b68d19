"""Finds a command of the bridge in pages/bridge.txt.

A line there is one: its type and action, its parameters, what becomes of it, what is said then.
Loaded for one command and let go.
"""

import sys

_SHOWN = const(24)  # letters of a word that is not known


async def run(plug, given):
    """given: type, action and parameters as they came."""
    kind, action, values = given
    text = "Unknown Printago command type: "
    word = kind
    import steps

    file = steps.open("/bridge")
    del sys.modules["steps"], steps
    with file:
        for line in file:
            if line == b"=\n":
                break
            line = str(line, "utf-8")
            words = line[: line.find("|")].split(" ")
            if words[0] == kind:
                text = "Unknown action for " + kind + ": "
                word = action
                if words[1] == action:
                    return "weighing", (line[:-1], values)
    word = str(word)[:_SHOWN].encode("utf-8", "replace")
    text += str(bytes([c for c in word if 32 <= c < 127]), "utf-8")
    return "reply", ("error", text)
