"""Sources as people really have them: other names, layouts, separators and archives, and files beside."""

from __future__ import annotations

import bz2
import gzip
import io
import logging
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from digit_recognizer.digits import Digits
from digit_recognizer.sources import kind_of_file, load_digits, load_test, write_submission
from digit_recognizer.sources.common import part_of
from helpers import csv_of, idx_of, refusal, says
from test_sources_formats import Files, csv, gz, idx, keras, npz, pictures, zipped

PIXELS = [f"pixel{number}" for number in range(784)]
JUNK = {
    "3/Thumbs.db": b"x",
    "3/desktop.ini": b"[x]",
    "__MACOSX/3/._3.png": b"x",
    "3/.ipynb_checkpoints/3.png": b"x",
    "README.txt": b"x",
}


@pytest.fixture(scope="module")
def bundled() -> Digits:
    return load_digits("bundled")[:60]


def cells_of(digits: Digits) -> np.ndarray:
    return np.column_stack([digits.labels, digits.images.reshape(-1, 784)])


def table(
    cells: np.ndarray,
    header: list[str] | None = None,
    separator: str = ",",
    form: str = "{}",
    end: str = "\n",
) -> bytes:
    rows = [[form.format(cell) for cell in row] for row in cells.tolist()]
    lines = [separator.join(row) for row in ([header] if header else []) + rows]
    return "".join(line + end for line in lines).encode()


def named(*names: str) -> Callable[[Digits], bytes]:
    """Return a function that writes label and pixels under these names."""
    return lambda digits: table(cells_of(digits), list(names))


def numbered(pattern: str, start: int = 1, count: int = 784) -> list[str]:
    return [pattern.format(number) for number in range(start, start + count)]


def grid(pattern: str, start: int = 1) -> list[str]:
    return [pattern.format(i, j) for i in range(start, start + 28) for j in range(start, start + 28)]


def label_last(digits: Digits) -> np.ndarray:
    return np.roll(cells_of(digits), -1, axis=1)


def with_index(digits: Digits, start: int = 0) -> np.ndarray:
    return np.column_stack([np.arange(start, start + len(digits)), cells_of(digits)])


def transposed(digits: Digits) -> np.ndarray:
    return cells_of(Digits(np.ascontiguousarray(digits.images.transpose(0, 2, 1)), digits.labels))


def savetxt(digits: Digits, **options: object) -> bytes:
    content = io.BytesIO()
    np.savetxt(content, cells_of(digits), **options)
    return content.getvalue()


def npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def tar(files: Files, mode: str = "w") -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as archive:
        for name, each in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(each)
            archive.addfile(member, io.BytesIO(each))
    return content.getvalue()


def below(folder: str, files: Files) -> Files:
    return {f"{folder}/{name}": content for name, content in files.items()}


def arff(digits: Digits) -> bytes:
    names = "".join(f"@ATTRIBUTE {name} real\n" for name in numbered("pixel{}"))
    top = f"% MNIST\n@RELATION mnist_784\n\n{names}@ATTRIBUTE class {{0,1,2,3,4,5,6,7,8,9}}\n\n@DATA\n"
    return top.encode() + table(label_last(digits))


def renamed(digits: Digits, names: dict[str, str], folder: str = "", **options: int) -> Files:
    """Return pictures in folders of other names than 0 to 9."""
    files = pictures(digits, **options)
    return {
        f"{folder}{names[name[0]]}{name[1:]}": content
        for name, content in files.items()
        if "hidden" not in name
    }


WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LABEL_FIRST = "785 columns without a header: the first is the label"

