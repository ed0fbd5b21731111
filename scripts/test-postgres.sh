#!/usr/bin/env bash
# Runs the tests of everything that keeps its state in a database on PostgreSQL
# too. It fails where PostgreSQL is missing. Arguments go to go test.
set -euo pipefail
cd "$(dirname "$0")/.."
exec scripts/postgres.sh "${GO:-go}" test -count=1 "$@" ./core/jobs/... ./core/work/... ./core/monitor/...
