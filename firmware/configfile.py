"""config.json: one flat JSON object, read an entry at a time as it streams by, never held whole.

Settings are saved while the portal is open, and there is hardly room for anything then. However a
person laid the file out, it is read the same way. Loaded by settings.py for one call. Written by
saving.py.
"""

import json
import os

_LARGEST = 6144  # bytes; all settings at their longest are about 4 KB


def read(path, keys=None):
    """({key: value}, ""), or what is wrong with the file in place of "".

    keys: all that is wanted, as for schema.used(); None for everything. What is not a JSON object
    is renamed, not lost; None in place of the dict where that, or reading it, failed: it must not
    be written over.
    """
    found = {}
    try:
        if os.stat(path)[6] <= _LARGEST:
            for key, value, _ in entries(path):
                if keys is None or key in keys or key[:6] in keys:
                    found[key] = value
            return found, ""
        wrong = "larger than %d bytes" % _LARGEST
    except OSError as error:
        if error.args[0] == 2:
            return {}, "no " + path
        return None, "%s cannot be read: %s" % (path, error)
    except MemoryError:
        return None, path + " does not fit into memory"
    except (ValueError, RuntimeError):  # RuntimeError: nested too deeply for CPython
        wrong = "not a JSON object"
    bad = path.rsplit(".", 1)[0] + ".bad"
    try:
        os.rename(path, bad)
        return {}, "%s was %s, set aside as %s" % (path, wrong, bad)
    except OSError:
        return None, "%s is %s" % (path, wrong)


def entries(path):
    """Yield (key, value, the two as they stand in the file) of every entry.

    OSError if there is no file, ValueError where it stops being a JSON object.
    """
    entry = None  # what came of the entry so far and a brace before it; None outside of the braces
    depth = text = done = 0  # text: 1 between quotes, 2 after a backslash there
    with open(path, "rb") as file:
        while True:
            chunk = file.read(64)
            if not chunk:
                break
            at = 0
            while at < len(chunk):
                if text == 1 and entry:  # as far as nothing happens
                    ends = chunk.find(b'"', at), chunk.find(b"\\", at)
                    to = min([end for end in ends if end >= 0] or [len(chunk)])
                    entry.extend(chunk[at:to])
                    at = to
                    if at == len(chunk):
                        break
                byte = chunk[at]
                at += 1
                if text:
                    text = 1 if text == 2 else 2 if byte == 92 else int(byte != 34)
                elif byte == 34:
                    text = 1
                elif byte in b"{[":
                    depth += 1
                elif byte in b"}]":
                    depth -= 1
                if entry is None:
                    if byte == 123 and not done:
                        entry = bytearray(b"{")
                    elif byte not in b" \t\r\n\xef\xbb\xbf":
                        raise ValueError
                elif depth == 0 or depth == 1 and byte == 44 and not text:
                    found = json.loads(entry + b"}")  # type: ignore
                    if len(found) > 1:
                        raise ValueError
                    for key in found:  # MicroPython's parser takes keys that are no text
                        yield str(key), found[key], entry
                    done = not depth
                    entry = None if done else bytearray(b"{")
                else:
                    entry.append(byte)
    if not done:
        raise ValueError