READ: dict[str, tuple[str, Callable[[Digits], Files], str]] = {  # the source, its files, and what is said
    "no header": ("a.csv", lambda d: {"a.csv": table(cells_of(d))}, LABEL_FIRST),
    "no header, the label last": (
        "a.csv",
        lambda d: {"a.csv": table(label_last(d))},
        "785 columns without a header: the last is the label",
    ),
    "no header, an index first": (
        "a.csv",
        lambda d: {"a.csv": table(with_index(d))},
        "786 columns without a header: the first counts the rows: the first is the label",
    ),
    "Fashion-MNIST's names": (
        "a.csv",
        lambda d: {"a.csv": named("label", *numbered("pixel{}"))(d)},
        "'pixel784'",
    ),
    "rows and columns": ("a.csv", lambda d: {"a.csv": named("label", *grid("{}x{}"))(d)}, "'1x1' to '28x28'"),
    "rows and columns from 0": (
        "a.csv",
        lambda d: {"a.csv": named("y", *grid("r{}c{}", 0))(d)},
        "column 'y'",
    ),
    "numbers as names": ("a.csv", lambda d: {"a.csv": named("label", *numbered("{}", 0))(d)}, "'0' to '783'"),
    "numbers as all names": (
        "a.csv",
        lambda d: {"a.csv": named(*numbered("{}", 0, 785))(d)},
        "first is the label",
    ),
    "R's names": ("a.csv", lambda d: {"a.csv": named(*numbered("V{}", 1, 785))(d)}, "first is the label"),
    "R's names, the label last": (
        "a.csv",
        lambda d: {"a.csv": table(label_last(d), numbered("V{}", 1, 785))},
        "last is the label",
    ),
    "any names of pixels": (
        "a.csv",
        lambda d: {
            "a.csv": named("label", *(f"{chr(97 + n // 28)}-{chr(97 + n % 28)}" for n in range(784)))(d)
        },
        "in this order",
    ),
    "the label is class, and last": (
        "a.csv",
        lambda d: {"a.csv": table(label_last(d), [*numbered("pixel{}"), "class"])},
        "the label is the column 'class'",
    ),
    "one column beside the pixels": ("a.csv", lambda d: {"a.csv": named("what", *PIXELS)(d)}, "'what'"),
    "a column more": (
        "a.csv",
        lambda d: {"a.csv": table(with_index(d, 40), ["writer", "label", *PIXELS])},
        "not used: 'writer'",
    ),
    "pandas' index": ("a.csv", lambda d: {"a.csv": table(with_index(d), ["", "label", *PIXELS])}, ""),
    "pandas' index, read and written again": (
        "a.csv",
        lambda d: {"a.csv": table(with_index(d), ["Unnamed: 0", "label", *PIXELS])},
        "'Unnamed: 0'",
    ),
    "R's row names, without a name": (
        "a.csv",
        lambda d: {"a.csv": table(with_index(d, 1), ["label", *PIXELS], " ")},
        "spaces",
    ),
    "capital Label": ("a.csv", lambda d: {"a.csv": named("Label", *PIXELS)(d)}, ""),
    "3.0 for 3": ("a.csv", lambda d: {"a.csv": table(cells_of(d), ["label", *PIXELS], form="{}.0")}, ""),
    "one 3.0 among integers": (
        "a.csv",
        lambda d: {"a.csv": csv(d)[:-2] + b"0.0\n"},
        "",
    ),
    "numpy.savetxt": ("a.csv", lambda d: {"a.csv": savetxt(d, delimiter=",")}, LABEL_FIRST),
    "numpy.savetxt with spaces": ("a.txt", lambda d: {"a.txt": savetxt(d)}, "spaces separate the columns"),
    "numpy.savetxt with a header": (
        "a.csv",
        lambda d: {"a.csv": savetxt(d, fmt="%d", delimiter=",", header=",".join(["label", *PIXELS]))},
        "",
    ),
    "semicolons": ("a.csv", lambda d: {"a.csv": table(cells_of(d), ["label", *PIXELS], ";")}, "semicolons"),
    "semicolons and decimal commas": (
        "a.csv",
        lambda d: {"a.csv": table(cells_of(d), None, ";", "{},0")},
        "semicolons",
    ),
    "Excel's sep=": (
        "a.csv",
        lambda d: {"a.csv": b"sep=;\n" + table(cells_of(d), ["label", *PIXELS], ";")},
        "",
    ),
    "tabs": ("a.tsv", lambda d: {"a.tsv": table(cells_of(d), ["label", *PIXELS], "\t")}, "tabs"),
    "a separator at the end of each line": (
        "a.csv",
        lambda d: {"a.csv": table(cells_of(d), end=",\n")},
        "first",
    ),
    "CR alone": ("a.csv", lambda d: {"a.csv": csv(d).replace(b"\n", b"\r")}, ""),
    "UTF-16 of PowerShell": ("a.csv", lambda d: {"a.csv": csv_of(d).encode("utf-16")}, ""),
    "an empty first line": ("a.csv", lambda d: {"a.csv": b"\n" + csv(d)}, ""),
    "OpenML's ARFF": (
        "mnist_784.arff",
        lambda d: {"mnist_784.arff": arff(d)},
        "the label is the column 'class'",
    ),
    "csv.bz2": ("a.csv.bz2", lambda d: {"a.csv.bz2": bz2.compress(csv(d))}, ""),
    "csv.xz": ("a.csv.xz", lambda d: {"a.csv.xz": lzma.compress(csv(d))}, ""),
    ".csv that is gzip": ("a.csv", lambda d: {"a.csv": gzip.compress(csv(d))}, ""),
    ".csv.gz that is not compressed": ("a.csv.gz", lambda d: {"a.csv.gz": csv(d)}, ""),
    "two digits only": ("a.csv", lambda d: {"a.csv": csv(d)}, ""),
    "mnist_train.csv": (
        ".",
        lambda d: {"mnist_train.csv": table(cells_of(d)), "mnist_test.csv": b"1\n"},
        "first",
    ),
    "mnist_train.csv in a zip": (
        "archive.zip",
        lambda d: {
            "archive.zip": zipped({"mnist_test.csv": table(cells_of(d)[:9]), "mnist_train.csv": csv(d)})
        },
        "",
    ),
    "fashion-mnist_train.csv": (".", lambda d: {"fashion-mnist_train.csv": csv(d), "notes.txt": b"x"}, ""),
    "EMNIST's table": (".", lambda d: {"emnist-digits-train.csv": table(transposed(d))}, "column by column"),
    "empty rows of a spreadsheet": (
        "a.csv",
        lambda d: {"a.csv": csv(d) + b"," * 784 + b"\n" + b'""' + b"," * 784 + b"\n"},
        "",
    ),
    "file names as ids": (
        "a.csv",
        lambda d: {
            "a.csv": table(
                np.column_stack([[f"{n}.png" for n in range(60)], cells_of(d)]), ["id", "y", *PIXELS]
            )
        },
        "not used: 'id'",
    ),
    "a folder above": (".", lambda d: below("digit-recognizer", {"train.csv": csv(d)}), "digit-recognizer"),
    "a folder above, in a zip": (
        "a.zip",
        lambda d: {"a.zip": zipped(below("a/b", {"train.csv": csv(d)}))},
        "a/b",
    ),
    "the table in a tar.gz": (
        "a.tgz",
        lambda d: {"a.tgz": tar({"train.csv": csv(d), "test.csv": b"1"}, "w:gz")},
        "",
    ),
    "torchvision's root": (".", lambda d: below("MNIST/raw", idx(d) | gz(idx(d))), "MNIST/raw"),
    ".gz that browsers unpacked": (
        ".",
        lambda d: {f"{name}.gz": content for name, content in idx(d).items()},
        "",
    ),
    "numbered downloads": (
        ".",
        lambda d: {f"{name} (1).gz": content for name, content in idx(d).items()},
        "",
    ),
    "a folder for each IDX file": (
        ".",
        lambda d: {f"{name}/{name}": content for name, content in idx(d).items()},
        "train-images-idx3-ubyte",
    ),
    "IDX in a zip": ("mnist.zip", lambda d: {"mnist.zip": zipped(gz(idx(d)))}, ""),
    "IDX in a tar": ("mnist.tar", lambda d: {"mnist.tar": tar(below("mnist", idx(d)))}, "mnist"),
    "pictures with what is left beside": (".", lambda d: pictures(d) | JUNK, "3 files that are not pictures"),
    "pictures in a zip": ("a.zip", lambda d: {"a.zip": zipped(pictures(d) | JUNK)}, "3 files"),
    "pictures in a tar.gz": (
        "a.tar.gz",
        lambda d: {"a.tar.gz": tar(pictures(d, "mnist_png/training/"), "w:gz")},
        "",
    ),
    "trainingSet/trainingSet": (".", lambda d: pictures(d, "trainingSet/trainingSet/"), "trainingSet"),
    "folders named in words": (".", lambda d: renamed(d, {str(n): word for n, word in enumerate(WORDS)}), ""),
    "folders named digit_3": (".", lambda d: renamed(d, {str(n): f"digit_{n}" for n in range(10)}), ""),
    "X and y": ("a.npz", lambda d: {"a.npz": npz(X=d.images, y=d.labels)}, "the images are X, the labels y"),
    "arr_0 and arr_1": ("a.npz", lambda d: {"a.npz": npz(arr_0=d.images, arr_1=d.labels)}, "arr_0"),
    "four unnamed arrays": (
        "a.npz",
        lambda d: {"a.npz": npz(arr_0=d.images, arr_1=d.labels, arr_2=d.images[:3], arr_3=d.labels[:3])},
        "by their order",
    ),
    "train_images and train_labels": (
        "a.npz",
        lambda d: {"a.npz": npz(train_images=d.images, train_labels=d.labels, test_images=d.images[:2])},
        "train_images",
    ),
    "channels first": ("a.npz", lambda d: {"a.npz": npz(x_train=d.images[:, None], y_train=d.labels)}, ""),
    "whole floats": ("a.npz", lambda d: {"a.npz": npz(images=d.images / 1.0, labels=d.labels / 1.0)}, ""),
    "labels as text": ("a.npz", lambda d: {"a.npz": npz(X=d.images, y=d.labels.astype(str))}, ""),
    "one-hot labels": (
        "a.npz",
        lambda d: {"a.npz": npz(x_train=d.images, y_train=np.eye(10)[d.labels])},
        "one-hot",
    ),
    "a table as an array": ("a.npz", lambda d: {"a.npz": npz(arr_0=cells_of(d))}, "the first is the label"),
    "Keras's npz, in a folder": (".", lambda d: {"datasets/mnist.npz": keras(d)}, "datasets"),
    "a pair of .npy": ("X.npy", lambda d: {"X.npy": npy(d.images), "y.npy": npy(d.labels)}, "the labels y"),
    "a folder of .npy": (
        ".",
        lambda d: {
            "x_train.npy": npy(d.images),
            "y_train.npy": npy(d.labels),
            "x_test.npy": npy(d.images[:2]),
            "y_test.npy": npy(d.labels[:2]),
        },
        "",
    ),
    ".npy of any names": (".", lambda d: {"a.npy": npy(d.images), "b.npy": npy(d.labels)}, "the labels b"),
    "pictures without a suffix": (
        ".",
        lambda d: {name.removesuffix(".png"): each for name, each in pictures(d).items()},
        "",
    ),
    "Kuzushiji-MNIST's pair of .npz": (
        "kmnist-train-imgs.npz",
        lambda d: {
            "kmnist-train-imgs.npz": npz(arr_0=d.images),
            "kmnist-train-labels.npz": npz(arr_0=d.labels),
            "kmnist-test-imgs.npz": npz(arr_0=d.images[:2]),
            "kmnist-test-labels.npz": npz(arr_0=d.labels[:2]),
        },
        "kmnist-train-labels",
    ),
}


