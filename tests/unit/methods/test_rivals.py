"""What tells the rivals from fine-tuning: which layers learn, when, at which rates, how far."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification, PreTrainedModel
from transformers.trainer_callback import TrainerCallback

from ptu_seq.images.batches import stack
from ptu_seq.images.networks import ARCHITECTURES, NetworkShape, new_network
from ptu_seq.methods import METHODS, Task, get_method
from ptu_seq.methods.l2_sp import Pull
from ptu_seq.methods.layers import body_parameters, head_parameters, layers
from ptu_seq.methods.unfreezing import Stage, StagedUnfreezing
from ptu_seq.methods.vision import IMAGE_METHODS, get_image_method
from ptu_seq.models.labels import linear_head
from ptu_seq.sites import attached, detach
from ptu_seq.training import TrainingOptions, fit

OTHER = {0: "cold", 1: "mild", 2: "hot"}
STEPS = 10
OPTIONS = TrainingOptions(batch_size=6, min_steps=STEPS, max_steps=STEPS, evaluations=1)


class Watch(TrainerCallback):
    """Notes which layers can learn, and the weights, at each step."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.awake: list[list[str]] = []
        self.weights: list[dict[str, Tensor]] = []

    def on_pre_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """After the gradients are there."""
        self.awake.append(
            [
                layer.name
                for layer in layers(self.model)
                if any(p.grad is not None for p in layer.parameters)
            ]
        )
        self.weights.append({k: v.cpu().clone() for k, v in self.model.state_dict().items()})


def image_source(architecture: str = "lenet") -> PreTrainedModel:
    torch.manual_seed(0)
    network = new_network(NetworkShape(architecture, 4, 28, 1, dropout=0.4), {0: "no", 1: "yes"})
    # Batch norm's statistics, without which a MobileNet's deep activations vanish.
    with torch.no_grad():
        network.train()(pixel_values=torch.randn(32, 1, 28, 28))
    return network


def images(labels: int) -> list[dict[str, Tensor]]:
    torch.manual_seed(1)
    return [
        {"pixel_values": torch.randn(1, 28, 28), "labels": torch.tensor(i % labels)}
        for i in range(6)
    ]


def train_images(
    name: str, setting: dict[str, Any], folder: Path, architecture: str = "lenet"
) -> tuple[PreTrainedModel, PreTrainedModel, Watch]:
    """Trains one method on images; source, model and what a callback saw."""
    source, method = image_source(architecture), get_image_method(name)
    torch.manual_seed(2)
    model = method.build(source, Task(OTHER, {}), setting)
    watch = Watch(model)
    rows: Any = images(3)
    fit(
        model,
        method.parameter_groups(model, setting),
        rows,
        rows,
        OPTIONS,
        collate=stack,
        sampling="random",
        folder=folder,
        seed=0,
        callbacks=[*method.callbacks(model, setting), watch],
    )
    return source, model.cpu(), watch


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_weight_of_an_image_network_is_in_one_layer(architecture):
    model = image_source(architecture)
    found = layers(model)
    weights = [p for layer in found for p in layer.parameters]
    assert len(weights) == len({id(p) for p in weights}) == len(list(model.parameters()))
    assert found[-1].name == "classifier" and len(found) >= 4
    assert all(layer.parameters for layer in found if layer.name != "trunk.pool")
    head = linear_head(model)
    assert {id(p) for p in head_parameters(model)} == {id(head.weight), id(head.bias)}
    assert len(body_parameters(model)) == len(weights) - 2
    for module in model.modules():
        if isinstance(module, (nn.Dropout, nn.BatchNorm2d)):
            assert sum(module in layer.modules for layer in found) == 1


def test_a_recurrent_stack_is_a_layer_for_each_of_its_layers(source):
    found = {layer.name: layer for layer in layers(source)}
    assert list(found) == ["embedding", "rnn.0", "rnn.1", "classifier"]
    assert {id(p) for layer in found.values() for p in layer.parameters} == {
        id(p) for p in source.parameters()
    }
    assert source.rnn.weight_hh_l1 in set(found["rnn.1"].parameters)
    assert source.rnn in found["rnn.1"].modules and source.rnn not in found["rnn.0"].modules
    assert source.hidden_dropout in found["classifier"].modules
    assert source.embedding_dropout in found["embedding"].modules
    assert source.pooling.query.weight in set(found["rnn.1"].parameters)


def test_layers_of_an_unknown_kind_of_network_are_refused():
    config = BertConfig(hidden_size=4, num_hidden_layers=1, num_attention_heads=1, vocab_size=9)
    with pytest.raises(ValueError, match="BertForSequenceClassification are not known; accepted"):
        layers(BertForSequenceClassification(config))


