"""Says what is wrong with a value, in the words of settings.txt; loaded for that."""


def sentence(row, words, table):
    """The sentence of the last line that begins with `!` and one of `words`; table: as opened."""
    _, kind, _, lowest, highest, _ = row
    if kind in "list choice":
        lowest = ", ".join(lowest)
    said = "! any wrong value"  # the spare table has no sentences
    with table as file:
        for line in file:
            if line[:2] == "! " and line.split(" ", 2)[1] in words:
                said = line  # the last is the most special
            elif line[0] == "=":
                break  # from here on there are only rows
    said = said.strip().split(" ", 2)[2]
    return said.replace("{lowest}", str(lowest)).replace("{highest}", str(highest))
