"""Answers with no more than a status, in the words of pages/frame.html. A step of portal.py."""

_GRACE_MS = const(400)
_UPLOAD_MS = const(20000)  # for the rest of an upload: browsers look at the answer when all is out


async def run(p):
    """Send p.status, p.leads_to (for 302 and 303) and p.set_cookie, a header line."""
    p.filled = 0
    await p.send_part("frame", b"%d" % p.status)
    body = bytes(p.outbox[: p.filled])
    p.filled = 0
    await p.send_part("frame", b"http", p.status)
    more = p.set_cookie
    if p.leads_to:
        more += b"Location: " + p.leads_to + b"\r\n"
    if p.status == 503 and p.method == b"GET":
        more += b"Refresh: 3\r\n"  # there may be room once what runs beside it has ended
    await p.put(more + b"Content-Length: %d\r\n\r\n" % len(body))
    if p.method != b"HEAD":
        await p.put(body)
    await p.flush()
    # Closing before all was read is a reset, and the browser might not see the answer.
    left = p.length - p.got
    p.ends(_UPLOAD_MS if left > 0 else _GRACE_MS)
    for _ in range(32 + max(0, left) // 64):
        p.rest = b""
        if p.all_read or not await p.read_on():
            break
