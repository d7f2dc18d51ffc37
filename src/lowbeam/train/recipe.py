"""What a recipe file holds, checked as it is read."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from lowbeam.errors import UsageError, reason
from lowbeam.scale import side_of

RECIPES = Path(__file__).parent / "recipes"


def _known(scale: int) -> int:
    side_of(scale)
    return scale


Scale = Annotated[int, AfterValidator(_known)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Strict(BaseModel):
    """Fields are checked, none may be unknown, and none changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Augmentation(Strict):
    """Each face is mirrored at even odds and moved at random within these bounds."""

    rotation_deg: float = Field(ge=0, le=45)
    zoom: Fraction
    shift: Fraction  # of the face's side
    gamma: Fraction  # exponent within 1 ± gamma
    erase: Fraction  # share of faces in which a rectangle is covered


class Stage(Strict):
    """What both stages set."""

    epochs: int = Field(ge=1)
    batch: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)


class Restore(Stage):
    """Stage 1: the trunk learns to restore HR faces from faces at one scale."""

    scale: Scale


class Finetune(Stage):
    """Stage 2, max-mix: everything learns valence and arousal on the mixture of scales."""

    scales: tuple[Scale, ...] = Field(min_length=1)
    groups: int = Field(ge=1)  # each batch is cut into this many groups, each at a scale of its own
    dropout: Fraction
    mse_weight: float = Field(ge=0)
    ccc_weight: float = Field(ge=0)
    emotion_weight: float = Field(ge=0)
    nll_weight: float = Field(ge=0)
    average_decay: float = Field(gt=0, lt=1)  # of the exponential moving average of the weights, per step
    validate_every: int = Field(ge=1)  # epochs

    @model_validator(mode="after")
    def _last_epoch_is_validated(self) -> "Finetune":
        if self.epochs % self.validate_every:
            raise ValueError(f"epochs must be a multiple of validate_every ({self.validate_every})")
        return self


class Recipe(Strict):
    """A whole training run."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    seed: int
    precision: Literal["32-true", "bf16-mixed", "16-mixed"]  # Lightning's words
    augmentation: Augmentation
    restore: Restore
    finetune: Finetune


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe from a YAML file, or by the name of one that ships.

    Raises `UsageError` naming the first field that is wrong.
    """
    file = Path(path)
    if not file.exists() and (RECIPES / f"{path}.yaml").exists():
        file = RECIPES / f"{path}.yaml"
    if not file.is_file():
        shipped = ", ".join(sorted(p.stem for p in RECIPES.parent.rglob("recipes/*.yaml")))  # those for video too
        raise UsageError(f"recipe {path} cannot be read; the recipes that ship are: {shipped}")
    return load_yaml(Recipe, file, "recipe")


Model = TypeVar("Model", bound=BaseModel)


def load_yaml(model: type[Model], file: Path, kind: str, changes: Iterable[str] = ()) -> Model:
    """Read and check a YAML file, after `changes` to it, each ``place=value``, where the place is names with points
    between. Raises `UsageError` that calls it a `kind` and names the first wrong field."""
    try:
        return model.model_validate(_changed(yaml.safe_load(file.read_text()), changes))
    except OSError as error:
        raise UsageError(f"{kind} {file} cannot be read: {reason(error)}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{kind} {file} is not YAML: {str(error).splitlines()[0]}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the top"
        raise UsageError(f"{kind} {file}: {where}: {first['msg']}") from error


def _changed(content: Any, changes: Iterable[str]) -> Any:
    for change in changes:
        place, equals, value = change.partition("=")
        *above, last = place.split(".")
        part = content
        for name in above:
            part = part.get(name) if isinstance(part, dict) else None
        if not equals or not isinstance(part, dict):
            raise UsageError(f"{change} is no change to a recipe: write place=value, such as mixture.steps=100")
        try:
            part[last] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError(f"{change} is no change to a recipe: {value} is not YAML") from error
    return content
