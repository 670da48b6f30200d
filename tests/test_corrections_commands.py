"""The commands of corrections: list, export, clear; and training with them."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from digit_recognizer.cli.app import app
from digit_recognizer.corrections import CorrectionStore
from digit_recognizer.digits import Digits
from digit_recognizer.sources import load_digits, write_training_csv
from helpers import assert_refused, csv_of, make_digits, read_page, says

DIGITS = make_digits(6, seed=5)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with six corrections of digits and one of none, where they are unless said otherwise."""
    monkeypatch.chdir(tmp_path)
    store = CorrectionStore(tmp_path / "runs/corrections.sqlite")
    for image, label in zip(DIGITS.images, DIGITS.labels, strict=True):
        store.add(image, int(label), 9 - int(label), "shipped")
    store.add(np.full((28, 28), 7, np.uint8), None, 3, "[red]odd[/red]")
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_list_shows_a_row_for_each(run_command):
    status, output, _ = run_command("corrections list")
    assert status == 0
    rows = [line.split() for line in output.splitlines() if line.split()[:1] and line.split()[0].isdecimal()]
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5", "6", "7"]
    assert rows[0][2:] == ["digit", "9", "0", "shipped"]
    assert rows[6][2:] == ["digit", "3", "no", "digit", "[red]odd[/red]"]


def test_list_gives_an_object_for_each_as_json(folder, run_command):
    _, output, _ = run_command("corrections list --json")
    rows = [json.loads(line) for line in output.splitlines()]
    kept = CorrectionStore(folder / "runs/corrections.sqlite").all()
    assert [row["id"] for row in rows] == [each.id for each in kept]
    assert rows[6] == {"id": 7, "time": kept[6].time, "read_as": 3, "label": None, "model": "[red]odd[/red]"}


def test_the_environment_may_name_the_file(folder, run_command, monkeypatch):
    (folder / "runs/corrections.sqlite").rename(folder / "elsewhere.sqlite")
    assert run_command("corrections list")[0] == 2
    monkeypatch.setenv("DIGITS_CORRECTIONS_FILE", str(folder / "elsewhere.sqlite"))
    _, output, _ = run_command("corrections list --json")
    assert len(output.splitlines()) == 7
    assert_refused(run_command("train --with-corrections --from runs/a"), "run folder", "runs/a")


@pytest.mark.parametrize("name", ["mine.csv", "mine.npz", "MINE.CSV"])
def test_what_is_exported_is_a_source_of_digits(folder, run_command, name):
    status, output, _ = run_command(f"corrections export {name}")
    assert status == 0
    assert says(output, name, "6 corrections", "1 non-digit")
    assert (".npz" in output.replace(name, "")) == (name != "mine.npz")  # which would keep the non-digit
    digits = load_digits(folder / name)
    np.testing.assert_array_equal(digits.images, DIGITS.images)
    np.testing.assert_array_equal(digits.labels, DIGITS.labels)
    if name == "mine.npz":
        with np.load(folder / name) as arrays:
            assert arrays["others"].shape == (1, 28, 28)


@pytest.fixture
def with_numbers(folder) -> CorrectionStore:
    """Two numbers besides the digits; of one, the digits are known."""
    store = CorrectionStore(folder / "runs/corrections.sqlite")
    store.add_number(np.full((20, 50), 200, np.uint8), "1,5", "7.5", DIGITS.images[:3] ^ 1, "shipped")
    store.add_number(np.full((20, 30), 100, np.uint8), "42", "", None, "shipped")
    return store


@pytest.mark.usefixtures("with_numbers")
def test_numbers_are_listed_with_the_digits(run_command):
    _, output, _ = run_command("corrections list")
    rows = [line.split() for line in output.splitlines() if line.split()[:1] and line.split()[0].isdecimal()]
    assert [row[2:] for row in rows[7:]] == [
        ["number", "7.5", "1,5", "shipped"],
        ["number", "no", "digit", "42", "shipped"],
    ]
    found = [json.loads(line) for line in run_command("corrections list --json")[1].splitlines()]
    kept = [
        (each["id"], each["read_as"], each["number"], each["width"], each["height"]) for each in found[7:]
    ]
    assert kept == [(1, "7.5", "1,5", 50, 20), (2, "", "42", 30, 20)]


def test_whole_numbers_are_exported_to_a_folder_and_their_digits_to_a_file(with_numbers, folder, run_command):
    status, output, _ = run_command("corrections export cells")
    assert (status, "2 numbers" in output) == (0, True)
    assert list(csv.reader((folder / "cells/labels.csv").read_text().splitlines())) == [
        ["file", "label"],
        ["number-1.png", "1,5"],
        ["number-2.png", "42"],
    ]
    for each in with_numbers.numbers():
        with Image.open(folder / f"cells/number-{each.id}.png") as picture:
            np.testing.assert_array_equal(np.asarray(picture), each.picture)
    assert_refused(run_command("corrections export cells"), "cells", "exists already")
    assert run_command("corrections export mine.npz")[0] == 0
    assert load_digits(folder / "mine.npz").labels.tolist() == [*DIGITS.labels, 1, 5]


