"""Lists of pictures: a table of file names and labels, in the folder of the pictures, above or beside it."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from PIL import Image

from digit_recognizer.digits import Digits
from digit_recognizer.sources import find_source, load_digits, load_test
from helpers import refusal, says
from test_sources_formats import Files, csv, pictures, zipped
from test_sources_people import WORDS, below, write

Make = Callable[[Digits], Files]


@pytest.fixture(scope="module")
def bundled() -> Digits:
    return load_digits("bundled")[:30]


def png(image: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return content.getvalue()


def named(digits: Digits, form: str = "{}.png", start: int = 0) -> Files:
    """Return pictures with numbers as names."""
    return {form.format(at + start): png(image) for at, image in enumerate(digits.images)}


def lines(*columns: Sequence[object], header: str = "", separator: str = ",") -> bytes:
    rows = [separator.join(map(str, row)) for row in zip(*columns, strict=True)]
    return "\n".join(([header] if header else []) + rows).encode() + b"\n"


def listed(digits: Digits, form: str = "{}.png", header: str = "filename,label") -> bytes:
    return lines([form.format(at) for at in range(len(digits))], digits.labels, header=header)


NAMES = [f"{at}.png" for at in range(30)]
READ: dict[str, tuple[str, Make]] = {  # the source, and its files
    "the file": ("labels.csv", lambda d: named(d) | {"labels.csv": listed(d)}),
    "the folder": (".", lambda d: named(d) | {"labels.csv": listed(d)}),
    "a folder above": (".", lambda d: below("a/b", named(d) | {"labels.csv": listed(d)})),
    "a zip": ("a.zip", lambda d: {"a.zip": zipped(below("a", named(d) | {"labels.csv": listed(d)}))}),
    "above the pictures": ("train.csv", lambda d: named(d, "Images/train/{}.png") | {"train.csv": listed(d)}),
    "above the pictures, by folder": (
        ".",
        lambda d: named(d, "train/{}.png") | {"train.csv": listed(d, header="image,digit")},
    ),
    "beside the folder of the pictures": (
        "labels/train.csv",
        lambda d: named(d, "images/{}.png") | {"labels/train.csv": listed(d, "../images/{}.png")},
    ),
    "paths of another machine": (
        "labels.csv",
        lambda d: named(d, "img/{}.png") | {"labels.csv": listed(d, "C:\\me\\img\\{}.png", "path,class")},
    ),
    "ids without a suffix": (
        ".",
        lambda d: named(d, "train/{}.png") | {"train.csv": listed(d, "{}", "id,label")},
    ),
    "names that are in both parts": (
        "train.csv",
        lambda d: named(d, "train/{}.png") | named(d[::-1], "test/{}.png") | {"train.csv": listed(d)},
    ),
    "the same name in two folders": (
        "labels.csv",
        lambda d: named(d, "b/{}.png") | named(d[::-1], "a/{}.png") | {"labels.csv": listed(d, "b/{}.png")},
    ),
    "no header": (".", lambda d: named(d) | {"labels.txt": listed(d, header="")}),
    "spaces and no header": (
        "labels.txt",
        lambda d: named(d) | {"labels.txt": listed(d, header="").replace(b",", b" ")},
    ),
    "the label first": (
        ".",
        lambda d: named(d) | {"l.csv": lines(d.labels, NAMES, header="label,file")},
    ),
    "an index and a further column": (
        ".",
        lambda d: (
            named(d)
            | {
                "l.csv": lines(
                    range(30),
                    NAMES,
                    ["x"] * 30,
                    d.labels,
                    header=",file,writer,label",
                )
            }
        ),
    ),
    "words": (
        ".",
        lambda d: (
            named(d)
            | {
                "l.tsv": lines(
                    NAMES,
                    [WORDS[n] for n in d.labels],
                    header="f\tl",
                    separator="\t",
                )
            }
        ),
    ),
    "3.0 and quotes": (
        ".",
        lambda d: (
            named(d)
            | {
                "l.csv": lines(
                    [f'"{name}"' for name in NAMES], [f"{n}.0" for n in d.labels], header="file,label"
                )
            }
        ),
    ),
    "Hugging Face's metadata.csv": (
        ".",
        lambda d: (
            below("train", named(d) | {"metadata.csv": listed(d, header="file_name,label")})
            | below("test", named(d[:3]) | {"metadata.csv": listed(d[:3], header="file_name,label")})
        ),
    ),
    "a column of parts": (
        ".",
        lambda d: (
            named(d)
            | {
                "l.csv": lines(
                    [f"{n}.png" for n in [*range(30), 0, 1]],
                    [*d.labels, 0, 1],
                    ["train"] * 20 + ["validation"] * 10 + ["test"] * 2,
                    header="file,label,part",
                )
            }
        ),
    ),
    "folders that say the part": (
        ".",
        lambda d: (
            named(d, "train/{}.png")
            | named(d[:3], "test/{}.png", 100)
            | {
                "l.csv": lines(
                    [*(f"train/{n}.png" for n in range(30)), *(f"test/{n}.png" for n in range(100, 103))],
                    [*d.labels, 1, 1, 1],
                    header="file,label",
                )
            }
        ),
    ),
    "blank lines": (".", lambda d: named(d) | {"l.csv": listed(d).replace(b"\n", b"\n\n") + b",\n"}),
    "other pictures and files beside": (
        ".",
        lambda d: named(d) | {"l.csv": listed(d), "x.png": b"", "README.txt": b"Two words\n", "0.txt": b""},
    ),
    "a solution beside a table": (
        ".",
        lambda d: {"train.csv": csv(d), "solution.csv": b"ImageId,Label\n1,2\n"},
    ),
}


@pytest.mark.parametrize("name", READ)
def test_a_list_of_pictures_is_read(name, tmp_path, bundled, caplog):
    source, make = READ[name]
    write(tmp_path, make(bundled))
    with caplog.at_level(logging.INFO):
        assert load_digits(tmp_path / source).sha256() == bundled.sha256()
    assert ("is a list of pictures" in caplog.text) == (name != "a solution beside a table")


def test_class_folders_come_before_a_list(tmp_path, bundled):
    write(tmp_path, pictures(bundled) | {"labels.csv": b"file,label\nx.png,3\n"})
    assert len(load_digits(tmp_path)) == len(bundled)


@pytest.mark.parametrize(
    ("files", "ids"),
    [
        ({"test.csv": b"filename\n2.png\n0.png\n"}, ("2.png", "0.png")),
        ({"test.csv": b"id\n2\n0\n"}, ("2", "0")),
        ({"l.csv": b"file,label,split\n1.png,1,train\n2.png,2,test\n0.png,0,Test\n"}, None),
    ],
)
def test_the_rows_of_the_test_part_are_its_images(files, ids, tmp_path, bundled):
    write(tmp_path, named(bundled) | files)
    for source in (tmp_path, tmp_path / next(iter(files))):
        part = load_test(source)
        assert (part.digits.images == bundled.images[[2, 0]]).all()
        assert part.form.ids == ids


def test_a_named_list_of_the_training_part_has_its_test_list_beside_it(tmp_path, bundled):
    write(tmp_path, named(bundled) | {"train.csv": listed(bundled), "test.csv": b"filename\n7.png\n"})
    assert (load_test(tmp_path / "train.csv").digits.images == bundled.images[7]).all()


def test_the_current_folder_is_read_if_its_train_csv_is_a_list(tmp_path, monkeypatch, bundled):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DIGITS_DATA", raising=False)
    write(tmp_path, named(bundled, "images/{}.png") | {"train.csv": listed(bundled)})
    assert find_source() == "."
    assert load_digits(".").sha256() == bundled.sha256()


def labelled(label: str) -> Make:
    return lambda d: named(d) | {"l.csv": listed(d[:4]) + f"4.png,{label}\n5.png,1\n".encode()}


NO_DIGITS = ("47", "13.50", "-5", "A", "10")
SINGLE = ("l.csv, line 6, column label", "single digit, 0 to 9", "1 of 6 labels")
REFUSED: dict[str, tuple[Make, tuple[object, ...]]] = {
    **{f"the label {label}": (labelled(label), (*SINGLE, repr(label))) for label in NO_DIGITS},
    "no label": (labelled(""), (*SINGLE, "an empty cell")),
    "a missing picture": (
        lambda d: named(d[:3]) | {"l.csv": listed(d)},
        ("l.csv, line 5", "'3.png'", "--skip-bad"),
    ),
    "no pictures": (lambda _: {"l.csv": b"file,label\na.png,3\n"}, ("l.csv, line 2", "'a.png'")),
    "a broken picture": (
        lambda d: named(d) | {"l.csv": listed(d), "7.png": b"x"},
        ("7.png", "--skip-bad"),
    ),
    "two labels of a picture": (
        lambda d: named(d) | {"l.csv": b"file,label\n0.png,3\n1.png,1\n0.png,5\n"},
        ("lines 2 and 4", "0.png", "3 and 5"),
    ),
    "two pictures of a name": (
        lambda d: named(d, "a/{}.png") | named(d, "b/{}.png") | {"l.csv": listed(d)},
        ("line 2", "a/0.png", "b/0.png", "folder"),
    ),
    "a cell more": (
        lambda d: named(d) | {"l.csv": listed(d) + b"1.png,2,3\n"},
        ("line 32", "2 cells", "found 3"),
    ),
    "several lists": (
        lambda d: named(d) | {"a.csv": listed(d), "b.csv": listed(d)},
        ("several lists", "a.csv, b.csv"),
    ),
    "no column of labels": (
        lambda d: named(d) | {"train.csv": b"file\n0.png\n"},
        ("without labels", "'label'"),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_list_with_a_fault_is_refused_with_its_row(name, tmp_path, bundled):
    make, facts = REFUSED[name]
    write(tmp_path, make(bundled))
    source = tmp_path / "train.csv" if name == "no column of labels" else tmp_path
    assert says(refusal(lambda: load_digits(source)), tmp_path, *facts)


def test_missing_and_broken_pictures_are_skipped_if_asked(tmp_path, bundled, caplog):
    write(tmp_path, named(bundled[:-1]) | {"labels.csv": listed(bundled), "7.png": b"x"})
    loaded = load_digits(tmp_path, skip_bad=True)
    assert loaded.sha256() == bundled[np.delete(np.arange(30), [7, 29])].sha256()
    assert says(
        caplog.text, "1 of 30 pictures are missing", "'29.png' in line 31", "1 of 29 pictures is broken"
    )
