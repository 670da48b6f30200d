"""IDX pairs, folders of pictures and .npz archives that are not as they should be."""

from __future__ import annotations

import gzip
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageDraw

from digit_recognizer.errors import DigitsError
from digit_recognizer.sources import load_digits


def idx(array: np.ndarray, code: int = 0x08) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape) + array.tobytes()


IMAGES = idx(np.zeros((3, 28, 28), np.uint8))
LABELS = idx(np.array([1, 2, 3], np.uint8))


def refusal(source, part="train") -> str:
    with pytest.raises(DigitsError) as error:
        load_digits(source, part)
    return str(error.value)


@pytest.fixture
def pair(tmp_path):
    """Write a pair of IDX files, and give the path of the images."""

    def write(images: bytes = IMAGES, labels: bytes = LABELS):
        (tmp_path / "train-images-idx3-ubyte").write_bytes(images)
        (tmp_path / "train-labels-idx1-ubyte").write_bytes(labels)
        return tmp_path / "train-images-idx3-ubyte"

    return write


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is no IDX file of bytes or 32-bit integers: expected it to begin with 00 00 08"),
        (b"P5 28 28", "found 50 35 20 32"),
        (idx(np.zeros((3, 28, 28), ">f4"), 0x0D), "found 00 00 0d 03"),
        (IMAGES[:10], "is incomplete: it ends within its header"),
        (IMAGES[:-1], "is incomplete: a shape of (3, 28, 28) takes 2368 bytes, found 2367"),
        (IMAGES + b"\0", "has bytes after its end: a shape of (3, 28, 28) takes 2368 bytes, found 2369"),
        (idx(np.zeros((3, 32, 32), np.uint8)), "(N, 28, 28), found uint8 (3, 32, 32)"),
        (idx(np.zeros((3, 28, 28), ">i4"), 0x0C), "found int32 (3, 28, 28)"),
        (LABELS, "found uint8 (3,)"),
        (struct.pack(">HBB3I", 0, 8, 3, 2**32 - 1, 28, 28), "is incomplete"),
    ],
)
def test_a_wrong_file_of_images_is_refused_by_name(content, complaint, pair):
    images = pair(images=content)
    message = refusal(images)
    assert str(images) in message
    assert complaint in message


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (idx(np.array([1, 2], np.uint8)), "holds 2 labels: they do not belong together"),
        (idx(np.array([1, 2, 10], np.uint8)), "expected labels 0 to 9, got 10 at index 2"),
        (IMAGES, "expected labels of shape (N,) or (N, 8), found (3, 28, 28)"),
        (idx(np.zeros((3, 0), np.uint8)), "found (3, 0)"),
        (LABELS[:-1], "is incomplete"),
    ],
)
def test_a_wrong_file_of_labels_is_refused_by_name(content, complaint, pair):
    images = pair(labels=content)
    message = refusal(images)
    assert "train-labels-idx1-ubyte" in message
    assert complaint in message


def test_a_truncated_gz_of_images_is_refused_by_name(pair, tmp_path):
    pair().unlink()
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(IMAGES)[:-12])
    assert "train-images-idx3-ubyte.gz is damaged or incomplete" in refusal(tmp_path)


def test_labels_without_images_are_refused(pair, tmp_path):
    pair().unlink()
    message = refusal(tmp_path / "train-labels-idx1-ubyte")
    assert "the file of images that belongs to it is not beside it" in message


def test_no_images_at_all_are_refused(pair):
    empty = pair(idx(np.zeros((0, 28, 28), np.uint8)), idx(np.zeros(0, np.uint8)))
    assert "holds no images" in refusal(empty)


def test_an_idx_file_of_another_name_is_refused_with_the_names_expected(pair, tmp_path):
    pair().rename(tmp_path / "pictures.gz2")
    assert "expected one such as train-images-idx3-ubyte" in refusal(tmp_path / "pictures.gz2")


def test_a_folder_of_the_other_part_alone_is_refused(pair):
    folder = pair().parent
    assert "expected a file t10k-images-idx3-ubyte" in refusal(folder, "test")


def test_a_folder_of_several_sets_is_refused_with_their_names(pair, tmp_path):
    pair()
    (tmp_path / "emnist-letters-train-images-idx3-ubyte.gz").write_bytes(gzip.compress(IMAGES))
    message = refusal(tmp_path)
    assert "several sets of images (emnist-letters-train-images-idx3-ubyte.gz, train-images" in message


def test_the_labels_beside_a_file_belong_to_the_same_set(pair, tmp_path):
    images = pair(labels=idx(np.array([7, 8, 9], np.uint8)))
    (tmp_path / "emnist-train-labels-idx1-ubyte").write_bytes(LABELS)
    assert load_digits(images).labels.tolist() == [7, 8, 9]


def seven(path, size=(90, 120), paper=235, ink=30) -> None:
    image = Image.new("L", size, paper)
    ImageDraw.Draw(image).line([(20, 20), (70, 20), (40, 100)], fill=ink, width=9)
    path.parent.mkdir(exist_ok=True)
    image.save(path)


