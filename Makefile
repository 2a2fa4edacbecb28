# Everything a fresh machine needs is Python 3.10+, with its venv module, and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PLUGINS := $(sort $(wildcard plugins/*))
READY := $(VENV)/.ready

.PHONY: help setup demo test lint mutants format constraints clean

help:
	@echo "make demo   set up, run examples/quickstart.yaml, print where the report is"
	@echo "make test   set up, run every test"
	@echo "make lint   set up, run ruff and mypy"
	@echo "make mutants [ONLY='file or words']  put known mistakes into a copy, see whether the tests notice"

setup: $(READY)

# Bytecode is compiled once: where PYTHONDONTWRITEBYTECODE is set, as in many containers, every process that a test starts
# would compile torch and timm anew, 12 s of processor time in place of 4.
# The environment is built beside and stamped when it is whole, so that an interrupted set-up starts over.
$(READY): constraints.txt overrides.txt pyproject.toml $(wildcard plugins/*/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit("fgic needs Python 3.10 or newer; this is " + sys.version.split()[0]) if sys.version_info < (3, 10) else 0'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python \
	    --constraint constraints.txt --overrides overrides.txt \
	    --editable '.[dev]' $(foreach p,$(PLUGINS),--editable './$(p)[test]')
	@touch $(READY)

demo: $(READY)
	$(BIN)/fgic pipeline examples/quickstart.yaml

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Of all mistakes under an hour on two cores; of one file, `make mutants ONLY=fgic_core/kinds/detector/driver.py`, minutes.
mutants: $(READY)
	$(BIN)/python tests/mutants/run.py $(if $(ONLY),'$(ONLY)')

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Pins for every supported Python, without registry addresses. Our own packages are not pinned: they are the tree.
constraints: $(READY)
	{ echo '-e .[dev]'; for p in $(PLUGINS); do echo "-e ./$$p[test]"; done; } > .constraints.in
	$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --no-emit-index-url --no-annotate --no-header --upgrade \
	    --constraint constraints.in --overrides overrides.txt .constraints.in --output-file .constraints.txt
	grep -v -e '^-e ' -e "'never'" .constraints.txt > constraints.txt
	rm .constraints.in .constraints.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
