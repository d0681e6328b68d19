"""Has OctoPrint connect to a printer that got its power later than the Pi did.

Only as long as OctoPrint has not had the printer since the power was switched on, and only for
`reconnect_window_s`: who disconnects it later by hand is not contradicted. Loaded for one look and
let go.
"""

from time import ticks_add, ticks_diff


async def missed(plug, now):
    """OctoPrint has just said that it is without its printer: connect, if it is time to."""
    s = plug.s
    octo = plug.octo
    facts = plug.machine.facts
    on_ms = plug.machine.on_ms()
    late = ticks_diff(now, plug.ask_due)
    if "WAS_IDLE" in facts or "WAS_PRINTING" in facts or on_ms >= s.reconnect_window_s * 1000:
        return  # it had the printer, or its time is over
    if late > on_ms:  # of before the power was on
        plug.ask_due = ticks_add(now, int(s.reconnect_delay_s * 1000))
    elif late >= 0:
        plug.ask_due = ticks_add(now, int(s.reconnect_every_s * 1000))
        await octo.job()
        # An attempt under way would be broken off: "Detecting baudrate", "Connecting" …
        if octo.job_state[:5] in ("Offli", "Close", "Error"):
            await octo.tell("POST /api/connection", b'{"command": "connect"}')
            if octo.status == 403:
                plug.ask_due = ticks_add(now, int(s.reconnect_window_s * 1000))
                if plug.mqtt:
                    plug.mqtt.error = "API key may not connect the printer"
