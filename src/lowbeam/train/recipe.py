"""Recipes: YAML files whose ``kind`` names their schema, and what all kinds share.

=============  ==================================================  =================================
kind           schema                                              carried out by
=============  ==================================================  =================================
recognizer     `lowbeam.train.recognizer_recipe.RecognizerRecipe`  ``lowbeam train``
features       `lowbeam.train.features.recipe.FeaturesRecipe`      ``lowbeam train``
experiment     `lowbeam.train.paper.recipe.Experiment`             ``lowbeam replicate``
system         `lowbeam.train.paper.recipe.System`                 a part of an experiment
=============  ==================================================  =================================
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from lowbeam.errors import UsageError, reason
from lowbeam.scale import side_of

COMMANDS = {"recognizer": "lowbeam train", "features": "lowbeam train", "experiment": "lowbeam replicate"}


def _known(scale: int) -> int:
    side_of(scale)
    return scale


Scale = Annotated[int, AfterValidator(_known)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]


class Strict(BaseModel):
    """Fields are checked, unknown ones are refused, and values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Augmentation(Strict):
    """Each face is mirrored with probability 0.5 and changed at random within these bounds."""

    rotation_deg: float = Field(ge=0, le=45)
    zoom: Fraction
    shift: Fraction  # of the face's side
    gamma: Fraction  # exponent within 1 ± gamma
    erase: Fraction  # share of faces in which a rectangle is covered
    light: Fraction = 0  # share of faces in too little or too much light, with the noise of a sensor


Schema = TypeVar("Schema", bound=Strict)


def kind_of(recipe: str | Path, shipped: Path) -> str | None:
    """The kind that a recipe states, None if it cannot be read or states none."""
    file = Path(recipe) if Path(recipe).is_file() else shipped / f"{recipe}.yaml"
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, ValueError):
        return None
    return str(content.get("kind")) if isinstance(content, dict) else None


def load_recipe(schema: type[Schema], recipe: str | Path, shipped: Path, changes: Iterable[str] = ()) -> Schema:
    """Read and check a recipe of the kind of `schema`: a YAML file, or the name of one in the folder `shipped`.

    `changes`, each ``place=value`` such as ``mixture.steps=100``, are made before the check. Raises `UsageError` naming
    the file and the first wrong field.
    """
    (kind,) = schema.model_fields["kind"].annotation.__args__  # type: ignore[union-attr]  # a Literal
    file = Path(recipe) if Path(recipe).is_file() else shipped / f"{recipe}.yaml"
    if not file.is_file():
        names = ", ".join(sorted(path.stem for path in shipped.glob("*.yaml")))
        raise UsageError(f"there is no {kind} {recipe}; these ship: {names}")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{kind} {file} cannot be read: {reason(error)}") from error
    except (yaml.YAMLError, ValueError) as error:  # a date that does not exist is a ValueError
        raise UsageError(f"{kind} {file} is not YAML: {str(error).splitlines()[0]}") from error
    _check_kind(content, kind, file)
    try:
        return schema.model_validate(_changed(content, changes))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the top level"
        raise UsageError(f"{kind} {file}: {where}: {first['msg']}") from error


def _check_kind(content: Any, kind: str, file: Path) -> None:
    found = content.get("kind") if isinstance(content, dict) else None
    if found == kind:
        return
    if found in COMMANDS:
        raise UsageError(f"{file} is of kind {found}: use `{COMMANDS[found]}`")
    raise UsageError(f"{file} must begin with `kind: {kind}`")


def _changed(content: dict[str, Any], changes: Iterable[str]) -> dict[str, Any]:
    for change in changes:
        place, equals, value = change.partition("=")
        *above, last = place.split(".")
        part: Any = content
        for name in above:
            part = part.get(name) if isinstance(part, dict) else None
        if not equals or not isinstance(part, dict):
            raise UsageError(f"{change} does not change a recipe; write place=value, such as mixture.steps=100")
        try:
            part[last] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError) as error:
            raise UsageError(f"{change} does not change a recipe: {value} is not YAML") from error
    return content
