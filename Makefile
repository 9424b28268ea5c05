# Everything a newcomer types. Each target does its own set-up; see scripts/set_up.

SHELL := bash
PY := .venv/bin/python
export GOAL := $(firstword $(MAKECMDGOALS))
# A shell that asks Python to keep no bytecode would have each of the thousands of
# processes of a run compile the library anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test faults bench bench-locks bench-queue lint servers clean set-up

help: ## show this list
	@echo "Quorate: an asyncio toolkit by which processes agree."
	@echo
	@if [ -t 1 ] && [ -z "$$NO_COLOR" ]; then name='\033[1;36m' plain='\033[0m'; fi; \
	sed -nE 's/^([a-z-]+):.*## (.*)$$/\1\t\2/p' Makefile | while IFS=$$'\t' read -r target text; do \
		printf "  $${name}make %-11s$${plain} %s\n" "$$target" "$$text"; \
	done
	@echo
	@echo "  make demo REQUESTS=my.jsonl    works through your own requests; - reads standard input"
	@echo "  make demo ARGS=--json          prints plain lines instead of the live view"
	@echo '  make test ARGS="unit -v"       runs the rings named, and shows what they print'
	@echo '  make test ARGS="--lanes 1"     runs the rings one after the other, not two at a time'

demo: set-up ## see it all at work: services, workers, and one of them killed
	@$(PY) examples/advanced_integration_example.py $${REQUESTS:+--requests "$$REQUESTS"} $(ARGS)

test: set-up ## prove it: style, types, architecture, and every ring of tests
	@$(PY) scripts/run_tests.py $(ARGS)

faults: set-up ## harm it: kill, stop and cut off locks and queues, and judge what they did
	@$(PY) -m tests.faults $(ARGS)

bench: set-up ## measure it all: every tests/bench/bench_*.py, one after the other
	@for bench in tests/bench/bench_*.py; do \
		$(PY) -m "tests.bench.$$(basename "$$bench" .py)" $(ARGS) || exit; \
	done

bench-locks: set-up ## locks beside their peers, written to docs/benchmarks
	@$(PY) -m tests.bench.bench_locks $(ARGS)

bench-queue: set-up ## queues beside their peers, written to docs/benchmarks
	@$(PY) -m tests.bench.bench_queue $(ARGS)

lint: set-up ## run the quick checks alone: ruff, its format, strict types
	@$(PY) scripts/run_tests.py lint format types $(ARGS)

servers: set-up ## find or install the real servers that the tests use
	@$(PY) scripts/servers.py

clean: ## remove what the other targets made, .venv too
	rm -rf .venv .set-up .servers .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf build dist .coverage .coverage.* coverage.xml pkg/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

set-up:
	@scripts/set_up