def write(folder: Path, files: Files) -> None:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def same(loaded: Digits, digits: Digits) -> bool:
    """Check that digits are the same; those from folders of pictures come in order of the digits."""
    order = np.argsort(digits.labels, kind="stable")
    return loaded.sha256() in (digits.sha256(), digits[order].sha256())


@pytest.mark.parametrize("name", READ)
def test_what_people_bring_is_read_and_what_was_assumed_is_said(name, tmp_path, bundled, caplog):
    source, make, said = READ[name]
    digits = bundled[np.isin(bundled.labels, [3, 7])] if name == "two digits only" else bundled
    write(tmp_path, make(digits))
    with caplog.at_level(logging.INFO):
        loaded = load_digits(tmp_path / source)
    assert same(loaded, digits)
    assert says(caplog.text, said)
    assert not said or sum(said in record.message for record in caplog.records) == 1


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train.csv", "test.csv"),
        ("mnist_train.csv", "mnist_test.csv"),
        ("fashion-mnist_train.csv", "fashion-mnist_test.csv"),
        ("train.csv.gz", "test.csv"),
    ],
)
def test_the_test_part_of_a_training_file_is_the_file_beside_it(train, test, tmp_path, bundled):
    write(tmp_path, {train: csv(bundled), test: csv(Digits(bundled.images[:7]))})
    for source in (tmp_path, tmp_path / train, tmp_path / test):
        part = load_test(source)
        assert (part.digits.images == bundled.images[:7]).all()
        assert part.digits.labels is None
    assert load_digits(tmp_path / train).sha256() == bundled.sha256()


