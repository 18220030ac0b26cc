"""Both kinds of network, and sequences in every layout that torch.nn accepts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from ptu_seq import nn as twins

LENGTHS = {"packed": [7, 4, 1], "packed_unsorted": [4, 1, 7]}
LAYOUTS = ["time_first", "batch_first", "unbatched", *LENGTHS]


class Kind(NamedTuple):
    """The classes of one kind of recurrent network; `parts` of its state as tuples."""

    plain: Any
    gated: Any
    twin: Any
    plain_cell: Any
    twin_cell: Any

    @staticmethod
    def parts(state: Any) -> tuple[Tensor, ...]:
        return (state,) if isinstance(state, Tensor) else tuple(state)

    def hx(self, *shape: int, dtype: torch.dtype | None = None) -> Any:
        """A random first state."""
        h, c = torch.randn(2, *shape, dtype=dtype)
        return (h, c) if self.plain is nn.LSTM else h

    def source(
        self, layout: str, options: dict[str, Any], sizes: tuple[int, int] = (8, 5)
    ) -> nn.LSTM | nn.GRU:
        """A network to transfer from; it leaves the random numbers of the test as they are."""
        with torch.random.fork_rng():
            return self.plain(*sizes, batch_first=layout == "batch_first", **options)

    @staticmethod
    def perturb(units: nn.Module) -> None:
        """Moves gates and candidates away from their neutral start."""
        for parameter in units.parameters():
            nn.init.normal_(parameter, std=0.5)

    @staticmethod
    def data(output: Tensor | PackedSequence) -> Tensor:
        return output.data if isinstance(output, PackedSequence) else output


KINDS = {
    "lstm": Kind(nn.LSTM, twins.GatedLSTM, twins.PTULSTM, nn.LSTMCell, twins.PTULSTMCell),
    "gru": Kind(nn.GRU, twins.GatedGRU, twins.PTUGRU, nn.GRUCell, twins.PTUGRUCell),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture(params=["layer", "step"])
def level(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def sequences() -> Callable[..., Any]:
    """Makes 3 random sequences of up to 7 steps, or one if unbatched."""

    def make(layout: str, features: int) -> Tensor | PackedSequence:
        x = torch.randn(7, 3, features)
        if layout == "time_first":
            return x
        if layout == "batch_first":
            return x.transpose(0, 1).contiguous()
        if layout == "unbatched":
            return x[:, 0].contiguous()
        return pack_padded_sequence(x, LENGTHS[layout], enforce_sorted=layout == "packed")

    return make


@pytest.fixture
def same() -> Callable[..., None]:
    """Asserts that outputs or states, packed or not, are equal to the bit."""

    def check(a: Any, b: Any) -> None:
        if isinstance(a, Tensor):
            assert isinstance(b, Tensor) and torch.equal(a, b)
        elif isinstance(a, PackedSequence):
            assert isinstance(b, PackedSequence)
            assert torch.equal(a.data, b.data)
            assert torch.equal(a.batch_sizes, b.batch_sizes)
            if a.unsorted_indices is None or b.unsorted_indices is None:
                assert a.unsorted_indices is b.unsorted_indices
            else:
                assert torch.equal(a.unsorted_indices, b.unsorted_indices)
        else:
            assert len(a) == len(b)
            for left, right in zip(a, b, strict=True):
                check(left, right)

    return check
