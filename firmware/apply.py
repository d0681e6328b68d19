"""Takes changed settings into use, live. Loaded for that and let go.

Relay and machine stay as they are; a new host, port or key of OctoPrint drops everything heard.
"""

from time import ticks_ms


def changes(plug):
    """Follow from `plug.changes`, the keys of what is stored and in plug.s already."""
    for key in plug.changes:
        if key[:10] == "octoprint_" or key == "probe_port":
            plug.known = ""
            if plug.octo:
                plug.octo.forget()
            plug.machine.forget()
            plug.machine.turns += 1  # a poll under way counts for nothing
        if key in ("wifi_ssid", "wifi_password", "wifi_country", "hostname") and plug.joins:
            plug.board.join(plug.s, ticks_ms(), True)
        if key[:5] == "mqtt_" or key[:6] in ("topic_", "bridge") or key[:3] == "ha_":
            plug.broker = ""
            if plug.octo:
                if plug.tasks[1]:
                    plug.tasks[1].cancel()
                plug.connect()
    plug.changes = None
    plug.machine.alarm = ""  # heat.py says so again, if it still is on
