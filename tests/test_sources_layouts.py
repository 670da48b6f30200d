"""Further layouts of public data: labels in words, one-hot, or in another file; sparse text; Arrow."""

from __future__ import annotations

import bz2
import io
import logging
import tracemalloc
from collections.abc import Callable

import numpy as np
import pyarrow
import pyarrow.feather
import pytest
from PIL import Image

from digit_recognizer.digits import Digits
from digit_recognizer.sources import load_digits
from digit_recognizer.sources.common import class_of
from helpers import refusal, says
from test_sources_formats import Files, npz
from test_sources_people import (
    PIXELS,
    WORDS,
    cells_of,
    label_last,
    npy,
    numbered,
    same,
    table,
    with_index,
    write,
)

Make = Callable[[Digits], Files]
FORMS = ("{}", "0{}", "{}.0", "{}.000e+00", "digit_{}", "Class {}", "label-{}", "'{}'", "b'{}'", '"{}"')
NO_DIGITS = (
    "10",
    "",
    "-1",
    "3.5",
    "nan",
    "inf",
    "ten",
    "none",
    "someone",
    "two hundred",
    "A",
    "3a",
    "47",
    "no",
)


@pytest.fixture(scope="module")
def bundled() -> Digits:
    return load_digits("bundled")[:60]


def in_words(digits: Digits, form: Callable[[str], str] = str) -> np.ndarray:
    """Return a table of text, the label in words first."""
    words = np.array([form(WORDS[label]) for label in digits.labels])
    return np.column_stack([words, cells_of(digits)[:, 1:].astype(str)])


def one_hot(digits: Digits, *, last: bool = False, true: object = 1, false: object = 0) -> np.ndarray:
    """Return a table with ten columns of the label first or last."""
    labels = np.where(np.eye(10)[digits.labels] == 1, true, false)
    parts = [labels, cells_of(digits)[:, 1:]]
    return np.column_stack(parts[::-1] if last else parts)


def shuffled_names(digits: Digits) -> bytes:
    """Return one-hot columns in another order than the digits."""
    order = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    cells = one_hot(digits)
    cells[:, :10] = cells[:, order]
    return table(cells, [*(f"label_{digit}" for digit in order), *PIXELS])


def a_word_late(digits: Digits) -> bytes:
    cells = cells_of(digits).astype(str)
    cells[40, 0] = WORDS[digits.labels[40]]
    return table(cells, ["label", *PIXELS])


def libsvm(digits: Digits, base: int = 1, scale: float = 1) -> bytes:
    """Return digits as LIBSVM has them, without the pixels that are 0."""
    rows = []
    for label, *pixels in cells_of(digits).tolist():
        pairs = [f"{at + base}:{value * scale:.6g}" for at, value in enumerate(pixels) if value]
        rows.append(f"{label} {' '.join(pairs)} \n")
    return "".join(rows).encode()


def arrow(digits: Digits) -> bytes:
    """Return digits as `Dataset.save_to_disk` writes them."""
    pictures = []
    for image in digits.images:
        content = io.BytesIO()
        Image.fromarray(image).save(content, "PNG")
        pictures.append({"bytes": content.getvalue(), "path": None})
    whole = pyarrow.table({"image": pictures, "label": digits.labels})
    with io.BytesIO() as file, pyarrow.ipc.new_stream(file, whole.schema) as writer:
        writer.write_table(whole)
        writer.close()
        return file.getvalue()


def saved_to_disk(digits: Digits, parts: tuple[str, ...] = ("train", "test")) -> Files:
    """Return the files of a saved dataset in two shards, and what maps left behind."""
    halves = {0: digits[:30], 1: digits[30:]}
    files = {f"data-0000{at}-of-00002.arrow": arrow(half) for at, half in halves.items()}
    files |= {"state.json": b"{}", "dataset_info.json": b"{}", "cache-abc.arrow": b"x"}
    return {f"{part}/{name}": content for part in parts for name, content in files.items()}


def feather(digits: Digits) -> bytes:
    file = io.BytesIO()
    columns = dict(zip(["label", *PIXELS], cells_of(digits).T, strict=True))
    pyarrow.feather.write_feather(pyarrow.table(columns), file)
    return file.getvalue()


def pixels_of(digits: Digits) -> np.ndarray:
    return cells_of(digits)[:, 1:]


