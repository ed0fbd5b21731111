package config

import (
	"slices"
	"strings"
)

// otherNames maps names that other trainers use, normalised, to the keys here.
var otherNames = map[string]string{
	"lr":                          "training.learning_rate",
	"epochs":                      "training.num_epochs",
	"num_train_epochs":            "training.num_epochs",
	"per_device_train_batch_size": "training.batch_size",
	"train_batch_size":            "training.batch_size",
	"per_device_eval_batch_size":  "eval.batch_size",
	"eval_batch_size":             "eval.batch_size",
	"grad_accum":                  "training.gradient_accumulation_steps",
	"scheduler":                   "training.lr_scheduler",
	"lr_scheduler_type":           "training.lr_scheduler",
	"max_length":                  "training.max_seq_length",
	"max_new_tokens":              "eval.generation_max_new_tokens",
	"num_beams":                   "eval.generation_num_beams",
	"rank":                        "lora.r",
	"model":                       "base_model",
	"model_name":                  "base_model",
	"model_name_or_path":          "base_model",
	"dataset":                     "dataset_version",
	"train_data":                  "data_paths.train",
	"train_file":                  "data_paths.train",
	"test_data":                   "data_paths.test",
	"load_in_4bit":                "lora.quantization",
	"load_in_8bit":                "lora.quantization",
	"output_dir":                  "output.dir",
	"run_name":                    "name",
}

// suggest names the known key that an unknown dotted one was probably meant
// to be: the same name at another level, a name that other trainers use, the
// nearest spelling, or the same beginning.
func suggest(key string, holdsKeys bool) string {
	if fieldOf[key] != nil { // written with the point in it
		section, last, _ := strings.Cut(key, ".")
		return "write " + last + " on a line of its own under " + section + ":"
	}
	norm := strings.ReplaceAll(strings.ToLower(key), "-", "_")
	section, last, nested := strings.Cut(norm, ".")
	if !nested {
		section, last = "", norm
	}
	if holdsKeys && !nested {
		near, close := Nearest(last, sections)
		return meant(close, near)
	}
	if same := slices.DeleteFunc(slices.Clone(keys), func(k string) bool {
		return lastPart(k) != last && strings.ReplaceAll(k, ".", "_") != last
	}); len(same) > 0 {
		return meant(true, same...)
	}
	if other, ok := otherNames[last]; ok {
		return meant(true, other)
	}
	if slices.Contains(sections, norm) || slices.Contains(sections, last) {
		return last + " stands at the top level"
	}
	best, bestScore := "", 0
	for _, k := range keys {
		// The section counts less than the name: a key is more often put in
		// the wrong place than misspelled beyond recognition.
		score := 2 * distance(last, lastPart(k))
		if s, _, ok := strings.Cut(k, "."); !ok && section != "" || ok && s != section {
			score++
		}
		score = min(score, 2*distance(norm, k))
		if best == "" || score < bestScore {
			best, bestScore = k, score
		}
	}
	if closeEnough(bestScore/2, last) {
		return meant(true, best)
	}
	if longer := startingAlike(section, last); longer != "" {
		return meant(true, longer)
	}
	return meant(false, best)
}

// startingAlike is the key of a section that begins with most of a name, or empty:
// slice_by_tags for slices.
func startingAlike(section, name string) string {
	best, most := "", max(3, len(name)*2/3-1)
	for _, k := range keys {
		if s, last, _ := strings.Cut(k, "."); s == section {
			if n := commonPrefix(name, last); n > most {
				best, most = k, n
			}
		}
	}
	return best
}

func commonPrefix(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

func meant(close bool, names ...string) string {
	if close {
		return "did you mean " + either(names) + "?"
	}
	return "the nearest known key is " + either(names)
}

func lastPart(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }

// Nearest returns the known word with the smallest edit distance, the first of
// equals, and whether it is close enough to be a slip of the hand.
func Nearest(word string, known []string) (near string, close bool) {
	best := -1
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); best < 0 || d < best {
			near, best = k, d
		}
	}
	return near, closeEnough(best, word)
}

func closeEnough(distance int, word string) bool { return distance <= max(1, len(word)/3) }

// distance is the number of insertions, deletions, substitutions and swaps of
// neighbours between two words (optimal string alignment). Words are compared
// by their first 64 runes: no key is longer.
func distance(a, b string) int {
	ra, rb := head(a), head(b)
	before := make([]int, len(rb)+1) // the row before the previous one
	row := make([]int, len(rb)+1)
	next := make([]int, len(rb)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(ra); i++ {
		next[0] = i
		for j := 1; j <= len(rb); j++ {
			cost := 1
			if ra[i-1] == rb[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && ra[i-1] == rb[j-2] && ra[i-2] == rb[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(rb)]
}

func head(s string) []rune {
	r := []rune(s[:min(len(s), 256)])
	return r[:min(len(r), 64)]
}
