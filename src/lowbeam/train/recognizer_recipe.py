"""The schema of recipes of kind ``recognizer``: how a One-for-All model is trained."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from lowbeam.models.one_for_all import GRID, OUT_SIDE, SIZES, Size
from lowbeam.train.recipe import Augmentation, Fraction, Name, NotNegative, Positive, Scale, Seed, Strict, load_recipe

RECIPES = Path(__file__).parent / "recipes"


class Coded(Strict):
    """How often faces are coded for codec-in-the-loop training: stills, each at every scale, in rounds; tracks, each at
    every scale, at operating points drawn anew."""

    still_rounds: int = Field(default=1, ge=1)
    track_draws: int = Field(default=1, ge=1)


class Pretraining(Strict):
    """Stage 1, optional: the trunk learns super-resolution from faces at one scale."""

    scale: Scale
    steps: int = Field(ge=1, le=10**7)
    batch: int = Field(ge=1)
    learning_rate: Positive
    weight_decay: NotNegative


class Shares(Strict):
    """Relative frequencies of the groups of a batch by source. They need not add up to 1."""

    stills: Fraction = 0
    coded_stills: Fraction = 0
    tracks: Fraction = 0  # faces of recordings
    coded_tracks: Fraction = 0
    unlabelled: Fraction = 0  # stills without labels, for distillation

    @model_validator(mode="after")
    def _one_is_positive(self) -> "Shares":
        if not any(self.model_dump().values()):
            raise ValueError("all are 0")
        return self


class Mixture(Strict):
    """Stage 2, max-mix over sources, scales, codecs and QPs: each batch is cut into groups, each of one source and one
    scale."""

    shares: Shares
    scales: tuple[Scale, ...] = Field(min_length=1)
    steps: int = Field(ge=0, le=10**7)  # 0: the network stays as it starts, and the head alone is trained
    batch: int = Field(ge=4, le=2**16)
    groups: int = Field(ge=1)
    learning_rate: Positive
    trunk_rate: Fraction = 1  # share of the learning rate for the trunk; 0: it is frozen
    weight_decay: NotNegative
    dropout: Fraction
    mse_weight: NotNegative
    ccc_weight: NotNegative
    emotion_weight: NotNegative
    nll_weight: NotNegative
    average_decay: float = Field(gt=0, lt=1)  # of the exponential moving average of the weights, for each step
    keeps: Literal["last", "best"] = "last"  # of the averages; best: on valid, where the start competes
    start_share: Fraction = 0  # of the weights of the start in the network that comes out
    teacher_share: Fraction = 0  # of a still's target: the teacher's estimate; the rest is its label
    feature_weight: NotNegative = 0  # of the cosine distance to the teacher's features

    @property
    def needs_teacher(self) -> bool:
        """Whether any of its targets is a teacher's."""
        return bool(self.steps and (self.teacher_share or self.feature_weight or self.shares.unlabelled))

    @model_validator(mode="after")
    def _groups_have_faces(self) -> "Mixture":
        if self.batch < 2 * self.groups:
            raise ValueError(f"a batch of {self.batch} is too small for {self.groups} groups")
        return self


class Temporal(Strict):
    """Stage 3, optional: the temporal head is trained on the features of every frame."""

    loss: Literal["ccc", "mse"]
    steps: int = Field(ge=1, le=10**7)
    tracks: int = Field(ge=1)  # in a batch
    stills: int = Field(ge=0)  # in a batch, each a track of one frame
    learning_rate: Positive
    weight_decay: NotNegative
    dropout: Fraction
    frame_loss: Fraction  # largest share of frames that are dropped, as a link drops them
    nll_weight: NotNegative


class RecognizerRecipe(Strict):
    """A whole run: pre-training, where there is any; the mixture; the temporal head, where there is one."""

    kind: Literal["recognizer"]
    name: Name
    seed: Seed
    network: Literal["best", "accurate", "fast"] | Size | None = "accurate"  # its size; None: that of the start
    int8: bool = False  # whether the ONNX file computes convolutions in eight bits
    precision: Literal["32", "bf16"]  # of the convolutions in training; features of the head are computed in bf16
    augmentation: Augmentation
    coded: Coded = Coded()
    pretrain: Pretraining | None = None
    mixture: Mixture
    temporal: Temporal | None = None

    @property
    def size(self) -> Size | None:
        """Of the network; None for that of the start."""
        return SIZES[self.network] if isinstance(self.network, str) else self.network

    @property
    def needs_stills(self) -> bool:
        """Whether stills are used."""
        shares, temporal = self.mixture.shares, self.temporal
        in_head = temporal is not None and temporal.stills > 0
        return bool(shares.stills or shares.coded_stills or self.pretrain is not None or in_head)

    @property
    def shows_coded_stills(self) -> bool:
        """Whether the mixture, or the head, is trained on coded stills."""
        return bool(self.mixture.shares.coded_stills or (self.temporal is not None and self.temporal.stills))

    @property
    def needs_recordings(self) -> bool:
        """Whether recordings are used."""
        shares = self.mixture.shares
        return bool(shares.tracks or shares.coded_tracks or self.temporal is not None)

    @model_validator(mode="after")
    def _network_ends_on_its_grid(self) -> "RecognizerRecipe":
        size = self.size
        if size is None:
            if self.pretrain is not None:
                raise ValueError("a network that is pre-trained has a size, not that of a start")
            return self
        if size.patch < 1 or not size.stages or any(channels < 1 or blocks < 0 for channels, blocks in size.stages):
            raise ValueError("a network has patches, and stages of channels and blocks")
        if size.patch * 2 ** (len(size.stages) - 1) != GRID // OUT_SIDE:
            raise ValueError(f"patch and stages of the network must give {OUT_SIDE}×{OUT_SIDE} features")
        return self


def load_recognizer_recipe(recipe: str | Path, changes: Iterable[str] = ()) -> RecognizerRecipe:
    """Read a recipe from a YAML file, or by the name of one that ships, with `changes` such as ``mixture.steps=100``.
    Raises `UsageError`."""
    return load_recipe(RecognizerRecipe, recipe, RECIPES, changes)
