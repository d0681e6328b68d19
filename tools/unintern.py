"""Lets the short texts of a module go together with it.

MicroPython keeps each text of up to 10 letters that code speaks of as a name, for ever, even when
the module has long been let go. In a compiled module (.mpy, version 6) such a text can as well be
an object, which the collector takes. So in the modules that are loaded for a moment every text
that is not a name of something becomes an object; code stays as long as it is.
"""

from pack import PORT, SHORT

_STATIC = 1  # in place of a name: one that every MicroPython has, ""
_TEXT = 5  # kind of an object
_LOAD_TEXT, _LOAD_OBJECT = 0x10, 0x23
_FORMATS = 0x3A4  # two bits for each 16 opcodes
_PLAIN, _NAME, _NUMBER, _JUMP = range(4)


def names_of(data):
    """The names in the .mpy `data`, bytes, that MicroPython does not have by number."""
    count, at = _number(data, 4)
    _, at = _number(data, at)
    return [text.decode() for _, text in _names(data, at, count)[0] if text]


def _names(data, at, count):
    # [(how it is written, the text or None where that is a number)], and where they end
    names = []
    for _ in range(count):
        size, start = _number(data, at)
        end = start if size & 1 else start + (size >> 1) + 1
        names.append((data[at:end], None if size & 1 else data[start : end - 1]))
        at = end
    return names, at


def unintern(data):
    """The .mpy `data`, bytes, with texts in place of names. ValueError: it is no such."""
    if data[:2] != b"M\x06":
        raise ValueError("not a .mpy of version 6")
    head, at = data[:4], 4
    n_names, at = _number(data, at)
    n_objects, at = _number(data, at)
    names, at = _names(data, at, n_names)
    objects = at
    for _ in range(n_objects):
        at = _after_object(data, at)
    code = bytearray(data[at:])
    texts, others = {}, set()
    _code(code, 0, texts, others)
    new = []
    for i, places in sorted(texts.items()):
        text = names[i][1]
        # Whether the place of an object takes as many bytes as that of the name did.
        fits = (i < 128) == (n_objects + len(new) < 128)
        if i in others or not text or text.decode() in SHORT + PORT or not fits:
            continue
        number = _bytes(n_objects + len(new))
        for place in places:
            code[place] = _LOAD_OBJECT
            code[place + 1 : place + 1 + len(number)] = number
        new.append(bytes([_TEXT]) + _bytes(len(text)) + text + b"\0")
        names[i] = _bytes(_STATIC << 1 | 1), None
    return (
        head
        + _bytes(n_names)
        + _bytes(n_objects + len(new))
        + b"".join(name for name, _ in names)
        + data[objects:at]
        + b"".join(new)
        + bytes(code)
    )


def _number(data, at):
    number = 0
    while True:
        number = number << 7 | data[at] & 127
        at += 1
        if data[at - 1] < 128:
            return number, at


def _bytes(number):
    out = [number & 127]
    while number := number >> 7:
        out.append(number & 127 | 128)
    return bytes(reversed(out))


def _after_object(data, at):
    kind = data[at]
    at += 1
    if kind < _TEXT:  # None, True and the like
        return at
    size, at = _number(data, at)
    if kind == 10:  # a tuple
        for _ in range(size):
            at = _after_object(data, at)
        return at
    return at + size + (kind <= 6)  # text and bytes end with a zero


def _code(data, at, texts, others):
    # Notes of one function and those in it: {name: where it is loaded as a text}, and what else
    # is named.
    head, at = _number(data, at)
    end = at + (head >> 3)
    _function(data, at, end, texts, others)
    at = end
    if head & 4:
        children, at = _number(data, at)
        for _ in range(children):
            at = _code(data, at, texts, others)
    return at


def _function(data, at, end, texts, others):
    # First the sizes of its frame: so many arguments, then so many bytes of names and cells.
    first = data[at]
    positional, keyword, n = first & 3, 0, 0
    at += 1
    while data[at - 1] & 128:
        positional |= (data[at] & 4) << n
        keyword |= (data[at] & 8) >> 3 << n
        n += 1
        at += 1
    names = cells = n = 0
    while True:
        names |= (data[at] >> 1 & 63) << 6 * n
        cells |= (data[at] & 1) << n
        n += 1
        at += 1
        if data[at - 1] < 128:
            break
    start = at + names + cells
    for _ in range(1 + positional + keyword):
        name, at = _number(data, at)
        others.add(name)
    at = start
    while at < end:
        place, code = at, data[at]
        form = _FORMATS >> 2 * (code >> 4) & 3
        at += 1
        if form in (_NAME, _NUMBER):
            number, at = _number(data, at)
            if code == _LOAD_TEXT:
                texts.setdefault(number, []).append(place)
            elif form == _NAME:
                others.add(number)
        elif form == _JUMP:
            at += 1 + (data[at] >> 7)
        if form != _PLAIN and code & 0x9E == 0:
            at += 1
    if at != end:
        raise ValueError("code that is not understood")