@pytest.mark.parametrize(
    ("files", "first"),
    [
        ({"test.csv": "plain"}, "ImageId,Label\n1,"),
        ({"test.csv": "id"}, "id,label\n100,"),
        ({"test.csv": "id", "sample_submission.csv": "id,digit\n0,0\n"}, "id,digit\n100,"),
        ({"test.csv": "plain", "sample_submission.csv": "id,label\na,0\nb,0\nc,0\n"}, "id,label\na,"),
        ({"test.csv": "", "sample_submission.csv": "ImageId,Label\n1,0\n"}, "ImageId,Label\n1,"),
    ],
)
def test_ids_and_columns_of_the_test_part_are_kept_for_the_submission(files, first, tmp_path, bundled):
    images = bundled.images[:3].reshape(3, 784)
    forms = {
        "plain": table(images, PIXELS),
        "id": table(np.column_stack([[100, 7, 8], images]), ["id", *PIXELS]),
        "": table(np.column_stack([[0, 1, 2], images]), ["", *PIXELS]),
    }
    write(tmp_path, {name: forms.get(content, content.encode()) for name, content in files.items()})
    for source in (tmp_path, tmp_path / "test.csv"):
        part = load_test(source)
        assert (part.digits.images == bundled.images[:3]).all()
        write_submission(np.array([3, 4, 5]), tmp_path / "submission.csv", part.form)
        assert (tmp_path / "submission.csv").read_text().startswith(first + "3\n")
        (tmp_path / "submission.csv").unlink()


