#!/bin/sh
# Trains a model on real words from random weights, then an adapter on top of
# it, and shows what they learned and where they fail.
set -eu
verifily=${1:?usage: demo.sh PATH_TO_verifily}
cd "$(dirname "$0")/.."

echo "1. A model learns to pronounce words of the CMU Pronouncing Dictionary."
"$verifily" train --config testdata/demo/train.yaml
run=$(ls -td runs/run_* | head -n 1)

echo
echo "2. An adapter on that model learns where words are stressed."
"$verifily" train --config testdata/demo/stress.yaml --base-model "$run"
