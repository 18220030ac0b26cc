"""Where units go, what a source reads, and every way of asking for what cannot be."""

from __future__ import annotations

import copy
from collections import OrderedDict, namedtuple

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from ptu_seq.feature_maps import FeatureMapPTU
from ptu_seq.sites import attach, attached, detach, parameters_by_part, parameters_table
from ptu_seq.sites.activations import first_hidden_state, with_hidden_state
from ptu_seq.sites.patterns import matches
from ptu_seq.unit import PTU
from tests.unit.sites.networks import Images, Perceptron, Sentences, Shared, Signals


def deep() -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            features=nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 4))),
            head=nn.Linear(4, 2),
        )
    )


@pytest.mark.parametrize(
    ("pattern", "name", "is_match"),
    [
        ("features.*", "features.0", True),
        ("features.*", "features.2.0", False),
        ("features.**", "features.2.0", True),
        ("features.**", "features", True),
        ("**.0", "features.2.0", True),
        ("encoder.layer.[0-5].output", "encoder.layer.5.output", True),
        ("encoder.layer.[0-5].output", "encoder.layer.6.output", False),
        ("layer.1?", "layer.11", True),
        ("layer.1?", "layer.1", False),
        ("Layer", "layer", False),
    ],
)
def test_patterns(pattern, name, is_match):
    assert matches(pattern, name) is is_match


@pytest.mark.parametrize(
    ("sites", "expected"),
    [
        ("head", ["head"]),
        (["head", "features.*"], ["features.0", "features.1", "features.2", "head"]),
        ("**.0", ["features.0", "features.2.0"]),
        ({"features.0": "features.2.0"}, ["features.0"]),
    ],
)
def test_sites_are_in_the_order_of_modules(sites, expected):
    units = attach(deep(), deep(), sites, torch.randn(3, 4))
    assert units.sites == expected
    assert [name for name, _ in units.named_units()] == expected


def test_features_are_channels_of_maps_and_the_last_axis_of_the_rest():
    units = attach(Images(4), Images(6), "trunk.*", torch.randn(2, 1, 9, 9), gates_per="channel")
    assert all(isinstance(unit, FeatureMapPTU) for _, unit in units.named_units())
    assert all("gates_per='channel'" in repr(unit) for _, unit in units.named_units())
    unit = attach(Signals(4), Signals(6), "trunk", torch.randn(2, 2, 7)).unit("trunk")
    assert isinstance(unit, FeatureMapPTU) and (unit.source_size, unit.target_size) == (6, 4)
    unit = attach(Sentences(4), Sentences(6), "rnn", torch.zeros(2, 5, dtype=torch.long)).unit(
        "rnn"
    )
    assert type(unit) is PTU and (unit.source_size, unit.target_size) == (6, 4)


def test_features_can_be_said():
    target, source = (nn.Sequential(nn.Identity(), nn.Linear(5, 2)) for _ in range(2))
    example = torch.randn(3, 4, 5)
    unit = attach(target, source, "0", example, features="second").unit("0")
    assert isinstance(unit, FeatureMapPTU) and unit.target_size == 4
    detach(target)
    unit = attach(target, source, "0", example).unit("0")
    assert type(unit) is PTU and unit.target_size == 5


def test_source_reads_what_source_input_makes():
    target, source = Images(4).eval(), Images(4)
    colour = torch.randn(2, 3, 9, 9)
    target.trunk[0] = nn.Conv2d(3, 4, 3)
    units = attach(target, source, "trunk.4", colour, source_input=lambda x: x.mean(1, True))
    head = target.head
    with units.pinned("frozen"):
        expected = head(source.trunk(colour.mean(1, True)).mean(dim=(2, 3)))
        assert torch.equal(target(colour), expected)


def test_source_input_may_make_named_arguments():
    target, source = Perceptron(4), Perceptron(4)
    units = attach(target, source, "trunk.3", torch.randn(2, 5), source_input=lambda x: {"x": -x})
    x = torch.randn(2, 5)
    with units.pinned("frozen"):
        assert torch.equal(target(x), target.head(source.trunk(-x)))


def test_a_module_that_runs_several_times_is_gated_call_by_call():
    target, source = Shared(4), Shared(4)
    x = torch.randn(2, 5)
    units = attach(target, source, "block", x)
    recorded: list[torch.Tensor] = []
    source.block.register_forward_hook(lambda *a: recorded.append(a[2]["hidden"]))
    gated: list[torch.Tensor] = []
    target.block.register_forward_hook(lambda *a: gated.append(a[2]["hidden"]))
    with units.pinned("frozen"):
        target(x)
    assert len(recorded) == 3
    for own, theirs in zip(gated, recorded, strict=True):
        assert torch.equal(own, theirs)


Pair = namedtuple("Pair", "first second")


