"""What the plug says of itself, for /info. Loaded when it is wanted and let go."""

import gc
import sys
from time import ticks_diff, ticks_ms


def largest():
    """Size in bytes of the largest block that can be had, to 64."""
    low, high = 0, gc.mem_free() + 64
    while high - low > 64:
        size = (low + high) // 2
        try:
            bytearray(size)
            low = size
        except MemoryError:
            high = size
    return low


def told(plug):
    """JSON: version, ip, rssi in dBm, uptime_s, heap_free and heap_largest in bytes, reset_cause,
    slot."""
    gc.collect()
    wlan = plug.board.wlan
    online = wlan.isconnected()
    return (
        '{"version":"%s","ip":"%s","rssi":%d,"uptime_s":%d,"heap_free":%d,"heap_largest":%d,'
        '"reset_cause":%d,"slot":"%s"}'
    ) % (
        plug.version,
        wlan.ifconfig()[0] if online else "",
        wlan.status("rssi") if online else 0,
        plug.minutes * 60 + ticks_diff(ticks_ms(), plug.started) // 1000,
        gc.mem_free(),
        largest(),
        plug.board.cause,
        sys.path[0][-1:],
    )
