#!/usr/bin/env bash
# Runs the interop suite: our side in Go against other implementations, live over
# loopback. They are installed from PyPI into build/venv, once for each change of
# requirements.txt. Without PyPI the suite is skipped; with CI set that is a
# failure.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=build/venv pinned=e2e/interop/requirements.txt log=build/interop-pip.log

skip() {
  printf '\n*** INTEROP SKIPPED: %s ***\n\n' "$1"
  [ -z "${CI:-}" ] || exit 1
  exit 0
}

fail() {
  echo "INTEROP FAILED: $1" >&2
  exit 1
}

command -v python3 >/dev/null && python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
  fail "Python 3.10 or later is needed"
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
  command -v apt-get >/dev/null || fail "Python's venv module is missing: install it and try again"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-venv >/dev/null
fi

# What pip prints when it does not get to the index, or the index is down.
unreachable='connection broken|Max retries exceeded|ConnectionError|NewConnectionError|ReadTimeout|timed out|HTTP error (403|407|429|5[0-9][0-9])'
install() {
  python3 -m venv "$venv" >"$log" 2>&1 || fail "no venv in $venv: see $log"
  "$venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check \
    --timeout 20 --retries 1 -r "$pinned" >"$log" 2>&1
}
mkdir -p build
if ! cmp -s "$pinned" "$venv/installed" || ! "$venv/bin/python" -c '' 2>/dev/null; then
  rm -rf "$venv"
  if ! install; then
    grep -qE "$unreachable" "$log" && skip "PyPI cannot be reached (see $log)"
    cat "$log" >&2
    fail "pip could not install $pinned"
  fi
  cp "$pinned" "$venv/installed"
fi

go build -o build/interop ./e2e/interop
exec build/interop -python "$venv/bin/python" "$@"
