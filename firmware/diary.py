"""What outlasts a power cut: the state to begin in, and the last ten times the power went off.

Loaded for one call and let go. A line each: time since the start, state, who did it if somebody
did, what the heaters had when last heard of, and the reason shown before.
"""

from statemachine import TABLE

_MOST = const(10)
_LONGEST = const(95)  # bytes of a line
_FILE = "offs"

# The states that a plug may begin in
_LAST = "Relay_off Switched_ON Waiting_for_print_activity"


def lines():
    """What was noted, oldest first, as bytes."""
    found = []
    try:
        with open(_FILE, "rb") as file:
            while len(found) < _MOST:
                line = file.readline(_LONGEST + 1)  # all at once would take 1 KB in one piece
                if line[-1:] != b"\n":
                    break
                found.append(line[:-1])
    except OSError:
        pass
    return found


def entered(plug, before, why):
    """Note the state that `initial_state` may ask for, and that the relay has just opened.

    before: the state until then, "" at the start; why: the reason shown then. A diary that cannot
    be written is nothing to worry the plug with.
    """
    machine = plug.machine
    if plug.s.initial_state == "last" and machine.state in _LAST.split():
        with open("last", "w") as file:
            file.write(machine.state)
    if machine.relay or not before:
        return
    words = "%d:%02d h: %s" % (plug.minutes // 60, plug.minutes % 60, before)
    row = TABLE[machine.fired : TABLE.find(" ", machine.fired)]
    if machine.mode == "FORCEOFF":
        words += ", FORCEOFF"
    elif "|" in row:  # of those that open the relay, the one that begins with presses
        words += ", long press"
    octo = plug.octo
    if octo and octo.heat:
        tool, bed = octo.heat
        words += ", tool %d C" % tool
        if bed is not None:
            words += ", bed %d C" % bed
        octo.heat = ()
    if plug.mqtt:
        plug.mqtt.says = True
    kept = lines()[1 - _MOST :]
    kept.append((words + ", " + why).encode()[:_LONGEST])
    try:
        with open(_FILE, "wb") as file:
            for line in kept:
                file.write(line + b"\n")
    except OSError:
        pass
