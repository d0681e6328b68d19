"""Finds a command of the bridge in pages/bridge.txt.

A line there is one: its type and action, its parameters, what becomes of it, what is said then.
Loaded for one command and let go.
"""

import sys

_SHOWN = const(24)  # letters of a word that is not known
_ROW = const(32)  # bytes


async def begun(plug, given):
    """given: type, action and parameters as they came."""
    kind, action, values = given
    text = "Unknown Printago command type: "
    word = kind
    source = lines("bridge")
    for line in source:
        line = str(line, "utf-8")
        words = line[: line.find("|")].split(" ")
        if words[0] == kind:
            text = "Unknown action for " + kind + ": "
            word = action
            if words[1] == action:
                source.close()
                return "weighing", (line[:-1], values)
    word = str(word)[:_SHOWN].encode("utf-8", "replace")
    text += str(bytes([c for c in word if 32 <= c < 127]), "utf-8")
    return "reply", ("error", text)


def lines(name):
    """Yield the lines, bytes, of a text on the shelf."""
    for folder in sys.path:
        try:
            file = open(folder + "/portal.pack", "rb")
            break
        except OSError:
            pass
    else:
        return
    with file:
        mark = (" %s=" % name).encode()
        row = b" "
        while mark not in row:  # tools/shelf.py lays them out
            row = file.read(_ROW)
            if row[:1] != b" ":
                return
        file.seek(int(row[-5:]))
        for line in file:
            if line == b"=\n":
                break
            yield line
