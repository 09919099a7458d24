# "make" or "make help" lists what there is. Everything is built under build/.

GO            ?= go
FUZZTIME      ?= 10m
SOAK_LIVES    ?= 1000000
SOAK_STEPS    ?= 100000
CYCLES        ?= 1000
SWARM_SOAK    ?= 3m
COUNT         ?= 1
GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK   := golang.org/x/vuln/cmd/govulncheck@v1.9.0
ACTIONLINT    := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
SCRIPTS       := .ci/run .ci/licences $(wildcard internal/wine/*.sh)

.DEFAULT_GOAL := help
.PHONY: help test race cross examples test-docker test-windows test-hcs soak soak-windows swarm-soak fuzz lint golangci scripts workflows vuln licences bench bench-windows cover golden tidy

help: ## list the targets
	@awk -F': .*## ' '/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z][a-z -]*:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ To check a change

test: cross race examples test-windows ## everything that a change must pass

race: ## the tests on this machine, with the race detector
	CGO_ENABLED=1 $(GO) test -race ./...

cross: ## vet program and tests for every supported system
	GOOS=linux GOARCH=amd64 $(GO) vet ./...
	GOOS=windows GOARCH=amd64 $(GO) vet ./...
	GOOS=windows GOARCH=arm64 $(GO) vet ./...

examples: ## the examples that are separate modules, because the library does not depend on what they import
	@set -e; for mod in examples/*/go.mod; do \
		(set -x; cd $$(dirname $$mod) && $(GO) vet ./... && $(GO) test ./...); \
	done

test-docker: build/docker-cli ## examples/dockerd, driven by the installed docker command and by Debian's (unpacked under build/)
	cd examples/dockerd && DOCKER_CLIS="$(CURDIR)/build/docker-cli:$$(command -v docker || true)" CGO_ENABLED=1 $(GO) test -race -count=1 ./...

build/docker-cli: # unpacks the package: to install it would start its daemon
	rm -rf $@.deb && mkdir -p $@.deb
	cd $@.deb && { apt-get download docker-cli || apt-get download docker.io; } && dpkg -x *.deb . && mv usr/bin/docker ../docker-cli
	rm -rf $@.deb

test-windows: ## the tests as Windows binaries, under Wine (installs it and mingw from Debian's packages)
	sh internal/wine/test.sh

test-hcs: ## on a Windows host with Docker: everything on its own HCS (CONTRIBUTING.md says what that touches)
	powershell -NoProfile -ExecutionPolicy Bypass -File test-hcs.ps1

lint: golangci scripts workflows licences vuln ## all linters, for Linux and Windows (takes minutes the first time, and needs the network)

golangci: ## the Go code, for Linux and Windows
	$(GO) run -exec 'env GOOS=linux' $(GOLANGCI_LINT) run
	$(GO) run -exec 'env GOOS=windows' $(GOLANGCI_LINT) run

scripts: ## the shell scripts (needs shellcheck)
	@command -v shellcheck >/dev/null || { echo "shellcheck is missing: apt-get install shellcheck" >&2; exit 1; }
	shellcheck -x -P SCRIPTDIR $(SCRIPTS)

workflows: ## the workflows of the forge
	$(GO) run $(ACTIONLINT)

licences: ## the licences of the dependencies
	.ci/licences

vuln: ## known vulnerabilities in the code that is called
	$(GO) run $(GOVULNCHECK) ./...

##@ To search for rare faults

soak: ## SOAK_LIVES (1000000) containers, SOAK_STEPS (100000) steps of client and model, and as many calls of an engine, on a simulated HCS with faults (takes minutes)
	SOAK_LIVES=$(SOAK_LIVES) $(GO) test -count=1 -timeout 4h -v -run '^TestSoak$$' .
	SOAK_STEPS=$(SOAK_STEPS) $(GO) test -count=1 -timeout 4h -v -run '^TestClientBehavesAsItsModel$$' . \
		-rapid.steps=40 -rapid.checks=$$(($(SOAK_STEPS) / 30))
	ENGINE_SOAK=$(SOAK_STEPS) $(GO) test -count=1 -timeout 4h -v -run '^TestSoak$$' ./engine

soak-windows: ## CYCLES (1000) containers with an exec, one after the other, in a Windows binary: no lost event, no growth (takes minutes)
	LIBCONTAINERD_CYCLES=$(CYCLES) sh internal/wine/test.sh -count=1 -timeout 2h -v -run '^TestCycles$$'

swarm-soak: ## a swarm of 50 workers with 5000 tasks on simulated HCS, under churn for SWARM_SOAK (3m); prints memory and times
	cd examples/swarm && SWARM_SOAK=$(SWARM_SOAK) $(GO) test -count=1 -timeout 1h -v -run '^TestSoak$$' .

fuzz: ## each fuzz target for FUZZTIME (10m)
	@set -e; for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg; \
		done; \
	done

##@ To measure

bench: ## the benchmarks, COUNT (1) times, for benchstat: see BENCHMARKS.md (takes minutes)
	$(GO) test -run '^$$' -bench . -benchmem -count $(COUNT) -timeout 2h ./...

bench-windows: ## client and bare hcsshim in turn in a Windows program, under Wine, as ratios (takes minutes)
	sh internal/wine/bench.sh

cover: ## which lines the tests reach, in build/cover.html
	@mkdir -p build
	$(GO) test -coverpkg=./... -coverprofile=build/cover.out ./...
	$(GO) tool cover -html=build/cover.out -o build/cover.html
	@$(GO) tool cover -func=build/cover.out | tail -1

##@ To generate files

golden: ## write the golden files and api.txt again: read the diff
	$(GO) test . ./cmd/hcsrun -update

tidy: ## format, modernise, tidy go.mod
	$(GO) fix ./...
	gofmt -w .
	$(GO) mod tidy
