"""GatedLSTM and GatedGRU: the same layers with the source's activations as data."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from ptu_seq.nn import GatedLSTM, layer_outputs


def test_equals_the_layer_that_owns_its_source(kind, level, layout, sequences, same):
    source = kind.plain(8, 3, 2, batch_first=layout == "batch_first", bidirectional=True)
    owner = kind.twin(
        8, 5, 2, batch_first=layout == "batch_first", bidirectional=True, source=source, level=level
    )
    gated = kind.gated(
        8,
        5,
        2,
        batch_first=layout == "batch_first",
        bidirectional=True,
        source_hidden_size=3,
        level=level,
    )
    weights = owner.state_dict()
    gated.load_state_dict({name: weights[name] for name in gated.state_dict()})
    assert not any(name.startswith("source") for name in gated.state_dict())
    x = sequences(layout, 8)
    source_hidden, _ = layer_outputs(source, x)
    same(gated(x, source_hidden), owner(x))
    output, state = gated.unroll(x, None, source_hidden)
    same(output, owner(x)[0])
    assert state.source == ()


def test_chunks_equal_the_whole(kind, level):
    gated = kind.gated(8, 5, 2, source_hidden_size=3, level=level)
    x, source_hidden = torch.randn(7, 3, 8), list(torch.randn(2, 7, 3, 3))
    whole, final = gated.unroll(x, None, source_hidden)
    first, state = gated.unroll(x[:4], None, [s[:4] for s in source_hidden])
    second, state = gated.unroll(x[4:], state, [s[4:] for s in source_hidden])
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(tuple(state), tuple(final))


def test_no_gradient_passes_through_layer_outputs(kind):
    source, x = kind.plain(8, 5, 2), torch.randn(7, 3, 8, requires_grad=True)
    outputs, state = layer_outputs(source, x, kind.hx(2, 3, 5))
    tensors: list[Any] = [*outputs, *state]
    assert not any(tensor.requires_grad for tensor in tensors)


def test_source_sequences_that_do_not_fit():
    gated = GatedLSTM(8, 5, 2, source_hidden_size=3)
    x = torch.randn(7, 3, 8)
    for hidden, message in (
        ([torch.randn(7, 3, 3)], "there are 1 source sequences for 2 layers"),
        (torch.randn(2, 7, 3, 4).unbind(), "source's output at layer 0 has size 4; 3 expected"),
        (torch.randn(2, 6, 3, 3).unbind(), "time axis of the source's output at layer 0"),
    ):
        with pytest.raises(ValueError, match=message):
            gated(x, hidden)
    with pytest.raises(ValueError, match="LSTM: the last axis of the input has size 9; 8"):
        layer_outputs(nn.LSTM(8, 5), torch.randn(7, 3, 9))
