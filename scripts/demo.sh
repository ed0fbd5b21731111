#!/bin/sh
# Trains a model on real words from random weights and an adapter on top of it,
# shows what they learned and where they fail, then trains the model again for
# less time and decides with evidence whether that one would do.
set -eu
verifily=${1:?usage: demo.sh PATH_TO_verifily}
cd "$(dirname "$0")/.."

# Runs are found again by their names, which no other demo has.
stamp=$(date +%y%m%d-%H%M%S)
run_named() {
	found=
	for meta in runs/run_*/run_meta.json; do
		if grep -q "\"run_name\": \"$1\"" "$meta"; then
			found=${meta%/run_meta.json}
		fi
	done
	if [ -z "$found" ]; then
		echo "demo: there is no run named $1 in runs" >&2
		return 1
	fi
	echo "$found"
}

echo "1. A model learns to pronounce words of the CMU Pronouncing Dictionary. Its wer"
echo "   is the phoneme error rate: a phoneme of the answer counts as a word."
"$verifily" train --config testdata/demo/train.yaml --name "pronounce-$stamp"
full=$(run_named "pronounce-$stamp")

echo
echo "2. An adapter on that model learns where words are stressed."
"$verifily" train --config testdata/demo/stress.yaml --base-model "$full" --name "stress-$stamp"

echo
echo "3. The first model again, from another seed and in six epochs instead of ten."
"$verifily" train --config testdata/demo/train.yaml --name "shorter-$stamp" --seed 7 --epochs 6
short=$(run_named "shorter-$stamp")

echo
echo "4. What is different between the two, and what may be chance?"
"$verifily" compare "$full" "$short" --fixed 2 --broken 2

echo
echo "5. Would the shorter training do? testdata/demo/ship.yaml says what it must show."
code=0
"$verifily" decide --run "$short" --baseline "$full" --policy testdata/demo/ship.yaml || code=$?

echo
case $code in
0) echo "The verdict is SHIP: the shorter training would do." ;;
1) echo "The verdict is DONT_SHIP: the shorter training would not do." ;;
2) echo "The verdict is INVESTIGATE: somebody has to look before the shorter training does." ;;
*) exit "$code" ;;
esac
