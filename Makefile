# make demo   creates .venv, installs, and runs the whole road on a real model
# make test   lint, types, tests: what CI runs
# make test-all   also the tests that take minutes (whole model zoo)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# `-j`: one test process a core; each compiles with LLVM, so more would only wait.
PYTEST := $(BIN)/python -m pytest -q -n $(shell nproc) --dist worksteal

.PHONY: demo test test-all check lint types docs bench clean

demo: $(INSTALLED)
	@$(BIN)/python -c 'import sys; sys.exit("the demo needs Python 3.10 to 3.12: the package with its models has no release for 3.13. make clean demo PYTHON=python3.12" if sys.version_info >= (3, 13) else 0)'
	$(BIN)/paddle-tvm demo

test: check
	$(PYTEST) -m "not slow"

test-all: check
	$(PYTEST)

check: lint types

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy does not follow the finder of an editable install, so it reads a plain one.
types: $(INSTALLED)
	rm -rf build/types
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --target build/types .
	MYPYPATH=build/types $(BIN)/mypy -p paddle_tvm.compiler -p paddle_tvm.runtime -p paddle_tvm.targets

docs: $(INSTALLED)
	$(BIN)/python -m paddle_tvm.compiler.operators_page > docs/operators.md

$(INSTALLED): pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v <= (3, 13) else "Python 3.10 to 3.13 is needed, this is %d.%d: make PYTHON=python3.12" % v)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'setuptools>=77' wheel
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -e '.[compiler,onednn,cuda,bench,demo,dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist demo_output *.egg-info
