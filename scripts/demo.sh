#!/bin/sh
# The demo, testdata/demo/plan.yaml: a model learns real words from random
# weights, an adapter on top of it learns something else, and the model is
# trained again for less time, to be judged with evidence.
#
# On a terminal the workbench opens and shows the runs while they are trained in
# the background. Without one, the batch runs here, and what the runs show is
# printed.
set -eu
verifily=${1:?usage: demo.sh PATH_TO_verifily}
workbench=$(dirname "$verifily")/verifily-tui
cd "$(dirname "$0")/.."
case $verifily in /*) ;; *) verifily=./$verifily workbench=./$workbench ;; esac
plan=testdata/demo/plan.yaml

if [ -t 0 ] && [ -t 1 ]; then
	"$workbench" --batch "$plan" --new --detach
	"$workbench" --runs-dir runs || exit $?
	echo "The demo's batch goes on if it is not complete:"
	"$verifily" batch ls | head -n 1
	echo "  $verifily batch follow"
	echo "  $verifily batch stop"
	exit 0
fi

echo "Three jobs, as $plan says. A model learns to pronounce words of the CMU"
echo "Pronouncing Dictionary, an adapter on it learns where they are stressed, and"
echo "the model is trained again, from another seed and in six epochs instead of ten."
echo
code=0
"$workbench" --batch "$plan" --new --every 10s || code=$?
case $code in 0 | 1 | 2) ;; *) exit "$code" ;; esac

# The runs of this batch, by the names of the jobs.
batch=$(find runs -maxdepth 1 -name 'batch_*' | sort | tail -n 1)
run_of() { awk -F, -v job="$1" '$1 == job {print "runs/" $3; exit}' "$batch/summary.csv"; }
full=$(run_of pronounce) stress=$(run_of stress) short=$(run_of shorter)

echo
echo "What the first model learned, and where it fails. wer is the phoneme error rate:"
echo "a phoneme of the answer counts as a word."
"$verifily" runs show "$full"

echo
echo "What the adapter on it learned: where a word is stressed."
"$verifily" runs show "$stress"

echo
echo "What is different between the two models of pronunciation, and what may be chance?"
"$verifily" compare "$full" "$short" --fixed 2 --broken 2

echo
echo "Would the shorter training do? testdata/demo/ship.yaml says what it must show."
"$verifily" decide --run "$short" --baseline "$full" --policy testdata/demo/ship.yaml || true

echo
case $code in
0) echo "The verdict is SHIP: the shorter training would do." ;;
1) echo "The verdict is DONT_SHIP: the shorter training would not do." ;;
2) echo "The verdict is INVESTIGATE: somebody has to look before the shorter training does." ;;
esac
