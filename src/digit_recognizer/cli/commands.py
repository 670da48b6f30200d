"""The commands: each reads its options, calls the library, and shows what comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from digit_recognizer import __version__
from digit_recognizer.cli.corrections import corrections
from digit_recognizer.cli.options import (
    CorrectionsFile,
    Device,
    Json,
    Model,
    NamedModel,
    OfPart,
    OfRun,
    Part,
    Settings,
    Source,
)
from digit_recognizer.cli.serving import serve
from digit_recognizer.errors import DigitsError
from digit_recognizer.runs import run_folder

DEFAULT_RECIPE = "standard"

app = typer.Typer(
    name="digits",
    help="Read handwritten digits: train a network, see how good it is, write the Kaggle submission.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(corrections)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"digit-recognizer {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
def train(
    source: Source = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            "-r",
            help=rf"A name from 'digits recipes', or a .toml file.  \[default: {DEFAULT_RECIPE}]",
        ),
    ] = None,
    settings: Settings = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help=r"Decides every random draw.  \[default: 0]")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help=r"The run folder to make.  \[default: runs/<time>-<recipe>]"),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Go on with a run that was interrupted.")
    ] = None,
    with_corrections: Annotated[
        bool,
        typer.Option("--with-corrections", help="Learn from what was corrected on the page, too."),
    ] = False,
    corrections_file: CorrectionsFile = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="With --with-corrections: fine-tune this finished run, in seconds; its recipe, split and "
            "source are kept.",
        ),
    ] = None,
    device: Device = "auto",
    folds: Annotated[
        int | None,
        typer.Option(min=2, help="Cross-validate: train as often, each time judged by another part."),
    ] = None,
    report: Annotated[
        bool, typer.Option("--report", help="Write report.html into the run at the end.")
    ] = False,
    json: Json = False,
) -> None:
    """Train a network and write a run folder."""
    from digit_recognizer.cli.folds import cross_validate_anew, go_on_with_folds
    from digit_recognizer.cli.runs import go_on, train_anew
    from digit_recognizer.corrections import corrections_path

    changes = settings or []
    if report and (folds or (resume and run_folder.is_cross_validation(resume))):
        raise DigitsError("--report is for one run: leave it away, and give a fold's run to 'digits report'")
    if not with_corrections and (start or corrections_file):
        given = "--from" if start else "--corrections-file"
        raise DigitsError(f"{given} is for fine-tuning: give --with-corrections, too")
    if with_corrections and (folds or resume):
        other = "--folds" if folds else "--resume"
        raise DigitsError(f"--with-corrections begins one run: leave {other} away")
    if with_corrections and any(each.partition("=")[0].strip() == "corrections.file" for each in changes):
        raise DigitsError("--with-corrections takes the file that --corrections-file names, not --set")
    if start is not None and recipe:
        raise DigitsError(f"--from keeps the recipe of {start}: leave --recipe away, or change it by --set")
    if folds is not None and resume is None:
        name = recipe or DEFAULT_RECIPE
        cross_validate_anew(
            source, name, changes, out, folds=folds, seed=seed or 0, device=device, as_json=json
        )
        return
    if resume is None:
        train_anew(
            source,
            recipe or DEFAULT_RECIPE,
            changes,
            out,
            seed=seed or 0,
            device=device,
            report=report,
            as_json=json,
            corrections=corrections_path(corrections_file) if with_corrections else None,
            start=start,
        )
        return
    if recipe or out or folds or seed is not None:
        raise DigitsError(
            "--resume goes on as the run was begun: leave --recipe, --seed, --folds and --out away"
        )
    if run_folder.is_cross_validation(resume):
        go_on_with_folds(resume, source, changes, device=device, as_json=json)
        return
    go_on(resume, source, changes, device=device, report=report, as_json=json)


@app.command()
def tune(
    recipe: Annotated[
        str, typer.Argument(help="A name from 'digits recipes', or a .toml file.", show_default=False)
    ],
    source: Source = None,
    settings: Settings = None,
    trials: Annotated[
        int, typer.Option(min=1, help="How many in all, with those that the study has already.")
    ] = 20,
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=LOW..HIGH",
            help="Search this setting, in whole numbers if it is one; may be repeated.  "
            r"\[default: all the recipe's own that are not --set, around them]",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides split, first weights and the search.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help=r"Where the study is, or is made.  \[default: runs/tune-<recipe>]"),
    ] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Search a recipe's settings; the study goes on where it was left, and best.toml is what it found."""
    from digit_recognizer.cli.tuning import search_settings

    search_settings(
        recipe, source, settings or [], search, out, trials=trials, seed=seed, device=device, as_json=json
    )


