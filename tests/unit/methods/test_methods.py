"""What holds of every method, and what each of them starts from and trains."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import set_seed

from ptu_seq.errors import UserError
from ptu_seq.methods import METHODS, Task, get_method
from ptu_seq.methods.base import freeze, plain_network
from ptu_seq.models import PTUForSequenceClassification
from ptu_seq.source import content_hash

SAME = Task({0: "negative", 1: "positive"}, {})
TURNED = Task({0: "positive", 1: "negative"}, {})
OTHER = Task({0: "cold", 1: "mild", 2: "hot"}, {})
SETTINGS = [
    pytest.param(method, setting, id=f"{name}-{i}")
    for name, method in METHODS.items()
    for i, setting in enumerate(method.grid)
]


def train(model, groups: list[dict[str, Any]], batch, steps: int = 5) -> None:
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
    model.eval()


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_found_by_name(name):
    assert get_method(name).name == name
    assert 1 <= len(get_method(name).grid) <= 4


@pytest.mark.parametrize(
    ("typed", "meant"), [("fine-tune", "fine_tune"), ("finetune", "fine_tune"), ("PTU", None)]
)
def test_a_misspelt_name_is_refused(typed, meant):
    with pytest.raises(UserError) as error:
        get_method(typed)
    message = str(error.value)
    assert repr(typed) in message and all(name in message for name in METHODS)
    assert ("did you mean" in message) == (meant is not None)
    if meant is not None:
        assert f"(did you mean {meant!r}?)" in message


@pytest.mark.parametrize(("method", "setting"), SETTINGS)
def test_the_optimiser_gets_every_trainable_weight_once(method, setting, source):
    model = method.build(source, OTHER, setting)
    groups = method.parameter_groups(model, setting)
    given = [p for group in groups for p in group["params"]]
    trainable = [p for p in model.parameters() if p.requires_grad]
    assert len(given) == len(set(map(id, given)))
    assert set(map(id, given)) == set(map(id, trainable)) and trainable
    assert all(group["lr"] > 0 for group in groups)


@pytest.mark.parametrize(("method", "setting"), SETTINGS)
@pytest.mark.parametrize("task", [SAME, OTHER], ids=["same", "other"])
def test_a_method_learns_the_target_and_leaves_the_source_alone(
    method, setting, task, source, batch
):
    before = content_hash(source)
    model = method.build(source, task, setting)
    assert model.config.id2label == task.id2label
    assert model.config.label2id == {name: i for i, name in task.id2label.items()}
    assert model(**batch).logits.shape == (6, len(task.id2label))
    started = {name: p.detach().clone() for name, p in model.named_parameters()}
    train(model, method.parameter_groups(model, setting), batch)
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, started[name])}
    assert changed == {name for name, p in model.named_parameters() if p.requires_grad}
    assert content_hash(source) == before
    assert all(p.requires_grad for p in source.parameters()) and not source.training


@pytest.mark.parametrize(("method", "setting"), SETTINGS)
def test_a_seed_gives_the_same_start(method, setting, source):
    hashes = []
    for seed in (1, 1, 2):
        set_seed(seed)
        hashes.append(content_hash(method.build(source, OTHER, setting)))
    assert hashes[0] == hashes[1]
    # A probe starts at zeros, whatever the seed.
    assert (hashes[1] == hashes[2]) == (method.name == "linear_probe")


@pytest.mark.parametrize("name", ["frozen", "fine_tune"])
def test_where_labels_agree_the_start_is_the_source(name, source, batch):
    method = get_method(name)
    for task, order in ((SAME, [0, 1]), (TURNED, [1, 0])):
        model = method.build(source, task, method.grid[0]).eval()
        torch.testing.assert_close(model(**batch).logits, source(**batch).logits[:, order])


@pytest.mark.parametrize("name", ["frozen", "fine_tune"])
def test_where_labels_differ_the_classifier_alone_is_new(name, source):
    method = get_method(name)
    ours = method.build(source, OTHER, method.grid[0]).state_dict()
    theirs = source.state_dict()
    assert ours.keys() == theirs.keys()
    for weight in ours:
        if weight.startswith("classifier."):
            assert not torch.isin(ours[weight], theirs[weight]).any()
        else:
            assert torch.equal(ours[weight], theirs[weight])
            assert ours[weight].data_ptr() != theirs[weight].data_ptr()


def test_scratch_takes_nothing_from_the_source(source, batch):
    method = get_method("scratch")
    model = method.build(source, SAME, method.grid[0]).eval()
    theirs = source.state_dict()
    for name, weight in model.state_dict().items():
        assert not torch.equal(weight, theirs[name])
    assert not torch.allclose(model(**batch).logits, source(**batch).logits)
    assert model.config.shape == source.config.shape


def test_frozen_trains_the_classifier_alone(source, batch):
    method = get_method("frozen")
    setting = method.grid[0]
    model: Any = method.build(source, SAME, setting)
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trainable == {"classifier.weight", "classifier.bias"}
    train(model, method.parameter_groups(model, setting), batch)
    theirs = source.state_dict()
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, theirs[name]) != name.startswith("classifier.")


def test_frozen_drops_out_before_the_classifier_alone(source, batch):
    method = get_method("frozen")
    model: Any = method.build(source, SAME, method.grid[0]).train()
    assert not torch.equal(model(**batch).logits, model(**batch).logits)
    model.hidden_dropout.eval()
    torch.testing.assert_close(model(**batch).logits, source(**batch).logits)


def test_freezing_changes_no_weight(source, batch):
    network = plain_network(source, SAME)
    expected, before = network.eval()(**batch).logits, content_hash(network)
    freeze(network)
    assert content_hash(network) == before
    assert not any(p.requires_grad for p in network.parameters())
    assert torch.equal(network.train()(**batch).logits, expected)
    again = plain_network(source, SAME)
    again.load_state_dict(network.state_dict())
    assert torch.equal(again.eval()(**batch).logits, expected)


@pytest.mark.parametrize("setting", get_method("ptu").grid, ids=str)
def test_ptu_starts_and_trains_as_its_setting_says(setting, source):
    method = get_method("ptu")
    options = {"level": "step", "sites": ["rnn"]}
    model = method.build(source, Task(SAME.id2label, options), setting)
    assert isinstance(model, PTUForSequenceClassification)
    assert (model.config.level, model.config.sites) == ("step", ["rnn"])
    theirs = source.rnn.state_dict()
    for name, weight in model.rnn.target.state_dict().items():
        assert torch.equal(weight, theirs[name]) == (setting["init"] == "source")
    rates = {
        id(p): group["lr"]
        for group in method.parameter_groups(model, setting)
        for p in group["params"]
    }
    for _, unit in list(model.units())[1:-1]:
        for name, p in unit.named_parameters():
            rate = "bias_learning_rate" if name == "bias" else "unit_learning_rate"
            assert rates[id(p)] == setting[rate]
    for part in (model.embedding.target, model.rnn.target):
        assert {rates[id(p)] for p in part.parameters()} == {setting["learning_rate"]}
