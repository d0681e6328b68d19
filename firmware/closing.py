"""Closes the portal in the middle of things: poller and MQTT come back, the access point goes.

For when the power is to be cut and the button must be listened to; else a restart in place does
it. Everything heard before it was open is forgotten. Loaded for that and let go.
"""

import gc
import sys
from time import ticks_ms


def run(plug):
    """Have the plug watch OctoPrint again. MemoryError: there is no room for it."""
    for name in "portal captive settings steps keys names".split():
        sys.modules.pop(name, None)
    if not plug.joins:
        import radio

        radio.close(plug.board.wlan)
        del sys.modules["radio"], radio
        plug.joins = True
        plug.board.join(plug.s, ticks_ms(), True)
    gc.collect()
    plug.connect()
    plug.entered(plug)
    if sys.implementation.name == "micropython":
        type(plug.octo).__init__ = None  # type: ignore  (called once, as at the start)
    plug.machine.forget()
    plug.machine.frozen = False
