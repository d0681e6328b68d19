#!/bin/sh
# From a plug in its box to running firmware, over a 3.3 V serial adapter. Never with mains connected.
#   tools/flash.sh [--port P] [--config FILE] [--files] [--image FILE] [--backup FILE] [--restore FILE]
#   tools/flash.sh --ota HOST…       a newer firmware onto plugs in the network (docs/update.md)
#   tools/flash.sh --help            says the rest; docs/flash.md shows the plug
# On a fresh machine it makes its environment first.
set -e
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tools/python.sh"

"$python" "$root/tools/env.py" flash
exec "$root/.venv/bin/python" "$root/tools/flash.py" "$@"
