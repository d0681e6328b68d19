"""WiFi that is always there."""

STA_IF = 0
AP_IF = 1


def hostname(name):
    pass


country = hostname


class WLAN:
    PM_NONE = 0

    def __init__(self, which):
        pass

    def active(self, on=None):
        return False

    def config(self, name=None, pm=None):
        return b"\x5c\xcf\x7f\xab\x12\x8a"

    def connect(self, *of):
        pass

    disconnect = connect

    def isconnected(self):
        return True

    def ifconfig(self):
        return "127.0.0.1", "255.0.0.0", "127.0.0.1", "127.0.0.1"

    def status(self, name=None):
        return -58
