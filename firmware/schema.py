"""The settings: one row each, and what makes a value good.

A row reads `key kind lowest highest default`; `*` before the key: kept in RAM as an attribute of
Settings. For text, secret and host the limits are lengths in bytes, for list the number of texts
(its default joined with `|`), for choice the first limit is the choices. The table is text, and in
pieces, because rows as tuples cost three times the heap and one long text needs one long free
block. This module is loaded when settings are read, shown or written, and let go afterwards.
"""

TABLE = (
    """
*wifi_ssid text 0 32
*wifi_password secret 0 64
*wifi_country text 0 2
*hostname text 1 32 octoplugout
portal_password secret 8 63
ota_key secret 0 64
""",
    """
*octoprint_host host 0 64
*octoprint_port port 1 65535 80
*octoprint_api_key secret 0 64
*probe_port port 1 65535 22
*shutdown_pi bool - - true
*watch_bed bool - - false
""",
    """
*mqtt_host host 0 64
*mqtt_port port 1 65535 1883
*mqtt_user text 0 64
*mqtt_password secret 0 64
*mqtt_topic text 1 64 octoplugout/{id}
*mqtt_report_s float 0.2 86400 60
*mqtt_keepalive_s int 1 3600 60
""",
    """
topic_switch text 2 32 /switch
topic_plugstate text 2 32 /plugstate
topic_relay text 2 32 /relay
topic_mode text 2 32 /mode
topic_reason text 2 32 /reason
topic_countdown text 2 32 /countdown
topic_status text 2 32 /status
topic_error text 2 32 /error
topic_printstate text 2 32 /state/printstate
topic_extrudertemp text 2 32 /state/extrudertemp
topic_bedtemp text 2 32 /state/bedtemp
topic_jobstate text 2 32 /job/jobstate
topic_jobprogress text 2 32 /job/jobprogress
topic_info text 2 32 /info
""",
    """
*initial_state choice Relay_off|Switched_ON|Waiting_for_print_activity|last - \
Waiting_for_print_activity
*cool_below_c float 20 150 50
*hot_above_c float 30 350 175
*min_job_s float 0 86400 300
*shutdown_wait_s float 0 3600 30
*halt_settle_s float 0.2 3600 45
*shutdown_max_s float 1 7200 120
*pi_down_s float 0 3600 15
*boot_s float 0 3600 120
*wifi_settle_s float 0 3600 180
*blind_cool_s float 0 86400 900
*poll_s float 0.2 60 5
*poll_idle_s float 0.2 300 15
""",
    """
*long_press_ms int 100 5000 600
*portal_press_ms int 500 14000 5000
portal_open_s float 1 600 180
*led_patterns list 0 12
led_version bool - - true
*led_off bool - - false
*messages list 0 6 OctoPlugout 5.0|PRINT started|Poweroff after PRINT|Shutdown at T=%c (now %t)|\
Poweroff in %ws|NOT monitoring
""",
    """
pin_button pin 0 16 0
pin_relay pin 0 16 12
pin_led pin 0 16 13
invert_relay bool - - false
invert_led bool - - false
invert_button bool - - false
""",
)

# Values that make sense only together. Each group: its keys, and what must be true of them.
GROUPS = (
    ("cool_below_c hot_above_c", "cool_below_c must be less than hot_above_c"),
    ("long_press_ms portal_press_ms", "long_press_ms must be less than portal_press_ms"),
    ("pin_button pin_relay pin_led", "pin_button, pin_relay and pin_led must differ"),
    ("topic_", "topic_switch and the other sub-topics must differ"),
)

# The states a line of led_patterns may begin with.
LIGHTS = (
    "Relay_off Switched_ON Waiting_for_print_activity Waiting_for_print_activity_connected"
    " print_started ready_for_shutting_down ready_for_shutting_down_extruder_HOT"
    " shutting_down_PI delayed_powering_relay_off going_down"
)


def rows():
    """Yield (key, kind, default, lowest, highest, kept) in the order of the table."""
    for text in TABLE:
        at = 1
        while at < len(text):
            end = text.find("\n", at)
            yield _row(text[at:end])
            at = end + 1


def row(key):
    """The row of one key, or None if there is no such setting."""
    for text in TABLE:
        for mark in ("\n*", "\n"):
            at = text.find(mark + key + " ")
            if at >= 0 and " " not in key and key[:1] != "*":
                return _row(text[at + 1 : text.find("\n", at + 1)])
    return None


def _row(line):
    kept = line[0] == "*"
    part = line[kept:].split(" ", 4)
    key, kind, lowest, highest = part[:4]
    default = part[4] if len(part) > 4 else ""
    if kind in "int float port pin":
        return key, kind, int(default), number(lowest), number(highest), kept
    if kind == "bool":
        return key, kind, default == "true", None, None, kept
    if kind == "choice":
        return key, kind, default, tuple(lowest.split("|")), None, kept
    if kind == "list":
        default = default.split("|") if default else []
    return key, kind, default, int(lowest), int(highest), kept


