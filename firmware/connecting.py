"""Gives the plug what it does on the network: online.py's tasks, and what they need.

Loaded for that and let go.
"""

import gc
import os
from time import ticks_ms


def connect(plug):
    """Give the plug a poller, if it has none, and a connection to the broker that settings name.

    Its `works` are then the tasks to be kept going, and `entered` what hears of a new state.
    """
    from mqtt import Mqtt
    from octoapi import OctoApi
    from online import entered, poll, serve, teller

    gc.collect()  # what is kept is not to lie above what importing has left
    if plug.octo is None:
        plug.octo = OctoApi(plug.s, plug.resolve, plug.board.wlan.isconnected)
        plug.octo.address = plug.known
        plug.works = poll, serve
        plug.entered = entered
        plug.hurry = True  # poll now
        plug.polled = plug.job_due = plug.ask_due = ticks_ms()
        plug.job = ""  # what the printer did when the job was last asked for
        plug.ask_wait = 0
        plug.say = ""  # what the display is to be told: of a state, or "refused"
        plug.told = 0  # the temperature it was told last
        plug.file = ""  # to be printed: wake.py
        plug.felt = ()  # by heat.py
        plug.render_due = None  # for pending.py
        plug.asks = plug.sends = False  # OctoPrint is asked; what is long is sent
    plug.mqtt = None
    plug.replies = ()  # of the bridge, (type, JSON as bytes), until they are sent
    plug.last = ""  # the state it told last
    if plug.s.mqtt_host not in ("", "none"):
        plug.mqtt = Mqtt(plug.s, plug.resolve, teller(plug), plug.post)
        plug.mqtt.address = plug.broker
        bridge = "bridge" in plug.s.topics
        plug.at_home = plug.s.ha_discovery or bridge or "ha" in os.listdir()
        if bridge:
            mqtt = plug.mqtt  # room for what is set later, which would come to lie further up
            mqtt.largest = mqtt.largest
            mqtt.jobs = None
            mqtt.says = mqtt.says
            mqtt.missed = 0
