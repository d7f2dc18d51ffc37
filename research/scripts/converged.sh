#!/usr/bin/env bash
# Continue the table of docs/replication.md that is trained to convergence, and write the page. Takes 20 hours of one
# core per seed; it can be interrupted at any time and continues from there. A network whose file is in
# docs/replication/converged is not trained again.
#
#   FERPLUS  FER+ folder with train.npz, valid.npz and test.npz
set -euo pipefail
source "$(dirname "$0")/common.sh"
require FERPLUS "the FER+ folder"

RESULTS=docs/replication

training lowbeam replicate converged --corpus "ferplus:$FERPLUS" -o runs/paper --results "$RESULTS" --threads 1
python -m research paper-page --results "$RESULTS" -o docs/replication.md
