"""The portal's page of facts about the plug. A step of portal.py."""

import gc
import sys
from time import ticks_diff, ticks_ms

# Why the chip started, as it numbers it.
_CAUSES = b"power-on/hardware watchdog/fault/software watchdog/restart/deep sleep/reset pin"


async def run(p):
    """Show them. p: the Portal."""
    if p.method == b"POST":
        raise ValueError(405)
    plug = p.plug
    wlan = plug.board.wlan
    online = wlan.isconnected()
    minutes = plug.minutes + ticks_diff(ticks_ms(), plug.started) // 60000
    await p.begin_page(b"Info")
    await p.send_part(
        "report", b"plug", plug.version, sys.path[0][-1:], minutes // 60, minutes % 60
    )
    if online:
        await p.send_part(
            "report", b"wifi", plug.s.wifi_ssid, wlan.status("rssi"), wlan.ifconfig()[0]
        )
    await p.send_part("report", b"names", plug.s.hostname, wlan.config("mac").hex(":"))
    broker = plug.s.mqtt_host
    if broker in ("", "none"):
        await p.send_part("report", b"no_mqtt")
    else:
        await p.send_part("report", b"mqtt" if plug.broker else b"lost_mqtt", broker)
    import info

    gc.collect()
    causes = _CAUSES.split(b"/")
    cause = plug.board.cause
    cause = causes[cause] if 0 <= cause < len(causes) else b"unknown"
    await p.send_part("report", b"chip", gc.mem_free(), info.largest(), cause)
    del sys.modules["info"]
    import diary

    noted = diary.lines()
    del sys.modules["diary"]
    await p.send_part("report", b"offs" if noted else b"no_offs")
    for line in noted:
        await p.send_part("report", b"off", line)
    await p.send_part("report", b"end")
    await p.send_part("frame", b"back")
    await p.finish()
