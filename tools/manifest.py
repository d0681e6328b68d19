"""What to freeze into an image, for those who build MicroPython for the ESP8266 themselves.

    .venv/bin/python tools/build.py
    make -C …/micropython/ports/esp8266 BOARD=ESP8266_GENERIC FROZEN_MANIFEST=…/tools/manifest.py

The port's own start files, and every module of the firmware as built, its stand-in for asyncio
too. What the port freezes besides is left out: nothing here uses it. The rest goes onto the plug
with `tools/flash.sh --frozen --image …/firmware.bin`. An update over the air lies in the other
slot and goes before what is frozen.
"""
# ruff: noqa: F821 - these functions are MicroPython's, which runs this file
# pyright: reportUndefinedVariable=false

freeze("$(PORT_DIR)/modules")
freeze_mpy("../build/flash/a")
