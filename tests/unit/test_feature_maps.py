"""Units on feature maps: the unit's equations, channel by channel."""

from __future__ import annotations

import pytest
import torch

from ptu_seq.feature_maps import FeatureMapPTU
from ptu_seq.unit import PTU

POSITIONS = [(5,), (3, 4), (2, 3, 2)]


def maps(unit: FeatureMapPTU, *positions: int) -> tuple[torch.Tensor, torch.Tensor]:
    s = torch.randn(2, unit.source_size, *positions, dtype=torch.double)
    return s, torch.randn(2, unit.target_size, *positions, dtype=torch.double)


def make(source: int, target: int, **options) -> FeatureMapPTU:
    unit = FeatureMapPTU(source, target, **options).double()
    for parameter in unit.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return unit


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("sizes", [(4, 4), (6, 4)])
@pytest.mark.parametrize("candidate", ["linear", "tanh", "relu"])
def test_each_position_is_a_unit_of_its_own(positions, sizes, candidate):
    """Against the unit over vectors, with the channels moved to the last axis."""
    torch.manual_seed(0)
    unit = make(*sizes, candidate=candidate)
    vectors = PTU(sizes[0], sizes[1], candidate).double()
    vectors.load_state_dict(unit.state_dict())
    s, t = maps(unit, *positions)
    h, gates = unit(s, t, return_gates=True)
    expected, of_vectors = vectors(s.movedim(1, -1), t.movedim(1, -1), return_gates=True)
    torch.testing.assert_close(h.movedim(1, -1), expected)
    torch.testing.assert_close(gates.update.movedim(1, -1), of_vectors.update)
    torch.testing.assert_close(gates.fine_tune.movedim(1, -1), of_vectors.fine_tune)


@pytest.mark.parametrize("sizes", [(4, 4), (6, 4)])
def test_gates_per_channel_read_means(sizes):
    torch.manual_seed(0)
    unit = make(*sizes, gates_per="channel")
    vectors = PTU(*sizes).double()
    vectors.load_state_dict(unit.state_dict())
    s, t = maps(unit, 3, 4)
    h, gates = unit(s, t, return_gates=True)
    _, of_means = vectors(s.mean(dim=(2, 3)), t.mean(dim=(2, 3)), return_gates=True)
    torch.testing.assert_close(gates.update[:, :, 0, 0], of_means.update)
    torch.testing.assert_close(gates.fine_tune[:, :, 0, 0], of_means.fine_tune)
    projected, products = vectors.source_products(s.movedim(1, -1))
    candidate = products[..., 8:].movedim(-1, 1)
    retuned = torch.lerp(projected.movedim(-1, 1), candidate, gates.fine_tune)
    torch.testing.assert_close(h, torch.lerp(t, retuned, gates.update))


@pytest.mark.parametrize("gates_per", ["position", "channel"])
def test_pins_and_start(gates_per):
    unit = FeatureMapPTU(4, gates_per=gates_per, candidate_init="identity").double()
    s, t = maps(unit, 3, 3)
    assert torch.equal(unit(s, s), s)
    assert torch.equal(unit.pin("target")(s, t), t)
    assert torch.equal(unit.pin("frozen")(s, t), s)
    torch.testing.assert_close(unit.pin("adapted")(s, t), s)
    h, gates = unit.pin("target")(s, t, return_gates=True)
    assert (gates.update == 0).all() and unit.unpin().pinned is None


@pytest.mark.parametrize("gates_per", ["position", "channel"])
def test_gradients(gates_per):
    torch.manual_seed(0)
    unit = make(3, 2, gates_per=gates_per, candidate="tanh")
    inputs = [x.requires_grad_() for x in maps(unit, 2, 2)]
    assert torch.autograd.gradcheck(unit, inputs)


def test_gate_dropout_forces_whole_channels():
    torch.manual_seed(0)
    unit = make(4, 4, gates_per="channel", gate_dropout=1.0, candidate_init="identity")
    s, t = maps(unit, 6, 6)
    _, gates = unit.train()(s, t, return_gates=True)
    assert gates.update.shape == (2, 4, 1, 1)
    assert set(gates.update.flatten().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize(
    ("s", "t", "message"),
    [
        ((2, 4), (2, 4), "the source activation has 2 axes"),
        ((2, 4, 3, 3), (2, 5, 3, 3), "the target activation has 5 channels; this unit was made"),
        ((2, 4, 3, 3), (2, 4, 3, 2), "all axes but the channels must be equal"),
        ((1, 4, 3), (2, 4, 3), "all axes but the channels must be equal"),
    ],
)
def test_shapes_that_cannot_meet(s, t, message):
    with pytest.raises(ValueError, match=message):
        FeatureMapPTU(4)(torch.zeros(s), torch.zeros(t))


def test_no_such_kind_of_gates():
    with pytest.raises(ValueError, match="gates_per is 'pixel'; accepted are position, channel"):
        FeatureMapPTU(4, gates_per="pixel")  # type: ignore[arg-type]


def test_repr():
    assert "gates_per='channel'" in repr(FeatureMapPTU(4, gates_per="channel"))
