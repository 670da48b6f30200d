"""Recipes: TOML files that describe a training run, packaged or a user's own. Nothing here needs torch."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import asdict
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from digit_recognizer.digits import CLASSES
from digit_recognizer.errors import DigitsError
from digit_recognizer.recipes.layers import BatchNorm, parse_layers
from digit_recognizer.recipes.schema import (
    STRICT,
    Augmentation,
    Constant,
    Corrections,
    Corruption,
    DType,
    Fraction,
    Optimizer,
    Outliers,
    Plateau,
    PositiveFloat,
    PositiveInt,
    Precision,
    Schedule,
    Shifts,
    Split,
    Stopping,
    Teacher,
)
from digit_recognizer.recipes.suggestions import did_you_mean, did_you_mean_key

MAX_EPOCHS = 100_000
MAX_MEMBERS = 1_000
NETWORK_FORM = "a list of layers, each in quotes, or 'module:function'"

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]  # it becomes part of a folder's name
Network = tuple[str, ...] | str  # layers from input to output, or a function ``module:name``

FORMER_KEYS = (("outliers", "lines"),)  # tables and keys of earlier versions


def _as_precision(value: Any) -> Any:
    """Return the table that a single data type stands for."""
    if isinstance(value, dict | Precision):
        return value
    if value not in get_args(DType):
        raise DigitsError(f"expected {', '.join(get_args(DType))}, or a table of these")
    return Precision(value, value, value)


@dataclass(frozen=True, config=STRICT)
class Recipe:
    """Everything that determines a training run, except the data and the seed.

    Attributes
    ----------
    name
        Lower-case letters, digits, dots, dashes and underscores; at most 64 characters.
    summary
        One sentence that describes it.
    epochs
        Passes over the training images, at most, for each member.
    batch_size
        Images per step.
    optimizer, schedule, split, augmentation, stopping, shifts, teacher, corruption, outliers, corrections
        See their classes. All but the first three may be absent.
    network
        Layers from input to output (see `layers`), or a function ``module:name`` that returns a torch
        module from float32 (N, 1, 28, 28), 0 to 1, to logits (N, 10).
    networks
        Several networks instead; the members use them in turn.
    members
        Number of networks that are trained one after the other. The model averages their probabilities.
    label_smoothing
        Fraction of each target that is spread evenly over all classes.
    temperature
        The model divides the logits by it: above 1, it is less confident.
    reached
        The accuracy that it is known to reach, and where.
    precision
        Data types of products; one word stands for all kinds of operations. See `Precision`.
    """

    name: Name
    summary: str
    epochs: Annotated[int, Field(ge=1, le=MAX_EPOCHS, strict=True)]
    batch_size: PositiveInt
    optimizer: Optimizer
    network: Network = ()
    networks: tuple[Network, ...] = ()
    members: Annotated[int, Field(ge=1, le=MAX_MEMBERS, strict=True)] = 1
    schedule: Schedule = Constant()
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
    precision: Annotated[Precision, BeforeValidator(_as_precision)] = Precision()

    @property
    def outputs(self) -> int:
        """Number of logits: ten, or eleven with outliers."""
        return CLASSES + (self.outliers is not None)

    @property
    def start(self) -> str:
        """The folder of the run to fine-tune; empty if the training starts from random weights."""
        return "" if self.corrections is None else self.corrections.run

    @property
    def architectures(self) -> tuple[Network, ...]:
        """The networks that the members use in turn, at least one."""
        return self.networks or (self.network,)

    @property
    def watches_validation(self) -> bool:
        """Whether the schedule or early stopping depends on the validation images."""
        return any(monitor.startswith("validation") for monitor in self._monitors().values())

    def network_of(self, member: int) -> Network:
        """Return the network of a member, counted from 1."""
        return self.architectures[(member - 1) % len(self.architectures)]

    def with_settings(self, settings: Iterable[str], *, where: str = "") -> Recipe:
        """Return the recipe with some of its settings changed.

        Parameters
        ----------
        settings
            Changes such as ``"epochs=3"`` or ``"optimizer.learning_rate=0.01"``, applied in turn.
        where
            What error messages call the recipe; by default, its name.

        Raises
        ------
        DigitsError
            A key is unknown, or a value is out of range.
        """
        return _validate(_change(_as_table(self), settings), where or self.name)

    def _monitors(self) -> dict[str, str]:
        """Return the column of the history that each table monitors."""
        tables = {"schedule": self.schedule, "stopping": self.stopping}
        return {key: each.monitor for key, each in tables.items() if isinstance(each, Plateau | Stopping)}

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
                "expected a teacher or corrections.run, got both: each determines the held-out images"
            )
        for key, monitor in self._monitors().items():
            if monitor.startswith("validation") and self.split.validation == 0:
                raise DigitsError(f"{key}.monitor is {monitor}, but split.validation is 0")
        return self


def _check_network(network: Network, batch_size: int) -> None:
    """Raise `DigitsError` if a line, or a function's name, is not understood."""
    if isinstance(network, tuple):
        layers = parse_layers(network)
        if not layers:
            raise DigitsError("a network has no layers: end it with 'dense 10'")
        if batch_size == 1 and BatchNorm() in layers:
            raise DigitsError("batch normalisation needs at least two images per batch, got batch_size 1")
        return
    module, colon, function = network.partition(":")
    if not colon or not all(part.isidentifier() for part in [*module.split("."), *function.split(".")]):
        raise DigitsError(f"network: expected a list of layers or 'module:function', got {network!r}")


