"""Each format checks the others: the same digits come out of all of them."""

from __future__ import annotations

import gzip
import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digit_recognizer.digits import Digits
from digit_recognizer.sources import find_source, has_test_csv, load_digits
from helpers import csv_of, idx_of, refusal, says

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
Save = Callable[[Path, Digits], Path]


def gz(path: Path) -> Path:
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return packed


def folder_of(save: Save) -> Save:
    return lambda folder, digits: save(folder, digits).parent


def csv(name: str, encode: Callable[[str], bytes] = str.encode) -> Save:
    def save(folder: Path, digits: Digits) -> Path:
        (folder / name).write_bytes(encode(csv_of(digits)))
        return folder / name

    return save


def with_bom_and_crlf(text: str) -> bytes:
    return b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()


def quoted(text: str) -> bytes:
    return "\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in text.splitlines()).encode()


def reordered(text: str) -> bytes:
    return "\n".join(",".join(line.split(",")[::-1]) for line in text.splitlines()).encode()


def packed(text: str) -> bytes:
    return gzip.compress(text.encode())


def save_archive(folder: Path, digits: Digits, name: str = "digit-recognizer.zip") -> Path:
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__MACOSX/._train.csv", b"\0\5\26\7")
        archive.writestr("sample_submission.csv", "ImageId,Label\n1,0\n")
        archive.writestr("test.csv", csv_of(Digits(digits.images[::-1])))
        archive.writestr("train.csv", csv_of(digits))
    return folder / name


def save_zip_with_one_csv(folder: Path, digits: Digits) -> Path:
    with zipfile.ZipFile(folder / "one.zip", "w") as archive:
        archive.writestr("inside/anything.csv", csv_of(digits))
    return folder / "one.zip"


def save_idx(folder: Path, digits: Digits) -> Path:
    (folder / IMAGES).write_bytes(idx_of(digits.images))
    (folder / LABELS).write_bytes(idx_of(digits.labels.astype(np.uint8)))
    return folder / IMAGES


def save_idx_gz(folder: Path, digits: Digits) -> Path:
    gz(save_idx(folder, digits))
    return gz(folder / LABELS)


def save_idx_with_dots(folder: Path, digits: Digits) -> Path:
    for path in (save_idx(folder, digits), folder / LABELS):
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    return folder / "train-images.idx3-ubyte"


def save_idx_half_packed(folder: Path, digits: Digits) -> Path:
    gz(save_idx(folder, digits))
    return folder / LABELS


def save_qmnist(folder: Path, digits: Digits) -> Path:
    labels = np.full((len(digits), 8), 77, ">i4")
    labels[:, 0] = digits.labels
    (folder / "qmnist-train-labels-idx2-int").write_bytes(idx_of(labels, 0x0C))
    return save_idx(folder, digits).rename(folder / f"qmnist-{IMAGES}")


def save_emnist(folder: Path, digits: Digits) -> Path:
    save_idx(folder, Digits(digits.images.transpose(0, 2, 1), digits.labels))
    (folder / LABELS).rename(folder / f"emnist-digits-{LABELS}")
    return (folder / IMAGES).rename(folder / f"emnist-digits-{IMAGES}")


def npz(**shapes: Callable[[Digits], np.ndarray]) -> Save:
    def save(folder: Path, digits: Digits) -> Path:
        np.savez_compressed(folder / "digits.npz", **{name: make(digits) for name, make in shapes.items()})
        return folder / "digits.npz"

    return save


def images(digits: Digits) -> np.ndarray:
    return digits.images


def labels(digits: Digits) -> np.ndarray:
    return digits.labels


KERAS = npz(
    x_train=images,
    y_train=lambda digits: digits.labels.astype(np.uint8),
    x_test=lambda digits: digits.images[:1],
    y_test=lambda digits: digits.labels[:1],
)


def save_pictures(folder: Path, digits: Digits, invert: int = 0) -> Path:
    for number, (image, label) in enumerate(zip(digits.images, digits.labels, strict=True)):
        (folder / str(label)).mkdir(exist_ok=True, parents=True)
        Image.fromarray(image ^ invert).save(folder / str(label) / f"{number:02}.png")
    (folder / "5" / ".hidden").write_text("no picture")
    return folder


def save_pictures_of_parts(folder: Path, digits: Digits) -> Path:
    save_pictures(folder / "testing", digits[:11])
    return save_pictures(folder / "training", digits).parent


SAVES: dict[str, Save] = {
    "csv": csv("train.csv"),
    "csv with a byte order mark and CRLF": csv("train.csv", with_bom_and_crlf),
    "quoted csv": csv("train.csv", quoted),
    "csv with its columns reversed": csv("shuffled.csv", reordered),
    "csv with another suffix": csv("digits.txt"),
    "csv.gz": csv("train.csv.gz", packed),
    "archive": save_archive,
    "archive without a suffix": partial(save_archive, name="download"),
    "zip with one csv": save_zip_with_one_csv,
    "folder of csv": folder_of(csv("train.csv")),
    "folder of csv.gz": folder_of(csv("train.csv.gz", packed)),
    "folder of csv.zip": folder_of(partial(save_archive, name="train.csv.zip")),
    "folder of the archive": folder_of(save_archive),
    "idx": save_idx,
    "idx.gz": save_idx_gz,
    "idx spelt with dots": save_idx_with_dots,
    "idx, one file packed": save_idx_half_packed,
    "folder of idx": folder_of(save_idx),
    "folder of idx.gz": folder_of(save_idx_gz),
    "folder of QMNIST": folder_of(save_qmnist),
    "folder of EMNIST": folder_of(save_emnist),
    "npz": npz(images=images, labels=labels),
    "Keras's npz": KERAS,
    "npz of flat, wide integers": npz(
        images=lambda digits: digits.images.reshape(-1, 784).astype(np.int64),
        labels=lambda digits: digits.labels[:, None].astype(np.int16),
    ),
    "npz with a channel, in Fortran order": npz(
        images=lambda digits: np.asfortranarray(digits.images[..., None]), labels=labels
    ),
    "pictures": save_pictures,
    "dark pictures on white": partial(save_pictures, invert=255),
    "pictures of two parts": save_pictures_of_parts,
}


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
def test_the_same_digits_come_out_of(save, tmp_path, digits):
    source = save(tmp_path, digits)
    loaded = load_digits(source)
    assert loaded.sha256() == digits.sha256()
    assert loaded.labels.tolist() == digits.labels.tolist()
    assert loaded.images.flags.writeable
    assert loaded.images.flags.c_contiguous
    assert load_digits(str(source)).sha256() == digits.sha256()


