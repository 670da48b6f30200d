"""`DigitClassifier`: training and prediction as an estimator of scikit-learn."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from operator import index
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from digit_recognizer.digits import Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.files import PARTIAL_SUFFIX
from digit_recognizer.recognition import Recognizer
from digit_recognizer.runs.run_folder import CHECKPOINT, MODEL, check_free
from digit_recognizer.sklearn.data import (
    AUTO,
    PixelRange,
    Pixels,
    checked_rows,
    classes_of,
    digits_of,
    find_pixel_range,
    flattened,
    to_images,
    warn_of_other_scale,
)
from digit_recognizer.sources.common import import_optional

if TYPE_CHECKING:
    from digit_recognizer.recipes import Recipe
    from digit_recognizer.runs import EpochRecord

NOT_KEPT = (Path(CHECKPOINT).parent.name, ".lock")  # of a run: only resuming needs them


class DigitClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier of 28×28 images that trains a network by a recipe.

    Parameters
    ----------
    recipe
        A recipe, its name, or a TOML file.
    seed
        Determines split, first weights, order, augmentation and dropout; at least 0. The same seed and images
        give the same network.
    device
        ``cpu``, ``cuda``, ``cuda:1`` …, or ``auto``: a GPU if torch finds one. Prediction uses the processor.
    epochs, batch_size, learning_rate
        Replace those of the recipe unless None.
    settings
        More changes of the recipe, such as ``["split.validation=0.2"]``.
    pixel_range
        The values of the background and of full ink, such as ``(0, 255)``, or ``(255, 0)`` for dark digits on
        white. ``auto`` decides by the training images: 0 to 1, 0 to 255, or otherwise 0, or the lowest value
        if that is negative, to the highest.

    Attributes
    ----------
    classes_
        The labels, sorted; shape (K,), K from 2 to 10.
    n_features_in_
        784.
    feature_names_in_
        The columns of the dataframe, if `fit` got one with names.
    pixel_range_
        The values of background and ink in the training images.
    history_
        An `EpochRecord` for each epoch. The recipe's own split decides which images are held out for it.

    Examples
    --------
    >>> from digit_recognizer.sklearn import DigitClassifier
    >>> classifier = DigitClassifier("quick", seed=7).fit(images, labels)
    >>> classifier.score(other_images, other_labels)
    """

    classes_: NDArray[Any]
    pixel_range_: PixelRange
    history_: list[EpochRecord]
    _digits: NDArray[np.int64]  # (K,): which digit of the network stands for each class
    _files: dict[str, bytes]  # of the run, by their names
    _recognizer: Recognizer

    def __init__(
        self,
        recipe: Recipe | str | Path = "standard",
        seed: int = 0,
        device: str = AUTO,
        epochs: int | None = None,
        *,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        settings: Sequence[str] = (),
        pixel_range: PixelRange | str = AUTO,
    ) -> None:
        self.recipe = recipe
        self.seed = seed
        self.device = device
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.settings = settings
        self.pixel_range = pixel_range

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803
        """Train a network.

        Parameters
        ----------
        X
            Numbers, shape (N, 784) or (N, 28, 28): an array, lists or a dataframe.
        y
            Labels of any one type, shape (N,), of 2 to 10 classes. A number or word that says a digit, such
            as 3, "3" or "three", stands for that digit in the files of the run.

        Raises
        ------
        ValueError
            Other shapes; missing or infinite values; fewer or more classes; a parameter out of range. What
            the message calls a key is a setting of the recipe.
        TypeError
            A parameter, or X, of a wrong type.
        """
        recipe, seed = self._changed_recipe(), _whole_number("seed", self.seed)
        pixels, labels = validate_data(self, flattened(X), y)
        check_classification_targets(labels)
        classes, positions = classes_of(labels)
        rows = self._image_rows(pixels)
        pixel_range = find_pixel_range(self.pixel_range, rows)
        digits_of_classes = digits_of(classes)
        digits = Digits(to_images(rows, pixel_range), digits_of_classes[positions])
        self._files, self.history_ = _train(digits, recipe, seed, self.device)
        self._recognizer = _open_model(self._files)
        self.classes_, self._digits, self.pixel_range_ = classes, digits_of_classes, pixel_range
        return self

    def predict(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """Return the most probable class of each image: shape (N,), of the type of the labels."""
        probabilities = self.predict_proba(X)
        predicted: NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return predicted

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """Return the probability of each class, in the order of `classes_`: float64, shape (N, K).

        A digit that was not trained on has no column, and the others sum to 1.
        """
        check_is_fitted(self)
        rows = self._image_rows(validate_data(self, flattened(X), reset=False))
        warn_of_other_scale(rows, self.pixel_range_)
        predictions = self._recognizer.predict(to_images(rows, self.pixel_range_))
        known = predictions.probabilities[:, self._digits].astype(np.float64)  # (N, K)
        known = np.maximum(known, np.finfo(np.float64).tiny)  # so that their sum is not 0
        normalised: NDArray[np.float64] = known / known.sum(axis=1, keepdims=True)
        return normalised

    def save_run(self, folder: str | Path) -> None:
        """Write the trained run into a new folder, for `Recognizer` and the command line.

        Raises
        ------
        DigitsError
            The folder exists and is not empty, or cannot be written.
        """
        check_is_fitted(self)
        target = Path(folder)
        check_free(target)
        partial = target.with_name(f".{target.name}.{os.getpid()}{PARTIAL_SUFFIX}")
        try:
            partial.mkdir(parents=True)
            for name, content in self._files.items():
                (partial / name).write_bytes(content)
            partial.rename(target)
        except OSError as error:
            raise DigitsError(f"cannot write the run folder {target}: {error.strerror or error}") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())
        state.pop("_recognizer", None)  # its session cannot be pickled, and the run's files hold all of it
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "_files" in state:
            self._recognizer = _open_model(self._files)

    def _changed_recipe(self) -> Recipe:
        """Return the recipe with the changes that the parameters ask for."""
        import_optional("torch")  # before slow work
        from digit_recognizer.recipes import Recipe, as_recipe

        if not isinstance(self.recipe, Recipe | str | Path):
            raise TypeError(f"recipe: expected a recipe, its name or a TOML file, got {self.recipe!r}")
        named = {
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "optimizer.learning_rate": self.learning_rate,
        }
        settings = [f"{key}={value}" for key, value in named.items() if value is not None]
        more = [self.settings] if isinstance(self.settings, str) else self.settings
        return as_recipe(self.recipe).with_settings([*settings, *more])

    def _image_rows(self, pixels: Pixels) -> Pixels:
        """Return rows of 784 pixels, or say what else was found."""
        return checked_rows(pixels)


def _train(
    digits: Digits, recipe: Recipe, seed: int, device: str
) -> tuple[dict[str, bytes], list[EpochRecord]]:
    """Train a run in a temporary folder; return its files and the record of each epoch."""
    from digit_recognizer.training import train

    with TemporaryDirectory(prefix="digits-") as temporary:
        folder = Path(temporary, "run")
        history = list(train(digits, recipe, folder, seed=seed, device=device))
        kept = [path for path in sorted(folder.iterdir()) if path.name not in NOT_KEPT]
        return {path.name: path.read_bytes() for path in kept}, history


def _open_model(files: dict[str, bytes]) -> Recognizer:
    """Return the recogniser of a run's files. It reads its file at once, so that this may be temporary."""
    with TemporaryDirectory(prefix="digits-") as folder:
        path = Path(folder, MODEL)
        path.write_bytes(files[MODEL])
        return Recognizer(path)


def _whole_number(name: str, value: Any) -> int:
    try:
        return index(value)
    except TypeError as error:
        raise TypeError(f"{name}: expected a whole number of at least 0, got {value!r}") from error
