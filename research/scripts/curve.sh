#!/usr/bin/env bash
# Train the models that docs/rate-distortion.md compares, measure all of the page, and write it. Takes two and a half
# hours on two cores. Coded faces and estimates are cached in ~/.cache/lowbeam, so an interrupted run continues.
#
# Needs finished runs of research/scripts/recognizer.sh (runs/one-for-all, runs/accurate-first) and
# research/scripts/paper.sh (runs/paper).
#
#   FERPLUS  FER+ folder with train.npz, valid.npz and test.npz
#   PEOPLE   folder with the rendered corpora (research/scripts/people.sh)
#   REAL     folder with videos of real people, which need no labels
#   WORKERS  processes that share the work (default: 2)
set -euo pipefail
source "$(dirname "$0")/common.sh"
require FERPLUS "the FER+ folder"
require PEOPLE "the folder with the rendered corpora"
require REAL "a folder with videos of real people"

RESULTS=docs/rate-distortion
STILLS=(--corpus "ferplus:$FERPLUS")
RECORDINGS=(
    --corpus "avec2016:$PEOPLE/people"
    --corpus "avec2016:$PEOPLE/people-more"
    --corpus "avec2016:$PEOPLE/people-many"
)
ONE_FOR_ALL=runs/one-for-all/one-for-all.onnx
SCALES_ONLY=runs/scales-only/scales-only.onnx
RENDERED_ONLY=runs/rendered-only/rendered-only.onnx
mkdir -p runs/paper-onnx "$RESULTS"

# 1. Train the models for comparison.
training lowbeam train research/recipes/hr-only.yaml "${STILLS[@]}" "${RECORDINGS[@]}" -o runs/hr-only
training lowbeam train research/recipes/scales-only.yaml "${STILLS[@]}" "${RECORDINGS[@]}" --start runs/one-for-all \
    -o runs/scales-only
reuse_mixture runs/accurate-first runs/mse-head
training lowbeam train accurate "${STILLS[@]}" "${RECORDINGS[@]}" --start runs/one-for-all --teacher runs/one-for-all \
    --set temporal.loss=mse --set name=mse-head -o runs/mse-head
training lowbeam train research/recipes/rendered-only.yaml --corpus "avec2016:$PEOPLE/people" -o runs/rendered-only

# 2. Export the paper's networks.
lowbeam export runs/paper/reduced/hr-1-seed0 -o runs/paper-onnx/hr.onnx
for s in 3 4 6 8 12 16; do
    lowbeam export "runs/paper/reduced/lr-$s-seed0" -o "runs/paper-onnx/lr-$s.onnx"
done
lowbeam export runs/paper/reduced-every-scale/joint-oa-3.4.6.8.12.16-seed0 -o runs/paper-onnx/joint-oa.onnx

# 3. Sweep operating points on the rendered recordings.
sweep() { # sweep NAME CORPUS OPTION...
    local name=$1 corpus=$2
    shift 2
    lowbeam curve "avec2016:$PEOPLE/$corpus" --workers "$WORKERS" "$@" -o "runs/curve/$name"
    cp "runs/curve/$name/results.json" "$RESULTS/$name.json"
}

SYSTEMS="accurate,accurate/each,scales only=$SCALES_ONLY,HR-trained=runs/hr-only/hr-only.onnx"
SYSTEMS+=",one-for-all=$ONE_FOR_ALL,fer"
SYSTEMS+=",paper: LR-S=runs/paper-onnx/lr-{scale}.onnx,paper: Joint-OA=runs/paper-onnx/joint-oa.onnx"
SYSTEMS+=",paper: HR=runs/paper-onnx/hr.onnx"

sweep valid people --split valid --codecs hevc,avc --scales 1,2,3,4,6,8,12 --qps 27,32,37,42,47 --fps 12.5,5,2.5,1
sweep systems people --codecs hevc --fps 5 --models "$SYSTEMS"
sweep sizes people --codecs hevc --qps 37 --fps 1 --models best,accurate,fast,fer # README shows them uncoded
sweep test people
for corpus in people-many people-unconstrained; do
    sweep "memory-$corpus" "$corpus" --codecs hevc --scales 1,2,4,8 --qps 27,37 --fps 5,1
done

# 4. Measure coded real faces, the validity of the rendered corpus, and the losses of the temporal head.
python -m research corpus "avec2016:$PEOPLE/people" --real "ferplus:$FERPLUS" --sheet "$RESULTS/people.png" \
    --of-rendered "$RENDERED_ONLY" --of-real "$ONE_FOR_ALL" -o "$RESULTS/corpus.json"
python -m research stills "${STILLS[@]}" -o "$RESULTS/stills.json" \
    --models "accurate/each,scales only=$SCALES_ONLY,one-for-all=$ONE_FOR_ALL,fer"
python - > "$RESULTS/losses.json" <<'PYTHON'
import json
from pathlib import Path

names = "accurate-first/accurate", "mse-head/mse-head"
runs = [json.loads(Path(f"runs/{name}-valid.json").read_text()) for name in names]
print(json.dumps(runs, indent=1))
PYTHON

# 5. Make the operating table of `lowbeam pack --budget`, and measure budgets with it.
python -m research operating-points --real "videos:$REAL" --rendered "avec2016:$PEOPLE/people" --workers "$WORKERS" \
    -o "$RESULTS/operating-points.json"
# Those of the compact codecs are of research/scripts/compact.sh.
python -m research operating-table "$RESULTS/operating-points.json" "$RESULTS/operating-points-compact.json" \
    -o src/lowbeam/codec/operating_table.json
lowbeam budgets "avec2016:$PEOPLE/people" --workers "$WORKERS" -o "$RESULTS/budgets-rendered.json"
lowbeam budgets "videos:$REAL" --truth self --workers "$WORKERS" -o "$RESULTS/budgets-real.json"
python -m research held-out-budgets "videos:$REAL" "$RESULTS/operating-points.json" --workers "$WORKERS" \
    -o "$RESULTS/budgets-held-out.json"
lowbeam curve "videos:$REAL" --truth self --models accurate --codecs hevc,avc --scales 1,2,3,4,6,8 \
    --qps 22,27,32,37,42 --fps 12.5,8,5,4,2.5,2,1.5,1 --workers "$WORKERS" -o runs/curve/real-points
cp runs/curve/real-points/results.json "$RESULTS/real-points.json"

# 6. Write the page.
python -m research curve-page --results "$RESULTS" -o docs/rate-distortion.md
