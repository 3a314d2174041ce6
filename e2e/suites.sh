#!/usr/bin/env bash
# Runs the named make targets one after the other, prints the seconds that each
# took and a last line that counts them. A failed suite does not hide the next.
set -uo pipefail
cd "$(dirname "$0")/.."
passed=0 failed=0 table=""
for suite in "$@"; do
  echo "== $suite"
  start=$(date +%s)
  if make --no-print-directory "$suite"; then word=ok; passed=$((passed + 1)); else word=FAILED; failed=$((failed + 1)); fi
  table+=$(printf '%-10s %-6s %5d s' "$suite" "$word" $(($(date +%s) - start)))$'\n'
done
printf '\n%s' "$table"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
