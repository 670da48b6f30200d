"""`digits recipes` and `digits summary`: what can be trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digit_recognizer.cli.options import complete_recipe, complete_run
from digit_recognizer.cli.terminal import print_widest, require, say

if TYPE_CHECKING:
    from rich.table import Table

    from digit_recognizer.networks.summary import NetworkSummary

BYTES_PER_PARAMETER = 4  # float32


def recipes(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A recipe whose TOML file to print.", show_default=False, autocompletion=complete_recipe
        ),
    ] = None,
) -> None:
    """List the recipes, or print one as a file to copy and change."""
    from digit_recognizer.recipes import Recipe, load_any_recipe, packaged_names, recipe_text

    if name is not None:
        typer.echo(recipe_text(name), nl=False)
        return
    require("torch")

    from rich import box
    from rich.table import Table

    from digit_recognizer.networks.character_network import load_character_network
    from digit_recognizer.networks.summary import count_parameters, summarise_recipe
    from digit_recognizer.recognition.character_finder import READER_MODEL

    table, narrow = Table(box=box.SIMPLE_HEAD), Table(box=box.SIMPLE_HEAD)
    for each in (table, narrow):
        each.add_column("recipe", no_wrap=True, style="bold")
        each.add_column("what it is")
    table.add_column("parameters", justify="right", no_wrap=True)
    table.add_column("epochs", justify="right", no_wrap=True)
    table.add_column("reached")
    for recipe in map(load_any_recipe, packaged_names()):
        if isinstance(recipe, Recipe):
            parameters = summarise_recipe(recipe).parameters
        else:
            parameters, _ = count_parameters(load_character_network(READER_MODEL))
        table.add_row(recipe.name, recipe.summary, f"{parameters:,}", str(recipe.epochs), recipe.reached)
        narrow.add_row(recipe.name, recipe.summary)
    print_widest(table, narrow, wraps=True)


def summary(
    recipe: Annotated[
        str,
        typer.Argument(
            help="A name from 'digits recipes', a .toml file, or a run folder.",
            autocompletion=lambda incomplete: complete_recipe(incomplete) + complete_run(incomplete),
        ),
    ],
) -> None:
    """Show a network's layers, their output shapes and parameters."""
    require("torch")

    from digit_recognizer.networks.summary import summarise_recipe
    from digit_recognizer.recipes import load_recipe
    from digit_recognizer.runs.environment import read_environment
    from digit_recognizer.runs.run_folder import RECIPE

    path = Path(recipe)
    if path.is_dir():
        read_environment(path)
    loaded = load_recipe(path / RECIPE if path.is_dir() else recipe)
    network = summarise_recipe(loaded)
    say(f"{loaded.name}: {loaded.summary}")
    headings = ("output shape", "parameters", "multiply-adds")
    print_widest(*(_layers_table(network, shown) for shown in (headings, headings[:2], headings[1:2])))
    if network.members > 1:
        _show_count("Members, averaged", network.members)
    fixed = network.parameters - network.trained_parameters
    _show_count("Total parameters", network.parameters, BYTES_PER_PARAMETER)
    _show_count("Trained parameters", network.trained_parameters, BYTES_PER_PARAMETER)
    _show_count("Not trained parameters", fixed, BYTES_PER_PARAMETER)
    _show_count("Multiply-adds an image", network.multiply_adds)


def _layers_table(network: NetworkSummary, headings: Sequence[str]) -> Table:
    """Return the layers as Keras's `summary` shows them; narrow terminals get fewer columns."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("layer", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "output shape" else "right", no_wrap=True)
    for layer in network.layers:
        shape = ", ".join(map(str, (None, *layer.output_shape)))
        shown = {
            "output shape": f"({shape})",
            "parameters": f"{layer.parameters:,}",
            "multiply-adds": f"{layer.multiply_adds:,}",
        }
        table.add_row(f"{layer.name} ({layer.kind})", *(shown[heading] for heading in headings))
    return table


def _show_count(name: str, count: int, bytes_each: int = 0) -> None:
    size = f"  ({count * bytes_each / 2**20:,.2f} MB)" if bytes_each else ""
    say(f" {name:<24}{count:>14,}{size}")
