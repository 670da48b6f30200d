"""Recipes: everything that determines a training run, except the data and the seed. Needs no torch."""

from __future__ import annotations

from digit_recognizer.recipes.numbers import NumbersRecipe, load_any_recipe
from digit_recognizer.recipes.recipe import (
    Recipe,
    as_recipe,
    load_recipe,
    recipe_from_toml,
    recipe_names,
    recipe_to_toml,
)
from digit_recognizer.recipes.toml_tables import packaged_names, recipe_text

__all__ = [
    "NumbersRecipe",
    "Recipe",
    "as_recipe",
    "load_any_recipe",
    "load_recipe",
    "packaged_names",
    "recipe_from_toml",
    "recipe_names",
    "recipe_text",
    "recipe_to_toml",
]
