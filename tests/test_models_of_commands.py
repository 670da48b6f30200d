"""Which model a command uses and what it may be judged by; and which package a command lacks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from digit_recognizer import search
from digit_recognizer.cli import commands, main
from digit_recognizer.cli.models import model_and_source, unseen
from digit_recognizer.errors import DigitsError
from digit_recognizer.networks.onnx_export import export_onnx
from digit_recognizer.networks.predictor import Predictor
from digit_recognizer.recognition import Recognizer
from digit_recognizer.runs.run_folder import read_fold_rows, read_validation_rows
from digit_recognizer.training import train
from digit_recognizer.training.splits import Fold
from helpers import TINY, csv_of, make_digits, tiny

pytestmark = pytest.mark.usefixtures("one_thread")

DIGITS, OTHERS = make_digits(), make_digits(50, seed=4)
LINEAR = ('network=["maxpool 4", "dense 10"]', "epochs=1")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Digits, runs that held some of them out or none, and their models taken out of the runs."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "made.csv").write_text(csv_of(DIGITS))
    (folder / "others.csv").write_text(csv_of(OTHERS))
    (folder / "tiny.toml").write_text(TINY)
    kinds = {"some": ((), None), "none": (("split.validation=0",), None), "fold": ((), Fold(1, 4))}
    for name, (settings, fold) in kinds.items():
        source = str(folder / "made.csv")
        list(train(DIGITS, tiny(*LINEAR, *settings), folder / name, source=source, fold=fold))
        shutil.copy(folder / name / "model.onnx", folder / f"{name}.onnx")
    (folder / "folds").mkdir()
    (folder / "folds/folds.json").write_text("{}")
    return folder


@pytest.fixture
def here(made, monkeypatch) -> Path:
    """That folder as the current one; to be read only."""
    monkeypatch.chdir(made)
    monkeypatch.delenv("DIGITS_DATA", raising=False)
    return made


@pytest.fixture
def digits(run_command, here):  # noqa: ARG001
    """Return a function that runs a command in this process: status, output, errors."""

    return run_command


# What two words are


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((None, None), (None, None, "bundled")),
        (("others.csv", None), (None, None, "others.csv")),
        (("some", None), ("some", "some", "made.csv")),
        (("some/model.onnx", None), ("some/model.onnx", "some", "made.csv")),
        (("some.onnx", None), ("some.onnx", None, "bundled")),
        (("some", "others.csv"), ("some", "some", "others.csv")),
        (("some/model.onnx", "others.csv"), ("some/model.onnx", "some", "others.csv")),
        (("some.onnx", "others.csv"), ("some.onnx", None, "others.csv")),
        (("tiny.toml", "others.csv"), ("tiny.toml", None, "others.csv")),  # a model, whatever it is
        ((None, "others.csv"), (None, None, "others.csv")),
    ],
)
@pytest.mark.usefixtures("here")
def test_one_word_is_a_model_or_a_source_and_two_are_both(words, expected):
    path, run, source = model_and_source(*words)
    found = (path and str(path), run and str(run), source)
    assert found == expected


def test_a_model_of_no_run_is_asked_about_what_the_environment_names(here, monkeypatch):
    monkeypatch.setenv("DIGITS_DATA", "others.csv")
    assert model_and_source("some.onnx", None) == (Path("some.onnx"), None, "others.csv")
    assert model_and_source("some", None) == (Path("some"), Path("some"), "made.csv")
    assert here == Path.cwd()


@pytest.mark.parametrize("command", ["evaluate", "submit"])
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("no-run", "there is nothing named no-run: neither a run folder or model nor a source of digits"),
        ("nothing.onnx", "there is no model nothing.onnx"),
        ("nothing.onnx others.csv", "there is no model nothing.onnx"),
        ("some none", "none is a run folder and no source of digits"),
        ("some folds", "folds is a run folder and no source of digits"),
        ("folds", "folds is a cross-validation: name one of its runs, such as folds/fold-1"),
        ("folds others.csv", "folds is a cross-validation: name one of its runs, such as folds/fold-1"),
    ],
)
def test_words_that_are_no_model_or_no_source_are_told_what_they_are(command, words, sentence, digits):
    assert digits(f"{command} {words}") == (2, "", f"digits: {sentence}\n")


@pytest.mark.parametrize("command", ["report folds", "report some folds", "summary folds"])
def test_a_cross_validation_is_no_run(command, digits):
    expected = "digits: folds is a cross-validation: name one of its runs, such as folds/fold-1\n"
    assert digits(command) == (2, "", expected)


@pytest.mark.parametrize("name", ["some", "folds"])
def test_a_run_folder_is_not_trained_on_but_gone_on_with(name, digits, tmp_path):
    status, output, errors = digits(f"train {name} --out {tmp_path / 'new'}")
    assert (status, output) == (2, "")
    assert errors == f"digits: {name} is a run folder: go on with it by --resume {name}\n"


# What a model was trained on


HELD_OUT = {"some": 40, "none": 0, "fold": 50}  # images of each run


@pytest.mark.parametrize("name", HELD_OUT)
def test_a_model_says_what_it_was_trained_on_and_how_many_of_that_were_held_out(name, made):
    recognizer = Recognizer(made / f"{name}.onnx")
    assert (recognizer.trained_on, recognizer.held_out) == (DIGITS.sha256(), HELD_OUT[name])
    properties = {each.key: each.value for each in onnx.load(made / f"{name}.onnx").metadata_props}
    assert properties.keys() == {"format", "held_out", "recipe", "trained_on", "version"}


@pytest.mark.parametrize(("checksum", "held_out"), [(None, 0), ("ab12", 0), ("ab12", 3)])
def test_export_writes_the_checksum_that_it_is_given(checksum, held_out, tmp_path):
    export(tmp_path / "model.onnx", trained_on=checksum, held_out=held_out)
    recognizer = Recognizer(tmp_path / "model.onnx")
    assert (recognizer.trained_on, recognizer.held_out) == (checksum, held_out)


def export(path: Path, **options) -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
    export_onnx(Predictor(network), path, DIGITS.images[:2], "own", **options)


def test_the_shipped_model_says_which_digits_it_knows():
    recognizer = Recognizer()
    assert len(recognizer.trained_on) == 64
    assert 0 <= recognizer.held_out < 42_000


def test_of_a_runs_own_digits_those_count_that_it_held_out(made):
    rows = read_validation_rows(made / "some")
    found, is_choice = unseen(Recognizer(made / "some"), made / "some", DIGITS, "made.csv")
    assert is_choice
    assert found.sha256() == DIGITS[rows].sha256()


def test_of_a_folds_digits_those_count_that_it_is_judged_by(made):
    rows = read_fold_rows(made / "fold")
    found, is_choice = unseen(Recognizer(made / "fold"), made / "fold", DIGITS, "made.csv")
    assert is_choice
    assert found.sha256() == DIGITS[rows].sha256()


@pytest.mark.parametrize("name", ["some", "none", "fold"])
@pytest.mark.parametrize("in_run", [True, False])
def test_all_of_other_digits_count(name, in_run, made):
    recognizer = Recognizer(made / name if in_run else made / f"{name}.onnx")
    found = unseen(recognizer, made / name if in_run else None, OTHERS, "others.csv")
    assert found == (OTHERS, False)


@pytest.mark.parametrize("in_run", [True, False])
def test_digits_that_all_served_for_training_are_refused(in_run, made):
    path, run = (made / "none", made / "none") if in_run else (made / "none.onnx", None)
    with pytest.raises(DigitsError) as error:
        unseen(Recognizer(path), run, DIGITS, "made.csv")
    expected = f"{path} was trained on all of made.csv: give other digits to evaluate it on"
    assert str(error.value) == expected


@pytest.mark.parametrize(("name", "held_out"), [("some", 40), ("fold", 50)])
def test_without_its_run_a_model_is_not_judged_by_digits_some_of_which_it_was_trained_on(
    name, held_out, digits
):
    status, output, errors = digits(f"evaluate {name}.onnx made.csv")
    assert (status, output) == (2, "")
    assert errors == (
        f"digits: {name}.onnx was trained on made.csv without {held_out} images, and only its run folder "
        "knows which: name that, or give other digits to evaluate it on\n"
    )


@pytest.mark.parametrize("model", ["none", "none.onnx"])
@pytest.mark.parametrize("option", ["", " --json"])
def test_evaluate_refuses_what_all_served_for_training(model, option, digits):
    status, output, errors = digits(f"evaluate {model} made.csv{option}")
    assert (status, output) == (2, "")
    assert errors == f"digits: {model} was trained on all of made.csv: give other digits to evaluate it on\n"


@pytest.mark.parametrize(
    ("words", "what", "images"),
    [
        ("none.onnx others.csv", "others.csv, train part", 50),
        ("some", "made.csv, held-out validation images", 40),
        ("some/model.onnx", "made.csv, held-out validation images", 40),
        ("fold made.csv", "made.csv, held-out validation images", 50),
        ("none.onnx", "bundled, train part", 1797),
    ],
)
def test_evaluate_says_what_it_judged_by(words, what, images, digits):
    status, output, errors = digits(f"evaluate {words} --json")
    assert (status, errors) == (0, "")
    found = json.loads(output)
    assert (found["what"], found["images"]) == (what, images)


def test_a_part_of_digits_that_all_served_counts_as_others(made):
    """The checksum is of all digits together; whoever takes some out is not found out."""
    some = DIGITS[np.arange(100)]
    assert unseen(Recognizer(made / "none.onnx"), None, some, "made.csv") == (some, False)


# Packages that are missing


@pytest.fixture
def fails(monkeypatch):
    """Return a function that makes every command fail with an error."""

    def install(error: BaseException) -> None:
        def app():
            raise error

        monkeypatch.setattr(commands, "app", app)

    return install


@pytest.mark.parametrize(
    ("package", "extra"),
    [
        ("optuna", "tune"),
        ("torch", "train"),
        ("sklearn", "train"),
        ("pydantic", "train"),
        ("tomli_w", "train"),
    ],
)
def test_a_missing_package_is_one_sentence_with_what_to_install(package, extra, fails, capsys):
    fails(ModuleNotFoundError(f"No module named {package!r}", name=package))
    with pytest.raises(SystemExit) as ending:
        main()
    assert ending.value.code == 2
    expected = f'digits: this needs the package {package}: run pip install "digit-recognizer[{extra}]"\n'
    assert capsys.readouterr() == ("", expected)


@pytest.mark.parametrize("name", ["digit_recognizer", "digit_recognizer.training.nothing", None], ids=str)
def test_a_module_of_the_packages_own_that_is_missing_is_an_error_of_ours(name, fails):
    error = ModuleNotFoundError("No module named so", name=name)
    fails(error)
    with pytest.raises(ModuleNotFoundError) as raised:
        main()
    assert raised.value is error


def test_without_optuna_a_search_says_what_to_install(digits, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "optuna", None)
    for module in ("study", "search"):
        monkeypatch.delitem(sys.modules, f"digit_recognizer.search.{module}", raising=False)
        monkeypatch.delattr(search, module, raising=False)
    status, output, errors = digits(f"tune tiny.toml made.csv --trials 1 --out {tmp_path / 'new'}")
    assert (status, output) == (2, "")
    assert errors == 'digits: this needs the package optuna: run pip install "digit-recognizer[tune]"\n'
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("package", ["torch", "pydantic"])
def test_without_the_extra_a_training_says_what_to_install(package, made, tmp_path):
    program = f"""
import sys
from digit_recognizer.cli import main
sys.modules[{package!r}] = None
sys.argv = ["digits", "train", {str(made / "made.csv")!r}, "--out", {str(tmp_path / "new")!r}]
main()
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=os.environ
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"digits: this needs the package {package}")
    assert ended.stderr.endswith(': run pip install "digit-recognizer[train]"\n')
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "new").exists()
