"""Schemas of requests and answers, for validation and OpenAPI.

OpenAPI shows the classes' names and docstrings. Answers are described here, but not validated.
"""

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
Pair = tuple[Count, Count]
NumberText = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[0-9.,/:+%-]*$")]

JsonObject = dict[str, Any]


class Schema(BaseModel):
    """What all have in common: no other keys, no conversions."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Error(Schema):
    """An error, in one sentence."""

    error: str


class Picture(Schema):
    """A picture of any size: its bytes in base64, or a data URL such as data:image/png;base64,…."""

    image: Annotated[str, Field(min_length=1)]


class Images(Schema):
    """Images of single digits: 28 rows of 28 pixels, 0 background to 255 ink."""

    images: Annotated[list[Image], Field(min_length=1)]


class Rows(Schema):
    """`Images` without the range check of each pixel, which would take most of a request's time."""

    images: Annotated[list[Annotated[list[Annotated[list[int], Side]], Side]], Field(min_length=1)]


class OneImage(Schema):
    """One image of a digit: 28 rows of 28 pixels, 0 background to 255 ink."""

    images: Annotated[list[Image], Field(min_length=1, max_length=1)]


class PredictionsAnswer(Schema):
    """The prediction for each image; `is_digit` is null if the model does not detect non-digits."""

    labels: list[Digit]
    probabilities: list[Probabilities]
    is_digit: list[Probability] | None
    confidence: list[Probability]


class InputsAnswer(Schema):
    """Inputs of a convolution: channels × height × width bytes; 128 is 0, 255 is `scale`, 1 minus `scale`."""

    height: Count
    width: Count
    channels: Count
    values: Base64
    scale: float


class LayerAnswer(Schema):
    """Feature maps of a convolution: channels × height × width bytes; 255 is the layer's `maximum`.

    `inputs` are given where they are neither the image nor the maps of another layer.
    """

    name: str
    kind: str
    height: Count
    width: Count
    channels: Count
    maps: Base64
    maximum: float
    inputs: InputsAnswer | None


class Explanation(Schema):
    """Feature maps of an image, and `hidden`, the input of the last dense layer.

    `saliency` has 784 bytes, 255 where the answer depends on the ink most.
    """

    label: Digit
    probabilities: Probabilities
    is_digit: Probability | None
    layers: list[LayerAnswer]
    hidden: list[float] | None
    saliency: Base64 | None
    seconds: float


class FieldAnswer(Schema):
    """Receptive fields, as (rows, columns) of pixels: of the first value, and from each to the next."""

    step: Pair
    start: tuple[int, int]
    size: Pair


class KernelsAnswer(Schema):
    """Filters of a convolution: `kernels` averaged over its inputs, outputs × height × width bytes.

    128 is weight 0, 255 is `scale`, 1 is minus `scale`. `weights` are all: outputs × (inputs / groups) ×
    height × width bytes, with a scale for each output and the batch normalisation folded in. They and the
    following are null if unknown; `input` is "image" (0 to 1), a layer, or null for `inputs` of /v1/explain.
    """

    name: str
    height: Count
    width: Count
    inputs: Count
    outputs: Count
    kernels: Base64
    scale: float
    input: str | None
    weights: Base64 | None
    weight_scales: list[float] | None
    bias: list[float] | None
    stride: Pair | None
    padding: Pair | None
    dilation: Pair | None
    groups: Count | None
    activation: str | None
    field: FieldAnswer | None


class LastLayerAnswer(Schema):
    """The last dense layer, from `hidden` to the scores before the softmax: outputs × inputs bytes.

    The eleventh output, if there is one, is the score of non-digits.
    """

    inputs: Count
    outputs: Count
    weights: Base64
    weight_scales: list[float]
    bias: list[float]


class Filters(Schema):
    """The filters of all convolutions, and the last dense layer; null if the network does not end in one."""

    layers: list[KernelsAnswer]
    last_layer: LastLayerAnswer | None


class LimitsAnswer(Schema):
    """The largest request in bytes, picture in pixels, and number of images in a request."""

    body_bytes: int
    pixels: int
    images: int


class ModelCard(Schema):
    """The model and its limits; `knows_no_digit`: it detects non-digits, `corrections`: they are stored."""

    name: str
    version: str
    source: str
    knows_no_digit: bool
    corrections: bool
    limits: LimitsAnswer


class InputTensor(Schema):
    """An input tensor: its values are in `data`, or follow the JSON as bytes."""

    name: str
    shape: Annotated[list[int], Field(min_length=1)]
    datatype: str
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


class AskedTensor(Schema):
    """A requested output; the parameter `binary_data` selects bytes instead of JSON."""

    name: str
    parameters: dict[str, Any] = {}


class InferRequest(Schema):
    """A request of the Open Inference Protocol."""

    id: str | None = None
    parameters: dict[str, Any] = {}
    inputs: Annotated[list[InputTensor], Field(min_length=1, max_length=1)]
    outputs: list[AskedTensor] = []


class OutputTensor(Schema):
    """An output tensor: its values are in `data`, or follow the JSON as bytes."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] | None = None
    data: list[float] | None = None


class InferAnswer(Schema):
    """An answer of the Open Inference Protocol."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


class TensorCard(Schema):
    """Name, type and shape of a tensor; -1 stands for the number of images."""

    name: str
    datatype: str
    shape: list[int]


class Metadata(Schema):
    """The model's input and output tensors."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorCard]
    outputs: list[TensorCard]


class ServerCard(Schema):
    """The name and version of the service."""

    name: str
    version: str
    extensions: list[str]


class Live(Schema):
    """The service is running."""

    live: bool


class Ready(Schema):
    """The service accepts requests."""

    ready: bool


class ModelReady(Schema):
    """The model accepts requests."""

    name: str
    ready: bool


class Correction(Schema):
    """The right label of an image; null for a non-digit."""

    image: Base64
    label: Digit | None
    read_as: Digit | None = None


class NumberCorrection(Schema):
    """What a whole number really is.

    `picture` is the part of the picture with the number, at most 1 megapixel; only its grey channel is
    stored. `images`, 784 bytes for each character of `read_as`, are those of ``/v1/read?images=true``, from
    which single digits can be learned.
    """

    picture: Base64
    text: NumberText
    read_as: Annotated[str, Field(max_length=100, pattern=r"^[0-9.,/:+%-]*$")] = ""
    images: Annotated[list[Base64], Field(max_length=100)] | None = None


class Kept(Schema):
    """The id of a stored correction, among those of digits or among those of numbers."""

    id: int


class Corrections(Schema):
    """The number of stored corrections, of digits and of numbers."""

    count: Count
