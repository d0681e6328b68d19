"""Stores settings a step at a time: the one part of settings.py that an open portal needs.

Loaded for that and let go. It takes its steps as settings.py does, which is itself too large to be
there as well.
"""

import gc
import sys

_PARTS = "configfile figures loading odds refusal saving schema texts"


def save_slowly(changes, wrong, path="config.json", bag=None):
    """A generator that does what settings.save() does, with time for others between two steps.

    `wrong`, a dict, gets what save() returns.
    """
    new, mistakes = _step("schema", "checked", changes)
    if mistakes:
        wrong.update(_step("refusal", "told", mistakes, _step("schema", "table")))
    yield
    partners = _step("odds", "partners", new)
    yield
    found, problem = _step("configfile", "read", path, partners)
    yield
    if found is None:
        wrong[""] = problem
        return
    broken = _broken(partners, found, new)
    for key in broken:
        if key in new:
            wrong[key] = broken[key]
    yield
    if not wrong:
        wrong.update(_step("saving", "copy", new, path))
    yield
    if not wrong:
        wrong.update(_step("saving", "add", new, path))
    yield
    if bag and not wrong:
        _step("loading", "take", bag, new)


def _broken(keys, found, new):
    # {key: the rule that it breaks} of `keys`, with the values that are or would be in use
    if not keys:
        return {}
    values = _step("schema", "used", keys, found)
    values.update(new)
    return _step("odds", "broken", values)


def _step(module, name, *given):
    try:
        return getattr(__import__(module), name)(*given)
    finally:
        for part in _PARTS.split(" "):
            sys.modules.pop(part, None)
        gc.collect()
        plug = sys.modules.get("plug")
        if plug and plug.watchdog:  # all steps together take longer than it waits
            plug.watchdog()
