"""Recipes: everything that determines a training run, except the data and the seed. Needs no torch."""

from __future__ import annotations

from digit_recognizer.recipes.recipe import (
    Recipe,
    as_recipe,
    load_recipe,
    recipe_from_toml,
    recipe_names,
    recipe_text,
    recipe_to_toml,
)

__all__ = [
    "Recipe",
    "as_recipe",
    "load_recipe",
    "recipe_from_toml",
    "recipe_names",
    "recipe_text",
    "recipe_to_toml",
]
