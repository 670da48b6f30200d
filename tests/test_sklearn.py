"""The estimator: scikit-learn's own checks, what it takes, what it refuses, and where it works."""

from __future__ import annotations

import copy
import os
import pickle
import pickletools
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

from digit_recognizer import Recognizer, train
from digit_recognizer.errors import DigitsError
from digit_recognizer.recipes import load_recipe
from digit_recognizer.runs.run import read_run
from digit_recognizer.sklearn import EXPECTED_FAILED_CHECKS, DigitClassifier
from digit_recognizer.sources.common import import_optional
from helpers import make_digits, refusal, says, tensors_of, tiny

pytestmark = pytest.mark.usefixtures("one_thread")

DIGITS = make_digits(120)
OTHERS = make_digits(60, seed=1)
IMAGES, LABELS = DIGITS.images, DIGITS.labels
ROWS = IMAGES.reshape(-1, 784)
LINEAR = tiny(
    'network=["dense 10"]',
    "epochs=4",
    "optimizer={name='muon', learning_rate=0.4}",
    "schedule={name='one-cycle', warmup=0.1}",
)
WORDS = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])


def fitted(images=IMAGES, labels=LABELS, **parameters):
    return DigitClassifier(LINEAR, **parameters).fit(images, labels)


@pytest.fixture(scope="module")
def classifier():
    return fitted()


