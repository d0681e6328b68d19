"""The settings as a form: pages, labels, units, helps, values. Loaded to show them and let go.

A page is meant by its number, counted from 0. Where a page is drawn, only filled() is called.
"""


def groups():
    """Yield the names of the pages."""
    import schema

    with schema.table() as file:
        for line in file:
            if line[:2] == "= ":
                yield line[2:].strip()


def form(group):
    """Yield (key, kind, default, lowest, highest, unit, label, help) of every row of a page."""
    import schema

    with schema.table() as file:
        for line in file:
            if line[:2] == "= ":
                group -= 1
            elif "|" in line and group == -1:
                yield schema.parse(line)[:5] + tuple(line.strip().split("|")[5:])


def keys(group):
    """The keys of a page."""
    return [row[0] for row in form(group)]


def filled(table, group, values):
    """Yield (row, value) of a page: True, False, or text as it would be typed.

    table: what schema.table() gave; schema itself need not be there any more, nor fit beside what
    draws the page. values: {key: value}, the table's default where there is none. A row is (key,
    kind, choices or None, unit, label, help). Of a secret only whether there is one leaves this
    function.
    """
    with table:
        for line in table:
            if line[:2] == "= ":
                group -= 1
            elif "|" in line and group == -1:
                key, kind, choices, _, value, unit, label, words = line.strip().split("|")
                kind = kind.split("*")[0].rstrip("+")
                if kind == "list":
                    value = value.split("/")
                value = values.get(key, value)
                if kind == "secret":
                    value = value != ""
                elif kind == "bool":
                    value = value is True or value == "true"
                elif kind == "list" and isinstance(value, list):
                    value = "\n".join([str(line) for line in value])
                else:
                    value = str(value)
                choices = choices.split("/") if kind == "choice" else None
                yield (key, kind, choices, unit, label, words), value
