"""The settings as a form: pages, labels, units, helps, values. Loaded to show them and let go.

A page is meant by its number, counted from 0.
"""

import schema


def groups():
    """Yield the names of the pages."""
    with schema.table() as file:
        for line in file:
            if line[:2] == "= ":
                yield line[2:].strip()


def form(group):
    """Yield (key, kind, default, lowest, highest, unit, label, help) of every row of a page."""
    with schema.table() as file:
        for line in file:
            if line[:2] == "= ":
                group -= 1
            elif "|" in line and group == -1:
                yield schema.parse(line)[:5] + tuple(line.strip().split("|")[5:])


def keys(group):
    """The keys of a page."""
    return [row[0] for row in form(group)]


def filled(group, values):
    """Yield (row of form(), value) of a page: True, False, or text as it would be typed.

    values: {key: value in use}. Of a secret only whether there is one leaves this function.
    """
    for row in form(group):
        value = values[row[0]]
        if row[1] == "secret":
            value = value != ""
        elif row[1] == "list":
            value = "\n".join(value)
        elif row[1] != "bool":
            value = str(value)
        yield row, value
