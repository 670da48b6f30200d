"""What a training run does, from one TOML file: split, augmentation, network, optimizer, schedule.

The five recipes that come with the package stand in ``recipes/``. Anything else that ends in ``.toml`` is a
file of the user's own. Nothing here needs torch.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from digit_recognizer.errors import DigitsError
from digit_recognizer.training.layers import BatchNorm, parse_layers

__all__ = [
    "Adam",
    "Augmentation",
    "Constant",
    "Monitor",
    "Plateau",
    "RMSprop",
    "Recipe",
    "Split",
    "Stopping",
    "load_recipe",
    "recipe_from_toml",
    "recipe_names",
    "recipe_text",
    "recipe_to_toml",
]

MOST_EPOCHS = 100_000
STRICT = ConfigDict(extra="forbid")

Monitor = Literal["loss", "accuracy", "validation_loss", "validation_accuracy"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]  # it becomes part of a folder's name
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Fraction = Annotated[float, Field(ge=0, lt=1, strict=True)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
PositiveInt = Annotated[int, Field(ge=1, strict=True)]


@dataclass(frozen=True, config=STRICT)
class Split:
    """Which images the network is not trained on.

    Attributes
    ----------
    validation
        Share of the images held out, the same for each digit, 0 to below 1.
    """

    validation: Fraction = 0.1


@dataclass(frozen=True, config=STRICT)
class Augmentation:
    """How far each image is moved at random, anew in every epoch; as Keras's `ImageDataGenerator`.

    Attributes
    ----------
    rotation
        Degrees to either side, 0 to 180.
    zoom
        Share by which height and width are stretched or shrunk, each on its own.
    shift
        Share of the image's side by which it is moved, along rows and columns each on its own.
    """

    rotation: Annotated[float, Field(ge=0, le=180, strict=True)] = 0.0
    zoom: Fraction = 0.0
    shift: Fraction = 0.0


@dataclass(frozen=True, config=STRICT)
class Adam:
    """Adam; the defaults are Keras's (https://keras.io/api/optimizers/adam/)."""

    name: Literal["adam"]
    learning_rate: PositiveFloat = 1e-3
    beta_1: Fraction = 0.9
    beta_2: Fraction = 0.999
    epsilon: PositiveFloat = 1e-7


@dataclass(frozen=True, config=STRICT)
class RMSprop:
    """RMSprop without momentum; the defaults are Keras's (https://keras.io/api/optimizers/rmsprop/)."""

    name: Literal["rmsprop"]
    learning_rate: PositiveFloat = 1e-3
    rho: Fraction = 0.9
    epsilon: PositiveFloat = 1e-7


@dataclass(frozen=True, config=STRICT)
class Constant:
    """The optimizer's learning rate throughout."""

    name: Literal["constant"] = "constant"


@dataclass(frozen=True, config=STRICT)
class Plateau:
    """Lower the learning rate where progress ends; as Keras's `ReduceLROnPlateau`.

    Attributes
    ----------
    monitor
        Which column of the history to watch.
    factor
        What the learning rate is multiplied by.
    patience
        Epochs without progress until that happens.
    floor
        The learning rate never falls below this.
    min_delta
        What counts as progress (https://keras.io/api/callbacks/reduce_lr_on_plateau/ for the default).
    """

    name: Literal["plateau"]
    monitor: Monitor
    factor: Annotated[float, Field(gt=0, lt=1, strict=True)]
    patience: PositiveInt
    floor: NotNegative = 0.0
    min_delta: NotNegative = 1e-4


@dataclass(frozen=True, config=STRICT)
class Stopping:
    """End the training where progress ends; as Keras's `EarlyStopping`, the last weights kept.

    Attributes
    ----------
    monitor
        Which column of the history to watch.
    patience
        Epochs without progress until the training ends.
    min_delta
        What counts as progress.
    """

    monitor: Monitor
    patience: PositiveInt
    min_delta: NotNegative = 0.0


