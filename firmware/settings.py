"""The settings in use, and the way to the file they are kept in.

Settings is a bag of attributes, one for each key that the running plug needs often; everything
else about settings (the table, the checks, reading and writing the file) is loaded for one call
and let go again, since it would take a tenth of the plug's memory and is needed once a day.
"""

import sys


class Settings:
    """One attribute a kept key, named as the key in the file.

    Durations are int or float, in the unit their name ends with. `topics`: dict of the sub-topics
    that differ from their default, by name without "topic_", or (). `messages`: the LCD texts
    joined by newlines. `led_patterns`: tuple of texts. `id`: as given to load(). `problems`: tuple
    of texts, what was wrong with the file.
    """


def load(path="config.json", id="", every=False):
    """Read the file; whatever is wrong with it becomes a text in `.problems`. Never raises.

    id: what {id} in hostname and mqtt_topic becomes. every: also the keys that are not kept.
    """
    return _call("load", Settings(), path, id, every)


def save(changes, path="config.json", bag=None):
    """Check and write {key: value or form text}. {} if written, else {key: what is wrong}.

    One wrong value and nothing is written. A file that cannot be written is told under "".
    bag: the Settings in use, which take the new values once they are written.
    """
    return _call("save", changes, path, bag)


def check(key, value):
    """The value as the file would keep it; ValueError naming key and limits."""
    return _call("check", key, value)


def get(key, path="config.json"):
    """One value that is not kept as an attribute, or its default. KeyError if there is no such."""
    return _call("get", key, path)


def first_start(path="config.json", urandom=None):
    """Make portal_password and ota_key where the file has none; urandom(n) gives n bytes.

    Returns what save() returns.
    """
    return _call("first_start", path, urandom)


def _call(name, *given):
    import configfile

    try:
        return getattr(configfile, name)(*given)
    finally:
        for module in ("configfile", "schema"):
            sys.modules.pop(module, None)
