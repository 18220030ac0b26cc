"""Several sources at a site: a softmax over target and sources."""

from __future__ import annotations

import copy

import pytest
import torch

from ptu_seq.feature_maps import FeatureMapPTU
from ptu_seq.multi_source import MultiSourcePTU
from ptu_seq.sites import attach
from ptu_seq.unit import PTU
from tests.unit.sites.networks import Network, Perceptron, logits, loss, perturb


def make(*sizes: int, kind: type[PTU] = PTU, **options) -> MultiSourcePTU:
    unit = MultiSourcePTU([kind(size, 4, **options) for size in sizes]).double()
    perturb(unit)
    return unit


@pytest.mark.parametrize("candidate", ["linear", "tanh"])
@pytest.mark.parametrize("kind", [PTU, FeatureMapPTU])
def test_one_source_is_the_unit(candidate, kind):
    torch.manual_seed(0)
    both = make(4, kind=kind, candidate=candidate)
    shape = (3, 4, 5, 5) if kind is FeatureMapPTU else (3, 4)
    s, t = torch.randn(*shape, dtype=torch.double), torch.randn(*shape, dtype=torch.double)
    h, gates = both([s], t, return_gates=True)
    expected, of_one = both.units[0](s, t, return_gates=True)
    torch.testing.assert_close(h, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gates.update[0], of_one.update, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gates.fine_tune[0], of_one.fine_tune, rtol=1e-12, atol=1e-12)


def test_equations():
    torch.manual_seed(0)
    unit = make(5, 3, 4)
    sources = [torch.randn(2, size, dtype=torch.double) for size in (5, 3, 4)]
    t = torch.randn(2, 4, dtype=torch.double)
    h, gates = unit(sources, t, return_gates=True)
    scores, retuned = [torch.zeros_like(t)], []
    for one, source in zip(unit.units, sources, strict=True):
        s = one.projection(source)
        s_f, s_u, w_c = one.weight_source.chunk(3)
        t_f, t_u = one.weight_target.chunk(2)
        b_f, b_u, b_c = one.bias.chunk(3)
        f = torch.sigmoid(s @ s_f.T + t @ t_f.T + b_f)
        scores.append(s @ s_u.T + t @ t_u.T + b_u)
        retuned.append((1 - f) * s + f * (s @ w_c.T + b_c))
    shares = torch.softmax(torch.stack(scores), dim=0)
    expected = shares[0] * t + sum(u * s for u, s in zip(shares[1:], retuned, strict=True))
    torch.testing.assert_close(h, expected)
    torch.testing.assert_close(gates.update, shares[1:])


def test_gradients():
    torch.manual_seed(0)
    unit = make(5, 3)
    inputs = [torch.randn(2, n, dtype=torch.double, requires_grad=True) for n in (5, 3, 4)]
    assert torch.autograd.gradcheck(lambda a, b, t: unit([a, b], t), inputs)


def test_gate_dropout_gives_neurons_wholly_to_each_alike():
    torch.manual_seed(0)
    unit = make(4, 4, gate_dropout=1.0)
    sources = [torch.full((30_000, 4), value, dtype=torch.double) for value in (1.0, 2.0)]
    _, gates = unit.train()(sources, sources[0], return_gates=True)
    assert set(gates.update.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(
        gates.update.mean(dim=(1, 2)),
        torch.full((2,), 1 / 3, dtype=torch.double),
        rtol=0,
        atol=0.01,
    )
    _, gates = unit.eval()(sources, sources[0], return_gates=True)
    assert ((gates.update > 0) & (gates.update < 1)).all()


def test_copies_of_the_target_preserve_it(network: Network):
    source = network.build(4).eval()
    target, second = copy.deepcopy(source), copy.deepcopy(source)
    batch = network.batch(3)
    alone = logits(source, batch)
    units = attach(target, [source, second], network.sites, batch, candidate_init="identity")
    assert torch.equal(logits(target, batch), alone)
    perturb(units.units)
    assert not torch.equal(logits(target, batch), alone)


def test_pins_of_every_source(network: Network):
    target, sources = network.build(4).eval(), [network.build(4).eval() for _ in range(2)]
    batch = network.batch(3)
    alone = logits(target, batch)
    head = target.get_submodule(network.head)
    units = attach(target, sources, network.sites, batch)
    with units.pinned("target"):
        assert torch.equal(logits(target, batch), alone)
    for number, source in enumerate(sources):
        head.load_state_dict(source.get_submodule(network.head).state_dict())
        with units.pinned("frozen", number):
            assert torch.equal(logits(target, batch), logits(source, batch))
    assert all(unit.pinned is None for _, unit in units.named_units())


def test_saving_and_training(network: Network, tmp_path):
    torch.manual_seed(1)
    target, sources = network.build(4).eval(), [network.build(6), network.build(4)]
    other = copy.deepcopy(target)
    batch = network.batch(3)
    units = attach(target, sources, network.sites, batch)
    loss(target, batch).backward()
    assert all(p.grad is not None for p in units.units.parameters())
    assert all(p.grad is None for source in sources for p in source.parameters())
    perturb(units.units)
    units.save(tmp_path)
    attach(other, sources, network.sites, batch).load(tmp_path)
    assert torch.equal(logits(other, batch), logits(target, batch))


def test_names_and_inputs_of_each():
    target, first, second = Perceptron(4), Perceptron(4), Perceptron(4)
    x = torch.randn(2, 5)
    sites = {"trunk.3": ["trunk.3", "trunk.0"]}
    units = attach(target, [first, second], sites, x, source_input=[None, lambda x: -x])
    with units.pinned("frozen", 0):
        assert torch.equal(target(x), target.head(first.trunk(x)))
    with units.pinned("frozen", 1):
        assert torch.equal(target(x), target.head(second.trunk[0](-x)))


def test_bad_input():
    target, sources = Perceptron(4), [Perceptron(4), Perceptron(4)]
    x = torch.randn(2, 5)
    with pytest.raises(ValueError, match="no source is given"):
        attach(target, [], "trunk.0", x)
    with pytest.raises(ValueError, match="source_input has 1 functions for 2 sources"):
        attach(target, sources, "trunk.0", x, source_input=[None])
    with pytest.raises(ValueError, match="no module of source number 1 is called 'trunk.9'"):
        attach(target, sources, {"trunk.0": ["trunk.0", "trunk.9"]}, x)
    units = attach(target, sources, "trunk.0", x)
    for source in (None, 2, -1):
        with pytest.raises(ValueError, match=rf"of source {source}; say which of .* 0 to 1"):
            units.pin("frozen", source)
    with pytest.raises(ValueError, match="cannot pin to 'thawed'"):
        units.pin("thawed", 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1 source activations are given to a unit for 2"):
        units.unit("trunk.0")([x], x)
    with pytest.raises(ValueError, match="at least one unit"):
        MultiSourcePTU([])
    with pytest.raises(ValueError, match="differ in target_size"):
        MultiSourcePTU([PTU(3, 4), PTU(3, 5)])
    only = attach(Perceptron(4), Perceptron(4), "trunk.0", x)
    with pytest.raises(ValueError, match="there is one source"):
        only.pin("frozen", 1)
