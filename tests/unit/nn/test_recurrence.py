"""The ways to compute the step-level recurrence: what each gives is what the plain loop gives."""

from __future__ import annotations

import gc
import weakref
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from ptu_seq import PTUGRU, PTULSTM
from ptu_seq.nn import recurrence_backend
from ptu_seq.unit import PTU, PTUGates


@dataclass(frozen=True)
class Case:
    """A layer's options, the shape of what it reads, and what takes a gradient.

    `lengths` are those of packed sequences, in any order; if not `packed`, all have the longest.
    """

    size: int
    source_size: int
    num_layers: int
    bias: bool
    bidirectional: bool
    candidate: str
    gate_dropout: float
    lengths: tuple[int, ...]
    packed: bool
    has_state: bool
    input_learns: bool
    source_learns: bool
    target_learns: bool
    units_learn: bool
    seed: int

    def layer(self, kind: Any) -> Any:
        """A layer of this case, with random weights."""
        torch.manual_seed(self.seed)
        layer = kind.gated(
            *(4, self.size, self.num_layers, self.bias),
            bidirectional=self.bidirectional,
            source_hidden_size=self.source_size,
            level="step",
            candidate=self.candidate,
            gate_dropout=self.gate_dropout,
            dtype=torch.float64,
        )
        kind.perturb(layer.units)
        layer.target.requires_grad_(self.target_learns)
        layer.units.requires_grad_(self.units_learn)
        return layer

    def inputs(self, kind: Any) -> tuple[tuple[Any, Any, list[Any]], list[Tensor]]:
        """What a layer reads, and the tensors in it."""
        directions = 2 if self.bidirectional else 1
        steps, batch = max(self.lengths), len(self.lengths)
        x = torch.randn(steps, batch, 4, dtype=torch.float64).requires_grad_(self.input_learns)
        shape = (self.num_layers, steps, batch, directions * self.source_size)
        source = torch.randn(*shape, dtype=torch.float64).requires_grad_(self.source_learns)
        hx, state = None, ()
        if self.has_state:
            hx = kind.hx(self.num_layers * directions, batch, self.size, dtype=torch.float64)
            state = tuple(part.requires_grad_() for part in kind.parts(hx))

        def pack(data: Tensor) -> Any:
            if not self.packed:
                return data
            return pack_padded_sequence(data, list(self.lengths), enforce_sorted=False)

        return (pack(x), hx, [pack(hidden) for hidden in source]), [x, source, *state]


CASES = st.builds(
    Case,
    size=st.integers(1, 5),
    source_size=st.integers(1, 5),
    num_layers=st.integers(1, 2),
    bias=st.booleans(),
    bidirectional=st.booleans(),
    candidate=st.sampled_from(["linear", "tanh", "relu"]),
    gate_dropout=st.sampled_from([0.0, 0.5]),
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple),
    packed=st.booleans(),
    has_state=st.booleans(),
    input_learns=st.booleans(),
    source_learns=st.booleans(),
    target_learns=st.booleans(),
    units_learn=st.booleans(),
    seed=st.integers(0, 2**16),
)
#: Every option at once, and none.
RICHEST = Case(
    *(5, 3, 2, True, True, "tanh", 0.5, (2, 6, 6, 1), True, True, True, True, True, True, 0),
)
BAREST = Case(
    *(1, 1, 1, False, False, "linear", 0.0, (1,), False, False, True, False, True, True, 0),
)


def results(layer: Any, inputs: tuple[Any, Any, list[Any]], leaves: list[Tensor]) -> list[Tensor]:
    """Output, state, gates and the gradients of a sum over all of these."""
    gates: list[Tensor] = []
    torch.manual_seed(1)
    output, state = layer.unroll(*inputs, on_gates=lambda _, both: gates.extend(both))
    output = output.data if isinstance(output, PackedSequence) else output
    everything = [output, *state.target, *gates]
    loss = sum((part * torch.randn_like(part)).sum() for part in everything)
    assert isinstance(loss, Tensor)
    return [*everything, *(torch.autograd.grad(loss, leaves, retain_graph=True) if leaves else ())]


