#!/usr/bin/env bash
# Runs every fuzz target of the module for the given time (default 30s), on as
# many lanes as there are processors with one worker each. A target that fails
# leaves its input below the package's testdata/fuzz; the rest still run.
set -uo pipefail
cd "$(dirname "$0")/.."
time=${1:-30s} logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# One test binary a package, built once, so that a target does not wait for the
# compiler.
build() {
  package=$1 binary=$logs/$(echo "$1" | tr / _).test
  go test -c -fuzz=Fuzz -o "$binary" "./$package" || return 255 # xargs stops
  (cd "$package" && "$binary" -test.list '^Fuzz') | grep '^Fuzz' | sed "s|^|$package $binary |" >"$binary.targets"
}

run() {
  (cd "$package" && "$binary" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$time" \
    -test.parallel 1 -test.fuzzcachedir "$logs/cache/$package") >"$log" 2>&1
}

# When the time is over Go's fuzzer may race with itself and fail with "context
# deadline exceeded" (golang/go#75804). Without a failing input it runs once more.
one() {
  package=$1 binary=$2 target=$3 log=$2.$3.log
  if run || { grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input' "$log" && run; }; then
    echo "ok    $package $target $(grep -oE 'execs: [0-9]+' "$log" | tail -1)"
  else
    echo "FAIL  $package $target"
    sed 's/^/      | /' "$log"
    return 1
  fi
}
export -f build one run
export logs time
grep -rl --include='*_test.go' '^func Fuzz' internal bridge wasm 2>/dev/null | { xargs grep -L '^//go:build js' || true; } | xargs -n 1 dirname | sort -u |
  xargs -P "$(nproc)" -L 1 bash -c 'build "$@"' _ || exit 1
cat "$logs"/*.targets >"$logs/targets"
xargs -P "$(nproc)" -L 1 bash -c 'one "$@"' _ <"$logs/targets"
status=$?
echo "$(wc -l <"$logs/targets") targets, $time each"
exit $status
