# Everything is built into build/. `make run` and `make test` install what they
# need: npm packages by npm ci, Chromium from the system's package manager.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build
.PHONY: run test build lint bench fuzz fuzz-short coverage conformance interop e2e soak page wasm-test go-test clean

export CGO_ENABLED ?= 1
WASM_EXEC := $(shell go env GOROOT)/lib/wasm/go_js_wasm_exec
FUZZTIME ?= 30s

# Published vectors of others are not part of the project: tests find them where
# this points, or say what they skip.
VECTORS := $(wildcard $(CURDIR)/../shared/vectors)
ifneq ($(VECTORS),)
export LAMPLIGHTER_VECTORS_DIR ?= $(VECTORS)
endif

run: build
	./build/lamplighter demo $(ARGS)

build: page
	go build -trimpath -o build/lamplighter ./bridge

# The page: TypeScript bundle, WASM engine, compressed variants, in web/dist.
page: web/node_modules/.package-lock.json
	go run ./web/build

%/node_modules/.package-lock.json: %/package.json %/package-lock.json
	npm ci --prefix $* --no-audit --no-fund
	touch $@

lint: page
	test -z "$$(gofmt -l bridge internal wasm web/*.go web/build web/gen e2e | tee /dev/stderr)"
	go vet ./...
	GOOS=js GOARCH=wasm go vet ./wasm/... ./internal/...
	npm run --prefix web check

# Suites in the order of their cost; each says how long it took.
test:
	@RESULTS=build/go-test.json bash e2e/suites.sh lint go-test coverage conformance wasm-test fuzz-short interop e2e

# Tests that wait for devices share the processors with others; the longest begin.
# lint has vetted them.
go-test: page
	@mkdir -p build
	go test -race -vet=off -timeout 20m -parallel 4 -json ./bridge ./internal/rollout ./... | go run ./e2e/gotest build/go-test.json

# What others build on, and a site is restored from, has to be covered: statements,
# in percent.
COVERED := ./internal/cose/... ./internal/oscore/... ./internal/backup
LEAST := 90
coverage:
	@mkdir -p build
	@go test -cover $(COVERED) >build/coverage.txt || { cat build/coverage.txt; exit 1; }
	@awk '{print} {for (i = 1; i < NF; i++) if ($$i == "coverage:" && $$(i+1)+0 < $(LEAST)) bad = 1} \
		END {if (bad) print "less than $(LEAST) % of statements is covered"; exit bad}' build/coverage.txt

# The statements' tests, and whether the page that lists them is true. `make
# conformance CHECK=` writes the page. RESULTS are of a run that go-test has made.
CHECK ?= -check
conformance: page
	go run ./e2e/conformance $(CHECK) $(if $(RESULTS),-results $(RESULTS))

# What a browser runs, all that the programs of wasm link, and the other packages that
# do no I/O.
PURE := ./internal/store/sealed ./internal/store/schema ./internal/backup/archive ./internal/cose/... ./internal/ace/... \
	./internal/as ./internal/gm ./internal/device ./internal/updater ./internal/settings/holder
wasm-test:
	GOOS=js GOARCH=wasm go test -vet=off -exec="$(WASM_EXEC)" $(PURE) $$(GOOS=js GOARCH=wasm go list -deps ./wasm/... | grep ^lamplighter/)

e2e: build e2e/node_modules/.package-lock.json
	bash e2e/chromium.sh
	npm run --prefix e2e test

interop: build
	bash e2e/interop/run.sh

bench: build e2e/node_modules/.package-lock.json
	bash e2e/chromium.sh
	go run ./e2e/bench

fuzz:
	bash e2e/fuzz.sh $(FUZZTIME)

fuzz-short:
	bash e2e/fuzz.sh 2s

# The long runs behind the short seeded ones of `make test`.
soak: build
	LAMPLIGHTER_SOAK=1 go test -timeout 80m -run 'Kill|Crash|Soak' -v ./bridge/... ./internal/...

clean:
	rm -rf build web/node_modules e2e/node_modules
