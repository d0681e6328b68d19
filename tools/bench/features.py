"""What is free on the 1 MB plug with each feature switched on and used."""

import asyncio
import json

from . import heap, modules
from .delivery import DELIVERIES
from .plant import http, printer

COMMAND = "tools/bench.sh features"


async def _nothing(work):
    await work.until(lambda: work.http.polls >= 20, "20 polls")


async def _home(work):
    """Home Assistant is told of the plug when it connects, and again when it says it is there."""

    def told():
        return sum('"cmps"' in text for _, text in work.broker.published)

    await work.until(told, "discovery", heap.AWAY_S)
    before = told()
    work.broker.send("homeassistant/status", "online")
    await work.until(lambda: told() > before, "discovery once more", heap.AWAY_S)


async def _reconnect(work):
    """The power comes back, and OctoPrint has no printer."""
    healthy = work.http.healthy

    def lost(path):
        if path.startswith("/api/printer?"):
            return http(409, b'{"error":"Printer is not operational"}\n', "CONFLICT")
        if path == "/api/job":
            return http(200, b'{"job": {}, "progress": {}, "state": "Offline"}\n')
        return healthy(path)

    work.broker.send(work.broker.root + "/switch", "FORCEOFF")
    await work.until(lambda: work.broker.latest.get("/relay") == "OFF", "power off")
    work.http.answer = lost
    work.broker.send(work.broker.root + "/switch", "ON")
    await work.until(lambda: "/api/connection" in work.http.paths, "a connection asked for", 60)
    work.http.answer = healthy


async def _heat(work):
    work.http.body = printer(290.0, 0.0)
    await work.until(lambda: "above" in work.broker.latest.get("/error", ""), "an alarm", 60)
    work.http.body = printer()


async def _print(work):
    work.broker.send(work.broker.root + "/switch", "PRINT parts/box.gcode")
    path = "/api/files/local/parts/box.gcode"
    await work.until(lambda: path in work.http.paths, "the file asked for", 60)
    work.http.body = printer(215.0, 215.0, True)
    started = "printing parts/box.gcode"
    await work.until(lambda: work.broker.latest.get("/print") == started, "the print", 60)
    work.http.body = printer()


async def _bridge(work):
    """One command that is done, one with a wrong parameter, and a look at how things are."""

    def said(kind):
        return [text for _, text in work.broker.published if f'"type":"{kind}"' in text]

    await work.until(lambda: said("pairing"), "pairing", heap.AWAY_S)
    for kind, action, parameters in (
        ("success", "set_bed", {"temperature": 60}),
        ("error", "set_bed", {"temperature": 600}),
        ("status", "get_status", {}),
    ):
        group = "printer_control" if kind == "status" else "temperature_control"
        command = {"type": group, "action": action, "parameters": parameters}
        work.broker.send("octoPrint/commands", json.dumps(command))
        await work.until(lambda kind=kind: said(kind), f"an answer to {action}", 60)


async def _hours(work):
    work.broker.send(work.broker.root + "/switch", "PERMON 3")
    await work.until(lambda: work.broker.latest.get("/mode") == "PERMON", "PERMON", 60)


FEATURES = {
    "all off": ({"render_wait_s": 0}, _nothing),
    "render_wait_s (on by default)": ({}, _nothing),
    "ha_discovery": ({"ha_discovery": True}, _home),
    "reconnect": (
        {"reconnect": True, "reconnect_delay_s": 0.2, "reconnect_every_s": 1},
        _reconnect,
    ),
    "alarm_above_c": ({"alarm_above_c": 280}, _heat),
    "remote_print, a PRINT": ({"remote_print": True}, _print),
    "bridge, three commands": ({"bridge": True}, _bridge),
    "button_lock, led_off, PERMON 3": ({"button_lock": True, "led_off": True}, _hours),
}


async def rows():
    """Rows for the table: least free and smallest largest block, from MQTT on to the end, in both
    models of the 1 MB plug."""
    models = [DELIVERIES[name] for name in ("1mb", "chip") if name in DELIVERIES]
    table = []
    async with heap.resolver() as names:
        for what, (given, use) in FEATURES.items():
            heap.say(f"features: {what}")
            worst = await asyncio.gather(*(_used(of, names, given, use) for of in models))
            for of, found in zip(models, worst, strict=True):
                table.append((f"{of.name}: {what}", *found, COMMAND))
    return table


async def _used(of, names, given, use):
    # (figure, note) of one feature in one model.
    seen = heap.Moments()
    heap_size = of.heap + modules.shims(of.name, "probe")
    try:
        async with heap.Work(of, heap_size, "probe", seen.said, names, given) as work:
            seen.now = "starting"
            await work.until(lambda: "/info" in work.broker.latest, "MQTT")
            seen.now = "on"
            await use(work)
            work.broker.drop()
            work.broker.latest.clear()
            await work.until(lambda: "/info" in work.broker.latest, "MQTT again", heap.AWAY_S)
            await asyncio.sleep(1)
    except heap.Failed as why:
        return "fails", str(why)
    _, free, block = seen.worst("on") or (0, 0, 0)
    return f"{free:,} / {block:,} B", "least free, smallest largest block"
