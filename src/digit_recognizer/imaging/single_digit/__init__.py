"""The one digit of a picture as an image in the style of MNIST; needs OpenCV, which comes with an extra."""

from __future__ import annotations

from digit_recognizer.imaging.single_digit.find import digit_image, single_image

__all__ = ["digit_image", "single_image"]
