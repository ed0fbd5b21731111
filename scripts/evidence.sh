#!/bin/sh
# Goes the whole way of the evidence on the bundled data, in about a minute:
# ingest, retrain (mock and real), compare, contamination, decide, reproduce.
# It prints what it runs and what comes out, and fails when a step does not end
# as it must. It works in a folder of its own; KEEP=1 leaves that folder there.
set -eu
verifily=${1:?usage: evidence.sh PATH_TO_verifily}
verifily=$(cd "$(dirname "$verifily")" && pwd)/$(basename "$verifily")
cd "$(dirname "$0")/.."
cmudict=$PWD/testdata/cmudict

work=$(mktemp -d)
if [ -n "${KEEP:-}" ]; then
	echo "working in $work"
else
	trap 'rm -rf "$work"' EXIT
	trap 'exit 130' INT TERM
fi
cd "$work"
ln -s "$cmudict" cmudict

wrong() {
	echo "evidence: $*" >&2
	exit 1
}

# run CODE ARGS... runs verifily with ARGS, which must end with this exit code.
run() {
	want=$1
	shift
	echo
	echo "\$ verifily $*"
	code=0
	"$verifily" "$@" || code=$?
	[ "$code" -eq "$want" ] || wrong "exit code $code of verifily $1, want $want"
}

# quietly CODE FILE ARGS... is run with the output in a file.
quietly() {
	want=$1 file=$2
	shift 2
	echo
	echo "\$ verifily $* >$file"
	code=0
	"$verifily" "$@" >"$file" || code=$?
	[ "$code" -eq "$want" ] || wrong "exit code $code of verifily $1, want $want"
}

# field NAME FILE prints the number or text of a field that stands on a line of its own.
field() {
	sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" "$2" | head -n 1
}

cat >train.yaml <<'END'
task: sft
base_model: builtin:nano
tokenizer:
  vocab_size: 420
  # A letter of the word and a phoneme of its sound are a token each.
  split: '\n*### [A-Z][a-z]+:\n|[a-z]| ?[A-Z][A-Za-z]*[0-2]?|\s|\S'
lora: {enabled: false}
training:
  num_epochs: 2
  batch_size: 32
  gradient_accumulation_steps: 1
  learning_rate: 3.0e-3
  max_seq_length: 64
  logging_steps: 100
  eval_steps: 0
  save_steps: 0
eval:
  metrics: [f1, exact_match, wer, eval_loss]
  slice_by_tags: [kind, length]
  generation_max_new_tokens: 24
  generation_num_beams: 1
  batch_size: 64
END
sed 's/num_epochs: 2/num_epochs: 5/' train.yaml >longer.yaml
cat >ship.yaml <<'END'
ship_if:
  min_f1: 0.55
  min_exact_match: 0.05
  max_wer: 0.6
  max_f1_regression: 0.02
  max_wer_regression: 0.03
  max_pii_hits: 0
slices:
  length=9-12: {min_f1: 0.5, max_f1_regression: 0.05}
  length=5-6: {max_f1_regression: 0.05}
min_slice: 30
significance: {alpha: 0.05, resamples: 10000, seed: 42}
require_hashes: true
END

echo "1. Words of the CMU Pronouncing Dictionary become a data set with hashes."
run 0 ingest cmudict/sft/train.jsonl --schema sft --out words

echo
echo "2. A retrain in mode mock goes the whole way without training. The same data"
echo "   and seed give the same numbers."
run 0 retrain --dataset words --out out
quietly 0 again.json retrain --dataset words --out out --notes again --json
f1=$(field f1 out/runs/retrain_0001/eval/eval_results.json)
[ -n "$f1" ] && [ "$f1" = "$(field f1 again.json)" ] || wrong "two mock retrains differ"

echo
echo "3. In mode real a model learns to pronounce the words: two epochs, then five"
echo "   from another seed, judged against the first by the usual criteria. These ask"
echo "   for 40% of answers without any mistake: it does not ship."
export VERIFILY_ENABLE_REAL_TRAIN=1
run 1 retrain --dataset words --out out --mode real --config train.yaml
run 1 retrain --dataset words --out out --mode real --config longer.yaml --seed 7 --baseline out/runs/retrain_0003
base=out/runs/retrain_0003
new=out/runs/retrain_0004

echo
echo "4. What is different between the two, and what may be chance?"
run 0 compare $base $new --slice-by length,kind --fixed 2 --broken 2
quietly 0 comparison.json compare $base $new --output comparison.csv --json
grep -q '^slice,f1,length,9-12,' comparison.csv || wrong "comparison.csv has no slice length=9-12"
[ "$(field resamples comparison.json)" = 10000 ] || wrong "comparison.json does not say how it was resampled"

echo
echo "5. Does a word of the test data stand in the training data? It must not; where"
echo "   three were put there they are found."
splits=$(echo out/splits/*)
run 0 contamination --train "$splits/train.jsonl" --eval "$splits/test.jsonl"
{ cat "$splits/train.jsonl" && head -n 3 "$splits/test.jsonl"; } >leaky.jsonl
run 1 contamination --train leaky.jsonl --eval "$splits/test.jsonl" --output leaky.json
[ "$(field exact_overlaps leaky.json)" = 3 ] || wrong "the three leaked rows were not found"

echo
echo "6. Does the model ship by limits that fit its task? Losses against the first"
echo "   one are judged on pairs of answers. It does; with the leak it would not."
cat ship.yaml
run 0 decide --run $new --baseline $base --policy ship.yaml --contamination contamination.json --report words
[ "$(field recommendation $new/decision/decision.json)" = SHIP ] || wrong "decision.json does not say SHIP"
cp $new/decision/decision.json before.json
run 1 decide --run $new --baseline $base --policy ship.yaml --contamination leaky.json --report words --dry-run
quietly 0 again.json decide --run $new --baseline $base --policy ship.yaml --contamination contamination.json --report words --json
cmp -s before.json $new/decision/decision.json || wrong "the same evidence gave another decision"

echo
echo "7. Is the run what it claims to be? Its hashes say so; a decision that was"
echo "   changed by hand is caught; trained again it ends in the same bytes."
run 0 reproduce $new --verify-only
cp -R $new changed
sed 's/exit_code": 0/exit_code": 1/' $new/decision/decision.json >changed/decision/decision.json
run 2 reproduce changed --verify-only
run 0 reproduce $new
cmp -s $new/train/model/model.safetensors out/runs/retrain_0005/train/model/model.safetensors ||
	wrong "the repeated training has other weights"

echo
echo "Every step ended as it must."
