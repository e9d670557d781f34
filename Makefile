# Every target sets up what it needs on a fresh Debian or Ubuntu machine, and is quick once that is there.
PYTHON ?= python3
BIN := .venv/bin
export PYTHON

# A folder of wheels that go before those of the package index. On a machine without a GPU put the CPU build
# of torch there: the index has only the CUDA build, several GB of it.
WHEELS ?= /opt/wheels
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check \
  $(if $(wildcard $(WHEELS)/*.whl),--find-links $(WHEELS)) --editable

.PHONY: help demo real test faults lint bench clean

help:
	@echo "make demo    simulate a mining district and run the main job on it; results in build/demo"
	@echo "make real    run the main job on three real scenes; results in build/real (needs the test data)"
	@echo "make test    run all tests"
	@echo "make faults  kill, stop and cut workers and the database in every way, read restored dumps; build/faults.json"
	@echo "make lint    ruff and mypy"
	@echo "make bench   measure Lode beside its peers"
	@echo "make clean   remove build/, caches and the virtual environment; databases stay"

demo: $(BIN)/.for-run
	$(BIN)/lode demo --out build

real: $(BIN)/.for-run
	examples/strzegom/run.sh

test: $(BIN)/.for-test
	$(BIN)/python -m pytest -n auto --dist worksteal

faults: $(BIN)/.for-test
	LODE_FAULTS=all $(BIN)/python -m pytest tests/faults -p no:randomly --verbose
	LODE_TEST_RESTORED=1 $(BIN)/python -m pytest tests/clients -p no:randomly

lint: $(BIN)/.for-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(BIN)/.for-bench
	@for name in load read publish preprocess training networks predict accounting queue workers privacy geology gcn evidence; do $(BIN)/python -m benchmarks.$$name || exit 1; done

clean:
	rm -rf build .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	tools/system-packages run
	$(PYTHON) -m venv .venv

$(BIN)/.for-run: pyproject.toml | $(BIN)/python
	tools/system-packages run
	$(PIP_INSTALL) .
	@touch $@

$(BIN)/.for-test: pyproject.toml | $(BIN)/python
	tools/system-packages test
	$(PIP_INSTALL) '.[test,lint]'
	@touch $@ $(BIN)/.for-run

$(BIN)/.for-bench: pyproject.toml | $(BIN)/python
	tools/system-packages bench
	$(PIP_INSTALL) '.[bench]'
	@touch $@ $(BIN)/.for-run
