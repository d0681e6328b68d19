"""Stands for MicroPython's `esp` on the ESP8266."""

SLEEP_NONE, SLEEP_LIGHT, SLEEP_MODEM = 0, 1, 2


def osdebug(level=None, mask=None):
    """Switch the SDK's messages: there are none here."""


def flash_size():
    return 1048576


def flash_user_start():
    return 0x99000


def flash_id():
    return 0x14405E


def freemem():
    return 14336


def check_fw():
    return True


def sleep_type(kind=None):
    return SLEEP_NONE
