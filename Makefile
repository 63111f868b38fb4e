# Trivet's commands. `make help` lists them.

SHELL := /bin/bash
BIN := $(CURDIR)/.bin
SERVICES := auth ai billing
GO_FILES = $(shell git ls-files -co --exclude-standard '*.go' | grep -v '^gen/' | grep -v '/store/db/')

BUF_VERSION := v1.75.0
GOFUMPT_VERSION := v0.12.0
GOLANGCI_VERSION := v2.15.0
GOVULNCHECK_VERSION := v1.9.0
SQLC_VERSION := v1.31.1

.DEFAULT_GOAL := help

## — everyday —

.PHONY: help
help: ## List the commands
	@awk 'BEGIN {FS = ":.*## "} /^## / {gsub(/^## /, ""); print "\n" $$0} /^[a-z][a-z-]*:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: build ## Build and start everything on this machine, without any account; it ends with the addresses and the next steps
	@exec bin/trivet dev

.PHONY: build
build: ## Build bin/trivet and the four programs of split mode
	@scripts/build bin ./cmd/trivet ./gateway/cmd/gateway ./services/auth/cmd/auth ./services/ai/cmd/ai ./services/billing/cmd/billing

# Tests append to this list what they could not run. `make run` must not see it: Trivet warns of settings that it does not know.
test test-faults drill test-calls screenshots race: export TRIVET_TEST_SKIPPED := $(CURDIR)/.skipped

# The end-to-end tests run beside the others, because they mostly wait. What they write is shown when the others have ended.
END_TO_END := $(CURDIR)/.end-to-end

.PHONY: test
test: $(if $(shell command -v npm),test/sdk/node_modules test/sdk/clients/node_modules clients/typescript/node_modules web/console/node_modules web/example/node_modules) ## Run all tests; those that need PostgreSQL, Chromium or Node.js say at the end what they could not run
	@rm -f $(TRIVET_TEST_SKIPPED) $(END_TO_END)
	@export TRIVET_TEST_RUN=$$(date +%s%N); failed=0; \
	set -m; go test -count=1 -timeout 40m ./test/e2e >$(END_TO_END) 2>&1 & beside=$$!; set +m; \
	trap 'kill -- -$$beside 2>/dev/null; wait; exit 130' INT TERM; \
	go test -timeout 40m $$(go list ./... | grep -v '/test/e2e$$') || failed=1; \
	wait $$beside || failed=1; cat $(END_TO_END); \
	(cd tools && go test ./...) || failed=1; \
	scripts/skipped $(TRIVET_TEST_SKIPPED) || failed=1; \
	exit $$failed

.PHONY: test-faults
test-faults: ## Run the tests that take minutes: processes killed while events flow, the long form of the property tests
	TRIVET_FAULTS=1 go test -count=1 -timeout 30m -v -run 'Killed' ./test/e2e
	TRIVET_FAULTS=1 go test -count=1 -timeout 30m -run Properties ./services/billing/internal/ledger
	LEDGER_TEST_KILLS=50 go test -count=1 -timeout 30m -v -run '^TestKilledLedger$$' ./services/billing/internal/ledger
	INBOX_TEST_KILLS=50 go test -count=1 -timeout 30m -v -run '^TestKill$$' ./platform/inbox
	TRIVET_FAULTS=1 go test -count=1 -timeout 30m -v -run '^TestKilledAtEachPoint$$' ./services/billing/internal/ledger
	TRIVET_FAULTS=1 go test -count=1 -timeout 60m -run 'Propert' ./services/... ./platform/...
	TRIVET_FAULTS=1 go test -count=1 -timeout 60m -run '^TestOutages$$' ./services/billing/internal/overage
	TRIVET_FAULTS=1 go test -count=1 -timeout 30m -run '^TestAbortedCallsLeaveNothing$$' ./services/ai
	TRIVET_FAULTS=1 go test -count=1 -timeout 30m -v -run '^TestCallersWhoLeaveLeaveNothing$$' ./test/e2e
	TRIVET_FAULTS=1 go test -count=1 -timeout 10m -run '^TestTheSpecificationTakesEveryRequest$$' ./services/billing/internal/stripe
	TRIVET_FAULTS=1 go test -count=1 -timeout 30m -v -run '^TestUpgradeBesideOldPrograms$$' ./test/e2e
	TRIVET_FAULTS=1 go test -count=1 -timeout 60m -run '^TestAnyNewsLeadToTheSameEnd$$|^TestKilledAtEachCallOfStripe$$' ./services/billing
	TRIVET_FAULTS=1 go test -count=1 -timeout 10m -v -run '^TestWebhooksChangeLimits$$' ./services/billing

