"""PTULSTM and PTUGRU against torch.nn's own layers, and against loops over cells."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pad_packed_sequence

from ptu_seq.nn import layer_outputs

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no_bias": {"bias": False},
    "layers_and_dropout": {"num_layers": 3, "dropout": 0.4},
    "bidirectional": {"bidirectional": True},
    "all": {"num_layers": 2, "dropout": 0.4, "bidirectional": True},
}


@pytest.fixture(params=OPTIONS)
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return OPTIONS[request.param]


# Identities that hold to the bit.


def test_pinned_to_target_is_torch(kind, level, layout, options, sequences, same):
    source = kind.source(layout, options, sizes=(8, 3))
    layer = kind.twin(8, 5, batch_first=layout == "batch_first", **options, source=source)
    layer.level = level
    kind.perturb(layer.units)
    layer.pin("target")
    plain = kind.plain(8, 5, batch_first=layout == "batch_first", **options)
    plain.load_state_dict(layer.target.state_dict())
    x = sequences(layout, 8)
    rows = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    for hx in (None, kind.hx(rows, 5) if layout == "unbatched" else kind.hx(rows, 3, 5)):
        torch.manual_seed(1)
        expected = plain(x, hx)
        torch.manual_seed(1)
        same(layer(x, hx), expected)
    same(layer.eval()(x), plain.eval()(x))


@pytest.mark.parametrize("grad", [True, False])
def test_pinned_to_frozen_is_the_source(kind, level, layout, options, grad, sequences, same):
    source = kind.source(layout, options)
    layer = kind.twin.from_source(source, init="random", level=level, dropout=0.0)
    kind.perturb(layer.units)
    layer.pin("frozen")
    x = sequences(layout, 8)
    with torch.set_grad_enabled(grad):
        output, state = layer(x)
        expected, expected_state = source.eval()(x)
    same(output, expected)
    same(kind.parts(state)[0], kind.parts(expected_state)[0])


def test_identity_candidate_and_copied_target_are_the_source(
    kind, level, layout, options, sequences, same
):
    source = kind.source(layout, options)
    layer = kind.twin.from_source(source, level=level, candidate_init="identity").eval()
    x = sequences(layout, 8)
    output, expected = layer(x), source.eval()(x)
    if level == "layer":
        same(output, expected)
    else:  # the loop over time rounds otherwise than the fused kernel
        torch.testing.assert_close(kind.data(output[0]), kind.data(expected[0]))
        torch.testing.assert_close(output[1], expected[1])


def test_seed_draws_the_target_that_torch_draws(kind, same):
    source = kind.plain(8, 3)
    torch.manual_seed(5)
    plain = kind.plain(8, 5)
    torch.manual_seed(5)
    layer = kind.twin(8, 5, source=source)
    same(list(layer.target.parameters()), list(plain.parameters()))


# Against independent references.


@pytest.mark.parametrize("packing", ["packed", "packed_unsorted"])
def test_packed_equals_each_sequence_alone(kind, level, packing, options, sequences):
    layer = kind.twin.from_source(kind.source(packing, options), level=level).eval()
    kind.perturb(layer.units)
    packed = sequences(packing, 8)
    padded, lengths = pad_packed_sequence(packed)
    output, state = layer(packed)
    output, _ = pad_packed_sequence(output)
    for entry, length in enumerate(lengths):
        alone, alone_state = layer(padded[:length, entry])
        torch.testing.assert_close(output[:length, entry], alone)
        for part, expected in zip(kind.parts(state), kind.parts(alone_state), strict=True):
            torch.testing.assert_close(part[:, entry], expected)


def test_layer_level_gates_each_direction_of_each_layer(kind):
    """Level "layer" spelt out with whole torch.nn modules of one layer each."""
    source = kind.plain(8, 3, 2, bidirectional=True)
    layer = kind.twin(8, 5, 2, bidirectional=True, source=source)
    kind.perturb(layer.units)
    x = torch.randn(6, 4, 8)
    output, state = layer(x)
    s = t = x
    for depth, units in enumerate(layer.units):
        s = one_layer(kind, source, depth)(s)[0]
        t = one_layer(kind, layer.target, depth)(t)[0]
        t = torch.cat(
            [
                unit(s_d, t_d)
                for unit, s_d, t_d in zip(units, s.chunk(2, -1), t.chunk(2, -1), strict=True)
            ],
            dim=-1,
        )
        h_n = kind.parts(state)[0]
        torch.testing.assert_close(h_n[2 * depth], t[-1, :, :5])
        torch.testing.assert_close(h_n[2 * depth + 1], t[0, :, 5:])
    torch.testing.assert_close(output, t)


def one_layer(kind, rnn, depth):
    """A module of its own for one layer of a bidirectional network."""
    inputs = getattr(rnn, f"weight_ih_l{depth}").shape[1]
    single = kind.plain(inputs, rnn.hidden_size, bidirectional=True)
    place = f"_l{depth}"
    weights = {k.replace(place, "_l0"): v for k, v in rnn.state_dict().items() if place in k}
    single.load_state_dict(weights)
    return single


@pytest.mark.parametrize("pin", [None, "frozen", "adapted", "target"])
@pytest.mark.parametrize("bias", [True, False])
def test_step_level_is_a_loop_over_cells(kind, pin, bias):
    source = kind.plain(8, 3, bias=bias)
    layer = kind.twin(8, 5, bias=bias, source=source, level="step", candidate="tanh")
    kind.perturb(layer.units)
    cell = kind.twin_cell(8, 5, bias, source=kind.plain_cell(8, 3, bias), candidate="tanh")
    for rnn, single in ((layer.target, cell.target), (layer.source, cell.source)):
        single.load_state_dict({k.removesuffix("_l0"): v for k, v in rnn.state_dict().items()})
    cell.unit.load_state_dict(layer.units[0][0].state_dict())
    if pin:
        layer.pin(pin)
        cell.pin(pin)
    x = torch.randn(6, 4, 8)
    output, state = layer.unroll(x)
    step: Any = None
    steps = []
    for x_i in x:
        step = cell(x_i, step)
        steps.append(step[0])
    torch.testing.assert_close(output, torch.stack(steps))
    torch.testing.assert_close(state.target[0][0], step[0])
    if kind.plain is nn.LSTM:
        torch.testing.assert_close(state.target[1][0], step[1])
        torch.testing.assert_close(state.source[1][0], step.source[1])


@pytest.mark.parametrize("pins", [("target", None), (None, "target"), ("frozen", "target")])
def test_directions_can_be_pinned_apart(kind, level, pins, same):
    source = kind.plain(8, 5, bidirectional=True)
    layer = kind.twin.from_source(source, init="random", level=level)
    kind.perturb(layer.units)
    x = torch.randn(6, 4, 8)
    free, plain, frozen = (
        part.chunk(2, -1) for part in (layer(x)[0], layer.target(x)[0], source(x)[0])
    )
    for unit, pin in zip(layer.units[0], pins, strict=True):
        unit.pinned = pin
    for direction, (got, pin) in enumerate(zip(layer(x)[0].chunk(2, -1), pins, strict=True)):
        same(got, {"target": plain, "frozen": frozen, None: free}[pin][direction])


def test_layer_outputs_are_those_of_the_layers_below(kind, layout, sequences, same):
    rnn = kind.plain(8, 5, 3, batch_first=layout == "batch_first", bidirectional=True)
    shallow = kind.plain(8, 5, 2, batch_first=layout == "batch_first", bidirectional=True)
    shallow.load_state_dict({k: v for k, v in rnn.state_dict().items() if "_l2" not in k})
    x = sequences(layout, 8)
    outputs, state = layer_outputs(rnn, x)
    same(outputs[2], rnn(x)[0])
    same(outputs[1], shallow(x)[0])
    same(state, kind.parts(rnn(x)[1]))
