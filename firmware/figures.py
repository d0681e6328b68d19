"""What makes a number, a pin, yes or no, or a choice good; loaded to look at one and let go."""


def good(row, value, form):
    """See schema.check(), which knows what to say when this raises ValueError or TypeError.

    form: None, or the function that reads a number that was typed.
    """
    _, kind, _, lowest, highest, _ = row
    if kind == "choice":
        if value in lowest:
            return value
    elif kind == "bool":
        if form and isinstance(value, str):
            value = value.strip().lower()
            if value in ("true", "on", "yes", "1"):
                return True
            if value in ("false", "off", "no", "0", ""):
                return False
        elif value is True or value is False:
            return value
    else:
        if form and isinstance(value, str) and "_" not in value:  # Python reads 1_0 as 10
            value = form(value.strip())
        whole = isinstance(value, int) and value is not True and value is not False
        if whole or kind == "float" and isinstance(value, float):
            if kind == "pin" and value in (6, 7, 8, 9, 10, 11):
                raise ValueError
            if lowest <= value <= highest:
                return value
    raise ValueError
