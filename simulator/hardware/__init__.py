"""Virtual hardware: the modules machine, network and esp, and the chip behind them.

`install()` makes CPython able to run the firmware (see port.py); `chip` is the chip of this
process, for tests: pins, relay log, button, WiFi, RTC memory, resets, mains (see virtual.py).
"""

import sys

from . import silicon

# The modules say `import silicon`, as they must where they are no package: two names, one module.
sys.modules.setdefault("silicon", silicon)

from . import air, port, virtual  # noqa: E402  (they need the name above)

sys.modules.setdefault("air", air)
air.__getattr__ = lambda name: getattr(air._real, name)  # what `import *` leaves out

chip = virtual.Wired(port.now_ms)
install = port.install
start_ticks = port.start_ticks
Reset = virtual.Reset


def through_air(*modules):
    """Let the sockets of these modules of the firmware feel whether the chip has WiFi."""
    for module in modules:
        module.socket = air