def test_lp_ft_trains_the_classifier_first(tmp_path):
    setting = {"learning_rate": 1e-2, "classifier_learning_rate": 1e-2, "probe_share": 0.3}
    source, model, watch = train_images("lp_ft", setting, tmp_path, "vgg")
    everything = [layer.name for layer in layers(model) if layer.parameters]
    assert watch.awake == [["classifier"]] * 3 + [everything] * (STEPS - 3)
    theirs = source.state_dict()
    for step, weights in enumerate(watch.weights):
        for name, weight in weights.items():
            if name.startswith("classifier"):
                continue
            # Asleep, batch norm's statistics stay too.
            if step < 3:
                assert torch.equal(weight, theirs[name]), (step, name)
    assert not torch.equal(
        watch.weights[-1]["trunk.block1.0.weight"], theirs["trunk.block1.0.weight"]
    )
    assert all(p.requires_grad for p in model.parameters())


def test_gradual_unfreezing_wakes_a_layer_at_a_time_from_the_top(tmp_path):
    setting = {"learning_rate": 1e-2, "rate_decay": 2.0, "unfreeze_share": 0.6}
    _, model, watch = train_images("gradual_unfreezing", setting, tmp_path)
    names = ["trunk.conv1", "trunk.conv2", "trunk.dense", "classifier"]
    awake = [names[3:]] * 2 + [names[2:]] * 2 + [names[1:]] * 2 + [names] * 4
    assert watch.awake == awake
    rates = {
        id(p): group["lr"]
        for group in get_image_method("gradual_unfreezing").parameter_groups(model, setting)
        for p in group["params"]
    }
    for depth, layer in enumerate(reversed(layers(model))):
        assert {rates[id(p)] for p in layer.parameters} == {1e-2 / 2.0**depth}


@pytest.mark.parametrize("name", ["lp_ft", "gradual_unfreezing"])
def test_all_layers_are_awake_long_before_early_stopping_can_end_training(name):
    options = TrainingOptions()
    earliest = options.patience / options.evaluations
    for setting in (*METHODS[name].grid, *IMAGE_METHODS[name].grid):
        share = setting.get("probe_share", setting.get("unfreeze_share"))
        assert 0 < share < earliest


def test_training_that_ends_early_leaves_nothing_frozen(source):
    staged = StagedUnfreezing([Stage(0.9, layers(source)[:-1])])
    arguments: Any = (None, None, None)
    staged.on_train_begin(*arguments)
    assert not source.rnn.weight_ih_l0.requires_grad and source.classifier.weight.requires_grad
    source.train()
    source(torch.ones(1, 2, dtype=torch.long))
    assert not source.embedding_dropout.training and source.hidden_dropout.training
    staged.on_train_end(*arguments)
    assert all(p.requires_grad for p in source.parameters())
    source.train()
    source(torch.ones(1, 2, dtype=torch.long))
    assert source.embedding_dropout.training


@pytest.mark.parametrize("start", [-0.1, 1.1])
def test_a_stage_outside_of_training_is_refused(start):
    with pytest.raises(ValueError, match="a stage starts at .*; 0 to 1 are accepted"):
        StagedUnfreezing([Stage(start, [])])


def test_l2_sp_without_a_pull_is_fine_tuning(tmp_path, monkeypatch):
    monkeypatch.setattr("ptu_seq.methods.l2_sp.HEAD_DECAY", 0.0)
    _, plain, _ = train_images("fine_tune", {"learning_rate": 1e-2}, tmp_path / "plain")
    _, pulled, _ = train_images("l2_sp", {"learning_rate": 1e-2, "pull": 0.0}, tmp_path / "pulled")
    for name, weight in plain.state_dict().items():
        assert torch.equal(weight, pulled.state_dict()[name])


def test_the_stronger_the_pull_the_nearer_to_the_source(tmp_path):
    distances = []
    for pull in (0.0, 10.0, 1e9):
        setting = {"learning_rate": 1e-2, "pull": pull}
        source, _, watch = train_images("l2_sp", setting, tmp_path / str(pull))
        theirs = source.base_model.state_dict()
        last = watch.weights[-1]
        distances.append(sum((last[f"trunk.{k}"] - v).square().sum() for k, v in theirs.items()))
    assert distances[0] > distances[1] > distances[2] == 0


def test_the_pull_is_that_of_the_equation():
    weight, free = nn.Parameter(torch.tensor([3.0, 1.0])), nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([{"params": [weight, free], "lr": 0.1}])
    nothing: Any = None
    Pull([weight], [torch.tensor([1.0, 1.0])], 2.0).on_optimizer_step(
        nothing, nothing, nothing, optimizer=optimizer
    )
    torch.testing.assert_close(weight.detach(), torch.tensor([2.6, 1.0]))
    assert torch.equal(free.detach(), torch.ones(2))
    with pytest.raises(ValueError, match="strength is -1"):
        Pull([], [], -1)


