"""Which model and digits a command uses, which digits evaluate it, and which package is missing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from digit_recognizer.cli import app, main
from digit_recognizer.cli.evaluate import held_out_digits
from digit_recognizer.cli.inputs import find_inputs
from digit_recognizer.digits import Digits
from digit_recognizer.networks.onnx_export import export_onnx
from digit_recognizer.networks.predictor import Predictor
from digit_recognizer.recognition import Recognizer
from digit_recognizer.runs import environment
from digit_recognizer.runs.split import pack_rows, unpack_rows
from digit_recognizer.training import train
from digit_recognizer.training.splits import Fold
from helpers import TINY, assert_refused, csv_of, make_digits, on_black, refusal, says, tiny

pytestmark = pytest.mark.usefixtures("one_thread")

DIGITS, OTHERS = on_black(make_digits()), on_black(make_digits(50, seed=4))
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
    older = onnx.load(folder / "some.onnx")  # as before models knew their rows
    metadata = {each.key: each.value for each in older.metadata_props}
    onnx.helper.set_model_props(older, {key: metadata[key] for key in metadata if key != "evaluation_rows"})
    onnx.save(older, folder / "older.onnx")
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


# Which inputs one or two words name


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((None, None), (None, None, "bundled")),
        (("others.csv", None), (None, None, "others.csv")),
        (("some", None), ("some/model.onnx", "some", "made.csv")),
        (("some/model.onnx", None), ("some/model.onnx", "some", "made.csv")),
        (("some.onnx", None), ("some.onnx", None, "bundled")),
        (("some", "others.csv"), ("some/model.onnx", "some", "others.csv")),
        (("some/model.onnx", "others.csv"), ("some/model.onnx", "some", "others.csv")),
        (("some.onnx", "others.csv"), ("some.onnx", None, "others.csv")),
        (("tiny.toml", "others.csv"), ("tiny.toml", None, "others.csv")),  # a model, whatever it is
        ((None, "others.csv"), (None, None, "others.csv")),
    ],
)
@pytest.mark.usefixtures("here")
def test_one_word_is_a_model_or_a_source_and_two_are_both(words, expected):
    found = find_inputs(*words)
    assert (found.model and str(found.model), found.run and str(found.run), found.source) == expected
    assert (found.environment is None) == (found.run is None)


@pytest.mark.usefixtures("here")
def test_a_model_outside_a_run_uses_the_digits_that_the_environment_names(monkeypatch):
    monkeypatch.setenv("DIGITS_DATA", "others.csv")
    assert find_inputs("some.onnx", None).source == "others.csv"
    assert find_inputs("some", None).source == "made.csv"


@pytest.mark.parametrize("command", ["evaluate", "submit"])
@pytest.mark.parametrize(
    ("words", "facts"),
    [
        ("no-run", ["no-run", "run folder", "model", "source"]),
        ("nothing.onnx", ["nothing.onnx"]),
        ("nothing.onnx others.csv", ["nothing.onnx"]),
        ("some none", ["none", "run folder"]),
        ("some folds", ["folds", "run folder"]),
        ("folds", ["folds", "cross-validation", "folds/fold-1"]),
        ("folds others.csv", ["folds", "cross-validation", "folds/fold-1"]),
    ],
)
def test_words_that_are_no_model_or_no_source_are_refused(command, words, facts, digits):
    assert_refused(digits(f"{command} {words}"), *facts)


@pytest.mark.parametrize("command", ["report folds", "report some folds", "summary folds"])
def test_a_cross_validation_is_not_a_run(command, digits):
    assert_refused(digits(command), "folds", "cross-validation", "folds/fold-1")


@pytest.mark.parametrize("name", ["some", "folds"])
def test_a_run_folder_is_not_trained_on_but_resumed(name, digits, tmp_path):
    assert_refused(digits(f"train {name} --out {tmp_path / 'new'}"), f"--resume {name}")


# What a model was trained on


HELD_OUT = {"some": 40, "none": 0, "fold": 50}  # images of each run


@pytest.mark.parametrize("name", HELD_OUT)
def test_a_model_says_what_it_was_trained_on_and_how_many_of_that_were_held_out(name, made):
    recognizer = Recognizer(made / f"{name}.onnx")
    assert (recognizer.trained_on, recognizer.held_out) == (DIGITS.sha256(), HELD_OUT[name])
    properties = {each.key: each.value for each in onnx.load(made / f"{name}.onnx").metadata_props}
    always = {"format", "held_out", "images", "recipe", "trained_on", "version"}
    assert properties.keys() == (always if name == "none" else {*always, "evaluation_rows"})
    assert recognizer.images == len(DIGITS)


@pytest.mark.parametrize(("name", "file"), [("some", "validation.npy"), ("fold", "fold.npy")])
def test_a_model_knows_the_rows_to_evaluate_it_on_without_its_run(name, file, made):
    assert Recognizer(made / f"{name}.onnx").evaluation_rows.tolist() == np.load(made / name / file).tolist()


@pytest.mark.parametrize("rows", [[], [0], [7], [0, 1, 9, 41_999]])
def test_rows_are_packed_without_loss(rows):
    assert unpack_rows(pack_rows(np.array(rows, np.int64))).tolist() == rows


@pytest.mark.parametrize("text", ["", "x", "é", pack_rows(np.arange(9))[:-8]])
def test_damaged_rows_are_an_error(text, made, tmp_path):
    model = onnx.load(made / "some.onnx")
    onnx.helper.set_model_props(model, {"format": "1", "evaluation_rows": text})
    onnx.save(model, tmp_path / "damaged.onnx")
    assert says(refusal(lambda: Recognizer(tmp_path / "damaged.onnx").evaluation_rows), "evaluation_rows")


def export(path: Path, **options) -> Path:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
    export_onnx(Predictor(network), path, DIGITS.images[:2], "own", **options)
    return path


@pytest.mark.parametrize(("checksum", "held_out"), [(None, 0), ("ab12", 0), ("ab12", 3)])
def test_export_writes_the_checksum_that_it_is_given(checksum, held_out, tmp_path):
    recognizer = Recognizer(export(tmp_path / "model.onnx", trained_on=checksum, held_out=held_out))
    assert (recognizer.trained_on, recognizer.held_out) == (checksum, held_out)


def test_the_shipped_model_says_which_digits_it_knows():
    recognizer = Recognizer()
    assert len(recognizer.trained_on) == 64
    assert (recognizer.images, recognizer.held_out) == (42_000, 8_400)
    rows = recognizer.evaluation_rows
    assert (len(rows), rows.max() < 42_000) == (8_400, True)


def test_the_shipped_model_says_what_it_was_trained_on(digits):
    assert says(digits("evaluate others.csv")[1], "four fifths", "train.csv", "MNIST")
    assert "MNIST" in json.loads(digits("evaluate others.csv --json")[1])["note"]
    assert "MNIST" not in digits("evaluate some others.csv")[1]


def held_out(model: Path, digits: Digits) -> Digits:
    """Return the digits that evaluate a model."""
    inputs = find_inputs(str(model), "made.csv")
    return held_out_digits(Recognizer(inputs.model), inputs, digits)


@pytest.mark.parametrize(("name", "file"), [("some", "validation.npy"), ("fold", "fold.npy")])
def test_of_a_runs_own_digits_those_count_that_it_held_out(name, file, made):
    expected = DIGITS[np.load(made / name / file)]
    assert held_out(made / name, DIGITS).sha256() == expected.sha256()


@pytest.mark.parametrize("model", ["some", "none", "fold", "some.onnx", "none.onnx", "fold.onnx"])
def test_all_of_other_digits_count(model, made):
    assert held_out(made / model, OTHERS) is OTHERS


def test_a_part_of_digits_that_all_served_counts_as_others(made):
    """The checksum is of all digits together, so a part of them is not recognised."""
    some = DIGITS[np.arange(100)]
    assert held_out(made / "none.onnx", some) is some


@pytest.mark.parametrize("option", ["", " --json"])
@pytest.mark.parametrize(
    ("model", "facts"),
    [
        ("none", ["none", "all of made.csv"]),
        ("none.onnx", ["none.onnx", "all of made.csv"]),
        ("older.onnx", ["older.onnx", "made.csv", "40 images", "run folder"]),
    ],
)
def test_a_model_is_not_evaluated_on_its_training_data(model, option, facts, digits):
    assert_refused(digits(f"evaluate {model} made.csv{option}"), *facts)


@pytest.mark.parametrize(
    ("words", "what", "images"),
    [
        ("none.onnx others.csv", "others.csv, train part", 50),
        ("some", "made.csv, held-out validation images", 40),
        ("some/model.onnx", "made.csv, held-out validation images", 40),
        ("some.onnx made.csv", "made.csv, held-out validation images", 40),
        ("fold made.csv", "made.csv, held-out validation images", 50),
        ("fold.onnx made.csv", "made.csv, held-out validation images", 50),
        ("none.onnx", "bundled, train part", 1797),
    ],
)
def test_evaluate_says_on_what(words, what, images, digits):
    status, output, errors = digits(f"evaluate {words} --json")
    assert (status, errors) == (0, "")
    found = json.loads(output)
    assert (found["what"], found["images"]) == (what, images)


def test_evaluate_reads_the_environment_of_a_run_once(digits, monkeypatch):
    read, names = environment.read_json, []
    monkeypatch.setattr(environment, "read_json", lambda path: names.append(path.name) or read(path))
    assert digits("evaluate some")[0] == 0
    assert names == ["environment.json"]


# Packages that are missing


def fail(error: BaseException, monkeypatch) -> None:
    """Run a command that fails with an error."""

    def raise_it():
        raise error

    monkeypatch.setattr(app, "app", raise_it)
    main()


@pytest.mark.parametrize(
    ("package", "extra"),
    [
        ("optuna", "tune"),
        ("sqlalchemy", "tune"),
        ("torch", "train"),
        ("pydantic", "train"),
        ("tomli_w", "train"),
        ("uvicorn", "serve"),
    ],
)
def test_a_missing_package_is_one_sentence_with_what_to_install(package, extra, monkeypatch, capsys):
    with pytest.raises(SystemExit) as ending:
        fail(ModuleNotFoundError(f"No module named {package!r}", name=package), monkeypatch)
    assert_refused((ending.value.code, *capsys.readouterr()), package, f"digit-recognizer[{extra}]")


@pytest.mark.parametrize("name", ["digit_recognizer", "digit_recognizer.training.nothing", None], ids=str)
def test_a_missing_module_of_this_package_is_a_defect_with_a_traceback(name, monkeypatch):
    error = ModuleNotFoundError("No module named so", name=name)
    with pytest.raises(ModuleNotFoundError) as raised:
        fail(error, monkeypatch)
    assert raised.value is error


@pytest.mark.parametrize(
    ("package", "extra", "command"),
    [
        ("torch", "train", "train made.csv"),
        ("pydantic", "train", "train made.csv"),
        ("optuna", "tune", "tune tiny.toml made.csv --trials 1"),
    ],
)
def test_without_its_extra_a_command_says_what_to_install(package, extra, command, here, tmp_path):
    program = f"""
import sys
from digit_recognizer.cli import main
sys.modules[{package!r}] = None
sys.argv = ["digits", *{command.split()!r}, "--out", {str(tmp_path / "new")!r}]
main()
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=here
    )
    assert_refused((ended.returncode, ended.stdout, ended.stderr), package, f"digit-recognizer[{extra}]")
    assert not (tmp_path / "new").exists()
