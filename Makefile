# Everything from an empty machine with Python 3.11: `make demo`, `make test`. Other versions cannot
# work: pybullet 3.2.7 has wheels up to Python 3.11 only.
PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3.11)
BIN := .venv/bin
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint docs bench clean

help: ## Show the targets
	@grep -hE '^[a-z.-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | column -t -s "$$(printf '\t')"

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || { \
		echo "plgp needs Python 3.11 (pybullet has no wheels for later ones); found: $$($(PYTHON) --version 2>&1). Install it, or run: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

.venv: $(INSTALLED) ## Make the environment (once; again when the lock changes)

demo: $(INSTALLED) ## Data set, training, benchmark on built-in objects; results in outputs/demo
	$(BIN)/plgp-train experiment=demo

# A file's tests share what it sets up, so files, not tests, are shared out, in the order of tests/conftest.py. Torch's threads would only wait for
# each other. What is compiled once is kept, for the programs that tests start, too.
TEST_PROCESSES ?= 2
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=$(TEST_PROCESSES) --dist=loadfile --no-loadscope-reorder

test: $(INSTALLED) ## Run the tests
	$(PYTEST)

test-slow: $(INSTALLED) ## Run the long tests
	$(PYTEST) -m slow

lint: $(INSTALLED) ## Format check, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(INSTALLED) ## Build the documentation site into site/; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

bench: $(INSTALLED) ## Measure speed; prints a table and writes outputs/bench.json
	@mkdir -p outputs
	$(BIN)/python -m pytest tests/benchmarks -m '' --override-ini addopts='--import-mode=importlib' --benchmark-json outputs/bench.json

clean: ## Remove the environment and everything that was made; your outputs stay
	rm -rf .venv build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
