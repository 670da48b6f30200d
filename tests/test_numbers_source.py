"""Tables of pictures of whole numbers: which are read, and what is wrong with the others."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from digit_recognizer.errors import DigitsError
from digit_recognizer.sources.numbers import MAX_PIXELS, is_number_table, load_numbers
from helpers import refusal, says
from pictures import encoded

PICTURE = encoded(np.full((20, 30), 200, np.uint8), "PNG")


def table_in(folder: Path, text: str, name: str = "labels.csv") -> Path:
    """Write a table beside the pictures a.png, b.png and broken.png, and return its path."""
    for file in ("a.png", "b.png"):
        (folder / file).write_bytes(PICTURE)
    (folder / "broken.png").write_bytes(PICTURE[:40])
    path = folder / name
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "labels", "parts"),
    [
        ('file,label\na.png,12\nb.png,"1,50"\n', ("12", "1,50"), None),
        ("label,filename\n-3.5,a.png\n", ("-3.5",), None),
        ("\ufeffImage;Text\na.png;7/8\nb.png;1,5\n", ("7/8", "1,5"), None),
        ("path\tnumber\na.png\t10:45\n\n", ("10:45",), None),
        ("file,label,part\na.png,1,train\nb.png,2,val\n", ("1", "2"), ("train", "validation")),
        ("file,label\na.png,12\na.png,12\n", ("12",), None),
    ],
    ids=["plain", "other order", "semicolons", "tabs", "parts", "a row twice"],
)
def test_a_table_is_read(tmp_path, text, labels, parts):
    path = table_in(tmp_path, text)
    found = load_numbers(path)
    assert (found.labels, found.parts) == (labels, parts)
    assert all(picture.shape == (20, 30) for picture in found.pictures)
    assert load_numbers(tmp_path).sha256() == found.sha256()
    assert is_number_table(path)
    assert is_number_table(tmp_path)


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("a.png,12a", "the label '12a' of a.png has 'a'"),
        ("a.png,", "a.png has no label"),
        (",5", "the name of the file is missing"),
        ("none.png,5", "there is no picture none.png"),
        ("broken.png,5", "broken.png"),
        ("b.png,3", "b.png has different labels: 2 and 3"),
    ],
)
def test_a_wrong_row_is_named_and_can_be_left_out(tmp_path, caplog, row, what):
    path = table_in(tmp_path, f"file,label\na.png,1\n{row}\nb.png,2\n")
    if row.startswith("a.png"):
        path.write_text(f"file,label\nb.png,1\n{row}\n", "utf-8")
    message = refusal(lambda: load_numbers(path))
    assert says(
        message, "labels.csv, row 3" if "different" not in what else "labels.csv, row", what, "--skip-bad"
    )
    with caplog.at_level(logging.WARNING):
        rest = load_numbers(path, skip_bad=True)
    assert 0 < len(rest) < 3
    assert "left out, first" in caplog.text


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("name,age\na,1\n", "found no file"),
        ("file,age\na.png,1\n", "found no label"),
        ("file,label,part\na.png,1,spare\n", "expected train, validation or test"),
        ("file,label\n", "found none"),
        ("", "found no file"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path, text, what):
    assert says(refusal(lambda: load_numbers(table_in(tmp_path, text))), what)


def test_what_is_missing_is_named(tmp_path):
    assert says(refusal(lambda: load_numbers(tmp_path)), "expected labels.csv")
    assert says(refusal(lambda: load_numbers(tmp_path / "none.csv")), "there is no table")
    assert not is_number_table(tmp_path)


def test_large_pictures_are_made_smaller(tmp_path):
    path = table_in(tmp_path, "file,label\nlarge.png,1\n")
    (tmp_path / "large.png").write_bytes(encoded(np.zeros((2000, 1000), np.uint8), "PNG"))
    (picture,) = load_numbers(path).pictures
    assert picture.size <= MAX_PIXELS * 1.01
    assert picture.shape[0] == pytest.approx(2 * picture.shape[1], abs=2)


def test_rows_are_chosen(tmp_path):
    found = load_numbers(table_in(tmp_path, "file,label,part\na.png,1,train\nb.png,2,test\n"))
    chosen = found[[1]]
    assert (chosen.labels, chosen.files, chosen.parts) == (("2",), ("b.png",), ("test",))
    assert chosen.sha256() != found.sha256()
    with pytest.raises(DigitsError):
        load_numbers(tmp_path / "a.png")
