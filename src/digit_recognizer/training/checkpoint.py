"""Save and resume a run, to the bit.

A checkpoint is one safetensors file, so that it is replaced in one step: a run killed at any instant finds
the one before or the one after. Its tensors are the network's and the optimizer's; its header holds, as
JSON, where the run is and the history. Random state is not in it: every draw depends on the seed, the epoch
and the step alone.
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
from digit_recognizer.runs.history import EpochRecord
from digit_recognizer.runs.run_folder import check_format

FORMAT = 1
_HEADER = "digit_recognizer"


@dataclass(slots=True)
class Position:
    """Where a run is.

    Attributes
    ----------
    history
        The epochs that are done.
    step
        Steps done of the epoch at work.
    images, loss_sum, right
        Over those steps: images, their summed cross-entropy in nats, and right answers.
    seconds
        Spent on those steps.
    member
        The network at work, counted from 1.
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
    """Write a checkpoint, whole or not at all.

    Raises
    ------
    DigitsError
        It cannot be written; the one before stays.
    """
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in state.items()}
    path.parent.mkdir(exist_ok=True)
    header = {"format": FORMAT, "optimizer": type(optimizer).__name__, "position": asdict(position)}
    save_tensors(path, tensors, header)


def load_checkpoint(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> Position:
    """Put a checkpoint's values into `network` and `optimizer`, and return where the run was.

    Raises
    ------
    DigitsError
        The file is damaged, from a newer version, or of another network or optimizer.
    """
    header = _read_header(path)
    try:
        tensors = _read_tensors(path)
        if header["optimizer"] != type(optimizer).__name__:
            raise ValueError(f"it was saved with the optimizer {header['optimizer']}")
        prefix = "network."
        own = {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        _restore_network(network, {name.removeprefix(prefix): tensor for name, tensor in own.items()})
        _restore_optimizer(optimizer, tensors)
    except (OSError, SafetensorError, LookupError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())  # torch's goes over several lines
        raise DigitsError(f"the checkpoint {path} does not fit its recipe: {reason}") from error
    position: Position = header["position"]
    return position


def read_position(path: Path) -> Position:
    """Return where the run of a checkpoint was; `DigitsError` where the file is damaged."""
    position: Position = _read_header(path)["position"]
    return position


def load_weights(path: Path, network: nn.Module) -> None:
    """Put the weights of a safetensors file into `network`.

    Raises
    ------
    DigitsError
        The file is missing or damaged, or its weights are another network's.
    """
    try:
        tensors = _read_tensors(path)
    except (OSError, SafetensorError) as error:
        raise DigitsError(f"{path} is damaged or cannot be read: {first_line(error)}") from error
    try:
        _restore_network(network, tensors)
    except ValueError as error:
        raise DigitsError(f"the weights {path} do not fit the recipe: {error}") from error


def save_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write a safetensors file with a header, whole or not at all; `DigitsError` if it cannot be."""
    metadata = {_HEADER: json.dumps(header)}  # one entry: safetensors writes several in random order
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as partial:
        partial.write_bytes(save(contiguous, metadata))


def _read_tensors(path: Path) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _read_header(path: Path) -> dict[str, Any]:
    """Return a checkpoint's header, with its `Position` as such."""
    try:
        with safe_open(path, framework="pt") as file:
            header: dict[str, Any] = json.loads((file.metadata() or {})[_HEADER])
        check_format(header.get("format"), path)
        if set(header["position"]) != set(Position.__dataclass_fields__):
            raise ValueError("its position has other parts than expected")
        position = TypeAdapter(Position).validate_python(header["position"])
        if position.step < 0 or position.member < 1 or (position.step == 0) != (position.images == 0):
            raise ValueError(f"member {position.member}, {position.step} steps on {position.images} images")
        return {"optimizer": header["optimizer"], "position": position}
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
            f"the checkpoint {path} is damaged: {first_line(error)}; start the run anew"
        ) from error


def _restore_network(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:  # a line for each tensor
        raise ValueError("the tensors are those of another network") from error


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Give each parameter its state, laid out in memory as the parameter is: fused steps need that."""
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
