"""PRINT: a command has come, which wake.py is to carry out. Loaded for that and let go."""

from time import ticks_add, ticks_ms

_LATEST_MS = const(900000)  # from the command to the request
_LONGEST = const(160)  # bytes of a path


async def run(plug, text):
    """A command has come. text: bytes, a path as in OctoPrint's list of local files."""
    machine = plug.machine
    try:
        path = str(text, "utf-8").strip()
    except ValueError:
        path = ""
    plug.file = ""
    if "remote_print" not in plug.s.topics:
        text = "no: remote_print is off"
    elif not 0 < len(path.encode()) <= _LONGEST or path[0] == "/" or ".." in path:
        text = "no: a path has 1 to %d bytes, no .. in it and no / before it" % _LONGEST
    elif plug.critical() or "WAS_PRINTING" in machine.facts:
        text = "no: " + machine.reason
    else:
        text = "waiting for OctoPrint"
        if machine.alias not in ("Waiting", "Connected"):
            plug.post("ON")
        plug.file = path
        plug.file_due = ticks_ms()
        plug.file_until = ticks_add(plug.file_due, _LATEST_MS)
        plug.file_sent = False
    plug.octo.told = text
