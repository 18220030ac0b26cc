"""Units that mix by constants, against their equations, and as what attach() puts at sites."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from ptu_seq import PTU
from ptu_seq.linear_units import CrossStitch, LinearUnit, SideBlend
from ptu_seq.sites import attach

UNITS = [CrossStitch, SideBlend]


@pytest.mark.parametrize("axis", [-1, -3])
def test_cross_stitch_is_its_equation(axis):
    unit = CrossStitch(3, axis=axis)
    with torch.no_grad():
        unit.source_weight.copy_(torch.tensor([0.0, 1.0, 2.0]))
        unit.target_weight.copy_(torch.tensor([1.0, -1.0, 0.5]))
    s, t = torch.randn(2, 3, 5, 3), torch.randn(2, 3, 5, 3)
    letters = "bhwc" if axis == -1 else "bchw"
    source, target = (
        torch.einsum(f"{letters},c->{letters}", x, weight)
        for x, weight in ((s, unit.source_weight), (t, unit.target_weight))
    )
    torch.testing.assert_close(unit(s, t), source + target)


def test_a_blend_has_one_share_for_all_features():
    unit, s, t = SideBlend(3), torch.randn(4, 3), torch.randn(4, 3)
    torch.testing.assert_close(unit(s, t), (s + t) / 2)
    with torch.no_grad():
        unit.logit.fill_(50.0)
    torch.testing.assert_close(unit(s, t), s)
    assert sum(p.numel() for p in unit.parameters()) == 1


@pytest.mark.parametrize("kind", UNITS)
def test_gradients_are_right(kind):
    unit = kind(3, dtype=torch.float64)
    s, t = (torch.randn(2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(unit, (s, t))
    assert all(torch.autograd.grad(unit(s, t).sum(), p)[0].abs().sum() for p in unit.parameters())


@pytest.mark.parametrize("kind", UNITS)
def test_pins_are_exact(kind):
    unit, s, t = kind(3), torch.randn(4, 3), torch.randn(4, 3)
    for state, expected, update in (("target", t, 0.0), ("frozen", s, 1.0), ("adapted", s, 1.0)):
        h, gates = unit.pin(state)(s, t, return_gates=True)
        assert torch.equal(h, expected)
        assert torch.equal(gates.update, torch.full_like(t, update))
    assert not torch.equal(unit.unpin()(s, t), t)
    with pytest.raises(ValueError, match="cannot pin to 'half'"):
        unit.pin("half")


@pytest.mark.parametrize("kind", UNITS)
def test_sizes_that_differ_are_refused(kind):
    with pytest.raises(ValueError, match=f"{kind.__name__}: the source has 2 features and the"):
        kind(2, 3)
    with pytest.raises(ValueError, match=r"is \(1, 2\) and the target's \(1, 3\); this unit"):
        kind(3)(torch.ones(1, 2), torch.ones(1, 3))


@pytest.mark.parametrize("kind", UNITS)
def test_attach_puts_them_where_it_is_asked_to(kind):
    source = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 4))
    target = copy.deepcopy(source)
    units = attach(target, source, ["0", "3"], torch.zeros(1, 1, 8, 8), linear=kind)
    assert all(isinstance(unit, LinearUnit) for _, unit in units.named_units())
    assert [unit.axis for _, unit in units.named_units()] == [-3, -1]
    x = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(target(x), source(x))  # the weights begin with a sum of 1
    with torch.no_grad():
        next(target.parameters()).zero_()
    with units.pinned("frozen"):
        assert torch.equal(target(x), source(x))


def test_attach_refuses_several_sources_or_options_of_gates():
    network = nn.Linear(2, 2)
    example = torch.zeros(1, 2)
    two = nn.Sequential(copy.deepcopy(network)), nn.Sequential(copy.deepcopy(network))
    cases: Any = ((two, {}), (two[:1], {"update_bias": 1.0}))
    for sources, options in cases:
        with pytest.raises(ValueError, match="attach: CrossStitch mixes one source"):
            attach(nn.Sequential(network), sources, ["0"], example, linear=CrossStitch, **options)


def test_gates_are_still_what_attach_puts_by_itself():
    source = nn.Sequential(nn.Linear(2, 2))
    units = attach(copy.deepcopy(source), source, ["0"], torch.zeros(1, 2))
    assert isinstance(units.unit("0"), PTU)
