"""The effect of how SR-FCN's convolutions are transferred to a recognizer: short training runs, evaluated on the
validation faces. The test faces are never read.

    python -m research handover ferplus:PATH runs/handover -o docs/replication/handover.json
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lowbeam.corpora.choose import corpus_name, load_faces
from lowbeam.evaluate.table import scores
from lowbeam.files import make_folder, whole_file
from lowbeam.metrics import AFFECT_NAMES
from lowbeam.models.paper import Convolutions
from lowbeam.train.loop import Deadline
from lowbeam.train.paper.handover import deviations
from lowbeam.train.paper.networks import (
    DeviceFaces,
    affect_of,
    make_cnn_d,
    make_sr_fcn,
    some_faces,
)  # fmt: skip
from lowbeam.train.paper.recipe import Experiment, load_experiment
from lowbeam.train.paper.tasks import train_cnn_d, train_restoration

SHORT = {"epochs": 4, "divide_at": (0.75,)}  # for the recognizer; all else is as in the reduced table
SEEN_AT = (6, 0)  # S and seed for which the deviations of features are reported


@dataclass(frozen=True)
class Way:
    """One way to transfer convolutions: its changes to the recipe of the reduced table."""

    name: str
    restore: dict[str, Any] | None = field(default_factory=dict)  # None: nothing is transferred
    recognize: dict[str, Any] = field(default_factory=dict)

    @property
    def experiment(self) -> Experiment:
        """The recipe."""
        base = load_experiment("reduced")
        return base.model_copy(
            update={
                "restore": base.restore.model_copy(update=self.restore or {}),
                "recognize": base.recognize.model_copy(update=SHORT | self.recognize),
            }
        )


SCALED = {"transferred_scale": "xavier"}
COMPARED = (
    Way("from scratch", None),
    Way("transferred unchanged"),
    Way("rescaled", {}, SCALED),
)
WAYS = (
    *COMPARED,
    Way("transferred unchanged, a tenth of the learning rate", {}, {"transferred_rate": 0.1}),
    Way("rescaled, SR-FCN trained for one epoch", {"epochs": 1, "divide_at": ()}, SCALED),
    Way("rescaled, SR-FCN predicts the face itself", {"learns": "face"}, SCALED),
)
RUNS = (
    *((way, 6, 0) for way in WAYS),
    *((way, 6, 1) for way in COMPARED),
    *((way, 16, 0) for way in COMPARED if way.name != "transferred unchanged"),
)  # way, S, seed


def study(corpus: str, folder: Path, path: Path) -> None:
    """Carry out the runs, or continue them, in `folder`, and write the results to the JSON file `path`."""
    train, valid = (_faces(corpus, split) for split in ("train", "valid"))
    found = {
        "title": "How SR-FCN's convolutions are transferred",
        "corpus": corpus_name(corpus), "train_faces": len(train), "valid_faces": len(valid), **SHORT,
        "command": "python -m research handover ferplus:PATH runs/handover -o docs/replication/handover.json",
        "runs": [_run(way, scale, seed, train, valid, folder) for way, scale, seed in RUNS],
        "deviations": _strengths(train, valid, folder),
    }  # fmt: skip
    with whole_file(path) as beside:
        beside.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")


def _faces(corpus: str, split: str) -> DeviceFaces:
    faces, nth = load_faces(corpus, split), load_experiment("reduced").every_nth_face
    pixels = torch.from_numpy(np.array(faces.pixels[::nth]))
    return DeviceFaces(pixels, torch.from_numpy(faces.affect[::nth].copy()))


def _run(way: Way, scale: int, seed: int, train: DeviceFaces, valid: DeviceFaces, folder: Path) -> dict[str, Any]:
    convolutions = None if way.restore is None else _handed(way, scale, seed, train, valid, folder)
    place = make_folder(folder / f"{WAYS.index(way)}-{scale}-seed{seed}")
    torch.manual_seed(seed)
    network, cost = train_cnn_d(
        way.experiment, (scale,), train, valid, place, torch.Generator().manual_seed(seed), Deadline(),
        convolutions=convolutions,
    )  # fmt: skip
    measured = scores(affect_of(network, way.experiment, valid.pixels, scale).numpy(), None, valid.affect.numpy())
    run = {
        "way": way.name, "scale": scale, "seed": seed, "valid_loss": cost["valid_loss"], "train_s": cost["train_s"],
        "ccc": {affect: measured[affect]["ccc"] for affect in AFFECT_NAMES},
    }  # fmt: skip
    print(json.dumps(run), flush=True)
    return run


def _handed(way: Way, scale: int, seed: int, train: DeviceFaces, valid: DeviceFaces, folder: Path) -> Convolutions:
    """Those of SR-FCN, trained as `way` says; ways with the same settings share one network."""
    assert way.restore is not None
    asked = "-".join(str(value) for key, value in way.restore.items() if key != "divide_at")
    place = make_folder(folder / f"sr-fcn{asked and '-'}{asked}-{scale}-seed{seed}")
    torch.manual_seed(seed)
    network = make_sr_fcn(way.experiment)
    generator = torch.Generator().manual_seed(seed)
    train_restoration(network, way.experiment, (scale,), train, valid, place, generator, Deadline())
    return network.convolutions


def _strengths(train: DeviceFaces, valid: DeviceFaces, folder: Path) -> dict[str, tuple[float, ...]]:
    """Standard deviation of the features of each of the three layers, with SR-FCN's weights and freshly initialised."""
    scale, seed = SEEN_AT
    way = COMPARED[1]
    faces = some_faces(train, (scale,))
    torch.manual_seed(seed)
    return {
        "SR-FCN": deviations(
            make_cnn_d(way.experiment, _handed(way, scale, seed, train, valid, folder)), faces
        ),
        "Xavier initialisation": deviations(make_cnn_d(way.experiment), faces),
    }  # fmt: skip
