"""Recipes for pictures of whole numbers: the network that finds characters goes on learning from them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from digit_recognizer.recipes.recipe import MAX_EPOCHS, Name, Recipe, recipe_from_toml
from digit_recognizer.recipes.schema import (
    STRICT,
    AdamW,
    Constant,
    Muon,
    NonNegativeFloat,
    OneCycle,
    PositiveInt,
    Precision,
    Split,
)
from digit_recognizer.recipes.toml_tables import as_precision, change, parse, read_text, to_html, validate

TASK = "numbers"  # the value of ``task`` in a recipe for pictures of whole numbers


@dataclass(frozen=True, config=STRICT)
class Composed:
    """Composed pages to learn from besides, so that what the network can do is not forgotten."""

    pages: PositiveInt = 8  # in each step
    drawn: PositiveInt = 1_000  # before the training starts
    source: str = "bundled"  # of the digits that they are composed of
    weight: NonNegativeFloat = 1.0  # of their loss


@dataclass(frozen=True, config=STRICT)
class NumbersRecipe:
    """Everything that determines a training on pictures of whole numbers, except the data and the seed.

    Attributes
    ----------
    task
        Tells it from a recipe for single digits.
    name, summary, reached, epochs, batch_size, optimizer, schedule, split, precision
        As in `Recipe`; `split` counts only for tables without the column ``part``.
    composed
        Composed pages to learn from besides.
    aligned
        Weight of the loss of each character at its most probable place, besides that of the text.
    augmentation
        How strongly pictures are changed; 0: not at all.
    shown
        Pictures in an epoch, at least: if there are fewer, all are shown several times.
    """

    task: Literal["numbers"]
    name: Name
    summary: str
    epochs: Annotated[int, Field(ge=1, le=MAX_EPOCHS, strict=True)]
    batch_size: PositiveInt
    optimizer: Annotated[AdamW | Muon, Field(discriminator="name")]
    schedule: Annotated[Constant | OneCycle, Field(discriminator="name")] = Constant()
    split: Split = Split()
    composed: Composed = Composed()
    aligned: NonNegativeFloat = 0.0
    augmentation: NonNegativeFloat = 1.0
    shown: PositiveInt = 2_000
    reached: str = ""
    precision: Annotated[Precision, BeforeValidator(as_precision)] = Precision()

    @property
    def members(self) -> int:
        """Number of networks that are trained: one."""
        return 1

    @property
    def stopping(self) -> None:
        """There is no early stopping."""
        return None

    @property
    def shifts(self) -> None:
        """Pictures are read as they are."""
        return None

    def __repr__(self) -> str:
        return f"NumbersRecipe({self.name!r}, epochs={self.epochs}, batch_size={self.batch_size})"

    def _repr_html_(self) -> str:
        """Return all settings, for a notebook."""
        return to_html(self)


def load_any_recipe(name: str | Path, settings: Iterable[str] = ()) -> Recipe | NumbersRecipe:
    """Read a recipe of either kind; parameters and errors are those of `load_recipe`."""
    text = read_text(name)
    if parse(text, str(name)).get("task") != TASK:
        return recipe_from_toml(text, str(name), settings)
    return numbers_recipe_from_toml(text, str(name), settings)


def numbers_recipe_from_toml(text: str, where: str, settings: Iterable[str] = ()) -> NumbersRecipe:
    """Parse a recipe for numbers in TOML and change some of its settings."""
    return validate(_ADAPTER, NumbersRecipe, change(parse(text, where), settings), where)


_ADAPTER: TypeAdapter[NumbersRecipe] = TypeAdapter(NumbersRecipe)
