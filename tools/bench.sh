#!/bin/sh
# What the plug costs and how long it keeps anybody waiting, as one table; each row with its command.
#   tools/bench.sh [heap] [features] [size] [stall] [button] [load] [off] [--quick] [--write]
#   tools/bench.sh --help         says the rest
# On a fresh machine it makes its environment first.
set -e
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tools/python.sh"

"$python" "$root/tools/env.py" simulate flash
"$root/.venv/bin/python" "$root/tools/fetch.py" --quiet lib micropython asyncio > /dev/null
PYTHONPATH="$root/tools:$root${PYTHONPATH:+:$PYTHONPATH}" exec "$root/.venv/bin/python" -m bench "$@"
