"""What ota.py and unpack.py share: the next bytes of a bundle, and what is said when none come."""

from time import ticks_diff, ticks_ms

_STALL_MS = const(10000)  # nothing came for so long: it has ended


async def take(p, most):
    """The next bytes, one or more, counted in p.got and p.whole. ValueError: none came in time."""
    if not p.rest:
        p.ends(min(_STALL_MS, ticks_diff(p.over, ticks_ms())))
        n = 0
        try:
            n = await p.read_on()
        except OSError:
            pass
        if not n:
            got = p.got
            p.got = p.length  # nothing more is waited for
            raise ValueError(b"broken", got, p.length)
    part = p.rest[:most]
    p.rest = p.rest[most:]
    p.got += len(part)
    p.whole.update(part)
    return part


async def guarded(p, work):
    """Do a part of it. What goes wrong is said in p.outcome: a part of pages/update.html."""
    try:
        await work
    except ValueError as error:
        p.outcome = error.args
    except OSError as error:
        p.outcome = b"flash", error.args[0]
    except MemoryError:
        p.outcome = (b"memory",)
