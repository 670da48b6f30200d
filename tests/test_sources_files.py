"""IDX pairs, folders of pictures and .npz archives that are not as they should be."""

from __future__ import annotations

import gzip
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageDraw

from digit_recognizer.sources import load_digits
from helpers import idx_of, refusal, says

BLANK = np.zeros((3, 28, 28), np.uint8)
IMAGES, LABELS = idx_of(BLANK), idx_of(np.array([1, 2, 3], np.uint8))


def refused(source, *facts, part="train") -> None:
    assert says(refusal(lambda: load_digits(source, part)), *facts)


@pytest.fixture
def pair(tmp_path):
    """Write a pair of IDX files, and give the path of the images."""

    def write(images: bytes = IMAGES, labels: bytes = LABELS):
        (tmp_path / "train-images-idx3-ubyte").write_bytes(images)
        (tmp_path / "train-labels-idx1-ubyte").write_bytes(labels)
        return tmp_path / "train-images-idx3-ubyte"

    return write


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        (b"", ("00 00 08", "found nothing")),
        (b"P5 28 28", ("00 00 08", "50 35 20 32")),
        (idx_of(np.zeros((3, 28, 28), ">f4"), 0x0D), ("00 00 08", "00 00 0d 03")),
        (IMAGES[:10], ("incomplete", "header")),
        (IMAGES[:-1], ("incomplete", "(3, 28, 28)", "2,368", "2,367")),
        (IMAGES + b"\0", ("too long", "(3, 28, 28)", "2,368", "2,369")),
        (idx_of(np.zeros((3, 32, 32), np.uint8)), ("(N, 28, 28)", "uint8 (3, 32, 32)")),
        (idx_of(np.zeros((3, 28, 28), ">i4"), 0x0C), ("(N, 28, 28)", "int32 (3, 28, 28)")),
        (idx_of(BLANK[None]), ("at most 3 dimensions", "found 4")),
        (LABELS, ("(N, 28, 28)", "uint8 (3,)")),
        (struct.pack(">HBB3I", 0, 8, 3, 2**32 - 1, 28, 28), ("incomplete",)),
    ],
)
def test_a_wrong_file_of_images_is_refused_by_name(content, facts, pair):
    images = pair(images=content)
    refused(images, images, *facts)


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        (idx_of(np.array([1, 2], np.uint8)), ("train-images-idx3-ubyte", "3 images", "2 labels")),
        (idx_of(np.array([1, 2, 10], np.uint8)), ("labels 0 to 9", "10 at index 2")),
        (IMAGES, ("(N,) or (N, 8)", "(3, 28, 28)")),
        (idx_of(np.zeros((3, 0), np.uint8)), ("(N,) or (N, 8)", "(3, 0)")),
        (LABELS[:-1], ("incomplete",)),
    ],
)
def test_a_wrong_file_of_labels_is_refused_by_name(content, facts, pair):
    refused(pair(labels=content), "train-labels-idx1-ubyte", *facts)


def test_a_truncated_gz_of_images_is_refused_by_name(pair, tmp_path):
    pair().unlink()
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(IMAGES)[:-12])
    refused(tmp_path, "train-images-idx3-ubyte.gz", "damaged or incomplete")


def test_labels_without_images_are_refused(pair, tmp_path):
    pair().unlink()
    refused(tmp_path / "train-labels-idx1-ubyte", "train-labels-idx1-ubyte", "images", "same folder")


def test_no_images_at_all_are_refused(pair):
    empty = pair(idx_of(BLANK[:0]), idx_of(np.zeros(0, np.uint8)))
    refused(empty, empty, "no images")


def test_an_idx_file_of_another_name_is_refused_with_the_names_expected(pair, tmp_path):
    other = pair().rename(tmp_path / "pictures.gz2")
    refused(other, other, "train-images-idx3-ubyte", "train-labels-idx1-ubyte")


def test_a_folder_of_the_other_part_alone_is_refused(pair, tmp_path):
    pair()
    refused(tmp_path, tmp_path, "t10k-images-idx3-ubyte", part="test")


