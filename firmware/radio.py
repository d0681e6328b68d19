"""The access point, and what is on the air. Beside board.py the only file that meets the radio.

Loaded for one call and let go.
"""

import network

NAME = "SetupOctoPlugout"

_MOST = const(12)  # networks shown: more do not fit on a page of 8 KB


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


def open(password):
    """Have the access point on the air, without a password if it is empty; the station rests.

    A station that looks for its network would throw every guest of the access point off.
    """
    network.WLAN(network.STA_IF).active(False)
    point = network.WLAN(network.AP_IF)
    point.active(True)
    if len(password) < 8:
        point.config(essid=NAME, authmode=network.AUTH_OPEN)
    else:
        point.config(
            essid=NAME, authmode=network.AUTH_WPA_WPA2_PSK, password=str(password, "utf-8")
        )


def close(station):
    """Take the access point off the air; the station may work again."""
    network.WLAN(network.AP_IF).active(False)
    station.active(True)