@given(case=CASES)
@example(case=RICHEST)
@example(case=BAREST)
def test_fused_is_the_loop(kind, case):
    """Values and gradients, for any shapes and options."""
    layer = case.layer(kind)
    inputs, tensors = case.inputs(kind)
    leaves = [tensor for tensor in (*tensors, *layer.parameters()) if tensor.requires_grad]
    with recurrence_backend("reference"):
        expected = results(layer, inputs, leaves)
    with recurrence_backend("fused"):
        got = results(layer, inputs, leaves)
    for value, right in zip(got, expected, strict=True):
        assert (value - right).norm() <= 1e-10 * right.norm()


def test_what_needs_no_gradient_gets_none(kind):
    layer = kind.gated(4, 3, source_hidden_size=3, level="step")
    frozen = [layer.target.weight_hh_l0, layer.units[0][0].weight_source, layer.target.bias_ih_l0]
    for parameter in frozen:
        parameter.requires_grad_(False)
    x, s = torch.randn(5, 2, 4), torch.randn(5, 2, 3)
    layer(x, [s])[0].sum().backward()
    got = {name: parameter.grad for name, parameter in layer.named_parameters()}
    assert all(parameter.grad is None for parameter in frozen)
    for parameter in frozen:
        parameter.requires_grad_()
    layer.zero_grad()
    layer(x, [s])[0].sum().backward()
    for name, parameter in layer.named_parameters():
        assert got[name] is None or torch.equal(got[name], parameter.grad)


@pytest.mark.parametrize("of_state_alone", [True, False])
def test_gradients_of_one_part_of_what_it_gives(kind, of_state_alone):
    layer = kind.gated(4, 3, source_hidden_size=3, level="step")
    x, s = torch.randn(5, 2, 4, requires_grad=True), torch.randn(5, 2, 3)

    def gradient() -> Tensor:
        output, state = layer(x, [s])
        return torch.autograd.grad(
            kind.parts(state)[-1].sum() if of_state_alone else output[2].sum(), x
        )[0]

    with recurrence_backend("reference"):
        expected = gradient()
    torch.testing.assert_close(gradient(), expected)


def test_the_graph_can_be_walked_twice_with_the_same_result(kind):
    layer = kind.gated(4, 3, source_hidden_size=3, level="step")
    x = torch.randn(5, 2, 4, requires_grad=True)
    loss = layer(x, [torch.randn(5, 2, 3)])[0].square().sum()
    first = torch.autograd.grad(loss, x, retain_graph=True)[0]
    assert torch.equal(torch.autograd.grad(loss, x)[0], first)


def test_a_second_derivative_is_refused_and_the_loop_has_it(kind):
    layer = kind.gated(4, 3, source_hidden_size=3, level="step")
    x, s = torch.randn(5, 2, 4, requires_grad=True), torch.randn(5, 2, 3)
    with pytest.raises(RuntimeError, match='recurrence_backend\\("reference"\\)'):
        torch.autograd.grad(layer(x, [s])[0].sum(), x, create_graph=True)
    with recurrence_backend("reference"):
        output = layer(x, [s])[0]
    (gradient,) = torch.autograd.grad(output.sum(), x, create_graph=True)
    gradient.square().sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0


def test_equal_twins_stay_equal_to_the_bit(kind):
    """With an identity candidate and the source's activations equal to the target's own."""
    layer = kind.gated(4, 16, source_hidden_size=16, level="step")
    unit, x = layer.units[0][0], torch.randn(9, 3, 4)
    with torch.no_grad():
        unit.bias[16:32] = -200.0  # An update gate at 0: the target alone, by the same operations.
        target, _ = layer(x, [torch.zeros(9, 3, 16)])
        unit.bias[16:32] = 0.3
        assert torch.equal(layer(x, [target])[0], target)
        assert not torch.equal(layer(x, [target + 0.1])[0], target)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
