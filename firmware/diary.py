"""The last ten times the power was switched off, and why. Loaded for one call and let go."""

_MOST = const(10)
_FILE = "offs"


def lines():
    """What was noted, oldest first, as bytes."""
    try:
        with open(_FILE, "rb") as file:
            return file.read(1024).split(b"\n")[:-1]
    except OSError:
        return []


def add(text):
    """Note one more. A diary that cannot be written is nothing to worry the plug with."""
    kept = lines()[1 - _MOST :]
    kept.append(text.encode()[:96])
    try:
        with open(_FILE, "wb") as file:
            for line in kept:
                file.write(line + b"\n")
    except OSError:
        pass
