"""The competition's CSV: what is wrong with one is said with file, line and column."""

from __future__ import annotations

import gzip
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from digit_recognizer.digits import Digits
from digit_recognizer.sources import load_digits, streams, write_submission, write_training_csv
from helpers import csv_of, refusal, says


@pytest.fixture
def lines(digits) -> list[list[str]]:
    """The cells of a train.csv of a header and 20 rows; `lines[0]` is line 1 of the file."""
    return [line.split(",") for line in csv_of(digits).splitlines()]


def joined(lines: list[list[str]]) -> str:
    return "\n".join(",".join(line) for line in lines)


def refused(path, *facts: object) -> None:
    assert says(refusal(lambda: load_digits(path)), path, *facts)


@pytest.fixture
def refused_lines(tmp_path):
    """Return a function that sees what is said of the lines of a train.csv."""

    def see(lines: list[list[str]], *facts: object) -> None:
        (tmp_path / "train.csv").write_text(joined(lines))
        refused(tmp_path / "train.csv", *facts)

    return see


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_digits_come_back_from_a_csv(data, tmp_path):
    count = data.draw(st.integers(1, 3))
    images = data.draw(arrays(np.uint8, (count, 28, 28)))
    labels = data.draw(st.none() | arrays(np.int64, count, elements=st.integers(0, 9)))
    images[0, 0, 0] = max(images[0, 0, 0], 2)  # only 0 and 1 would be another scale
    digits = Digits(images, labels)
    (tmp_path / "any.csv").write_text(csv_of(digits))
    assert load_digits(tmp_path / "any.csv", "test").sha256() == digits.sha256()


@pytest.mark.parametrize("cell", ["256", "-1", "1.5", "x", "NaN", "1e-2", "1_0", "9" * 21, "", "  "])
def test_a_cell_that_is_not_a_pixel_is_named_with_line_and_column(cell, lines, refused_lines):
    lines[6][1 + 391] = cell
    found = f"'{cell}'" if cell.strip() else "an empty cell"
    refused_lines(lines, "line 7, column pixel391: expected an integer 0 to 255, found " + found)


@pytest.mark.parametrize("cell", ["10", "-1", "300", "ten"])
def test_a_label_that_is_not_a_digit_is_named_with_its_line(cell, lines, refused_lines):
    lines[1][0] = cell
    refused_lines(lines, "line 2, column label", "0 to 9", f"'{cell}'")


def test_the_first_of_several_bad_cells_is_named(lines, refused_lines):
    lines[9][5], lines[4][700], lines[4][3] = "x", "y", "z"
    refused_lines(lines, "line 5, column pixel2", "0 to 255", "'z'")


@pytest.mark.parametrize("bad", [3, 1])
def test_a_row_too_short_is_named_with_its_line(bad, lines, refused_lines):
    lines[bad].pop()
    refused_lines(lines, f"line {bad + 1}", "785 cells", "found 784")


def test_a_row_too_long_is_named_with_its_line(lines, refused_lines):
    lines[20].append("0")
    refused_lines(lines, "line 21", "785 cells", "found 786")


def test_rows_that_are_all_too_short_are_refused_too(lines, refused_lines):
    refused_lines([lines[0], *(line[:-1] for line in lines[1:])], "line 2", "785 cells", "found 784")


def test_blank_lines_are_ignored_and_still_counted(tmp_path, digits, lines, refused_lines):
    lines[1:1] = [[""], [" "]]
    lines[9:9] = [[""]]
    spaced = [*lines, [""], [""]]
    (tmp_path / "ok.csv").write_text(joined(spaced))
    assert load_digits(tmp_path / "ok.csv").sha256() == digits.sha256()
    spaced[12][1] = "x"
    refused_lines(spaced, "line 13, column pixel0")


def test_spaces_and_plus_signs_around_numbers_do_no_harm(tmp_path, digits, lines, refused_lines):
    lines[0] = [f" {cell}" for cell in lines[0]]
    lines[2] = [f" +{cell} " for cell in lines[2]]
    (tmp_path / "ok.csv").write_text(joined(lines))
    assert load_digits(tmp_path / "ok.csv").sha256() == digits.sha256()
    lines[3][5] = "256"
    refused_lines(lines, "line 4, column pixel4")


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (lambda lines: [line[:100] for line in lines], ("pixel99, pixel100, pixel101 and 682 more",)),
        (lambda lines: [[*lines[0], "pixel5"], *lines[1:]], ("more than once", "pixel5")),
    ],
    ids=["missing columns", "a repeated column"],
)
def test_a_wrong_header_is_refused_with_its_columns(change, facts, lines, refused_lines):
    refused_lines(change(lines), "line 1", *facts)


def test_a_csv_without_rows_is_refused(tmp_path, lines, refused_lines):
    (tmp_path / "empty.csv").write_bytes(b"")
    refused(tmp_path / "empty.csv", "empty", "label,pixel0,")
    refused_lines([lines[0], [""], [" "]], "no rows")