@pytest.mark.parametrize("save", [save_archive, folder_of(save_archive)])
def test_the_archives_test_part_has_the_images_of_test_csv_and_no_labels(save, tmp_path, digits):
    loaded = load_digits(save(tmp_path, digits), "test")
    assert (loaded.images == digits.images[::-1]).all()
    assert loaded.labels is None


@pytest.mark.parametrize("name", ["csv", "zip with one csv", "idx", "npz", "pictures"])
def test_a_source_of_one_part_is_loaded_for_either_part(name, tmp_path, digits):
    assert load_digits(SAVES[name](tmp_path, digits), "test").sha256() == digits.sha256()


@pytest.mark.parametrize("prefix", ["t10k", "test", "qmnist-test"])
def test_a_folder_of_idx_files_has_a_test_part(prefix, tmp_path, digits):
    save_idx(tmp_path, digits)
    (tmp_path / f"{prefix}-images-idx3-ubyte").write_bytes(idx_of(digits.images[:3]))
    (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(idx_of(np.array([4, 5, 6], np.uint8)))
    assert load_digits(tmp_path, "test").labels.tolist() == [4, 5, 6]
    assert load_digits(tmp_path, "train").sha256() == digits.sha256()
    assert load_digits(tmp_path / f"{prefix}-images-idx3-ubyte", "train").labels.tolist() == [4, 5, 6]


def test_keras_npz_and_a_folder_of_pictures_have_a_test_part(tmp_path, digits):
    assert len(load_digits(KERAS(tmp_path, digits), "test")) == 1
    assert (
        load_digits(save_pictures_of_parts(tmp_path / "p", digits), "test").sha256() == digits[:11].sha256()
    )


def test_a_test_part_may_lack_labels_but_a_training_part_may_not(tmp_path, digits):
    path = save_idx(tmp_path, digits)
    (tmp_path / LABELS).unlink()
    assert load_digits(path, "test").labels is None
    assert says(refusal(lambda: load_digits(path, "train")), path, "no labels")


@pytest.mark.parametrize("name", ["archive", "archive without a suffix", "npz", "csv.gz"])
def test_a_file_is_opened_no_more_often_than_needed(name, tmp_path, digits, monkeypatch):
    """An archive is opened once; of other files the format is found first."""
    source = SAVES[name](tmp_path, digits)
    opened = []
    before = Path.open
    monkeypatch.setattr(Path, "open", lambda *args, **options: opened.append(1) or before(*args, **options))
    load_digits(source)
    assert len(opened) == (3 if name == "csv.gz" else 1)


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
    assert has_test_csv(SAVES[name](tmp_path, digits)) == has


@pytest.mark.parametrize("source", ["bundled", "nowhere.zip"])
def test_a_word_and_a_missing_file_have_no_test_csv(source):
    assert not has_test_csv(source)


@pytest.mark.parametrize(
    ("name", "content", "fact"),
    [
        ("photo.png", b"\x89PNG\r\n\x1a\n\0\0", "archive"),
        ("empty", b"", "archive"),
        ("digits.zip", b"label,pixel0", "not a zip archive"),
        ("digits.npz", b"label,pixel0", "not a zip archive"),
        ("digits.csv.gz", b"label,pixel0", "not a gzip file"),
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
    path = SAVES["csv"](tmp_path, digits)

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
    path = SAVES["csv"](tmp_path / "data", digits)
    assert find_source() == "data"
    assert load_digits(find_source()).sha256() == digits.sha256()
    for default in (str(path), "bundled"):
        monkeypatch.setenv("DIGITS_DATA", default)
        assert find_source() == default
    assert find_source("mnist") == "mnist"
    assert find_source(tmp_path) == str(tmp_path)
    monkeypatch.setenv("DIGITS_DATA", "gone.zip")
    assert says(refusal(find_source), "DIGITS_DATA", "gone.zip")


@pytest.mark.parametrize("name", ["mnist.npz", "numbers.zip"])
def test_a_folder_with_a_single_archive_is_that_archive(name, tmp_path, digits, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DIGITS_DATA", raising=False)
    folder = tmp_path / "data"
    folder.mkdir()
    SAVES["npz"](folder, digits).rename(folder / name)
    assert load_digits(find_source()).sha256() == digits.sha256()
    (folder / "other.npz").write_bytes(b"")
    assert find_source() == "bundled"


def test_importing_sources_loads_neither_pillow_nor_scikit_learn_nor_pooch_nor_torch():
    heavy = "{'PIL', 'sklearn', 'scipy', 'pooch', 'requests', 'torch'}"
    code = f"import sys, digit_recognizer.sources; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
