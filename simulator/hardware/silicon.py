"""What the virtual chip is made of: the registers that machine, network and esp read and write.

Runs on CPython and on MicroPython, there inside the plug's own small heap: plain names, no class.
Whoever owns the chip (virtual.Chip in the same process, link.py in a process of the firmware's
own) replaces the functions below.
"""

# The functions below that an owner replaces.
CALLS = "changed sampled stored radio pointed status found bound opened freed restart fed"

# One byte a pin; GPIO0 to GPIO16.
LATCH = 1  # the output register's bit
DRIVEN = 2  # the output is enabled
OUTSIDE = 4  # the level that button or pull-up puts on the pin while it is an input

pins = bytearray(b"\x04" * 17)
memory = b""  # the RTC's user memory
cause = 0  # of the last reset
identity = (
    b"\x8a\x12\xab\x00"  # machine.unique_id(): the MAC's last three bytes come first on this port
)
mac = b"\x5c\xcf\x7f\xab\x12\x8a"

STATION, ACCESS_POINT = 0, 1
active = [False, True]  # a fresh image opens its own access point
wanted = None  # (name, password) that the station joins, None = none
joined = 0  # the station's STAT_ number
addresses = ("0.0.0.0", "0.0.0.0", "0.0.0.0", "0.0.0.0")  # address, mask, gateway, name server
FRESH_POINT = ("MicroPython-8a12ab", "micropythoN", 3)
point = FRESH_POINT  # the access point: name, password, authmode
# Who is where on the virtual network, 8 bytes each: port and address as the firmware says them,
# then the port on 127.0.0.1 where it really is. Six zeros: everybody else but 127.0.0.0.
routes = b""


def set_pin(n, bits):
    """Give pin n the bits LATCH and DRIVEN; `changed` hears of it if that is a change."""
    bits |= pins[n] & OUTSIDE
    if bits != pins[n]:
        pins[n] = bits
        changed(n)


def changed(n):
    """Pin n has another level or direction."""


def sampled(n):
    """Pin n is about to be read as an input."""


def stored():
    """`memory` was written."""


def radio():
    """`active` or `wanted` was set."""


def pointed():
    """`point` was set."""


def status():
    """The station's STAT_ number now."""
    return joined


def found():
    """What a scan finds: tuples (name, bssid, channel, rssi, authmode, hidden)."""
    return []


def bound(kind, port):
    """A socket, "tcp" or "udp", takes a port below 1024: the one on 127.0.0.1 to take for it."""
    return port


def opened(kind, port):
    """It can be reached there from now on."""


def freed(kind, port):
    """That socket was closed."""


def restart(why):
    """A reset of the chip with that cause; does not return."""
    raise SystemExit


def fed(armed):
    """The watchdog was started or fed."""