def test_a_folder_of_several_sets_is_refused_with_their_names(pair, tmp_path):
    pair()
    (tmp_path / "emnist-letters-train-images-idx3-ubyte.gz").write_bytes(gzip.compress(IMAGES))
    refused(tmp_path, "emnist-letters-train-images-idx3-ubyte.gz, train-images-idx3-ubyte")


def test_the_labels_beside_a_file_belong_to_the_same_set(pair, tmp_path):
    images = pair(labels=idx_of(np.array([7, 8, 9], np.uint8)))
    (tmp_path / "emnist-train-labels-idx1-ubyte").write_bytes(LABELS)
    assert load_digits(images).labels.tolist() == [7, 8, 9]


def draw_seven(path, size=(90, 120), paper=235, ink=30) -> None:
    image = Image.new("L", size, paper)
    ImageDraw.Draw(image).line([(20, 20), (70, 20), (40, 100)], fill=ink, width=9)
    path.parent.mkdir(exist_ok=True, parents=True)
    image.save(path)


def test_pictures_of_any_size_and_polarity_become_nearly_the_same_image(tmp_path):
    draw_seven(tmp_path / "7" / "dark.png")
    draw_seven(tmp_path / "7" / "light.png", paper=20, ink=225)
    draw_seven(tmp_path / "7" / "wide.png", size=(300, 200))
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


def test_what_is_wrong_with_a_folder_of_pictures_is_refused_by_name(tmp_path):
    folder = tmp_path / "train" / "7"
    draw_seven(folder / "a.png")
    refused(tmp_path, tmp_path, "test or testing", part="test")
    (folder / "b.png").write_text("not a picture")
    refused(tmp_path, folder / "b.png")
    (folder / "b.png").unlink()
    (folder / "a.png").rename(folder / ".DS_Store")
    refused(tmp_path, folder.parent, "folders named 0 to 9", "found none")
    draw_seven(folder / "a.png")
    draw_seven(tmp_path / "train" / "ten" / "a.png")
    refused(tmp_path, tmp_path / "train" / "ten", "folders named 0 to 9")


def save_npz(folder, **arrays):
    np.savez(folder / "a.npz", **arrays)
    return folder / "a.npz"


@pytest.mark.parametrize(
    ("arrays", "facts"),
    [
        ({"images": BLANK + 0.5, "labels": [1, 2, 3]}, ("images", "integers 0 to 255", "float64")),
        ({"images": BLANK.astype(np.int16) - 1}, ("images", "0 to 255", "-1 to -1")),
        ({"images": BLANK.astype(np.int32) + 256}, ("images", "0 to 255", "256 to 256")),
        ({"images": BLANK[:, :14]}, ("images", "(N, 28, 28)", "(3, 14, 28)")),
        ({"images": BLANK, "labels": [1.0, 2.5, 3.0]}, ("labels", "integers", "(N,)", "float64")),
        ({"images": BLANK, "labels": [1, 2]}, ("images has 3 images", "labels has 2 labels")),
        ({"images": BLANK, "labels": [1, 0, 12]}, ("labels 0 to 9", "12 at index 2")),
        ({"images": BLANK}, ("no labels",)),
        ({"x_test": BLANK}, ("images and labels", "x_train and y_train")),
        ({"images": np.array([{}, []], object)}, ("images", "numbers")),
        ({"images": BLANK[:0], "labels": np.zeros(0, int)}, ("no images",)),
    ],
)
def test_wrong_arrays_are_refused_by_name(arrays, facts, tmp_path):
    path = save_npz(tmp_path, **arrays)
    refused(path, path, *facts)


def test_an_npz_with_a_damaged_header_is_refused_by_name(tmp_path):
    path = save_npz(tmp_path, images=BLANK, labels=[1, 2, 3])
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    contents["images.npy"] = contents["images.npy"].replace(b"(3, 28, 28)", b"(3, (8, (8)")
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    refused(path, path, "images", "damaged or incomplete")


def test_a_truncated_npz_is_refused_by_name(tmp_path):
    path = save_npz(tmp_path, images=BLANK, labels=[1, 2, 3])
    path.write_bytes(path.read_bytes()[:-30])
    refused(path, path, "damaged or incomplete")