class OfAnyWidth(DigitClassifier):
    """Repeats each feature of a table until the row fills an image."""

    def _image_rows(self, pixels):
        times = -(-784 // pixels.shape[1])
        return super()._image_rows(np.repeat(pixels, times, axis=1)[:, :784])


@pytest.mark.slow
def test_all_checks_of_scikit_learn_pass_with_tables_that_fill_images():
    results = check_estimator(OfAnyWidth(LINEAR), on_skip=None)
    assert {result["status"] for result in results} <= {"passed", "skipped"}


def test_without_that_the_listed_checks_fail_because_of_the_number_of_pixels():
    results = check_estimator(
        DigitClassifier(LINEAR), expected_failed_checks=EXPECTED_FAILED_CHECKS, on_skip=None
    )
    failed = [result for result in results if result["status"] == "xfail"]
    for result in failed:
        error = result["exception"]
        assert "expected images of 28×28 pixels" in f"{error} {error.__cause__} {error.__context__}"
    others = {result["check_name"] for result in results if result["status"] == "passed"}
    assert failed
    assert not others & set(EXPECTED_FAILED_CHECKS)


def of_pandas(rows):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(rows, columns=[f"pixel{number}" for number in range(784)])


def of_pyarrow(rows):
    return pa.table({f"pixel{number}": column for number, column in enumerate(rows.T)})


@pytest.mark.parametrize(
    "given",
    [
        lambda rows: rows,
        lambda rows: rows.reshape(-1, 28, 28),
        lambda rows: rows.reshape(-1, 28, 28, 1),
        lambda rows: rows.astype(np.int64),
        lambda rows: rows.astype(np.float64),
        lambda rows: rows / 255,
        lambda rows: (rows / 255).astype(np.float32),
        np.asfortranarray,
        lambda rows: np.repeat(rows, 2, axis=0)[::2],
        lambda rows: rows.tolist(),
        lambda rows: list(rows.reshape(-1, 28, 28)),
        lambda rows: rows.astype(object),
        of_pyarrow,
        of_pandas,
    ],
    ids=[
        "rows",
        "images",
        "one channel",
        "int64",
        "float64",
        "0 to 1",
        "0 to 1 in float32",
        "by columns",
        "strided",
        "lists",
        "list of images",
        "objects",
        "pyarrow",
        "pandas",
    ],
)
def test_the_same_images_in_any_form_give_the_same_answers(classifier, given):
    expected = classifier.predict_proba(OTHERS.images)
    images = given(ROWS)
    found = fitted(images)
    assert np.array_equal(found.predict_proba(given(OTHERS.images.reshape(-1, 784))), expected)
    assert found.n_features_in_ == 784
    assert hasattr(found, "feature_names_in_") == hasattr(images, "columns")


@pytest.mark.parametrize(
    ("given", "pixel_range", "found"),
    [
        (lambda images: images, "auto", (0, 255)),
        (lambda images: images / 255, "auto", (0, 1)),
        (lambda images: (images / 255 - 0.1307) / 0.3081, "auto", (-0.4242129, 2.8214866)),
        (lambda images: images.astype(np.uint16) * 257, "auto", (0, 65535)),
        (lambda images: images.astype(np.float64) * 100, (0, 25500), (0, 25500)),
        (lambda images: 255 - images, (255, 0), (255, 0)),
        (lambda images: 1 - images / 255, [1, 0], (1, 0)),
    ],
)
def test_any_scale_of_pixels_becomes_that_of_the_digits(given, pixel_range, found):
    with_full_range = IMAGES.copy()
    with_full_range[:, 0, :2] = 0, 255
    expected = fitted(with_full_range)
    scaled = fitted(given(with_full_range), pixel_range=pixel_range)
    assert scaled.pixel_range_ == pytest.approx(found)
    assert np.array_equal(
        scaled.predict_proba(given(with_full_range)), expected.predict_proba(with_full_range)
    )


def test_binary_images_are_black_and_full_ink():
    is_ink = IMAGES > 100
    assert np.array_equal(
        fitted(is_ink).predict_proba(is_ink), fitted(is_ink * 255).predict_proba(is_ink * 255)
    )


@pytest.mark.parametrize(
    ("given", "facts"),
    [
        (IMAGES * 100.0 - 50, ["-50 to", "not 0 to 255 or 0 to 1", "pixel_range="]),
        (IMAGES // 16, ["0 to 15", "0 is taken for the background, 15 for full ink"]),
    ],
)
def test_an_unusual_scale_is_said(given, facts, caplog):
    fitted(given)
    (said,) = [record.getMessage() for record in caplog.records if record.getMessage().startswith("X:")]
    assert says(said, *facts)


@pytest.mark.parametrize(("before", "after"), [(1, 1 / 255), (1 / 255, 1), (100.0, 1)])
def test_another_scale_than_in_training_is_said(before, after, caplog):
    classifier = fitted(IMAGES * before)
    caplog.clear()
    classifier.predict(OTHERS.images * before)
    classifier.predict(np.zeros((2, 784)))
    assert not caplog.records
    classifier.predict(OTHERS.images * after)
    assert says(caplog.text, "but in the training images 0 was the background", "the same scale")


@pytest.mark.parametrize(
    ("labels", "classes", "digits"),
    [
        (LABELS, list(range(10)), range(10)),
        (LABELS.astype(np.uint8), list(range(10)), range(10)),
        (LABELS.astype(np.float64), list(range(10)), range(10)),
        (LABELS.astype(str), list("0123456789"), range(10)),
        (LABELS.astype(str).astype(object), list("0123456789"), range(10)),
        (WORDS[LABELS], sorted(WORDS), [8, 5, 4, 9, 1, 7, 6, 3, 2, 0]),
        (WORDS[LABELS].tolist(), sorted(WORDS), [8, 5, 4, 9, 1, 7, 6, 3, 2, 0]),
        (LABELS % 3 + 4, [4, 5, 6], [4, 5, 6]),
        (LABELS + 1, list(range(1, 11)), range(10)),
        (LABELS - 5, list(range(-5, 5)), range(10)),
        (LABELS > 4, [False, True], [0, 1]),
        (np.where(LABELS > 4, "large", "small"), ["large", "small"], [0, 1]),
        (pa.array(LABELS), list(range(10)), range(10)),
    ],
)
def test_labels_of_any_type_come_back(labels, classes, digits):
    classifier = fitted(IMAGES, labels)
    labels = np.asarray(labels)
    assert classifier.classes_.tolist() == classes
    assert classifier.classes_.dtype == labels.dtype == classifier.predict(IMAGES).dtype
    assert classifier._digits.tolist() == list(digits)
    probabilities = classifier.predict_proba(OTHERS.images)
    assert probabilities.shape == (len(OTHERS), len(classes))
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-12)
    assert classifier.score(IMAGES, labels) > 0.5


def test_fit_trains_what_train_does(tmp_path):
    recipe = LINEAR.with_settings(["epochs=2", "batch_size=16", "optimizer.learning_rate=0.1"])
    records = list(train(DIGITS, recipe, tmp_path / "run", seed=3, device="cpu"))
    classifier = fitted(ROWS.astype(float), seed=np.int64(3), device="cpu", epochs=2, batch_size=16)
    classifier = clone(classifier).set_params(settings=("optimizer.learning_rate=0.1",)).fit(IMAGES, LABELS)
    assert [each.loss for each in classifier.history_] == [each.loss for each in records]
    classifier.save_run(tmp_path / "saved")
    assert tensors_of(tmp_path / "saved/model.safetensors") == tensors_of(tmp_path / "run/model.safetensors")
    assert read_run(tmp_path / "saved").recipe == recipe
    predictions = Recognizer(tmp_path / "saved").predict(OTHERS.images)
    assert np.allclose(predictions.probabilities, classifier.predict_proba(OTHERS.images), atol=1e-6)
    assert says(refusal(lambda: classifier.save_run(tmp_path / "saved")), "already exists")


@pytest.mark.parametrize(
    ("parameters", "settings"),
    [
        ({"epochs": 3}, ["epochs=3"]),
        ({"batch_size": np.int64(64)}, ["batch_size=64"]),
        ({"learning_rate": np.float64(1e-5)}, ["optimizer.learning_rate=1e-5"]),
        ({"settings": "split.validation=0.5"}, ["split.validation=0.5"]),
        ({"epochs": 3, "settings": ["epochs=4", "members=2"]}, ["epochs=4", "members=2"]),
    ],
)
def test_parameters_change_the_recipe(parameters, settings):
    assert DigitClassifier("quick", **parameters)._changed_recipe() == load_recipe("quick", settings)


X_FACTS = ("X: expected images of 28×28 pixels", "shape (N, 784) or (N, 28, 28)")


@pytest.mark.parametrize(
    ("images", "labels", "parameters", "kind", "facts"),
    [
        (ROWS[:, :64], LABELS, {}, ValueError, [*X_FACTS, "n_features=64 (8×8)"]),
        (np.c_[LABELS, ROWS], LABELS, {}, ValueError, [*X_FACTS, "785", "leave out the column of labels"]),
        (IMAGES[:, ::2, ::2], LABELS, {}, ValueError, [*X_FACTS, "found shape (120, 14, 14)"]),
        (np.stack([IMAGES] * 3, axis=3), LABELS, {}, ValueError, [*X_FACTS, "(120, 28, 28, 3)"]),
        (ROWS[0], LABELS[:1], {}, ValueError, ["Reshape your data"]),
        (np.full((120, 784), np.nan), LABELS, {}, ValueError, ["NaN"]),
        (np.full((120, 784), -1), LABELS, {}, ValueError, ["X: expected images, found only pixels of -1"]),
        (ROWS.astype(str), LABELS, {}, ValueError, ["numeric"]),
        (ROWS, LABELS[:-1], {}, ValueError, ["inconsistent numbers of samples: [120, 119]"]),
        (ROWS, None, {}, ValueError, ["requires y"]),
        (ROWS, LABELS * 0, {}, ValueError, ["y: expected at least two classes, found one class: 0"]),
        (ROWS, np.arange(120) % 12, {}, ValueError, ["y: expected at most 10 classes", "found 12: 0, 1, 2"]),
        (ROWS, LABELS / 7, {}, ValueError, ["continuous"]),
        (ROWS, LABELS, {"seed": -1}, ValueError, ["seed of at least 0, got -1"]),
        (ROWS, LABELS, {"seed": 1.5}, TypeError, ["seed: expected a whole number", "1.5"]),
        (ROWS, LABELS, {"epochs": 0}, ValueError, ["epochs", "0"]),
        (ROWS, LABELS, {"epochs": 1.5}, ValueError, ["epochs", "1.5"]),
        (ROWS, LABELS, {"settings": ["epoch=1"]}, ValueError, ["epoch", "epochs"]),
        (ROWS, LABELS, {"device": "tpu"}, ValueError, ["device", "'tpu'"]),
        (ROWS, LABELS, {"recipe": "no-such"}, ValueError, ["no-such"]),
        (ROWS, LABELS, {"recipe": "numbers"}, ValueError, ["not for single digits"]),
        (ROWS, LABELS, {"recipe": None}, TypeError, ["recipe: expected a recipe", "None"]),
        (ROWS, LABELS, {"pixel_range": "best"}, ValueError, ["pixel_range: expected 'auto'", "'best'"]),
        (
            ROWS,
            LABELS,
            {"pixel_range": (1, 1)},
            ValueError,
            ["pixel_range: expected two different", "(1, 1)"],
        ),
        (ROWS, LABELS, {"pixel_range": 255}, TypeError, ["pixel_range: expected two numbers", "255"]),
        (ROWS, LABELS, {"pixel_range": (0, 1, 2)}, TypeError, ["pixel_range: expected two numbers"]),
    ],
)
def test_what_cannot_be_trained_on_is_refused(images, labels, parameters, kind, facts):
    classifier = DigitClassifier(LINEAR).set_params(**parameters)
    with pytest.raises(kind) as error:
        classifier.fit(images, labels)
    assert says(str(error.value), *facts)


def test_a_missing_package_is_named_with_the_command_that_installs_it():
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "try: import digit_recognizer.sklearn\nexcept ValueError as error: print(error)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert says(printed, "sklearn is not installed", 'pip install "digit-recognizer[train]"')
    with pytest.raises(DigitsError, match="no_such_package is not installed"):
        import_optional("no_such_package")


def test_a_copy_answers_as_the_original(classifier, tmp_path):
    joblib.dump(classifier, tmp_path / "classifier.joblib")
    expected = classifier.predict_proba(OTHERS.images)
    for copied in (
        pickle.loads(pickle.dumps(classifier)),
        copy.deepcopy(classifier),
        joblib.load(tmp_path / "classifier.joblib"),
        clone(classifier).fit(IMAGES, LABELS),
    ):
        assert np.array_equal(copied.predict_proba(OTHERS.images), expected)
        assert copied.get_params().keys() == classifier.get_params().keys()
    assert not hasattr(pickle.loads(pickle.dumps(clone(classifier))), "classes_")


def test_a_pickle_holds_the_files_of_the_run_and_predicts_without_torch(classifier, tmp_path):
    pickled = pickle.dumps(fitted())
    names = {str(argument) for _, argument, _ in pickletools.genops(pickled) if isinstance(argument, str)}
    assert {"model.onnx", "model.safetensors", "metrics.json", "recipe.toml"} <= names
    assert not [name for name in names if name.partition(".")[0] in ("torch", "onnxruntime")]
    (tmp_path / "classifier.pickle").write_bytes(pickled)
    np.save(tmp_path / "images.npy", OTHERS.images)
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('torch is not there', name='torch')")
    code = (
        "import pickle, numpy; from pathlib import Path\n"
        "classifier = pickle.loads(Path('classifier.pickle').read_bytes())\n"
        "print(*classifier.predict(numpy.load('images.npy')))\n"
        "try: classifier.fit(None, None)\nexcept ValueError as error: print(error)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    predicted, refused = ended.stdout.splitlines()
    assert predicted == " ".join(map(str, classifier.predict(OTHERS.images)))
    assert says(refused, "torch is not installed", 'pip install "digit-recognizer[train]"')


@pytest.mark.parametrize("images", [IMAGES, ROWS], ids=["images", "rows"])
def test_cross_val_score(images):
    scores = cross_val_score(DigitClassifier(LINEAR), images, WORDS[LABELS], cv=3)
    assert scores.shape == (3,)
    assert scores.min() > 0.5


def test_grid_search():
    grid = {"learning_rate": [1e-6, 0.4], "epochs": np.array([1, 4])}
    search = GridSearchCV(DigitClassifier(LINEAR, device="cpu"), grid, cv=2).fit(IMAGES, LABELS)
    assert search.best_params_ == {"learning_rate": 0.4, "epochs": 4}
    assert search.score(OTHERS.images, OTHERS.labels) > 0.5
    assert len(search.best_estimator_.history_) == 4


def invert(images):
    return 255 - images


def test_pipeline(classifier):
    pipeline = make_pipeline(FunctionTransformer(invert), DigitClassifier(LINEAR, epochs=1))
    pipeline.set_params(digitclassifier__epochs=4).fit(255 - IMAGES, LABELS)
    assert np.array_equal(
        pipeline.predict_proba(255 - OTHERS.images), classifier.predict_proba(OTHERS.images)
    )
    copied = pickle.loads(pickle.dumps(pipeline))
    assert np.array_equal(copied.predict(255 - IMAGES), pipeline.predict(255 - IMAGES))


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration(method):
    calibrated = CalibratedClassifierCV(DigitClassifier(LINEAR), method=method, cv=2, ensemble=False)
    calibrated.fit(ROWS, WORDS[LABELS])
    assert calibrated.classes_.tolist() == sorted(WORDS)
    probabilities = calibrated.predict_proba(OTHERS.images.reshape(-1, 784))
    assert log_loss(WORDS[OTHERS.labels], probabilities) < np.log(10)


def test_the_guide_lists_the_checks_that_are_expected_to_fail():
    page = Path(__file__).parent.parent / "docs/sklearn.md"
    assert says(page.read_text("utf-8"), f"{len(EXPECTED_FAILED_CHECKS)} of", "EXPECTED_FAILED_CHECKS")
