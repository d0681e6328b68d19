"""Hostile input for the plug's four parsers: valid samples, mutated, and plain random bytes.

Seeded: the same numbers give the same bytes for ever.
"""

import json
import random
import struct

TEMPERATURES = ("tool0", "bed", "tool1", "chamber", "tool27", "tool28", "tool", "toolx")
FLAGS = (
    "cancelling closedOrError error finishing operational paused pausing printing ready".split()
)

# What is put where it does not belong.
WORDS = [
    word.encode()
    for word in (
        "null true false NaN Infinity -Infinity 1e999 -1e999 -14 500.1 9999 0x10 1_0 00 - . {} [] "
        '"" "\\" \\u0000 \\ud83d \\ { } [ ] , : " HTTP/1.1 Content-Length: Content-Length:-1 '
        "Content-Length:99999999999999999999 Transfer-Encoding:chunked 200 204 409 503 -200"
    ).split(" ")
]
WORDS += [b"\r\n", b"\r\n\r\n", b"\0", b"\xff", b"\x80", b"\xc0\x0c", b"\xc0\xff", b"[" * 60]
WORDS += [b'{"a":' * 40, b"9" * 40, b"\xf0\x9f\x98\x80", b"\xed\xa0\x80", b"x" * 300]


def printer(chance):
    """The body of an answer to GET /api/printer."""
    flags = {flag: chance.random() < 0.2 for flag in chance.sample(FLAGS, 6)}
    heaters = {
        name: {"actual": chance.choice((21.3, 210.0, None, "hot", -14.5)), "target": 0.0}
        for name in chance.sample(TEMPERATURES, chance.randrange(1, 4))
    }
    answer = {"state": {"flags": flags, "text": "Operational"}, "temperature": heaters}
    return json.dumps(answer, indent=chance.choice((None, 2)), sort_keys=True).encode()


def http(chance):
    """One answer of something that may be OctoPrint."""
    body = chance.choice(
        (printer(chance), b'{"error": "no"}', b'{"state": "x"}', b"<html></html>", b"", b"[1]")
    )
    status = chance.choice((200, 200, 200, 409, 403, 503, 404, 204))
    length = len(body) if chance.random() < 0.9 else chance.randrange(0, 400)
    return b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n\r\n" % (status, length) + body


def mqtt(chance):
    """What a broker may send from the beginning of a connection."""
    out = [b"\x20\2\0\0", b"\x90\3\0\1\1"]
    for _ in range(chance.randrange(3)):
        topic = chance.choice((b"octoplugout/id/switch", b"a", b""))
        word = chance.choice((b"ON", b"off", b" forceoff ", b"AFTERJOB", b"-", b"", b"x" * 200))
        kind = chance.choice((0x30, 0x31, 0x32, 0x33, 0x3B, 0x34, 0x38))
        body = struct.pack("!H", len(topic)) + topic + (b"\0\7" if kind & 6 else b"") + word
        size = bytes([len(body)]) if len(body) < 128 else bytes([len(body) & 127 | 128, 1])
        out.append(bytes([kind]) + size + body)
    out.append(chance.choice((b"", b"\xd0\0", b"\x40\2\0\1", b"\x30\xff\xff\xff\x7f")))
    return b"".join(out)


def dns(chance, name=b"octopi.lan"):
    """An answer to a question for `name`; the first two bytes are put right by who uses it."""
    question = b"".join(bytes([len(part)]) + part for part in name.split(b".")) + b"\0"
    out = [b"\0\0\x81", bytes([chance.choice((0x80, 0x80, 0x83))]), b"\0\1", b"", b"\0\0\0\0"]
    out.append(question + b"\0\1\0\1")
    count = chance.randrange(4)
    for _ in range(count):
        owner = chance.choice((b"\xc0\x0c", question, b"\xc0\x20", b"\1x\xc0\x0c", b"\0"))
        kind, data = chance.choice(
            ((1, b"\x7f\0\0\1"), (5, b"\xc0\x0c"), (5, b"\5other\0"), (28, b"\0" * 16), (1, b"\1"))
        )
        out.append(owner + struct.pack("!HHIH", kind, 1, 60, len(data)) + data)
    out[3] = struct.pack("!H", count if chance.random() < 0.9 else chance.randrange(65536))
    return b"".join(out)


CONFIG = {
    "wifi_ssid": ("workshop", "", "x" * 33, "\ud83d", 5),
    "octoprint_host": ("octopi.local", "127.0.0.1", "http://x", "none"),
    "octoprint_port": (80, "80", 0, 65536, 80.5, None),
    "octoprint_api_key": ("K3Y", "", "a b"),
    "watch_bed": (True, "true", 1),
    "mqtt_host": ("none", "broker", ""),
    "mqtt_topic": ("octoplugout/{id}", "a/#", "/"),
    "topic_relay": ("/relay", "relay", "/x" * 40),
    "cool_below_c": (50, 49.5, 20, 200),
    "hot_above_c": (175, 40, "175"),
    "poll_s": (5, 0.1, 1e9),
    "long_press_ms": (600, 5000, 99),
    "led_patterns": (["print_started 100 900"], ["x"], [5], "x", ["Going 1 2 3"]),
    "messages": (["a", "b"], [], ["x" * 50], [""] * 7),
    "initial_state": ("last", "Relay_off", "Cooling"),
    "hostname": ("plug-{id}", "a.b", "x" * 40),
    "unknown": (1, [1, [2]], {"a": {}}),
}


def config(chance):
    """A config.json as a person or an older version may leave it."""
    keys = chance.sample(sorted(CONFIG), chance.randrange(1, 8))
    given = {key: chance.choice(CONFIG[key]) for key in keys}
    if chance.random() < 0.5:
        lines = [f"{json.dumps(key)}: {json.dumps(given[key])}" for key in given]
        return ("{\n" + ",\n".join(lines) + "\n}\n").encode()
    return json.dumps(given, indent=chance.choice((None, 2))).encode()


KINDS = {"http": http, "mqtt": mqtt, "dns": dns, "config": config}


def mutated(chance, data):
    """`data` with one to four things wrong."""
    data = bytearray(data)
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(data) + 1)
        what = chance.randrange(6)
        if what == 0 and data:
            data[at - 1] = chance.randrange(256)
        elif what == 1 and data:
            data[at - 1] ^= 1 << chance.randrange(8)
        elif what == 2:
            data[at:at] = chance.choice(WORDS)
        elif what == 3:
            del data[at : at + chance.randrange(1, 20)]
        elif what == 4:
            del data[at:]
        else:
            data[at:at] = data[at : at + chance.randrange(1, 60)]
    return bytes(data)


def inputs(kind, count, seed=0):
    """Yields `count` inputs for the parser of that kind."""
    chance = random.Random(f"{kind} {seed}")
    for _ in range(count):
        what = chance.random()
        if what < 0.08:
            yield chance.randbytes(chance.randrange(200))
        elif what < 0.2:
            yield KINDS[kind](chance)
        else:
            yield mutated(chance, KINDS[kind](chance))
