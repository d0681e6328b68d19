"""Says what is wrong with a value, in the words of settings.txt; loaded for that."""


def told(wrong, table):
    """`wrong` as schema.checked() gives it, with sentences in place of rows and words. table: the
    text of settings, open."""
    with table:
        for key, what in wrong.items():
            if not isinstance(what, str):
                table.seek(0)
                row, words = what
                wrong[key] = sentence(row, words, table)
    return wrong


def sentence(row, words, table):
    """That of the last line that begins with `!` and one of `words`, after the key."""
    key, kind, _, lowest, highest, _ = row
    if kind in "list choice":
        lowest = ", ".join(lowest)
    said = "! any wrong value"  # the spare table has no sentences
    for line in table:
        if line[:2] == "! " and line.split(" ", 2)[1] in words:
            said = line  # the last is the most special
        elif line[0] == "=":
            break  # from here on there are only rows
    said = said.strip().split(" ", 2)[2]
    said = said.replace("{lowest}", str(lowest)).replace("{highest}", str(highest))
    return key + ": " + said