.PHONY: test-replicas
test-replicas: ## Run three replicas of each service under load, and kill and freeze them at random for minutes; it prints what was lost (nothing)
	TRIVET_FAULTS=1 go test -count=1 -timeout 30m -v -run '^TestReplicas$$' ./test/e2e

.PHONY: drill
drill: ## Break each provider, PostgreSQL, Redis and the mail server in turn under load for a quarter of an hour; it prints what users saw, and writes it into docs/operations.md
	TRIVET_DRILL=1 go test -count=1 -timeout 30m -v -run '^TestDrill$$' ./test/e2e

.PHONY: dashboard
dashboard: ## Let a Prometheus read a running Trivet, evaluate every query of the dashboard, and print how many series each has
	go test -count=1 -v -run '^TestDashboardOverARealRun$$' ./test/e2e

.PHONY: promtool
promtool: ## Check the alerts and the dashboard's queries with Prometheus's promtool, run the tests of the alerts, and print what it says
	go test -count=1 -v -run '^TestPromtool$$' ./platform/alert

.PHONY: test-calls
test-calls: ## Run the tests of the all-in-one with plain calls that copy and check their messages
	go test -tags checkcalls ./platform/grpcserver ./gateway ./internal/allinone
	TRIVET_TEST_TAGS=checkcalls go test -count=1 -timeout 30m -run 'TestCallsFromSignInToLedger|TestLeaving|TestDisconnectedCaller|TestKilledInTheMiddle|TestNoOverspend|TestUpstreamFailures' ./test/e2e

.PHONY: screenshots
screenshots: test/sdk/node_modules ## Take pictures of every page of the console, light, dark and on a phone, into .screenshots
	@rm -rf .screenshots && mkdir .screenshots
	TRIVET_SCREENSHOTS=$(CURDIR)/.screenshots go test -count=1 -run TestConsoleInChromium ./test/e2e
	@ls .screenshots; test -n "$$(ls .screenshots)" || { echo "make screenshots: no pictures were taken, because Chromium is missing" >&2; exit 1; }

.PHONY: race
race: ## Run the tests of the concurrent parts under the race detector (needs a C compiler, such as gcc)
	CGO_ENABLED=1 go test -race -timeout 60m ./platform/... ./services/... ./gateway/... ./sandbox/...

.PHONY: bench
bench: build ## Compare Trivet with a bare reverse proxy on this machine: requests/s, CPU, latency, memory
	go run ./test/bench $(ARGS)

.PHONY: bench-webhooks
bench-webhooks: build ## Offer 1,000 signed webhooks a second for 30 s, on SQLite and on PostgreSQL: acknowledgements, commits, drain (ARGS="--help" shows its flags)
	go run ./test/bench webhooks $(ARGS)

.PHONY: bench-growth
bench-growth: ## Measure the ledger with 10^3 to 10^6 calls of one account: reserve + settle, reads, bytes per call (CALLS=10000000 for more)
	GROWTH_CALLS=$(or $(CALLS),1000000) go test -run '^$$' -bench Growth -benchtime 1x -timeout 4h -v ./services/billing/internal/ledger

.PHONY: bench-verify
bench-verify: ## Measure the verification of a ledger of 10^6 usage entries (ENTRIES=100000 for fewer)
	VERIFY_ENTRIES=$(or $(ENTRIES),1000000) go test -run '^$$' -bench Verify -benchtime 1x -timeout 1h ./services/billing

.PHONY: bench-go
bench-go: ## Run the Go benchmarks of the hot path
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: deps
deps: ## Install what the tests use beside Go, from Debian's packages: PostgreSQL, PgBouncer, Redis, Chromium, Prometheus (needs root)
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql pgbouncer redis-server chromium prometheus >/dev/null

## — after changing the contract, the SQL or the code —

.PHONY: gen
gen: gen-proto gen-sql console ## Generate everything that is generated

