"""The command `digits`, from the competition's archive to a submission."""

from __future__ import annotations

import json
import os
import pickle
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command

from digit_recognizer import __version__, machine
from digit_recognizer.cli.app import app
from digit_recognizer.cli.evaluate import show_evaluation
from digit_recognizer.cli.options import whole
from digit_recognizer.cli.render import showing
from digit_recognizer.cli.terminal import progress_bar
from digit_recognizer.digits import Digits
from digit_recognizer.evaluation import Evaluation
from digit_recognizer.progress import Clock
from digit_recognizer.recipes import load_recipe
from digit_recognizer.recognition import Recognizer
from digit_recognizer.training import train
from helpers import (
    RUN_FILES,
    TINY,
    assert_refused,
    closed_output,
    csv_of,
    environment_of,
    files_in,
    history_without_times,
    make_digits,
    on_black,
    read_validation_rows,
    refusal,
    says,
    tiny,
)

pytestmark = pytest.mark.usefixtures("one_thread")

LABELLED = on_black(make_digits(200))
UNLABELLED = Digits(on_black(make_digits(30, seed=9)).images)
OTHERS = on_black(make_digits(50, seed=4))
ALLOWED_DEVICES = [  # of torch's build, the number of GPUs, and the name
    *[("cpu", 0, "auto"), ("cpu", 0, "cpu"), ("cu126", 2, "cuda"), ("cu126", 2, "cuda:1")],
    ("cu126", None, "cuda:7"),  # the driver does not say: torch decides
    ("rocm6.2", 0, "cuda"),
]
TUNE = "tune tiny.toml digit-recognizer.zip --trials {} --out study"
TRAIN = "train digit-recognizer.zip --recipe tiny.toml --out new"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the competition's archive, a recipe, a finished run of both, and a stopped one."""
    folder = tmp_path_factory.mktemp("made")
    source = folder / "digit-recognizer.zip"
    with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train.csv", csv_of(LABELLED))
        archive.writestr("test.csv", csv_of(UNLABELLED))
        archive.writestr("sample_submission.csv", "ImageId,Label\n1,0\n")
    (folder / "test.csv").write_text(csv_of(UNLABELLED))
    (folder / "others.csv").write_text(csv_of(OTHERS))
    (folder / "unlabelled.csv").write_text(csv_of(Digits(LABELLED.images)))
    (folder / "only").mkdir()
    (folder / "only/train.csv").write_text(csv_of(LABELLED))
    (folder / "no-seven.csv").write_text(csv_of(OTHERS[OTHERS.labels != 7]))
    (folder / "tiny.toml").write_text(TINY)
    (folder / "wrong.toml").write_text("name = ")
    (folder / "empty").mkdir()
    list(train(LABELLED, tiny(), folder / "run", source=str(source)))
    stop = Event()
    stop.set()
    list(train(LABELLED, tiny(), folder / "stopped", source=str(source), stop=stop))
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A copy of that folder, as the current directory."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("DIGITS_DATA", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # for the processes started here, as above
    return tmp_path / "here"


@pytest.fixture
def digits(run_command, here):  # noqa: ARG001
    """Return a function that runs a command in this process: status, output, errors."""

    return run_command


def spawn(*words, **options):
    """Run a command in a process of its own."""
    command = [sys.executable, "-m", "digit_recognizer", *words]
    return subprocess.run(command, **{"capture_output": True} | options, check=False, encoding="utf-8")


def json_lines(ended) -> list[dict]:
    """Return the objects that a command printed, one a line."""
    status, output, errors = ended
    assert (status, errors) == (0, "")
    lines = [json.loads(line) for line in output.splitlines()]
    assert all(isinstance(line, dict) for line in lines)
    return lines


def submitted(labels) -> list[str]:
    return ["ImageId,Label", *(f"{number},{label}" for number, label in enumerate(labels, start=1))]


# Training


@pytest.mark.slow
def test_from_the_archive_to_a_submission(here):
    trained = spawn(*shlex.split(TRAIN), "--seed", "7")
    assert (trained.returncode, trained.stderr) == (0, "")
    assert files_in(here / "new") == RUN_FILES
    assert environment_of(here / "new")["seed"] == 7

    evaluated = spawn("evaluate", "new", "digit-recognizer.zip")
    assert (evaluated.returncode, evaluated.stderr) == (0, "")
    assert "errors in 40 images" in evaluated.stdout

    ended = spawn("submit", "new", "digit-recognizer.zip", "-o", "submission.csv")
    assert (ended.returncode, ended.stderr) == (0, "")
    expected = Recognizer(here / "new").predict(UNLABELLED.images).labels
    assert (here / "submission.csv").read_text().splitlines() == submitted(expected)


def test_train_shows_plain_lines_and_the_command_to_type_next(digits, here):
    status, output, errors = digits(TRAIN)
    assert (status, errors) == (0, "")
    first, *epochs, empty, run, validation, following = output.splitlines()
    assert says(first, "tiny", "200 images", "2 epochs", "new")
    assert [line.split("loss")[0].split() for line in epochs] == [["epoch", "1"], ["epoch", "2"]]
    assert says(epochs[1], "accuracy", "validation", "images/s", "0:00:00 left")
    assert empty == ""
    assert says(run, "Run", "new", "2 epochs")
    assert says(validation, "Validation", "errors in 40 images")
    assert not {"\x1b", "\r"} & set(output)  # no terminal

    assert following.split()[0] == "Next"
    status, output, _ = digits(following.partition("digits ")[2])
    assert status == 0
    assert says(output, "submission.csv", "30 predictions")
    assert (here / "submission.csv").exists()