@app.command()
def evaluate(
    model: Model = None,
    source: OfRun = None,
    part: OfPart = Part.TRAIN,
    json: Json = False,
) -> None:
    """Compare a run's predictions with labels: accuracy, per digit, confusion.

    Of the digits that the run was trained on, only those count that it held out for validation.
    """
    from digit_recognizer.cli.models import model_and_source, unseen
    from digit_recognizer.cli.output import show_evaluation
    from digit_recognizer.evaluation import evaluate as compare
    from digit_recognizer.recognition import Recognizer
    from digit_recognizer.sources import load_digits

    path, run, named = model_and_source(model, source)
    recognizer = Recognizer(path)
    digits, held_out = unseen(recognizer, run, load_digits(named, part.value), named)
    if digits.labels is None:
        raise DigitsError(f"{named}: its {part} part has no labels to compare with")
    evaluation = compare(recognizer.predict(digits.images), digits.labels)
    what = f"{named}, {'held-out validation images' if held_out else f'{part} part'}"
    show_evaluation(evaluation, what, as_json=json)


@app.command()
def submit(
    model: Model = None,
    source: OfRun = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path(
        "submission.csv"
    ),
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also write the probabilities, as .npz beside it.")
    ] = False,
) -> None:
    """Predict the test part and write the competition's submission: ImageId,Label."""
    from digit_recognizer.cli.models import model_and_source
    from digit_recognizer.cli.output import show_submission
    from digit_recognizer.recognition import Recognizer
    from digit_recognizer.sources import load_digits, write_probabilities, write_submission

    if not output.name:
        raise DigitsError(f"{str(output)!r} cannot be written: name a file, such as submission.csv")
    beside = output.with_suffix(".npz")
    if probabilities and beside == output:
        raise DigitsError(f"{output} would be both submission and probabilities: name the first .csv")
    path, _, named = model_and_source(model, source)
    recognizer = Recognizer(path)
    digits = load_digits(named, "test")
    predictions = recognizer.predict(digits.images)
    written = [output]
    write_submission(predictions.labels, output)
    if probabilities:
        written.append(beside)
        write_probabilities(predictions, beside)
    if output.is_file():  # a pipe takes the rows alone
        show_submission(predictions, written, labelled=digits.labels is not None)


@app.command()
def read(
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="PICTURE",
            help="Photos, scans, drawings: PNG, JPEG, WebP, BMP, GIF, TIFF, PDF; or folders of them.",
            show_default=False,
        ),
    ],
    model: NamedModel = None,
    single: Annotated[
        bool, typer.Option("--single", help="Each picture shows exactly one digit, or none.")
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help=r"With --single: less sure than this is 'not sure'.  \[default: 0.5]"
        ),
    ] = None,
    page: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Only this page of each PDF, from 1.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print an object for each picture.")] = False,
    show: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the picture, .png or .jpg, with boxes and digits drawn over it."
        ),
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the numbers and their places.")
    ] = None,
) -> None:
    """Read the numbers in pictures, line by line."""
    from digit_recognizer.cli.reading import read_pictures
    from digit_recognizer.recognition import THRESHOLD

    if threshold is not None and not single:
        raise DigitsError("--threshold is for --single: give both, or take the probabilities of --json")
    if "" in pictures:
        raise DigitsError("a picture without a name: expected files, or folders of them")
    if show is not None and single:
        raise DigitsError("--show draws all that is read in a picture: leave --single away")
    least = threshold if threshold is not None or not single else THRESHOLD
    names = [Path(each) for each in pictures]
    read_pictures(names, model, page=page, threshold=least, as_json=json, show=show, table=table)


