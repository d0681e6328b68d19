#!/bin/sh
# All checks: pytest with any arguments given, then ruff and pyright.
#   tools/test.sh                      everything
#   tools/test.sh tests/test_x.py -k y one part
# Real servers are fetched where possible. What is missing is skipped and named; with CI=true it
# is a failure.
set -e
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tools/python.sh"
cd "$root"

"$python" tools/env.py test
missing=0
.venv/bin/python tools/fetch.py lib > /dev/null || missing=1
.venv/bin/python tools/fetch.py --quiet micropython asyncio > /dev/null || missing=1
.venv/bin/python tools/fetch.py --quiet chip > /dev/null || missing=1
.venv/bin/python tools/fetch.py --quiet octoprints > /dev/null || missing=1
for program in mosquitto chromium; do
  if ! command -v $program > /dev/null && ! command -v /usr/sbin/$program > /dev/null; then
    echo "$program is not installed: its tests cannot run (Debian: apt-get install $program)" >&2
    missing=1
  fi
done
if [ "$CI" = true ] && [ $missing = 1 ]; then
  echo "CI=true: nothing may be missing" >&2
  exit 1
fi

wrong=
.venv/bin/python -m pytest "$@" || wrong="pytest"
.venv/bin/ruff check . || wrong="$wrong ruff"
.venv/bin/python tools/typecheck.py || wrong="$wrong pyright"
if [ -n "$wrong" ]; then
  echo "Failed: $wrong" >&2
  exit 1
fi
