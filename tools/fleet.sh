#!/bin/sh
# All plugs on a broker: a live table, commands to some or all, an update of all; docs/fleet.md.
#   tools/fleet.sh watch | list | send COMMAND PLUG… | update BUNDLE PLUG… | bench
#   tools/fleet.sh send --help    says the rest
# The options are those of tools/fleet.py: "--broker" "--user" "--password" "--root" "--all" "--json"
# "--wait" "--yes" "--timeout" "--ota-key" "--keys" "--at-once" "--plugs" "--seconds" "--write"
set -e
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tools/python.sh"

"$python" "$root/tools/env.py" fleet
PYTHONPATH="$root/tools:$root/tests:$root" exec "$root/.venv/bin/python" "$root/tools/fleet.py" "$@"
