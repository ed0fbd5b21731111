#!/bin/sh
# Starts the service, makes a data set artifact of the bundled words, submits a
# retrain as a job, waits for it, fetches its result, shows the decision, and
# stops the service. Ends with an error if any step is off.
set -eu
verifily=${1:?usage: demo_api_jobs_retrain.sh PATH_TO_verifily}
case $verifily in */*) verifily=$(cd "$(dirname "$verifily")" && pwd)/$(basename "$verifily") ;; esac
cd "$(dirname "$0")/.."
command -v curl >/dev/null || { echo "demo: needs curl" >&2; exit 1; }

folder=$(mktemp -d)
server=
stop() {
	if [ -n "$server" ]; then kill "$server" 2>/dev/null || :; wait "$server" 2>/dev/null || :; fi
	rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
fail() {
	echo "demo: $*" >&2
	[ ! -s "$folder/server.log" ] || tail -n 20 "$folder/server.log" >&2
	exit 1
}
# field NAME reads a text or a number out of indented JSON.
field() { sed -n 's/^ *"'"$1"'": "\{0,1\}\([^",]*\)"\{0,1\},\{0,1\}$/\1/p' | head -n 1; }
call() { curl --silent --show-error --fail-with-body --max-time 30 -H "Authorization: Bearer $VERIFILY_API_KEY" -H "X-Project-ID: demo" "$@"; }

echo "1. The service starts, with a key, on a free port of this machine."
VERIFILY_API_KEY=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
export VERIFILY_API_KEY
"$verifily" serve --addr 127.0.0.1:0 --data-dir "$folder/service" --allow-path "$folder" >"$folder/address" 2>"$folder/server.log" &
server=$!
tries=0
until [ -s "$folder/address" ] && curl --silent --fail --max-time 5 "$(sed 's/^serving on //' "$folder/address")/ready" >/dev/null; do
	tries=$((tries + 1))
	[ "$tries" -lt 300 ] || fail "the service did not become ready"
	kill -0 "$server" 2>/dev/null || fail "the service ended"
	sleep 0.1
done
address=$(sed 's/^serving on //' "$folder/address")
echo "   $address is ready; $address/docs explains every call."
[ "$(curl --silent --output /dev/null --write-out '%{http_code}' "$address/v1/jobs")" = 401 ] || fail "it answered without the key"

echo
echo "2. The bundled words become a data set artifact."
"$verifily" ingest testdata/cmudict/sft/test.jsonl --schema sft --out "$folder/words"

echo
echo "3. A retrain is submitted as a job."
submitted=$(call -H "Content-Type: application/json" --data "{\"dataset_dir\": \"$folder/words\", \"output_dir\": \"$folder/out\", \"seed\": 7}" \
	"$address/v1/jobs/retrain") || fail "the job was refused: $submitted"
job=$(echo "$submitted" | field job_id)
[ -n "$job" ] || fail "there is no job_id in: $submitted"
echo "   job $job is $(echo "$submitted" | field status)"

echo
echo "4. It is asked for until it has ended."
tries=0
while :; do
	status=$(call "$address/v1/jobs/$job" | field status)
	case $status in
	SUCCEEDED) break ;;
	QUEUED | RUNNING) ;;
	*) fail "the job is ${status:-gone}" ;;
	esac
	tries=$((tries + 1))
	[ "$tries" -lt 300 ] || fail "the job did not end"
	sleep 0.1
done
echo "   job $job is $status"

echo
echo "5. The result has the decision, and where the evidence is."
result=$(call "$address/v1/jobs/$job/result") || fail "there is no result: $result"
run=$(echo "$result" | field run_dir)
[ "$(echo "$result" | field job_id)" = "$job" ] || fail "the result is of another job"
[ "$run" = "$folder/out/runs/retrain_0001" ] || fail "the run is in $run"
"$verifily" contract-check --run "$run" >/dev/null || fail "the run does not meet its contract"
"$verifily" reproduce "$run" --verify-only >/dev/null || fail "the run does not have its hashes"
sed 's/^/   /' "$run/decision/decision.txt"
decision=$(echo "$result" | field decision)
case $decision in SHIP | DONT_SHIP | INVESTIGATE) ;; *) fail "there is no decision" ;; esac
grep -q "^Recommendation: $decision\$" "$run/decision/decision.txt" || fail "the result and the run disagree"

echo
echo "6. The service stops: no new work, nothing left running."
kill -TERM "$server"
code=0
wait "$server" || code=$?
server=
[ "$code" -eq 0 ] || fail "the service ended with exit code $code"
! grep -q "$VERIFILY_API_KEY" "$folder/server.log" || fail "the key stands in the log"
echo "   $(grep -c '"msg":"request"' "$folder/server.log") requests are in its log. The decision was $decision."
