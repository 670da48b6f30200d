"""The requests and answers of ``/v1``, as OpenAPI shows them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from digit_recognizer.digits import CLASSES, INK, SIDE

Pixel = Annotated[int, Field(ge=0, le=INK)]
Side = Field(min_length=SIDE, max_length=SIDE)
Image = Annotated[list[Annotated[list[Pixel], Side]], Side]
Digit = Annotated[int, Field(ge=0, le=9)]
Probability = Annotated[float, Field(ge=0, le=1)]
Probabilities = Annotated[list[Probability], Field(min_length=CLASSES, max_length=CLASSES)]
Base64 = Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"})]
Count = Annotated[int, Field(ge=0)]


class _Schema(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class Error(_Schema):
    """What is wrong, in one sentence."""

    error: str


class Images(_Schema):
    """Images of single digits: rows from top to bottom, 0 background to 255 ink."""

    images: Annotated[list[Image], Field(min_length=1)]


class Rows(_Schema):
    """Images whose pixels may be any integers: asking each for its range takes longer than all else."""

    images: Annotated[list[Annotated[list[Annotated[list[int], Side]], Side]], Field(min_length=1)]


class OneImage(_Schema):
    """Exactly one image."""

    images: Annotated[list[Image], Field(min_length=1, max_length=1)]


class PredictionsAnswer(_Schema):
    """What the model makes of each image."""

    labels: list[Digit]
    probabilities: list[Probabilities]
    is_digit: list[Probability] | None
    confidence: list[Probability]


class BoxAnswer(_Schema):
    """A part of the picture, in its pixels."""

    x: int
    y: int
    width: int
    height: int


class DigitAnswer(_Schema):
    """One digit; `image` is what the network got, 784 bytes, 0 background to 255 ink."""

    digit: Digit
    box: BoxAnswer
    probabilities: Probabilities
    is_digit: Probability
    confidence: Probability
    image: Base64 | None = None


class NumberAnswer(_Schema):
    """Digits that stand together."""

    digits: list[DigitAnswer]


class LineAnswer(_Schema):
    """Numbers side by side."""

    numbers: list[NumberAnswer]


class RejectedAnswer(BoxAnswer):
    """A mark that is no digit, and what it would be if it were one."""

    guess: DigitAnswer | None = None


class ReadingAnswer(_Schema):
    """All that was read in a picture; `blank` where it has no ink at all."""

    text: str
    width: Count
    height: Count
    lines: list[LineAnswer]
    rejected: list[RejectedAnswer]
    blank: bool
    seconds: float


class LayerAnswer(_Schema):
    """A convolution's maps: channels × height × width bytes, 255 at the layer's `maximum`."""

    name: str
    kind: str
    height: Count
    width: Count
    channels: Count
    maps: Base64
    maximum: float


class Explanation(_Schema):
    """What goes on in the network; `saliency` has 784 bytes, 255 where hiding the ink costs the most."""

    label: Digit
    probabilities: Probabilities
    is_digit: Probability | None
    layers: list[LayerAnswer]
    saliency: Base64 | None
    seconds: float


class KernelsAnswer(_Schema):
    """A convolution's filters, the mean over their inputs: outputs × height × width bytes.

    128 is 0, 255 is `scale`, 1 is minus `scale`.
    """

    name: str
    height: Count
    width: Count
    inputs: Count
    outputs: Count
    kernels: Base64
    scale: float


class Filters(_Schema):
    """The filters of every convolution."""

    layers: list[KernelsAnswer]


class LimitsAnswer(_Schema):
    """The largest request in bytes, picture in pixels, and number of images."""

    body_bytes: int
    pixels: int
    images: int


class ModelCard(_Schema):
    """The model that is served; `corrections` says whether the service keeps corrections."""

    name: str
    version: str
    source: str
    knows_no_digit: bool
    corrections: bool
    limits: LimitsAnswer


class InputTensor(_Schema):
    """A tensor of the Open Inference Protocol: its numbers in `data`, or behind the JSON as bytes."""

    name: str
    shape: Annotated[list[int], Field(min_length=1)]
    datatype: str
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


class AskedTensor(_Schema):
    """A tensor that is asked for; the parameter `binary_data` says in which form."""

    name: str
    parameters: dict[str, Any] = {}


class InferRequest(_Schema):
    """A request of the Open Inference Protocol."""

    id: str | None = None
    parameters: dict[str, Any] = {}
    inputs: Annotated[list[InputTensor], Field(min_length=1, max_length=1)]
    outputs: list[AskedTensor] = []


class OutputTensor(_Schema):
    """A tensor of the answer."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] | None = None
    data: list[float] | None = None


class InferAnswer(_Schema):
    """An answer of the Open Inference Protocol."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


class TensorCard(_Schema):
    """What a tensor is; -1 for the number of images."""

    name: str
    datatype: str
    shape: list[int]


class Metadata(_Schema):
    """What the model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorCard]
    outputs: list[TensorCard]


class ServerCard(_Schema):
    """What the service is."""

    name: str
    version: str
    extensions: list[str]


class Live(_Schema):
    """The service runs."""

    live: bool


class Ready(_Schema):
    """The service takes requests."""

    ready: bool


class ModelReady(_Schema):
    """The model takes requests."""

    name: str
    ready: bool


class Correction(_Schema):
    """What an image really shows: `label` is null where it is no digit."""

    image: Base64
    label: Digit | None
    read_as: Digit | None = None


class Kept(_Schema):
    """The number under which a correction is kept."""

    id: int


class Corrections(_Schema):
    """How many corrections are kept."""

    count: Count
