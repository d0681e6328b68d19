"""Updates from a PC that knows `ota_key` (tools/flash.sh --ota). A step of portal.py.

GET gives a nonce, good once and only in the first minute after the portal was opened. POST brings
HMAC-SHA256(ota_key, nonce + the bundle's header) and the bundle. So the key never travels, and
what somebody else has seen go by is of no use to him. ota.py compares before a slot changes.
"""

import os
import sys
from binascii import hexlify
from hashlib import sha256
from time import ticks_diff, ticks_ms

_OPEN_MS = const(60000)
_PROOF = const(32)
_KEY_BLOCK = const(64)  # bytes that sha256 takes at a time: a longer key is hashed first


async def run(p):
    """Answer. p: the Portal; its nonce, inner, outer and proof are made here."""
    if p.method == b"POST":
        return await _take(p)
    await p.send_part("frame", b"http", b"200 OK")
    await p.put(b"\r\n")
    if ticks_diff(ticks_ms(), p.began) < _OPEN_MS and not p.offered:
        p.nonce = hexlify(os.urandom(16))
    await p.send_part("update", b"remote", p.nonce, p.plug.version, sys.path[0][-1:])
    state = b"installed" if p.plug.again else b"offered" if p.offered else b"idle"
    await p.send_part("update", b"state", state)
    if p.outcome:
        await p.send_part("update", *p.outcome)
        p.outcome = ()
    await p.flush()
    if p.plug.again:
        p.stays = False
    return None


async def _take(p):
    nonce = p.nonce
    p.nonce = b""
    p.outcome = ()
    if p.offered:
        raise ValueError(409)
    if not nonce:
        p.outcome = (b"nonce",)
    else:
        while len(p.rest) < _PROOF:
            if not await p.read_on():
                raise ValueError(400)
        p.proof = p.rest[:_PROOF]
        p.rest = p.rest[_PROOF:]
        p.length -= _PROOF
        import settings

        key = settings.get("ota_key").encode()
        del sys.modules["settings"], settings
        if key:
            if len(key) > _KEY_BLOCK:
                key = sha256(key).digest()
            key += bytes(_KEY_BLOCK - len(key))
            p.inner = sha256(bytes([byte ^ 0x36 for byte in key]))
            p.inner.update(nonce)
            p.outer = sha256(bytes([byte ^ 0x5C for byte in key]))
            return "ota"
        p.outcome = (b"keyless",)
    return p.go_to(p.path)
