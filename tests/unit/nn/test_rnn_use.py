"""PTULSTM and PTUGRU in use: states, the frozen source, gradients, types and reported gates."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from ptu_seq.nn import TwinState, layer_outputs
from ptu_seq.unit import PTUGates

# States.


@pytest.mark.parametrize("batch_first", [False, True])
def test_chunks_equal_the_whole(kind, level, batch_first):
    source = kind.plain(8, 3, 2, batch_first=batch_first)
    layer = kind.twin(8, 5, 2, batch_first=batch_first, source=source, level=level)
    kind.perturb(layer.units)
    x = torch.randn(4, 6, 8) if batch_first else torch.randn(6, 4, 8)
    whole, final = layer.unroll(x)
    state: Any = None
    outputs = []
    for chunk in x.split([1, 3, 2], dim=1 if batch_first else 0):
        output, state = layer.unroll(chunk, state)
        outputs.append(output)
    torch.testing.assert_close(torch.cat(outputs, dim=1 if batch_first else 0), whole)
    torch.testing.assert_close(tuple(state), tuple(final))


def test_forward_continues_from_a_twin_state(kind, level, same):
    layer = kind.twin.from_source(kind.plain(8, 5), level=level)
    kind.perturb(layer.units)
    x = torch.randn(6, 4, 8)
    _, state = layer.unroll(x[:3])
    output, last = layer(x[3:], state)
    expected, final = layer.unroll(x[3:], state)
    same(output, expected)
    same(kind.parts(last)[0], final.hidden)
    assert not torch.allclose(output, layer(x[3:], kind.hx(1, 4, 5))[0])


def test_reorder_cache_follows_the_beams(kind, level):
    layer = kind.twin(8, 5, 2, source=kind.plain(8, 3, 2), level=level)
    x, beams = torch.randn(6, 4, 8), torch.tensor([2, 2, 0, 3])
    _, state = layer.unroll(x)
    _, expected = layer.unroll(x[:, beams])
    reordered = state.reorder_cache(beams)
    assert isinstance(reordered, TwinState)
    torch.testing.assert_close(tuple(reordered), tuple(expected))


# The source.


def test_no_gradient_reaches_the_source_or_changes_it(kind, level):
    source = kind.plain(8, 3, 2, dropout=0.5)
    before = copy.deepcopy(source.state_dict())
    layer = kind.twin(8, 5, 2, source=source, level=level)
    assert not any(parameter.requires_grad for parameter in layer.source.parameters())
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, weight_decay=0.5)
    nn.Module.requires_grad_(layer)  # as a model that unfreezes all its parts would
    units_before = copy.deepcopy(layer.units.state_dict())
    for _ in range(3):
        optimizer.zero_grad()
        layer(torch.randn(6, 4, 8))[0].square().sum().backward()
        optimizer.step()
    for module in (source, layer.source):
        assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
        assert all(parameter.grad is None for parameter in module.parameters())
    assert all(parameter.requires_grad for parameter in source.parameters())
    assert source.training and source.dropout == 0.5
    assert all(
        not torch.equal(value, units_before[name])
        for name, value in layer.units.state_dict().items()
    )


def test_dropout_of_the_source_never_wakes(kind, level, same):
    source = kind.plain(8, 5, 2, dropout=0.9)
    layer = kind.twin.from_source(source, level=level, dropout=0.0).train().pin("frozen")
    outer = nn.Sequential(nn.Dropout(0.1), layer).train()
    assert outer.training and layer.training and not layer.source.training
    x = torch.randn(6, 4, 8)
    same(layer(x)[0], layer(x)[0])
    same(layer(x)[0], source.eval()(x)[0])


def test_source_input_is_what_the_source_reads(kind, level, layout, sequences, same):
    source = kind.source(layout, {"num_layers": 2}, sizes=(7, 5))
    layer = kind.twin(8, 5, 2, batch_first=layout == "batch_first", source=source, level=level)
    layer.pin("frozen")
    x, source_x = sequences(layout, 8), sequences(layout, 7)
    same(layer(x, source_input=source_x)[0], source(source_x)[0])
    with pytest.raises(ValueError, match="8 features and the source reads 7.*source_input"):
        layer(x)
    with pytest.raises(ValueError, match="last axis of the source_input has size 8; 7"):
        layer(x, source_input=x)


# Numbers.


@pytest.mark.parametrize("candidate", ["linear", "tanh"])
def test_gradients(kind, level, candidate, sequences):
    source = kind.plain(3, 2, 2, bidirectional=True).double()
    layer = kind.twin(3, 3, 2, bidirectional=True, source=source, level=level, candidate=candidate)
    kind.perturb(layer.units)
    packed = sequences("packed_unsorted", 3)
    first = kind.hx(4, 3, 3, dtype=torch.float64)
    names, values = zip(
        *((n, p) for n, p in layer.named_parameters() if p.requires_grad), strict=True
    )

    inputs = (packed.data.double(), *kind.parts(first), *values)
    inputs = tuple(value.detach().requires_grad_() for value in inputs)
    # The source takes no part in the gradients: beside a changing x it reads a constant.
    constant = packed._replace(data=torch.randn(len(packed.data), 3, dtype=torch.float64))

    def run(data, *rest):
        parts, parameters = rest[: len(kind.parts(first))], rest[len(kind.parts(first)) :]
        hx = parts if len(parts) == 2 else parts[0]
        weights = dict(zip(names, parameters, strict=True))
        arguments = (packed._replace(data=data), hx, constant)
        output, state = torch.func.functional_call(layer, weights, arguments)
        return output.data, *kind.parts(state)

    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_types(kind, level, dtype):
    layer = kind.twin(8, 5, source=kind.plain(8, 3), level=level, dtype=dtype)
    output, state = layer(torch.randn(6, 4, 8, dtype=dtype))
    output.sum().backward()
    assert output.dtype == dtype
    assert all(part.dtype == dtype for part in kind.parts(state))


def test_type_of_the_source_is_taken_over(kind):
    layer = kind.twin(8, 5, source=kind.plain(8, 3).double())
    assert {parameter.dtype for parameter in layer.parameters()} == {torch.float64}


def test_autocast(kind, level):
    layer = kind.twin(8, 5, 2, source=kind.plain(8, 3, 2), level=level)
    kind.perturb(layer.units)
    x = torch.randn(6, 4, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        try:
            kind.plain(8, 3)(x)
        except RuntimeError as error:  # CPUs without instructions for bfloat16
            pytest.skip(f"torch.nn's own layer cannot do it on this CPU: {error}")
        output, _ = layer(x)
    output.float().sum().backward()
    torch.testing.assert_close(output.float(), layer(x)[0], atol=0.05, rtol=0.05)
    assert all(p.grad.isfinite().all() for p in layer.units.parameters())


# Reports of gates.


def test_gates_are_reported_in_the_layout_of_the_output(kind, level, layout, sequences, same):
    source = kind.source(layout, {"num_layers": 2, "bidirectional": True})
    layer = kind.twin.from_source(source, level=level)
    kind.perturb(layer.units)
    for unit in (*layer.units[0], *layer.units[1]):
        nn.init.zeros_(unit.weight_target)
    x = sequences(layout, 8)
    seen: dict[str, PTUGates] = {}
    output, _ = layer.unroll(x, on_gates=lambda place, gates: seen.update({place: gates}))
    same(output, layer.unroll(x)[0])
    assert list(seen) == ["layer0.forward", "layer0.reverse", "layer1.forward", "layer1.reverse"]
    # Without the target's share the gates follow from the source's activations alone.
    hidden = layer_outputs(source, x)[0][1]
    for unit, name, s in zip(
        layer.units[1],
        ("layer1.forward", "layer1.reverse"),
        kind.data(hidden).chunk(2, -1),
        strict=True,
    ):
        _, expected = unit(s, torch.zeros_like(s), return_gates=True)
        torch.testing.assert_close(tuple(seen[name]), tuple(expected))
