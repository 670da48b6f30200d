"""history.csv: what is written is read back; test_damage has files that are damaged."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digit_recognizer.runs.history import EpochRecord, history_to_csv, read_history
from digit_recognizer.training import train
from helpers import make_digits, tiny

VALIDATED = EpochRecord(1, 0.01, 2.3, 0.1, 2.25, 0.125, 35, 0.5, 320.0)
ALONE = replace(VALIDATED, validation_loss=None, validation_accuracy=None, validation_errors=None)

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


@pytest.mark.usefixtures("without_export")
def test_the_history_of_a_training_is_read_back(tmp_path):
    recipe = tiny(network=("dense 10",), epochs=2)
    records = list(train(make_digits(), recipe, tmp_path / "run"))
    assert read_history(tmp_path / "run/history.csv") == records
