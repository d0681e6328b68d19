"""PRINT: has a file printed, from whatever the plug is in, and switches off after that job.

order.py takes the command. The power goes on, OctoPrint is waited for, gets its printer and the
file. Loaded for one look at each reading for as long as there is a file in plug.file, and let go.
"""

from time import ticks_add, ticks_diff

_SEEN_MS = const(60000)  # from the request to the first sight of the job
_AGAIN_MS = const(15000)  # connecting to a printer takes about so long

_WRONG = {403: "the API key may not print", 404: "there is no such file", 415: "not to be printed"}


async def looked(plug, evidence, now):
    """Do what is to be done next. evidence: what was just heard."""
    machine = plug.machine
    octo = plug.octo
    alias = machine.alias
    pi, printing, _, _, lost = evidence
    text = None  # how it ended
    if printing and not plug.file_sent:
        text = "no: something else is printing"
    elif printing and alias in ("Started", "Armed"):
        text = "printing " + plug.file
        if alias == "Started":
            plug.post("OFF")
    elif ticks_diff(now, plug.file_until) >= 0 or alias not in "Waiting Connected Started":
        text = "given up: " + machine.reason
    elif pi == "UP" and not plug.file_sent and ticks_diff(now, plug.file_due) >= 0:
        plug.file_due = ticks_add(now, _AGAIN_MS)
        if lost:
            octo.told = "connecting the printer"
            await octo.tell("POST /api/connection", b'{"command": "connect"}')
            if octo.status == 403:
                text = "no: the API key may not connect the printer"
        elif printing is False:
            await octo.tell(_where(plug.file), b'{"command": "select", "print": true}')
            status = octo.status
            if status == 204:
                plug.file_sent = True  # and never again, whatever becomes of it
                plug.file_until = ticks_add(now, _SEEN_MS)
                octo.told = "starting " + plug.file
            elif status in _WRONG:
                text = "no: " + _WRONG[status]
            elif status and status != 409:  # that is: the printer is not ready yet
                octo.told = "OctoPrint answers HTTP %d" % status
    if text:
        plug.file = ""
        octo.told = text


def _where(path):
    # Letters, digits and - . / _ stay as they are.
    where = bytearray(b"POST /api/files/local/")
    for c in path.encode():
        if 97 <= c | 32 <= 122 or 45 <= c <= 57 or c == 95:
            where.append(c)
        else:
            where += b"%%%02X" % c
    return str(where, "utf-8")