def test_types_are_those_of_the_loop(kind, dtype, autocast):
    layer = kind.gated(4, 8, source_hidden_size=6, level="step", dtype=dtype)
    x, s = torch.randn(5, 2, 4, dtype=dtype), torch.randn(5, 2, 6, dtype=dtype)

    def run() -> list[Tensor]:
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            output, state = layer(x, [s])
        output.float().square().sum().backward()
        return [output, *kind.parts(state), *(p.grad for p in layer.parameters())]

    got = run()
    with recurrence_backend("reference"):
        expected = run()
    coarse = autocast or dtype == torch.bfloat16
    for value, right in zip(got, expected, strict=True):
        torch.testing.assert_close(
            value, right, atol=0.1 if coarse else 1e-5, rtol=0.1 if coarse else 1e-4
        )


@pytest.mark.parametrize("of", ["x", "hx"])
def test_types_that_do_not_meet_are_refused(kind, of):
    layer = kind.gated(4, 3, source_hidden_size=3, level="step")
    x, s, hx = torch.randn(5, 2, 4), torch.randn(5, 2, 3), kind.hx(1, 2, 3)
    if of == "x":
        x = x.double()
    else:
        hx = kind.hx(1, 2, 3, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="dtype"):
        layer(x, [s], hx)


class Halved(PTU):
    """A unit with an equation of its own."""

    def mix(
        self, s: Tensor, products: Tensor, t: Tensor, draw: Tensor | None = None
    ) -> tuple[Tensor, PTUGates]:
        h, gates = super().mix(s, products, t, draw)
        return h / 2, gates


def test_units_of_other_classes_keep_their_equations(kind):
    layer = kind.gated(4, 3, source_hidden_size=3, level="step")
    x, s = torch.randn(1, 2, 4), torch.randn(1, 2, 3)
    whole = layer(x, [s])[0]
    layer.units[0][0].__class__ = Halved
    torch.testing.assert_close(layer(x, [s])[0], whole / 2)


@pytest.mark.parametrize(
    "pin, fine_tune, update", [("target", 0, 0), ("frozen", 0, 1), ("adapted", 1, 1)]
)
def test_gates_of_a_pinned_unit_tell_its_branch(kind, pin, fine_tune, update):
    layer = kind.gated(4, 3, source_hidden_size=3, level="step").pin(pin)
    gates: list[PTUGates] = []
    layer.unroll(
        torch.randn(5, 2, 4),
        None,
        [torch.randn(5, 2, 3)],
        on_gates=lambda _, both: gates.extend([both]),
    )
    (both,) = gates
    assert torch.equal(both.fine_tune, torch.full((5, 2, 3), float(fine_tune)))
    assert torch.equal(both.update, torch.full((5, 2, 3), float(update)))


class Saved:
    """A tensor that autograd keeps, in an object whose end can be watched."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def test_nothing_outlives_what_the_caller_holds(kind):
    layer = kind.gated(4, 3, source_hidden_size=3, level="step")
    x = torch.randn(5, 2, 4, requires_grad=True)
    kept: list[weakref.ref[Saved]] = []

    def pack(tensor: Tensor) -> Saved:
        saved = Saved(tensor.detach())  # With its graph it would hold itself.
        kept.append(weakref.ref(saved))
        return saved

    gc.disable()
    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved.tensor):
            result = layer(x, [torch.randn(5, 2, 3)])
        assert len(kept) > 5 and all(saved() is not None for saved in kept)
        del result
        assert all(saved() is None for saved in kept)
    finally:
        gc.enable()


def test_an_unknown_backend_is_refused():
    with (
        pytest.raises(ValueError, match="'triton' is unknown; accepted are reference, fused"),
        recurrence_backend("triton"),  # type: ignore[arg-type]
    ):
        pass


@pytest.mark.parametrize(("layer_class", "source_class"), [(PTULSTM, nn.LSTM), (PTUGRU, nn.GRU)])
def test_an_output_may_be_changed_in_place(layer_class, source_class):
    """As torch.nn's may, if not before a backward pass that needs it."""
    layer: Any = layer_class.from_source(source_class(3, 4), level="step")
    output = layer(torch.randn(5, 2, 3))[0]
    assert (output > 0).any()
    assert not (output.masked_fill_(output > 0, 0) > 0).any()
