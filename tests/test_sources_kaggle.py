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
from digit_recognizer.errors import DigitsError
from digit_recognizer.sources import load_digits, streams, write_submission


@pytest.fixture
def lines(digits, csv_text) -> list[list[str]]:
    """The cells of a train.csv of a header and 20 rows; `lines[0]` is line 1 of the file."""
    return [line.split(",") for line in csv_text(digits).splitlines()]


def refusal(path) -> str:
    with pytest.raises(DigitsError) as error:
        load_digits(path)
    message = str(error.value)
    assert str(path) in message
    return message


def refusal_of(tmp_path, lines) -> str:
    (tmp_path / "train.csv").write_text("\n".join(",".join(line) for line in lines))
    return refusal(tmp_path / "train.csv")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_digits_come_back_from_a_csv(data, tmp_path, csv_text):
    count = data.draw(st.integers(1, 3))
    images = data.draw(arrays(np.uint8, (count, 28, 28)))
    labels = data.draw(st.none() | arrays(np.int64, count, elements=st.integers(0, 9)))
    digits = Digits(images, labels)
    (tmp_path / "any.csv").write_text(csv_text(digits))
    assert load_digits(tmp_path / "any.csv", "test").sha256() == digits.sha256()


@pytest.mark.parametrize("cell", ["256", "-1", "1.5", "x", "NaN", "1e2", "1_0", "999999999999999999999"])
def test_a_cell_that_is_no_pixel_is_named_with_line_and_column(cell, tmp_path, lines):
    lines[6][1 + 391] = cell
    message = refusal_of(tmp_path, lines)
    assert f"train.csv, line 7, column pixel391: expected an integer 0 to 255, found '{cell}'" in message


@pytest.mark.parametrize("cell", ["", "  "])
def test_an_empty_cell_is_named_with_line_and_column(cell, tmp_path, lines):
    lines[20][784] = cell
    message = refusal_of(tmp_path, lines)
    assert "line 21, column pixel783: expected an integer 0 to 255, found an empty cell" in message


@pytest.mark.parametrize("cell", ["10", "-1", "300", "seven"])
def test_a_label_that_is_no_digit_is_named_with_its_line(cell, tmp_path, lines):
    lines[1][0] = cell
    message = refusal_of(tmp_path, lines)
    assert f"train.csv, line 2, column label: expected an integer 0 to 9, found '{cell}'" in message


def test_the_first_of_several_bad_cells_is_named(tmp_path, lines):
    lines[9][5], lines[4][700], lines[4][3] = "x", "y", "z"
    assert "line 5, column pixel2: expected an integer 0 to 255, found 'z'" in refusal_of(tmp_path, lines)


@pytest.mark.parametrize("bad", [3, 1])
def test_a_row_too_short_is_named_with_its_line(bad, tmp_path, lines):
    lines[bad].pop()
    message = refusal_of(tmp_path, lines)
    assert f"line {bad + 1}: expected 785 cells, one for each column of the header, found 784" in message


def test_a_row_too_long_is_named_with_its_line(tmp_path, lines):
    lines[20].append("0")
    assert "line 21: expected 785 cells" in refusal_of(tmp_path, lines)
    assert "found 786" in refusal_of(tmp_path, lines)


def test_rows_that_are_all_too_short_are_refused_too(tmp_path, lines):
    rows = [line[:-1] for line in lines[1:]]
    assert "line 2: expected 785 cells" in refusal_of(tmp_path, [lines[0], *rows])


def test_blank_lines_are_ignored_and_still_counted(tmp_path, digits, lines):
    lines[1:1] = [[""], [" "]]
    lines[9:9] = [[""]]
    spaced = [*lines, [""], [""]]
    (tmp_path / "ok.csv").write_text("\n".join(",".join(line) for line in spaced))
    assert load_digits(tmp_path / "ok.csv").sha256() == digits.sha256()
    spaced[12][1] = "x"
    assert "line 13, column pixel0" in refusal_of(tmp_path, spaced)


def test_spaces_and_plus_signs_around_numbers_do_no_harm(tmp_path, digits, lines):
    lines[0] = [f" {cell}" for cell in lines[0]]
    lines[2] = [f" +{cell} " for cell in lines[2]]
    (tmp_path / "ok.csv").write_text("\n".join(",".join(line) for line in lines))
    assert load_digits(tmp_path / "ok.csv").sha256() == digits.sha256()
    lines[3][5] = "256"
    assert "line 4, column pixel4" in refusal_of(tmp_path, lines)


def test_missing_columns_are_named_with_their_number(tmp_path, lines):
    message = refusal_of(tmp_path, [line[:100] for line in lines])
    assert "line 1: columns are missing from the header: pixel99, pixel100, pixel101 and 682 more" in message


def test_doubled_and_unknown_columns_are_named(tmp_path, lines):
    lines[0].append("pixel5")
    assert "columns are in the header twice: pixel5" in refusal_of(tmp_path, lines)
    lines[0][-1] = "writer"
    assert "expected only label and pixels as columns, found 'writer'" in refusal_of(tmp_path, lines)


def test_a_file_without_a_header_is_refused(tmp_path, lines):
    message = refusal_of(tmp_path, lines[1:])
    assert "line 1: expected a header line label,pixel0,…, found numbers" in message