def recipe_names() -> list[str]:
    """Return the names of the packaged recipes, sorted."""
    names = (entry.name for entry in _packaged().iterdir())
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def load_recipe(name: str | Path, settings: Iterable[str] = ()) -> Recipe:
    """Read a recipe by its name or from a TOML file, and change some of its settings.

    Parameters
    ----------
    name
        One of `recipe_names`, or the path of a file that ends in ``.toml``.
    settings
        Changes such as ``"epochs=3"`` or ``"optimizer.learning_rate=0.01"``.

    Raises
    ------
    DigitsError
        There is no such recipe; the file is not TOML; a key is unknown, missing or out of range; a line of
        the network is not understood.
    """
    text = str(name)
    source = _read(Path(name)) if text.endswith(".toml") else recipe_text(text)
    return recipe_from_toml(source, text, settings)


def as_recipe(recipe: Recipe | str | Path) -> Recipe:
    """Return a recipe unchanged, or load it by its name or file; raises `DigitsError` as `load_recipe`."""
    return recipe if isinstance(recipe, Recipe) else load_recipe(recipe)


def recipe_text(name: str) -> str:
    """Return the TOML file of a packaged recipe; raises `DigitsError` if there is none of that name."""
    if name not in recipe_names():
        names = recipe_names()
        expected = f"expected one of {', '.join(names)}, or a .toml file"
        raise DigitsError(f"there is no recipe {name!r}: {expected}{did_you_mean(name, names)}")
    return (_packaged() / f"{name}.toml").read_text("utf-8")


def recipe_from_toml(text: str, where: str, settings: Iterable[str] = ()) -> Recipe:
    """Parse a recipe in TOML and change some of its settings; `where` names it in error messages."""
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also for a number that is too long, or lists too deep
        raise DigitsError(f"{where}: not valid TOML: {error}") from error
    _drop_former_keys(table)
    return _validate(_change(table, settings), where)


def recipe_to_toml(recipe: Recipe) -> str:
    """Write a recipe as TOML, from which `recipe_from_toml` returns an equal one."""
    import tomli_w

    table = _as_table(recipe)
    dtypes = set(table["precision"].values())
    if len(dtypes) == 1:
        table["precision"] = dtypes.pop()
    return tomli_w.dumps(table)


_ADAPTER: TypeAdapter[Recipe] = TypeAdapter(Recipe)


def _packaged() -> Traversable:
    return resources.files("digit_recognizer.recipes")


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DigitsError(f"cannot read the recipe {path}: {reason}") from error


def _as_table(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as nested tables, without the keys that are absent."""
    return {key: value for key, value in asdict(recipe).items() if value not in (None, ())}


def _drop_former_keys(table: dict[str, Any]) -> None:
    """Remove what only earlier versions did, so that their runs can still be evaluated and reported."""
    for name, key in FORMER_KEYS:
        if isinstance(table.get(name), dict):
            table[name].pop(key, None)


def _change(table: dict[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """Apply settings to a recipe's table, in place; each value is read as TOML, or else as a string."""
    for setting in settings:
        key, equals, value = setting.partition("=")
        *parents, last = key.strip().split(".")
        if not equals or not last:
            raise DigitsError(f"expected a setting such as epochs=3, got {setting!r}")
        inner = table
        for parent in parents:
            inner = inner.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise DigitsError(f"setting {setting!r}: {parent!r} is not a table")
        try:
            inner[last] = tomllib.loads(f"value = {value}")["value"]
        except (ValueError, RecursionError):
            inner[last] = value.strip()
    return table


def _validate(table: dict[str, Any], where: str) -> Recipe:
    for key in {"network", "networks"} & table.keys():
        table[key] = _as_tuple(table[key])  # TOML has lists, but a frozen recipe holds tuples
    try:
        return _ADAPTER.validate_python(table)
    except ValidationError as error:
        explained = (_explain(dict(problem)) for problem in error.errors())
        unique = dict.fromkeys(explained)  # a union repeats a problem for each of its types
        raise DigitsError(f"{where}: {'; '.join(unique)}") from error


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(part) for part in value) if isinstance(value, list) else value


def _explain(problem: dict[str, Any]) -> str:
    """Return one of pydantic's problems in terms of the file."""
    place = [str(part) for part in problem["loc"]]
    if len(place) > 2 and place[0] in ("optimizer", "schedule"):
        del place[1]  # the chosen kind, which is no key of the file
    key = ".".join(place)
    kind = problem["type"]
    if kind == "missing":
        return f"the key {key!r} is missing"
    if kind == "union_tag_not_found":
        return f"the key '{key}.name' is missing"
    if key and place[0] == "network":
        return f"network: expected {NETWORK_FORM}"
    if key and place[0] == "networks":
        return f"networks: expected a list whose entries are {NETWORK_FORM}"
    if kind == "unexpected_keyword_argument":
        return f"there is no key {key!r}{did_you_mean_key(key, Recipe)}"
    if kind == "union_tag_invalid":
        return f"{key}.name: expected {problem['ctx']['expected_tags']}, got {problem['ctx']['tag']!r}"
    message: str = problem["msg"].removeprefix("Value error, ")
    return f"{key}: {message[0].lower()}{message[1:]}, got {problem['input']!r}" if key else message
