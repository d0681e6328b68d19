"""What Home Assistant is told of the plug: discovery.txt, filled in. Let go after each use."""

import sys


def parts(plug):
    """Yield it as pieces of bytes.

    `<…>` in the text stands for the topic that has this name by default, or for one of three
    words; all are within quotes there.
    """
    for folder in sys.path:
        try:
            file = open(folder + "/discovery.txt", "rb")
            break
        except OSError:
            pass
    else:
        return
    with file:
        for line in file:
            for part in line.split(b"<"):
                at = part.find(b">")
                if at > 0:
                    mark = str(part[:at], "utf-8")
                    if mark == "id":
                        mark = plug.s.id
                    elif mark == "name":
                        mark = plug.s.hostname
                    elif mark == "version":
                        mark = plug.version
                    else:
                        mark = plug.mqtt.topic(mark)
                    yield mark.replace("\\", "\\\\").replace('"', '\\"').encode()
                yield part[at + 1 :]
