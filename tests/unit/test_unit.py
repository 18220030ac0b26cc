"""The unit: its equations, its corners, and what torch may ask of it."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from ptu_seq.unit import PTU

CANDIDATES = ["linear", "tanh", "relu"]
SIZES = [(5, 5), (7, 5)]


def activations(
    unit: PTU, *leading: int, dtype: torch.dtype | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    return (
        torch.randn(*leading, unit.source_size, dtype=dtype),
        torch.randn(*leading, unit.target_size, dtype=dtype),
    )


def perturbed(unit: PTU) -> PTU:
    for parameter in unit.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return unit


@pytest.mark.parametrize("candidate", CANDIDATES)
@pytest.mark.parametrize("sizes", SIZES)
def test_equations(candidate, sizes):
    """Against the equations written out, with the products over [s; t] taken whole."""
    unit = perturbed(PTU(sizes[0], sizes[1], candidate))
    s, t = activations(unit, 4)
    h, gates = unit(s, t, return_gates=True)
    if sizes[0] != sizes[1]:
        projection = dict(unit.projection.named_parameters())
        s = s @ projection["weight"].T + projection["bias"]
    s_f, s_u, w_c = unit.weight_source.chunk(3)
    t_f, t_u = unit.weight_target.chunk(2)
    b_f, b_u, b_c = unit.bias.chunk(3)
    both = torch.cat([s, t], dim=-1)
    f = torch.sigmoid(both @ torch.cat([s_f, t_f], dim=1).T + b_f)
    u = torch.sigmoid(both @ torch.cat([s_u, t_u], dim=1).T + b_u)
    phi = {"linear": lambda x: x, "tanh": torch.tanh, "relu": torch.relu}[candidate]
    retuned = (1 - f) * s + f * phi(s @ w_c.T + b_c)
    torch.testing.assert_close(tuple(gates), (f, u))
    torch.testing.assert_close(h, (1 - u) * t + u * retuned)


@pytest.mark.parametrize("candidate", CANDIDATES)
def test_pins_are_exact(candidate):
    unit = perturbed(PTU(5, candidate=candidate))
    s, t = activations(unit, 4)
    free = unit(s, t)
    corners: dict[Any, tuple[torch.Tensor, float, float]] = {
        "target": (t, 0, 0),
        "frozen": (s, 0, 1),
        "adapted": (unit.mix(*unit.source_products(s), t)[0], 1, 1),
    }
    for pin, (expected, fine_tune, update) in corners.items():
        assert unit.pin(pin) is unit
        h, gates = unit(s, t, return_gates=True)
        assert torch.equal(h, unit(s, t))
        assert gates.fine_tune.eq(fine_tune).all() and gates.update.eq(update).all()
        assert gates.update.shape == t.shape
        if pin != "adapted":
            assert torch.equal(h, expected)
    phi = {"linear": lambda x: x, "tanh": torch.tanh, "relu": torch.relu}[candidate]
    retuned = phi(F.linear(s, unit.weight_source.chunk(3)[2], unit.bias.chunk(3)[2]))
    torch.testing.assert_close(unit.pin("adapted")(s, t), retuned)
    assert torch.equal(unit.unpin()(s, t), free)


def test_pinned_is_where_the_gates_lead():
    """Saturated gates arrive at the pinned corners."""
    unit = PTU(5, candidate="tanh", candidate_init="random")
    s, t = activations(unit, 4)
    limits: list[tuple[Any, float, float]] = [
        ("target", 0, -100),
        ("frozen", -100, 100),
        ("adapted", 100, 100),
    ]
    for pin, fine_tune, update in limits:
        with torch.no_grad():
            unit.bias[:5], unit.bias[5:10] = fine_tune, update
        torch.testing.assert_close(unit.unpin()(s, t), unit.pin(pin)(s, t))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_identity_start_keeps_equal_twins_to_the_bit(dtype):
    unit = PTU(64, dtype=dtype)
    s, _ = activations(unit, 32, dtype=dtype)
    assert torch.equal(unit(s, s.clone()), s)


def test_initial_biases_and_candidates():
    unit = PTU(64, fine_tune_bias=2.0, update_bias=-1.0)
    s = t = torch.zeros(64)
    _, gates = unit(s, t, return_gates=True)
    torch.testing.assert_close(gates.fine_tune, torch.full((64,), 2.0).sigmoid())
    torch.testing.assert_close(gates.update, torch.full((64,), -1.0).sigmoid())
    s = torch.randn(3, 64)
    assert torch.equal(unit.pin("adapted")(s, s), s)
    random = PTU(64, candidate_init="random").pin("adapted")
    assert not torch.allclose(random(s, s), s, atol=0.1)


@pytest.mark.parametrize("leading", [(), (4,), (2, 3), (2, 3, 4), (0,)])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("pin", [None, "target", "frozen", "adapted"])
def test_any_leading_shape(leading, sizes, pin):
    unit = PTU(*sizes)
    unit.pinned = pin
    s, t = activations(unit, *leading)
    h, gates = unit(s, t, return_gates=True)
    assert h.shape == gates.fine_tune.shape == gates.update.shape == (*leading, 5)
    flat = unit(s.reshape(-1, sizes[0]), t.reshape(-1, 5))
    torch.testing.assert_close(h.reshape(-1, 5), flat)


def test_source_products_serve_a_whole_sequence():
    unit = perturbed(PTU(7, 5))
    s, t = activations(unit, 6, 3)
    projected, products = unit.source_products(s)
    steps = [unit.mix(projected[i], products[i], t[i])[0] for i in range(len(t))]
    torch.testing.assert_close(torch.stack(steps), unit(s, t))


@pytest.mark.parametrize("candidate", CANDIDATES)
@pytest.mark.parametrize("sizes", SIZES)
def test_gradcheck(candidate, sizes):
    unit = perturbed(PTU(sizes[0], sizes[1], candidate, dtype=torch.float64))
    names, values = zip(*unit.named_parameters(), strict=True)
    s, t = activations(unit, 3, dtype=torch.float64)

    def run(s, t, *weights):
        parameters = dict(zip(names, weights, strict=True))
        h, gates = torch.func.functional_call(unit, parameters, (s, t, True))
        return h, *gates

    inputs = tuple(x.detach().requires_grad_() for x in (s, t, *values))
    assert torch.autograd.gradcheck(run, inputs)


@pytest.mark.parametrize("pin", [None, "target", "frozen", "adapted"])
@pytest.mark.parametrize("sizes", SIZES)
def test_types_and_autocast(sizes, pin):
    low = PTU(*sizes, dtype=torch.bfloat16)
    unit = PTU(*sizes)
    low.pinned = unit.pinned = pin
    assert low(*activations(low, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16
    s, t = activations(unit, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        h = unit(s, t)
    assert h.dtype == t.dtype
    torch.testing.assert_close(h, unit(s, t), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("pin", [None, "target", "frozen", "adapted"])
def test_compiles_without_graph_breaks(pin):
    unit = PTU(7, 5, "tanh")
    unit.pinned = pin
    torch.compiler.reset()
    compiled = torch.compile(unit, fullgraph=True, backend="eager")
    s, t = activations(unit, 4)
    torch.testing.assert_close(compiled(s, t), unit(s, t))
    torch.testing.assert_close(compiled(s, t, return_gates=True), unit(s, t, return_gates=True))


def test_deepcopy_and_state_dict():
    unit, other = perturbed(PTU(7, 5)), PTU(7, 5)
    other.load_state_dict(unit.state_dict())
    s, t = activations(unit, 4)
    assert torch.equal(other(s, t), unit(s, t))
    copied = copy.deepcopy(unit).pin("target")
    assert unit.pinned is None and torch.equal(copied(s, t), t)


def test_errors():
    invalid: list[tuple[dict[str, Any], str]] = [
        ({"source_size": 0}, "source_size is 0; it must be at least 1"),
        ({"source_size": 4, "target_size": -1}, "target_size is -1"),
        ({"source_size": 4, "candidate": "gelu"}, "'gelu'; accepted are linear, tanh, relu"),
        ({"source_size": 4, "candidate_init": "zero"}, "'zero'; accepted are identity, random"),
    ]
    for arguments, message in invalid:
        with pytest.raises(ValueError, match=message):
            PTU(**arguments)
    unit = PTU(7, 5)
    with pytest.raises(ValueError, match="cannot pin to 'source'; accepted are target, frozen"):
        unit.pin("source")  # type: ignore[arg-type]
    s, t = activations(unit, 4)
    with pytest.raises(ValueError, match="source activation has size 5; this unit was made for 7"):
        unit(t, t)
    with pytest.raises(ValueError, match="target activation has size 7; this unit was made for 5"):
        unit(s, s)
    with pytest.raises(ValueError, match=r"source activation are \(3,\) and .* \(4,\)"):
        unit(s[:3], t)


def test_gate_dropout_forces_update_gates_in_training():
    unit = PTU(1, gate_dropout=0.5, update_bias=0.3)
    _, gates = unit(torch.ones(100_000, 1), torch.ones(100_000, 1), return_gates=True)
    shares = [(gates.update == value).double().mean().item() for value in (0.0, 1.0)]
    assert shares == pytest.approx([0.25, 0.25], abs=0.01)


def test_certain_gate_dropout_gives_one_branch_or_the_other():
    unit = PTU(3, gate_dropout=1.0)  # its candidate is the identity: the source's branch is s
    s, t = activations(unit, 50)
    h = unit(s, t)
    from_target = h == t
    torch.testing.assert_close(h, torch.where(from_target, t, s))
    assert from_target.any() and not from_target.all()


def test_gate_dropout_sleeps_in_evaluation_and_under_a_pin():
    plain, dropping = PTU(3), PTU(3, gate_dropout=0.9)
    dropping.load_state_dict(plain.state_dict())
    s, t = activations(plain, 50)
    assert torch.equal(dropping.eval()(s, t), plain(s, t))
    assert torch.equal(dropping.train().pin("target")(s, t), t)


def test_gate_dropout_outside_0_to_1_is_refused():
    with pytest.raises(ValueError, match=r"gate_dropout is 1\.5; it must be from 0 to 1"):
        PTU(3, gate_dropout=1.5)


def test_gate_weights_are_drawn_as_those_of_a_linear_layer_over_both_activations():
    unit = PTU(64)
    bound = 1 / math.sqrt(2 * 64)
    for weight in (unit.weight_source[: 2 * 64], unit.weight_target):
        assert 0.95 * bound < weight.abs().max() <= bound
