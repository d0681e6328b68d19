"""Answers with no more than a status, in the words of pages/brief.html. A step of portal.py."""

_GRACE_MS = const(400)
_READS = const(32)


async def run(p):
    """p: the Portal; its status, where (for 302 and 303) and cookie (a header line) are sent."""
    p.filled = 0
    await p.part("brief", b"%d" % p.status)
    body = bytes(p.out[: p.filled])
    p.filled = 0
    await p.part("frame", b"http", p.status)
    more = p.cookie
    if p.where:
        more += b"Location: " + p.where + b"\r\n"
    await p.put(more + b"Content-Length: %d\r\n\r\n" % len(body))
    if p.method != b"HEAD":
        await p.put(body)
    await p.flush()
    # Closing before all was read is a reset, and the browser might not see the answer.
    p.ends(_GRACE_MS)
    for _ in range(_READS):
        p.rest = b""
        if p.whole or not await p.more():
            break
