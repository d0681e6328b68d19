"""Stands for MicroPython's `network` on the ESP8266: one station, one access point."""

import silicon

STA_IF = 0
AP_IF = 1
STAT_IDLE = 0
STAT_CONNECTING = 1
STAT_WRONG_PASSWORD = 2
STAT_NO_AP_FOUND = 3
STAT_CONNECT_FAIL = 4
STAT_GOT_IP = 5
AUTH_OPEN = 0
AUTH_WPA2_PSK = 3
AUTH_WPA_WPA2_PSK = 4

_names = ["ESP8266", "XX"]  # host name and country, kept over a restart of Python as on the chip
_configs = ({"pm": 0}, {"channel": 1})
_point = ("essid", "password", "authmode")
_same = {"ssid": "essid", "key": "password", "security": "authmode", "dhcp_hostname": "hostname"}
_known = ("essid", "password", "authmode", "channel", "hidden", "txpower", "pm", "protocol")


class WLAN:
    IF_STA = 0
    IF_AP = 1
    PM_NONE = 0
    PM_POWERSAVE = 1
    PM_PERFORMANCE = 2

    def __init__(self, which=0):
        if which not in (0, 1):
            raise ValueError("invalid interface")
        self.which = which

    def active(self, on=None):
        if on is None:
            return silicon.active[self.which]
        if silicon.active[self.which] != bool(on):
            silicon.active[self.which] = bool(on)
            silicon.radio()
        return None

    def connect(self, ssid=None, key=None, bssid=None):
        if self.which:
            raise OSError("STA required")
        if not silicon.active[0]:
            raise OSError("STA not active")
        if ssid is not None:
            silicon.wanted = (ssid, key or "")
        silicon.radio()

    def disconnect(self):
        if self.which:
            raise OSError("STA required")
        silicon.wanted = None
        silicon.radio()

    def status(self, param=None):
        if param == "rssi":
            return -58
        return STAT_IDLE if self.which else silicon.status()

    def isconnected(self):
        return not self.which and silicon.status() == STAT_GOT_IP

    def ifconfig(self, to=None):
        if self.which:
            own = _configs[1].get(
                "ifconfig", ("192.168.4.1", "255.255.255.0", "192.168.4.1", "208.67.222.222")
            )
            if to is None:
                return own
            _configs[1]["ifconfig"] = to
        elif to is not None:
            silicon.addresses = to
        else:
            return silicon.addresses if silicon.status() == STAT_GOT_IP else ("0.0.0.0",) * 4
        return None

    def scan(self):
        if not silicon.active[0]:
            raise OSError("STA is not active")
        return silicon.found()

    def config(self, name=None, **values):
        mine = _configs[self.which]
        if name is None:
            point = list(silicon.point)
            for key, value in values.items():
                key = _same.get(key, key)
                if key == "hostname":
                    hostname(value)
                elif key not in _known:
                    raise ValueError("unknown config param")
                elif self.which and key in _point:
                    point[_point.index(key)] = value
                else:
                    mine[key] = value
            if point != list(silicon.point):
                _set_point(*point)
            return None
        name = _same.get(name, name)
        if name == "mac":
            return silicon.mac
        if name == "hostname":
            return _names[0]
        if name == "essid" and not self.which:
            return silicon.wanted[0] if silicon.wanted else ""
        if name not in _known:
            raise ValueError("unknown config param")
        if self.which and name in _point:
            return silicon.point[_point.index(name)]
        return mine.get(name, 0)


def _set_point(name, password, security):
    # The SDK takes this only while the access point is on, and WPA only with 8 characters or more.
    fits = 0 < len(name.encode()) <= 32 and len(password.encode()) <= 64
    if not silicon.active[1] or not fits or security and len(password) < 8:
        raise OSError("can't set AP config")
    silicon.point = (name, password, security)
    silicon.pointed()


def hostname(name=None):
    """Read or set the name given to DHCP; ValueError beyond 32 characters."""
    if name is None:
        return _names[0]
    if len(name) > 32:
        raise ValueError("hostname too long")
    _names[0] = name
    return None


def country(code=None):
    """Read or set the two-letter country; ValueError for anything else."""
    if code is None:
        return _names[1]
    if len(code) != 2:
        raise ValueError("country code must be 2 letters")
    _names[1] = code
    return None


def phy_mode(mode=None):
    return 3
