"""The command `digits`, from the competition's archive to a submission."""

from __future__ import annotations

import json
import os
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

from digit_recognizer import __version__
from digit_recognizer.cli.output import show_evaluation
from digit_recognizer.cli.session import session
from digit_recognizer.digits import Digits
from digit_recognizer.evaluation import Evaluation
from digit_recognizer.recipes import load_recipe
from digit_recognizer.recognition import Recognizer
from digit_recognizer.runs.run_folder import read_environment, read_validation_rows
from digit_recognizer.training import train
from helpers import RUN_FILES, TINY, csv_of, files_in, history_without_times, make_digits, tiny

pytestmark = pytest.mark.usefixtures("one_thread")

LABELLED = make_digits(200)
UNLABELLED = Digits(make_digits(30, seed=9).images)
OTHERS = make_digits(50, seed=4)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the competition's archive, a recipe, and a finished run of both."""
    folder = tmp_path_factory.mktemp("made")
    with zipfile.ZipFile(folder / "digit-recognizer.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train.csv", csv_of(LABELLED))
        archive.writestr("test.csv", csv_of(UNLABELLED))
        archive.writestr("sample_submission.csv", "ImageId,Label\n1,0\n")
    (folder / "test.csv").write_text(csv_of(UNLABELLED))
    (folder / "others.csv").write_text(csv_of(OTHERS))
    (folder / "tiny.toml").write_text(TINY)
    for _ in train(LABELLED, tiny(), folder / "run", source=str(folder / "digit-recognizer.zip")):
        pass
    stop = Event()
    stop.set()
    for _ in train(
        LABELLED, tiny(), folder / "stopped", source=str(folder / "digit-recognizer.zip"), stop=stop
    ):
        pass
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
    return subprocess.run(
        [sys.executable, "-m", "digit_recognizer", *words],
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
        **options,
    )


TRAIN = "train digit-recognizer.zip --recipe tiny.toml --out new"


@pytest.mark.slow
def test_from_the_archive_to_a_submission(here):
    trained = spawn(*shlex.split(TRAIN), "--seed", "7")
    assert (trained.returncode, trained.stderr) == (0, "")
    assert files_in(here / "new") == RUN_FILES
    assert read_environment(here / "new")["seed"] == 7

    evaluated = spawn("evaluate", "new", "digit-recognizer.zip")
    assert (evaluated.returncode, evaluated.stderr) == (0, "")
    assert "errors in 40 images" in evaluated.stdout

    submitted = spawn("submit", "new", "digit-recognizer.zip", "-o", "submission.csv")
    assert (submitted.returncode, submitted.stderr) == (0, "")
    expected = Recognizer(here / "new").predict(UNLABELLED.images).labels
    rows = [f"{number},{label}" for number, label in enumerate(expected, start=1)]
    assert (here / "submission.csv").read_text().splitlines() == ["ImageId,Label", *rows]


@pytest.mark.usefixtures("here")
def test_train_shows_each_epoch_and_what_to_type_next(digits):
    status, output, errors = digits(TRAIN)
    assert (status, errors) == (0, "")
    lines = output.splitlines()
    assert lines[0] == "Training tiny on 200 images, at most 2 epochs, in new."
    assert lines[1].startswith("epoch   1  loss ")
    assert lines[2].startswith("epoch   2  loss ")
    assert "Run         new  (2 epochs in " in output
    assert "errors in 40 images" in output
    assert lines[-1] == "Next        digits submit new digit-recognizer.zip -o submission.csv"


def test_the_command_to_type_next_works(digits, here):
    *_, last = digits(TRAIN)[1].splitlines()
    status, output, _ = digits(last.partition("digits ")[2])
    assert status == 0
    assert output.startswith("Wrote submission.csv: 30 predictions")
    assert (here / "submission.csv").exists()


def test_what_is_no_terminal_gets_plain_lines(digits):
    output = digits(TRAIN)[1]
    assert "\x1b" not in output
    assert "\r" not in output
    assert "images/s  0:00:00 left" in output


