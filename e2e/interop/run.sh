#!/usr/bin/env bash
# Runs the interop suite: our side in Go against other implementations, live over
# loopback. aiocoap, and pycose for SUIT envelopes, are installed from PyPI into
# build/venv, once for each change of requirements.txt. What cannot be had (no PyPI,
# no Debian) is said loudly and the rest still runs; with CI set that is a failure.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=build/venv pinned=e2e/interop/requirements.txt log=build/interop-pip.log

missing() { printf '\n*** INTEROP: NO %s: %s ***\n\n' "$1" "$2" >&2; }

fail() {
  echo "INTEROP FAILED: $1" >&2
  exit 1
}

# What pip prints when it does not get to the index, or the index is down.
unreachable='connection broken|Max retries exceeded|ConnectionError|NewConnectionError|ReadTimeout|timed out|HTTP error (403|407|429|5[0-9][0-9])'

# debian installs a package, and fails where it cannot.
debian() {
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$1"; } >build/interop-apt.log 2>&1
}

# python_peers sets python to the one of a venv with aiocoap and pycose, to nothing
# where PyPI cannot be reached.
python_peers() {
  python=$venv/bin/python
  cmp -s "$pinned" "$venv/installed" && "$python" -c '' 2>/dev/null && return
  if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
    missing "aiocoap, pycose" "Python 3.10 or later is needed"
    python=
    return
  fi
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null && ! debian python3-venv; then
    missing "aiocoap, pycose" "Python's venv module is missing and cannot be installed (see build/interop-apt.log)"
    python=
    return
  fi
  rm -rf "$venv"
  python3 -m venv "$venv" >"$log" 2>&1 || fail "no venv in $venv: see $log"
  if "$python" -m pip install --quiet --no-input --disable-pip-version-check \
    --timeout 20 --retries 1 -r "$pinned" >"$log" 2>&1; then
    cp "$pinned" "$venv/installed"
    return
  fi
  if grep -qE "$unreachable" "$log"; then
    missing "aiocoap, pycose" "PyPI cannot be reached (see $log)"
    rm -rf "$venv"
    python=
  else
    cat "$log" >&2
    fail "pip could not install $pinned"
  fi
}

# libcoap installs libcoap's programs where Debian's packages can be had.
libcoap() {
  command -v coap-client-notls >/dev/null && command -v coap-server-notls >/dev/null && return
  debian libcoap3-bin ||
    missing libcoap "coap-client-notls and coap-server-notls are missing and libcoap3-bin cannot be installed (see build/interop-apt.log)"
}

mkdir -p build
python_peers
libcoap
go build -o build/interop ./e2e/interop
exec build/interop -python "$python" "$@"
