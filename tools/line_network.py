"""The network that reads lines: composed lines of digits ► ``lines.onnx``.

It learns from lines that are written anew for every step, with connectionist temporal classification (Graves
et al. 2006): it is told which digits a line holds, never where they are.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import affine_grid, ctc_loss, grid_sample, interpolate
from torch.nn.utils.fusion import fuse_conv_bn_eval

from digit_recognizer import __version__
from digit_recognizer.digits import CLASSES, INK, Digits
from digit_recognizer.imaging.strip import STRIP_HEIGHT_PX
from digit_recognizer.networks.onnx_export import to_onnx, write_checked
from digit_recognizer.networks.predictor import channels_last
from digit_recognizer.runs.run_folder import FORMAT
from digit_recognizer.synthetic.non_digits import CERTAIN, KINDS, draw_outliers
from digit_recognizer.synthetic.text_lines import write_line
from digit_recognizer.training.augmentation import corrupt
from digit_recognizer.training.distillation import are_strange
from digit_recognizer.training.precision import measure_arithmetic

__all__ = [
    "LineNetwork",
    "Step",
    "average_lines",
    "draw_strangers",
    "export_lines",
    "line_accuracy",
    "train_lines",
]

WIDTH = 192  # pixels of a line
BATCH = 64  # lines
BATCHES = 60  # by which normalisation is measured
MOMENTUM = 0.1  # of normalisation, in training
WARMUP = 0.15  # share of the steps in which the learning rate rises
WEIGHT_DECAY = 0.01
STEEPEST = 5.0  # norm of the gradient, at most
OUTLIERS = 12_000
NO_STRANGERS = ("several", "parts", "outlines")  # kinds that hold a digit, or may be taken for one in a line
WAYS = ("thicker", "thinner", "blurred", "noisy", "bent")  # in which a line may be corrupted
CORRUPTED = 0.6  # share of lines
SLANT = 0.35  # columns for each row, at most
STRETCH = 0.05  # share, standard deviation
BENT = 0.6, (4, 12)  # pixels, standard deviation, at as many points along a line's height and width
LITTERED = 0.3  # share of lines with rules, frames or rests of a pattern
CONVOLUTION = 4  # axes of its weights


@dataclass(frozen=True, slots=True)
class Step:
    """How a training goes: the step, counted from 1, and the loss per line."""

    number: int
    loss: float


class LineNetwork(nn.Module):
    """Strips, uint8 (N, 40, W), ► the probabilities of ten digits and none, float32 (N, W / 2, 11)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_convolution(1, 32, (5, 5), stride=(2, 2)),  # 20 rows
            *_convolution(32, 48, (3, 3), stride=(2, 1)),  # 10
            *_convolution(48, 64, (3, 3)),
            nn.MaxPool2d((2, 1)),  # 5
            *_convolution(64, 96, (3, 3)),
            *_convolution(96, 128, (5, 3), padding=(0, 1)),  # 1
            *_convolution(128, 128, (1, 5)),
            nn.Conv2d(128, CLASSES + 1, 1),
        )

    def logits(self, inputs: Tensor) -> Tensor:
        """Bring float32 (N, 1, 40, W), 0 to 1, to logits (N, W / 2, 11)."""
        return self.layers(inputs)[:, :, 0].transpose(1, 2)  # type: ignore[no-any-return]

    def forward(self, strips: Tensor) -> Tensor:
        """Return the probabilities."""
        return self.logits(strips.unsqueeze(1).float() / INK).softmax(dim=2)


def draw_strangers(digits: Digits, teacher: nn.Module, seed: int) -> NDArray[np.uint8]:
    """Draw what stands between the digits of lines and is none: uint8 (N, 28, 28).

    Parameters
    ----------
    digits
        Some are scribbled over.
    teacher
        As `load_teacher` gives it; what it takes for a digit is left out, or lines would teach to pass over
        digits.
    seed
        Decides everything.
    """
    kinds = tuple(kind for kind in KINDS if kind not in NO_STRANGERS)
    drawn, names = draw_outliers(OUTLIERS, digits.images, np.random.default_rng([seed, CLASSES]), kinds)
    strange = are_strange(torch.from_numpy(drawn), teacher).numpy()
    return drawn[strange | np.isin(names, CERTAIN)]


