"""Recipes: TOML files that describe a training run, packaged or a user's own. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, TypeAdapter, model_validator
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
from digit_recognizer.recipes.toml_tables import (
    Table,
    as_precision,
    as_table,
    change,
    packaged_names,
    parse,
    read_text,
    to_html,
    to_toml,
    validate,
)

MAX_EPOCHS = 100_000
MAX_MEMBERS = 1_000
OTHER_TASKS = ("numbers",)  # packaged recipes that are not for single digits

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]  # it becomes part of a folder's name
Network = tuple[str, ...] | str  # layers from input to output, or a function ``module:name``

FORMER_KEYS = (("outliers", "lines"),)  # tables and keys of earlier versions


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
    precision: Annotated[Precision, BeforeValidator(as_precision)] = Precision()

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
        return validate(_ADAPTER, Recipe, change(as_table(self), settings), where or self.name)

    def __repr__(self) -> str:
        return f"Recipe({self.name!r}, epochs={self.epochs}, batch_size={self.batch_size})"

    def _repr_html_(self) -> str:
        """Return all settings, for a notebook."""
        return to_html(self)

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
    """Return the names of the packaged recipes for single digits, sorted."""
    return [name for name in packaged_names() if name not in OTHER_TASKS]


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
    return recipe_from_toml(read_text(name), str(name), settings)


def as_recipe(recipe: Recipe | str | Path) -> Recipe:
    """Return a recipe unchanged, or load it by its name or file; raises `DigitsError` as `load_recipe`."""
    return recipe if isinstance(recipe, Recipe) else load_recipe(recipe)


def recipe_from_toml(text: str, where: str, settings: Iterable[str] = ()) -> Recipe:
    """Parse a recipe in TOML and change some of its settings; `where` names it in error messages."""
    table = parse(text, where)
    if "task" in table:
        raise DigitsError(f"{where} is a recipe for pictures of whole numbers, not for single digits")
    _drop_former_keys(table)
    return validate(_ADAPTER, Recipe, change(table, settings), where)


def recipe_to_toml(recipe: Recipe) -> str:
    """Write a recipe as TOML, from which `recipe_from_toml` returns an equal one."""
    return to_toml(recipe)


_ADAPTER: TypeAdapter[Recipe] = TypeAdapter(Recipe)


def _drop_former_keys(table: Table) -> None:
    """Remove what only earlier versions did, so that their runs can still be evaluated and reported."""
    for name, key in FORMER_KEYS:
        if isinstance(table.get(name), dict):
            table[name].pop(key, None)
