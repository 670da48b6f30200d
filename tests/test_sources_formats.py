"""Every format is the oracle of the others: the same digits come out of each."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digit_recognizer.digits import Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.sources import find_source, load_digits


def idx(array: np.ndarray, code: int = 0x08) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape) + array.tobytes()


def save_csv(folder, digits, text):
    (folder / "train.csv").write_text(text(digits))
    return folder / "train.csv"


def save_csv_with_bom_and_crlf(folder, digits, text):
    (folder / "train.csv").write_bytes(b"\xef\xbb\xbf" + text(digits).replace("\n", "\r\n").encode())
    return folder / "train.csv"


def save_quoted_csv(folder, digits, text):
    lines = [",".join(f'"{cell}"' for cell in line.split(",")) for line in text(digits).splitlines()]
    (folder / "train.csv").write_text("\n".join(lines))
    return folder / "train.csv"


def save_reordered_csv(folder, digits, text):
    rows = [line.split(",")[::-1] for line in text(digits).splitlines()]
    (folder / "shuffled.csv").write_text("\n".join(",".join(row) for row in rows))
    return folder / "shuffled.csv"


def save_csv_of_no_such_name(folder, digits, text):
    (folder / "digits.txt").write_text(text(digits))
    return folder / "digits.txt"


def save_gz(folder, digits, text):
    (folder / "train.csv.gz").write_bytes(gzip.compress(text(digits).encode()))
    return folder / "train.csv.gz"


def save_archive(folder, digits, text, name="digit-recognizer.zip"):
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__MACOSX/._train.csv", b"\0\5\26\7")
        archive.writestr("sample_submission.csv", "ImageId,Label\n1,0\n")
        archive.writestr("test.csv", text(Digits(digits.images[::-1])))
        archive.writestr("train.csv", text(digits))
    return folder / name


def save_archive_of_another_name(folder, digits, text):
    return save_archive(folder, digits, text, "download")


def save_zip_with_one_csv(folder, digits, text):
    with zipfile.ZipFile(folder / "one.zip", "w") as archive:
        archive.writestr("inside/anything.csv", text(digits))
    return folder / "one.zip"


def save_folder_of_csv(folder, digits, text):
    return save_csv(folder, digits, text).parent


def save_folder_of_csv_gz(folder, digits, text):
    return save_gz(folder, digits, text).parent


def save_folder_of_csv_zip(folder, digits, text):
    return save_archive(folder, digits, text, "train.csv.zip").parent


def save_folder_of_archive(folder, digits, text):
    return save_archive(folder, digits, text).parent


def save_idx(folder, digits, _text):
    (folder / "train-images-idx3-ubyte").write_bytes(idx(digits.images))
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(digits.labels.astype(np.uint8)))
    return folder / "train-images-idx3-ubyte"


def save_idx_gz(folder, digits, text):
    for path in (save_idx(folder, digits, text), folder / "train-labels-idx1-ubyte"):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    return folder / "train-labels-idx1-ubyte.gz"


def save_idx_spelt_with_dots(folder, digits, text):
    for path in (save_idx(folder, digits, text), folder / "train-labels-idx1-ubyte"):
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    return folder / "train-images.idx3-ubyte"


def save_idx_half_packed(folder, digits, text):
    path = save_idx(folder, digits, text)
    (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return folder / "train-labels-idx1-ubyte"


def save_folder_of_idx(folder, digits, text):
    return save_idx(folder, digits, text).parent


def save_folder_of_idx_gz(folder, digits, text):
    return save_idx_gz(folder, digits, text).parent


def save_folder_of_qmnist(folder, digits, _text):
    labels = np.full((len(digits), 8), 77, ">i4")
    labels[:, 0] = digits.labels
    packed = gzip.compress(idx(labels, 0x0C))
    (folder / "qmnist-train-labels-idx2-int.gz").write_bytes(packed)
    (folder / "qmnist-train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(digits.images)))
    return folder


def save_folder_of_emnist(folder, digits, _text):
    transposed = np.ascontiguousarray(digits.images.transpose(0, 2, 1))
    (folder / "emnist-digits-train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(transposed)))
    labels = idx(digits.labels.astype(np.uint8))
    (folder / "emnist-digits-train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    return folder


def save_npz(folder, digits, _text):
    np.savez(folder / "digits.npz", images=digits.images, labels=digits.labels)
    return folder / "digits.npz"


def save_kerass_npz(folder, digits, _text):
    arrays = {"x_train": digits.images, "y_train": digits.labels.astype(np.uint8)}
    np.savez_compressed(folder / "mnist.npz", **arrays, x_test=digits.images[:1], y_test=digits.labels[:1])
    return folder / "mnist.npz"


def save_npz_of_flat_wide_integers(folder, digits, _text):
    flat = digits.images.reshape(-1, 784).astype(np.int64)
    np.savez(folder / "flat.npz", images=flat, labels=digits.labels[:, None].astype(np.int16))
    return folder / "flat.npz"


def save_npz_with_a_channel(folder, digits, _text):
    np.savez(folder / "channel.npz", images=digits.images[..., None], labels=digits.labels)
    return folder / "channel.npz"


def save_pictures(folder, digits, _text, invert=0):
    for number, (image, label) in enumerate(zip(digits.images, digits.labels, strict=True)):
        (folder / str(label)).mkdir(exist_ok=True, parents=True)
        Image.fromarray(image ^ invert).save(folder / str(label) / f"{number:02}.png")
    (folder / "5" / ".hidden").write_text("no picture")
    return folder


def save_dark_pictures_on_light(folder, digits, text):
    return save_pictures(folder, digits, text, invert=255)


def save_pictures_for_training(folder, digits, text):
    save_pictures(folder / "testing", digits[:11], text)
    return save_pictures(folder / "training", digits, text).parent


SAVERS = [value for name, value in list(globals().items()) if name.startswith("save_")]


@pytest.mark.parametrize("save", SAVERS, ids=lambda save: save.__name__.removeprefix("save_"))
def test_the_same_digits_come_out_of(save, tmp_path, digits, csv_text):
    source = save(tmp_path, digits, csv_text)
    loaded = load_digits(source)
    assert loaded.sha256() == digits.sha256()
    assert loaded.labels.tolist() == digits.labels.tolist()
    assert loaded.images.flags.writeable
    assert loaded.images.flags.c_contiguous
    assert load_digits(str(source)).sha256() == digits.sha256()


@pytest.mark.parametrize("save", [save_archive, save_folder_of_archive])
def test_the_archives_test_part_has_the_images_of_test_csv_and_no_labels(save, tmp_path, digits, csv_text):
    loaded = load_digits(save(tmp_path, digits, csv_text), "test")
    assert (loaded.images == digits.images[::-1]).all()
    assert loaded.labels is None


@pytest.mark.parametrize("save", [save_csv, save_zip_with_one_csv, save_idx, save_npz, save_pictures])
def test_a_source_of_one_part_gives_that_part_whichever_is_asked(save, tmp_path, digits, csv_text):
    assert load_digits(save(tmp_path, digits, csv_text), "test").sha256() == digits.sha256()


@pytest.mark.parametrize("prefix", ["t10k", "test", "qmnist-test"])
def test_a_folder_of_idx_files_has_a_test_part(prefix, tmp_path, digits, csv_text):
    save_idx(tmp_path, digits, csv_text)
    (tmp_path / f"{prefix}-images-idx3-ubyte").write_bytes(idx(digits.images[:3]))
    (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(np.array([4, 5, 6], np.uint8)))
    assert load_digits(tmp_path, "test").labels.tolist() == [4, 5, 6]
    assert load_digits(tmp_path, "train").sha256() == digits.sha256()
    assert load_digits(tmp_path / f"{prefix}-images-idx3-ubyte", "train").labels.tolist() == [4, 5, 6]


def test_keras_npz_and_a_folder_of_pictures_have_a_test_part(tmp_path, digits, csv_text):
    assert len(load_digits(save_kerass_npz(tmp_path, digits, csv_text), "test")) == 1
    folder = save_pictures_for_training(tmp_path / "pictures", digits, csv_text)
    assert load_digits(folder, "test").sha256() == digits[:11].sha256()


def test_a_test_part_may_lack_labels_but_a_training_part_may_not(tmp_path, digits, csv_text):
    images = save_idx(tmp_path, digits, csv_text)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    assert load_digits(images, "test").labels is None
    with pytest.raises(DigitsError, match=r"train-images-idx3-ubyte has no labels, which training needs"):
        load_digits(images, "train")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("photo.png", b"\x89PNG\r\n\x1a\n\0\0", "of no kind known here: expected the competition's archive"),
        ("empty", b"", "of no kind known here"),
        ("digits.zip", b"label,pixel0", "is no zip archive, whatever its name"),
        ("digits.npz", b"label,pixel0", "is no zip archive, whatever its name"),
        ("digits.csv.gz", b"label,pixel0", "is no gzip file, whatever its name"),
    ],
)
def test_a_file_of_an_unknown_kind_is_refused_by_name(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DigitsError) as error:
        load_digits(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)
    assert message in str(error.value)


def test_a_missing_source_is_refused_with_the_words_that_are_possible(tmp_path):
    with pytest.raises(DigitsError, match=r"nowhere: no such file or folder; .* bundled and mnist"):
        load_digits(tmp_path / "nowhere")


def test_a_name_that_no_file_can_have_is_refused():
    with pytest.raises(DigitsError, match=r"cannot read x+: File name too long"):
        load_digits("x" * 5000)


def test_a_folder_without_digits_is_refused(tmp_path):
    (tmp_path / "notes").mkdir()
    with pytest.raises(DigitsError, match="holds no digits: expected the competition's archive"):
        load_digits(tmp_path)


def test_another_part_than_train_and_test_is_refused(tmp_path):
    with pytest.raises(DigitsError, match="expected the part train or test, got 'validation'"):
        load_digits(tmp_path, "validation")


def test_a_file_without_permission_is_refused(tmp_path, digits, csv_text, monkeypatch):
    path = save_csv(tmp_path, digits, csv_text)

    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # the mode bits would not stop root
    with pytest.raises(DigitsError, match=r"cannot read .*train\.csv: Permission denied"):
        load_digits(path)


def test_what_is_named_comes_before_the_environment_data_and_bundled(tmp_path, monkeypatch, digits, csv_text):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DIGITS_DATA", raising=False)
    assert find_source() == "bundled"
    (tmp_path / "data" / "notes").mkdir(parents=True)
    assert find_source(None) == "bundled"
    save_csv(tmp_path / "data", digits, csv_text)
    assert find_source() == "data"
    assert load_digits(find_source()).sha256() == digits.sha256()
    monkeypatch.setenv("DIGITS_DATA", str(tmp_path / "data" / "train.csv"))
    assert find_source() == str(tmp_path / "data" / "train.csv")
    assert find_source("mnist") == "mnist"
    assert find_source(tmp_path) == str(tmp_path)


def test_the_environment_may_hold_a_word_but_nothing_that_does_not_exist(tmp_path, monkeypatch):
    monkeypatch.setenv("DIGITS_DATA", "bundled")
    assert find_source() == "bundled"
    monkeypatch.setenv("DIGITS_DATA", str(tmp_path / "gone.zip"))
    with pytest.raises(DigitsError, match=r"DIGITS_DATA names .*gone\.zip, which does not exist"):
        find_source()


def test_importing_sources_loads_neither_pillow_nor_scikit_learn_nor_pooch_nor_torch():
    heavy = "{'PIL', 'sklearn', 'scipy', 'pooch', 'requests', 'torch'}"
    code = f"import sys, digit_recognizer.sources; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