def train_lines(
    network: LineNetwork,
    digits: Digits,
    strangers: NDArray[np.uint8],
    *,
    steps: int,
    seed: int,
    learning_rate: float = 4e-3,
) -> Iterator[Step]:
    """Train a network, and give an account of each step.

    Parameters
    ----------
    network
        Is changed in place.
    digits
        What lines are composed of; with labels.
    strangers
        As `draw_strangers` gives them.
    steps
        How many, of 64 lines each.
    seed
        Decides the lines and what happens to them.
    learning_rate
        Its peak; it rises and falls in one cycle.
    """
    rng = np.random.default_rng([seed, STRIP_HEIGHT_PX])
    torch.manual_seed(seed)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), learning_rate, (0.9, 0.98), weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=steps, pct_start=WARMUP
    )
    for number in range(1, steps + 1):
        images, labels = _write(digits, strangers, rng, BATCH)
        loss = _loss(network.train(), _changed(images), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), STEEPEST)
        optimizer.step()
        schedule.step()
        yield Step(number, loss.item())


@torch.no_grad()
def average_lines(
    networks: Sequence[LineNetwork], digits: Digits, strangers: NDArray[np.uint8], *, seed: int
) -> LineNetwork:
    """Return a network whose weights are the means of those of several, such as the ends of two cycles.

    What normalises between its layers is measured anew, on lines as in training
    (https://arxiv.org/abs/1803.05407).

    Parameters
    ----------
    networks
        Of one training, or they have nothing in common; at least one.
    digits, strangers, seed
        As for `train_lines`.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, STRIP_HEIGHT_PX])
    mean = copy.deepcopy(networks[0])
    for weights, *others in zip(*(each.parameters() for each in (mean, *networks)), strict=True):
        weights.copy_(torch.stack(others).mean(dim=0))
    normalisations = [layer for layer in mean.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in normalisations:
        layer.reset_running_stats()
        layer.momentum = None  # the mean of all batches
    mean.train()
    for _ in range(BATCHES):
        mean.logits(_changed(_write(digits, strangers, rng, BATCH)[0]))
    for layer in normalisations:
        layer.momentum = MOMENTUM
    return mean


def line_accuracy(
    network: LineNetwork, digits: Digits, strangers: NDArray[np.uint8], count: int, seed: int
) -> float:
    """Return the share of lines of digits, which the network may not know, that it reads without an error."""
    rng = np.random.default_rng([seed, count])
    right, batches = 0, -(-count // BATCH)
    for _ in range(batches):
        images, labels = _write(digits, strangers, rng, BATCH)
        with torch.inference_mode():
            classes = network.eval()(torch.from_numpy(images)).argmax(dim=2).numpy()
        right += sum(_read(row) == wanted for row, wanted in zip(classes, labels, strict=True))
    return right / (BATCH * batches)


def export_lines(network: LineNetwork, target: Path) -> None:
    """Write a network as ONNX, compared with torch before it is trusted.

    Its weights are stored as 16-bit floats, which halves the file.

    Raises
    ------
    DigitsError
        The file would differ from the network by more than 1e-4 in a probability, or cannot be written.
    """
    network = _folded(network)
    proto = _with_half_weights(_written(network))
    onnx.helper.set_model_props(proto, {"format": str(FORMAT), "version": __version__})
    probe = np.random.default_rng(0).integers(0, INK + 1, (3, STRIP_HEIGHT_PX, 150), dtype=np.uint8)
    with torch.inference_mode():
        expected = network(torch.from_numpy(probe)).numpy()
    write_checked(proto, {"strips": probe}, [expected], target)


@torch.no_grad()
def _folded(network: LineNetwork) -> LineNetwork:
    """Return a network with its normalisation in its convolutions, and these rounded to 16 bits."""
    layers = list(copy.deepcopy(network).eval().to(memory_format=torch.contiguous_format).layers)  # type: ignore[call-overload]
    folded = LineNetwork()
    folded.layers = nn.Sequential(*_without_normalisation(layers))
    for weights in folded.parameters():
        weights.copy_(weights.half().float())
    return folded.eval()


def _without_normalisation(layers: list[nn.Module]) -> Iterator[nn.Module]:
    for layer, behind in zip(layers, [*layers[1:], None], strict=True):
        if isinstance(layer, nn.Conv2d) and isinstance(behind, nn.BatchNorm2d):
            yield fuse_conv_bn_eval(layer, behind)
        elif not isinstance(layer, nn.BatchNorm2d):
            yield layer


def _written(network: LineNetwork) -> onnx.ModelProto:
    example = torch.zeros(2, STRIP_HEIGHT_PX, 64, dtype=torch.uint8)
    names = {0: torch.export.Dim("strips"), 2: 2 * torch.export.Dim("half_width", min=8, max=8192)}
    return to_onnx(network, example, {"strips": names}, ["probabilities"])


def _with_half_weights(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Store the weights of convolutions as 16-bit floats that become 32-bit ones when the model is loaded."""
    graph = proto.graph
    for number, tensor in enumerate(graph.initializer):
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.ndim < CONVOLUTION:
            continue
        name = f"{tensor.name}.half"
        graph.node.insert(0, onnx.helper.make_node("Cast", [name], [tensor.name], to=onnx.TensorProto.FLOAT))
        graph.initializer[number].CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), name))
    return proto


