"""What the paper's experiment is made of: systems, one a file, and experiments, which say how much of each is run."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from lowbeam.errors import UsageError
from lowbeam.models.paper import PAPER_CHANNELS, Pooling
from lowbeam.scale import SCALES
from lowbeam.train.recipe import Fraction, Scale, Strict, load_yaml

SYSTEMS = Path(__file__).parent / "systems"
EXPERIMENTS = Path(__file__).parent / "experiments"
LR_SCALES = SCALES[2:]  # 3 to 16: at s = 2 a FER+ face has lost nothing

RestoringKind = Literal["sr-fcn", "face-restorer"]
Mixture = Annotated[tuple[Scale, ...], Field(min_length=1)]


class System(Strict):
    """A system of the table. It trains one network for each of its `mixtures`."""

    name: str
    about: str
    learns_to: Literal["restore", "recognize"] = "recognize"
    restorer: RestoringKind = "sr-fcn"  # the network that restores, where it learns to
    mixtures: tuple[Mixture, ...]  # scales at which its faces are met in training, in equal shares
    tested_at: Literal["its scales", "every scale"]
    starts_from: str | None = None  # system whose convolutions, trained for the largest scale, it takes over
    convolutions: Literal["tuned", "frozen"] = "tuned"
    reads: Literal["received", "restored"] = "received"  # restored: by the network that `starts_from` names

    @property
    def test_scales(self) -> tuple[int, ...] | None:
        """Scales at which it is tested, HR first; None for those that it was trained at."""
        return (1, *LR_SCALES) if self.tested_at == "every scale" else None


class Training(Strict):
    """How a kind of network is trained. Defaults are the published settings (paper, and authors' release)."""

    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: float = Field(gt=0)
    momentum: Fraction = 0.9
    weight_decay: float = Field(ge=0)
    batch: int = Field(default=128, ge=1)
    epochs: int = Field(default=100, ge=1)  # at most
    patience: int = Field(default=3, ge=0)  # epochs without a better valid loss before the rates are divided by ten
    divisions: int = Field(default=2, ge=0)  # how often they are divided before training ends
    divide_at: tuple[Fraction, ...] = ()  # shares of `epochs` after which they are divided at the latest


class Restoring(Training):
    """Of SR-FCN."""

    learning_rate: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    init: Literal["gaussian", "xavier"] = "gaussian"  # gaussian: of deviation 0.001
    learns: Literal["face", "detail"] = "face"
    mirror: bool = False  # every batch at even odds
    patch_px: int | None = Field(default=None, ge=17, le=96)  # side of the random part of a face; None: all of it


class Recognizing(Training):
    """Of CNN+D."""

    learning_rate: float = Field(default=0.01, gt=0)
    weight_decay: float = Field(default=5e-4, ge=0)
    each_face_at: Literal["every scale", "one scale"] = "every scale"  # of its mixture, in an epoch
    transferred_rate: Fraction = 0.1  # of the learning rate, for convolutions that were handed over
    transferred_scale: Literal["learned", "xavier"] = "learned"  # of their features: SR-FCN's, or as of fresh weights
    dropout: Fraction = 0.5


class Experiment(Strict):
    """Which systems are trained, in what size, and on how much of the data."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    about: str
    systems: tuple[str, ...] = Field(min_length=1)  # names of files in `systems/`
    mixtures: tuple[Mixture, ...] = ()  # only networks for these; none named: for all of the systems'
    channels: tuple[int, int, int] = PAPER_CHANNELS
    pooling: Pooling = "quadrant"
    every_nth_face: int = Field(default=1, ge=1)  # of the training and validation faces; every test face is read
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    keep_each: bool = False  # each finished network leaves a small file beside the results, and is not trained again
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    restore: Restoring = Restoring()
    recognize: Recognizing = Recognizing()


def load_system(name: str) -> System:
    """Read one of the systems that ship, by the name of its file. Raises `UsageError` naming what is wrong."""
    return load_yaml(System, _shipped(SYSTEMS, name), "system")


def load_experiment(name: str | Path) -> Experiment:
    """Read an experiment from a YAML file, or by the name of one that ships. Raises `UsageError`."""
    path = Path(name)
    return load_yaml(Experiment, path if path.is_file() else _shipped(EXPERIMENTS, str(name)), "experiment")


def _shipped(folder: Path, name: str) -> Path:
    path = folder / f"{name}.yaml"
    if not path.is_file():
        shipped = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
        raise UsageError(f"there is no {folder.name[:-1]} {name}; these ship: {shipped}")
    return path