@pytest.mark.parametrize(
    "output",
    [
        torch.zeros(2),
        (torch.zeros(2), "rest"),
        [torch.zeros(2), "rest"],
        Pair(torch.zeros(2), "rest"),
        {"hidden": torch.zeros(2), "rest": 1},
        ((torch.zeros(2), 1), 2),
    ],
)
def test_the_first_hidden_state_is_replaced(output):
    kind = type(output)
    replaced = with_hidden_state(copy.deepcopy(output), torch.ones(2))
    assert type(replaced) is kind
    hidden = first_hidden_state(replaced)
    assert hidden is not None and torch.equal(hidden, torch.ones(2))
    if not isinstance(output, torch.Tensor):
        assert len(replaced) == len(output)


def test_packed_sequences_keep_their_layout():
    packed = pack_sequence([torch.zeros(3, 2), torch.zeros(1, 2)])
    replaced = with_hidden_state(packed, torch.ones(4, 2))
    assert isinstance(replaced, PackedSequence)
    assert torch.equal(replaced.batch_sizes, packed.batch_sizes)
    assert torch.equal(replaced.data, torch.ones(4, 2))


@pytest.mark.parametrize("output", [None, 3, (), {}, torch.zeros(2, dtype=torch.long), ("a",)])
def test_no_hidden_state(output):
    assert first_hidden_state(output) is None


def test_parameters_by_part():
    target, source = Perceptron(4), Perceptron(6)
    attach(target, source, "trunk.3", torch.randn(2, 5))
    target.head.requires_grad_(False)
    counts = parameters_by_part(target)
    total = sum(count.total for count in counts.values())
    assert total == sum(p.numel() for p in target.parameters())
    assert counts["head"] == (0, 15)
    assert counts["trunk"] == (44, 44)
    assert counts["ptu.source_networks"] == (0, sum(p.numel() for p in source.parameters()))
    lines = parameters_table(target).splitlines()
    assert lines[0].split() == ["part", "trained", "total"]
    assert lines[-1].split() == ["all", str(44 + counts["ptu.units"].trained), str(total)]


def test_table_of_a_network_without_parameters():
    assert parameters_table(nn.ReLU()).split() == ["part", "trained", "total", "all", "0", "0"]


def fails(message: str, target: nn.Module, source: nn.Module, *args, **kwargs) -> None:
    """Asking for it raises one sentence, and leaves the target as it was."""
    modes = [module.training for module in target.modules()]
    with pytest.raises(ValueError, match=message):
        attach(target, source, *args, **kwargs)
    assert attached(target) is None
    assert [module.training for module in target.modules()] == modes
    for module in (*target.modules(), *source.modules()):
        assert not module._forward_hooks and not module._forward_pre_hooks


X = torch.zeros(2, 5)


@pytest.mark.parametrize(
    ("sites", "message"),
    [
        ("trunk.9", r"no module of the target is called 'trunk.9' \(did you mean 'trunk.\d'"),
        ("trunks.*", r"no module of the target is called 'trunks.\*'"),
        ([], "no sites are given"),
        ({}, "no sites are given"),
        ({"trunk.3": "trunk.33"}, r"no module of the source is called 'trunk.33'.*trunk.3"),
        ({"body": "trunk.3"}, "no module of the target is called 'body'"),
        ({"trunk.3": ["trunk.3", "trunk.3"]}, r"has 2 names for 1 source"),
    ],
)
def test_unknown_sites(sites, message):
    fails(message, Perceptron(4), Perceptron(4), sites, X)


def test_a_site_of_the_target_alone():
    target = Perceptron(4)
    target.trunk.append(nn.Linear(4, 4))
    fails("no module of the source is called 'trunk.4'", target, Perceptron(4), "trunk.*", X)


@pytest.mark.parametrize(
    ("who", "sites"),
    [
        ("target", {"spare": "trunk.3", "trunk.0": "trunk.0"}),
        ("source", {"trunk.3": "spare", "trunk.0": "trunk.0"}),
    ],
)
def test_a_site_that_is_never_reached(who, sites):
    target, source = Perceptron(4), Perceptron(4)
    for network in (target, source):
        network.add_module("spare", nn.Linear(1, 1))
    message = rf"the {who}'s forward pass never reaches 'spare'.*it reaches trunk.0\."
    fails(message, target, source, sites, X)


def test_shapes_that_cannot_meet():
    message = r"at 'trunk.0' the source's activation is \(2, 4, 7, 7\) and the target's"
    target = Images(4)
    target.trunk[0] = nn.Conv2d(1, 4, 2)
    fails(message, target, Images(4), "trunk.0", torch.randn(2, 1, 9, 9))
    fails(
        r"at 'trunk.3'.*\(axis 1\)",
        Perceptron(4),
        Images(4),
        {"trunk.3": "trunk.3"},
        X,
        source_input=lambda x: torch.zeros(2, 1, 9, 9),
    )


