"""Has OctoPrint do what a command of the bridge asks for. Loaded for that and let go."""

_WRONG = {
    0: "OctoPrint does not answer",
    403: "the API key may not do this",
    404: "OctoPrint has no such file",
    409: "OctoPrint answers 409: the printer is not in a state for this",
    415: "OctoPrint cannot print this file",
}


async def run(plug, given):
    """given: what is said when it was done; what to ask for: a path, a space and a body."""
    said, what = given
    octo = plug.octo
    machine = plug.machine
    if said:
        at = what.find(" ")
        await octo.tell("POST /api/" + what[:at], what[at + 1 :].encode())
        if 200 <= octo.status < 300:
            return "reply", ("success", said)
        return "reply", (
            "error",
            _WRONG.get(octo.status) or "OctoPrint answers HTTP %d" % octo.status,
        )
    turns = machine.turns
    await octo.poll(False, True)
    if not plug.critical():
        await octo.job()
    if machine.turns != turns:
        octo.forget()  # the power is another's since
    return "reply", (
        "status",
        {
            "state": machine.state,
            "relay": machine.relay,
            "reason": machine.reason,
            "printer": octo.print_state,
            "problem": octo.problem,
            "tool": octo.tool,
            "bed": octo.bed,
            "job": octo.job_state,
            "progress": octo.progress,
        },
    )
