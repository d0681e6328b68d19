"""Finds out where a copy comes from and where it goes, and refuses what is not to be reached.

Only plain HTTP, no user and password in an address, and nothing that leads back to the plug.
Loaded for one command of the bridge and let go.
"""


async def run(plug, given):
    """given: what is said when it is done; {parameter: address}, the first where it comes from."""
    said, urls = given
    name = ""
    places = []
    try:
        for name in "url", "camera", "destination_url":
            if name in urls:
                places.append(await _place(plug, urls[name]))
    except OSError:
        return "reply", ("error", name + ": its host is not found")
    except ValueError as error:
        return "reply", ("error", "%s: %s" % (name, error.args[0]))
    return "parcel", (said, places)


async def _place(plug, url):
    # (host, port, address, path). ValueError says what is wrong.
    for c in url.encode():
        if not 32 < c < 127 or c == 92:
            raise ValueError("ASCII without spaces and \\")
    if url[:7].lower() != "http://":
        raise ValueError("only http://")
    url = url[7:].split("#")[0]
    host = url.split("/")[0].split("?")[0]
    path = url[len(host) :]
    if path[:1] != "/":
        path = "/" + path
    if "@" in host:
        raise ValueError("no user and password in it")
    host, *port = host.split(":")
    if len(port) > 1 or port and not (port[0].isdigit() and 0 < int(port[0]) < 65536):
        raise ValueError("a port is from 1 to 65535, and IPv6 is not spoken")
    for c in host.encode():
        if not (97 <= c | 32 <= 122 or 48 <= c <= 57 or c in b"-._"):
            host = ""
            break
    if not 0 < len(host) < 65:
        raise ValueError("a host has 1 to 64 letters, digits, - . _")
    address = await plug.resolve(host)
    parts = address.split(".")
    for part in parts:
        # 0177.1 and 2130706433 are ways to say 127.0.0.1
        if not part.isdigit() or str(int(part)) != part or int(part) > 255:
            parts = ()
            break
    if len(parts) != 4:
        raise ValueError("an address has four numbers from 0 to 255")
    if parts[0] in ("0", "127") or int(parts[0]) > 223:
        raise ValueError("not this address")
    if address == plug.board.wlan.ifconfig()[0]:
        raise ValueError("this is the plug itself")
    return host, int(port[0]) if port else 80, address, path
