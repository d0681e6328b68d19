"""Takes changed settings into use, live. Loaded for that and let go.

Relay and machine stay as they are; a new host, port or key of OctoPrint drops everything heard.
"""

from time import ticks_ms


def changes(plug):
    """Use `plug.changes`, {key: value} as checked and stored."""
    new = plug.changes
    for key in new:
        if hasattr(plug.s, key):
            setattr(plug.s, key, new[key])
        if key[:10] == "octoprint_" or key == "probe_port":
            if plug.octo:
                plug.octo.forget()
            plug.machine.forget()
            plug.machine.turns += 1  # a poll under way counts for nothing
        if key in ("wifi_ssid", "wifi_password", "wifi_country", "hostname") and plug.joins:
            plug.board.join(plug.s, ticks_ms(), True)
        if plug.octo and (key[:5] == "mqtt_" or key[:6] == "topic_"):
            if plug.tasks[1]:
                plug.tasks[1].cancel()
            plug.connect()
    plug.changes = None