def test_pictures_of_any_size_and_polarity_become_nearly_the_same_image(tmp_path):
    seven(tmp_path / "7" / "dark.png")
    seven(tmp_path / "7" / "light.png", paper=20, ink=225)
    seven(tmp_path / "7" / "wide.png", size=(300, 200))
    (tmp_path / "3").mkdir()
    (tmp_path / "readme.txt").write_text("about these pictures")
    loaded = load_digits(tmp_path)
    assert loaded.labels.tolist() == [7, 7, 7]
    dark, *others = loaded.images.reshape(3, -1).astype(float)
    assert all(np.corrcoef(dark, other)[0, 1] > 0.99 for other in others)
    assert loaded.images[0].max() == 255
    assert not loaded.images[0, [0, -1]].any()


def test_pictures_come_in_the_order_of_classes_then_names(tmp_path, digits):
    for name in ("9/a", "0/b", "0/a", "0/B"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        grey = digits.images[["9/a", "0/B", "0/a", "0/b"].index(name)]
        Image.fromarray(grey).save(tmp_path / f"{name}.png")
    loaded = load_digits(tmp_path)
    assert loaded.labels.tolist() == [0, 0, 0, 9]
    assert (loaded.images == digits.images[[1, 2, 3, 0]]).all()


def test_a_sub_folder_that_is_no_digit_is_refused_by_name(tmp_path):
    seven(tmp_path / "7" / "a.png")
    (tmp_path / "ten").mkdir()
    assert f"{tmp_path / 'ten'}: expected only folders named 0 to 9" in refusal(tmp_path)


def test_an_unreadable_picture_is_refused_by_name(tmp_path):
    seven(tmp_path / "7" / "a.png")
    (tmp_path / "7" / "b.png").write_text("not a picture")
    assert f"{tmp_path / '7' / 'b.png'} is not a picture" in refusal(tmp_path)
    (tmp_path / "7" / "b.png").unlink()
    (tmp_path / "7" / "b").mkdir()
    assert f"cannot read {tmp_path / '7' / 'b'}: Is a directory" in refusal(tmp_path)


def test_class_folders_without_pictures_are_refused(tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / ".DS_Store").write_text("")
    assert "expected pictures in folders named 0 to 9, found none" in refusal(tmp_path)


def test_a_missing_test_folder_is_refused(tmp_path):
    (tmp_path / "train").mkdir()
    seven(tmp_path / "train" / "7" / "a.png")
    assert "expected a folder test or testing" in refusal(tmp_path, "test")


def npz(path, **arrays):
    np.savez(path / "a.npz", **arrays)
    return path / "a.npz"


BLANK = np.zeros((2, 28, 28), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"images": BLANK / 255, "labels": [1, 2]}, "images: expected integers 0 to 255, found float64"),
        ({"images": BLANK.astype(np.int16) - 1}, "images: expected 0 to 255, found -1 to -1"),
        ({"images": BLANK.astype(np.int32) + 256}, "images: expected 0 to 255, found 256 to 256"),
        ({"images": BLANK[:, :14]}, "images: expected shape (N, 28, 28), found (2, 14, 28)"),
        ({"images": BLANK, "labels": [1.0, 2.0]}, "labels: expected integers of shape (N,), found float64"),
        ({"images": BLANK, "labels": [1, 2, 3]}, "expected int64 labels of shape (2,), got int64 (3,)"),
        ({"images": BLANK, "labels": [1, 12]}, "expected labels 0 to 9, got 12 at index 1"),
        ({"images": BLANK}, "has no labels, which training needs"),
        ({"x_test": BLANK}, "expected arrays images and labels, or x_train and y_train"),
        ({"images": np.array([{}, []], object)}, "something else than arrays of numbers"),
        ({"images": BLANK[:0], "labels": np.zeros(0, int)}, "holds no images"),
    ],
)
def test_wrong_arrays_are_refused_by_name(arrays, complaint, tmp_path):
    path = npz(tmp_path, **arrays)
    message = refusal(path)
    assert str(path) in message
    assert complaint in message


def test_an_npz_with_a_damaged_header_is_refused_by_name(tmp_path):
    path = npz(tmp_path, images=BLANK, labels=[1, 2])
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    contents["images.npy"] = contents["images.npy"].replace(b"(2, 28, 28)", b"(2, (8, (8)")
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    assert f"{path} is damaged or incomplete" in refusal(path)


def test_a_truncated_npz_is_refused_by_name(tmp_path):
    path = npz(tmp_path, images=BLANK, labels=[1, 2])
    path.write_bytes(path.read_bytes()[:-30])
    assert f"{path} is damaged or incomplete" in refusal(path)


@pytest.mark.parametrize("name", ["mnist.npz", "numbers.zip"])
def test_a_folder_with_one_single_archive_is_that_archive(tmp_path, monkeypatch, name):
    from digit_recognizer.sources import find_source, load_digits

    images, labels = np.full((3, 28, 28), 9, np.uint8), np.array([1, 2, 3])
    folder = tmp_path / "data"
    folder.mkdir()
    with (folder / name).open("wb") as file:
        np.savez(file, images=images, labels=labels)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DIGITS_DATA", raising=False)
    assert load_digits(find_source()).labels.tolist() == [1, 2, 3]
    (folder / "other.npz").write_bytes(b"")
    assert find_source() == "bundled"
