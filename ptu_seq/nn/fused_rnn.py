"""torch.nn.LSTM and GRU of one layer that train faster on packed sequences, on a CPU."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.utils.rnn import PackedSequence

from ptu_seq.nn.packed import runs_fused, train_fused
from ptu_seq.nn.stack import run_rnn


class FusedLSTM(nn.LSTM):
    """A torch.nn.LSTM of one layer, with the kernel of :mod:`ptu_seq.nn.packed` in training.

    Args:
        *args, **kwargs: those of torch.nn.LSTM; a layer, no `proj_size`.

    Shape:
        - as torch.nn.LSTM's

    Raises:
        ValueError: for more than one layer, or a projection.

    Example:
        >>> import torch
        >>> from torch.nn.utils.rnn import pack_sequence
        >>> lstm = FusedLSTM(8, 4, bidirectional=True)
        >>> output, (h_n, c_n) = lstm(pack_sequence([torch.randn(7, 8), torch.randn(3, 8)]))
        >>> output.data.shape, h_n.shape
        (torch.Size([10, 8]), torch.Size([2, 2, 4]))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _check(self)
        train_fused(self)

    def forward(self, input: Any, hx: Any = None) -> Any:
        """`output, (h_n, c_n)`, as torch.nn.LSTM has them."""
        if isinstance(input, PackedSequence) and runs_fused(self, input.data, input.batch_sizes):
            return run_rnn(self, input, hx)
        return super().forward(input, hx)


class FusedGRU(nn.GRU):
    """A torch.nn.GRU of one layer; like :class:`FusedLSTM` in all else."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _check(self)
        train_fused(self)

    def forward(self, input: Any, hx: Any = None) -> Any:
        """`output, h_n`, as torch.nn.GRU has them."""
        if isinstance(input, PackedSequence) and runs_fused(self, input.data, input.batch_sizes):
            output, (hidden,) = run_rnn(self, input, hx)
            return output, hidden
        return super().forward(input, hx)


def _check(rnn: nn.RNNBase) -> None:
    if rnn.num_layers > 1 or rnn.proj_size:
        raise ValueError(
            f"{type(rnn).__name__}: num_layers is {rnn.num_layers} and proj_size {rnn.proj_size}; "
            "accepted are 1 and 0."
        )
