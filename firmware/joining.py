"""Tries another network, and keeps it only if it works. A step of portal.py, after the answer.

What is tried is not stored before it has led to an address. However this ends, the settings are
those that work, and the WiFi page says why the others did not.
"""

import sys
from asyncio import sleep_ms
from time import ticks_ms

from portal import sweep

_LOOK_MS = const(250)
_LOOKS = const(80)
_EARLY = const(8)  # before that many the chip may still tell of the attempt before
_STAY_MS = const(60000)  # how long the access point stays when it is no longer needed
# The chip's numbers for how joining went; what is none of them means that no address came.
_WRONG_PASSWORD = const(2)
_NOT_FOUND = const(3)
_REFUSED = const(4)
_GOT_IP = const(5)

_STORED = ("copy", "add")
_PARTS = "saving configfile schema"


async def run(p):
    """Join p.candidate, (name, password). p: the Portal."""
    plug = p.plug
    s = plug.s
    wlan = plug.board.wlan
    old = s.wifi_ssid, s.wifi_password
    s.wifi_ssid, s.wifi_password = p.candidate
    plug.joins = joined = False
    status = 0
    try:
        wlan.active(True)
        plug.board.join(s, ticks_ms(), True)
        for turn in range(_LOOKS):
            await sleep_ms(_LOOK_MS)
            status = wlan.status()
            if status == _GOT_IP or turn > _EARLY and status > 1:
                break
        p.not_joined = b"no address: the network gave none within 20 s"
        if status == _WRONG_PASSWORD:
            p.not_joined = b"wrong password"
        elif status == _NOT_FOUND:
            p.not_joined = b"network not found"
        elif status == _REFUSED:
            p.not_joined = b"the network refuses"
        elif status == _GOT_IP:
            p.not_joined = b""
            wrong = {}
            new = {"wifi_ssid": s.wifi_ssid, "wifi_password": s.wifi_password}
            for half in _STORED:
                if not wrong:
                    wrong = _store(half, new)
                await sleep_ms(0)
            joined = not wrong
            for key in wrong:
                p.not_joined = wrong[key].encode()
    except MemoryError:
        p.not_joined = b"no room to store it, please try once more"
    finally:
        plug.joins = p.lan
        if not joined:
            s.wifi_ssid, s.wifi_password = old
            if p.lan:
                plug.board.join(s, ticks_ms(), True)
            else:
                wlan.active(False)
    if joined:
        p.tried = b""
        where = s.hostname, wlan.ifconfig()[0]
        p.tell_once = "Joined. The plug is at http://%s/ or http://%s/" % where
        if not p.lan:
            p.tell_once += ". This network goes off in a minute"
            p.open_ms = _STAY_MS
    p.used()


def _store(half, new):
    # As keeping.py does, but for the checks: wifi.py has made them, and there is no room for all.
    import saving

    try:
        return getattr(saving, half)(new, "config.json")
    finally:
        for part in _PARTS.split(" "):
            sys.modules.pop(part, None)
        del saving
        sweep()
