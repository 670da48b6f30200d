"""history.csv: what is written is read back, and what is damaged is named."""

from __future__ import annotations

import csv
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digit_recognizer.errors import DigitsError
from digit_recognizer.runs.history import EpochRecord, history_to_csv, read_history
from digit_recognizer.training import train
from helpers import make_digits, tiny

VALIDATED = EpochRecord(1, 0.01, 2.3, 0.1, 2.25, 0.125, 35, 0.5, 320.0)
ALONE = replace(VALIDATED, validation_loss=None, validation_accuracy=None, validation_errors=None)
HEADER = ",".join(field.name for field in fields(EpochRecord))

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
RECORDS = st.builds(
    EpochRecord,
    epoch=st.integers(1, 100_000),
    learning_rate=FLOATS,
    loss=FLOATS,
    accuracy=FLOATS,
    validation_loss=st.none() | FLOATS,
    validation_accuracy=st.none() | FLOATS,
    validation_errors=st.none() | st.integers(0, 70_000),
    seconds=FLOATS,
    images_per_second=FLOATS,
    member=st.integers(1, 1_000),
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "history.csv"


@settings(max_examples=50, deadline=None)
@given(history=st.lists(RECORDS, max_size=5))
def test_a_history_is_read_back_to_the_last_bit(history, tmp_path_factory):
    path = tmp_path_factory.mktemp("history") / "history.csv"
    path.write_text(history_to_csv(history))
    assert read_history(path) == history


def test_a_history_is_csv_with_a_header_that_any_program_reads(path):
    path.write_text(history_to_csv([VALIDATED, replace(ALONE, epoch=2)]))
    first, second = csv.DictReader(path.read_text().splitlines())
    assert first["validation_errors"] == "35"
    assert second["validation_errors"] == ""
    assert float(first["loss"]) == 2.3


def test_counts_are_whole_numbers_again(path):
    path.write_text(history_to_csv([VALIDATED]))
    (record,) = read_history(path)
    assert type(record.epoch) is type(record.validation_errors) is int
    assert type(record.images_per_second) is float


def test_a_history_of_no_epochs_is_empty(path):
    path.write_text(history_to_csv([]))
    assert read_history(path) == []


def test_the_history_of_a_training_is_read_back(tmp_path):
    recipe = tiny(network=("dense 10",), epochs=2)
    records = list(train(make_digits(), recipe, tmp_path / "run"))
    assert read_history(tmp_path / "run/history.csv") == records


ROW = "1,0.01,2.3,0.1,,,,0.5,320.0,1"


@pytest.mark.parametrize(
    "row",
    [
        "2",
        "2,0.01,2.3",
        "2,0.01,,0.1,,,,0.5,320.0,1",  # only validation may be missing
        "2,0.01,much,0.1,,,,0.5,320.0,1",
        "two,0.01,2.3,0.1,,,,0.5,320.0,1",
        "2.5,0.01,2.3,0.1,,,,0.5,320.0,1",
        "2,0.01,2.3,0.1,1.0,0.5,3.5,0.5,320.0,1",
        '"2,0.01,2.3,0.1,,,,0.5,320.0,1',
        "2,0.01,2.3,0.1,,,,0.5,320.0",  # as it was before there were members
        "2,0.01,2.3,0.1,,,,0.5,320.0,1.5",
        "2,0.01,nan,0.1,,,,0.5,320.0,1",
        "2,0.01,inf,0.1,,,,0.5,320.0,1",
        "\0" * 50,
        "9" * 5_000 + ",0.01,2.3,0.1,,,,0.5,320.0,1",
    ],
)
def test_a_damaged_line_is_named(row, path):
    path.write_text(f"{HEADER}\n{ROW}\n{row}\n")
    with pytest.raises(DigitsError, match="is damaged: expected a number in each column") as error:
        read_history(path)
    assert str(error.value).startswith(f"{path}, line 3 is damaged")
    assert "\n" not in str(error.value)


def test_a_column_that_is_missing_is_named_with_the_first_line(path):
    path.write_text("epoch,loss\n1,2.3\n")
    with pytest.raises(DigitsError, match="line 2 is damaged"):
        read_history(path)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", HEADER.encode() + b"\n" + b"9" * 200_000], ids=["no text", "a cell too long"]
)
def test_what_is_no_csv_is_named(content, path):
    path.write_bytes(content)
    with pytest.raises(DigitsError) as error:
        read_history(path)
    assert str(error.value).startswith(f"{path} is damaged or cannot be read: ")


def test_a_history_that_is_not_there_is_named(path):
    with pytest.raises(DigitsError) as error:
        read_history(path)
    assert str(error.value).startswith(f"{path} is damaged or cannot be read: ")
