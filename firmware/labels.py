"""What the settings are called, for people: portal and documents load this, nothing else does.

One text for each piece of schema.TABLE, in the same order. Its first line is the group's name,
then `key|label|unit|help`. Short: it is read on a phone, next to a printer.
"""

LABELS = (
    """WiFi
wifi_ssid|Network name||2.4 GHz only
wifi_password|Password||Empty for an open network
wifi_country|Country||Two letters, such as DE. Empty is fine
hostname|Name of this plug||{id} = last six digits of its MAC
portal_password|Portal password||For these pages and the set-up network
ota_key|Update key||For updates from a PC. Empty = none allowed
""",
    """OctoPrint
octoprint_host|Address||Name or IP of the Pi, such as octopi.local
octoprint_port|Port||80 on OctoPi, else usually 5000
octoprint_api_key|API key||Its user needs the SYSTEM permission
probe_port|Port to knock at||Open as long as the Pi is alive: 22 = SSH
shutdown_pi|Shut the Pi down||Off: the Pi is powered elsewhere, only the printer is cut
watch_bed|Wait for the bed too||Else only the tools must be cool
""",
    """MQTT
mqtt_host|Broker||Empty or none = no MQTT
mqtt_port|Port||
mqtt_user|User||
mqtt_password|Password||
mqtt_topic|Root topic||{id} = last six digits of the MAC
mqtt_report_s|Report every|s|Temperatures and progress
mqtt_keepalive_s|Keep-alive|s|How fast a lost connection is noticed
""",
    """MQTT sub-topics
topic_switch|Commands||ON AFTERJOB OFF PERMON FORCEOFF
topic_plugstate|State||
topic_relay|Relay||ON or OFF
topic_mode|Mode||ON, PERMON, OFF or FORCEOFF
topic_reason|Reason||Why it is in this state
topic_countdown|Countdown||Seconds left
topic_status|Status||online or offline
topic_error|Errors||What was wrong with a command
topic_printstate|Printer||
topic_extrudertemp|Tool temperature||
topic_bedtemp|Bed temperature||
topic_jobstate|Job||
topic_jobprogress|Progress||
topic_info|Info||Version, address, memory
""",
    """Switching off
initial_state|After a power cut||Where to begin when mains returns
cool_below_c|Cool below|C|Shut down only below this
hot_above_c|Job is real above|C|Colder jobs do not count
min_job_s|Job is real after|s|Shorter jobs do not count
shutdown_wait_s|Wait for the Pi|s|At least this long before the power goes
halt_settle_s|Silence means halted|s|A reboot is silent for 25 to 40 s
shutdown_max_s|Pi must halt within|s|Then it counts as not halting
pi_down_s|Pi is down after|s|No answer for this long
boot_s|Pi boots within|s|Silence before that proves nothing
wifi_settle_s|Settle after WiFi loss|s|The Pi may come back later than the plug
blind_cool_s|Cool without a reading|s|When OctoPrint has lost an idle printer
poll_s|Ask OctoPrint every|s|While it answers
poll_idle_s|Look for OctoPrint every|s|While it does not
""",
    """Button, LED and display
long_press_ms|Long press from|ms|
portal_press_ms|Hold for the portal|ms|
portal_open_s|Portal stays open|s|From the last use
led_patterns|LED patterns||A line each: state, ms on, ms off
led_version|Blink the version||At power-on
led_off|LED stays dark||
messages|Printer display||Six lines: connected, started, armed, cooling, asking, for good. \
%c cool below, %t now, %w wait
""",
    """Wiring (used from the next power-on)
pin_button|Button GPIO||
pin_relay|Relay GPIO||
pin_led|LED GPIO||
invert_relay|Relay on when low||
invert_led|LED lit when high||
invert_button|Pressed when high||
""",
)


def label(key):
    """(label, unit, help, group) of one key; KeyError if it has none."""
    for text in LABELS:
        at = text.find("\n" + key + "|")
        if at >= 0:
            line = text[at + len(key) + 2 : text.find("\n", at + 1)]
            return tuple(line.split("|")) + (text[: text.find("\n")],)
    raise KeyError(key)
