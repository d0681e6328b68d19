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
    more = 0
    bag.id = id
    bag.topics = ()
    for row in schema.rows():
        _keep(bag, row, row[2], every)
    for key, value in _entries(data, path):
        row = schema.row(key)
        try:
            if not row:
                raise ValueError("unknown setting: " + key[:24])
            _keep(bag, row, schema.check(row, value, False), every)
        except ValueError as error:
            problems.append(str(error))
            if len(problems) > _MOST:
                more += 1
                problems[_MOST:] = ["and %d more" % more]
    for group in schema.GROUPS:
        keys = _together(group, bag.topics)
        if _at_odds([_kept(bag, key) for key in keys]):
            problems.append(group[1])
            for key in keys:
                row = schema.row(key)
                _keep(bag, row, row[2], every)
    bag.problems = tuple(problems)
    return bag


def save(changes, path, bag):
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
        keys = _together(group, new)
        if not [key for key in keys if key in new]:
            continue
        # the file may hold values at odds, which load() replaced by defaults: so do we
        values = [_good(key, data, path) for key in keys]
        if _at_odds(values):
            values = [schema.row(key)[2] for key in keys]
        values = [new.get(key, values[i]) for i, key in enumerate(keys)]
        for i, key in enumerate(keys):
            new[key] = values[i]
            if _at_odds(values):
                wrong[key] = group[1]
    if not wrong:
        wrong = _write(new, data, path)
    if bag and not wrong:
        for key in new:
            _keep(bag, schema.row(key), new[key], False)
    return wrong


def _keep(bag, row, value, every):
    # the value, as the running plug wants it, becomes an attribute
    key = row[0]
    if key == "messages":
        value = "\n".join((value + [""] * 6)[:6])
    elif row[1] == "list":
        value = tuple(value)
    elif key in ("hostname", "mqtt_topic") and bag.id:
        value = value.replace("{id}", bag.id)
    elif key[:6] == "topic_":
        topics = dict(bag.topics)
        topics.pop(key[6:], None)
        if value != row[2]:
            topics[key[6:]] = value
        bag.topics = topics or ()
    if row[5] or every:
        setattr(bag, key, value)


def _kept(bag, key):
    if key[:6] == "topic_":
        return (bag.topics or {}).get(key[6:]) or schema.row(key)[2]
    return getattr(bag, key, key)  # one that is not kept differs from every other


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
    return save(new, path, None) if new else {}


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


def _together(group, touched):
    # the keys of a group; a word that ends with _ stands for all keys that begin so
    start = group[0]
    if start[-1] != "_":
        return start.split(" ")
    if not touched:
        return ()
    return [row[0] for row in schema.rows() if row[0].startswith(start)]


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
    bad = path.rsplit(".", 1)[0] + ".bad"
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
    # yields (key, value); MicroPython's parser takes keys that are no text
    if data is not None:
        for key in data:
            yield str(key), data[key]
        return
    with open(path, "rb") as file:
        for line in file:
            if len(line) > 3:
                found = _line(line)
                for key in found:
                    yield str(key), found[key]


def _write(new, data, path):
    fresh = path.rsplit(".", 1)[0] + ".new"
    try:
        with open(fresh, "wb") as file:
            file.write(b"{")
            start = b"\n"
            for changed in (False, True):
                for key, value in new.items() if changed else _entries(data, path):
                    if changed:
                        row = schema.row(key)
                        # a secret is written even when empty: for ota_key that is a choice
                        if value == row[2] and row[1] != "secret":
                            continue
                    elif key in new:
                        continue
                    file.write(start + _json(key) + b": " + _json(value))
                    start = b",\n"
            file.write(b"\n}\n")
            file.flush()
        os.rename(fresh, path)
        return {}
    except (OSError, MemoryError) as error:
        try:
            os.remove(fresh)
        except OSError:
            pass
        return {"": "%s cannot be written: %s" % (path, error)}


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
