"""`DigitClassifier`: training and prediction as an estimator of scikit-learn.

>>> from digit_recognizer.sklearn import DigitClassifier
>>> classifier = DigitClassifier("quick", seed=7).fit(images, labels)
>>> classifier.score(other_images, other_labels)

Training is that of `digit_recognizer.train`, prediction that of `Recognizer`. Between them the estimator
keeps the files of the run as bytes; these are also what is pickled.
"""

from __future__ import annotations

from digit_recognizer.sources.common import import_optional

import_optional("sklearn")  # says what to install where it is missing

from digit_recognizer.sklearn.checks import EXPECTED_FAILED_CHECKS  # noqa: E402
from digit_recognizer.sklearn.classifier import DigitClassifier  # noqa: E402

__all__ = ["EXPECTED_FAILED_CHECKS", "DigitClassifier"]