def test_test_csv_is_refused_for_training_with_what_to_give_instead(tmp_path, digits, csv_text):
    (tmp_path / "test.csv").write_text(csv_text(Digits(digits.images)))
    message = refusal(tmp_path / "test.csv")
    assert "no column 'label', so it looks like test.csv: give train.csv or the archive" in message
    assert (load_digits(tmp_path / "test.csv", "test").images == digits.images).all()


def test_an_empty_file_and_one_with_a_header_only_are_refused(tmp_path, lines):
    (tmp_path / "train.csv").write_bytes(b"")
    assert "is empty: expected a header line" in refusal(tmp_path / "train.csv")
    assert "has a header but no rows below it" in refusal_of(tmp_path, [*lines[:1], [""], [" "]])


@pytest.mark.parametrize("place", ["header", "rows"])
def test_undecodable_bytes_are_refused(place, tmp_path, lines):
    text = "\n".join(",".join(line) for line in lines).encode()
    damaged = b"\xff\xfe" + text if place == "header" else text + b"\n\x93\n"
    (tmp_path / "train.csv").write_bytes(damaged)
    assert "is not UTF-8 text: expected a CSV" in refusal(tmp_path / "train.csv")


def zipped(path, members: dict[str, str]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_an_error_within_an_archive_names_the_member(tmp_path, lines):
    lines[1][1] = "x"
    text = "\n".join(",".join(line) for line in lines)
    zipped(tmp_path / "digit-recognizer.zip", {"train.csv": text, "test.csv": ""})
    assert "digit-recognizer.zip: train.csv, line 2, column pixel0" in refusal(
        tmp_path / "digit-recognizer.zip"
    )


@pytest.mark.parametrize(
    ("members", "held"),
    [
        ({"a.csv": "", "b.csv": "", "c.csv": "", "d.csv": ""}, "it holds a.csv, b.csv, c.csv and 1 more"),
        ({"readme.txt": ""}, "it holds no CSV at all"),
        ({}, "it holds no CSV at all"),
    ],
)
def test_an_archive_without_train_csv_is_refused_with_what_it_holds(members, held, tmp_path):
    zipped(tmp_path / "a.zip", members)
    assert f"expected a member train.csv, but {held}" in refusal(tmp_path / "a.zip")


def test_a_folder_without_the_part_is_refused_with_what_is_expected(tmp_path, digits, csv_text):
    (tmp_path / "test.csv").write_text(csv_text(Digits(digits.images)))
    message = refusal(tmp_path)
    assert "expected train.csv, train.csv.gz, train.csv.zip or digit-recognizer.zip" in message


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.999])
def test_a_truncated_zip_is_refused(keep, tmp_path, digits, csv_text):
    zipped(tmp_path / "a.zip", {"train.csv": csv_text(digits)})
    content = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(content[: int(len(content) * keep)])
    assert "damaged or incomplete: fetch it again" in refusal(tmp_path / "a.zip")


def test_a_zip_with_damaged_content_is_refused(tmp_path, digits, csv_text):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:  # stored: only the checksum tells
        archive.writestr("train.csv", csv_text(digits))
    content = bytearray((tmp_path / "a.zip").read_bytes())
    at = content.rindex(b",0,0,0")
    content[at + 1] = ord("7")
    (tmp_path / "a.zip").write_bytes(content)
    assert "a.zip: train.csv is damaged or incomplete" in refusal(tmp_path / "a.zip")


def test_an_encrypted_zip_is_refused(tmp_path):
    zipped(tmp_path / "a.zip", {"train.csv": "label"})
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[6] |= 1  # the flag in the member's own header
    content[content.index(b"PK\1\2") + 8] |= 1  # and in the directory
    (tmp_path / "a.zip").write_bytes(content)
    message = refusal(tmp_path / "a.zip")
    assert "cannot be unpacked" in message
    assert "encrypted" in message


def test_a_truncated_gz_and_a_damaged_one_are_refused(tmp_path, digits, csv_text):
    packed = gzip.compress(csv_text(digits).encode())
    (tmp_path / "a.csv.gz").write_bytes(packed[: len(packed) // 2])
    assert "damaged or incomplete" in refusal(tmp_path / "a.csv.gz")
    wrong_sum = packed[:-8] + zlib.crc32(b"else").to_bytes(4, "little") + packed[-4:]
    (tmp_path / "a.csv.gz").write_bytes(wrong_sum)
    assert "damaged or incomplete" in refusal(tmp_path / "a.csv.gz")


@pytest.mark.parametrize("kind", ["zip", "gz"])
def test_what_unpacks_to_more_than_the_limit_is_refused(kind, tmp_path, digits, csv_text, monkeypatch):
    text = csv_text(digits)
    monkeypatch.setattr(streams, "MAX_BYTES", len(text) - 1)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode()))
    zipped(tmp_path / "a.csv.zip", {"train.csv": text})
    assert f"holds more than {len(text) - 1} bytes" in refusal(tmp_path / f"a.csv.{kind}")


def test_a_submission_numbers_the_images_from_1(tmp_path):
    write_submission(np.array([2, 0, 9]), tmp_path / "submission.csv")
    assert (tmp_path / "submission.csv").read_bytes() == b"ImageId,Label\n1,2\n2,0\n3,9\n"


@pytest.mark.parametrize("labels", [np.array([[1]]), np.array([1.0]), np.array([3, 10]), np.array([-1])])
def test_a_submission_of_anything_but_digits_is_refused(labels, tmp_path):
    with pytest.raises(DigitsError, match="expected labels 0 to 9"):
        write_submission(labels, tmp_path / "submission.csv")
    assert not (tmp_path / "submission.csv").exists()
