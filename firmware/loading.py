"""Values become attributes of the Settings in use. Loaded for that and let go."""

import os
import sys

_MOST = 8  # problems told, so that a file of nonsense does not fill the heap with complaints


def load(bag, path, every, step, broken):
    """Fill the Settings `bag`; see settings.load(). step, broken: those of settings.py."""
    torn = mend()
    found, wrong = step("configfile", "read", path)
    found = found or {}
    problems = [text for text in (torn, wrong) if text]
    odd = broken(step("odds", "partners", found), found, {})
    for key in odd:  # values at odds become their defaults
        found.pop(key, None)
        if odd[key] not in problems:
            problems.append(odd[key])
    return fill(bag, found, problems, every)


def mend():
    """See that there is a whole table. "", or what is to be told: that the spare one is used."""
    import schema

    try:
        for _ in schema.rows():
            pass
    except (ValueError, OSError):
        for folder in sys.path:
            try:
                os.rename(folder + "/settings.txt", folder + "/settings.bad")
                break
            except OSError:
                pass
    with schema.table() as file:
        if file.read(1) == "#":
            return ""
    return "settings.txt was missing or not whole: forms have no labels"


def fill(bag, found, problems, every):
    """Every setting that is kept, or every one. found: {key: value} of the file, emptied here."""
    import schema

    bag.topics = ()
    for row in schema.rows():
        key = row[0]
        value = row[2]
        if key in found:
            try:
                value = schema.check(row, found.pop(key), False)
            except ValueError as error:
                problems.append(str(error))
        keep(bag, row, value, every)
    problems += ["unknown setting: " + key[:24] for key in found]
    more = len(problems) - _MOST
    if more > 0:
        problems[_MOST:] = ["and %d more" % more]
    bag.problems = tuple(problems)
    return bag


def take(bag, new):
    """The values in `new`, {key: value}, which are good."""
    import schema

    for row in schema.rows(new):
        keep(bag, row, new[row[0]], False)


def keep(bag, row, value, every):
    """A value as the running plug wants it."""
    key = row[0]
    if key == "messages":
        value = "\n".join((value + [""] * 6)[:6])
    elif row[1] == "list":
        value = tuple(value)
    elif key in ("hostname", "mqtt_topic") and bag.id:
        value = value.replace("{id}", bag.id)
    kept = row[5]
    if kept == "+" or key[:6] == "topic_":
        kept = ""
        name = key[6:] if key[:6] == "topic_" else key
        topics = dict(bag.topics)
        topics.pop(name, None)
        if value != row[2]:
            topics[name] = value
        bag.topics = topics or ()
    if kept or every:
        setattr(bag, kept or key, value)
