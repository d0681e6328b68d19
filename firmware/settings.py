"""The settings in use, and the way to the file they are kept in.

Settings is a bag of attributes, one for each key that the running plug needs often. Everything
else about settings is done in steps, each by modules of its own that are let go before the next
step is taken: together they would take a fifth of the plug's memory, and are needed once a day.
"""

import gc
import sys

_PARTS = "configfile figures firsts loading refusal odds saving schema sheet texts"


class Settings:
    """One attribute a kept key, named as the key in the file.

    Durations are int or float, in the unit their name ends with. `topics`: dict of what differs
    from its default of the sub-topics, by name without "topic_", and of what is seldom set, or ().
    `messages`: the LCD texts joined by newlines. `led_patterns`: tuple of texts. `id`: as given to
    load(). `problems`: tuple of texts, what was wrong with the file.
    """


def load(path="config.json", id="", every=False):
    """Read the file; whatever is wrong with it becomes a text in `.problems`. Never raises.

    id: what {id} in hostname and mqtt_topic becomes. every: also the keys that are not kept.
    """
    bag = Settings()
    bag.id = id
    return _step("loading", "load", bag, path, every, _step, _broken)


def save(changes, path="config.json", bag=None):
    """Check and write {key: value or form text}. {} if written, else {key: what is wrong}.

    One wrong value and nothing is written. A file that cannot be written is told under "".
    bag: the Settings in use, which take the new values once they are written.
    """
    from keeping import save_slowly

    del sys.modules["keeping"]
    wrong = {}
    for _ in save_slowly(changes, wrong, path, bag):
        pass
    return wrong


def get(key, path="config.json"):
    """One value that is not kept as an attribute, or its default. KeyError if there is no such."""
    found, _ = _step("configfile", "read", path, (key,))
    return _step("schema", "used", (key,), found or {})[key]


def first_start(path="config.json", urandom=None):
    """Make portal_password and ota_key where the file has none; urandom(n) gives n bytes.

    Returns what save() returns.
    """
    return _step("firsts", "make", path, urandom, get, save)


def page(group, path="config.json"):
    """What sheet.filled() yields for a page of the form, from 0, with the values in use."""
    keys = _step("sheet", "keys", group)
    found, _ = _step("configfile", "read", path, keys)
    values = _step("schema", "used", keys, found or {})
    return _step("sheet", "filled", _step("schema", "table"), group, values)


def _broken(keys, found, new):
    # {key: the rule that it breaks} of `keys`, with the values that are or would be in use
    if not keys:
        return {}
    values = _step("schema", "used", keys, found)
    values.update(new)
    return _step("odds", "broken", values)


def _step(module, name, *given):
    try:
        return getattr(__import__(module), name)(*given)
    finally:
        for part in _PARTS.split(" "):
            sys.modules.pop(part, None)
        gc.collect()
        plug = sys.modules.get("plug")
        if plug and plug.watchdog:  # all steps together take longer than it waits
            plug.watchdog()
