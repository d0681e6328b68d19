"""OctoPrint plug-in in one file: `@PLUG OFF` in the G-code is sent to OctoPlugout over MQTT.

It goes into OctoPrint's `plugins` folder; docs/octoprint.md says the rest. mosquitto_pub sends, in
a thread, so that a broker which does not answer never holds up a print.
"""

import logging
import subprocess
import threading

TOPIC = "octoplugout/ab128a/switch"  # the plug's mqtt_topic and /switch: put yours here
WORDS = ("ON", "AFTERJOB", "OFF", "PERMON")  # FORCEOFF would cut the power in mid-print

__plugin_name__ = "OctoPlugout"
__plugin_version__ = "1.0"
__plugin_description__ = "Sends @PLUG OFF, ON or PERMON from the G-code to the smart plug"
__plugin_license__ = "MIT"
__plugin_pythoncompat__ = ">=3.7,<4"

log = logging.getLogger("octoprint.plugins.octoprint_plug")


def send(word):
    # Not retained: the plug ignores what the broker had kept for it
    command = ["mosquitto_pub", "-q", "1", "-t", TOPIC, "-m", word]
    try:
        subprocess.run(command, check=True, timeout=10, capture_output=True)
        log.info("sent %s to %s", word, TOPIC)
    except (OSError, subprocess.SubprocessError) as wrong:
        log.error("could not send %s: %s %s", word, wrong, getattr(wrong, "stderr", "") or "")


def at_command(comm, phase, command, parameters, *args, **kwargs):
    """Called by OctoPrint for every line that begins with @, just before its turn to be sent."""
    if command.upper() != "PLUG":
        return
    word = parameters.strip().upper()
    if word in WORDS:
        threading.Thread(target=send, args=(word,), daemon=True).start()
    else:
        log.warning("not sent: %r is none of %s", parameters, " ".join(WORDS))


__plugin_hooks__ = {"octoprint.comm.protocol.atcommand.sending": at_command}
