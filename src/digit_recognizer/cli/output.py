"""What the commands show at their end: tables, sentences, JSON where asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from digit_recognizer.cli.phrases import accuracy_in_words, make_console, print_json
from digit_recognizer.digits import Predictions
from digit_recognizer.evaluation import Evaluation
from digit_recognizer.recipes.recipe import Recipe

if TYPE_CHECKING:
    from digit_recognizer.networks.summary import NetworkSummary

BYTES_PER_PARAMETER = 4  # float32


def show_evaluation(evaluation: Evaluation, what: str, *, as_json: bool) -> None:
    """Show accuracy, a row for each digit, and the confusion matrix."""
    values = evaluation.as_dict()
    if as_json:
        print_json({"what": what, **values})
        return
    console = make_console()
    console.print(f"{what}:", highlight=False, markup=False, soft_wrap=True)
    console.print(Text(f"{accuracy_in_words(values)}\n", "bold green"), soft_wrap=True)
    table = Table(
        box=box.SIMPLE_HEAD,
        title="digit (row) taken for (column)",
        title_justify="left",
        padding=0,
        pad_edge=False,
    )
    for heading in ("", *map(str, range(10)), "images", "errors", "accuracy"):
        table.add_column(heading, justify="right", no_wrap=True, min_width=4 if heading else 1)
    for row, counts in zip(values["per_digit"], values["confusion"], strict=True):
        cells = [str(count) if count else "·" for count in counts]
        accuracy = "–" if row["accuracy"] is None else f"{row['accuracy']:.2%}"
        table.add_row(str(row["digit"]), *cells, f"{row['images']:,}", str(row["errors"]), accuracy)
    console.print(table)


def show_submission(predictions: Predictions, written: Sequence[Path], *, labelled: bool) -> None:
    """Say what was written, how sure the model was, and whether these can be the competition's images."""
    names = " and ".join(map(str, written))
    unsure = int((predictions.confidence < 0.5).sum())
    make_console().print(
        f"Wrote {names}: {len(predictions):,} predictions, {unsure} of them with a confidence below 50 %.",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    if labelled:
        make_console().print("Note: these images have labels; those of the competition's test.csv have none.")


@contextmanager
def telling(what: str, *, as_json: bool) -> Iterator[Callable[[str], None]]:
    """Give a function that says what is being done; it is seen on a terminal only, and goes away."""
    console = make_console()
    if as_json or not console.is_terminal:
        yield lambda _doing: None
        return
    with console.status(f"{what} …") as status:
        yield lambda doing: status.update(f"{what}: {doing} …")


def show_report(page: Path, seconds: float, *, as_json: bool) -> None:
    """Say where a report is."""
    if as_json:
        print_json({"event": "report", "page": str(page), "seconds": round(seconds, 2)})
        return
    size = page.stat().st_size / 1e6
    make_console().print(
        Text.assemble(
            (f"{'Report':<12}", "bold"),
            (str(page), "cyan"),
            f"  ({size:.1f} MB in {seconds:.1f} s; figures beside it)",
        ),
        soft_wrap=True,
    )


def show_recipes(recipes: Sequence[tuple[Recipe, int]]) -> None:
    """Show a table of recipes with their numbers of parameters."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("recipe", no_wrap=True, style="bold")
    table.add_column("what it is")
    table.add_column("parameters", justify="right", no_wrap=True)
    table.add_column("epochs", justify="right")
    table.add_column("reached")
    for recipe, parameters in recipes:
        table.add_row(recipe.name, recipe.summary, f"{parameters:,}", str(recipe.epochs), recipe.reached)
    make_console().print(table)


def show_summary(recipe: Recipe, network: NetworkSummary) -> None:
    """Show a network as Keras's `summary` does."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("layer", no_wrap=True)
    table.add_column("output shape", no_wrap=True)
    table.add_column("parameters", justify="right", no_wrap=True)
    table.add_column("multiply-adds", justify="right", no_wrap=True)
    for layer in network.layers:
        shape = ", ".join(map(str, (None, *layer.output_shape)))
        table.add_row(
            f"{layer.name} ({layer.kind})", f"({shape})", f"{layer.parameters:,}", f"{layer.multiply_adds:,}"
        )
    console = make_console()
    console.print(f"{recipe.name}: {recipe.summary}", highlight=False, markup=False, soft_wrap=True)
    console.print(table)
    if network.members > 1:
        console.print(f" {'Members, averaged':<24}{network.members:>14,}", highlight=False)
    fixed = network.parameters - network.trained_parameters
    sizes = (("Total", network.parameters), ("Trained", network.trained_parameters), ("Not trained", fixed))
    for name, count in sizes:
        size = f"{count * BYTES_PER_PARAMETER / 2**20:,.2f} MB"
        console.print(f" {name + ' parameters':<24}{count:>14,}  ({size})", highlight=False)
    console.print(f" {'Multiply-adds an image':<24}{network.multiply_adds:>14,}", highlight=False)
