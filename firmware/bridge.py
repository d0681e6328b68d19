"""Takes a command of Printago's, JSON on a topic of its own: the first step of the bridge.

Looks whether it may be parsed at all. What each step returns is the next, and what that is given;
reply.py is the last. Loaded for one command and let go.
"""

from asyncio import sleep_ms

_DEEPEST = const(4)  # brackets in brackets
_PIECE = const(64)  # bytes between two awaits


async def run(plug, text):
    """text: bytes; none: of a command that had to wait for too long, or whose answer was lost."""
    if not text:
        text = "the plug was busy or about to switch off: this may not have been done"
        return "reply", ("error", text)
    depth = quoted = colons = 0
    for at in range(0, len(text), _PIECE):
        await sleep_ms(0)
        for c in text[at : at + _PIECE]:
            if quoted:
                if quoted == 2:
                    quoted = 1
                elif c == 92:
                    quoted = 2
                elif c == 34:
                    quoted = 0
            elif c == 34:
                quoted = 1
            elif c == 58:
                colons += 1
            elif c | 32 == 123:  # { [
                depth += 1
                if depth > _DEEPEST:
                    text = "brackets within brackets: at most %d" % _DEEPEST
                    return "reply", ("error", text)
            elif c | 32 == 125:
                depth -= 1
    return "parsing", (text, colons)
