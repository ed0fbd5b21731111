#!/usr/bin/env bash
# Runs the tests of everything that keeps its state in a database on PostgreSQL
# too. It fails where PostgreSQL is missing, or where no test used it. Arguments go
# to go test.
set -euo pipefail
cd "$(dirname "$0")/.."
exec scripts/postgres.sh scripts/mustpass.sh TestManyJobs/postgres TestKilledAtRandom/postgres TestGoesOnAfterARestart/postgres -- \
	"${GO:-go}" test -v -count=1 "$@" ./core/jobs/... ./core/work/... ./core/monitor/...
