"""Writes config.json so that a power cut tears nothing. Loaded for that and let go.

First all that stays goes into a new file, then the new values; only when it is whole does it take
the place of the old one. One entry a line, defaults left out; what is not ours stays as it is.
"""

import json
import os


def copy(new, path):
    """Begin config.new with all entries but those in `new`. {}, or {"": why it failed}."""
    import configfile

    try:
        with open(_fresh(path), "wb") as file:
            file.write(b"{")
            start = b"\n"
            try:
                for key, _, entry in configfile.entries(path):
                    if key not in new:
                        file.write(start + entry[1:].strip())
                        start = b",\n"
            except OSError as error:
                if error.args[0] != 2:  # there is no file yet
                    raise
        return {}
    except (OSError, MemoryError) as error:
        return _failed(path, error)


def add(new, path):
    """End it with the good values `new`, and put it in place. {}, or {"": why it failed}."""
    import schema

    try:
        with open(_fresh(path), "ab") as file:
            start = b",\n" if os.stat(_fresh(path))[6] > 1 else b"\n"
            for row in schema.rows(new):
                key = row[0]
                # a secret is written even when empty: for ota_key that is a choice
                if new[key] != row[2] or row[1] == "secret":
                    file.write(start + json.dumps(key).encode() + b": " + _json(new[key]))
                    start = b",\n"
            file.write(b"\n}\n")
            file.flush()
        os.rename(_fresh(path), path)
        return {}
    except (OSError, MemoryError) as error:
        return _failed(path, error)


def _fresh(path):
    return path.rsplit(".", 1)[0] + ".new"


def _failed(path, error):
    try:
        os.remove(_fresh(path))
    except OSError:
        pass
    return {"": "%s cannot be written: %s" % (path, error)}


def _json(value):
    # CPython would write an emoji as two \u escapes, which MicroPython reads as two odd letters
    try:
        return json.dumps(value, ensure_ascii=False).encode()  # pyright: ignore
    except TypeError:  # MicroPython, which never does, and has no ensure_ascii
        return json.dumps(value).encode()
