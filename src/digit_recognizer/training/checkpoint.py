"""Save and restore weights, optimizer and position of a training run, to the bit.

A checkpoint is one safetensors file, so that it is replaced in one step: a process that is killed at any time
leaves either the old one or the new one. Its tensors are the network's and the optimizer's; its header holds,
as JSON, the position and the history. It needs no random state; see `randomness`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from digit_recognizer.errors import DigitsError, first_line
from digit_recognizer.files import replacing
from digit_recognizer.networks.build import build_network
from digit_recognizer.networks.predictor import combine_members
from digit_recognizer.runs.history import EpochRecord
from digit_recognizer.runs.run import read_run
from digit_recognizer.runs.run_folder import WEIGHTS, check_format
from digit_recognizer.training.randomness import draws_from

FORMAT = 1
HEADER_KEY = "digit_recognizer"


@dataclass(slots=True)
class Position:
    """How far a run is.

    Attributes
    ----------
    history
        The completed epochs.
    step
        Completed steps of the current epoch.
    images, loss_sum, right
        Over those steps: images, sum of their cross-entropy in nats, and correct answers.
    seconds
        Time spent on those steps.
    member
        The current network, counted from 1.
    """

    history: list[EpochRecord] = field(default_factory=list)
    step: int = 0
    images: int = 0
    loss_sum: float = 0.0
    right: int = 0
    seconds: float = 0.0
    member: int = 1


def save_checkpoint(
    path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, position: Position
) -> None:
    """Write a checkpoint; raise `DigitsError` and keep the old one if that fails."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in state.items()}
    path.parent.mkdir(exist_ok=True)
    header = {"format": FORMAT, "optimizer": type(optimizer).__name__, "position": asdict(position)}
    save_tensors(path, tensors, header)


def load_checkpoint(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> Position:
    """Copy a checkpoint's values into `network` and `optimizer`, and return the run's position.

    Raises
    ------
    DigitsError
        The file is damaged, from a newer version, or of another network or optimizer.
    """
    optimizer_name, position = _read_header(path)
    try:
        tensors = _read_tensors(path)
        if optimizer_name != type(optimizer).__name__:
            raise ValueError(f"it was saved with the optimizer {optimizer_name}")
        prefix = "network."
        own = {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        _restore_network(network, {name.removeprefix(prefix): tensor for name, tensor in own.items()})
        _restore_optimizer(optimizer, tensors)
    except (OSError, SafetensorError, LookupError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())  # torch's has several lines
        raise DigitsError(f"the checkpoint {path} does not fit its recipe: {reason}") from error
    return position


def read_position(path: Path) -> Position:
    """Return the position in a checkpoint; raise `DigitsError` if the file is damaged."""
    return _read_header(path)[1]


def load_members(run: Path) -> list[nn.Module]:
    """Return the networks of a finished run, with their weights; `DigitsError` if it cannot be read."""
    found = read_run(run)
    with draws_from(seed=0, epoch=0, step=0):  # first weights, which the run's weights replace
        members = [build_network(found.recipe, number) for number in range(1, found.metrics.members + 1)]
    load_weights(run / WEIGHTS, combine_members(members))
    return members


def load_weights(path: Path, network: nn.Module) -> None:
    """Copy the weights in a file into `network`; `DigitsError` if they are damaged or do not fit."""
    try:
        tensors = _read_tensors(path)
    except (OSError, SafetensorError) as error:
        raise DigitsError(f"{path} is damaged or cannot be read: {first_line(error)}") from error
    try:
        _restore_network(network, tensors)
    except ValueError as error:
        raise DigitsError(f"the weights {path} do not fit the recipe: {error}") from error


def save_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write a safetensors file with a header, complete or not at all; `DigitsError` if that fails."""
    metadata = {HEADER_KEY: json.dumps(header)}  # one entry: safetensors writes several in random order
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as partial:
        partial.write_bytes(save(contiguous, metadata))


def _read_tensors(path: Path) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _read_header(path: Path) -> tuple[str, Position]:
    """Return the name of a checkpoint's optimizer, and its position."""
    try:
        with safe_open(path, framework="pt") as file:
            header: dict[str, Any] = json.loads((file.metadata() or {})[HEADER_KEY])
        check_format(header.get("format"), path)
        if set(header["position"]) != set(Position.__dataclass_fields__):
            raise ValueError("unexpected fields in `position`")
        position = TypeAdapter(Position).validate_python(header["position"])
        if position.step < 0 or position.member < 1 or (position.step == 0) != (position.images == 0):
            raise ValueError(f"member {position.member}, {position.step} steps on {position.images} images")
        return str(header["optimizer"]), position
    except DigitsError:
        raise
    except (
        OSError,
        SafetensorError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        RecursionError,
    ) as error:
        raise DigitsError(
            f"the checkpoint {path} is damaged: {first_line(error)}; start a new run"
        ) from error


def _restore_network(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:  # its message has a line for each tensor
        raise ValueError("the tensors are those of another network") from error


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Restore each parameter's state, with the parameter's memory layout, which fused steps need."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        owner, _, rest = name.partition(".")
        if owner != "optimizer":
            continue
        index, _, key = rest.partition(".")
        parameter = parameters[int(index)]
        alike = tensor.shape == parameter.shape
        state.setdefault(int(index), {})[key] = (
            torch.empty_like(parameter, requires_grad=False).copy_(tensor) if alike else tensor.clone()
        )
    if len({frozenset(values) for values in state.values()}) > 1:
        raise ValueError("some of the optimizer's values are missing")
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