def test_a_terminal_gets_a_bar(digits, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # Rich then takes the output for a terminal
    monkeypatch.setenv("COLUMNS", "120")
    status, output, _ = digits(TRAIN)
    assert status == 0
    assert "\x1b[" in output
    assert "left  loss" in output
    assert "epoch   2  loss" in output


def json_lines(output: str) -> list[dict]:
    lines = [json.loads(line) for line in output.splitlines()]
    assert all(isinstance(line, dict) for line in lines)
    return lines


def test_train_as_json_is_one_object_a_line(digits, here):
    status, output, errors = digits(f"{TRAIN} --json")
    assert (status, errors) == (0, "")
    begin, first, second, end = json_lines(output)
    assert begin == {"event": "begin", "run": "new", "recipe": "tiny", "images": 200}
    assert [first["epoch"], second["epoch"]] == [1, 2]
    assert first["event"] == second["event"] == "epoch"
    assert {name: str(value) for name, value in second.items()}.items() >= history_without_times(
        here / "new"
    )[1].items()
    assert end["event"] == "finished"
    assert end.items() >= json.loads((here / "new/metrics.json").read_text()).items()


def test_evaluate_as_json_is_one_object(digits, here):
    status, output, errors = digits("evaluate run digit-recognizer.zip --json")
    assert (status, errors) == (0, "")
    (found,) = json_lines(output)
    metrics = json.loads((here / "run/metrics.json").read_text())["validation"]
    assert found["images"] == 40
    assert {name: found[name] for name in ("images", "errors", "accuracy", "accuracy_interval_95")} == {
        name: metrics[name] for name in ("images", "errors", "accuracy", "accuracy_interval_95")
    }
    assert found["what"].endswith("held-out validation images")


def test_evaluate_looks_only_at_rows_that_the_run_held_out(digits, here):
    rows = read_validation_rows(here / "run")
    expected = np.bincount(LABELLED.labels[rows], minlength=10).tolist()
    (found,) = json_lines(digits("evaluate run digit-recognizer.zip --json")[1])
    assert [row["images"] for row in found["per_digit"]] == expected


def test_evaluate_looks_at_all_rows_of_other_digits(digits):
    (found,) = json_lines(digits("evaluate run others.csv --json")[1])
    assert found["images"] == 50
    assert found["what"] == "others.csv, train part"


def test_evaluate_knows_a_model_in_its_run(digits):
    (found,) = json_lines(digits("evaluate run/model.onnx digit-recognizer.zip --json")[1])
    assert found["images"] == 40


def test_evaluate_looks_at_all_rows_of_other_digits_where_the_model_stands_alone(digits, here):
    shutil.copy(here / "run/model.onnx", here / "alone.onnx")
    (found,) = json_lines(digits("evaluate alone.onnx others.csv --json")[1])
    assert found["images"] == 50


def test_evaluate_goes_back_to_the_runs_own_source_if_none_is_named(digits):
    named = json_lines(digits("evaluate run digit-recognizer.zip --json")[1])[0]
    found = json_lines(digits("evaluate run --json")[1])[0]
    assert found | {"what": ""} == named | {"what": ""}


def test_evaluate_shows_the_accuracy_the_digits_and_the_confusion(digits):
    status, output, _ = digits("evaluate run others.csv")
    assert status == 0
    assert output.startswith("others.csv, train part:\n")
    assert "95 % interval" in output
    assert "digit (row) taken for (column)" in output


def test_evaluate_has_nothing_to_say_where_all_was_trained_on(digits):
    assert digits("train digit-recognizer.zip -r tiny.toml --set split.validation=0 --out new")[0] == 0
    status, output, errors = digits("evaluate new digit-recognizer.zip")
    assert (status, output) == (2, "")
    assert (
        errors
        == "digits: new was trained on all of digit-recognizer.zip: give other digits to evaluate it on\n"
    )


def test_a_run_without_validation_says_so(digits):
    output = digits(f"{TRAIN} --set split.validation=0 --set shifts.pixels=1")[1]
    assert "none: the recipe holds no images out\n" in output


@pytest.mark.parametrize(
    ("settings", "how"),
    [
        ("", ""),
        ("--set shifts.pixels=1", ", with shifted images"),
        ("--set members=2", ", all members together"),
        ("--set members=2 --set shifts.pixels=1", ", all members together, with shifted images"),
    ],
)
def test_the_last_line_says_what_sets_its_accuracy_apart_from_that_of_the_epochs(settings, how, digits):
    lines = digits(f"{TRAIN} {settings}")[1].splitlines()
    (last,) = [line for line in lines if line.startswith("Validation")]
    assert last.endswith(f" in 40 images){how}")


def test_probabilities_are_written_beside_the_submission(digits, here):
    status, output, errors = digits("submit run digit-recognizer.zip -o mine.csv --probabilities")
    assert (status, errors) == (0, "")
    assert "Wrote mine.csv and mine.npz: 30 predictions" in output
    with np.load(here / "mine.npz", allow_pickle=False) as arrays:
        image_ids, probabilities = arrays["image_ids"], arrays["probabilities"]
    assert image_ids.dtype == np.int64
    assert image_ids.tolist() == list(range(1, 31))
    assert probabilities.dtype == np.float32
    expected = Recognizer(here / "run").predict(UNLABELLED.images).probabilities
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    labels = [int(line.split(",")[1]) for line in (here / "mine.csv").read_text().splitlines()[1:]]
    assert labels == probabilities.argmax(axis=1).tolist()


def test_a_submission_replaces_the_one_before(digits, here):
    (here / "submission.csv").write_text("old")
    assert digits("submit run test.csv")[0] == 0
    assert len((here / "submission.csv").read_text().splitlines()) == 31
    assert not list(here.rglob("*.part"))


def test_a_submission_may_go_through_a_pipe(here):
    submitted = spawn("submit", "run", "test.csv", "-o", "/dev/stdout")
    assert (submitted.returncode, submitted.stderr) == (0, "")
    labels = Recognizer(here / "run").predict(UNLABELLED.images).labels
    rows = [f"{number},{label}" for number, label in enumerate(labels, start=1)]
    assert submitted.stdout.splitlines() == ["ImageId,Label", *rows]  # and nothing else


def test_a_setting_changes_the_recipe_for_one_run(digits, here):
    assert digits(f"{TRAIN} --set epochs=1 --set optimizer.learning_rate=0.02")[0] == 0
    recipe = load_recipe(here / "new/recipe.toml")
    assert (recipe.epochs, recipe.optimizer.learning_rate) == (1, 0.02)


def test_a_run_is_resumed_without_naming_its_source(digits, here):
    status, output, errors = digits("train --resume stopped")
    assert (status, errors) == (0, "")
    assert "epoch   2" in output
    assert files_in(here / "stopped") == RUN_FILES


def test_a_finished_run_goes_on_where_more_epochs_are_asked_for(digits, here):
    assert digits("train --resume run --set epochs=3")[0] == 0
    assert len(history_without_times(here / "run")) == 3


def test_without_a_source_the_environment_names_it(digits, monkeypatch):
    monkeypatch.setenv("DIGITS_DATA", "digit-recognizer.zip")
    status, output, _ = digits("train --recipe tiny.toml --out new")
    assert status == 0
    assert output.startswith("No source named: reading digit-recognizer.zip.\nTraining tiny on 200 images")


def test_without_any_source_the_bundled_digits_are_read(digits):
    status, output, _ = digits("train --recipe tiny.toml --set epochs=1 --out new --json")
    assert status == 0
    reading, begin, *_, end = json_lines(output)
    assert reading == {"event": "reading", "source": "bundled"}
    assert begin["images"] == 1797
    assert end["next"] == "digits evaluate new"


def test_without_a_folder_a_run_lands_below_runs(digits, here):
    assert digits("train digit-recognizer.zip -r tiny.toml --set epochs=1")[0] == 0
    (run,) = (here / "runs").iterdir()
    assert run.name.endswith("-tiny")


def test_recipes_are_listed_with_their_parameters(digits):
    status, output, _ = digits("recipes")
    assert status == 0
    for found in (
        "alexnet28",
        "92,959,434",
        "138,410",
        "five-layer-one-epoch",
        "887,530",
        "454,922",
        "97.128 %",
    ):
        assert found in output


def test_a_recipe_that_was_printed_into_a_file_is_the_same_recipe(digits, here):
    status, output, _ = digits("recipes five-layer")
    assert status == 0
    (here / "copy.toml").write_text(output)
    assert load_recipe(here / "copy.toml") == load_recipe("five-layer")


@pytest.mark.parametrize("what", ["tiny.toml", "run"])
def test_a_summary_shows_layers_shapes_and_parameters(what, digits):
    status, output, _ = digits(f"summary {what}")
    assert status == 0
    lines = [line.split() for line in output.splitlines() if line.strip()]
    assert ["conv1", "(Conv)", "(None,", "26,", "26,", "4)", "40", "24,336"] in lines
    assert ["dense1", "(Dense)", "(None,", "10)", "1,450", "1,440"] in lines
    assert ["Total", "parameters", "1,490", "(0.01", "MB)"] in lines
    assert ["Multiply-adds", "an", "image", "25,776"] in lines


def test_a_summary_of_the_largest_recipe_takes_no_memory_for_its_weights(digits):
    status, output, _ = digits("summary alexnet28")
    assert status == 0
    assert "92,959,434" in output


def test_the_version_is_shown(digits):
    assert digits("--version") == (0, f"digit-recognizer {__version__}\n", "")


# What a user can put right: one sentence, status 2, nothing changed


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("train none.zip", "none.zip: no such file or folder; expected the competition's archive"),
        ("train test.csv", "test.csv has no column 'label', so it looks like test.csv"),
        ("train tiny.toml", "tiny.toml is of no kind known here"),
        ("train empty", "empty holds no digits"),
        ("train digit-recognizer.zip -r lenet", "there is no recipe 'lenet': expected one of alexnet28"),
        ("train digit-recognizer.zip -r none.toml", "cannot read the recipe none.toml: No such file"),
        ("train digit-recognizer.zip -r test.csv", "there is no recipe 'test.csv'"),
        ("train digit-recognizer.zip -r wrong.toml", "wrong.toml: not valid TOML: "),
        ("train digit-recognizer.zip --set epochs=0", "standard: epochs: "),
        ("train digit-recognizer.zip --set epoch=1", "standard: there is no key 'epoch'"),
        ("train digit-recognizer.zip --set epochs", "expected a setting such as epochs=3, got 'epochs'"),
        (f"{TRAIN} --set network=['dense 9']", "the network ends with 9 values; expected 10 logits"),
        (f"{TRAIN} --set network=['dance 10']", "tiny.toml: network line 1 ('dance 10'): there is no layer"),
        (f"{TRAIN} --set network=none:build", "network 'none:build' failed: ModuleNotFoundError"),
        (f"{TRAIN} --set batch_size=500", "160 training images are fewer than a batch of 500"),
        (f"{TRAIN} --device banana", "expected a device auto, cpu, cuda or cuda:1, got 'banana'"),
        ("train digit-recognizer.zip -r tiny.toml --out run", "run is there already"),
        ("train digit-recognizer.zip -r tiny.toml --out test.csv", "test.csv is there already"),
        (
            "train digit-recognizer.zip -r tiny.toml --out test.csv/run",
            "cannot write the run folder test.csv/run",
        ),
        ("train --resume none", "there is no run folder none"),
        ("train --resume .", ". is no run folder"),
        ("train --resume run", "run is finished after 2 epochs"),
        ("train --resume stopped --seed 0", "--resume goes on as the run was begun"),
        ("train --resume stopped --recipe tiny.toml", "--resume goes on as the run was begun"),
        ("train --resume stopped --out new", "--resume goes on as the run was begun"),
        ("train --resume stopped --set batch_size=3", "--resume changes nothing but the epochs"),
        ("train --resume stopped --set epochs=many", "--resume changes nothing but the epochs"),
        ("train --resume stopped --set epochs=0", "stopped/recipe.toml: epochs: "),
        ("train others.csv --resume stopped", "stopped was begun with other digits"),
        ("train test.csv --resume stopped", "test.csv has no column 'label'"),
        ("evaluate none others.csv", "there is no run folder none"),
        ("evaluate test.csv others.csv", "test.csv is damaged or no ONNX model"),
        ("evaluate . others.csv", ". is no run folder"),
        ("evaluate stopped", "stopped is not finished: go on with 'digits train --resume stopped'"),
        ("evaluate run none.csv", "none.csv: no such file or folder"),
        (
            "evaluate run digit-recognizer.zip --part test",
            "digit-recognizer.zip: its test part has no labels",
        ),
        ("submit none test.csv", "there is no run folder none"),
        ("submit stopped test.csv", "stopped is not finished"),
        ("submit run bundled", "bundled has no test part"),
        ("submit run none.csv", "none.csv: no such file or folder"),
        ("submit run test.csv -o none/mine.csv", "cannot write none/mine.csv: No such file or directory"),
        ("submit run test.csv -o run", "cannot write run: Is a directory"),
        ("submit run test.csv -o /dev/full", "cannot write /dev/full: No space left on device"),
        ("recipes lenet", "there is no recipe 'lenet'"),
        ("summary lenet", "there is no recipe 'lenet'"),
        ("summary none.toml", "cannot read the recipe none.toml"),
        ("summary .", ". is no run folder"),
    ],
)
def test_what_a_user_can_put_right_is_one_sentence_and_status_2(command, sentence, digits, here):
    (here / "wrong.toml").write_text("name = ")
    (here / "empty").mkdir()
    before = files_in(here)
    status, output, errors = digits(command.replace("['", "'[\"").replace("']", "\"]'"))
    assert status == 2
    assert errors.startswith(f"digits: {sentence}")
    assert errors.count("\n") == 1
    assert output == ""
    assert [name for name in files_in(here) if not name.endswith("/.lock")] == [
        name for name in before if not name.endswith("/.lock")
    ]


