"""Says what a parameter of a bridge's command may be. Loaded for that and let go."""


async def run(plug, given):
    """given: its name, its kind and its limits, as in pages/bridge.txt."""
    name, kind, limits = given
    if kind == "off":
        text = "OctoPrint has not answered yet"
        if not plug.machine.poll_ms:
            text = "the printer's power is off"
        return "reply", ("error", text)
    if kind == "missing":
        text = "this parameter is missing"
    elif kind == "unknown":
        name = str(name)[:24]
        text = "unknown parameter"
        if name == "tags":
            text = "OctoPrint's API takes none"
    elif kind == "not":
        text = "true or false"
    elif kind == "local":
        text = "local, or left away"
    elif kind == "axes":
        text = "x, y and z, as a list or with commas"
    elif kind == "moves":
        text = "x, y and z, each a number from %s to %s"
    elif kind == "number":
        text = "a number from %s to %s"
    elif kind == "whole":
        text = "a whole number from %s to %s"
    else:
        text = "a text of %s to %s bytes, no control characters"
        if kind == "path":
            text += ", no .. in it and no / before it"
    if limits:
        text %= tuple(limits)
    return "reply", ("error", name + ": " + text)
