#!/usr/bin/env bash
# Runs a command with a throw-away PostgreSQL:
#
#   scripts/postgres.sh COMMAND [ARGUMENT...]
#
# The server listens on a free port of the loopback interface and keeps
# everything in a temporary folder. The command finds its URL in
# VERIFILY_TEST_POSTGRES. Without a command, the URL is printed and the server
# runs until Ctrl-C. When the command ends, in any way, the server is stopped
# and the folder removed; the exit code is the command's.
#
# The server must not run as root: there, the account of Debian's package is
# used, else nobody.
set -euo pipefail

bin=${PG_BIN:-$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)}
if [ ! -x "$bin/initdb" ]; then
	echo "postgres.sh: PostgreSQL is missing: install Debian's package postgresql, or set PG_BIN to the folder of initdb" >&2
	exit 1
fi

as=()
if [ "$(id -u)" = 0 ]; then
	for user in postgres nobody; do
		if id "$user" >/dev/null 2>&1; then
			as=(runuser -u "$user" --)
			break
		fi
	done
fi

dir=$(mktemp -d "${TMPDIR:-/tmp}/verifily-postgres.XXXXXX")
stop() {
	trap - EXIT INT TERM
	"${as[@]}" "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1 || true
	rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

[ ${#as[@]} = 0 ] || chown "$user" "$dir"
cd "$dir" # a folder that the account may enter
"${as[@]}" "$bin/initdb" -D "$dir/data" -U verifily -A trust -E UTF8 --locale=C --no-sync >"$dir/init.log" 2>&1 || { cat "$dir/init.log" >&2; exit 1; }

# A port that is free now may be taken a moment later: then another one is tried.
for _ in 1 2 3 4 5; do
	port=$((20000 + RANDOM % 20000))
	options="-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories=$dir -c max_connections=200 -c max_wal_size=256MB"
	if "${as[@]}" "$bin/pg_ctl" -D "$dir/data" -l "$dir/server.log" -o "$options" -w start >/dev/null 2>&1; then
		url="postgres://verifily@127.0.0.1:$port/postgres?sslmode=disable"
		break
	fi
done
[ -n "${url:-}" ] || { cat "$dir/server.log" >&2; exit 1; }

cd "$OLDPWD"
export VERIFILY_TEST_POSTGRES=$url
if [ $# = 0 ]; then
	echo "$url"
	sleep infinity &
	wait $!
else
	"$@"
fi
