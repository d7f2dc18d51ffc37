"""The schema of recipes of kind ``features``: how the networks of the features codec are trained."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from lowbeam.train.recipe import Augmentation, Fraction, Name, NotNegative, Positive, Scale, Seed, Strict, load_recipe
from lowbeam.train.recognizer_recipe import RECIPES, Temporal


class Batch(Strict):
    """What a batch consists of: labelled stills, unlabelled stills, of which `pairs` are shown twice for the picture,
    and `sequences` of `length` faces of one person, whose steps are between `shortest_s` and `longest_s`."""

    stills: int = Field(ge=2)
    unlabelled: int = Field(ge=2)
    pairs: int = Field(ge=1)
    sequences: int = Field(ge=1)
    length: int = Field(ge=2)
    shortest_s: Positive
    longest_s: Positive

    @model_validator(mode="after")
    def _fits(self) -> "Batch":
        if self.pairs > self.unlabelled:
            raise ValueError("pairs are of the unlabelled stills, and cannot be more")
        if self.longest_s < self.shortest_s:
            raise ValueError("longest_s is less than shortest_s")
        return self


class Weights(Strict):
    """Weights of the losses. The price of a bit rises geometrically from the finest level to the coarsest."""

    finest_price: Positive
    coarsest_price: Positive
    mse: NotNegative
    ccc: NotNegative
    emotion: NotNegative
    nll: NotNegative
    picture: NotNegative
    identity: NotNegative  # of the adversary, which tells who is who among the unlabelled stills
    teacher_share: Fraction  # of a still's target: the teacher's estimate; the rest is its label
    teacher_share_of_sequences: Fraction
    first_faces: Fraction  # of a sequence's or a still's bits: they come once in a packet


class FeaturesRecipe(Strict):
    """A whole run: all networks together, then the memory."""

    kind: Literal["features"]
    name: Name
    seed: Seed
    steps: int = Field(ge=1, le=10**7)
    learning_rate: Positive
    trunk_rate: Fraction  # share of the learning rate for the trunk, which is that of the start
    prior_rate: Positive  # of that for gains and prior
    weight_decay: NotNegative
    average_decay: float = Field(gt=0, lt=1)  # of the moving average of the weights, for each step
    scales: tuple[Scale, ...] = Field(min_length=1)
    augmentation: Augmentation
    second_look: Augmentation  # of the pairs
    batch: Batch
    weights: Weights
    temporal: Temporal
    memory_fps: tuple[Positive, ...] = Field(min_length=1)  # frame rates at which the memory is trained


def load_features_recipe(recipe: str | Path, changes: Iterable[str] = ()) -> FeaturesRecipe:
    """Read a recipe from a YAML file, or by the name of one that ships. Raises `UsageError`."""
    return load_recipe(FeaturesRecipe, recipe, RECIPES, changes)
