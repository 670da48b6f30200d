"""Each format checks the others: the same digits come out of all of them."""

from __future__ import annotations

import gzip
import io
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digit_recognizer.digits import Digits
from digit_recognizer.sources import find_source, has_test_csv, load, load_digits
from helpers import csv_of, idx_of, refusal, says

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
Files = dict[str, bytes]  # by path


def npz(**arrays: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def zipped(files: Files) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, each in files.items():
            archive.writestr(name, each)
    return content.getvalue()


def csv(digits: Digits) -> bytes:
    return csv_of(digits).encode()


def reversed_columns(digits: Digits) -> bytes:
    return b"\n".join(b",".join(line.split(b",")[::-1]) for line in csv(digits).splitlines())


def archive(digits: Digits) -> bytes:
    hidden = {"__MACOSX/._train.csv": b"\0\5\26\7", "sample_submission.csv": b"ImageId,Label\n1,0\n"}
    return zipped(hidden | {"test.csv": csv(Digits(digits.images[::-1])), "train.csv": csv(digits)})


def idx(digits: Digits, prefix: str = "", transposed: bool = False) -> Files:
    images = digits.images.transpose(0, 2, 1) if transposed else digits.images
    labels = idx_of(digits.labels.astype(np.uint8))
    return {f"{prefix}{IMAGES}": idx_of(images), f"{prefix}{LABELS}": labels}


def qmnist(digits: Digits) -> Files:
    labels = np.full((len(digits), 8), 77, ">i4")
    labels[:, 0] = digits.labels
    files = {"images-idx3-ubyte": idx_of(digits.images), "labels-idx2-int": idx_of(labels, 0x0C)}
    return {f"qmnist-train-{name}": content for name, content in files.items()}


def gz(files: Files, *names: str) -> Files:
    """Compress the files of these names, or all."""
    chosen = {name: content for name, content in files.items() if not names or name in names}
    others = {name: content for name, content in files.items() if name not in chosen}
    return others | {f"{name}.gz": gzip.compress(content) for name, content in chosen.items()}


def dotted(files: Files) -> Files:
    return {name.replace("-idx", ".idx"): content for name, content in files.items()}


def keras(digits: Digits) -> bytes:
    test = {"x_test": digits.images[:1], "y_test": digits.labels[:1]}
    return npz(x_train=digits.images, y_train=digits.labels.astype(np.uint8), **test)


def pictures(digits: Digits, folder: str = "", invert: int = 0) -> Files:
    files = {f"{folder}5/.hidden": b"no picture"}
    for number, (image, label) in enumerate(zip(digits.images, digits.labels, strict=True)):
        content = io.BytesIO()
        Image.fromarray(image ^ invert).save(content, "PNG")
        files[f"{folder}{label}/{number:02}.png"] = content.getvalue()
    return files


FORMATS: dict[str, tuple[str, Callable[[Digits], Files]]] = {  # the source, and its files
    "csv": ("train.csv", lambda d: {"train.csv": csv(d)}),
    "csv with a byte order mark and CRLF": (
        "train.csv",
        lambda d: {"train.csv": b"\xef\xbb\xbf" + csv(d).replace(b"\n", b"\r\n")},
    ),
    "quoted csv": ("train.csv", lambda d: {"train.csv": re.sub(rb"([^,\n]+)", rb'"\1"', csv(d)).rstrip()}),
    "csv with its columns reversed": ("shuffled.csv", lambda d: {"shuffled.csv": reversed_columns(d)}),
    "csv with another suffix": ("digits.txt", lambda d: {"digits.txt": csv(d)}),
    "csv.gz": ("train.csv.gz", lambda d: gz({"train.csv": csv(d)})),
    "archive": ("digit-recognizer.zip", lambda d: {"digit-recognizer.zip": archive(d)}),
    "archive without a suffix": ("download", lambda d: {"download": archive(d)}),
    "zip with one csv": ("one.zip", lambda d: {"one.zip": zipped({"inside/anything.csv": csv(d)})}),
    "folder of csv": (".", lambda d: {"train.csv": csv(d)}),
    "folder of csv.gz": (".", lambda d: gz({"train.csv": csv(d)})),
    "folder of csv.zip": (".", lambda d: {"train.csv.zip": archive(d)}),
    "folder of the archive": (".", lambda d: {"digit-recognizer.zip": archive(d)}),
    "idx": (IMAGES, idx),
    "idx.gz": (f"{LABELS}.gz", lambda d: gz(idx(d))),
    "idx spelt with dots": ("train-images.idx3-ubyte", lambda d: dotted(idx(d))),
    "idx, one file packed": (LABELS, lambda d: gz(idx(d), IMAGES)),
    "folder of idx": (".", idx),
    "folder of idx.gz": (".", lambda d: gz(idx(d))),
    "folder of QMNIST": (".", lambda d: gz(qmnist(d))),
    "folder of EMNIST": (".", lambda d: gz(idx(d, "emnist-digits-", transposed=True))),
    "npz": ("a.npz", lambda d: {"a.npz": npz(images=d.images, labels=d.labels)}),
    "Keras's npz": ("mnist.npz", lambda d: {"mnist.npz": keras(d)}),
    "npz of flat, wide integers": (
        "a.npz",
        lambda d: {
            "a.npz": npz(
                images=d.images.reshape(-1, 784).astype(np.int64), labels=d.labels[:, None].astype("i2")
            )
        },
    ),
    "npz with a channel, in Fortran order": (
        "a.npz",
        lambda d: {"a.npz": npz(images=np.asfortranarray(d.images[..., None]), labels=d.labels)},
    ),
    "pictures": (".", pictures),
    "dark pictures on white": (".", lambda d: pictures(d, invert=255)),
    "pictures of two parts": (".", lambda d: pictures(d, "training/") | pictures(d[:11], "testing/")),
}


def write(folder: Path, name: str, digits: Digits) -> Path:
    """Write the files of a format into a folder, and return the source."""
    source, files_of = FORMATS[name]
    for path, content in files_of(digits).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder / source


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_digits_come_out_of(name, tmp_path, digits):
    source = write(tmp_path, name, digits)
    loaded = load_digits(source)
    assert loaded.sha256() == digits.sha256()
    assert loaded.labels.tolist() == digits.labels.tolist()
    assert loaded.images.flags.writeable
    assert loaded.images.flags.c_contiguous
    assert load_digits(str(source)).sha256() == digits.sha256()


@pytest.mark.parametrize("name", ["archive", "folder of the archive"])
def test_the_archives_test_part_has_the_images_of_test_csv_and_no_labels(name, tmp_path, digits):
    loaded = load_digits(write(tmp_path, name, digits), "test")
    assert (loaded.images == digits.images[::-1]).all()
    assert loaded.labels is None


@pytest.mark.parametrize("name", ["csv", "zip with one csv", "idx", "npz", "pictures"])
def test_a_source_of_one_part_is_loaded_for_either_part(name, tmp_path, digits):
    assert load_digits(write(tmp_path, name, digits), "test").sha256() == digits.sha256()


@pytest.mark.parametrize("prefix", ["t10k", "test", "qmnist-test"])
def test_a_folder_of_idx_files_has_a_test_part(prefix, tmp_path, digits):
    write(tmp_path, "idx", digits)
    (tmp_path / f"{prefix}-images-idx3-ubyte").write_bytes(idx_of(digits.images[:3]))
    (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(idx_of(np.array([4, 5, 6], np.uint8)))
    assert load_digits(tmp_path, "test").labels.tolist() == [4, 5, 6]
    assert load_digits(tmp_path, "train").sha256() == digits.sha256()
    assert load_digits(tmp_path / f"{prefix}-images-idx3-ubyte", "train").labels.tolist() == [4, 5, 6]


def test_keras_npz_and_a_folder_of_pictures_have_a_test_part(tmp_path, digits):
    assert len(load_digits(write(tmp_path, "Keras's npz", digits), "test")) == 1
    folder = write(tmp_path / "pictures", "pictures of two parts", digits)
    assert load_digits(folder, "test").sha256() == digits[:11].sha256()


def test_a_test_part_may_lack_labels_but_a_training_part_may_not(tmp_path, digits):
    path = write(tmp_path, "idx", digits)
    (tmp_path / LABELS).unlink()
    assert load_digits(path, "test").labels is None
    assert says(refusal(lambda: load_digits(path, "train")), path, "no labels")


@pytest.mark.parametrize("name", ["archive", "archive without a suffix", "npz", "csv.gz"])
def test_a_file_is_opened_no_more_often_than_needed(name, tmp_path, digits, monkeypatch):
    """An archive is opened once; of other files the format is found first."""
    source = write(tmp_path, name, digits)
    opened = []
    before = Path.open
    monkeypatch.setattr(Path, "open", lambda *args, **options: opened.append(1) or before(*args, **options))
    load_digits(source)
    assert len(opened) == (6 if name == "csv.gz" else 1)


@pytest.mark.parametrize(
    ("name", "has"),
    [
        ("archive", True),
        ("archive without a suffix", True),
        ("folder of the archive", True),
        ("zip with one csv", False),
        ("folder of csv", False),
        ("csv", False),
    ],
)
def test_a_source_has_a_test_csv_to_submit_or_has_none(name, has, tmp_path, digits):
    assert has_test_csv(write(tmp_path, name, digits)) == has


@pytest.mark.parametrize("source", ["bundled", "nowhere.zip"])
def test_a_word_and_a_missing_file_have_no_test_csv(source):
    assert not has_test_csv(source)


@pytest.mark.parametrize(
    ("name", "content", "fact"),
    [
        ("photo.png", b"\x89PNG\r\n\x1a\n\0\0", "a single PNG picture"),
        ("empty", b"", "archive"),
        ("digits.zip", b"label,pixel0", "not a zip archive"),
        ("digits.npz", b"label,pixel0", "not a zip archive"),
        ("digits.csv.gz", b"label,pixel0", "no rows"),
    ],
)
def test_a_file_of_an_unknown_format_is_refused_by_name(name, content, fact, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert says(refusal(lambda: load_digits(tmp_path / name)), tmp_path / name, fact)


@pytest.mark.parametrize(
    ("source", "part", "facts"),
    [
        ("nowhere", "train", ("nowhere", "no such file", "archive", "bundled", "mnist")),
        ("x" * 5000, "train", ("xxx", "File name too long")),
        (".", "train", (".", "archive", "bundled")),
        ("bundled", "validation", ("train", "test", "'validation'")),
        ("bundled", "test", ("bundled", "no test part", "mnist")),
    ],
)
def test_a_source_that_cannot_be_loaded_is_refused_with_what_is_expected(
    source, part, facts, tmp_path, monkeypatch
):
    (tmp_path / "notes").mkdir()
    monkeypatch.chdir(tmp_path)
    assert says(refusal(lambda: load_digits(source, part)), *facts)


def test_a_file_without_permission_is_refused(tmp_path, digits, monkeypatch):
    path = write(tmp_path, "csv", digits)

    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # the mode bits would not stop root
    assert says(refusal(lambda: load_digits(path)), path, "Permission denied")


def test_the_default_source_is_the_environments_then_data_then_bundled(tmp_path, monkeypatch, digits):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DIGITS_DATA", raising=False)
    assert find_source() == "bundled"
    (tmp_path / "data" / "notes").mkdir(parents=True)
    assert find_source(None) == "bundled"
    path = write(tmp_path / "data", "csv", digits)
    assert find_source() == "data"
    assert load_digits(find_source()).sha256() == digits.sha256()
    for default in (str(path), "bundled"):
        monkeypatch.setenv("DIGITS_DATA", default)
        assert find_source() == default
    assert find_source("mnist") == "mnist"
    assert find_source(tmp_path) == str(tmp_path)
    monkeypatch.setenv("DIGITS_DATA", "gone.zip")
    assert says(refusal(find_source), "DIGITS_DATA", "gone.zip")


@pytest.mark.parametrize("name", ["digit-recognizer", "competitions/digit-recognizer"])
def test_in_a_notebook_on_kaggle_the_competition_is_the_default(name, tmp_path, monkeypatch, digits):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DIGITS_DATA", raising=False)
    monkeypatch.setattr(load, "KAGGLE_INPUT", str(tmp_path / "input"))
    other = tmp_path / "input/other"
    other.mkdir(parents=True)
    assert find_source() == "bundled"
    folder = tmp_path / "input" / name
    folder.mkdir(parents=True)
    write(folder, "csv", digits)
    assert find_source() == str(folder)
    assert load_digits(find_source()).sha256() == digits.sha256()
    (tmp_path / "data").mkdir()
    write(tmp_path / "data", "csv", digits)
    assert find_source() == "data"


@pytest.mark.parametrize("name", ["mnist.npz", "numbers.zip"])
def test_a_folder_with_a_single_archive_is_that_archive(name, tmp_path, digits, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DIGITS_DATA", raising=False)
    folder = tmp_path / "data"
    folder.mkdir()
    write(folder, "npz", digits).rename(folder / name)
    assert load_digits(find_source()).sha256() == digits.sha256()
    (folder / "other.npz").write_bytes(b"")
    assert find_source() == "bundled"


def test_importing_sources_loads_neither_pillow_nor_scikit_learn_nor_pooch_nor_torch():
    heavy = "{'PIL', 'sklearn', 'scipy', 'pooch', 'requests', 'torch'}"
    code = f"import sys, digit_recognizer.sources; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
