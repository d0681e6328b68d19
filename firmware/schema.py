"""The settings: one row each, read from settings.txt a line at a time and never held whole.

A row of the text is `key|kind|lowest|highest|default|unit|label|help`; where a `*` stands after
the kind the value is kept in RAM, as an attribute of Settings: of the name that follows, else of
the key (the build gives short ones, which cost the heap nothing); a `+`: in Settings.topics, if it
is not the default. For text, secret and host the
limits are lengths in bytes. For list the highest is the number of texts, and the lowest, if any,
the words that a text may begin with; for choice the lowest is the choices; such words, and a
list's default, are joined with `/`. A line `= name` begins a page of the form. What is said of a
wrong value stands in lines `! word sentence`, what must be true of several together in
`& keys: sentence`. The last line is a full stop.

The rows that are yielded are (key, kind, default, lowest, highest, kept), kept being the attribute
or "". Loaded when settings are read, shown or written, and let go afterwards.
"""

import gc
import io
import sys


def table() -> "io.TextIOWrapper":
    """The text, open; without it the spare one, which has no pages, labels and helps."""
    for folder in sys.path:
        try:
            return open(folder + "/settings.txt")
        except OSError:
            pass
    import steps

    return io.StringIO(steps.take("spare").TABLE)  # type: ignore


def rows(keys=None):
    """Yield every row, or those of `keys`, in the order of the table.

    "topic_" among the keys stands for all that begin so. ValueError if the text is not whole.
    """
    line = ""
    left = -1 if keys is None else len(keys)
    with table() as file:
        for line in file:
            if not left:
                return
            if "|" in line:
                key = line[: line.find("|")]
                if keys is None or key in keys or key[5:6] == "_" and key[:6] in keys:
                    left -= key[:6] != "topic_"  # of these nobody knows how many are meant
                    yield parse(line)
    if line != ".\n":
        raise ValueError


def parse(line):
    """The row of a line of the table."""
    key, kind, lowest, highest, default, _ = line.split("|", 5)
    kept = ""
    at = kind.find("*")
    if at > 0:
        kept = kind[at + 1 :] or key
        kind = kind[:at]
    elif kind[-1] == "+":
        kept = "+"
        kind = kind[:-1]
    if kind == "bool":
        return key, kind, default == "true", None, None, kept
    if kind in "list choice":
        lowest = tuple(lowest.split("/"))
        if kind == "list":
            default = default.split("/") if default else []
    else:
        lowest = number(lowest)
        if kind in "int float port pin":
            default = number(default)
    return key, kind, default, lowest, number(highest or "0"), kept


def number(text):
    """An int where the text is one, else a float; ValueError when it is neither."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def check(row, value, form):
    """The value as it is kept in the file.

    row: from rows(). value: anything. form: True when it was typed into a form, so that numbers,
    yes and no, and lists (one text a line) come as text. ValueError names key and limits.
    """
    value, words = _judged(row, value, form)
    if not words:
        return value
    from refusal import sentence

    with table() as file:
        raise ValueError(sentence(row, words, file))


def _judged(row, value, form):
    # (the value, ()), or what refusal.sentence() is to be given of a wrong one: (None, words).
    key, kind, _, lowest, highest, _ = row
    try:
        if kind in "text secret host list":
            _make_room("figures")
            from texts import good
        else:
            _make_room("texts")
            from figures import good
        return good(row, value, number if form else None), ()
    except (ValueError, TypeError, AttributeError) as error:
        words = key, kind, str(error)
    _make_room("texts")
    return None, words


def _make_room(name):
    if name in sys.modules:
        del sys.modules[name]
        gc.collect()


def used(keys, found):
    """{key: value in use} of `keys`, as for rows().

    found: {key: value} as the file has them; what is no good there gives way to the default.
    """
    values = {}
    for row in rows(keys):
        key = row[0]
        values[key] = row[2]
        if key in found:
            try:
                values[key] = check(row, found[key], False)
            except ValueError:
                pass
    return values


def checked(changes):
    """({key: value for the file}, {key: what is wrong, for refusal.told()}) of what was typed."""
    new = {}
    wrong = {}
    for row in rows(changes):
        key = row[0]
        if key in changes:
            value, words = _judged(row, changes[key], True)
            if words:
                wrong[key] = row, words
            else:
                new[key] = value
    for key in changes:
        if key not in new and key not in wrong:
            wrong[key] = "unknown setting: " + key
    return new, wrong