@app.command()
def report(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN... [SOURCE]",
            help="A run folder, or several to compare. Behind them a source, if not that of the (first) run: "
            "see 'digits train --help'.",
            show_default=False,
        ),
    ],
    part: OfPart = Part.TRAIN,
    digit: Annotated[
        int | None,
        typer.Option(min=0, max=9, help=r"Show the feature maps of an image of this digit.  \[default: 7]"),
    ] = None,
    index: Annotated[
        int | None, typer.Option(min=0, help="Show those of the image in this row of the source, from 0.")
    ] = None,
    filters: Annotated[
        int | None,
        typer.Option(min=1, help=r"Show as many filters of the second convolution.  \[default: 8]"),
    ] = None,
    filter_: Annotated[
        int | None,
        typer.Option(
            "--filter", min=0, help=r"Enlarge this filter of the first convolution, from 0.  \[default: 0]"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help=r"The folder for report.html and figures/.  \[default: the run's; runs/<time>-comparison]",
        ),
    ] = None,
) -> None:
    """Write report.html: the data, the training, the mistakes and the network's inside; or compare runs."""
    from digit_recognizer.cli.reports import report_comparison, report_run, split_names
    from digit_recognizer.cli.runs import source_of_run
    from digit_recognizer.sources import load_digits

    if digit is not None and index is not None:
        raise DigitsError("--digit and --index both choose the image: give one of them")
    choices = {"digit": digit, "index": index, "filters": filters, "filter": filter_}
    chosen = {name: value for name, value in choices.items() if value is not None}
    runs, source = split_names(names)
    named = source_of_run(runs[0], source)
    if len(runs) == 1:
        shown = named if part is Part.TRAIN else f"{named}, {part.value} part"
        report_run(runs[0], load_digits(named, part.value), shown, out=out, chosen=chosen)
        return
    if chosen:
        raise DigitsError(
            f"--{next(iter(chosen))} is for the report of one run: a comparison shows no inside"
        )
    report_comparison(runs, named, part.value, out=out)


app.command()(serve)


@app.command()
def recipes(
    name: Annotated[
        str | None, typer.Argument(help="One recipe, to print its TOML file.", show_default=False)
    ] = None,
) -> None:
    """List the recipes, or print one as the file that you can copy and change."""
    from digit_recognizer.cli.output import show_recipes
    from digit_recognizer.networks.summary import summarise_recipe
    from digit_recognizer.recipes import load_recipe, recipe_names, recipe_text

    if name is not None:
        typer.echo(recipe_text(name), nl=False)
        return
    loaded = [load_recipe(each) for each in recipe_names()]
    show_recipes([(recipe, summarise_recipe(recipe).parameters) for recipe in loaded])


@app.command()
def summary(
    recipe: Annotated[
        str, typer.Argument(help="A name from 'digits recipes', a .toml file, or a run folder.")
    ],
) -> None:
    """Show a network's layers, their output shapes and parameters."""
    from digit_recognizer.cli.output import show_summary
    from digit_recognizer.networks.summary import summarise_recipe
    from digit_recognizer.recipes import load_recipe

    folder = Path(recipe)
    if folder.is_dir():
        run_folder.read_environment(folder)
    loaded = load_recipe(folder / run_folder.RECIPE if folder.is_dir() else recipe)
    show_summary(loaded, summarise_recipe(loaded))