def _convolution(
    channels: int,
    filters: int,
    kernel: tuple[int, int],
    *,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] | None = None,
) -> list[nn.Module]:
    around = (kernel[0] // 2, kernel[1] // 2) if padding is None else padding
    return [
        nn.Conv2d(channels, filters, kernel, stride, around, bias=False),
        nn.BatchNorm2d(filters, eps=1e-3),
        nn.ReLU(),
    ]


def _write(
    digits: Digits, strangers: NDArray[np.uint8], rng: np.random.Generator, count: int
) -> tuple[NDArray[np.uint8], list[list[int]]]:
    """Write lines: uint8 (count, 40, 192), and the digits of each."""
    lines = [write_line(digits, strangers, rng, width=WIDTH) for _ in range(count)]
    for line in lines:
        if rng.random() < LITTERED:
            _litter(line.image, rng)
    return np.stack([line.image for line in lines]), [[each.label for each in line.digits] for line in lines]


def _litter(image: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Draw a rule, an edge of a frame, or rests of a pattern."""
    height, width = image.shape
    level = int(rng.uniform(80, INK))
    match rng.integers(3):
        case 0:
            row, first = height / 2 + rng.choice([-1, 1]) * rng.uniform(8, 17), rng.uniform(0, 0.6 * width)
            ends = (
                (int(first), int(row)),
                (int(first + rng.uniform(10, width)), int(row + rng.normal(0, 1.5))),
            )
            cv2.line(image, *ends, level, int(rng.choice([1, 1, 2])), cv2.LINE_AA)
        case 1:
            column = int(rng.uniform(0, width))
            cv2.line(image, (column, 0), (column + int(rng.normal(0, 3)), height), level, 1, cv2.LINE_AA)
        case _:
            for _ in range(rng.integers(3, 15)):
                start = rng.integers(0, [width, height])
                end = start + rng.normal(0, 4, 2).astype(int)
                cv2.line(image, start.tolist(), end.tolist(), int(rng.uniform(50, 200)), 1, cv2.LINE_AA)


def _changed(images: NDArray[np.uint8]) -> Tensor:
    """Slant, stretch, bend and corrupt lines: float32 (N, 1, 40, 192), 0 to 1."""
    inputs = torch.from_numpy(images).unsqueeze(1).float() / INK
    count, _, height, width = inputs.shape
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = 1 + STRETCH * torch.randn(count).clamp(-2, 2)
    theta[:, 1, 1] = 1
    theta[:, 0, 1] = torch.empty(count).uniform_(-SLANT, SLANT) * height / width
    grid = affine_grid(theta, list(inputs.shape), align_corners=False)
    moves = BENT[0] * torch.randn(count, 2, *BENT[1])
    bends = interpolate(moves, size=(height, width), mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
    grid = grid + bends / torch.tensor([width / 2, height / 2])
    moved = grid_sample(inputs, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return channels_last(corrupt(moved, CORRUPTED, WAYS))


def _loss(network: LineNetwork, inputs: Tensor, labels: list[list[int]]) -> Tensor:
    lowered = measure_arithmetic(torch.device("cpu"))["convolution"].faster == "bfloat16"
    with torch.autocast("cpu", torch.bfloat16, enabled=lowered):
        logits = network.logits(inputs)
    log_probabilities = logits.float().log_softmax(dim=2).transpose(0, 1)  # (columns, N, 11)
    lengths = torch.full((len(inputs),), len(log_probabilities))
    targets = torch.tensor([label for row in labels for label in row], dtype=torch.int64)
    counts = torch.tensor([len(row) for row in labels])
    return ctc_loss(log_probabilities, targets, lengths, counts, blank=CLASSES, zero_infinity=True)


def _read(classes: NDArray[np.int64]) -> list[int]:
    """Return the digits of the most likely class of each column: repetitions are one, blanks are none."""
    first = np.r_[True, np.diff(classes) != 0]
    return [int(each) for each in classes[first] if each < CLASSES]
