"""A visit to the portal: poller and MQTT make room, the portal runs, and both come back.

The heap holds either of them, not both. Meanwhile the machine is frozen: nothing is being probed,
so nothing follows from silence or time. However the visit ends, also by being cancelled, access
point and pages are gone after it and everything heard before it is forgotten.
"""

import gc
import os
import sys
from asyncio import sleep_ms
from time import ticks_ms

_PARTS = "octoapi mqtt names portal captive radio settings"


def _let_go():
    for name in _PARTS.split():
        sys.modules.pop(name, None)
    gc.collect()


async def run(plug, way):
    """Have the portal open until its time is over. way: "lan", "ap", or "open" (no password)."""
    machine = plug.machine
    board = plug.board
    machine.frozen = True
    for task in plug.tasks:
        if task:
            task.cancel()
    while [1 for task in plug.tasks if task and not task.done()]:
        await sleep_ms(10)
    task = None  # it still holds all that it worked with
    talked = plug.mqtt and plug.mqtt.address
    plug.octo = plug.mqtt = None
    plug.tasks = [None, None]
    networks = ()
    try:
        _let_go()
        import settings

        settings.first_start(urandom=os.urandom)
        password = settings.get("portal_password").encode()
        open_ms = int(settings.get("portal_open_s") * 1000)
        _let_go()
        if way != "lan":
            import radio

            plug.joins = False
            networks = radio.scan(board.wlan)
            radio.open(b"" if way == "open" else password)
            _let_go()
        import portal

        gate = portal.Portal(plug, way, open_ms, password)
        gate.networks = networks  # type: ignore
        gate.talked = talked
        await gate.run()
    finally:
        gate = portal = networks = None
        if way != "lan":
            import radio

            radio.close(board.wlan)
            plug.joins = True
            board.join(plug.s, ticks_ms(), True)
        _let_go()
        plug.connect()
        if sys.implementation.name == "micropython":
            type(plug.octo).__init__ = None  # type: ignore  (called once, as at the start)
        machine.forget()
        machine.frozen = False
