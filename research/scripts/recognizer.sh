#!/usr/bin/env bash
# Train the models that ship, and measure what docs/recognizer.md and the model cards report. Takes five hours on two
# cores; an interrupted run continues. `make figures` then writes the figures into the documentation.
#
#   FERPLUS     FER+ folder with train.npz, valid.npz and test.npz
#   FACES96     faces96.npz, faces with one expression word each
#   PEOPLE      folder with the rendered corpora (research/scripts/people.sh)
#   FACE_MODEL  ICT-FaceKit's head: ict_face.npz, or a clone of its public repository
#   REAL        folder with videos of real people, which need no labels
set -euo pipefail
source "$(dirname "$0")/common.sh"
require FERPLUS "the FER+ folder"
require FACES96 "faces96.npz"
require PEOPLE "the folder with the rendered corpora"
require FACE_MODEL "ICT-FaceKit's head (ict_face.npz, or a clone of its repository)"
require REAL "a folder with videos of real people"

WEIGHTS=src/lowbeam/weights
RESULTS=docs/recognizer
STILLS=(--corpus "ferplus:$FERPLUS")
RECORDINGS=(
    --corpus "avec2016:$PEOPLE/people"
    --corpus "avec2016:$PEOPLE/people-more"
    --corpus "avec2016:$PEOPLE/people-many"
)

# First runs, on FER+ and rendered people: one-for-all is the teacher of both models, and the starting point of accurate.
training lowbeam train one-for-all "${STILLS[@]}" -o runs/one-for-all
training lowbeam train accurate "${STILLS[@]}" "${RECORDINGS[@]}" --start runs/one-for-all --teacher runs/one-for-all \
    -o runs/accurate-first
training lowbeam train fast "${STILLS[@]}" "${RECORDINGS[@]}" --teacher runs/one-for-all -o runs/fast-first

# Both sources of real faces: best begins as accurate, widened, and then teaches accurate and fast, which keep a share of
# the weights that they had.
BOTH=("${STILLS[@]}" --corpus "faces96:$FACES96" --corpus "avec2016:$PEOPLE/people" --corpus "avec2016:$PEOPLE/people-many")
training lowbeam train best "${BOTH[@]}" --start runs/accurate-first --teacher runs/accurate-first -o runs/best
training lowbeam train accurate "${BOTH[@]}" --start runs/accurate-first --teacher runs/best "${SECOND_RUN[@]}" \
    --set mixture.start_share=0.35 -o runs/accurate-single
training lowbeam train fast "${BOTH[@]}" --start runs/fast-first --teacher runs/best "${FAST_SECOND_RUN[@]}" \
    --set mixture.start_share=0.5 -o runs/fast-single

# Memory of accurate and fast, with 400 more people.
for model in accurate fast; do
    training lowbeam train "$model" "${BOTH[@]}" --corpus "avec2016:$PEOPLE/people-unconstrained" \
        --start "runs/$model-single" --set mixture.steps=0 -o "runs/$model"
done

for model in best accurate fast; do
    cp "runs/$model/$model.onnx" "$WEIGHTS/"
    lowbeam table "${STILLS[@]}" --model "$model" -o "$WEIGHTS/$model.json"
done

# Calibration of the standard deviations under codecs, sensitivity to box errors, calibration on tracked faces.
python -m research stills "${STILLS[@]}" --models accurate,fast --codecs hevc,avc,av1,vp9 \
    --scales 1,2,3,4,6,8,12,16 --qps 27,37,47 -o "$RESULTS/uncertainty.json"
python -m research framing "${STILLS[@]}" --models accurate,fast -o "$RESULTS/framing.json"
python -m research light "${STILLS[@]}" -o "$RESULTS/light.json"
python -m research boxes --stills "ferplus:$FERPLUS" --stills "faces96:$FACES96" -o "$RESULTS/boxes.json"
# The packages from npm, beside fer, are those that `make bench` installs.
python -m research domains --stills "ferplus:$FERPLUS" --stills "faces96:$FACES96" \
    --models best,accurate,fast,fer,face-api,human \
    -o "$RESULTS/domains.json"
python -m research nuisances "$FACE_MODEL" --models best,accurate,fast -o "$RESULTS/nuisances.json"
python -m research blinks "$FACE_MODEL" --models best,accurate,fast --real "$REAL" -o "$RESULTS/blinks.json"
python -m research blinks "$FACE_MODEL" --models best,accurate,fast --split valid --people 20 -o "$RESULTS/blinks-valid.json"
python -m research followed "avec2016:$PEOPLE/people" --models accurate,fast -o "$RESULTS/followed.json"
