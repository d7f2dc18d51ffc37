"""What a recipe for video holds, checked as it is read."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from lowbeam.models.one_for_all import GRID, OUT_SIDE, SIZES, Size
from lowbeam.train.recipe import Augmentation, Fraction, Scale, Strict, load_yaml

RECIPES = Path(__file__).parent / "recipes"


class Coded(Strict):
    """How often faces are really coded: stills, each at every scale, and whole tracks at every scale."""

    still_rounds: int = Field(ge=1)
    track_draws: int = Field(ge=1)


class Shares(Strict):
    """Of the groups of a batch: where faces come from. They need not add up to 1."""

    stills: Fraction
    coded_stills: Fraction
    tracks: Fraction
    coded_tracks: Fraction
    unlabelled: Fraction = 0  # faces of which only the teacher tells

    @model_validator(mode="after")
    def _something_is_shown(self) -> "Shares":
        if not any(self.model_dump().values()):
            raise ValueError("all are 0")
        return self


class Mixture(Strict):
    """Max-mix over sources, scales, codecs and QPs. Each batch is cut into groups, each of one source and scale."""

    shares: Shares
    scales: tuple[Scale, ...] = Field(min_length=1)
    steps: int = Field(ge=1)
    batch: int = Field(ge=4)
    groups: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    dropout: Fraction
    mse_weight: float = Field(ge=0)
    ccc_weight: float = Field(ge=0)
    emotion_weight: float = Field(ge=0)
    nll_weight: float = Field(ge=0)
    average_decay: float = Field(gt=0, lt=1)
    teacher_share: Fraction = 0  # of the truth about a real still: what the teacher reads of it; the rest is its label
    feature_weight: float = Field(ge=0, default=0)  # of the distance to the teacher's features

    @property
    def taught(self) -> bool:
        """Whether there must be a teacher."""
        return bool(self.teacher_share or self.feature_weight or self.shares.unlabelled)

    @model_validator(mode="after")
    def _groups_have_faces(self) -> "Mixture":
        if self.batch < 2 * self.groups:
            raise ValueError(f"a batch of {self.batch} is too small for {self.groups} groups")
        return self


class Temporal(Strict):
    """How the head that remembers is trained, on what the mixture's network makes of each frame."""

    loss: Literal["ccc", "mse"]
    steps: int = Field(ge=1)
    tracks: int = Field(ge=1)  # of a batch
    stills: int = Field(ge=0)  # of a batch, each a run of one frame
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    dropout: Fraction
    frame_loss: Fraction  # share of frames that a link is taken to lose, at most
    nll_weight: float = Field(ge=0)


class VideoRecipe(Strict):
    """A whole run: the mixture, and upon it the head that remembers, where there is one."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    seed: int
    network: Literal["accurate", "fast"] | Size = "accurate"  # its size
    int8: bool = False  # whether the ONNX file computes in eight bits
    precision: Literal["32", "bf16"]
    augmentation: Augmentation
    coded: Coded
    mixture: Mixture
    temporal: Temporal | None = None

    @model_validator(mode="after")
    def _network_ends_on_its_grid(self) -> "VideoRecipe":
        size = self.size
        if size.patch < 1 or not size.stages or any(channels < 1 or blocks < 0 for channels, blocks in size.stages):
            raise ValueError("a network has patches, and stages of channels and blocks")
        if size.patch * 2 ** (len(size.stages) - 1) != GRID // OUT_SIDE:
            raise ValueError(f"patch and stages of the network must come to {OUT_SIDE}×{OUT_SIDE} features")
        return self

    @property
    def size(self) -> Size:
        """Of the network."""
        return self.network if isinstance(self.network, Size) else SIZES[self.network]


def video_recipe_path(recipe: str | Path) -> Path | None:
    """The file of a recipe for video, by its path or the name of one that ships; None where it is no such recipe."""
    path = Path(recipe) if Path(recipe).is_file() else RECIPES / f"{recipe}.yaml"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    return path if any(line.startswith("mixture:") for line in lines) else None


def load_video_recipe(path: Path, changes: Iterable[str] = ()) -> VideoRecipe:
    """Read a recipe from a YAML file, with `changes`, each ``place=value`` such as ``mixture.steps=100``. Raises
    `UsageError` naming the first field that is wrong."""
    return load_yaml(VideoRecipe, path, "recipe", changes)
