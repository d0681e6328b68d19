"""The secrets that a plug makes for itself when it has none. Loaded for that and let go."""


def make(path, urandom, get, save):
    """See settings.first_start(); get, save: those of settings.py."""
    import configfile

    found, wrong = configfile.read(path, ("ota_key",))
    if found is None:
        return {"": wrong}
    new = {}
    # an empty ota_key is somebody's wish, an empty or short password is a missing one
    if not get("portal_password", path):
        new["portal_password"] = _letters(urandom(8))
    if "ota_key" not in found:
        new["ota_key"] = _letters(urandom(26))
    return save(new, path) if new else {}


def _letters(data):
    # of 32 that nobody mistakes for another
    return "".join(["abcdefghijkmnpqrstuvwxyz23456789"[byte & 31] for byte in data])
