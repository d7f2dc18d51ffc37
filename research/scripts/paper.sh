#!/usr/bin/env bash
# Run the experiments of docs/replication.md, or continue them, and write the page. Takes two hours on two cores.
#
#   FERPLUS  FER+ folder with train.npz, valid.npz and test.npz
#   FACES96  faces96.npz, faces with detail up to 96 px
set -euo pipefail
source "$(dirname "$0")/common.sh"
require FERPLUS "the FER+ folder"
require FACES96 "faces96.npz"

RESULTS=docs/replication

replicate() { # replicate EXPERIMENT CORPUS
    training lowbeam replicate "$1" --corpus "$2" -o runs/paper --results "$RESULTS"
}

replicate restorer "faces96:$FACES96"
replicate restoration "faces96:$FACES96"
for experiment in as-published reduced-tenth reduced-every-scale reduced; do
    replicate "$experiment" "ferplus:$FERPLUS"
done
training python -m research handover "ferplus:$FERPLUS" runs/handover -o "$RESULTS/handover.json"
python -m research step-time -o "$RESULTS/step-time.json"
python -m research paper-page --results "$RESULTS" -o docs/replication.md