READ: dict[str, tuple[str, Make, str]] = {  # the source, its files, and what is said
    "words": ("a.csv", lambda d: {"a.csv": table(in_words(d), ["label", *PIXELS])}, ""),
    "capital words": (
        "a.csv",
        lambda d: {"a.csv": table(in_words(d, str.capitalize), ["what", *PIXELS])},
        "'what'",
    ),
    "words in quotes": (
        "a.csv",
        lambda d: {"a.csv": table(in_words(d, '"{}"'.format), ["label", *PIXELS])},
        "",
    ),
    "words last": (
        "a.csv",
        lambda d: {"a.csv": table(np.roll(in_words(d), -1, 1), [*PIXELS, "label"], end="\r\n")},
        "",
    ),
    "words with an id": (
        "a.csv",
        lambda d: {"a.csv": table(np.column_stack([np.arange(60), in_words(d)]), ["id", "label", *PIXELS])},
        "not used: 'id'",
    ),
    "words without a header": ("a.csv", lambda d: {"a.csv": table(in_words(d))}, "column 1 is the label"),
    "words last, without a header": (
        "a.csv",
        lambda d: {"a.csv": table(np.roll(in_words(d), -1, 1), separator=";")},
        "column 785 is the label",
    ),
    "names of files and words, without a header": (
        "a.csv",
        lambda d: {"a.csv": table(np.column_stack([[f"{n}.png" for n in range(60)], in_words(d)]))},
        "column 2 is the label",
    ),
    "names of files, without a header": (
        "a.csv",
        lambda d: {"a.csv": table(np.column_stack([[f"{n}.png" for n in range(60)], cells_of(d)]))},
        "786 columns without a header: the first is the label",
    ),
    "words and 3.0": (
        "a.csv",
        lambda d: {"a.csv": table(in_words(d), ["label", *PIXELS]).replace(b",0", b",0.0")},
        "",
    ),
    "a word late": ("a.csv", lambda d: {"a.csv": a_word_late(d)}, ""),
    "words in an array": (
        "a.npz",
        lambda d: {"a.npz": npz(X=d.images, y=np.array([WORDS[n] for n in d.labels]))},
        "the labels y",
    ),
    "one-hot first": (
        "a.csv",
        lambda d: {"a.csv": table(one_hot(d), [*numbered("label_{}", 0, 10), *PIXELS])},
        "one-hot, the columns 'label_0' to 'label_9'",
    ),
    "one-hot last": (
        "a.csv",
        lambda d: {"a.csv": table(one_hot(d, last=True), [*PIXELS, *numbered("y{}", 0, 10)])},
        "'y0' to 'y9'",
    ),
    "one-hot in another order": ("a.csv", lambda d: {"a.csv": shuffled_names(d)}, "'label_0' to 'label_9'"),
    "one-hot in words": ("a.csv", lambda d: {"a.csv": table(one_hot(d), [*WORDS, *PIXELS])}, "'zero' to"),
    "one-hot as True and False": (
        "a.csv",
        lambda d: {"a.csv": table(one_hot(d, true="True", false="False"), [*numbered("{}", 0, 10), *PIXELS])},
        "one-hot",
    ),
    "one-hot, names that are there twice": (
        "a.csv",
        lambda d: {"a.csv": table(one_hot(d), [*numbered("{}", 0, 10), *numbered("{}", 0, 784)])},
        "one-hot",
    ),
    "one-hot, the columns numbered through": (
        "a.csv",
        lambda d: {"a.csv": table(one_hot(d, last=True), numbered("{}", 0, 794))},
        "'784' to '793'",
    ),
    "one-hot as floats": (
        "a.csv",
        lambda d: {"a.csv": table(one_hot(d), form="{}.0")},
        "the first ten are a one-hot label",
    ),
    "one-hot last, without a header": (
        "a.csv",
        lambda d: {"a.csv": table(one_hot(d, last=True), separator=" ")},
        "the last ten are a one-hot label",
    ),
    "one-hot after an index, without a header": (
        "a.csv",
        lambda d: {"a.csv": table(np.column_stack([np.arange(60), one_hot(d)]))},
        "the first counts the rows",
    ),
    "one-hot in Keras's file": (
        "a.npz",
        lambda d: {"a.npz": npz(x_train=d.images[..., None], y_train=np.eye(10, dtype="float32")[d.labels])},
        "one-hot",
    ),
    "the label last in an array": ("a.npy", lambda d: {"a.npy": npy(label_last(d))}, "the last is the label"),
    "one-hot in an array": ("a.npy", lambda d: {"a.npy": npy(one_hot(d) / 1.0)}, "the first ten"),
    "an index in an array": ("a.npy", lambda d: {"a.npy": npy(with_index(d))}, "counts the rows"),
    "X_train.csv and y_train.csv": (
        ".",
        lambda d: {
            "X_train.csv": table(pixels_of(d), PIXELS),
            "y_train.csv": table(d.labels[:, None], ["label"]),
            "X_test.csv": table(pixels_of(d)[:3], PIXELS),
            "y_test.csv": table(d.labels[:3, None], ["label"]),
        },
        "the labels are in y_train.csv",
    ),
    "ARDIS: numbers without a header, labels one-hot": (
        "ARDIS_train_2828.csv",
        lambda d: {
            "ARDIS_train_2828.csv": table(pixels_of(d), separator=" ", form="{:.1f}"),
            "ARDIS_train_labels.csv": table(np.eye(10)[d.labels], separator=" "),
            "ARDIS_test_labels.csv": b"1\n",
        },
        "the labels are in ARDIS_train_labels.csv",
    ),
    "labels after an index, in words": (
        "images.csv",
        lambda d: {
            "images.csv": table(pixels_of(d), PIXELS),
            "labels.csv": table(np.column_stack([range(60), in_words(d)[:, 0]]), ["", "label"]),
        },
        "the labels are in labels.csv",
    ),
    "LIBSVM's MNIST": ("mnist.bz2", lambda d: {"mnist.bz2": bz2.compress(libsvm(d))}, "index 1"),
    "scikit-learn's dump, from 0": (
        "a.svm",
        lambda d: {"a.svm": libsvm(d, 0).replace(b" ", b" 0:0 ", 1)},
        "index 0",
    ),
    "datasets, saved to disk": (".", saved_to_disk, "train"),
    "a dataset of one part": ("train", saved_to_disk, ""),
    "a shard": ("a.arrow", lambda d: {"a.arrow": arrow(d)}, ""),
    "Feather": ("a.feather", lambda d: {"a.feather": feather(d)}, ""),
}


