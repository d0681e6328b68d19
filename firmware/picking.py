"""Picks a camera of those that cameras.py found, or tells of all.

Loaded for one command of the bridge and let go.
"""

_NAME = const(40)  # letters of a name that is told


async def run(plug, given):
    """given: what is said when a picture was sent, {parameter: text}, and the cameras: provider,
    name, address of a picture. The first is the default one, without its name."""
    said, wanted, found = given
    octo = plug.octo
    url = found[0][2]
    if len(found) > 1 or not url:
        del found[0]
    if not said:
        data = []
        for provider, name, _ in found:
            data.append({"camera_provider_id": provider[:_NAME], "camera_name": name[:_NAME]})
        return "reply", ("response", {"providers": data})
    provider = wanted["camera_provider_id"]
    name = wanted["camera_name"]
    if provider or name:
        url = None
        for camera in found:
            if (not provider or provider == camera[0]) and (not name or name == camera[1]):
                url = camera[2]
                break
        if url is None:
            return "reply", ("error", "OctoPrint has no such camera")
    if not url:
        return "reply", ("error", "OctoPrint has no address for pictures of this camera")
    if url[0] == "/":
        url = "http://%s:%d" % (octo.address, plug.s.octoprint_port) + url
    for here in "127.0.0.1", "localhost":  # OctoPrint's host, seen from there
        if url[: 7 + len(here)] == "http://" + here:
            url = "http://" + octo.address + url[7 + len(here) :]
    return "places", (said, {"camera": url, "destination_url": wanted["destination_url"]})
