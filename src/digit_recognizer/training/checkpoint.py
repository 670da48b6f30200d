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
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from digit_recognizer.errors import DigitsError
from digit_recognizer.files import replacing
from digit_recognizer.run_folder import check_format
from digit_recognizer.training.history import EpochRecord

__all__ = ["Position", "load_checkpoint", "read_position", "save_checkpoint", "save_tensors"]

FORMAT = 1
_HEADER = "position"


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
    """

    history: list[EpochRecord] = field(default_factory=list)
    step: int = 0
    images: int = 0
    loss_sum: float = 0.0
    right: int = 0
    seconds: float = 0.0


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
    save_tensors(path, tensors, {"format": str(FORMAT), _HEADER: json.dumps(asdict(position))})


def load_checkpoint(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> Position:
    """Put a checkpoint's values into `network` and `optimizer`, and return where the run was.

    Raises
    ------
    DigitsError
        The file is damaged, from a newer version, or of another network or optimizer.
    """
    position = read_position(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        _restore_network(network, tensors)
        _restore_optimizer(optimizer, tensors)
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise DigitsError(f"the checkpoint {path} does not fit its recipe: {error}") from error
    return position


def read_position(path: Path) -> Position:
    """Return where a checkpoint's run was, from its header alone; the errors are `load_checkpoint`'s."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
        check_format(header.get("format"), path)
        values = json.loads(header[_HEADER])
        values["history"] = [EpochRecord(**record) for record in values["history"]]
        return Position(**values)
    except (OSError, SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise DigitsError(f"the checkpoint {path} is damaged: {error}; start the run anew") from error


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file, whole or not at all; `DigitsError` where that cannot be done."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as partial:
        partial.write_bytes(save(contiguous, metadata))


def _restore_network(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    prefix = "network."
    network.load_state_dict(
        {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    )


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
            torch.empty_like(parameter, requires_grad=False).copy_(tensor) if alike else tensor
        )
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