@pytest.mark.usefixtures("folder")
def test_without_numbers_no_folder_is_written(run_command):
    assert_refused(run_command("corrections export cells"), "cells", "numbers")
    assert not Path("cells").exists()


@pytest.mark.usefixtures("folder")
def test_nothing_is_written_where_there_is_nothing(run_command):
    assert_refused(run_command("corrections export mine.txt"), "mine.txt", ".npz", ".csv")
    run_command("corrections clear --yes")
    assert_refused(run_command("corrections export mine.csv"), "runs/corrections.sqlite", "mine.csv")
    assert not Path("mine.csv").exists()
    for action in ("list", "clear"):
        status, output, _ = run_command(f"corrections {action}")
        assert (status, output.count("\n")) == (0, 1)
        assert says(output, "runs/corrections.sqlite", "no corrections")


@pytest.mark.parametrize(
    ("answer", "status", "left"), [("n\n", 1, 7), ("", 1, 7), ("y\n", 0, 0)], ids=["no", "none", "yes"]
)
def test_clear_asks_and_says_how_many(answer, status, left, folder):
    asked = CliRunner().invoke(app, ["corrections", "clear"], input=answer)
    assert asked.exit_code == status
    assert says(asked.output, "Delete 7 corrections", "runs/corrections.sqlite")
    assert ("Deleted 7 corrections" in asked.output) == (left == 0)
    assert CorrectionStore(folder / "runs/corrections.sqlite").count() == left


def test_clear_gives_up_where_the_file_stays_locked(folder, run_command, monkeypatch):
    monkeypatch.setattr("digit_recognizer.corrections.database.BUSY_TIMEOUT_SECONDS", 0.05)
    path = folder / "runs/corrections.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert_refused(run_command("corrections clear --yes"), "runs/corrections.sqlite", "in use")
        assert run_command("corrections list")[0] == 0
    assert CorrectionStore(path).count() == 7


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ("--from runs/a", ["--from", "--with-corrections"]),
        ("--corrections-file a.sqlite", ["--corrections-file", "--with-corrections"]),
        ("--with-corrections --folds 3", ["--with-corrections", "--folds"]),
        ("--with-corrections --resume runs/a", ["--with-corrections", "--resume"]),
        ("--with-corrections --from runs/a --recipe flash", ["--from", "runs/a", "--recipe", "--set"]),
        ("--with-corrections --from runs/a", ["runs/a", "run folder"]),
        ("--with-corrections --corrections-file missing.sqlite", ["missing.sqlite"]),
        ("--with-corrections --set corrections.file=a.sqlite", ["--corrections-file", "--set"]),
    ],
)
@pytest.mark.usefixtures("folder")
def test_options_that_do_not_go_together_are_refused(run_command, options, facts):
    assert_refused(run_command(f"train bundled {options} --out runs/new"), *facts)
    assert not Path("runs/new").exists()


@pytest.mark.usefixtures("one_thread", "drawn")
def test_a_run_is_fine_tuned_from_its_own_source_and_reported(folder, run_command):
    """In text, as JSON and on the page: from which run, on what, what it gained and what it cost."""
    Path("train.csv").write_text(csv_of(make_digits(200)))
    network = """--set 'network=["maxpool 4", "dense 10"]' --set batch_size=32 --set epochs=2"""
    assert run_command(f"train train.csv --recipe flash {network} --out runs/old")[0] == 0
    tune = "train --from runs/old --with-corrections --set corrections.images=64"
    status, output, error = run_command(f"{tune} --out runs/new --report")
    assert status == 0, error
    assert says(output, "6 corrections", folder / "runs/old", "1 correction labelled as non-digit")
    assert says(output, "Corrections ", "Learned ", "Cost ")
    sections = [each.attributes.get("id") for each in read_page(Path("runs/new/report.html")).all("section")]
    assert "corrections" in sections
    _, output, _ = run_command(f"{tune} --out runs/json --json")
    events = {row["event"]: row for row in map(json.loads, output.splitlines())}
    assert events["corrections"]["left_out"] == {"no_digit": 1, "held_out": 0}
    said = events["finished"]["corrections"]
    assert said["classes"] == list(range(6))
    assert said == json.loads(Path("runs/json/metrics.json").read_text())["corrections"]


def test_train_csv_comes_back_as_it_was_written(tmp_path):
    digits = Digits(DIGITS.images, DIGITS.labels)
    write_training_csv(digits, tmp_path / "train.csv")
    with (tmp_path / "train.csv").open() as file:
        assert next(csv.reader(file))[:3] == ["label", "pixel0", "pixel1"]
    assert load_digits(tmp_path / "train.csv").sha256() == digits.sha256()