def number(text):
    """An int where the text is one, else a float; ValueError when it is neither."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def limits(row):
    """What a value of this row may be, in words for a person."""
    key, kind, _, lowest, highest, _ = row
    if kind == "bool":
        return "true or false"
    if kind == "choice":
        return "one of " + ", ".join(lowest)
    if kind == "list":
        return "at most %s texts" % highest
    if kind == "pin":
        return "a GPIO from 0 to 16, not 6 to 11"
    if kind in "int port":
        return "a whole number from %s to %s" % (lowest, highest)
    if kind == "float":
        return "a number from %s to %s" % (lowest, highest)
    if key == "wifi_password":
        return "8 to 64 characters, or none"
    return "%s to %s characters" % (lowest, highest)


def check(row, value, form):
    """The value as it is kept in the file.

    row: from row() or rows(). value: anything. form: True when it was typed into a form, so that
    numbers, yes and no, and lists (one text a line) come as text. ValueError names key and limits.
    """
    key, kind, _, lowest, highest, _ = row
    try:
        if kind in "int float port pin":
            value = _number(kind, value, form)
            if lowest <= value <= highest and not (kind == "pin" and 6 <= value <= 11):
                return value
        elif kind == "bool":
            if form and isinstance(value, str):
                value = value.strip().lower()
                if value in ("true", "on", "yes", "1"):
                    return True
                if value in ("false", "off", "no", "0", ""):
                    return False
            elif value is True or value is False:
                return value
        elif kind == "choice":
            if value in lowest:
                return value
        elif kind == "list":
            if form and isinstance(value, str):
                value = [line.strip() for line in value.strip().split("\n")]
                value = [] if value == [""] else value
            if len(value) <= highest:
                return [_line(key, text) for text in value]
        else:
            value = _text(key, kind, value)
            size = len(value.encode())
            if lowest <= size <= highest and not (key == "wifi_password" and 0 < size < 8):
                return value
    except Refused as why:
        raise ValueError("%s: %s" % (key, why))
    except (ValueError, TypeError, AttributeError):
        pass  # what cannot even be looked at is outside the limits too
    raise ValueError("%s: %s" % (key, limits(row)))


class Refused(Exception):
    """Inside its limits, and yet wrong; the text says why."""


def _number(kind, value, form):
    if form and isinstance(value, str) and "_" not in value:  # Python reads 1_0 as 10
        value = number(value.strip())
    if isinstance(value, bool) or not isinstance(value, (int, float) if kind == "float" else int):
        raise ValueError
    return value


def _text(key, kind, value):
    _printable(value, 0 if key == "wifi_ssid" else 32)  # a network may be called anything
    if kind == "host" or key in ("hostname", "octoprint_api_key"):
        value = value.strip()
        for byte in (value.replace("{id}", "") if key == "hostname" else value).encode():
            if not (97 <= byte | 32 <= 122 or 48 <= byte <= 57 or byte in b"-._"):
                raise Refused("only letters, digits, - . _ (no http://, no port)")
        if value == "none" and kind == "host":
            value = ""  # as OctoPlugout 4 wrote "no broker"
        if key == "hostname" and (
            len(value.replace("{id}", "123456")) > 32 or "." in value or "_" in value
        ):
            raise Refused("letters, digits and -, at most 32 with {id} filled in")
    elif key[:6] == "topic_" or key == "mqtt_topic":
        value = value.strip()
        if "+" in value or "#" in value or value[-1:] == "/":
            raise Refused("no + or #, no / at the end")
        if key[0] == "t" and value[:1] != "/":
            value = "/" + value
    elif key == "wifi_country" and value:
        value = value.strip().upper()
        if len(value) != 2 or not value.isalpha():
            raise Refused("two letters, such as DE, or empty")
    return value


def _line(key, text):
    if not isinstance(text, str) or len(_printable(text, 32).encode()) > 48:
        raise Refused("texts of at most 48 characters each")
    if key == "led_patterns":
        part = text.split()
        if len(part) != 3 or part[0] not in LIGHTS.split(" "):
            raise Refused("each line: state, ms on, ms off; states: " + LIGHTS)
        for ms in part[1:]:
            if not 0 <= int(ms) <= 60000:
                raise Refused("ms on and ms off from 0 to 60000")
    return text


def _printable(text, lowest):
    # Bytes are looked at, not characters: MicroPython keeps each character it meets for ever.
    before = 0
    for byte in text.encode():
        if byte < lowest or byte == 127:
            raise Refused("no control characters")
        if before == 0xED and byte >= 0xA0:
            raise ValueError  # half an emoji, which CPython's encode() refuses itself
        before = byte
    return text
