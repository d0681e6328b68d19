"""Values that make sense only together; loaded to look at them and let go.

settings.txt says which in its lines `& keys: what must be true of them`; a word that ends with _
stands for all keys that begin so. The first of two must be the lower, more must all differ.
"""


def partners(keys):
    """All that must be looked at together with `keys`, as in the lines."""
    return [word for words, _ in _groups(keys) for word in words]


def broken(values):
    """{key: the rule} of those values that break one; values: those in use, whole groups."""
    wrong = {}
    for words, rule in _groups(values):
        keys = [key for key in values if key in words or key[:6] in words]
        those = [values[key] for key in keys]
        if (
            values[words[0]] >= values[words[1]]
            if len(words) == 2
            else len(set(those)) < len(those)
        ):
            for key in keys:
                wrong[key] = rule
    return wrong


def _groups(keys):
    import schema

    with schema.table() as file:
        for line in file:
            if line[:2] == "& ":
                words, rule = line[2:].split(": ")
                words = words.split(" ")
                if [key for key in keys if key in words or key[:6] in words]:
                    yield words, rule.strip()
            elif line[0] == "=":
                break  # from here on there are only rows
