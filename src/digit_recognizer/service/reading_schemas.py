"""Schemas of readings: of ``digits read --json`` and of ``/v1/read``, which adds keys of its own.

``docs/reading.schema.json`` is made of these classes by ``python docs/reading_schema.py``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, RootModel
from pydantic.json_schema import GenerateJsonSchema, model_json_schema

from digit_recognizer.reading import CHARACTERS
from digit_recognizer.reading.values import FORMAT_VERSION
from digit_recognizer.service.schemas import Base64, Count, Digit, Probabilities, Probability, Schema

DIALECT = GenerateJsonSchema.schema_dialect
TITLE = "What digits read --json prints: an object on each line"

Text = Annotated[str, Field(pattern=r"^[0-9.,/:+%-]+$")]
OneCharacter = Annotated[str, Field(pattern=r"^[0-9.,/:+%-]$")]
DecimalText = Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]+)?$")]
ClassProbabilities = Annotated[
    list[Probability], Field(min_length=len(CHARACTERS), max_length=len(CHARACTERS))
]
Place = Annotated[int, Field(ge=1)]

MAX_PATTERN = 100  # characters
MAX_VALUES = 1000
IMAGES = (
    "Return the 28x28 pixels of each digit in base64. "
    "Also return the first 100 rejected marks as the digits they resemble most."
)
PATTERN = (
    "Read only numbers of this form: d is a digit; ?, *, {n} and {n,m} after a character make it optional or "
    "repeat it. At most one of pattern, digits and value."
)
VALUE = "Read only this number, or any of several if the parameter is repeated."
DECIMAL_MARK = "What separates decimals; auto finds out."
THRESHOLD = "Numbers below this confidence are not sure."
REDUCE = "Make a picture beyond the limit of pixels smaller, instead of refusing it."
UPRIGHT = "The picture is upright for sure: do not find out whether it is turned."


class ReadParameters(BaseModel):
    """The query of ``/v1/read``; its parameters are the options of ``digits read``."""

    images: Annotated[bool, Field(description=IMAGES)] = False
    page: Annotated[int, Field(ge=1, description="The page of a PDF or TIFF, from 1.")] = 1
    pattern: Annotated[str | None, Field(max_length=MAX_PATTERN, description=PATTERN)] = None
    digits: Annotated[int | None, Field(ge=1, le=100, description="Read only numbers of so many digits.")] = (
        None
    )
    value: Annotated[list[str] | None, Field(max_length=MAX_VALUES, description=VALUE)] = None
    decimal_mark: Annotated[Literal["auto", ".", ","], Field(description=DECIMAL_MARK)] = "auto"
    threshold: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, description=THRESHOLD)] = 0.0
    upright: Annotated[bool, Field(description=UPRIGHT)] = False
    reduce: Annotated[bool, Field(description=REDUCE)] = False


class BoxAnswer(Schema):
    """A rectangle in the picture, in pixels; `x` and `y` are its upper left corner."""

    x: int
    y: int
    width: int
    height: int


class DigitAnswer(Schema):
    """One digit; its confidence is `is_digit` times its probability.

    Only the service gives the confidence and the `image`, the input of the network: 784 bytes, 0 background
    to 255 ink.
    """

    digit: Digit
    box: BoxAnswer
    probabilities: Probabilities
    is_digit: Probability
    confidence: Probability | None = None
    image: Base64 | None = None


class CharacterAnswer(Schema):
    """One character; its probabilities are those of 0 to 9 and . , - / : + %, in this order.

    Only the service gives the `image`: 784 bytes, 0 background to 255 ink.
    """

    text: OneCharacter
    box: BoxAnswer
    probabilities: ClassProbabilities
    is_character: Probability
    confidence: Probability
    image: Base64 | None = None


class AlternativeAnswer(Schema):
    """Another text that a number may be, and its probability."""

    text: Text
    probability: Probability


class NumberAnswer(Schema):
    """One number.

    `text` is what is written, `value` what that amounts to, as a decimal number in a text; null if it is
    unknown or the number is not a plain one. `confidence` is the probability that all of it is right. `row`
    and `column`, from 1, are its cell in the table of all numbers. `digits` are the characters that are
    digits.
    """

    digits: list[DigitAnswer]
    text: Text
    value: DecimalText | None
    confidence: Probability
    sure: bool
    box: BoxAnswer
    row: Place | None
    column: Place | None
    alternatives: list[AlternativeAnswer]
    characters: Annotated[list[CharacterAnswer], Field(min_length=1)]


class LineAnswer(Schema):
    """The numbers of one line, from left to right."""

    numbers: list[NumberAnswer]


class RejectedAnswer(BoxAnswer):
    """A mark that was not read, the reason, and what it would be if it were a character, if that is known.

    Only the service gives the `guess`, for the first marks, if images are asked for.
    """

    reason: str
    text: OneCharacter | None
    confidence: Probability | None
    guess: DigitAnswer | None = None


class ReadingAnswer(Schema):
    """What was read in a picture.

    `notes` are sentences about what could not be decided. The picture was turned clockwise by `rotation`
    degrees before it was read; all boxes are in the turned picture.
    """

    format: Literal[1]
    text: str
    lines: list[LineAnswer]
    rejected: list[RejectedAnswer]
    notes: list[str]
    rotation: Literal[0, 90, 180, 270]


class ServiceReading(ReadingAnswer):
    """What was read on a page of a picture; `blank` means that it has no ink at all. See `ReadingAnswer`.

    `pages` is how many pages the picture has.
    """

    width: Count
    height: Count
    pages: Place
    blank: bool
    seconds: float


class PictureReading(ReadingAnswer):
    """What was read in a file; `page` is the page of a file with pages, from 1."""

    picture: str
    page: Place | None = None


class PictureDigit(Schema):
    """What was read in a file with ``--single``; `digit` is null below the threshold."""

    picture: str
    page: Place | None = None
    digit: Digit | None
    confidence: Probability
    probabilities: Probabilities


class PictureError(Schema):
    """Why a file could not be read."""

    picture: str
    page: Place | None = None
    error: str


class PrintedLine(RootModel[PictureReading | PictureDigit | PictureError]):
    """One line of what ``digits read --json`` prints."""


def reading_schema() -> dict[str, Any]:
    """Return the JSON Schema of each line that ``digits read --json`` prints."""
    schema = model_json_schema(PrintedLine)
    return {"$schema": DIALECT, "$id": f"reading-{FORMAT_VERSION}", **schema, "title": TITLE}
