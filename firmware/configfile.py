"""config.json: read whatever a person left there, write it so that a power cut tears nothing.

One flat JSON object, written one key a line: so it is read line by line with hardly any memory,
and whole only when somebody else laid it out. Loaded by settings.py for one call at a time.
"""

import json
import os

import schema

_LARGEST = 6144  # bytes; all settings at their longest are 3 KB, and the heap has 36
_MOST = 8  # problems told, so that a file of nonsense does not fill the heap with complaints


def load(bag, path, id, every):
    data, problem = _read(path)
    problems = [problem] if problem else []
    values = {}
    topics = {}
    for row in schema.rows():
        key, kind, value, _, _, kept = row
        if key in data:
            try:
                value = schema.check(row, data.pop(key), False)
            except ValueError as error:
                problems.append(str(error))
            if key[:6] == "topic_" and value != row[2]:
                topics[key[6:]] = value
        if kept or every:
            values[key] = value
    for keys, problem in schema.GROUPS:
        if _at_odds(keys, values):
            problems.append(problem)
            for key in keys.split(" "):
                values[key] = schema.row(key)[2]
    for key in data:
        problems.append("unknown setting: " + key[:24])
    if len(problems) > _MOST:
        problems[_MOST - 1 :] = ["and %d more" % (len(problems) - _MOST + 1)]
    if id:
        for key in ("hostname", "mqtt_topic"):
            values[key] = values[key].replace("{id}", id)
    values["messages"] = "\n".join((values["messages"] + [""] * 6)[:6])
    values["led_patterns"] = tuple(values["led_patterns"])
    values["topics"] = topics or ()
    values["problems"] = tuple(problems)
    for key in values:
        setattr(bag, key, values[key])
    return bag


def save(changes, path):
    data, problem = _read(path)
    if problem and _there(path):
        return {"": problem}  # what could not be read is not written over
    wrong = {}
    new = {}
    for key in changes:
        row = schema.row(key)
        if not row:
            wrong[key] = "unknown setting: " + key
            continue
        try:
            new[key] = schema.check(row, changes[key], True)
        except ValueError as error:
            wrong[key] = str(error)
    for keys, problem in schema.GROUPS:
        if any(key in new for key in keys.split(" ")):
            together = {key: _good(key, data) for key in keys.split(" ")}
            if _at_odds(keys, together):
                together = {key: schema.row(key)[2] for key in together}
            for key in together:
                new.setdefault(key, together[key])
            if _at_odds(keys, new):
                for key in together:
                    wrong[key] = problem
    if wrong:
        return wrong
    data.update(new)
    return _write(data, path)


def check(key, value):
    row = schema.row(key)
    if not row:
        raise ValueError("unknown setting: " + key)
    return schema.check(row, value, True)


def get(key, path):
    if not schema.row(key):
        raise KeyError(key)
    return _good(key, _read(path, key)[0])


def first_start(path, urandom):
    letters = "abcdefghijkmnpqrstuvwxyz23456789"  # 32 that nobody mistakes for another
    new = {}
    for key, length in (("portal_password", 8), ("ota_key", 26)):
        data, _ = _read(path, key)
        # an empty ota_key is somebody's wish, an empty or short password is a missing one
        if not (key in data if key == "ota_key" else _good(key, data)):
            new[key] = "".join([letters[byte & 31] for byte in urandom(length)])
    return save(new, path) if new else {}


def _good(key, data):
    row = schema.row(key)
    try:
        return schema.check(row, data[key], False)
    except (KeyError, ValueError):
        return row[2]


def _at_odds(keys, values):
    given = [values[key] for key in keys.split(" ")]
    if len(given) == 2:
        return given[0] >= given[1]
    return len(set(given)) < len(given)


def _there(path):
    try:
        return os.stat(path)
    except OSError:
        return None


def _beside(path, ending):
    return path.rsplit(".", 1)[0] + ending


def _read(path, only=None):
    # ({key: value}, "" or what is wrong); a file that is no JSON object is set aside, not lost
    there = _there(path)
    if not there:
        return {}, "no " + path
    size = there[6]
    try:
        if size > _LARGEST:
            raise ValueError
        with open(path, "rb") as file:
            data = _lines(file, only)
            if data is None:
                file.seek(3 if file.read(3) == b"\xef\xbb\xbf" else 0)
                data = json.load(file)
        if isinstance(data, dict):
            return data, ""
        problem = "not a JSON object"
    except OSError as error:
        return {}, "%s cannot be read: %s" % (path, error)
    except MemoryError:
        return {}, path + " does not fit into memory"
    except (ValueError, RuntimeError):  # RuntimeError: nested too deeply for CPython
        problem = "larger than %d bytes" % _LARGEST if size > _LARGEST else "not JSON"
    bad = _beside(path, ".bad")
    try:
        os.rename(path, bad)
        return {}, "%s was %s, set aside as %s" % (path, problem, bad)
    except OSError:
        return {}, "%s is %s" % (path, problem)


def _lines(file, only):
    # The object out of a file with whole entries on every line, or None if it is laid out
    # otherwise. MicroPython's parser overlooks brackets left open, hence the look at the ends.
    data = {}
    if file.readline(80).strip() != b"{":
        return None
    while True:
        line = file.readline(1024).strip()
        if line == b"}":
            return None if file.read(80).strip() else data
        if line[-1:] == b",":
            line = line[:-1]
        if line[:1] != b'"' or line[-1:] in b"[{:,":
            return None
        try:
            entry = json.loads(b"{" + line + b"}")
        except ValueError:
            return None
        if not entry:
            return None
        if only is None:
            data.update(entry)
        elif only in entry:
            data[only] = entry[only]


def _write(data, path):
    new = _beside(path, ".new")
    try:
        with open(new, "wb") as file:
            start = b"{\n"
            for row in schema.rows():
                key, kind, default = row[:3]
                # a secret is written even when empty: for ota_key that is a choice
                if key in data and (kind == "secret" or data[key] != default):
                    _entry(file, start, key, data[key])
                    start = b",\n"
                data.pop(key, None)
            for key in data:
                _entry(file, start, key, data[key])
                start = b",\n"
            file.write(b"{\n}\n" if start == b"{\n" else b"\n}\n")
            file.flush()
        os.rename(new, path)
        return {}
    except OSError as error:
        try:
            os.remove(new)
        except OSError:
            pass
        return {"": "%s cannot be written: %s" % (path, error)}


def _entry(file, start, key, value):
    file.write(start)
    file.write(_json(key))
    file.write(b": ")
    file.write(_json(value))


def _json(value):
    # CPython would write an emoji as two \u escapes, which MicroPython reads as two odd letters
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except (TypeError, ValueError):  # MicroPython has no ensure_ascii; half an emoji has no bytes
        return json.dumps(value).encode()
