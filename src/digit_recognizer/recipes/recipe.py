"""What a training run does, from one TOML file: split, augmentation, network, optimizer, schedule.

The recipes that come with the package stand in ``recipes/``. Anything else that ends in ``.toml`` is a
file of the user's own. Nothing here needs torch.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from digit_recognizer.digits import CLASSES
from digit_recognizer.errors import DigitsError
from digit_recognizer.recipes.layers import BatchNorm, parse_layers
from digit_recognizer.recipes.schema import (
    STRICT,
    Adam,
    AdamW,
    Arithmetic,
    Augmentation,
    Constant,
    Corrections,
    Corruption,
    Fraction,
    Muon,
    OneCycle,
    Outliers,
    Plateau,
    PositiveFloat,
    PositiveInt,
    Precision,
    RMSprop,
    Shifts,
    Split,
    Stopping,
    Teacher,
)

MOST_EPOCHS = 100_000
MOST_MEMBERS = 1_000
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]  # it becomes part of a folder's name
Network = tuple[str, ...] | str  # layers from top to bottom, or a function ``module:name``


def _of_each_kind(precision: Any) -> Any:
    """Return the table that a single word for the precision stands for."""
    if isinstance(precision, dict | Precision):
        return precision
    if precision not in get_args(Arithmetic):
        raise DigitsError(f"expected {', '.join(get_args(Arithmetic))}, or a table of these")
    return Precision(precision, precision, precision)


@dataclass(frozen=True, config=STRICT)
class Recipe:
    """Everything that decides what a training run does, but the data and the seed.

    Attributes
    ----------
    name
        Letters a to z, digits, dots and dashes.
    summary
        What it is, in a sentence.
    epochs
        Passes over the training images, at most; of each member.
    batch_size
        Images a step.
    optimizer, schedule, split, augmentation, stopping, shifts, teacher, corruption, outliers, corrections
        See their classes; all but the first three may be absent.
    network
        Layers from top to bottom (see `layers`), or a function ``module:name`` that returns a torch
        module from float32 (N, 1, 28, 28), 0 to 1, to logits (N, 10).
    networks
        Several of these instead, which the members take in turn; those that no member takes are not used.
    members
        How many networks are trained, one after the other; their probabilities are averaged.
    label_smoothing
        Share of each target that is spread evenly over the ten digits.
    temperature
        What the logits are divided by when the model predicts: above 1 it is less sure of itself. Whoever
        measures on held-out images that the probabilities are too high or too low puts them right by it.
    reached
        What it is known to reach, and where.
    precision
        ``bfloat16`` computes products in bfloat16 and keeps weights in float32; ``auto`` does so where
        that is faster on the device. One word stands for all kinds of operations; see `Precision`.
    """

    name: Name
    summary: str
    epochs: Annotated[int, Field(ge=1, le=MOST_EPOCHS, strict=True)]
    batch_size: PositiveInt
    optimizer: Annotated[Adam | AdamW | Muon | RMSprop, Field(discriminator="name")]
    network: Network = ()
    networks: tuple[Network, ...] = ()
    members: Annotated[int, Field(ge=1, le=MOST_MEMBERS, strict=True)] = 1
    schedule: Annotated[Constant | OneCycle | Plateau, Field(discriminator="name")] = Constant()
    split: Split = Split()
    augmentation: Augmentation | None = None
    label_smoothing: Fraction = 0.0
    stopping: Stopping | None = None
    shifts: Shifts | None = None
    teacher: Teacher | None = None
    corruption: Corruption | None = None
    outliers: Outliers | None = None
    corrections: Corrections | None = None
    temperature: PositiveFloat = 1.0
    reached: str = ""
    precision: Annotated[Precision, BeforeValidator(_of_each_kind)] = Precision()

    @property
    def outputs(self) -> int:
        """How many logits its networks end with: ten, and one for no digit where it learns from outliers."""
        return CLASSES + (self.outliers is not None)

    @property
    def start(self) -> str:
        """The folder of the run whose weights are the first; nothing where it starts from none."""
        return "" if self.corrections is None else self.corrections.run

    @property
    def architectures(self) -> tuple[Network, ...]:
        """The networks that members take in turn, at least one."""
        return self.networks or (self.network,)

    @property
    def watches_validation(self) -> bool:
        """Whether the validation images decide anything, such as when to stop."""
        return any(monitor.startswith("validation") for monitor in self._monitors().values())

    def _monitors(self) -> dict[str, str]:
        parts = {name: getattr(self, name) for name in ("schedule", "stopping")}
        return {name: part.monitor for name, part in parts.items() if hasattr(part, "monitor")}

    def network_of(self, member: int) -> Network:
        """Return the network of a member, counted from 1."""
        return self.architectures[(member - 1) % len(self.architectures)]

    def with_settings(self, settings: Iterable[str], *, where: str = "") -> Recipe:
        """Return the recipe with changes such as ``"epochs=3"`` or ``"optimizer.learning_rate=0.01"``.

        Parameters
        ----------
        settings
            Each ``key=value``, applied in turn, as `load_recipe` takes them.
        where
            What error messages call the recipe; by default, its name.

        Raises
        ------
        DigitsError
            A key is unknown, or a value is out of range.
        """
        return _validated(_changed(_table(self), settings), where or self.name)

    @model_validator(mode="after")
    def _is_consistent(self) -> Recipe:
        if self.network and self.networks:
            raise DigitsError("expected network or networks, got both")
        if not self.network and not self.networks:
            raise DigitsError("the key 'network' is missing")
        for network in self.architectures:
            _check_network(network, self.batch_size)
        if self.start and self.teacher is not None:
            raise DigitsError(
                "expected a teacher or corrections.run, got both: each decides what is held out"
            )
        for name, monitor in self._monitors().items():
            if monitor.startswith("validation") and self.split.validation == 0:
                raise DigitsError(f"{name}.monitor is {monitor}, but split.validation is 0: there is none")
        return self


def _check_network(network: Network, batch_size: int) -> None:
    """Raise `DigitsError` where a line of a network, or a function's name, is not understood."""
    if isinstance(network, tuple):
        layers = parse_layers(network)
        if not layers:
            raise DigitsError("a network has no layers: end it with 'dense 10'")
        if batch_size == 1 and BatchNorm() in layers:
            raise DigitsError("batch normalisation needs a batch of two images at least, got batch_size 1")
        return
    if ":" not in network or not all(part.isidentifier() for part in network.replace(":", ".", 1).split(".")):
        raise DigitsError(f"network: expected a list of layers or 'module:function', got {network!r}")


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