def test_unlabelled_pictures_are_a_test_part_in_natural_order_with_their_names(tmp_path, bundled):
    files = {}
    for number, image in enumerate(bundled.images[:11]):
        content = io.BytesIO()
        Image.fromarray(image).save(content, "PNG")
        files[f"testSet/testSet/img_{number}.png"] = content.getvalue()
    write(tmp_path, files | pictures(bundled, "trainingSet/trainingSet/"))
    part = load_test(tmp_path)
    assert (part.digits.images == bundled.images[:11]).all()
    assert part.form.ids[9:] == ("img_9.png", "img_10.png")
    assert same(load_digits(tmp_path), bundled)


def unit(digits: Digits) -> np.ndarray:
    return np.column_stack([digits.labels, (digits.images / 255).reshape(-1, 784).round(6)])


def wide(side: int) -> Callable[[Digits], Files]:
    return lambda _: {
        "a.csv": table(np.zeros((3, side * side + 1), int), ["label", *numbered("p{}", 0, side * side)])
    }


WEB_PAGE = b"<!DOCTYPE html><html><title>403 Forbidden</title></html>"
REFUSED: dict[str, tuple[str, Callable[[Digits], Files], tuple[str, ...]]] = {
    "pixels 0 to 1": (
        "a.csv",
        lambda d: {"a.csv": table(unit(d), ["label", *PIXELS])},
        ("0 to 1", "multiply", "255"),
    ),
    "pixels 0 to 1 in an array": (
        "a.npz",
        lambda d: {"a.npz": npz(X=d.images / 255, y=d.labels)},
        ("X", "multiply"),
    ),
    "pixels of only 0 and 1": (
        "a.npz",
        lambda d: {"a.npz": npz(X=(d.images > 99).astype(int), y=d.labels)},
        ("0 and 1", "multiply"),
    ),
    "normalised pixels": (
        "a.npz",
        lambda d: {"a.npz": npz(X=(d.images / 255 - 0.1307) / 0.3081, y=d.labels)},
        ("-0.42", "normalisation"),
    ),
    "32×32": ("a.csv", wide(32), ("28×28", "32×32", "resize")),
    "8×8": ("a.csv", wide(8), ("28×28", "8×8", "resize")),
    "32×32 in an array": (
        "a.npz",
        lambda d: {"a.npz": npz(X=np.zeros((3, 32, 32)), y=d.labels[:3])},
        ("(3, 32, 32)",),
    ),
    "colours in an array": (
        "a.npz",
        lambda _: {"a.npz": npz(X=np.zeros((3, 28, 28, 3), int))},
        ("three colours",),
    ),
    "transposed": ("a.npz", lambda d: {"a.npz": npz(X=d.images.reshape(-1, 784).T)}, ("transposed",)),
    "labels as Python objects": (
        "a.npz",
        lambda d: {"a.npz": npz(X=d.images, y=d.labels.astype(object))},
        ("Python objects", "astype"),
    ),
    "either end can be the label": (
        "a.csv",
        lambda d: {"a.csv": table(np.column_stack([d.labels, d.images.reshape(-1, 784)[:, :783], d.labels]))},
        ("first and the last", "header"),
    ),
    "neither end can be the label": (
        "a.csv",
        lambda d: {"a.csv": table(np.clip(cells_of(d) + 50, 0, 255))},
        ("up to 59", "header"),
    ),
    "two labels": (
        "a.csv",
        lambda d: {"a.csv": table(np.column_stack([d.labels, cells_of(d)]), ["class", "label", *PIXELS])},
        ("'class' and 'label'",),
    ),
    "several sets of arrays": (
        ".",
        lambda d: {name: npz(X=d.images, y=d.labels) for name in ("images.npz", "more.npz")},
        ("several sets of arrays (images.npz, more.npz)",),
    ),
    "several tables": (".", lambda d: {"a.csv": csv(d), "b.csv": csv(d)}, ("several tables (a.csv, b.csv)",)),
    "images without labels": ("X.npy", lambda d: {"X.npy": npy(d.images)}, ("no labels", "X and y")),
    "images without labels beside another set": (
        "X.npy",
        lambda d: {"X.npy": npy(d.images), "b.npz": npz(images=d.images, labels=d.labels)},
        ("no labels", "X and y"),
    ),
    "pictures that are not sorted": (
        ".",
        lambda _: {"pictures/3_1.jpg": b"\xff\xd8\xff"},
        ("holds pictures in no folder of their digit", "3_1.jpg", "folders named 0 to 9"),
    ),
    "pictures of other formats": (
        ".",
        lambda _: {"0/a.svg": b"<", "1/b.svg": b"<"},
        ("PNG", "2 other files", "a.svg"),
    ),
    "a server's error": (
        "train.csv",
        lambda _: {"train.csv": b'{"code":403,"message":"Forbidden"}'},
        ("download",),
    ),
    "PyTorch in a folder": (".", lambda _: {"MNIST/processed/a.pt": zipped({"a/data.pkl": b"x"})}, ("a.pt",)),
    "a web page for IDX": (
        ".",
        lambda _: {"train-images-idx3-ubyte.gz": WEB_PAGE},
        ("web page (403 Forbidden)",),
    ),
    "a web page for a CSV": ("train.csv", lambda _: {"train.csv": WEB_PAGE}, ("web page", "download")),
    "a web page for a zip": ("a.zip", lambda _: {"a.zip": WEB_PAGE}, ("web page", "download")),
    "Git LFS": (
        "train.csv",
        lambda _: {"train.csv": b"version https://git-lfs.github.com/spec/v1\n"},
        ("git lfs pull",),
    ),
    "HDF5": ("a.h5", lambda _: {"a.h5": b"\x89HDF\r\n\x1a\n" + bytes(99)}, ("HDF5", "numpy.savez")),
    "a pickle": (
        "mnist.pkl.gz",
        lambda _: {"mnist.pkl.gz": gzip.compress(b"\x80\x04abc")},
        ("pickle", "numpy.savez"),
    ),
    "PyTorch": (
        "training.pt",
        lambda _: {"training.pt": zipped({"training/data.pkl": b"x"})},
        ("PyTorch", "savez"),
    ),
    "MATLAB": ("a.mat", lambda _: {"a.mat": b"MATLAB 5.0 MAT-file" + bytes(99)}, ("MATLAB", "loadmat")),
    "Excel": ("a.xlsx", lambda _: {"a.xlsx": zipped({"[Content_Types].xml": b"x"})}, ("Excel", "CSV")),
    "JSON": ("a.json", lambda _: {"a.json": b'{"images": []}'}, ("JSON", "CSV")),
    "7-Zip": ("a.7z", lambda _: {"a.7z": b"7z\xbc\xaf\x27\x1c" + bytes(99)}, ("7-Zip", "unpack")),
    "TFRecord": ("a.tfrecord", lambda _: {"a.tfrecord": bytes(99)}, ("TFRecord", "savez")),
    "TensorFlow Datasets": (
        ".",
        lambda _: {"3.0.1/mnist-train.tfrecord-00000-of-00001": b"\0" * 9, "3.0.1/features.json": b""},
        ("TFRecord", "savez"),
    ),
    "SQLite": ("a.db", lambda _: {"a.db": b"SQLite format 3\0" + bytes(99)}, ("SQLite", "CSV")),
    "a picture": ("a.jpg", lambda _: {"a.jpg": b"\xff\xd8\xff" + bytes(99)}, ("JPEG", "digits read")),
    "several sets": (
        ".",
        lambda d: below("a", {"train.csv": csv(d)}) | below("b", {"train.csv": csv(d)}),
        ("several sets", "/a", "/b"),
    ),
    "several training tables": (
        ".",
        lambda d: {"a_train.csv": csv(d), "b_train.csv": csv(d)},
        ("several tables", "a_train.csv, b_train.csv"),
    ),
    "another class": (".", lambda d: pictures(d) | {"ten/1.png": b"x"}, ("ten", "0 to 9")),
    "a broken picture": (".", lambda d: pictures(d) | {"3/zz.png": b"x"}, ("zz.png", "--skip-bad")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_with_what_it_is_and_what_to_do(name, tmp_path, bundled):
    source, make, facts = REFUSED[name]
    write(tmp_path, make(bundled))
    assert says(refusal(lambda: load_digits(tmp_path / source)), tmp_path, *facts)


def test_broken_pictures_are_skipped_if_asked_and_the_first_is_named(tmp_path, bundled, caplog):
    write(tmp_path, pictures(bundled) | {"3/zz.png": b"x", "4/zz.jpg": b""})
    done: list[float] = []
    loaded = load_digits(tmp_path, skip_bad=True, on_progress=done.append)
    assert same(loaded, bundled)
    assert says(caplog.text, "2 of 62 pictures are broken", tmp_path / "3" / "zz.png")
    assert done[-1] == 1
    assert done == sorted(done)


def test_progress_of_a_table_ends_with_all(tmp_path, bundled):
    for name, content in {"a.csv": csv(bundled), "a.csv.gz": gzip.compress(csv(bundled))}.items():
        done: list[float] = []
        write(tmp_path, {name: content})
        load_digits(tmp_path / name, on_progress=done.append)
        assert done[-1] == 1


@pytest.mark.parametrize("change", ["bright", "dim"])
def test_a_bright_background_and_another_scale_are_warned_of(change, tmp_path, bundled, caplog):
    images = 255 - bundled.images if change == "bright" else bundled.images // 16
    write(tmp_path, {"a.npz": npz(images=images, labels=bundled.labels)})
    assert len(load_digits(tmp_path / "a.npz")) == len(bundled)
    assert says(caplog.text, "background is bright" if change == "bright" else "brightest pixel is 15")


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("weights.h5", b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5"),
        ("model.pt", zipped({"model/data.pkl": b"x"}), "PyTorch"),
        ("model.keras", zipped({"model.weights.h5": b"x", "config.json": b"x"}), "Keras"),
        ("model.pkl", b"\x80\x04abc", "pickle"),
        ("page.onnx", b"\x08\x07\x12\x07pytorch", None),
        ("train.csv", b"label,pixel0", None),
        ("digit-recognizer.zip", zipped({"train.csv": b"x"}), None),
        ("nowhere", None, None),
    ],
)
def test_what_a_file_is_that_is_neither_digits_nor_a_model(name, content, kind, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    found = kind_of_file(tmp_path / name)
    assert found is None if kind is None else kind in found


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train.csv", "train"),
        ("mnist_train.csv", "train"),
        ("trainingSet", "train"),
        ("x_train", "train"),
        ("Xtrain", "train"),
        ("trainX", "train"),
        ("train-00000-of-00001.parquet", "train"),
        ("t10k-images-idx3-ubyte", "test"),
        ("mnist.test.csv", "test"),
        ("testing", "test"),
        ("strain.csv", None),
        ("contest.csv", None),
        ("trainingSample", None),
        ("train_test.csv", None),
    ],
)
def test_names_say_which_part(name, part):
    assert part_of(name) == part


