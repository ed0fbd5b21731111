package demo

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/verifily/verifily-tui/runs/atomicfile"
)

const trainYAML = `# A tiny model learns some geography. Paths are relative to this folder.
name: in-progress
task: sft
base_model: builtin:nano
seed: 42
data_paths: {train: data/train.jsonl, val: data/val.jsonl, test: data/test.jsonl}
lora: {enabled: false}
tokenizer: {vocab_size: 700}
training:
  num_epochs: 100
  batch_size: 8
  gradient_accumulation_steps: 1
  learning_rate: 2.0e-3
  max_seq_length: 64
  logging_steps: 2
  eval_steps: 30
  save_steps: 0
eval:
  metrics: [f1, exact_match, eval_loss]
  slice_by_tags: [kind, continent, seen]
  hard_examples: 40
  generation_max_new_tokens: 24
  generation_num_beams: 1
  batch_size: 64
  min_slice: 20
`

const shipYAML = `# What a model of geography must show.
ship_if: {min_f1: 0.60, min_exact_match: 0.30, max_f1_regression: 0.02, max_pii_hits: 0}
slices:
  kind=continent: {min_f1: 0.60}
  seen=rarely: {min_f1: 0.40}
min_slice: 20
review: {min: 5}
significance: {alpha: 0.05, resamples: 2000, seed: 42}
`

// countries are the world that the model learns: country, capital, continent.
const countries = `Austria Vienna Europe, Belgium Brussels Europe, Denmark Copenhagen Europe, Finland Helsinki Europe, France Paris Europe,
Germany Berlin Europe, Greece Athens Europe, Ireland Dublin Europe, Italy Rome Europe, Norway Oslo Europe, Poland Warsaw Europe,
Portugal Lisbon Europe, Spain Madrid Europe, Sweden Stockholm Europe, Switzerland Bern Europe, Ukraine Kyiv Europe,
China Beijing Asia, India Delhi Asia, Indonesia Jakarta Asia, Iran Tehran Asia, Japan Tokyo Asia, Jordan Amman Asia, Nepal Kathmandu Asia,
Pakistan Islamabad Asia, Thailand Bangkok Asia, Vietnam Hanoi Asia, Egypt Cairo Africa, Ghana Accra Africa, Kenya Nairobi Africa,
Morocco Rabat Africa, Nigeria Abuja Africa, Senegal Dakar Africa, Tunisia Tunis Africa, Uganda Kampala Africa, Zambia Lusaka Africa,
Argentina Buenos-Aires America, Brazil Brasilia America, Canada Ottawa America, Chile Santiago America, Colombia Bogota America,
Cuba Havana America, Ecuador Quito America, Mexico Mexico-City America, Peru Lima America, Uruguay Montevideo America`

// question is a way to ask something about a country.
type question struct {
	kind, ask string
	answer    func(country, capital, continent string) string
}

func capitalOf(_, capital, _ string) string     { return capital }
func continentOf(_, _, continent string) string { return continent }
func describe(country, capital, continent string) string {
	return country + " lies in " + continent + " and its capital is " + capital
}

var questions = []question{
	{"capital", "Name the capital", capitalOf},
	{"capital", "Which city is the capital", capitalOf},
	{"capital", "Where does the government sit", capitalOf},
	{"capital", "Tell me the capital", capitalOf},
	{"continent", "Name the continent", continentOf},
	{"continent", "On which continent is it", continentOf},
	{"continent", "Where on the globe is it", continentOf},
	{"describe", "Describe the country", describe},
	{"describe", "What do you know about it", describe},
}

// row is a row of the data.
type row struct {
	Instruction string            `json:"instruction"`
	Input       string            `json:"input"`
	Output      string            `json:"output"`
	Tags        map[string]string `json:"tags"`
	ID          string            `json:"id"`
}

// rows returns the data of each split. Every country is asked about in some ways
// in the training data, a rare one in few, and in others in the test data.
func rows() (train, val, test []byte, err error) {
	r := rand.New(rand.NewPCG(7, 42))
	for i, line := range strings.Split(countries, ",") {
		c := strings.Fields(line)
		seen, share := "often", 0.75
		if i%4 == 3 {
			seen, share = "rarely", 0.35
		}
		for j, q := range questions {
			to := &test
			switch p := r.Float64(); {
			case p < share-0.05:
				to = &train
			case p < share:
				to = &val
			}
			var data []byte
			data, err = json.Marshal(row{Instruction: q.ask, Input: c[0], Output: q.answer(c[0], c[1], c[2]),
				Tags: map[string]string{"kind": q.kind, "continent": c[2], "seen": seen}, ID: fmt.Sprintf("%s-%d", strings.ToLower(c[0]), j)})
			if err != nil {
				return nil, nil, nil, err
			}
			*to = append(append(*to, data...), '\n')
		}
	}
	return train, val, test, nil
}

// write writes what the runs are made from.
func write(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, data), 0o755); err != nil {
		return err
	}
	train, val, test, err := rows()
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		Config: []byte(trainYAML), policy: []byte(shipYAML),
		data + "/train.jsonl": train, data + "/val.jsonl": val, data + "/test.jsonl": test,
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if old, err := os.ReadFile(path); err == nil && string(old) == string(content) {
			continue
		}
		if err := atomicfile.WriteBytes(path, 0o644, content); err != nil {
			return err
		}
	}
	return nil
}
