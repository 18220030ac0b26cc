"""The activation in whatever a module returns, and which of its axes holds the features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

#: Modules whose three-axis outputs are `(batch, features, length)`.
_CHANNELS_FIRST = (
    nn.Conv1d,
    nn.ConvTranspose1d,
    nn.BatchNorm1d,
    nn.InstanceNorm1d,
    nn.GroupNorm,
    nn.MaxPool1d,
    nn.AvgPool1d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveAvgPool1d,
)


def first_hidden_state(output: Any) -> Tensor | None:
    """The first tensor of what a module returned, which is its hidden state by convention.

    Args:
        output: a tensor, a packed sequence (its data), a tuple or list (its first entry), or a
            mapping such as transformers' ModelOutput (its first value).

    Returns:
        The tensor, or None if there is no floating-point tensor in that place.
    """
    if isinstance(output, Tensor):
        return output if output.is_floating_point() else None
    if isinstance(output, PackedSequence):
        return output.data
    if isinstance(output, Mapping):
        output = list(output.values())
    if isinstance(output, (tuple, list)) and output:
        return first_hidden_state(output[0])
    return None


def with_hidden_state(output: Any, hidden: Tensor) -> Any:
    """The same output with its first hidden state replaced.

    What a module itself returned is not changed; only a mapping is, since copies of one may lose
    what its class knows.
    """
    if isinstance(output, Tensor):
        return hidden
    if isinstance(output, PackedSequence):
        return output._replace(data=hidden)
    if isinstance(output, Mapping):
        key = next(iter(output))
        output[key] = with_hidden_state(output[key], hidden)  # type: ignore[index]
        return output
    first = with_hidden_state(output[0], hidden)
    if isinstance(output, tuple) and hasattr(output, "_replace"):  # a named tuple
        return output._replace(**{output._fields[0]: first})  # type: ignore[attr-defined]
    return type(output)([first, *output[1:]])


def feature_axis(module: nn.Module, activation: Tensor) -> int:
    """The axis of an activation that holds its features, counted from the end.

    Feature maps, `(batch, channels, height, width)` and the like, have them on the second axis; all
    else on the last, but for the three-axis outputs of one-dimensional convolutions and their like.

    Example:
        >>> import torch
        >>> feature_axis(nn.Conv2d(1, 4, 3), torch.zeros(2, 4, 8, 8))
        -3
        >>> feature_axis(nn.Linear(3, 4), torch.zeros(2, 5, 4))
        -1
    """
    axes = activation.dim()
    if axes >= 4 or (axes == 3 and isinstance(module, _CHANNELS_FIRST)):
        return 1 - axes
    return -1
