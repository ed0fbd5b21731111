package main

// policyHelp explains the policy file of decide.
const policyHelp = `A policy is a YAML file, often called ship.yaml, that says what a run must show
before verifily decide lets it ship. Everything but ship_if may be left out.

  ship_if:                      # over all examples
    min_f1: 0.5                 # the four usual criteria, with their defaults:
    min_exact_match: 0.4        # a key that is left out keeps its default, and
    max_f1_regression: 0.05     # null switches it off
    max_pii_hits: 0
    min_accuracy: 0.8           # min_METRIC, max_METRIC and
    max_eval_loss: 1.2          # max_METRIC_regression of any metric of a run
    max_wer_regression: 0.02    # one that was not measured is a flag
  slices:                       # the same keys for a part of the test data
    source=human: {min_f1: 0.7, max_f1_regression: 0.02}
    kind*length=base*5-6: {min_f1: 0.6}
  min_slice: 30                 # a smaller slice is "too few": a flag
  significance:                 # judge regressions on paired differences
    alpha: 0.05
    resamples: 10000
    seed: 42
  review:                       # hard examples that people have labelled
    min: 20
    max_share: {model error: 0.5}
  require_hashes: true          # a file that was changed is a blocker

A regression is how much worse the run is than --baseline: lower, or higher for
losses and error rates. Without significance the two values decide. With it they
are compared example by example. A regression over its limit then blocks only
when the interval of the difference leaves out zero and its p value - over slices
Holm-corrected for their number - is at most alpha; else it is a flag. A
difference within its limit is "insufficient" when so few examples could not have
shown a loss of that size; the row says how many more it would take.

A metric that meets its limit is a flag when the predictions of the run give
another value.

Every limit is a gate, a row of the table and of decision/gates.json:

  pass          the limit is met
  fail          it is not: a blocker, and the verdict is DONT_SHIP
  flag, too few, insufficient
                somebody has to look: INVESTIGATE, unless something blocks
  not checked   nothing to check was given; it does not count

Labels of review.max_share: model error, label error, ambiguous, bad input,
fine. They are given in the workbench, verifily-tui, and stand in review/.`
