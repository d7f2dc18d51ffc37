#!/usr/bin/env bash
# Render the four corpora of talking faces into the folder PEOPLE. Takes 20 minutes on two cores.
#
#   PEOPLE      folder for the corpora people, people-more, people-many and people-unconstrained
#   FACE_MODEL  ICT-FaceKit's head: ict_face.npz, or a clone of its public repository
#   WORKERS     processes that share the work (default: 2)
set -euo pipefail
source "$(dirname "$0")/common.sh"
require PEOPLE "the folder for the rendered corpora"
require FACE_MODEL "ICT-FaceKit's head (ict_face.npz, or a clone of its repository)"

render() {
    lowbeam corpus render "$@" --face-model "$FACE_MODEL" --workers "$WORKERS"
}

render "$PEOPLE/people"
render "$PEOPLE/people-more" --seed 11 --subjects 44 --minutes 1
render "$PEOPLE/people-many" --seed 23 --subjects 140 --minutes 0.8 --fps 5
render "$PEOPLE/people-unconstrained" --seed 31 --subjects 640 --minutes 0.2 --fps 5 --unconstrained # 400 train people
