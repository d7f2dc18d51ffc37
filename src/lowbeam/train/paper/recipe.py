"""The schemas of recipes of kind ``system``, a system that the paper compares, and ``experiment``, a selection of
systems with the settings of their training."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from lowbeam.models.paper import PAPER_CHANNELS, Pooling
from lowbeam.scale import SCALES
from lowbeam.train.recipe import Fraction, Name, NotNegative, Positive, Scale, Seed, Strict, load_recipe

SYSTEMS = Path(__file__).parent / "systems"
EXPERIMENTS = Path(__file__).parent / "experiments"
LR_SCALES = SCALES[2:]  # 3 to 16: at s = 2 a FER+ face still has its native resolution

RestorationKind = Literal["sr-fcn", "face-restorer"]
Channels = Annotated[int, Field(ge=1, le=4096)]
Mixture = Annotated[tuple[Scale, ...], Field(min_length=1)]


class System(Strict):
    """A system of the table: one network for each of its `mixtures`."""

    kind: Literal["system"]
    name: str
    about: str
    learns_to: Literal["restore", "recognize"] = "recognize"
    restorer: RestorationKind = "sr-fcn"  # the network, where it learns to restore
    mixtures: tuple[Mixture, ...]  # scales of its training faces, in equal shares
    tested_at: Literal["its scales", "every scale"]
    starts_from: str | None = None  # system from whose convolutions, for the largest scale, it starts
    convolutions: Literal["tuned", "frozen"] = "tuned"
    reads: Literal["received", "restored"] = "received"  # restored: by the network that `starts_from` names

    @property
    def test_scales(self) -> tuple[int, ...] | None:
        """Scales at which it is tested, HR first; None for those of its training."""
        return (1, *LR_SCALES) if self.tested_at == "every scale" else None


class Training(Strict):
    """How a kind of network is trained. Defaults are the published settings (paper and authors' release)."""

    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: Positive
    momentum: Fraction = 0.9
    weight_decay: NotNegative
    batch: int = Field(default=128, ge=1)
    epochs: int = Field(default=100, ge=1)  # at most
    patience: int = Field(default=3, ge=0)  # epochs without a better valid loss before the rates are divided by ten
    divisions: int = Field(default=2, ge=0)  # how often they are divided before training ends
    divide_at: tuple[Fraction, ...] = ()  # shares of `epochs` after which they are divided at the latest


class RestorationTraining(Training):
    """Of SR-FCN."""

    learning_rate: Positive = 1e-4
    weight_decay: NotNegative = 0.0
    init: Literal["gaussian", "xavier"] = "gaussian"  # gaussian: standard deviation 0.001
    learns: Literal["face", "detail"] = "face"
    mirror: bool = False  # each batch with probability 0.5
    patch_px: int | None = Field(default=None, ge=17, le=96)  # side of a random crop of the face; None: the whole face


class RecognitionTraining(Training):
    """Of CNN+D."""

    learning_rate: Positive = 0.01
    weight_decay: NotNegative = 5e-4
    each_face_at: Literal["every scale", "one scale"] = "every scale"  # of its mixture, in an epoch
    transferred_rate: Fraction = 0.1  # of the learning rate, for transferred convolutions
    transferred_scale: Literal["learned", "xavier"] = "learned"  # of their features: SR-FCN's, or new weights'
    dropout: Fraction = 0.5


class Experiment(Strict):
    """Which systems are trained, in what size, and on how much of the data."""

    kind: Literal["experiment"]
    name: Name
    title: str
    about: str
    systems: tuple[str, ...] = Field(min_length=1)  # names of files in `systems/`
    mixtures: tuple[Mixture, ...] = ()  # only networks for these; empty: all of the systems'
    channels: tuple[Channels, Channels, Channels] = PAPER_CHANNELS
    pooling: Pooling = "quadrant"
    every_nth_face: int = Field(default=1, ge=1)  # of the training and validation faces; all test faces are used
    seeds: tuple[Seed, ...] = Field(default=(0, 1, 2), min_length=1)
    keep_each: bool = False  # each finished network leaves a small result file and is not trained again
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    restore: RestorationTraining = RestorationTraining()
    recognize: RecognitionTraining = RecognitionTraining()


def load_system(name: str) -> System:
    """Read one of the systems that ship, by the name of its file. Raises `UsageError` naming what is wrong."""
    return load_recipe(System, name, SYSTEMS)


def load_experiment(name: str | Path) -> Experiment:
    """Read an experiment from a YAML file, or by the name of one that ships. Raises `UsageError`."""
    return load_recipe(Experiment, name, EXPERIMENTS)
