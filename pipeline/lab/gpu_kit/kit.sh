#!/usr/bin/env bash
# What runs a kit where it was carried to (docs/gpu.md). PYTHON= names the Python there, python3 without it.
#   bash kit.sh start WORK                unpack the part beside this file; the first one starts the run, which goes on afterwards
#   bash kit.sh collect WORK OUT [SECONDS]   wait until the run is over, at most so long, and write what it made into OUT
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
verb=$1 work=$2 python=${PYTHON:-python3}
mkdir -p "$work/arrived"
work=$(cd "$work" && pwd)
# The carried wheels come before what is installed there; the code is found since it is the current folder.
export PYTHONPATH=$work/site${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1 NO_ALBUMENTATIONS_UPDATE=1

start() {
  tar -xf "$here/part.tar" -C "$work"
  touch "$work/arrived/$(basename "$here")"
  if [ ! -f "$work/kit.json" ] || [ -f "$work/run.pid" ]; then return; fi
  if compgen -G "$work/wheels/*.whl" >/dev/null; then
    "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$work/site" "$work"/wheels/*.whl
  fi
  cd "$work/code"
  setsid "$python" -m pipeline lab gpu-run --work "$work" >"$work/run.log" 2>&1 </dev/null &
  echo $! >"$work/run.pid"
}

collect() {
  local out=$1 seconds=${2:-0}
  while [ "$seconds" -gt 0 ] && kill -0 "$(cat "$work/run.pid")" 2>/dev/null; do
    sleep 1
    seconds=$((seconds - 1))
    if [ $((seconds % 30)) -eq 0 ]; then tail -n 1 "$work/run.log"; fi
  done
  cd "$work/code"
  "$python" -m pipeline lab gpu-collect --work "$work" --out "$out"
}

case $verb in
  start) start ;;
  collect) mkdir -p "$3" && collect "$(cd "$3" && pwd)" "${4:-0}" ;;
  *) echo "kit.sh start WORK | collect WORK OUT [SECONDS]" >&2 && exit 2 ;;
esac