@pytest.mark.parametrize(
    "command",
    [
        *("train --seed -1", "train --no-such-option", "no-such-command", "report"),
        *(
            "report run --digit 10",
            "report run --index -1",
            "report run --filter -1",
            "report run --filters 0",
        ),
    ],
)
def test_a_wrong_option_is_status_2_too(command, digits):
    status, output, errors = digits(command)
    assert (status, output) == (2, "")
    assert "Usage: " in errors
    assert "Traceback" not in errors


def test_a_damaged_archive_is_one_sentence(digits, here):
    whole = (here / "digit-recognizer.zip").read_bytes()
    (here / "digit-recognizer.zip").write_bytes(whole[: len(whole) // 2])
    status, output, errors = digits(TRAIN)
    assert (status, output) == (2, "")
    assert errors.startswith("digits: digit-recognizer.zip")
    assert errors.count("\n") == 1
    assert not (here / "new").exists()


def test_a_loss_that_is_no_number_is_one_sentence(digits, here):
    status, _, errors = digits(f"{TRAIN} --set optimizer.learning_rate=1e30")
    assert status == 2
    assert errors.startswith("digits: the loss is no longer a number in epoch 1")
    assert errors.count("\n") == 1
    assert "model.onnx" not in files_in(here / "new")


def test_a_disk_that_is_read_only_is_one_sentence(digits, here, monkeypatch):
    def read_only(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", read_only)
    status, _, errors = digits(TRAIN)
    assert (status, errors) == (2, "digits: cannot write the run folder new: Read-only file system\n")
    assert not (here / "new").exists()


def test_a_submission_that_cannot_be_written_leaves_the_old_one(digits, here, monkeypatch):
    (here / "submission.csv").write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    status, _, errors = digits("submit run test.csv")
    assert (status, errors) == (2, "digits: cannot write submission.csv: No space left on device\n")
    assert (here / "submission.csv").read_text() == "old"
    assert not list(here.rglob("*.part"))


# Signals and a full disk, in processes of their own


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_a_training_to_stop_and_one_a_second_later_ends_it(number, monkeypatch):
    ended, clock = [], iter([10.0, 10.5, 11.5])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    before = signal.signal(number, lambda *_: ended.append(number))
    try:
        with session(as_json=True) as (_, stop):
            signal.raise_signal(number)
            assert stop.is_set()
            assert not ended
            signal.raise_signal(number)
            assert not ended  # a key held down for a moment
            signal.raise_signal(number)
            assert ended
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize(
    ("module", "command"),
    [("typer", "recipes"), ("onnxruntime", "read a.png"), ("pydantic_settings", "serve")],
)
def test_ctrl_c_while_a_module_is_loaded_says_nothing(module, command, tmp_path):
    swallowing = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    raise ImportError("initialization failed")
"""
    (tmp_path / f"{module}.py").write_text(swallowing)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    program = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
sys.argv = ["digits", *{command.split()!r}]
from digit_recognizer.cli import main
main()
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, env=environment)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, b"", b"")


@pytest.mark.slow
def test_ctrl_c_ends_with_status_130_and_a_command_that_goes_on(here):
    command = [sys.executable, "-u", "-m", "digit_recognizer", *shlex.split(TRAIN), "--set", "epochs=100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as training:
        for line in training.stdout:
            if line.startswith("epoch   1 "):
                training.send_signal(signal.SIGINT)
                break
        output, errors = training.communicate(timeout=60)
    assert (training.returncode, errors) == (130, "")
    assert "Stopped; the checkpoint is in new. Go on with:\n" in output
    assert "model.onnx" not in files_in(here / "new")

    done = len(history_without_times(here / "new"))
    go_on = shlex.split(output.splitlines()[-1])
    assert go_on[-3:] == ["train", "--resume", "new"]
    resumed = subprocess.run([*go_on, "--set", f"epochs={done + 1}"], capture_output=True, check=False)
    assert resumed.returncode == 0, resumed.stderr
    assert len(history_without_times(here / "new")) == done + 1
    assert files_in(here / "new") == RUN_FILES


@pytest.mark.slow
def test_a_training_on_a_full_disk_ends_in_a_sentence_and_can_be_resumed(digits, here):
    program = f"""
import resource, sys
from digit_recognizer.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))  # bytes; the checkpoint is larger
sys.argv = ["digits", *{shlex.split(TRAIN)!r}]
main()
"""
    ended = subprocess.run(
        [sys.executable, "-B", "-c", program], capture_output=True, text=True, check=False, encoding="utf-8"
    )
    assert ended.returncode == 2
    assert ended.stderr == "digits: cannot write new/checkpoint/state.safetensors: File too large\n"
    assert not list(here.rglob("*.part"))
    assert digits("train --resume new")[0] == 0
    assert files_in(here / "new") == RUN_FILES


def test_output_that_nobody_can_take_is_one_sentence(here):  # noqa: ARG001
    with open("/dev/full", "w") as full:  # noqa: PTH123
        ended = subprocess.run(
            [sys.executable, "-m", "digit_recognizer", "recipes", "plain"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == 2
    assert ended.stderr == "digits: output: No space left on device\n"


def test_help_imports_nothing_that_is_heavy():
    program = """
import sys
from digit_recognizer.cli import main
sys.argv = ["digits", "--help"]
try:
    main()
finally:
    print(*{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0
    for command in ("train", "evaluate", "submit", "report", "recipes", "summary"):
        assert command in ended.stdout
    heavy = {"torch", "onnx", "onnxruntime", "sklearn", "scipy", "pydantic", "PIL", "matplotlib"}
    assert not heavy & set(ended.stderr.split())


def test_evaluate_cuts_nothing_off_in_eighty_columns(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    confusion = np.full((10, 10), 1234)
    show_evaluation(Evaluation(confusion), "what", as_json=False)
    output = capsys.readouterr().out
    assert "…" not in output
    assert "accuracy" in output


def test_a_training_whose_reader_goes_away_stays_unfinished(digits, here, monkeypatch):
    from digit_recognizer.cli import progress

    def gone(*_):
        raise BrokenPipeError

    with monkeypatch.context() as patched:
        patched.setattr(progress._PlainReporter, "epoch", gone)
        assert digits(TRAIN)[0] != 0
    assert not (here / "new/metrics.json").exists()
    assert digits("train --resume new")[0] == 0


@pytest.mark.parametrize(
    "command",
    [
        "train bundled --out ''",
        "train bundled --out '' --folds 2",
        "train bundled --out /",
        "submit run -o ''",
    ],
)
def test_a_name_that_names_nothing_is_refused(digits, command):
    status, _, errors = digits(command)
    assert status == 2
    assert errors.startswith("digits: '")


def test_a_training_that_diverges_at_once_leaves_its_name_to_the_next_try(digits, here):
    status, _, errors = digits(f"{TRAIN} --set optimizer.learning_rate=1e30")
    assert status == 2
    assert "lower the learning rate" in errors
    assert not (here / "new").exists()


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 3000, "100001"])
def test_a_setting_out_of_all_proportion_is_refused(digits, value):
    status, _, errors = digits(f"train bundled --set epochs={value}")
    assert status == 2
    assert errors.startswith("digits: standard: epochs: ")


# Reports


def test_report_writes_the_page_and_says_where_it_is(digits, here):
    status, output, errors = digits("report run digit-recognizer.zip --digit 3 --filters 2 --filter 1")
    assert (status, errors) == (0, "")
    size = (here / "run/report.html").stat().st_size / 1e6
    expected = rf"Report      run/report.html  \({size:.1f} MB in [0-9.]+ s; figures beside it\)\n"
    assert re.fullmatch(expected, output)
    metrics = json.loads((here / "run/metrics.json").read_text())
    assert metrics["evaluation"]["data"]["source"] == "digit-recognizer.zip"
    assert metrics["evaluation"]["errors"] == metrics["validation"]["errors"]


def test_a_training_may_end_with_its_report(digits, here):
    status, output, errors = digits(f"{TRAIN} --report --json")
    assert (status, errors) == (0, "")
    *_, finished, report = json_lines(output)
    assert finished["event"] == "finished"
    assert report == {
        "event": "report",
        "page": "new/report.html",
        "seconds": report["seconds"],
    }
    assert (here / "new/report.html").exists()


@pytest.mark.parametrize("option", ["--digit 3", "--index 0", "--filters 8", "--filter 0"])
def test_a_comparison_shows_no_inside(digits, option):
    status, _, errors = digits(f"report run run {option}")
    assert status == 2
    assert errors.startswith(f"digits: {option.split()[0]} is for the report of one run")


@pytest.mark.usefixtures("drawn")
def test_a_training_that_is_resumed_may_end_with_its_report(digits, here):
    status, output, errors = digits("train --resume stopped --report")
    assert (status, errors) == (0, "")
    assert output.splitlines()[-1].startswith("Report      stopped/report.html  (")
    assert (here / "stopped/report.html").exists()


@pytest.mark.usefixtures("drawn")
def test_a_run_with_a_report_can_be_trained_on(digits, here):
    assert digits("report run")[0] == 0
    assert "evaluation" in (here / "run/metrics.json").read_text()
    assert digits("train --resume run --set epochs=3")[0] == 0
    assert "evaluation" not in (here / "run/metrics.json").read_text()  # it was of other weights


@pytest.mark.usefixtures("drawn")
def test_a_report_may_be_of_other_digits_and_lie_elsewhere(digits, here):
    assert digits("report run others.csv -o shown")[0] == 0
    assert "images of others.csv read rightly" in (here / "shown/report.html").read_text()
    assert not (here / "run/report.html").exists()


@pytest.mark.usefixtures("drawn")
def test_a_report_may_be_of_the_images_to_submit(digits, here):
    assert digits("report run digit-recognizer.zip --part test")[0] == 0
    assert "These images have no labels" in (here / "run/report.html").read_text()
    assert "evaluation" not in json.loads((here / "run/metrics.json").read_text())


@pytest.mark.usefixtures("drawn")
def test_on_a_terminal_a_report_is_told_about(digits, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # Rich then takes the output for a terminal
    status, output, _ = digits("report run others.csv")
    assert status == 0
    assert "run/report.html" in output.splitlines()[-1]


@pytest.mark.usefixtures("drawn")
def test_runs_behind_each_other_are_compared(digits, here):
    shutil.copytree(here / "run", here / "twin")
    status, output, errors = digits("report run twin others.csv -o compared")
    assert (status, errors) == (0, "")
    assert output.startswith("Report      compared/report.html  (")
    page = (here / "compared/report.html").read_text()
    assert "They give the same answer to every image." in page
    assert "All are judged by the same 50 images of others.csv" in page


@pytest.mark.usefixtures("drawn")
def test_a_comparison_without_a_folder_lands_below_runs_and_takes_the_first_runs_digits(digits, here):
    assert digits(f"{TRAIN} --set epochs=1")[0] == 0
    shutil.copytree(here / "new", here / "twin")
    assert digits("report new twin")[0] == 0
    (folder,) = (here / "runs").iterdir()
    assert folder.name.endswith("-comparison")
    page = (folder / "report.html").read_text()
    assert "All are judged by the same 40 images of digit-recognizer.zip, which" in page


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("report none", "there is no run folder none"),
        ("report .", ". is no run folder"),
        ("report stopped", "stopped is not finished: go on with 'digits train --resume stopped'"),
        ("report run none.csv", "none.csv: no such file or folder"),
        ("report run none others.csv", "there is no run folder none"),
        ("report run stopped", "stopped is not finished"),
        ("report run --digit 3 --index 4", "--digit and --index both choose the image: give one of them"),
        (
            "report run digit-recognizer.zip --index 200",
            "digit-recognizer.zip has no row 200: choose --index from 0 to 199",
        ),
        (
            "report run digit-recognizer.zip --filter 4",
            "conv1 has no filter 4: choose --filter from 0 to 3",
        ),
        (
            "report run no-seven.csv --digit 7",
            "no-seven.csv has no image of a 7 to show: choose another --digit",
        ),
        (
            "report run digit-recognizer.zip --part test --digit 7",
            "digit-recognizer.zip, test part has no labels: choose an image with --index instead of --digit",
        ),
        ("report run digit-recognizer.zip -o test.csv", "cannot write into test.csv: "),
        ("report run digit-recognizer.zip -o test.csv/below", "cannot write into test.csv/below: "),
        ("report run run digit-recognizer.zip -o test.csv", "cannot write into test.csv: "),
        ("report full digit-recognizer.zip", "cannot write into full: File exists"),
    ],
)
@pytest.mark.usefixtures("drawn")
def test_a_report_that_cannot_be_made_is_one_sentence_and_status_2(command, sentence, digits, here):
    (here / "no-seven.csv").write_text(csv_of(OTHERS[OTHERS.labels != 7]))
    shutil.copytree(here / "run", here / "full")
    (here / "full/figures").write_text("a file, where a folder should be")
    before = files_in(here)
    status, output, errors = digits(command)
    assert (status, output) == (2, "")
    assert errors.startswith(f"digits: {sentence}")
    assert errors.count("\n") == 1
    assert files_in(here) == before
