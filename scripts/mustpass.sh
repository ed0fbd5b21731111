#!/usr/bin/env bash
# Runs go test and fails unless every test that is named has run and passed:
#
#   scripts/mustpass.sh NAME... -- go test -v ...
#
# A test that skips itself, or that no pattern matches any more, is no failure to
# go test. What the tests print is shown when something is wrong.
set -uo pipefail

names=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
	names+=("$1")
	shift
done
[ $# -gt 1 ] && [ ${#names[@]} -gt 0 ] || { echo "usage: mustpass.sh NAME... -- COMMAND [ARGUMENT...]" >&2; exit 2; }
shift

out=$(mktemp)
trap 'rm -f "$out"' EXIT
"$@" >"$out" 2>&1
code=$?
for name in "${names[@]}"; do
	grep -qF -- "--- PASS: $name (" "$out" && continue
	echo "mustpass.sh: $name did not run and pass" >&2
	[ $code != 0 ] || code=1
done
if [ $code = 0 ]; then
	grep -E '^(ok|\?) ' "$out"
else
	cat "$out"
fi
exit $code