def test_parquet_needs_its_extra(tmp_path, monkeypatch):
    def without(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("digit_recognizer.sources.common.import_module", without)
    write(tmp_path, {"data/train-00000-of-00001.parquet": b"PAR1PAR1"})
    assert says(refusal(lambda: load_digits(tmp_path)), "pyarrow", 'pip install "digit-recognizer[parquet]"')


@pytest.mark.parametrize("kind", ["pictures", "bytes", "lists", "pixels", "a column more"])
def test_parquet_of_pictures_or_pixels(kind, tmp_path, bundled):
    coded = [
        content
        for name, content in sorted(pictures(bundled).items(), key=lambda item: item[0][2:])
        if "png" in name
    ]
    columns = {
        "pictures": {"image": [{"bytes": each, "path": None} for each in coded], "label": bundled.labels},
        "bytes": {"image": coded, "label": bundled.labels},
        "lists": {"pixels": bundled.images.reshape(-1, 784).tolist(), "digit": bundled.labels},
        "a column more": {"image": coded, "what": bundled.labels},
        "pixels": dict(zip(["label", *PIXELS], cells_of(bundled).T, strict=True)),
    }[kind]
    whole = pyarrow.table({name: pyarrow.array(values) for name, values in columns.items()})
    (tmp_path / "data").mkdir()
    half = len(bundled) // 2
    pyarrow.parquet.write_table(whole.slice(0, half), tmp_path / "data/train-00000-of-00002.parquet")
    pyarrow.parquet.write_table(whole.slice(half), tmp_path / "data/train-00001-of-00002.parquet")
    pyarrow.parquet.write_table(whole.slice(0, 5), tmp_path / "data/test-00000-of-00001.parquet")
    assert load_digits(tmp_path).sha256() == bundled.sha256()
    assert load_digits(tmp_path, "test").sha256() == bundled[:5].sha256()


def test_the_current_folder_is_the_default_source_if_it_holds_digits(tmp_path, monkeypatch, bundled):
    from digit_recognizer.sources import find_source

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DIGITS_DATA", raising=False)
    write(tmp_path, {"train.csv": b"name,age\nx,3\n", "tests/test.csv": b"x"})
    assert find_source() == "bundled"
    write(tmp_path, {"train.csv": csv(bundled)})
    assert find_source() == "."
    assert load_digits(find_source()).sha256() == bundled.sha256()
    write(tmp_path, {"data/digit-recognizer/train.csv": csv(bundled)})
    assert find_source() == "data"


def test_idx_files_of_the_parts_are_told_by_name(tmp_path, bundled):
    write(tmp_path, idx(bundled) | {"t10k-images-idx3-ubyte": idx_of(bundled.images[:4])})
    assert len(load_digits(tmp_path / "train-images-idx3-ubyte", "test")) == 4


NOTATIONS = {
    "3": "{}",
    "3.": "{}.",
    "3.0": "{}.0",
    "3.000": "{}.000",
    "3.00e+00": "{:.2e}",
    "3.000000000000000000e+00": "{:.18e}",
    "3.000E+00": "{:.3E}",
}
NO_PIXELS = ("256", "5.5", "-1", "1e3", "x", "", "3.0.0", "0x3", "2.560e+02", "3.001e+00", "3.000e-01")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("form", NOTATIONS.values(), ids=NOTATIONS)
def test_plain_notations_are_parsed_from_bytes_as_numpy_parses_them(
    form, end, tmp_path, bundled, monkeypatch
):
    """The parser of text, which is slower, is not needed; it gives the same digits."""
    source = tmp_path / "digits.csv"
    source.write_bytes(table(cells_of(bundled), ["label", *PIXELS], form=form, end=end))
    with monkeypatch.context() as patched:
        patched.setattr("digit_recognizer.sources.tables.rows._read_bytes", lambda *_: None)
        expected = load_digits(source).sha256()
    for name in ("_read_integers", "_read_floats"):
        monkeypatch.setattr(f"digit_recognizer.sources.tables.rows.{name}", None)
    assert load_digits(source).sha256() == expected == bundled.sha256()


@pytest.mark.parametrize("cell", NO_PIXELS)
@pytest.mark.parametrize("form", ["{}", "{}.0", "{:.3e}"])
def test_a_cell_that_is_no_pixel_is_refused_in_every_notation(form, cell, tmp_path, bundled):
    rows = [[form.format(value) for value in row] for row in cells_of(bundled).tolist()]
    rows[4][101] = cell
    source = tmp_path / "digits.csv"
    source.write_text("\n".join(map(",".join, [["label", *PIXELS], *rows])))
    assert says(refusal(lambda: load_digits(source)), source, "line 6", "column pixel100", "0 to 255")
