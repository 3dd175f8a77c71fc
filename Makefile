# make demo | test | bench | bench-serve | tables | check | clean. Each makes .venv and installs what it needs, once.
#
#   PYTHON         which Python makes the environment, 3.11 or newer         make demo PYTHON=python3.12
#   VENV           where the environment lies                                make test VENV=/tmp/prismrec
#   TORCH_OPTIONS  further options of pip for torch, as for a CPU-only build make test TORCH_OPTIONS="--index-url URL"
#   FBGEMM         which build of FBGEMM the tests of sharded tables use     make test FBGEMM=fbgemm-gpu
#   PYTEST         further options of pytest                                 make test PYTEST="-k vocabulary"
#   WORKERS        processes that run tests side by side; 0: none beside     make test WORKERS=0
#   DATA           where `make tables` keeps public data sets                make tables DATA=/data
#   JOBS           comparisons that `make tables` runs side by side          make tables JOBS=8
#   PACKAGES       what sees to Java, Chromium and PostgreSQL for the tests  make test PACKAGES=true

PYTHON ?= python3
VENV ?= .venv
TORCH_OPTIONS ?=
FBGEMM ?= fbgemm-gpu-cpu
PYTEST ?=
WORKERS ?= 2
DATA ?= data
JOBS ?= 2
PACKAGES ?= sh tests/system_packages.sh

BIN := $(VENV)/bin
PIP_INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt
PINS := pyproject.toml constraints.txt
NEW_ENOUGH := import sys; sys.version_info >= (3, 11) or sys.exit("PrismRec needs Python 3.11 or newer, %s is %d.%d; name another: make PYTHON=python3.12" % ((sys.executable,) + sys.version_info[:2]))
BENCHMARKS = $(sort $(wildcard benchmarks/bench_*.py))

.DEFAULT_GOAL := help
.PHONY: help demo test bench bench-serve tables check clean

help: ## what there is to make
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | while IFS="$$(printf '\t')" read -r name text; \
	do printf 'make %-11s %s\n' "$$name" "$$text"; done

demo: $(VENV)/.installed ## train on bundled shopping data, compare with strong baselines, recommend: a few minutes
	$(BIN)/prismrec demo

test: check ## everything that must hold before a change lands: lint, types, tests
	@$(PACKAGES)
	$(BIN)/pytest -n $(WORKERS) $(PYTEST)

check: $(VENV)/.installed-dev ## lint, format and types only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-dev ## speed and memory: prints tables, writes benchmarks/results/*.json
	@mkdir -p benchmarks/results
	@failed=""; for file in $(BENCHMARKS); do \
	  name=$$(basename $$file .py); echo "$$file"; \
	  $(BIN)/python $$file --json benchmarks/results/$${name#bench_}.json || failed="$$failed $$name"; \
	done; test -z "$$failed" || { echo "failed:$$failed" >&2; exit 1; }

bench-serve: $(VENV)/.installed-dev ## latency, throughput and memory of the server alone: four minutes
	@mkdir -p benchmarks/results
	$(BIN)/python benchmarks/bench_serve.py --json benchmarks/results/serve.json

tables: $(VENV)/.installed-dev ## the comparisons of models in docs/model_results.md: fetches the data, then takes hours
	$(BIN)/python benchmarks/model_tables.py --data $(DATA) --jobs $(JOBS)
	$(BIN)/python benchmarks/render_models.py --write docs/model_results.md

# ---- the environment: stamps in it say what is installed ----

$(VENV)/.made:
	@command -v $(PYTHON) > /dev/null || { echo "there is no $(PYTHON): name a Python 3.11 or newer, make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c '$(NEW_ENOUGH)'
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || \
	  { echo "cannot make $(VENV): on Debian and Ubuntu, apt install python3-venv" >&2; exit 1; }
	@$(BIN)/python -c '$(NEW_ENOUGH)'
	@touch $@

$(VENV)/.installed: $(VENV)/.made $(PINS)
	$(PIP_INSTALL) -e .
	@touch $@

# torch on its own and first: whatever build of it is chosen here, the second call keeps it. TorchRec last and on its
# own: it asks for packages that contradict this torch, and works without them
$(VENV)/.installed-dev: $(VENV)/.made $(PINS)
	$(PIP_INSTALL) torch==2.13.0 $(TORCH_OPTIONS)
	$(PIP_INSTALL) -e ".[dev]"
	$(PIP_INSTALL) --no-deps torchrec $(FBGEMM)
	@touch $(VENV)/.installed $@

clean: ## remove caches, builds and what demo wrote; .venv stays
	rm -rf build dist demo-output .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
