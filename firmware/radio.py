"""The access point, and what is on the air. Beside board.py the only file that meets the radio.

Loaded for one call and let go.
"""

import network

_NAME = "SetupOctoPlugout"
_OPEN = const(0)  # the chip's numbers for how the access point is secured
_WPA2 = const(3)
_MOST = const(10)  # networks shown: more do not fit on a page of 8 KB


def scan(station):
    """The networks in reach, strongest first, each name once: bytes(dB below 0, locked) + name.

    Blocks for about 2 s and moves the radio.
    """
    best = []
    station.active(True)
    try:
        found = station.scan()
    except OSError:
        found = ()
    for name, _, _, rssi, lock, _ in found:
        here = bytes((max(0, min(-rssi, 255)), lock > 0)) + name
        for i in range(len(best)):
            if best[i][2:] == name:
                best[i] = min(best[i], here)
                break
        else:
            if 0 < len(name) <= 32:
                best.append(here)
    best.sort()
    return best[:_MOST]


def begin(password):
    """Have the access point on the air, without a password if it is empty; the station rests.

    A station that looks for its network would throw every guest of the access point off.
    """
    network.WLAN(network.STA_IF).active(False)
    point = network.WLAN(network.AP_IF)
    point.active(True)
    if len(password) < 8:
        point.config(ssid=_NAME, security=_OPEN)
    else:
        point.config(ssid=_NAME, security=_WPA2, key=str(password, "utf-8"))


def close(station):
    """Take the access point off the air; the station may work again."""
    network.WLAN(network.AP_IF).active(False)
    station.active(True)