def as_recipe(recipe: Recipe | str | Path) -> Recipe:
    """Return a recipe as it is, or the one of a name or a file; `DigitsError` as `load_recipe`."""
    return recipe if isinstance(recipe, Recipe) else load_recipe(recipe)


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
    return _validated(_changed(table, settings), where)


def recipe_to_toml(recipe: Recipe) -> str:
    """Write a recipe so that `recipe_from_toml` gives the same one back."""
    import tomli_w

    table = _table(recipe)
    precisions = set(table["precision"].values())
    if len(precisions) == 1:
        table["precision"] = precisions.pop()
    return tomli_w.dumps(table)


_ADAPTER: TypeAdapter[Recipe] = TypeAdapter(Recipe)


def _table(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as nested tables without the keys that are absent."""
    return {key: value for key, value in asdict(recipe).items() if value not in (None, ())}


def _validated(table: dict[str, Any], where: str) -> Recipe:
    try:
        return _ADAPTER.validate_python(_with_tuples(table))
    except ValidationError as error:
        raise DigitsError(f"{where}: {_explain(error)}") from error


def _changed(table: dict[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    for setting in settings:
        _change(table, setting)
    return table


def _packaged() -> Any:
    return resources.files("digit_recognizer.recipes")


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
    """Return the table with its networks as tuples: TOML has lists, and a frozen recipe holds none."""
    named: dict[str, Any] = {key: _tuple(table[key]) for key in ("network", "networks") if key in table}
    return {**table, **named}


def _tuple(value: Any) -> Any:
    return tuple(_tuple(part) for part in value) if isinstance(value, list) else value


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
    if place and place[0] in ("network", "networks"):
        one = "a list of layers, each in quotes, or 'module:function'"
        return f"{place[0]}: expected {one if place[0] == 'network' else f'a list, and in it {one}'}"
    if problem["type"] == "unexpected_keyword_argument":
        return f"there is no key {key!r}"
    if problem["type"] == "union_tag_invalid":
        return f"{key}.name: expected {problem['ctx']['expected_tags']}, got {problem['ctx']['tag']!r}"
    message = problem["msg"].removeprefix("Value error, ")
    if not key:
        return str(message)
    return f"{key}: {message[0].lower()}{message[1:]}, got {problem['input']!r}"
