"""Opens the portal: poller and MQTT make room, and the access point goes on the air if need be.

The heap holds either of them, not both. Meanwhile the machine is frozen: nothing is being probed,
so nothing follows from silence or time. Loaded for that and let go; closing.py is its other half.
"""

import asyncio
import gc
import os
import sys

_PARTS = "octoapi mqtt names radio settings"


def _let_go():
    for name in _PARTS.split():
        sys.modules.pop(name, None)
    gc.collect()


async def run(plug, way):
    """Have plug.visit be the task that serves the portal. way: "lan", "ap" or "open"."""
    plug.machine.frozen = True
    for task in plug.tasks:
        if task:
            task.cancel()
    while [1 for task in plug.tasks if task and not task.done()]:
        await asyncio.sleep_ms(10)
    task = None  # it still holds all that it worked with
    talked = plug.mqtt and plug.mqtt.address
    plug.octo = plug.mqtt = None
    plug.tasks = [None, None]
    _let_go()
    import settings

    password = settings.get("portal_password").encode()
    if not password:
        settings.first_start(urandom=os.urandom)
        password = settings.get("portal_password").encode()
    # who reads the serial line has the plug open before him anyway
    print("portal password:", str(password, "utf-8"))
    open_ms = int(settings.get("portal_open_s") * 1000)
    del settings
    _let_go()
    in_reach = ()
    if way != "lan":
        import radio

        plug.joins = False
        in_reach = radio.scan(plug.board.wlan)
        radio.open(b"" if way == "open" else password)
        del radio
        _let_go()
    from portal import Portal

    gate = Portal(plug, way, open_ms, password)
    gate.in_reach = in_reach  # type: ignore
    gate.talked = talked
    plug.visit = asyncio.create_task(gate.run())
