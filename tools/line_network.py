"""The network that reads text lines: train it on composed lines and export it as ``lines.onnx``.

Lines are composed anew for each step. Training uses connectionist temporal classification (Graves et al.
2006): the network is told which digits a line contains, never where they are.
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
from digit_recognizer.synthetic.non_digits import ALWAYS_KEPT_KINDS, KINDS, sample_non_digits
from digit_recognizer.synthetic.text_lines import compose_line
from digit_recognizer.training.augmentation import corrupt
from digit_recognizer.training.device import measure_arithmetic
from digit_recognizer.training.distillation import rejected_by_teacher

LINE_WIDTH_PX = 192
BATCH_LINES = 64
NON_DIGITS = 12_000  # images to choose from for the lines
EXCLUDED_KINDS = ("several", "parts", "outlines")  # contain a digit, or may be taken for one in a line
P_LITTERED = 0.3  # lines with ruled lines, frames or remains of a pattern
P_CORRUPTED = 0.6
CORRUPTIONS = ("thicker", "thinner", "blurred", "noisy", "bent")
MAX_SLANT = 0.35  # columns per row
STRETCH_SIGMA = 0.05  # fraction of the width
BEND_SIGMA_PX = 0.6
BEND_GRID = (4, 12)  # points at which a line is bent, along its height and width
PEAK_LEARNING_RATE = 4e-3
WARMUP_FRACTION = 0.15  # of the steps, in which the learning rate rises
WEIGHT_DECAY = 0.01
MAX_GRADIENT_NORM = 5.0
NORM_MOMENTUM = 0.1  # of batch normalisation, in training
NORM_BATCHES = 60  # on which the statistics of batch normalisation are measured
CONVOLUTION_AXES = 4  # of the weights


@dataclass(frozen=True, slots=True)
class Step:
    """A training step, counted from 1, and its loss per line."""

    number: int
    loss: float


class LineNetwork(nn.Module):
    """Strips, uint8 (N, 40, W) → probabilities of ten digits and blank, float32 (N, W / 2, 11)."""

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
        """Return the logits, (N, W / 2, 11), of float32 inputs, (N, 1, 40, W), 0 to 1."""
        return self.layers(inputs)[:, :, 0].transpose(1, 2)  # type: ignore[no-any-return]

    def forward(self, strips: Tensor) -> Tensor:
        """Return the probabilities."""
        return self.logits(strips.unsqueeze(1).float() / INK).softmax(dim=2)


def sample_line_non_digits(
    digits: Digits, teacher: nn.Module, seed: int, count: int = NON_DIGITS
) -> NDArray[np.uint8]:
    """Sample `count` non-digits for composed lines, without those that a teacher takes for a digit.

    The network learns to ignore them; with images of digits among them it would learn to ignore digits.
    """
    kinds = tuple(kind for kind in KINDS if kind not in EXCLUDED_KINDS)
    images, names = sample_non_digits(count, digits.images, np.random.default_rng([seed, CLASSES]), kinds)
    rejected = rejected_by_teacher(torch.from_numpy(images), teacher).numpy()
    return images[rejected | np.isin(names, ALWAYS_KEPT_KINDS)]


def train_lines(
    network: LineNetwork,
    digits: Digits,
    non_digits: NDArray[np.uint8],
    *,
    steps: int,
    seed: int,
    learning_rate: float = PEAK_LEARNING_RATE,
) -> Iterator[Step]:
    """Train a network in place, for one cycle of the learning rate with the given peak; yield each step."""
    rng = np.random.default_rng([seed, STRIP_HEIGHT_PX])
    torch.manual_seed(seed)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), learning_rate, (0.9, 0.98), weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=steps, pct_start=WARMUP_FRACTION
    )
    for number in range(1, steps + 1):
        images, labels = _compose(digits, non_digits, rng, BATCH_LINES)
        loss = _loss(network.train(), _augment(images), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT_NORM)
        optimizer.step()
        schedule.step()
        yield Step(number, loss.item())


@torch.no_grad()
def average_lines(
    networks: Sequence[LineNetwork], digits: Digits, non_digits: NDArray[np.uint8], *, seed: int
) -> LineNetwork:
    """Average the weights of networks of the same training, such as those at the ends of two cycles.

    The statistics of batch normalisation are measured anew (https://arxiv.org/abs/1803.05407).
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, STRIP_HEIGHT_PX])
    mean = copy.deepcopy(networks[0])
    for weights, *others in zip(*(each.parameters() for each in (mean, *networks)), strict=True):
        weights.copy_(torch.stack(others).mean(dim=0))
    norms = [layer for layer in mean.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None  # the mean over all batches
    mean.train()
    for _ in range(NORM_BATCHES):
        mean.logits(_augment(_compose(digits, non_digits, rng, BATCH_LINES)[0]))
    for layer in norms:
        layer.momentum = NORM_MOMENTUM
    return mean


def line_accuracy(
    network: LineNetwork, digits: Digits, non_digits: NDArray[np.uint8], count: int, seed: int
) -> float:
    """Return the fraction of lines, composed of unseen digits, that the network reads without an error."""
    rng = np.random.default_rng([seed, count])
    correct, batches = 0, -(-count // BATCH_LINES)
    for _ in range(batches):
        images, labels = _compose(digits, non_digits, rng, BATCH_LINES)
        with torch.inference_mode():
            classes = network.eval()(torch.from_numpy(images)).argmax(dim=2).numpy()
        correct += sum(_decode(row) == expected for row, expected in zip(classes, labels, strict=True))
    return correct / (BATCH_LINES * batches)


def export_lines(network: LineNetwork, target: Path) -> None:
    """Write a network as ONNX, with 16-bit weights, which halves the file.

    Raises `DigitsError` if the file cannot be written, or would differ from the network by more than 1e-4 in
    a probability.
    """
    network = _fold(network)
    proto = _with_half_weights(_to_proto(network))
    onnx.helper.set_model_props(proto, {"format": str(FORMAT), "version": __version__})
    probe = np.random.default_rng(0).integers(0, INK + 1, (3, STRIP_HEIGHT_PX, 150), dtype=np.uint8)
    with torch.inference_mode():
        expected = network(torch.from_numpy(probe)).numpy()
    write_checked(proto, {"strips": probe}, [expected], target)


@torch.no_grad()
def _fold(network: LineNetwork) -> LineNetwork:
    """Return a network with batch normalisation folded into the convolutions, rounded to 16 bits."""
    layers = list(copy.deepcopy(network).eval().to(memory_format=torch.contiguous_format).layers)  # type: ignore[call-overload]
    folded = LineNetwork()
    folded.layers = nn.Sequential(*_without_norms(layers))
    for weights in folded.parameters():
        weights.copy_(weights.half().float())
    return folded.eval()


def _without_norms(layers: list[nn.Module]) -> Iterator[nn.Module]:
    for layer, following in zip(layers, [*layers[1:], None], strict=True):
        if isinstance(layer, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
            yield fuse_conv_bn_eval(layer, following)
        elif not isinstance(layer, nn.BatchNorm2d):
            yield layer


def _to_proto(network: LineNetwork) -> onnx.ModelProto:
    example = torch.zeros(2, STRIP_HEIGHT_PX, 64, dtype=torch.uint8)
    names = {0: torch.export.Dim("strips"), 2: 2 * torch.export.Dim("half_width", min=8, max=8192)}
    return to_onnx(network, example, {"strips": names}, ["probabilities"])


def _with_half_weights(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Store the weights of convolutions as 16-bit floats, cast to 32 bits when the model is loaded."""
    graph = proto.graph
    for number, tensor in enumerate(graph.initializer):
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.ndim < CONVOLUTION_AXES:
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
    padding = (kernel[0] // 2, kernel[1] // 2) if padding is None else padding
    return [
        nn.Conv2d(channels, filters, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(filters, eps=1e-3),
        nn.ReLU(),
    ]


def _compose(
    digits: Digits, non_digits: NDArray[np.uint8], rng: np.random.Generator, count: int
) -> tuple[NDArray[np.uint8], list[list[int]]]:
    """Compose lines, (count, 40, 192), and return the labels of each."""
    lines = [compose_line(digits, non_digits, rng, width=LINE_WIDTH_PX) for _ in range(count)]
    for line in lines:
        if rng.random() < P_LITTERED:
            _litter(line.image, rng)
    return np.stack([line.image for line in lines]), [[each.label for each in line.digits] for line in lines]


def _litter(image: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Draw a ruled line, an edge of a frame, or remains of a pattern."""
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


def _augment(images: NDArray[np.uint8]) -> Tensor:
    """Slant, stretch, bend and corrupt lines; return float32 (N, 1, 40, 192), 0 to 1."""
    inputs = torch.from_numpy(images).unsqueeze(1).float() / INK
    count, _, height, width = inputs.shape
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = 1 + STRETCH_SIGMA * torch.randn(count).clamp(-2, 2)
    theta[:, 1, 1] = 1
    theta[:, 0, 1] = torch.empty(count).uniform_(-MAX_SLANT, MAX_SLANT) * height / width
    grid = affine_grid(theta, list(inputs.shape), align_corners=False)
    moves = BEND_SIGMA_PX * torch.randn(count, 2, *BEND_GRID)
    bends = interpolate(moves, size=(height, width), mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
    grid = grid + bends / torch.tensor([width / 2, height / 2])
    moved = grid_sample(inputs, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return channels_last(corrupt(moved, P_CORRUPTED, CORRUPTIONS))


def _loss(network: LineNetwork, inputs: Tensor, labels: list[list[int]]) -> Tensor:
    bfloat16_is_faster = measure_arithmetic(torch.device("cpu"))["convolution"].faster == "bfloat16"
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_is_faster):
        logits = network.logits(inputs)
    log_probabilities = logits.float().log_softmax(dim=2).transpose(0, 1)  # (columns, N, 11)
    lengths = torch.full((len(inputs),), len(log_probabilities))
    targets = torch.tensor([label for row in labels for label in row], dtype=torch.int64)
    counts = torch.tensor([len(row) for row in labels])
    return ctc_loss(log_probabilities, targets, lengths, counts, blank=CLASSES, zero_infinity=True)


def _decode(classes: NDArray[np.int64]) -> list[int]:
    """Return the digits of the most likely class of each column: merge repetitions, then drop blanks."""
    first = np.r_[True, np.diff(classes) != 0]
    return [int(each) for each in classes[first] if each < CLASSES]
