"""What makes a text or a list of texts good; loaded to look at one and let go."""


def good(row, value, form):
    """See schema.check(), which knows what to say when this raises.

    A ValueError carries the word that the sentence is found by in settings.txt, or anything else
    where the limits are to be told.
    """
    key, kind, _, lowest, highest, _ = row
    if kind == "list":
        if form and isinstance(value, str):
            value = [line.strip() for line in value.strip().split("\n")]
            value = [] if value == [""] else value
        if len(value) <= highest:
            return [_line(text, lowest) for text in value]
    else:
        value = _text(key, kind, value, row[2][:1])
        size = len(value.encode())
        if lowest <= size <= highest and not (key == "wifi_password" and 0 < size < 8):
            return value
    raise ValueError


def _text(key, kind, value, first):
    _printable(value, 0 if key == "wifi_ssid" else 32)  # a network may be called anything
    if kind == "host" or key in ("hostname", "octoprint_api_key"):
        value = value.strip()
        name = key == "hostname" and value.replace("{id}", "123456")
        for byte in (name or value).encode():
            if not (97 <= byte | 32 <= 122 or 48 <= byte <= 57 or byte in b"-._"):
                raise ValueError("letters")
        if value == "none" and kind == "host":
            value = ""  # as OctoPlugout 4 wrote "no broker"
        if name and (len(name) > 32 or "." in name or "_" in name):
            raise ValueError("name")
    elif key[:6] == "topic_" or key in ("mqtt_topic", "ha_prefix"):
        value = value.strip()
        if "+" in value or "#" in value or value[-1:] == "/":
            raise ValueError("topic")
        if first == "/" != value[:1]:
            value = "/" + value
    elif key == "wifi_country" and value:
        value = value.strip().upper()
        if len(value) != 2 or not value.isalpha():
            raise ValueError("country")
    return value


def _line(text, states):
    if not isinstance(text, str) or len(_printable(text, 32).encode()) > 48:
        raise ValueError("line")
    if len(states) > 1:
        part = text.split()
        if len(part) != 3 or part[0] not in states:
            raise ValueError("pattern")
        for ms in part[1:]:
            if not 0 <= int(ms) <= 60000:
                raise ValueError("ms")
    return text


def _printable(text, lowest):
    # Bytes are looked at, not characters: MicroPython keeps each character it meets for ever.
    before = 0
    for byte in text.encode():
        if byte < lowest or lowest and byte == 127:
            raise ValueError("control")
        if before == 0xED and byte >= 0xA0:
            raise ValueError  # half an emoji, which CPython's encode() refuses itself
        before = byte
    return text