@dataclass(frozen=True, config=STRICT)
class Recipe:
    """Everything that decides what a training run does, but the data and the seed.

    Attributes
    ----------
    name
        Letters a to z, digits, dots and dashes.
    summary
        What it is, in a sentence.
    network
        Layers from top to bottom (see `layers`), or a function ``module:name`` that returns a torch
        module from float32 (N, 1, 28, 28), 0 to 1, to logits (N, 10).
    epochs
        Passes over the training images, at most.
    batch_size
        Images a step.
    optimizer, schedule, split, augmentation, stopping
        See their classes; no augmentation and no early stopping where they are absent.
    reached
        What it is known to reach, and where.
    precision
        ``bfloat16`` computes products in bfloat16 and keeps weights in float32; ``auto`` does so where
        the processor has instructions for it.
    """

    name: Name
    summary: str
    network: tuple[str, ...] | str
    epochs: Annotated[int, Field(ge=1, le=MOST_EPOCHS, strict=True)]
    batch_size: PositiveInt
    optimizer: Annotated[Adam | RMSprop, Field(discriminator="name")]
    schedule: Annotated[Constant | Plateau, Field(discriminator="name")] = Constant()
    split: Split = Split()
    augmentation: Augmentation | None = None
    stopping: Stopping | None = None
    reached: str = ""
    precision: Literal["auto", "bfloat16", "float32"] = "auto"

    @model_validator(mode="after")
    def _is_consistent(self) -> Recipe:
        if isinstance(self.network, tuple):
            layers = parse_layers(self.network)
            if self.batch_size == 1 and BatchNorm() in layers:
                raise DigitsError(
                    "batch normalisation needs a batch of two images at least, got batch_size 1"
                )
        elif ":" not in self.network or not all(
            part.isidentifier() for part in self.network.replace(":", ".", 1).split(".")
        ):
            raise DigitsError(
                f"network: expected a list of layers or 'module:function', got {self.network!r}"
            )
        for name in ("schedule", "stopping"):
            monitor = getattr(getattr(self, name), "monitor", "")
            if monitor.startswith("validation") and self.split.validation == 0:
                raise DigitsError(f"{name}.monitor is {monitor}, but split.validation is 0: there is none")
        return self


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package, sorted."""
    return sorted(
        entry.name.removesuffix(".toml") for entry in _packaged().iterdir() if entry.name.endswith(".toml")
    )


def load_recipe(name: str | Path, settings: Iterable[str] = ()) -> Recipe:
    """Read a recipe by its name or from a TOML file, with some of its settings changed.

    Parameters
    ----------
    name
        One of `recipe_names`, or the path of a file that ends in ``.toml``.
    settings
        Changes such as ``"epochs=3"`` or ``"optimizer.learning_rate=0.01"``.

    Raises
    ------
    DigitsError
        No such recipe; the file is not TOML; a key is unknown, missing or out of range; a line of the
        network is not understood.
    """
    text = str(name)
    if text.endswith(".toml"):
        return recipe_from_toml(_read(Path(name)), text, settings)
    return recipe_from_toml(recipe_text(text), text, settings)


def recipe_text(name: str) -> str:
    """Return the TOML file of a recipe that comes with the package, to be copied and changed.

    Raises
    ------
    DigitsError
        There is no such recipe.
    """
    if name not in recipe_names():
        raise DigitsError(
            f"there is no recipe {name!r}: expected one of {', '.join(recipe_names())}, or a .toml file"
        )
    return str((_packaged() / f"{name}.toml").read_text("utf-8"))


def recipe_from_toml(text: str, where: str, settings: Iterable[str] = ()) -> Recipe:
    """Read a recipe from TOML; `where` names it in errors."""
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # tomllib's own, a number too long, lists too deep
        raise DigitsError(f"{where}: not valid TOML: {error}") from error
    for setting in settings:
        _change(table, setting)
    try:
        return _ADAPTER.validate_python(_with_tuples(table))
    except ValidationError as error:
        raise DigitsError(f"{where}: {_explain(error)}") from error


def recipe_to_toml(recipe: Recipe) -> str:
    """Write a recipe so that `recipe_from_toml` gives the same one back."""
    import tomli_w

    table = {key: value for key, value in asdict(recipe).items() if value is not None}
    table["network"] = list(recipe.network) if isinstance(recipe.network, tuple) else recipe.network
    return tomli_w.dumps(table)


_ADAPTER: TypeAdapter[Recipe] = TypeAdapter(Recipe)


def _packaged() -> Any:
    return resources.files("digit_recognizer.training") / "recipes"


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DigitsError(
            f"cannot read the recipe {path}: {getattr(error, 'strerror', None) or error}"
        ) from error


def _change(table: dict[str, Any], setting: str) -> None:
    """Carry out one ``key=value`` on a recipe's table, in place; the value is read as TOML or as a word."""
    key, equals, value = setting.partition("=")
    *parents, last = key.strip().split(".")
    if not equals or not last:
        raise DigitsError(f"expected a setting such as epochs=3, got {setting!r}")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise DigitsError(f"setting {setting!r}: {parent!r} has no parts")
    try:
        table[last] = tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        table[last] = value.strip()


def _with_tuples(table: dict[str, Any]) -> dict[str, Any]:
    """Return the table with its network as a tuple: TOML has lists, and a frozen recipe holds none."""
    network = table.get("network")
    return {**table, "network": tuple(network)} if isinstance(network, list) else table


def _explain(error: ValidationError) -> str:
    explained = (_explain_one(dict(problem)) for problem in error.errors())
    return "; ".join(dict.fromkeys(explained))  # a union names the same problem once for each of its types


def _explain_one(problem: dict[str, Any]) -> str:
    place = [str(part) for part in problem["loc"]]
    if len(place) > 2 and place[0] in ("optimizer", "schedule"):
        del place[1]  # pydantic names the chosen kind there, which the file does not
    key = ".".join(place)
    if problem["type"] == "missing":
        return f"the key {key!r} is missing"
    if problem["type"] == "union_tag_not_found":
        return f"the key '{key}.name' is missing"
    if place and place[0] == "network":
        return "network: expected a list of layers, each in quotes, or 'module:function'"
    if problem["type"] == "unexpected_keyword_argument":
        return f"there is no key {key!r}"
    if problem["type"] == "union_tag_invalid":
        return f"{key}.name: expected {problem['ctx']['expected_tags']}, got {problem['ctx']['tag']!r}"
    message = problem["msg"].removeprefix("Value error, ")
    if not key:
        return str(message)
    return f"{key}: {message[0].lower()}{message[1:]}, got {problem['input']!r}"
