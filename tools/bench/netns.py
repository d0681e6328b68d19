"""A network of this process's own, where root or unprivileged user namespaces are to be had.

In it every port is free (53 for a name server too), nothing gets out, and 192.0.2.0/24 is a black
hole: packets to it come back in on the loopback, belong to nobody and are dropped without a word,
as by a DROP rule.
"""

import os
import shutil
import subprocess
import sys

_INSIDE = "OCTOPLUGOUT_BENCH_NETWORK"


def enter(arguments):
    """Starts this program again inside such a network, and does not return; or returns False if
    there is none. True: we are inside."""
    if os.environ.get(_INSIDE):
        return True
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    unshare, ip = (shutil.which(name, path=path) for name in ("unshare", "ip"))
    if not unshare or not ip:
        return False
    script = f"{ip} link set lo up && {ip} route add 192.0.2.0/24 dev lo"
    if subprocess.run([unshare, "-rn", "sh", "-c", script], capture_output=True).returncode:
        return False
    os.environ[_INSIDE] = "1"
    os.execv(
        unshare,
        [unshare, "-rn", "sh", "-c", script + ' && exec "$@"', "sh", sys.executable, *arguments],
    )