def test_grey_and_colour():
    target = Images(4)
    target.trunk[0] = nn.Conv2d(3, 4, 3)
    message = "the source cannot read what the target reads.*give source_input"
    fails(message, target, Images(4), "trunk.0", torch.randn(2, 3, 9, 9))


def test_an_example_that_the_target_cannot_read():
    fails("the target cannot read the example", Perceptron(4), Perceptron(4), "trunk.0", X[:, :3])


def test_modules_that_run_unequally_often():
    target = nn.Sequential(OrderedDict(enter=nn.Linear(5, 4), block=nn.Linear(4, 4)))
    message = r"the target runs 'block' 1 time\(s\) and the source its counterpart 3 time\(s\)"
    fails(message, target, Shared(4), "block", X)


def test_a_target_that_runs_a_module_more_often_than_before():
    target, source = Shared(4), Shared(4)
    attach(target, source, "block", X)
    target.repeats = 4
    with pytest.raises(RuntimeError, match="runs 'block' more than the 3 time"):
        target(X)
    target.repeats = 2
    assert target(X).shape == (2, 3)


def test_shared_weights():
    target, source = Perceptron(4), Perceptron(4)
    target.head = source.head
    fails(r"share 'head.weight'.*copy.deepcopy", target, source, "trunk.0", X)


def test_another_type_or_device():
    fails(
        "target's dtype is torch.float32 and the source's torch.float64",
        Perceptron(4),
        Perceptron(4).double(),
        "trunk.0",
        X,
    )
    fails(
        "target's device is cpu and the source's meta",
        Perceptron(4),
        Perceptron(4).to("meta"),
        "trunk.0",
        X,
    )


def test_units_twice():
    target, source = Perceptron(4), Perceptron(4)
    units = attach(target, source, "trunk.0", X)
    with pytest.raises(ValueError, match="has units already; detach"):
        attach(target, source, "trunk.3", X)
    assert detach(target) is units and attached(target) is None
    with pytest.raises(ValueError, match="has no units"):
        detach(target)
    assert attach(target, source, "trunk.3", X).sites == ["trunk.3"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"candidate": "cubic"}, "candidate"),
        ({"gates_per": "pixel"}, "gates_per is 'pixel'"),
        ({"features": "first"}, "features is 'first'; accepted are auto, last, second"),
        ({"gate_dropout": 2.0}, "gate_dropout"),
    ],
)
def test_options_without_such_a_value(options, message):
    fails(message, Images(4), Images(4), "trunk.0", torch.randn(2, 1, 9, 9), **options)


def test_a_gated_module_run_by_itself():
    target, source = Perceptron(4), Perceptron(4)
    attach(target, source, "trunk.0", X)
    with pytest.raises(RuntimeError, match="'trunk.0' has a unit and was run by itself"):
        target.trunk(X)


def test_a_pass_that_fails_leaves_no_trace():
    target, source = Perceptron(4), Perceptron(4)
    units = attach(target, source, "trunk.0", X)
    before = target.eval()(X)
    with pytest.raises(RuntimeError):
        target(X[:, :2])
    assert units._running is None
    assert torch.equal(target(X), before)


class TestLoading:
    """Weights of units come from safetensors, and only to where they belong."""

    def test_another_source(self, tmp_path):
        target, source = Perceptron(4), Perceptron(4)
        units = attach(target, source, "trunk.0", X)
        units.save(tmp_path)
        with torch.no_grad():
            source.head.bias.add_(1)
        with pytest.raises(ValueError, match="trained with other sources"):
            units.load(tmp_path)

    def test_other_sites(self, tmp_path):
        target, source = Perceptron(4), Perceptron(4)
        attach(target, source, "trunk.0", X).save(tmp_path)
        detach(target)
        with pytest.raises(ValueError, match="trained with other sites"):
            attach(target, source, "trunk.3", X).load(tmp_path)

    def test_other_sizes(self, tmp_path):
        source = Perceptron(4)
        attach(Perceptron(4), source, "trunk.0", X).save(tmp_path)
        with pytest.raises(ValueError, match="of other sizes"):
            attach(Perceptron(6), source, "trunk.0", X).load(tmp_path)

    @pytest.mark.parametrize("text", ["", "[]", "{}", "3", '{"sites": 1}'])
    def test_no_description(self, tmp_path, text):
        units = attach(Perceptron(4), Perceptron(4), "trunk.0", X)
        units.save(tmp_path)
        (tmp_path / "units.json").write_text(text)
        with pytest.raises(ValueError, match="units.json does not describe units"):
            units.load(tmp_path)

    def test_no_folder(self, tmp_path):
        units = attach(Perceptron(4), Perceptron(4), "trunk.0", X)
        with pytest.raises(FileNotFoundError):
            units.load(tmp_path / "none")
