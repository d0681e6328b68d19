"""Opens the portal in a plug that has started for it, with the access point on the air if need be.

Poller and MQTT are not loaded in this run: the heap holds either of them or the portal. Meanwhile
the machine is frozen: nothing is being probed, so nothing follows from silence or time. Loaded for
that and let go.
"""

import asyncio
import gc
import os
import sys

_PARTS = "radio settings"


def _let_go():
    for name in _PARTS.split():
        sys.modules.pop(name, None)
    gc.collect()


async def run(plug, way):
    """Have plug.visit be the task that serves the portal. way: "lan", "ap" or "open"."""
    import settings
    import steps

    steps.up()
    try:
        password = settings.get("portal_password").encode()
        if not password:
            settings.first_start(urandom=os.urandom)
            password = settings.get("portal_password").encode()
        open_ms = int(settings.get("portal_open_s") * 1000)
    finally:
        steps.down()
    # who reads the serial line has the plug open before him anyway
    print("portal password:", str(password, "utf-8"))
    del settings, steps
    _let_go()
    in_reach = ()
    if way != "lan":
        import radio

        plug.joins = False
        if not plug.watchdog:  # which nobody would feed for two seconds
            in_reach = radio.scan(plug.board.wlan)
        radio.begin(b"" if way == "open" else password)
        del radio
        _let_go()
    from portal import Portal

    gate = Portal(plug, way, open_ms, password)
    if sys.implementation.name == "micropython":
        Portal.__init__ = None  # type: ignore  (called once)
    gate.in_reach = in_reach  # type: ignore
    plug.visit = asyncio.create_task(gate.run())
