# Sourced by the scripts beside it: sets $python to a Python 3.11 or newer, or says what to do.
python=
for name in python3 python3.11 python3.12 python3.13 python3.14; do
  if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
    python=$name
    break
  fi
done
if [ -z "$python" ]; then
  echo "Python 3.11 or newer is needed; on Debian or Ubuntu: sudo apt-get install python3 python3-venv" >&2
  exit 1
fi