def test_test_csv_is_refused_for_training_with_what_to_give_instead(tmp_path, digits):
    path = tmp_path / "test.csv"
    path.write_text(csv_of(Digits(digits.images)))
    refused(path, "'label'", "train.csv", "archive")
    assert (load_digits(path, "test").images == digits.images).all()
    refused(tmp_path, "train.csv, train.csv.gz, train.csv.zip or digit-recognizer.zip")


@pytest.mark.parametrize("place", ["header", "rows"])
def test_undecodable_bytes_are_refused(place, tmp_path, lines):
    text = joined(lines).encode()
    damaged = b"\xff\xfe" + text if place == "header" else text + b"\n\x93\n"
    (tmp_path / "train.csv").write_bytes(damaged)
    refused(tmp_path / "train.csv", "UTF-8")


def zipped(path, members: dict[str, str], compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_an_error_within_an_archive_names_the_member(tmp_path, lines):
    lines[1][1] = "x"
    path = zipped(tmp_path / "digit-recognizer.zip", {"train.csv": joined(lines), "test.csv": ""})
    refused(path, "digit-recognizer.zip: train.csv, line 2, column pixel0")


@pytest.mark.parametrize(
    ("names", "found"), [("abcd", "a.csv, b.csv, c.csv and 2 more"), ("", "readme.txt")], ids=["four", "none"]
)
def test_an_archive_without_train_csv_is_refused_with_what_it_holds(names, found, tmp_path):
    members = {"readme.txt": ""} | {f"{name}.csv": "" for name in names}
    refused(zipped(tmp_path / "a.zip", members), "expected a member train.csv", found)


def test_an_archive_without_members_is_refused(tmp_path):
    refused(zipped(tmp_path / "a.zip", {}), "expected a member train.csv", "found nothing")


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.999])
def test_a_truncated_zip_is_refused(keep, tmp_path, digits):
    path = zipped(tmp_path / "a.zip", {"train.csv": csv_of(digits)})
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    refused(path, "damaged or incomplete", "download it again")


def test_a_zip_with_damaged_content_is_refused(tmp_path, digits):
    path = zipped(tmp_path / "a.zip", {"train.csv": csv_of(digits)}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())  # stored: only the checksum tells
    content[content.rindex(b",0,0,0") + 1] = ord("7")
    path.write_bytes(content)
    refused(path, "a.zip: train.csv", "damaged or incomplete")


def test_an_encrypted_zip_is_refused(tmp_path):
    path = zipped(tmp_path / "a.zip", {"train.csv": "label"})
    content = bytearray(path.read_bytes())
    content[6] |= 1  # the flag in the member's own header
    content[content.index(b"PK\1\2") + 8] |= 1  # and in the directory
    path.write_bytes(content)
    refused(path, "a.zip: train.csv", "encrypted")


@pytest.mark.parametrize("damage", ["truncated", "wrong checksum"])
def test_a_damaged_gz_is_refused(damage, tmp_path, digits):
    packed = gzip.compress(csv_of(digits).encode())
    wrong = packed[:-8] + zlib.crc32(b"else").to_bytes(4, "little") + packed[-4:]
    (tmp_path / "a.csv.gz").write_bytes(packed[: len(packed) // 2] if damage == "truncated" else wrong)
    refused(tmp_path / "a.csv.gz", "damaged or incomplete")


@pytest.mark.parametrize("kind", ["zip", "gz"])
def test_what_unpacks_to_more_than_the_limit_is_refused(kind, tmp_path, digits, monkeypatch):
    text = csv_of(digits)
    monkeypatch.setattr(streams, "MAX_UNPACKED_BYTES", len(text) - 1)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode()))
    zipped(tmp_path / "a.csv.zip", {"train.csv": text})
    refused(tmp_path / f"a.csv.{kind}", f"more than {len(text) - 1} bytes")


def test_a_submission_numbers_the_images_from_1(tmp_path):
    write_submission(np.array([2, 0, 9]), tmp_path / "submission.csv")
    assert (tmp_path / "submission.csv").read_bytes() == b"ImageId,Label\n1,2\n2,0\n3,9\n"


@pytest.mark.parametrize("labels", [np.array([[1]]), np.array([1.0]), np.array([3, 10]), np.array([-1])])
def test_a_submission_of_anything_but_digits_is_refused(labels, tmp_path):
    message = refusal(lambda: write_submission(labels, tmp_path / "submission.csv"))
    assert says(message, "labels 0 to 9", "(N,)", labels.dtype, labels.shape)
    assert not (tmp_path / "submission.csv").exists()


def test_a_training_csv_needs_labels(tmp_path, digits):
    write_training_csv(digits, tmp_path / "train.csv")
    assert (tmp_path / "train.csv").read_text() == csv_of(digits)
    message = refusal(lambda: write_training_csv(Digits(digits.images), tmp_path / "other.csv"))
    assert says(message, "other.csv", "no labels")