@pytest.mark.usefixtures("without_export")
def test_a_terminal_gets_a_bar(digits, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # Rich then takes the output for a terminal
    monkeypatch.setenv("COLUMNS", "120")
    status, output, _ = digits(TRAIN)
    assert status == 0
    assert says(output, "\x1b[", "left  loss", "epoch   2  loss")


@pytest.mark.usefixtures("without_export")
@pytest.mark.parametrize(
    ("command", "names"),
    [
        (f"{TRAIN} --folds 2", ["fold 1/2  epoch 1/2", "fold 2/2  epoch 2/2"]),
        (TUNE.format(2), ["2 trials in all:", "trial 1/2  epoch 1/2", "trial 2/2"]),
    ],
)
@pytest.mark.parametrize(("columns", "shows_loss"), [(120, True), (40, False)])
def test_the_bar_of_several_trainings_is_for_all_of_them(
    command, names, columns, shows_loss, digits, monkeypatch
):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    status, output, _ = digits(command)
    assert status == 0
    assert says(output, *names, "100%", "left")
    assert ("left  loss" in output) == shows_loss


@pytest.mark.usefixtures("without_export")
def test_a_resumed_search_counts_the_trials_before(digits, monkeypatch):
    digits(TUNE.format(2))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    status, output, _ = digits(TUNE.format(3))
    assert status == 0
    assert says(output, "3 trials in all, 2 of them done:", "trial 3/3  epoch 1/2", "100%")
    assert "trial 1/3" not in output


@pytest.mark.parametrize(
    ("command", "bars"),
    [
        ("read number.png", ["Reading"]),
        ("evaluate run train.csv", ["Reading", "Predicting"]),
        ("submit run test.csv", ["Reading", "Predicting"]),
        ("train train.csv --recipe tiny.toml --out new", ["Reading", "Evaluating"]),
    ],
)
@pytest.mark.usefixtures("without_export")
def test_slow_work_shows_a_bar(command, bars, digits, here, monkeypatch):
    (here / "train.csv").write_text(csv_of(LABELLED))
    (here / "test.csv").write_text(csv_of(UNLABELLED))
    Image.fromarray(LABELLED.images[0]).save(here / "number.png")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(Clock, "is_slow", lambda *_: True)
    status, _, errors = digits(command)
    assert status == 0
    assert says(errors, *bars, "100%", "left")


def test_train_as_json_is_one_object_a_line(digits, here):
    begin, first, second, end = json_lines(digits(f"{TRAIN} --json"))
    assert begin == {"event": "begin", "run": "new", "recipe": "tiny", "images": 200}
    assert [(line["event"], line["epoch"]) for line in (first, second)] == [("epoch", 1), ("epoch", 2)]
    history = history_without_times(here / "new")
    assert {name: str(value) for name, value in second.items()}.items() >= history[1].items()
    metrics = json.loads((here / "new/metrics.json").read_text())
    assert list(end.items()) == [
        ("event", "finished"),
        ("run", "new"),
        *metrics.items(),
        ("next", end["next"]),
    ]


@pytest.mark.parametrize(
    ("settings", "end"),
    [
        ("--set split.validation=0 --set shifts.pixels=1", "holds no images out"),
        ("", " in 40 images)"),
        ("--set shifts.pixels=1", ", with shifted images"),
        ("--set members=2", ", all members together"),
        ("--set members=2 --set shifts.pixels=1", ", all members together, with shifted images"),
    ],
)
@pytest.mark.usefixtures("without_export")
def test_the_last_line_says_how_its_accuracy_differs_from_that_of_the_epochs(settings, end, digits):
    lines = digits(f"{TRAIN} --set epochs=1 {settings}")[1].splitlines()
    (last,) = [line for line in lines if line.startswith("Validation")]
    assert last.endswith(end)
    network = [line for line in lines if line.startswith("Network")]
    assert bool(network) == ("with shifted images" in end or "all members" in end)
    epochs = [line for line in lines if line.startswith(("epoch", "member"))]
    assert all(says(epochs[-1], line.split()[1]) for line in network)  # the accuracy that the epoch showed


@pytest.mark.usefixtures("without_export")
def test_what_everybody_changes_has_options_of_its_own(digits, here):
    assert digits(f"{TRAIN} --epochs 1 --batch-size 16 --learning-rate 0.02")[0] == 0
    recipe = load_recipe(here / "new/recipe.toml")
    assert (recipe.epochs, recipe.batch_size, recipe.optimizer.learning_rate) == (1, 16, 0.02)


@pytest.mark.usefixtures("without_export")
def test_a_setting_changes_the_recipe_for_one_run(digits, here):
    assert digits(f"{TRAIN} --set epochs=1 --set optimizer.learning_rate=0.02")[0] == 0
    recipe = load_recipe(here / "new/recipe.toml")
    assert (recipe.epochs, recipe.optimizer.learning_rate) == (1, 0.02)


@pytest.mark.parametrize(
    ("command", "run", "epochs"),
    [
        ("train --resume stopped", "stopped", 2),
        ("train --resume run --set epochs=3", "run", 3),
        ("train --resume run --epochs 3", "run", 3),
    ],
)
def test_a_run_is_resumed_without_naming_its_source(command, run, epochs, digits, here):
    status, output, errors = digits(command)
    assert (status, errors) == (0, "")
    assert f"epoch   {epochs}" in output
    assert files_in(here / run) == RUN_FILES
    assert len(history_without_times(here / run)) == epochs


@pytest.mark.usefixtures("without_export")
def test_without_source_and_folder_the_environment_names_one_and_the_run_lands_below_runs(
    digits, here, monkeypatch
):
    monkeypatch.setenv("DIGITS_DATA", "digit-recognizer.zip")
    status, output, _ = digits("train --recipe tiny.toml --set epochs=1")
    assert status == 0
    assert says(output.splitlines()[0], "digit-recognizer.zip")
    assert says(output.splitlines()[1], "200 images")
    (run,) = (here / "runs").iterdir()
    assert run.name.endswith("-tiny")


@pytest.mark.usefixtures("without_export")
def test_in_a_folder_with_digits_these_are_read(digits, here):
    reading, begin, *_ = json_lines(digits("train -r tiny.toml --epochs 1 --out new --json"))
    assert reading == {"event": "reading", "source": "."}
    assert begin["images"] == 200
    assert says(digits("train -r tiny.toml --epochs 1 --out new2")[1], "No source named", str(here))


@pytest.mark.usefixtures("without_export")
def test_without_any_source_the_bundled_digits_are_read(digits, here):
    (here / "elsewhere").mkdir()
    os.chdir(here / "elsewhere")
    reading, begin, *_, end = json_lines(digits("train -r ../tiny.toml --epochs 1 --out new --json"))
    assert reading == {"event": "reading", "source": "bundled"}
    assert begin["images"] == 1797
    assert end["next"] == "digits evaluate new"


@pytest.mark.usefixtures("without_export")
def test_a_training_whose_output_is_closed_stays_unfinished(digits, here, monkeypatch):
    with closed_output(monkeypatch):
        assert digits(TRAIN)[0] != 0
    assert not (here / "new/metrics.json").exists()
    assert digits("train --resume new")[0] == 0


# Evaluations


def test_evaluate_as_json_is_one_object(digits, here):
    (found,) = json_lines(digits("evaluate run digit-recognizer.zip --json"))
    metrics = json.loads((here / "run/metrics.json").read_text())["validation"]
    del metrics["loss"]
    assert found.items() >= metrics.items()
    assert found["what"].endswith("held-out validation images")
    expected = np.bincount(LABELLED.labels[read_validation_rows(here / "run")], minlength=10)
    assert [row["images"] for row in found["per_digit"]] == expected.tolist()
    (again,) = json_lines(digits("evaluate run --json"))  # its own source
    assert again | {"what": ""} == found | {"what": ""}


def test_evaluate_shows_the_accuracy_the_digits_and_the_confusion(digits):
    status, output, _ = digits("evaluate run others.csv")
    assert status == 0
    assert says(output, "others.csv", "95 % interval", "in 50 images", "digit (row) taken for (column)")


def test_evaluate_cuts_nothing_off_in_eighty_columns(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    show_evaluation(Evaluation(np.full((10, 10), 1234)), "what")
    output = capsys.readouterr().out
    assert "…" not in output
    assert says(output, "accuracy", "1,234", "11,106", "10.00 %")
    assert "images " not in output.splitlines()[4]  # their sum; it would not fit
    monkeypatch.setenv("COLUMNS", "90")
    show_evaluation(Evaluation(np.full((10, 10), 1234)), "what")
    assert says(capsys.readouterr().out, "images", "12,340")
    monkeypatch.setenv("COLUMNS", "40")
    show_evaluation(Evaluation(np.full((10, 10), 1234)), "what")
    output = capsys.readouterr().out
    assert "…" not in output
    assert says(output, "digit", "images", "errors", "accuracy", "12,340", "11,106", "10.00 %")


@pytest.mark.parametrize(("columns", "shown"), [(40, "98,432"), (60, "(None, 768)"), (80, "multiply-adds")])
def test_a_summary_cuts_no_number_off(columns, shown, digits, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    status, output, _ = digits("summary flash")
    assert status == 0
    assert "…" not in output
    assert says(output, "parameters", shown)


# Submissions


def test_probabilities_are_written_beside_the_submission(digits, here):
    status, output, errors = digits("submit run digit-recognizer.zip -o mine.csv --probabilities")
    assert (status, errors) == (0, "")
    assert says(output, "mine.csv", "mine.npz", "30 predictions", "50 %")
    with np.load(here / "mine.npz", allow_pickle=False) as arrays:
        image_ids, probabilities = arrays["image_ids"], arrays["probabilities"]
    assert (image_ids.dtype, probabilities.dtype) == (np.int64, np.float32)
    assert image_ids.tolist() == list(range(1, 31))
    expected = Recognizer(here / "run").predict(UNLABELLED.images).probabilities
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    assert (here / "mine.csv").read_text().splitlines() == submitted(probabilities.argmax(axis=1))


def test_a_submission_replaces_the_one_before(digits, here, monkeypatch):
    (here / "submission.csv").write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        assert_refused(digits("submit run test.csv"), "submission.csv", "No space left on device")
    assert (here / "submission.csv").read_text() == "old"
    assert digits("submit run test.csv")[0] == 0
    assert len((here / "submission.csv").read_text().splitlines()) == 31
    assert not list(here.rglob("*.part"))


def test_a_submission_may_go_through_a_pipe(here):
    ended = spawn("submit", "run", "test.csv", "-o", "/dev/stdout")
    assert (ended.returncode, ended.stderr) == (0, "")
    labels = Recognizer(here / "run").predict(UNLABELLED.images).labels
    assert ended.stdout.splitlines() == submitted(labels)  # and nothing else


@pytest.mark.parametrize(
    ("source", "note"),
    [("kaggle", ""), ("kaggle/train.csv", "test.csv"), ("kaggle/test.csv", "")],
)
def test_a_submission_predicts_the_test_part(source, note, digits, here):
    (here / "kaggle").mkdir()
    (here / "kaggle/train.csv").write_text(csv_of(LABELLED))
    (here / "kaggle/test.csv").write_text(csv_of(UNLABELLED))
    status, _, errors = digits(f"submit run {source}")
    assert status == 0
    assert says(errors, note)
    expected = Recognizer(here / "run").predict(UNLABELLED.images).labels
    assert (here / "submission.csv").read_text().splitlines() == submitted(expected)


@pytest.mark.parametrize(("source", "rows"), [("others.csv", 50), ("unlabelled.csv", 200)])
def test_images_that_may_be_the_training_part_need_a_word(source, rows, digits, here):
    assert digits(f"submit run {source} --labelled")[0] == 0
    assert len((here / "submission.csv").read_text().splitlines()) == rows + 1


# Refusals before slow work


@pytest.fixture
def nothing_slow(monkeypatch):
    """Fail if a source is read, a network trained, or a page written."""
    from digit_recognizer import report, sources, training
    from digit_recognizer.cli import inputs

    def fail(*_, **__):
        pytest.fail("this is slow")

    monkeypatch.setattr(inputs, "load_digits", fail)
    monkeypatch.setattr(sources, "load_test", fail)
    monkeypatch.setattr(training, "train", fail)
    monkeypatch.setattr(report, "write_report", fail)


@pytest.mark.parametrize(
    ("command", "facts"),
    [
        ("train digit-recognizer.zip --out run", ["run", "--resume run"]),
        ("train digit-recognizer.zip --out test.csv/below", ["test.csv/below"]),
        ("train digit-recognizer.zip --out /proc/none/run", ["/proc/none/run"]),
        ("train digit-recognizer.zip --device banana", ["'banana'"]),
        ("train digit-recognizer.zip --device cuda", ["'cuda'"]),
        ("train --resume run", ["run", "2 epochs"]),
        ("train --resume run --epochs 2", ["run", "2 epochs", "--epochs 7"]),
        ("tune tiny.toml digit-recognizer.zip --device banana", ["'banana'"]),
        ("tune tiny.toml digit-recognizer.zip --out test.csv", ["test.csv"]),
        ("tune tiny.toml digit-recognizer.zip --out run", ["run", "--out"]),
        (
            "tune tiny.toml digit-recognizer.zip --search batch_size=16-64",
            ["'batch_size=16-64'", "0.001..0.1"],
        ),
        (
            "tune tiny.toml digit-recognizer.zip --search learning_rate=0.1..0.2",
            ["'learning_rate'", "did you mean 'optimizer.learning_rate'?"],
        ),
        ("tune tiny.toml digit-recognizer.zip --set split.validation=0", ["split.validation=0.1"]),
        ("submit run test.csv -o none/mine.csv", ["none/mine.csv"]),
        ("report run -o test.csv/below", ["test.csv/below"]),
        ("report stopped", ["stopped", "--resume stopped"]),
        ("evaluate weights.h5", ["weights.h5", "HDF5", "model.onnx", "run folder"]),
        ("evaluate weights.h5 others.csv", ["weights.h5", "HDF5", "model.onnx", "run folder"]),
        ("submit model.pkl others.csv", ["model.pkl", "pickle", "model.onnx"]),
        ("read test.csv --model weights.h5", ["weights.h5", "HDF5", "model.onnx"]),
    ],
)
@pytest.mark.usefixtures("nothing_slow")
def test_what_cannot_work_is_refused_before_anything_slow(command, facts, digits, here):
    (here / "weights.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(200))
    (here / "model.pkl").write_bytes(pickle.dumps([1]))
    assert_refused(digits(command), *facts)


@pytest.mark.parametrize(
    ("build", "gpus", "name", "facts"),
    [
        ("cpu", 2, "cuda", ["built for the processor only"]),
        ("cu126", 0, "cuda", ["no NVIDIA GPU", "--device cpu"]),
        ("cu126", 2, "cuda:2", ["GPUs 0 to 1"]),
        ("", 0, "cuda:0", ["no NVIDIA GPU"]),
        ("cu126", 2, "gpu", ["auto, cpu, cuda or cuda:1"]),
        *((build, gpus, name, []) for build, gpus, name in ALLOWED_DEVICES),
    ],
)
def test_a_device_that_cannot_be_there_is_refused_without_torch(build, gpus, name, facts, monkeypatch):
    monkeypatch.setattr(machine, "_torch_build", lambda: build)
    monkeypatch.setattr(machine, "count_gpus", lambda: gpus)
    if facts:
        assert says(refusal(lambda: machine.check_device(name)), name, *facts)
    else:
        machine.check_device(name)


# What takes long, and what was assumed


@pytest.mark.parametrize(("seconds", "shown"), [(0.4, False), (1.0, False), (3.0, True)])
def test_a_bar_appears_only_if_the_whole_takes_long(seconds, shown, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # Rich then takes the output for a terminal
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with progress_bar("Reading") as show:
        for step in range(1, 5):
            clock[0] = 100 + seconds * step / 4
            show(step / 4)
    errors = capsys.readouterr().err
    assert ("Reading" in errors and "left" in errors) == shown


def test_what_was_assumed_is_said_once_on_standard_error(digits, here):
    (here / "bare.csv").write_text(csv_of(LABELLED).partition("\n")[2])
    status, output, errors = digits("evaluate run bare.csv --json")
    assert (status, len(output.splitlines())) == (0, 1)
    assert errors.count("\n") == 1
    assert says(errors, "Note: bare.csv", "785 columns", "header")


# A run whose digits have moved or changed


def test_a_run_whose_source_has_moved_takes_its_new_place(digits, here):
    shutil.move(here.parent / "here" / "digit-recognizer.zip", here / "moved.zip")
    edit_environment(here / "stopped", str(here / "digit-recognizer.zip"))
    command = digits("train --resume stopped")
    assert_refused(command, "digit-recognizer.zip", "moved", "--resume stopped SOURCE")
    assert digits("train --resume stopped moved.zip")[0] == 0
    assert environment_of(here / "stopped")["data"]["source"] == str(here / "moved.zip")
    assert digits("evaluate stopped")[0] == 0


def test_a_run_whose_source_has_changed_says_so(digits, here):
    edit_environment(here / "stopped", str(here / "others.csv"))
    assert_refused(digits("train --resume stopped"), "others.csv has changed", "200 images then, 50 now")


def edit_environment(run: Path, source: str) -> None:
    path = run / "environment.json"
    path.write_text(
        json.dumps(
            {**json.loads(path.read_text()), "data": {**environment_of(run)["data"], "source": source}}
        )
    )


# Recipes


def test_recipes_are_listed_with_their_parameters(digits):
    _, output, _ = digits("recipes")
    assert says(output, "alexnet28", "92,959,434", "138,410", "887,530", "454,922", "five-layer", "97.128 %")


def test_a_recipe_that_was_printed_into_a_file_is_the_same_recipe(digits, here):
    status, output, _ = digits("recipes five-layer")
    assert status == 0
    (here / "copy.toml").write_text(output)
    assert load_recipe(here / "copy.toml") == load_recipe("five-layer")


def test_a_summary_of_the_largest_recipe_takes_no_memory_for_its_weights(digits):
    assert says(digits("summary alexnet28")[1], "92,959,434")


@pytest.mark.parametrize("what", ["tiny.toml", "run"])
def test_a_summary_shows_layers_shapes_and_parameters(what, digits):
    status, output, _ = digits(f"summary {what}")
    assert status == 0
    lines = [line.split() for line in output.splitlines() if line.strip()]
    assert ["conv1", "(Conv)", "(None,", "26,", "26,", "4)", "40", "24,336"] in lines
    assert ["dense1", "(Dense)", "(None,", "10)", "1,450", "1,440"] in lines
    assert ["Total", "parameters", "1,490", "(0.01", "MB)"] in lines
    assert ["Multiply-adds", "an", "image", "25,776"] in lines


# Errors that the user can correct: one sentence, status 2, nothing changed


@pytest.mark.parametrize(
    ("command", "facts"),
    [
        ("train none.zip", ["none.zip", "no such file", "archive"]),
        ("train https://host/train.csv", ["https://host/train.csv", "address", "download"]),
        ("read https://host/a.png", ["https://host/a.png", "address", "download"]),
        ("train loose", ["loose holds pictures", "loose/a.png", "folders named 0 to 9"]),
        ("train MNSIT", ["MNSIT", "no such file", "did you mean 'mnist'?"]),
        ("train digit-recogniser.zip", ["no such file", "did you mean 'digit-recognizer.zip'?"]),
        ("evaluate stoped", ["stoped", "run folder", "did you mean 'stopped'?"]),
        ("train --resume ./stoped", ["stoped", "run folder", "did you mean 'stopped'?"]),
        ("train test.csv", ["test.csv", "'label'"]),
        ("train tiny.toml", ["tiny.toml", "archive"]),
        ("train empty", ["empty", "archive"]),
        ("train half.zip", ["half.zip"]),
        ("train digit-recognizer.zip -r lenet", ["'lenet'", "alexnet28"]),
        ("train digit-recognizer.zip -r wrong.toml", ["wrong.toml", "TOML"]),
        ("train digit-recognizer.zip --set epochs=0", ["standard", "epochs"]),
        *(
            (f"train bundled --set epochs={value}", ["standard", "epochs"])
            for value in ("9" * 5000, "[" * 3000, "100001")
        ),
        ("train digit-recognizer.zip --set epoch=1", ["standard", "'epoch'", "did you mean 'epochs'?"]),
        ("train digit-recognizer.zip -r test.csv", ["test.csv", "rename it", ".toml"]),
        ("train digit-recognizer.zip -r tinny.toml", ["tinny.toml", "did you mean 'tiny.toml'?"]),
        ("summary ./runn", ["'./runn'", "did you mean 'run'?"]),
        ("train digit-recognizer.zip -r standart", ["'standart'", "did you mean 'standard'?"]),
        ("train digit-recognizer.zip --set epochs=2 --epochs 2", ["--epochs", "--set epochs", "remove one"]),
        (
            "train bundled --set optimizer.learning_rate=1 --learning-rate 1",
            ["--learning-rate", "--set optimizer.learning_rate", "remove one"],
        ),
        (f"{TRAIN} --set 'network=[\"dance 10\"]'", ["tiny.toml", "1", "'dance 10'"]),
        (f"{TRAIN} --set network=none:build", ["'none:build'", "ModuleNotFoundError"]),
        (f"{TRAIN} --device banana", ["auto, cpu, cuda or cuda:1", "'banana'"]),
        ("train digit-recognizer.zip -r tiny.toml --out run", ["run", "--resume run"]),
        ("train digit-recognizer.zip -r tiny.toml --out test.csv", ["test.csv"]),
        ("train digit-recognizer.zip -r tiny.toml --out test.csv/run", ["test.csv/run"]),
        ("train bundled --out ''", ["'.'", "runs/mine"]),
        ("train bundled --out '' --folds 2", ["'.'", "runs/mine"]),
        ("train bundled --out /", ["'/'", "runs/mine"]),
        ("train --resume none", ["none", "run folder"]),
        ("train --resume .", [".", "run folder"]),
        ("train --resume run", ["run", "2 epochs", "--resume run --epochs 7"]),
        ("train --resume stopped --seed 0", ["--resume", "--seed"]),
        ("train --resume stopped --recipe tiny.toml", ["--resume", "--recipe"]),
        ("train --resume stopped --out new", ["--resume", "--out"]),
        ("train --resume stopped --set batch_size=3", ["--resume", "--epochs 40", "batch_size=3"]),
        ("train --resume stopped --set epochs=many", ["--resume", "--epochs 40", "epochs=many"]),
        ("train --resume stopped --set epochs=0", ["stopped/recipe.toml", "epochs"]),
        ("train others.csv --resume stopped", ["others.csv", "stopped", "200 images then, 50 here", "zip"]),
        ("train test.csv --resume stopped", ["test.csv", "'label'"]),
        ("evaluate none others.csv", ["none", "run folder"]),
        ("evaluate test.csv others.csv", ["test.csv", "ONNX"]),
        ("evaluate . others.csv", [".", "run folder"]),
        ("evaluate stopped", ["stopped", "digits train --resume stopped"]),
        ("evaluate run none.csv", ["none.csv", "no such file"]),
        ("evaluate run digit-recognizer.zip --part test", ["digit-recognizer.zip", "test", "labels"]),
        ("submit none test.csv", ["none", "run folder"]),
        ("submit stopped test.csv", ["stopped", "digits train --resume stopped"]),
        ("submit run bundled", ["bundled", "test"]),
        ("submit run others.csv", ["others.csv", "labels", "test.csv", "--labelled"]),
        ("submit run unlabelled.csv", ["unlabelled.csv", "200 images", "training part", "--labelled"]),
        ("submit run only/train.csv", ["only/train.csv", "labels", "test.csv", "--labelled"]),
        ("submit run none.csv", ["none.csv", "no such file"]),
        ("submit run test.csv -o ''", ["'.'", "submission.csv"]),
        ("submit run test.csv -o mine.npz --probabilities", ["mine.npz", ".csv"]),
        ("submit run test.csv -o none/mine.csv", ["none/mine.csv", "no folder none", "create it first"]),
        ("submit run test.csv -o run", ["run", "Is a directory"]),
        ("submit run test.csv -o /dev/full", ["/dev/full", "No space left on device"]),
        ("recipes lenet", ["'lenet'", "alexnet28"]),
        ("summary lenet", ["'lenet'", "alexnet28"]),
        ("summary none.toml", ["none.toml"]),
        ("summary .", [".", "run folder"]),
    ],
)
def test_an_error_that_the_user_can_correct_is_one_sentence_and_status_2(command, facts, digits, here):
    whole = (here / "digit-recognizer.zip").read_bytes()
    (here / "half.zip").write_bytes(whole[: len(whole) // 2])
    (here / "loose").mkdir()
    Image.fromarray(LABELLED.images[0]).save(here / "loose" / "a.png")
    before = files_in(here)
    assert_refused(digits(command), *facts)
    assert [name for name in files_in(here) if not name.endswith("/.lock")] == [
        name for name in before if not name.endswith("/.lock")
    ]


@pytest.mark.parametrize(
    ("command", "facts"),
    [
        ("train --seed -1", ["--seed", "a whole number from 0", "'-1'"]),
        ("train --seed 1.5", ["--seed", "a whole number from 0", "'1.5'"]),
        ("train --epochs two", ["--epochs", "a whole number from 1", "'two'"]),
        ("train --batch-size 0", ["--batch-size", "a whole number from 1", "'0'"]),
        ("train --learning-rate 0,01", ["--learning-rate", "a number from 0", "'0,01'", "after a point"]),
        ("train --folds 1", ["--folds", "a whole number from 2", "'1'"]),
        ("tune tiny.toml --trials none", ["--trials", "a whole number from 1", "'none'"]),
        ("read a.png --threshold 50", ["--threshold", "a number from 0 to 1", "'50'"]),
        ("serve --port http", ["--port", "a whole number from 0 to 65535", "'http'"]),
        ("train --no-such-option", ["--no-such-option"]),
        ("no-such-command", ["no-such-command"]),
        ("report", ["RUN"]),
        ("report run --digit 10", ["--digit", "a whole number from 0 to 9", "'10'"]),
        ("report run --index -1", ["--index", "'-1'"]),
        ("report run --filter -1", ["--filter", "'-1'"]),
        ("report run --filters 0", ["--filters", "'0'"]),
    ],
)
def test_a_wrong_option_is_status_2_too(command, facts, digits):
    status, output, errors = digits(command)
    assert (status, output) == (2, "")
    assert says(" ".join(errors.replace("│", " ").split()), "Usage: ", *facts)
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("text", "number"), [("3", 3), ("1e3", 1000), ("2.0", 2), ("12345678901234567890", 12345678901234567890)]
)
def test_a_whole_number_may_have_any_notation(text, number):
    assert whole(0)(text) == number


def test_a_training_that_diverges_at_once_leaves_its_name_to_the_next_try(digits, here):
    status, _, errors = digits(f"{TRAIN} --set optimizer.learning_rate=1e30")
    assert (status, errors.count("\n")) == (2, 1)
    assert says(errors, "epoch 1", "--learning-rate 0.001")
    assert not (here / "new").exists()


def test_a_disk_that_is_read_only_is_one_sentence(digits, here, monkeypatch):
    def read_only(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", read_only)
    assert_refused(digits(TRAIN), "run folder new", "Read-only file system")
    assert not (here / "new").exists()


# Signals, start-up and a full disk, in processes of their own


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_a_training_to_stop_and_one_a_second_later_ends_it(number, monkeypatch):
    ended, clock = [], iter([10.0, 10.5, 11.5])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    before = signal.signal(number, lambda *_: ended.append(number))
    try:
        with showing(as_json=True) as (_, stop):
            signal.raise_signal(number)
            assert stop.is_set()
            assert not ended
            signal.raise_signal(number)
            assert not ended  # a key held down for a moment
            signal.raise_signal(number)
            assert ended
    finally:
        signal.signal(number, before)


PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
from digit_recognizer.cli import main
sys.argv = ["digits", *{words!r}]
{before}
try:
    main()
finally:
    {after}
"""


def run_program(words: str, before: str = "", after: str = "pass", **options):
    """Run a command by a program that does something more before and after it."""
    program = PROGRAM.format(words=shlex.split(words), before=before, after=after)
    command = [sys.executable, "-B", "-c", program]
    return subprocess.run(command, capture_output=True, check=False, encoding="utf-8", **options)


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("logging", "recipes"),
        ("typer", "recipes"),
        ("onnxruntime", "read a.png"),
        ("pydantic_settings", "serve"),
    ],
)
def test_ctrl_c_while_a_module_is_loaded_prints_nothing(module, command, tmp_path):
    swallowing = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    raise ImportError("initialization failed")
"""
    (tmp_path / f"{module}.py").write_text(swallowing)
    paths = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    ended = run_program(command, env={**os.environ, "PYTHONPATH": paths})
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


@pytest.mark.slow
def test_ctrl_c_ends_with_status_130_and_a_command_that_resumes(here):
    command = [sys.executable, "-u", "-m", "digit_recognizer", *shlex.split(TRAIN), "--set", "epochs=100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as training:
        for line in training.stdout:
            if line.startswith("epoch   1 "):
                training.send_signal(signal.SIGINT)
                break
        output, errors = training.communicate(timeout=60)
    assert (training.returncode, errors) == (130, "")
    assert "model.onnx" not in files_in(here / "new")

    done = len(history_without_times(here / "new"))
    resume = shlex.split(output.splitlines()[-1])
    assert resume[-3:] == ["train", "--resume", "new"]
    resumed = subprocess.run([*resume, "--set", f"epochs={done + 1}"], capture_output=True, check=False)
    assert resumed.returncode == 0, resumed.stderr
    assert len(history_without_times(here / "new")) == done + 1
    assert files_in(here / "new") == RUN_FILES


@pytest.mark.slow
def test_a_training_on_a_full_disk_ends_in_a_sentence_and_can_be_resumed(digits, here):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))"  # bytes
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}
    ended = run_program(TRAIN, before=limit, env=environment)  # which would write files, too
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert says(ended.stderr, "new/checkpoint/state.safetensors", "File too large")
    assert not list(here.rglob("*.part"))
    assert digits("train --resume new")[0] == 0
    assert files_in(here / "new") == RUN_FILES


def test_a_full_output_device_is_one_sentence():
    with Path("/dev/full").open("w") as full:
        ended = spawn("recipes", "plain", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert (ended.returncode, ended.stderr) == (2, "digits: output: No space left on device\n")


def test_help_and_version_import_nothing_that_is_heavy():
    loaded = 'print(*{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)'
    for words in ("--help", "--version"):
        ended = run_program(words, after=loaded)
        assert ended.returncode == 0
        heavy = {"cv2", "numpy", "torch", "onnx", "onnxruntime", "sklearn", "pydantic", "PIL", "matplotlib"}
        assert not heavy & set(ended.stderr.split())
    assert ended.stdout == f"digit-recognizer {__version__}\n"


def test_doctor_shows_what_a_bug_report_needs(run_command, monkeypatch):
    for name in ("torch", "safetensors", "sklearn", "pooch"):
        monkeypatch.setitem(sys.modules, name, None)  # as without the extra `train`
    monkeypatch.setenv("DIGITS_DATA", "somewhere")
    status, output, errors = run_command("doctor")
    assert (status, errors) == (0, "")
    assert says(
        output, __version__, "python", "processor", "threads", "GPU", "train", "digits.onnx", "somewhere"
    )
    status, output, _ = run_command("doctor --json")
    assert json.loads(output).keys() == {"versions", "machine", "extras", "places", "variables"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("digits ev", ["evaluate"]),
        ("digits train --recipe five", ["five-layer", "five-layer-one-epoch"]),
        ("digits recipes fl", ["flash"]),
        ("digits evaluate ", ["run", "runs/first", "stopped"]),
        ("digits train --resume runs/", ["runs/first"]),
        ("digits evaluate others", []),  # the shell then offers files
    ],
)
def test_the_shell_completes_commands_recipes_and_runs(words, expected, here):
    shutil.copytree(here / "run", here / "runs/first")
    position = str(words.count(" "))
    asked = {"_DIGITS_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": position}
    ended = run_program("", env={**os.environ, **asked})
    assert (sorted(ended.stdout.split()), ended.stderr) == (expected, "")


@pytest.mark.parametrize(
    ("shell", "asked"),
    [
        ("fish", {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
        ("zsh", {}),
    ],
)
def test_other_shells_complete_options_values_too(shell, asked):
    for words, expected in {
        "digits train --recipe stan": "standard",
        "digits train --device cu": "cuda",
    }.items():
        asked |= {"_DIGITS_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": words}
        assert says(run_program("", env={**os.environ, **asked}).stdout, expected)


@pytest.mark.usefixtures("without_export")
@pytest.mark.parametrize("changed", ["--set epochs=3", "--epochs 3"])
def test_what_a_cross_validation_cannot_change_is_named_as_typed(changed, digits):
    digits(f"{TRAIN} --folds 2")
    assert_refused(digits(f"train --resume new {changed}"), f"remove {changed}", "start another")


def test_a_run_of_wrong_labels_says_that_it_learned_nothing(digits, here):
    labels = np.random.default_rng(1).permutation(LABELLED.labels)
    np.savez(here / "shuffled.npz", images=LABELLED.images, labels=labels)
    command = "train shuffled.npz --recipe tiny.toml --set optimizer.learning_rate=0.0001 --out new --json"
    status, output, errors = digits(command)
    assert (status, says(errors, "Warning: the network learned")) == (0, True)
    finished = json.loads(output.splitlines()[-1])
    warning = json.loads((here / "new/metrics.json").read_text())["warning"]
    assert finished["warning"] == warning
    assert says(errors, warning)


COMMANDS = get_command(app).commands  # type: ignore[attr-defined]  # it is a group


def test_help_lists_each_command_once(run_command):
    status, output, _ = run_command("--help")
    assert status == 0
    listed = re.findall(r"^│ ([a-z][a-z-]*) ", output, re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_command_explains_its_options_in_eighty_columns_and_its_examples_are_valid(
    name, run_command, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "80")
    status, output, _ = run_command(f"{name} --help")
    assert status == 0
    assert max(map(len, output.splitlines())) <= 80
    for option in COMMANDS[name].params:
        assert says(output, *(each for each in option.opts if each.startswith("--")))
    examples = re.findall(r"digits (.*)\[/cyan\]", COMMANDS[name].epilog or "")
    for example in examples:
        command, *words = shlex.split(example.partition(" > ")[0])
        assert command == name
        COMMANDS[name].make_context(name, words)


# Reports


def test_report_writes_the_page_and_says_where_it_is(digits, here):
    status, output, errors = digits("report run digit-recognizer.zip --digit 3 --filters 2 --filter 1")
    assert (status, errors) == (0, "")
    assert says(output, "Report", "run/report.html", "B in ")
    metrics = json.loads((here / "run/metrics.json").read_text())
    assert metrics["evaluation"]["data"]["source"] == "digit-recognizer.zip"
    assert metrics["evaluation"]["errors"] == metrics["validation"]["errors"]
    assert digits("train --resume run --set epochs=3")[0] == 0
    assert "evaluation" not in json.loads((here / "run/metrics.json").read_text())  # it was of other weights


@pytest.mark.usefixtures("drawn")
def test_a_training_may_end_with_its_report(digits, here):
    *_, finished, report = json_lines(digits(f"{TRAIN} --report --json"))
    assert finished["event"] == "finished"
    assert report == {"event": "report", "page": "new/report.html", "seconds": report["seconds"]}
    assert (here / "new/report.html").exists()
    status, output, errors = digits("train --resume stopped --report")
    assert (status, errors) == (0, "")
    assert says(output.splitlines()[-1], "Report", "stopped/report.html")
    assert (here / "stopped/report.html").exists()


@pytest.mark.usefixtures("drawn")
def test_a_report_may_be_of_other_digits_and_lie_elsewhere(digits, here, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # Rich then takes the output for a terminal
    monkeypatch.setattr(Clock, "is_slow", lambda *_: True)
    status, output, errors = digits("report run others.csv -o shown")
    assert status == 0
    assert says(output, "shown/report.html")
    assert says(errors, "Report", "%", "left")
    assert "others.csv" in (here / "shown/report.html").read_text()
    assert digits("report run digit-recognizer.zip --part test")[0] == 0
    assert "digit-recognizer.zip, test part" in (here / "run/report.html").read_text()
    assert "evaluation" not in json.loads((here / "run/metrics.json").read_text())  # without labels


@pytest.mark.usefixtures("drawn")
def test_runs_are_compared_on_the_first_ones_digits_or_others(digits, here):
    shutil.copytree(here / "run", here / "twin")
    status, output, errors = digits("report run twin others.csv -o compared")
    assert (status, errors) == (0, "")
    assert says(output, "Report", "compared/report.html")
    assert says((here / "compared/report.html").read_text(), "50 images", "others.csv")
    assert digits("report run twin")[0] == 0
    (folder,) = (here / "runs").iterdir()
    assert folder.name.endswith("-comparison")
    assert says((folder / "report.html").read_text(), "40 images", "digit-recognizer.zip")


@pytest.mark.parametrize(
    ("command", "facts"),
    [
        ("report none", ["none", "run folder"]),
        ("report .", [".", "run folder"]),
        ("report stopped", ["stopped", "digits train --resume stopped"]),
        ("report run none.csv", ["none.csv", "no such file"]),
        ("report run none others.csv", ["none", "run folder"]),
        ("report run stopped", ["stopped", "digits train --resume stopped"]),
        ("report run --digit 3 --index 4", ["--digit", "--index"]),
        *(
            (f"report run run {option} 3", [option])
            for option in ("--digit", "--index", "--filters", "--filter")
        ),
        ("report run digit-recognizer.zip --index 200", ["digit-recognizer.zip", "200", "0 to 199"]),
        ("report run digit-recognizer.zip --filter 4", ["conv1", "4", "0 to 3"]),
        ("report run no-seven.csv --digit 7", ["no-seven.csv", "7", "--digit"]),
        ("report run digit-recognizer.zip --part test --digit 7", ["test part", "labels", "--index"]),
        ("report run digit-recognizer.zip -o test.csv", ["test.csv"]),
        ("report run digit-recognizer.zip -o test.csv/below", ["test.csv/below"]),
        ("report run run digit-recognizer.zip -o test.csv", ["test.csv"]),
        ("report full digit-recognizer.zip", ["full", "File exists"]),
    ],
)
@pytest.mark.usefixtures("drawn")
def test_a_report_that_cannot_be_made_is_one_sentence_and_status_2(command, facts, digits, here):
    shutil.copytree(here / "run", here / "full")
    (here / "full/figures").write_text("a file, where a folder should be")
    before = files_in(here)
    assert_refused(digits(command), *facts)
    assert files_in(here) == before
