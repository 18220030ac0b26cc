"""Training on packed sequences: torch's numbers and gradients, by fewer and larger products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from ptu_seq.nn import GatedGRU, GatedLSTM, layer
from ptu_seq.nn.fused_rnn import FusedGRU, FusedLSTM
from ptu_seq.nn.packed import train_fused
from ptu_seq.nn.stack import run_rnn

RNNS: list[Any] = [nn.LSTM, nn.GRU]


def sentences(lengths: Sequence[int], features: int, *, learns: bool = True) -> PackedSequence:
    x = torch.randn(max(lengths), len(lengths), features, dtype=torch.float64)
    x.requires_grad_(learns)
    return pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)


def first_state(rnn: Any, batch: int) -> Any:
    shape = (2 if rnn.bidirectional else 1, batch, rnn.hidden_size)
    h, c = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(2))
    return (h, c) if isinstance(rnn, nn.LSTM) else h


def parts(state: Any) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


@pytest.mark.parametrize("rnn_class", RNNS)
@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=5),
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    bias=st.booleans(),
    bidirectional=st.booleans(),
    has_state=st.booleans(),
    learns=st.sampled_from(["weights", "input", "both"]),
    seed=st.integers(0, 2**16),
)
@example([3, 7, 1, 7], (3, 5), True, True, True, "both", 0)
@example([4, 4], (3, 5), False, True, True, "both", 0)
@example([1], (3, 5), True, False, True, "both", 0)
@example([2, 5, 5, 1, 3], (3, 5), False, False, True, "both", 0)
def test_numbers_and_gradients_are_torchs(
    rnn_class, lengths, sizes, bias, bidirectional, has_state, learns, seed
):
    torch.manual_seed(seed)
    rnn = rnn_class(*sizes, bias=bias, bidirectional=bidirectional, dtype=torch.float64)
    rnn.requires_grad_(learns != "input")
    x = sentences(lengths, sizes[0], learns=learns != "weights")
    state = first_state(rnn, len(lengths)) if has_state else None
    tensors = [x.data, *(parts(state) if has_state else ()), *rnn.parameters()]
    given_ = [tensor for tensor in tensors if tensor.requires_grad]
    output, final = rnn(x, state)
    weigh = [torch.randn_like(part) for part in (output.data, *parts(final))]

    def gradients(output: Any, final: Any) -> tuple[Tensor, ...]:
        made = (output.data, *parts(final))
        return torch.autograd.grad(
            sum((part * w).sum() for part, w in zip(made, weigh, strict=True)), given_
        )

    wanted = gradients(output, final)
    own_output, own_final = run_rnn(train_fused(rnn), x, state)
    torch.testing.assert_close(own_output.data, output.data, atol=1e-12, rtol=1e-10)
    assert isinstance(own_output, PackedSequence)
    assert torch.equal(own_output.batch_sizes, output.batch_sizes)
    for ours, theirs in zip(own_final, parts(final), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-10)
    for ours, theirs in zip(gradients(own_output, own_final), wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("rnn_class", RNNS)
def test_gradcheck(rnn_class):
    rnn = train_fused(rnn_class(2, 3, bidirectional=True, dtype=torch.float64))
    state = first_state(rnn, 3)
    lengths = torch.tensor([2, 4, 1])

    def run(x: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        hx = tensors if len(tensors) == 2 else tensors[0]
        output, final = run_rnn(rnn, pack_padded_sequence(x, lengths, enforce_sorted=False), hx)
        return (output.data, *final)

    x = torch.randn(4, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (x, *parts(state)))


@pytest.mark.parametrize("rnn_class", RNNS)
def test_a_frozen_layer_hands_gradients_on_and_gets_none(rnn_class):
    rnn = train_fused(rnn_class(3, 5, dtype=torch.float64)).requires_grad_(False)
    x = sentences([3, 5], 3)
    output, _ = rnn(x)
    (wanted,) = torch.autograd.grad(output.data.square().sum(), x.data)
    own, _ = run_rnn(rnn, x, None)
    own.data.square().sum().backward(inputs=[x.data])
    torch.testing.assert_close(x.data.grad, wanted, atol=1e-12, rtol=1e-10)
    assert all(p.grad is None for p in rnn.parameters())


@pytest.mark.parametrize("gated_class", [GatedLSTM, GatedGRU])
def test_beside_a_source_it_is_the_target_of_torch(gated_class):
    gated = gated_class(
        3, 4, bidirectional=True, source_hidden_size=4, candidate="tanh", dtype=torch.float64
    )
    x, s = sentences([3, 6, 2], 3), sentences([3, 6, 2], 8)
    plain, _ = gated.unroll(x, None, [s])
    train_fused(gated.target)
    fused, _ = gated.unroll(x, None, [s])
    assert not torch.equal(fused.data, torch.zeros_like(fused.data))
    torch.testing.assert_close(fused.data, plain.data, atol=1e-12, rtol=1e-10)
    wanted, ours = (
        torch.autograd.grad(output.data.square().sum(), [x.data, *gated.parameters()])
        for output in (plain, fused)
    )
    for ours_, theirs in zip(ours, wanted, strict=True):
        torch.testing.assert_close(ours_, theirs, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("rnn_class", RNNS)
def test_without_a_mark_or_gradients_it_is_torch_to_the_bit(rnn_class, monkeypatch):
    monkeypatch.setattr(layer, "run_packed", None)  # not to be called
    x = torch.randn(6, 3, 8)
    lengths = torch.tensor([6, 4, 1])
    rnn = rnn_class(8, 8, bidirectional=True)
    sequences = pack_padded_sequence(x, lengths)
    assert torch.equal(run_rnn(rnn, sequences, None)[0].data, rnn(sequences)[0].data)
    train_fused(rnn)
    with torch.no_grad():
        assert torch.equal(run_rnn(rnn, sequences, None)[0].data, rnn(sequences)[0].data)
    own, _ = run_rnn(rnn, x.requires_grad_(), None)
    assert isinstance(own, Tensor) and torch.equal(own, rnn(x)[0])


def test_a_second_derivative_is_refused():
    rnn, x = train_fused(nn.GRU(3, 5, dtype=torch.float64)), sentences([2, 3], 3)
    output, _ = run_rnn(rnn, x, None)
    with pytest.raises(RuntimeError, match="can be differentiated once only"):
        torch.autograd.grad(output.data.sum(), x.data, create_graph=True)


@pytest.mark.parametrize(("fused_class", "rnn_class"), [(FusedLSTM, nn.LSTM), (FusedGRU, nn.GRU)])
def test_the_modules_are_torchs_with_this_kernel(fused_class, rnn_class, monkeypatch):
    rnn = rnn_class(3, 5, bidirectional=True, dtype=torch.float64)
    fused = fused_class(3, 5, bidirectional=True, dtype=torch.float64)
    fused.load_state_dict(rnn.state_dict())
    x, state = sentences([4, 2, 6], 3), first_state(rnn, 3)
    (output, final), (wanted, wanted_final) = fused(x, state), rnn(x, state)
    torch.testing.assert_close(output.data, wanted.data, atol=1e-12, rtol=1e-10)
    for ours, theirs in zip(parts(final), parts(wanted_final), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-10)
    called: list[Any] = []
    run_packed = layer.run_packed

    def count(*given: Any) -> Any:
        called.append(given)
        return run_packed(*given)

    monkeypatch.setattr(layer, "run_packed", count)
    fused(x)
    fused(torch.randn(4, 3, dtype=torch.float64))
    with torch.no_grad():
        fused(x)
    assert len(called) == 1


@pytest.mark.parametrize("fused_class", [FusedLSTM, FusedGRU])
def test_what_it_was_not_made_for_is_refused(fused_class):
    with pytest.raises(ValueError, match="num_layers is 2 and proj_size 0; accepted are 1 and 0"):
        fused_class(3, 5, 2)
