#!/bin/sh
# The plug on this PC. Makes its own environment at the first start; then prints one address.
#   tools/simulate.sh [--headless] [--port N] [--octoprint URL --api-key K] [--mqtt HOST:PORT] …
#   tools/simulate.sh --help         says the rest
set -e
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tools/python.sh"

"$python" "$root/tools/env.py" simulate
# Without MicroPython the firmware runs under CPython; where CI=true that would prove too little
case " $* " in
  *" --help "* | *" -h "*) ;;
  *)
    case " $* " in
      *cpython*) ;;
      *)
        "$root/.venv/bin/python" "$root/tools/fetch.py" --quiet micropython > /dev/null ||
          [ "$CI" != true ] || exit 1
        ;;
    esac
    ;;
esac
PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" exec "$root/.venv/bin/python" -m simulator "$@"
