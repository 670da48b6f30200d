"""Numbers that users corrected as a whole: their pictures, what is written there, and the digits in them."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digit_recognizer.digits import SIDE, check_images
from digit_recognizer.errors import DigitsError
from digit_recognizer.reading import CHARACTERS

MAX_CHARACTERS = 100  # of a number
MAX_PICTURE_PIXELS = 1_000_000
INSERT = "INSERT INTO numbers (picture, text, read_as, images, model, time) VALUES (?, ?, ?, ?, ?, ?)"
SELECT = "SELECT id, picture, text, read_as, images, model, time FROM numbers ORDER BY id"


@dataclass(frozen=True, slots=True, eq=False)
class NumberCorrection:
    """A number that a user corrected as a whole.

    Attributes
    ----------
    id
        Unique among the numbers in the file, also after the correction is deleted.
    picture
        uint8, shape (height, width), 0 black to 255 white: the part of the picture with the number.
    text
        What is written there, 1 to 100 characters of `reading.CHARACTERS`.
    read_as
        What the model read there; empty if it read nothing.
    images
        uint8, shape (N, 28, 28): the mark of each character that was read, in the style of MNIST; None if not
        every character has one.
    model
        The name of that model.
    time
        When the user corrected it: ISO 8601, UTC.
    """

    id: int
    picture: NDArray[np.uint8]
    text: str
    read_as: str
    images: NDArray[np.uint8] | None
    model: str
    time: str

    @property
    def digits(self) -> list[tuple[NDArray[np.uint8], int]]:
        """The images of single digits with their labels, as far as the text says which is which."""
        if self.images is None:
            return []
        return [(self.images[place], digit) for place, digit in pair_digits(self.text, self.read_as)]


def pair_digits(text: str, read_as: str) -> list[tuple[int, int]]:
    """Return which character of what was read is which digit of a text; none if they do not correspond.

    They correspond if both have as many characters, or as many digits: "1350" may be 13.50, of which one mark
    was not read.
    """
    if len(text) == len(read_as):
        return [(place, int(each)) for place, each in enumerate(text) if each.isdecimal()]
    places = [place for place, each in enumerate(read_as) if each.isdecimal()]
    digits = [int(each) for each in text if each.isdecimal()]
    return list(zip(places, digits, strict=True)) if len(places) == len(digits) else []


def as_row(
    picture: NDArray[np.uint8], text: str, read_as: str, images: NDArray[np.uint8] | None
) -> tuple[bytes, str, str, bytes]:
    """Return the first columns of a correction; raise `DigitsError` if a value is wrong."""
    picture = np.asarray(picture)
    if picture.dtype != np.uint8 or picture.ndim != 2 or not 0 < picture.size <= MAX_PICTURE_PIXELS:
        raise DigitsError(
            f"expected a grey picture, uint8 of shape (height, width), with at most {MAX_PICTURE_PIXELS:,} "
            f"pixels, got {picture.dtype} of shape {picture.shape}"
        )
    _check_text("text", text, least=1)
    _check_text("read_as", read_as, least=0)
    content = b""
    if images is not None:
        check_images(np.asarray(images))
        if len(images) != len(read_as):
            raise DigitsError(f"images: expected {len(read_as)}, one for each character, got {len(images)}")
        content = np.ascontiguousarray(images).tobytes()
    stream = BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue(), text, read_as, content


def from_row(row: tuple[Any, ...]) -> NumberCorrection:
    """Return a correction of the file; raise `DigitsError` if it is damaged."""
    number, content, text, read_as, images, model, when = row
    try:
        _check_text("text", text, least=1)
        _check_text("read_as", read_as, least=0)
        with Image.open(BytesIO(content), formats=["PNG"]) as image:
            if image.mode != "L" or image.width * image.height > MAX_PICTURE_PIXELS:
                raise DigitsError(f"expected a grey picture with at most {MAX_PICTURE_PIXELS:,} pixels")
            picture = np.array(image)
        marks = None
        if images:
            marks = np.frombuffer(images, np.uint8).reshape(len(read_as), SIDE, SIDE)
    except Exception as error:  # damage makes Pillow's decoders raise errors of nearly any type
        raise DigitsError(f"number {number}: {error}") from error
    return NumberCorrection(number, picture, text, read_as, marks, str(model), str(when))


def _check_text(name: str, text: object, *, least: int) -> None:
    """Raise `DigitsError` unless a value is the text of a number."""
    is_text = isinstance(text, str) and set(text) <= set(CHARACTERS)
    if not (is_text and least <= len(str(text)) <= MAX_CHARACTERS):
        raise DigitsError(
            f"{name}: expected {least} to {MAX_CHARACTERS} characters of {' '.join(CHARACTERS)}, got {text!r}"
        )
