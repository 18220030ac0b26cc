"""A classifier of two networks: equal to either of them where it should be, to the bit.

Both sides of a comparison run with gradients or both without: torch's kernels round differently.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    PreTrainedModel,
)

from ptu_seq.models import (
    PTUForImageClassification,
)
from ptu_seq.models.labels import linear_head
from ptu_seq.source import content_hash
from ptu_seq.unit import PTUGates
from tests.unit.models.image_networks import (
    AWAKE,
    GRAD_MODES,
    LABELS,
    OTHER,
    SITES,
    SIZE,
    WIDER,
    build,
    make_source,
    plain_target,
    train,
)


@pytest.fixture(params=SITES)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def source(kind: str) -> PreTrainedModel:
    return make_source(kind)


@pytest.fixture
def pixels() -> Tensor:
    return torch.randn(4, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("gates_per", ["position", "channel"])
def test_pinned_target_is_the_target_network(gates_per, kind, source, pixels, perturb):
    model = PTUForImageClassification.from_source(
        source, init="random", id2label=OTHER, target=WIDER[kind], gates_per=gates_per
    )
    perturb(model)
    model.eval()
    target, free = plain_target(model), model(pixels).logits
    assert free.shape == (4, 4)
    model.pin("target")
    for grad_mode in GRAD_MODES:
        with grad_mode():
            assert torch.equal(model(pixels).logits, target(pixels).logits)
    assert not torch.allclose(model(pixels).logits, free)
    assert torch.equal(model.unpin()(pixels).logits, free)


@pytest.mark.parametrize("id2label", [LABELS, OTHER], ids=["unit on the logits", "equal heads"])
def test_pinned_frozen_is_the_source_network(id2label, source, pixels, perturb):
    model = PTUForImageClassification.from_source(source, init="random", id2label=id2label)
    perturb(model)
    theirs = copy.deepcopy(source)
    if id2label is OTHER:
        head = linear_head(model.target)
        new, old = linear_head(theirs), head.weight.shape[0]
        new.weight, new.bias, new.out_features = head.weight, head.bias, old
    model.pin("frozen").eval()
    for grad_mode in GRAD_MODES:
        with grad_mode():
            assert torch.equal(model(pixels).logits, theirs(pixels).logits)


@pytest.mark.parametrize("gates_per", ["position", "channel"])
def test_started_from_the_source_is_the_source_network(gates_per, source, pixels, perturb):
    model = PTUForImageClassification.from_source(source, gates_per=gates_per).eval()
    for grad_mode in GRAD_MODES:
        with grad_mode():
            assert torch.equal(model(pixels).logits, source(pixels).logits)
    perturb(model)
    assert not torch.allclose(model(pixels).logits, source(pixels).logits)


def test_units_sit_after_blocks_and_on_logits_of_the_same_labels(kind, source):
    def sites(**options: Any) -> list[str]:
        model = PTUForImageClassification.from_source(source, **options)
        return [site for site, _ in model.units()]

    assert sites() == [*SITES[kind], "classifier"]
    assert sites(id2label=LABELS) == [*SITES[kind], "classifier"]
    assert sites(id2label={0: "dog", 1: "cat", 2: "eel"}) == SITES[kind]
    assert sites(id2label=OTHER) == SITES[kind]
    assert sites(sites=SITES[kind][1:2]) == SITES[kind][1:2]
    assert sites(sites="classifier") == ["classifier"]


def test_labels_without_names_are_not_taken_for_the_same(kind):
    source = make_source(kind, {0: "LABEL_0", 1: "LABEL_1"})
    model = PTUForImageClassification.from_source(source)
    assert [site for site, _ in model.units()] == SITES[kind]
    assert not torch.isin(linear_head(model.target).weight, linear_head(source).weight).any()


def test_labels_in_another_order_take_their_rows_along(source, pixels):
    model = PTUForImageClassification.from_source(source, id2label={0: "eel", 1: "cat", 2: "dog"})
    logits = model.eval()(pixels).logits
    torch.testing.assert_close(logits, source(pixels).logits[:, [2, 0, 1]])


def test_the_start_is_the_sources_weights_or_new_ones(source):
    copied = PTUForImageClassification.from_source(source, id2label=OTHER)
    new = PTUForImageClassification.from_source(source, "random", id2label=LABELS)
    for name, weight in source.state_dict().items():
        if not name.startswith("classifier."):
            assert torch.equal(copied.target.state_dict()[name], weight), name
    for name, parameter in source.named_parameters():
        if parameter.dim() > 1:
            assert not torch.equal(new.target.get_parameter(name), parameter), name


def test_a_new_target_is_drawn_as_a_network_alone(kind, source):
    torch.manual_seed(5)
    alone = build(kind)
    torch.manual_seed(5)
    model = PTUForImageClassification.from_source(source, "random")
    assert content_hash(plain_target(model)) == content_hash(alone)


def test_a_seed_gives_the_same_start(kind, source):
    hashes = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        model = PTUForImageClassification.from_source(source, "random", target=WIDER[kind])
        hashes.append(content_hash(model))
        after = torch.rand(1)
    assert hashes[0] == hashes[1] != hashes[2]
    torch.manual_seed(2)
    PTUForImageClassification.from_source(source, "random", target=WIDER[kind])
    assert torch.equal(torch.rand(1), after)


def test_units_begin_as_units_do_and_not_by_their_networks_rule(kind, source):
    model = PTUForImageClassification.from_source(
        source, "random", target=WIDER[kind], update_bias=0.5, fine_tune_bias=-0.5
    )
    for site, unit in model.units():
        size = unit.target_size
        assert (unit.bias[:size] == -0.5).all() and (unit.bias[size : 2 * size] == 0.5).all()
        assert torch.equal(unit.weight_source[2 * size :], torch.eye(size)), site
        if isinstance(unit.projection, nn.Linear):
            bound = unit.source_size**-0.5
            assert 0.5 * bound < unit.projection.weight.abs().max() <= bound
            assert unit.projection.bias.any()


@pytest.mark.parametrize("init", ["source", "random"])
def test_the_source_never_trains(init, kind, source, pixels):
    model = PTUForImageClassification.from_source(
        source, init, gate_dropout=0.2, target=AWAKE[kind]
    )
    model.train().requires_grad_(True)  # neither wakes the source
    assert not any(p.requires_grad for p in model.source.parameters())
    assert not any(module.training for module in model.source.modules())
    assert not any(module.training for module in model.attachment.sources[0].modules())
    names = {name for name, _ in model.named_parameters()}
    assert not any("source_networks" in name for name in names)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    buffers = {name: b.clone() for name, b in model.target.named_buffers()}
    train(model, pixels)
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert changed >= {n for n in names if n.startswith("target.ptu.units.")}
    assert changed == {n for n in names if not n.startswith("source.")}
    for name, buffer in model.target.named_buffers():
        if "source_networks" not in name:
            assert not torch.equal(buffer, buffers[name]), name
    assert content_hash(model.source.network) == content_hash(source) == model.config.source_hash


def test_the_source_sleeps_while_the_target_trains(source, pixels):
    model = PTUForImageClassification.from_source(source, "random")
    model.train().pin("frozen")
    assert torch.equal(model(pixels).logits, source(pixels).logits)  # with the unit on the logits


def test_gate_dropout_acts_in_training_alone_and_not_on_pins(kind, pixels, perturb):
    source = make_source(kind, **AWAKE[kind])
    model = PTUForImageClassification.from_source(source, "random", gate_dropout=0.5)
    perturb(model)
    assert all(unit.gate_dropout == 0.5 for _, unit in model.units())
    assert torch.equal(model.eval()(pixels).logits, model(pixels).logits)
    assert not torch.equal(model.train()(pixels).logits, model(pixels).logits)
    model.pin("target")
    assert torch.equal(model(pixels).logits, model(pixels).logits)


def test_loss_is_the_cross_entropy_also_in_parts(source, pixels):
    model = PTUForImageClassification.from_source(source).eval()
    labels = torch.tensor([0, 2, 1, 1])
    output = model(pixels, labels=labels)
    torch.testing.assert_close(output.loss, F.cross_entropy(output.logits, labels))
    parts = [
        model(pixels[part], labels=labels[part], num_items_in_batch=torch.tensor(4)).loss
        for part in (slice(0, 3), slice(3, 4))
    ]
    torch.testing.assert_close(parts[0] + parts[1], output.loss)
    assert model(pixels).loss is None and model.accepts_loss_kwargs


@pytest.mark.parametrize("gates_per", ["position", "channel"])
def test_gates_are_reported_in_eval_mode(gates_per, kind, pixels):
    source = make_source(kind)
    model = PTUForImageClassification.from_source(
        source, gates_per=gates_per, gate_dropout=0.9
    ).train()
    part = linear_head(model.target).eval()
    statistics = {name: b.clone() for name, b in model.named_buffers()}
    seen: list[dict[str, PTUGates]] = [{}, {}]
    for noted in seen:
        model.gates(pixels, noted.__setitem__)
    assert list(seen[0]) == [*SITES[kind], "classifier"]
    for site, gates in seen[0].items():
        update = gates.update
        assert not update.requires_grad and 0 <= update.min() <= update.max() <= 1
        assert torch.equal(update, seen[1][site].update)
        per_position = update.dim() == 4 and update.shape[-1] > 1
        assert not per_position or gates_per == "position"
    assert seen[0]["classifier"].fine_tune.shape == (4, 3)
    assert model.training and model.target.training and not model.source.training
    assert not part.training
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, statistics[name]), name
    model(pixels, labels=torch.zeros(4, dtype=torch.long)).loss.backward()


def test_making_a_model_leaves_its_source_alone(source):
    source.train()
    before, numbers = content_hash(source), source.config.to_dict()
    PTUForImageClassification.from_source(source)
    assert content_hash(source) == before and source.config.to_dict() == numbers
    assert all(module.training for module in source.modules())
    assert all(p.requires_grad for p in source.parameters())


def test_copies_are_independent(source, pixels):
    model = PTUForImageClassification.from_source(source).eval()
    twin, expected = copy.deepcopy(model), model(pixels).logits
    assert torch.equal(twin(pixels).logits, expected)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert not twin.pin("frozen")(pixels).logits.any()
    assert torch.equal(model(pixels).logits, expected)


def test_a_source_in_another_precision_gives_such_a_model(source, pixels):
    model = PTUForImageClassification.from_source(source.double()).eval()
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    pixels = pixels.double()
    torch.testing.assert_close(model(pixels).logits, source(pixels).logits, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("channels", [1, 3])
def test_other_channels_are_refused(channels, kind):
    source = make_source(kind, num_channels=channels)
    with pytest.raises(
        ValueError, match="attach: the source cannot read what the target reads"
    ) as e:
        PTUForImageClassification.from_source(
            source, init="random", target={"num_channels": 4 - channels}
        )
    assert "\n" not in str(e.value)


def test_a_size_that_a_source_cannot_read_is_refused():
    with pytest.raises(ValueError, match="attach: the source cannot read what the target") as e:
        PTUForImageClassification.from_source(
            make_source("lenet"), init="random", target={"image_size": 20}
        )
    assert "\n" not in str(e.value)


def test_networks_that_read_any_size_meet_at_any(pixels):
    model = PTUForImageClassification.from_source(make_source("vgg"), target={"image_size": 20})
    assert model(pixels[..., :20, :20]).logits.shape == (4, 3)


def test_what_is_not_known_is_refused(kind, source):
    for options, message in (
        ({"init": "sourse"}, r"'sourse' is no init \(did you mean 'source'\?\); accepted are"),
        ({"gate_per": "channel"}, r"'gate_per' is no option \(did you mean 'gates_per'\?\)"),
        ({"source_hash": "0"}, "'source_hash' is no option"),
        ({"target": {"num_channel": 3}}, r"is no field of target \(did you mean 'num_channels'"),
        ({"target": {"model_type": "vit"}}, "'model_type' is no field of target"),
        ({"gates_per": "pixel"}, "gates_per is 'pixel'; accepted are position, channel"),
        ({"candidate": "sigmoid"}, "candidate is 'sigmoid'"),
        ({"sites": ["trunc.*"]}, "attach: no module of the target is called 'trunc.*'"),
        ({"target": WIDER[kind]}, r"init='source' copies .* is \(.*\) there and \(.*\) in the"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            PTUForImageClassification.from_source(source, **options)
        assert "\n" not in str(error.value)
