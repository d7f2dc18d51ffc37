#!/usr/bin/env bash
# Train the networks of the features codec, and measure and write docs/compact.md. Takes three and a half hours on one
# core; an interrupted run continues.
#
#   FERPLUS  FER+ folder with train.npz, valid.npz and test.npz
#   FACES96  file of unlabelled faces with identities, faces96.npz
#   PEOPLE   folder with the rendered corpora (research/scripts/people.sh)
#   REAL     folder with videos of real people, which need no labels
#   WORKERS  processes that share the work (default: 2)
set -euo pipefail
source "$(dirname "$0")/common.sh"
require FERPLUS "the FER+ folder"
require FACES96 "the file of faces with identities"
require PEOPLE "the folder with the rendered corpora"
require REAL "a folder with videos of real people"

RESULTS=docs/rate-distortion
WEIGHTS=src/lowbeam/weights/features
RENDERED="avec2016:$PEOPLE/people"

# 1. Train; go on with finer levels and the teacher's estimates alone; then against an adversary that tells people
#    apart, twice; and take what was written.
DATA=(--corpus "ferplus:$FERPLUS" --corpus "$RENDERED" --corpus "avec2016:$PEOPLE/people-many"
    --unlabelled "faces96:$FACES96")
FINER=(--teacher accurate --set steps=1600 --set learning_rate=8e-4 --set weights.finest_price=1.5e-5
    --set weights.coarsest_price=8e-3 --set weights.teacher_share=1 --set weights.teacher_share_of_sequences=1
    --set weights.mse=8)
training lowbeam train features "${DATA[@]}" --start accurate -o runs/features-1
training lowbeam train features "${DATA[@]}" "${FINER[@]}" --start runs/features-1 -o runs/features-2
training lowbeam train features "${DATA[@]}" "${FINER[@]}" --start runs/features-2 -o runs/features-3 \
    --set weights.identity=0.3 --set batch.unlabelled=32
training lowbeam train features "${DATA[@]}" "${FINER[@]}" --start runs/features-3 -o runs/features \
    --set weights.identity=1.5 --set batch.unlabelled=64
for file in encoder.onnx readout.onnx animator.onnx tables.json; do
    cp "runs/features/$file" "$WEIGHTS/"
done

# 2. Choose how often to look, for the operating table.
python -m research operating-points --real "videos:$REAL" --rendered "$RENDERED" --codecs estimates,features \
    --workers "$WORKERS" -o "$RESULTS/operating-points-compact.json"
python -m research operating-table "$RESULTS/operating-points.json" "$RESULTS/operating-points-compact.json" \
    -o src/lowbeam/codec/operating_table.json

# 3. Measure what is kept.
kept() { # kept NAME OPTION...
    local name=$1
    shift
    lowbeam budgets "videos:$REAL" --truth self --workers "$WORKERS" "$@" -o "$RESULTS/compact-$name-real.json"
    lowbeam budgets "$RENDERED" --workers "$WORKERS" "$@" -o "$RESULTS/compact-$name-rendered.json"
}
kept estimates --codec estimates --budgets 50bps,100bps,150bps,300bps,500bps,1kbps
kept features --codec features --budgets 75bps,150bps,200bps,300bps,500bps,1kbps,2kbps
kept layers --layers estimates,pixels --budgets 1kbps,2kbps,4kbps,8kbps

# 4. Plain anchors, identity, pictures, and a later reader.
python -m research feature-anchors --corpus "videos:$REAL" --truth self --corpus "$RENDERED" --truth labels \
    -o "$RESULTS/feature-anchors.json"
python -m research identity --stills "$FACES96" --latents "$WEIGHTS/encoder.onnx" --gains "$WEIGHTS/tables.json" \
    -o "$RESULTS/identity.json"
python -m research identity-terms --stills "$FACES96" --corpus "ferplus:$FERPLUS" -o "$RESULTS/identity-terms.json"
python -m research pictures --corpus "videos:$REAL" --corpus "$RENDERED" --budget 1kbps -o "$RESULTS/pictures.json"
python -m research reread --stills "ferplus:$FERPLUS" -o "$RESULTS/reread.json"

# 5. Write the page.
python -m research compact-page --results "$RESULTS" -o docs/compact.md