@pytest.mark.parametrize("name", READ)
def test_further_layouts_are_read_and_what_was_assumed_is_said(name, tmp_path, bundled, caplog):
    source, make, said = READ[name]
    write(tmp_path, make(bundled))
    with caplog.at_level(logging.INFO):
        loaded = load_digits(tmp_path / source)
    assert same(loaded, bundled)
    assert says(caplog.text, said)


def bad_one_hot(digits: Digits) -> bytes:
    cells = one_hot(digits)
    cells[44, :10] = 0
    return table(cells, [*numbered("label_{}", 0, 10), *PIXELS])


def relabelled(digits: Digits, change: Callable[[np.ndarray], np.ndarray]) -> bytes:
    return table(np.column_stack([change(digits.labels), cells_of(digits)[:, 1:]]), ["label", *PIXELS])


REFUSED: dict[str, tuple[str, Make, tuple[object, ...]]] = {
    "no 1 in a one-hot row": ("a.csv", lambda d: {"a.csv": bad_one_hot(d)}, ("line 46", "found 0")),
    "Semeion": (
        "semeion.data",
        lambda d: {"semeion.data": table(np.column_stack([np.zeros((60, 256)), np.eye(10)[d.labels]]))},
        ("16×16", "resize"),
    ),
    "letters beside digits (EMNIST balanced)": (
        "a.csv",
        lambda d: {"a.csv": relabelled(d, lambda labels: np.where(labels == 4, 26, labels))},
        ("column label", "0 to 9", "'26'", "0 to 26", "keep the images of digits"),
    ),
    "1 to 10, as MATLAB counts": (
        "a.csv",
        lambda d: {"a.csv": relabelled(d, lambda labels: np.where(labels == 0, 10, labels))},
        ("'10'", "stands for 0"),
    ),
    "1 to 10 in an array": (
        "a.npz",
        lambda d: {"a.npz": npz(X=d.images, y=np.where(d.labels == 0, 10, d.labels))},
        ("1 to 10", "stands for 0"),
    ),
    "letters (notMNIST)": (
        "a.csv",
        lambda d: {"a.csv": table(np.column_stack([["A"] * 60, cells_of(d)[:, 1:]]), ["label", *PIXELS])},
        ("line 2, column label", "0 to 9", "'A'"),
    ),
    "labels of other images": (
        "X.csv",
        lambda d: {"X.csv": table(pixels_of(d), PIXELS), "y.csv": table(d.labels[:9, None], ["label"])},
        ("60 images", "9 labels", "y.csv"),
    ),
    "labels in two columns": (
        "X.csv",
        lambda d: {"X.csv": table(pixels_of(d), PIXELS), "y.csv": table(np.eye(2, dtype=int), ["a", "b"])},
        ("y.csv", "column of labels", "found 2"),
    ),
    "LIBSVM's USPS": (
        "usps",
        lambda _: {"usps": b"7 " + b" ".join(b"%d:-0.5" % at for at in range(1, 257)) + b"\n"},
        ("1 to 256", "16×16", "resize"),
    ),
    "LIBSVM's mnist.scale": (
        "mnist.scale",
        lambda d: {"mnist.scale": libsvm(d, scale=1 / 255)},
        ("0 to 1", "multiply"),
    ),
    "LIBSVM, damaged": ("a", lambda d: {"a": libsvm(d) + b"3 153:1 x\n"}, ("line 61", "'3 153:1 x'")),
    "LIBSVM in a folder": (".", lambda d: {"mnist": libsvm(d)}, ("LIBSVM", "name the file")),
    "letters in folders (notMNIST)": (
        ".",
        lambda _: {f"notMNIST_small/{letter}/a.png": b"x" for letter in "ABCDEFGHIJ"},
        ("notMNIST_small", "A, B, C and 7 more", "0 to 9"),
    ),
    "NIST's folders": (
        ".",
        lambda _: {f"by_class/{code}/a.png": b"x" for code in (30, 31, 41)},
        ("30, 31, 41", "0 to 9"),
    ),
    "Chinese MNIST": (
        "chinese_mnist.csv",
        lambda _: {"chinese_mnist.csv": table(np.zeros((3, 4097)), [*numbered("p{}", 0, 4096), "label"])},
        ("64×64", "resize"),
    ),
    "Sign Language MNIST": (
        "sign_mnist_train.csv",
        lambda d: {"sign_mnist_train.csv": relabelled(d, lambda labels: labels + (labels > 8) * 15)},
        ("found 0 to 24", "keep the images of digits"),
    ),
    "EMNIST's MATLAB file": (
        "emnist-digits.mat",
        lambda _: {"emnist-digits.mat": b"MATLAB 5.0 MAT-file" + bytes(99)},
        ("loadmat", "transpose"),
    ),
    "a damaged Arrow file": ("a.arrow", lambda _: {"a.arrow": b"\xff" * 9}, ("no Arrow file", "download")),
    "letters in an array": (
        "a.npz",
        lambda d: {"a.npz": npz(X=d.images, y=np.array(["3"] * 59 + ["A"]))},
        ("row 60", "'A'"),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_digit_is_refused_with_what_to_do(name, tmp_path, bundled):
    source, make, facts = REFUSED[name]
    write(tmp_path, make(bundled))
    assert says(refusal(lambda: load_digits(tmp_path / source)), tmp_path, *facts)


def test_the_test_part_has_its_own_labels_beside_it(tmp_path, bundled):
    make = READ["X_train.csv and y_train.csv"][1]
    write(tmp_path, make(bundled))
    assert load_digits(tmp_path, "test").sha256() == bundled[:3].sha256()


@pytest.mark.parametrize("form", FORMS)
def test_a_name_says_which_digit_it_is(form):
    assert [class_of(form.format(digit)) for digit in range(10)] == list(range(10))


def test_a_word_says_which_digit_it_is():
    for form in ("{}", " {} ", "digit_{}", "'{}'"):
        for change in (str.lower, str.upper, str.capitalize):
            assert [class_of(change(form.format(word))) for word in WORDS] == list(range(10))


@pytest.mark.parametrize("text", NO_DIGITS)
def test_other_names_are_no_digits(text):
    assert class_of(text) is None


@pytest.mark.parametrize("at", [0, 784], ids=["label first", "label last"])
def test_a_table_takes_little_more_memory_than_its_images(at, tmp_path):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 10, (15_000, 784), np.uint8)
    labels = generator.integers(0, 10, 15_000, np.uint8)
    cells = np.insert(images, at, labels, axis=1)
    text = np.full((len(cells), 2 * 785), ord(","), np.uint8)
    text[:, ::2] = cells + ord("0")
    text[:, -1] = ord("\n")
    names = ",".join(np.insert(np.array(PIXELS, "U10"), at, "label"))
    file = tmp_path / "train.csv"
    file.write_bytes(f"{names}\n".encode() + text.tobytes())
    tracemalloc.start()
    digits = load_digits(file)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.array_equal(digits.images.reshape(-1, 784), images)
    assert np.array_equal(digits.labels, labels)
    assert peak < 1.6 * images.nbytes