.PHONY: gen-proto
gen-proto: $(BIN)/buf .protodeps web/node_modules clients/typescript/node_modules ## Generate Go, OpenAPI and TypeScript from proto/
	$(BIN)/buf generate
	set -o pipefail; $(BIN)/buf build -o -#format=json | node web/openapi/build.mjs gen/openapi/trivet.swagger.json gen/openapi/openapi.json
	cd clients/typescript && npm run --silent gen

.PHONY: gen-sql
gen-sql: $(BIN)/sqlc ## Generate the query code of each service's store
	@set -e; for s in $(SERVICES); do if [ -f services/$$s/sqlc.yaml ]; then (cd services/$$s && $(BIN)/sqlc generate); fi; done

.PHONY: console
console: web/console/node_modules ## Build the console's files, which are committed and embedded
	cd web/console && npm run --silent build

.PHONY: docs
docs: ## Write the tables of docs/ that are made from the code
	go run ./internal/docgen/cmd
	TRIVET_WRITE_DOCS=1 go test -count=1 -run 'TestUnimplementedRPCsAreListed|TestForgeries' ./internal/allinone
	TRIVET_WRITE_DOCS=1 go test -count=1 -run '^Test(Media|MediaStream)?FaultTable$$' ./test/e2e
	TRIVET_WRITE_DOCS=1 go test -count=1 -run TestDoctorOutputIsDocumented ./cmd/trivet

.PHONY: fmt
fmt: $(BIN)/buf $(BIN)/gofumpt .protodeps ## Format Go and proto files
	$(BIN)/gofumpt -w $(GO_FILES)
	$(BIN)/buf format proto -w

.PHONY: lint
lint: lint-proto lint-go ## Run every linter

.PHONY: lint-proto
lint-proto: $(BIN)/buf .protodeps ## Lint the contract and check its format
	$(BIN)/buf lint proto
	$(BIN)/buf format proto -d --exit-code

.PHONY: lint-go
lint-go: $(BIN)/golangci-lint ## Lint the Go code of both modules
	$(BIN)/golangci-lint run ./...
	go vet -tags checkcalls ./platform/grpcserver ./internal/allinone ./test/e2e
	cd tools && $(BIN)/golangci-lint run --config $(CURDIR)/.golangci.yaml ./...

.PHONY: breaking
breaking: $(BIN)/buf .protodeps ## Check that the contract breaks no caller of BASE (default: the commit before)
	BUF=$(BIN)/buf scripts/breaking $(BASE)

GENERATED := gen clients/typescript/src/gen 'services/*/internal/store/db' web/console/dist

.PHONY: gen-check
gen-check: gen ## Check that what is committed is what is generated
	@git diff --exit-code --stat -- $(GENERATED) && test -z "$$(git status --porcelain -- $(GENERATED))" || \
		{ echo "generated code differs from what is committed: run make gen and commit"; exit 1; }

.PHONY: tidy
tidy: ## Bring both go.mod files in order
	GOWORK=off go mod tidy
	cd tools && GOWORK=off go mod tidy

.PHONY: installable
installable: ## Build the commands as `go install …@version` does, without go.work
	GOWORK=off go build -o /dev/null ./cmd/...

.PHONY: vuln
vuln: $(BIN)/govulncheck ## Look for known vulnerabilities, where their database can be reached
	BIN=$(BIN) scripts/vuln . tools

.PHONY: clean
clean: ## Remove what was built, the development data, and what a broken benchmark left
	rm -rf bin data .bench .protodeps

# — tools, each at its pinned version —

.protodeps: tools/protodeps/main.go tools/go.mod
	go run ./tools/protodeps .protodeps
	@touch .protodeps

web/node_modules web/console/node_modules web/example/node_modules test/sdk/node_modules test/sdk/clients/node_modules clients/typescript/node_modules: %/node_modules: %/package.json %/package-lock.json
	cd $* && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

$(BIN)/buf:
	GOBIN=$(BIN) GOWORK=off go install github.com/bufbuild/buf/cmd/buf@$(BUF_VERSION)

$(BIN)/gofumpt:
	GOBIN=$(BIN) GOWORK=off go install mvdan.cc/gofumpt@$(GOFUMPT_VERSION)

$(BIN)/golangci-lint:
	GOBIN=$(BIN) GOWORK=off go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

$(BIN)/govulncheck:
	GOBIN=$(BIN) GOWORK=off go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)

$(BIN)/sqlc:
	GOBIN=$(BIN) GOWORK=off go install github.com/sqlc-dev/sqlc/cmd/sqlc@$(SQLC_VERSION)
