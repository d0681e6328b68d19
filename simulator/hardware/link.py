"""The firmware's end of the line to the simulator, in a process of its own, on both Pythons.

Lines over TCP. Out: every pin change, RTC memory, the radio's wishes, the plug's state, resets.
In: button, WiFi. It has no thread and no task: its work is done inside calls that the firmware
makes anyway, above all the reading of the button every 10 to 20 ms. On MicroPython all this lives
in the plug's small heap, so nothing here makes garbage while nothing happens.
"""

import gc
import os
import socket
import sys
import time

import silicon

stream = None
rest = b""
buffer = bytearray(64)
pin_line = bytearray(b"o00 0\n")
last_us = worst_us = 0
looked_ms = told_ms = 0
seen = None
key = ""  # what the machine calls the row that fired last; the names here are in the ROM
running = False
port = 0  # on 127.0.0.1, that the simulator gave last


def say(text):
    """Write one line; a line that cannot be written means the simulator is gone."""
    try:
        stream.write(text.encode())
    except OSError:
        die()


def die():
    """End this process at once, whatever the firmware catches."""
    os.system("kill -9 $PPID")


def pump():
    """Take what came in, without waiting."""
    global rest
    got = stream.readinto(buffer)
    if got is None:
        return
    if not got:
        die()
    rest += bytes(buffer[:got])
    while b"\n" in rest:
        at = rest.find(b"\n")
        line = rest[:at].decode().split(" ")
        rest = rest[at + 1 :]
        obey(line[0], line[1:])


def obey(what, words):
    """One line from the simulator."""
    global running, worst_us, port, key
    if what == "i":
        n = int(words[0])
        silicon.pins[n] = silicon.pins[n] & 3 | (4 if words[1] == "1" else 0)
    elif what == "w":
        silicon.joined = int(words[0])
    elif what == "n":
        silicon.addresses = tuple(words)
    elif what == "p":
        silicon.pins[:] = bytes.fromhex(words[0])
    elif what == "m":
        silicon.memory = bytes.fromhex(words[0])
    elif what == "c":
        silicon.cause = int(words[0])
    elif what == "r":
        silicon.active[:] = [words[0] == "1", words[1] == "1"]
        if len(words) > 2:
            silicon.wanted = (bytes.fromhex(words[2]).decode(), bytes.fromhex(words[3]).decode())
    elif what == "a":
        silicon.point = (
            bytes.fromhex(words[0]).decode(),
            bytes.fromhex(words[1]).decode(),
            int(words[2]),
        )
    elif what == "f":
        key = words[0]
    elif what == "t":
        silicon.routes = bytes.fromhex(words[0]) if words else b""
    elif what == "b":
        port = int(words[0])
        running = True
    elif what == "z":
        worst_us = 0
    elif what == "k":
        if words:
            name, bssid, channel, rssi, auth, hidden = words
            network = (
                bytes.fromhex(name),
                bytes.fromhex(bssid),
                int(channel),
                int(rssi),
                int(auth),
                hidden == "1",
            )
            networks.append(network)
        else:
            running = True
    elif what == "g":
        running = True


def wait():
    """Wait for the simulator to say that it has said everything."""
    global running
    running = False
    while not running:
        pump()
        if not running:
            time.sleep_ms(1)


# --- what silicon calls


def changed(n):
    pin_line[1] = 48 + n // 10
    pin_line[2] = 48 + n % 10
    pin_line[4] = 48 + (silicon.pins[n] & 3)
    try:
        stream.write(pin_line)
    except OSError:
        die()


def sampled(n):
    """The button is being read: the beat of the plug's main loop."""
    global last_us, worst_us, looked_ms
    now = time.ticks_us()
    if last_us:
        gap = time.ticks_diff(now, last_us)
        if gap > worst_us:
            worst_us = gap
    last_us = now or 1
    pump()
    now = time.ticks_ms()
    if time.ticks_diff(now, looked_ms) >= 250:
        looked_ms = now
        look(now)


def look(now):
    """Tell state, reason, countdown and row when they changed; heap and stall once a second."""
    global seen, told_ms
    plug = sys.modules.get("plug")
    machine = getattr(getattr(plug, "current", None), "machine", None)
    if machine is not None:
        fired = getattr(machine, key, 0) if key else 0
        new = (machine.state, machine.reason, machine.countdown_s, fired)
        if new != seen:
            seen = new
            count = "" if new[2] is None else new[2]
            say("s %s\t%s\t%s\t%s\n" % (new[0], str(new[1]).replace("\n", " "), count, fired))
    if time.ticks_diff(now, told_ms) >= 1000:
        told_ms = now
        say("h %d %d\n" % (gc.mem_free(), worst_us))


def hexed(data):
    return data.hex() if data else ""  # MicroPython gives b"" for nothing


def stored():
    say("m %s\n" % hexed(silicon.memory))


def radio():
    name, password = silicon.wanted or ("", "")
    line = "r %d %d" % (silicon.active[0], silicon.active[1])
    if silicon.wanted:
        line += " %s %s" % (hexed(name.encode()), hexed(password.encode()))
    silicon.joined = 0
    say(line + "\n")


def pointed():
    name, password, security = silicon.point
    say("a %s %s %d\n" % (hexed(name.encode()), hexed(password.encode()), security))


def bound(kind, low):
    say("b %s %d\n" % (kind, low))
    wait()
    return port


def opened(kind, low):
    say("l %s %d\n" % (kind, low))


def freed(kind, low):
    say("e %s %d\n" % (kind, low))


def status():
    pump()
    return silicon.joined


def found():
    global networks
    networks = []
    say("k\n")
    wait()
    known = networks
    networks = None  # a scan's result is the firmware's to keep
    return known


def restart(why):
    say("x %d\n" % why)
    die()


def fed(armed):
    say("f 1\n" if armed else "f\n")


networks = []


def start(port):
    """Be the chip: take over what outlived the last Python, run boot.py and main.py."""
    global stream
    line = socket.socket()
    line.connect(socket.getaddrinfo("127.0.0.1", port)[0][-1])
    stream = line.makefile("rwb", 0)
    line.setblocking(False)
    wait()
    ours = globals()
    for name in silicon.CALLS.split():
        setattr(silicon, name, ours[name])
    import air

    sys.modules["socket"] = air
    gc.collect()
    say("h %d 0\n" % gc.mem_free())
    how = ""
    for name in ("boot.py", "main.py"):
        # Whatever leaves it, an exception, sys.exit(), a plain end: the port ignores it.
        try:
            run(name)
            how = "returned"
        except BaseException as error:
            sys.print_exception(error)
            how = repr(error)
    # The chip would sit in the REPL now: relay as it is, LED frozen, button dead.
    say("d %s\n" % how.replace("\n", " "))
    line.setblocking(True)
    while stream.readinto(buffer):
        pass
    die()


def run(name):
    """Run a file as the port does at start, if it is there."""
    try:
        os.stat(name)
    except OSError:
        return
    space = {"__name__": "__main__"}
    if sys.implementation.name == "micropython":
        execfile(name, space)  # noqa: F821  (MicroPython's)
    else:
        with open(name) as file:
            exec(compile(file.read(), name, "exec"), space)
