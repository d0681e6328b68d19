#!/bin/sh
# A plug in the model of the 1 MB image against real OctoPrint and mosquitto, with a fault every few
# seconds: an hour of it, and a summary at the end.
#   tools/soak.sh [--minutes N] [--seed N] [--write]
set -e
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tools/python.sh"

"$python" "$root/tools/env.py" test
"$root/.venv/bin/python" "$root/tools/fetch.py" --quiet lib micropython asyncio octoprint > /dev/null
PYTHONPATH="$root/tools:$root/tests:$root" exec "$root/.venv/bin/python" "$root/tools/soak.py" "$@"