def test_a_probe_reads_the_sources_features_as_they_are(source, batch):
    method = get_method("linear_probe")
    model: Any = method.build(source, Task(OTHER, {}), method.grid[0]).train()
    assert torch.equal(model(**batch).logits, torch.zeros(6, 3))
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trainable == {"classifier.weight", "classifier.bias"}
    seen: list[Tensor] = []
    for network in (model, source.eval()):
        network.classifier.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        network(**batch)
    torch.testing.assert_close(seen[0], seen[1])
    decays = {
        id(p): g["weight_decay"]
        for g in method.parameter_groups(model, method.grid[1])
        for p in g["params"]
    }
    assert decays == {id(model.classifier.weight): 0.3, id(model.classifier.bias): 0.0}


@pytest.mark.parametrize("name", ["cross_stitch", "side_tuning"])
def test_a_mixture_at_the_target_is_fine_tuning_and_at_the_source_the_source(name, source, batch):
    same = Task({0: "negative", 1: "positive"}, {})
    method = get_method(name)
    model = method.build(source, same, method.grid[0]).eval()
    units: Any = attached(model)
    with torch.no_grad():
        for p in model.rnn.parameters():
            p.add_(0.1)
    with units.pinned("frozen"):
        assert torch.equal(model(**batch).logits, source(**batch).logits)
    with units.pinned("target"):
        pinned = model(**batch).logits
    mixed = model(**batch).logits
    detach(model)
    assert torch.equal(model(**batch).logits, pinned)
    assert not torch.allclose(mixed, pinned)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", ["cross_stitch", "side_tuning"])
def test_mixtures_of_images_train_and_come_back_from_their_best_checkpoint(
    name, architecture, tmp_path
):
    setting = {"learning_rate": 1e-3, "unit_learning_rate": 1e-1}
    source, model, watch = train_images(name, setting, tmp_path, architecture)
    units: Any = attached(model)
    assert (len(units.sites) == 1) == (name == "side_tuning")
    for _, unit in units.named_units():
        start = type(unit)(unit.size).state_dict()
        assert any((unit.state_dict()[key] - start[key]).abs().max() > 0.01 for key in start)
    # The mixture is in what Trainer saves and loads again, the source is not.
    assert any(key.startswith("ptu.units") for key in watch.weights[-1])
    assert not any("source_networks" in key for key in watch.weights[-1])
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            units.sources[0].state_dict().values(), source.state_dict().values(), strict=True
        )
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_cut_freezes_the_first_layers_tunes_the_next_and_draws_the_rest(architecture, tmp_path):
    *rates, depth = (
        *get_image_method("layer_search").grid,
        len(layers(image_source(architecture))) - 1,
    )
    settings = get_image_method("layer_search").settings(depth)
    assert len(settings) == len(rates) * (depth + 1) * (depth + 2) // 2
    setting = {**rates[0], "frozen": 1, "tuned": 1}
    assert setting in settings
    source, model, watch = train_images("layer_search", setting, tmp_path, architecture)
    everything = [layer.name for layer in layers(model) if layer.parameters]
    assert set(watch.awake[0]) == set(everything[1:])
    ours, theirs = layers(model), layers(source)
    torch.manual_seed(2)
    built = get_image_method("layer_search").build(source, Task(OTHER, {}), setting)
    for place, (layer, trained, start) in enumerate(
        zip(layers(built), ours, theirs[:-1] + [ours[-1]], strict=True)
    ):
        for built_weight, weight, of_source in zip(
            layer.parameters, trained.parameters, start.parameters, strict=True
        ):
            if place < 2:
                assert torch.equal(built_weight, of_source)
            if place == 0:
                assert torch.equal(weight, of_source)
    for module, its_source in zip(ours[0].modules, theirs[0].modules, strict=True):
        for buffer, original in zip(module.buffers(), its_source.buffers(), strict=True):
            assert torch.equal(buffer, original)  # of batch norm, which slept
    third = [p for p in layers(built)[2].parameters if p.dim() > 1]
    assert not any(
        torch.equal(a, b)
        for a, b in zip(third, [p for p in theirs[2].parameters if p.dim() > 1], strict=True)
    )


def test_the_ends_of_the_search_are_scratch_fine_tuning_and_frozen(source, batch):
    method, task = get_method("layer_search"), Task({0: "negative", 1: "positive"}, {})
    theirs, rates = source.state_dict(), method.grid[0]
    all_random = method.build(source, task, {**rates, "frozen": 0, "tuned": 0})
    all_tuned = method.build(source, task, {**rates, "frozen": 0, "tuned": 3})
    all_frozen: Any = method.build(source, task, {**rates, "frozen": 3, "tuned": 0})
    assert not any(torch.equal(w, theirs[k]) for k, w in all_random.state_dict().items())
    assert all(torch.equal(w, theirs[k]) for k, w in all_tuned.state_dict().items())
    assert all(p.requires_grad for p in all_tuned.parameters())
    trainable = {name for name, p in all_frozen.named_parameters() if p.requires_grad}
    assert trainable == {"classifier.weight", "classifier.bias"}
    all_frozen.train().hidden_dropout.p = 0.0  # the classifier's; the frozen layers' sleeps
    torch.testing.assert_close(all_frozen(**batch).logits, source(**batch).logits)
