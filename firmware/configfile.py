"""config.json: read whatever a person left there, write it so that a power cut tears nothing.

One flat JSON object. Written one entry a line, it is read a line at a time and never held whole:
settings are saved while the portal is open, and there is hardly room for anything then. Only a
file that somebody laid out otherwise is parsed in one go. Loaded by settings.py for one call.
"""

import json
import os

import schema

_LARGEST = 6144  # bytes; all settings at their longest are about 4 KB
_MOST = 8  # problems told, so that a file of nonsense does not fill the heap with complaints


def load(bag, path, id, every):
    data, problem = _open(path)
    problems = [problem] if problem else []
    topics = {}
    more = 0
    for row in schema.rows():
        if row[5] or every:
            setattr(bag, row[0], row[2])
    for key, value in _entries(data, path):
        row = schema.row(key)
        try:
            if not row:
                raise ValueError("unknown setting: " + key[:24])
            value = schema.check(row, value, False)
            if key[:6] == "topic_" and value != row[2]:
                topics[key[6:]] = value
            if row[5] or every:
                setattr(bag, key, value)
        except ValueError as error:
            problems.append(str(error))
            if len(problems) > _MOST:
                more += 1
                problems[_MOST:] = ["and %d more" % more]
    for group in schema.GROUPS:
        keys = _together(group)
        default = [schema.row(key)[2] for key in keys]
        if keys[0][:6] == "topic_":
            inuse = [topics.get(key[6:], default[i]) for i, key in enumerate(keys)]
        else:
            inuse = [getattr(bag, key) for key in keys]
        if _at_odds(inuse):
            problems.append(group[1])
            for i, key in enumerate(keys):
                topics.pop(key[6:], None)
                if hasattr(bag, key):
                    setattr(bag, key, default[i])
    if id:
        bag.hostname = bag.hostname.replace("{id}", id)
        bag.mqtt_topic = bag.mqtt_topic.replace("{id}", id)
    bag.messages = "\n".join((bag.messages + [""] * 6)[:6])
    bag.led_patterns = tuple(bag.led_patterns)
    bag.topics = topics or ()
    bag.problems = tuple(problems)
    return bag


def save(changes, path):
    data, problem = _open(path)
    if problem and _size(path) >= 0:
        return {"": problem}  # what could not be read is not written over
    wrong = {}
    new = {}
    for key in changes:
        try:
            new[key] = check(key, changes[key])
        except ValueError as error:
            wrong[key] = str(error)
    for group in schema.GROUPS:
        keys = _together(group)
        if not [key for key in keys if key in new]:
            continue
        # the file may hold values at odds, which load() replaced by defaults: so do we
        inuse = [_good(key, data, path) for key in keys]
        if _at_odds(inuse):
            inuse = [schema.row(key)[2] for key in keys]
        inuse = [new.get(key, inuse[i]) for i, key in enumerate(keys)]
        for i, key in enumerate(keys):
            new[key] = inuse[i]
            if _at_odds(inuse):
                wrong[key] = group[1]
    return wrong or _write(new, data, path)


def check(key, value):
    row = schema.row(key)
    if not row:
        raise ValueError("unknown setting: " + key)
    return schema.check(row, value, True)


def get(key, path):
    if not schema.row(key):
        raise KeyError(key)
    return _good(key, _open(path)[0], path)


def first_start(path, urandom):
    letters = "abcdefghijkmnpqrstuvwxyz23456789"  # 32 that nobody mistakes for another
    data, _ = _open(path)
    new = {}
    for key, length in (("portal_password", 8), ("ota_key", 26)):
        # an empty ota_key is somebody's wish, an empty or short password is a missing one
        if key == "ota_key" and [1 for entry in _entries(data, path) if entry[0] == key]:
            continue
        if not _good(key, data, path):
            new[key] = "".join([letters[byte & 31] for byte in urandom(length)])
    return save(new, path) if new else {}


def _good(key, data, path):
    # the value in use: the file's if it is within limits, else the default
    row = schema.row(key)
    good = row[2]
    for name, value in _entries(data, path):
        if name == key:
            try:
                good = schema.check(row, value, False)
            except ValueError:
                good = row[2]
    return good


def _together(group):
    # the keys of a group; a word that ends with _ stands for all keys that begin so
    if group[0][-1] == "_":
        return [row[0] for row in schema.rows() if row[0].startswith(group[0])]
    return group[0].split(" ")


def _at_odds(values):
    if len(values) == 2:
        return values[0] >= values[1]
    return len(set(values)) < len(values)


def _size(path):
    try:
        return os.stat(path)[6]
    except OSError:
        return -1


def _open(path):
    # ({key: value}, or None to be read by lines; "" or what is wrong with the file).
    # What is not a JSON object is renamed, not lost.
    size = _size(path)
    if size < 0:
        return {}, "no " + path
    try:
        if size > _LARGEST:
            raise ValueError
        with open(path, "rb") as file:
            if _by_lines(file):
                return None, ""
            file.seek(0)
            file.seek(3 if file.read(3) == b"\xef\xbb\xbf" else 0)
            data = json.load(file)
            file.seek(max(0, size - 40))  # MicroPython does not miss the last brace of a torn file
            torn = file.read().strip()[-1:] != b"}"
        if isinstance(data, dict):
            if torn:
                raise ValueError
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


def _by_lines(file):
    # True for a brace, lines of whole entries, a brace. MicroPython's parser overlooks brackets
    # left open, hence the look at how a line ends.
    try:
        if file.readline(80).strip() != b"{":
            return False
        while True:
            line = file.readline().strip()
            if line == b"}":
                return not file.read(80).strip()
            if line[:1] != b'"' or line.rstrip(b",")[-1:] in b"[{:" or not _line(line):
                return False
    except ValueError:
        return False


def _line(line):
    return json.loads(b"{" + line.strip().rstrip(b",") + b"}")


def _entries(data, path):
    # yields (key, value)
    if data is not None:
        yield from data.items()
        return
    with open(path, "rb") as file:
        for line in file:
            if len(line) > 3:
                yield from _line(line).items()


def _beside(path, ending):
    return path.rsplit(".", 1)[0] + ending


def _write(new, data, path):
    fresh = _beside(path, ".new")
    try:
        with open(fresh, "wb") as file:
            file.write(b"{")
            start = b"\n"
            for key, value in _entries(data, path):
                if key not in new:
                    _entry(file, start, key, value)
                    start = b",\n"
            for key in new:
                row = schema.row(key)
                # a secret is written even when empty: for ota_key that is a choice
                if new[key] != row[2] or row[1] == "secret":
                    _entry(file, start, key, new[key])
                    start = b",\n"
            file.write(b"\n}\n")
            file.flush()
        os.rename(fresh, path)
        return {}
    except OSError as error:
        try:
            os.remove(fresh)
        except OSError:
            pass
        return {"": "%s cannot be written: %s" % (path, error)}


def _entry(file, start, key, value):
    file.write(start)
    file.write(_json(key))
    file.write(b": ")
    file.write(_json(value))


def _json(value):
    # CPython would write an emoji as two \u escapes, which MicroPython reads as two odd letters;
    # MicroPython writes 1e999 as inf, which is no JSON: the whole file would be given up for it.
    try:
        text = json.dumps(value, ensure_ascii=False).encode()  # pyright: ignore
    except (TypeError, ValueError):  # MicroPython has no ensure_ascii; half an emoji has no bytes
        text = json.dumps(value).encode()
    try:
        json.loads(text)
    except ValueError:
        return b"null"
    return text
