"""What holds of every image method; what each starts from, and what it trains."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, set_seed

from ptu_seq.errors import UserError
from ptu_seq.images.networks import ARCHITECTURES, NetworkShape, new_network
from ptu_seq.methods import Task
from ptu_seq.methods.layers import layers
from ptu_seq.methods.vision import IMAGE_METHODS, get_image_method
from ptu_seq.models import PTUForImageClassification
from ptu_seq.models.labels import linear_head
from ptu_seq.source import content_hash

LABELS = {0: "nought", 1: "one", 2: "two"}
SAME = Task(LABELS, {})
OTHER = Task({0: "cat", 1: "dog", 2: "eel", 3: "fox"}, {})
SETTINGS = [
    pytest.param(method, setting, id=f"{name}-{i}")
    for name, method in IMAGE_METHODS.items()
    for i, setting in enumerate(method.grid)
]


def make(architecture: str, channels: int = 1) -> PreTrainedModel:
    shape = NetworkShape(architecture, 4, 28, channels, dropout=0.4)
    return new_network(shape, LABELS).eval()


@pytest.fixture(params=ARCHITECTURES)
def source(request: pytest.FixtureRequest) -> PreTrainedModel:
    torch.manual_seed(0)
    return make(request.param)


@pytest.fixture
def lenet() -> PreTrainedModel:
    torch.manual_seed(0)
    return make("lenet")


@pytest.fixture
def batch() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {"pixel_values": torch.randn(6, 1, 28, 28), "labels": torch.tensor([0, 1, 2, 0, 1, 2])}


def train(model: nn.Module, groups: list[dict[str, Any]], batch: dict[str, Tensor]) -> None:
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    model.train()
    for _ in range(3):
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
    model.eval()


@pytest.mark.parametrize("name", IMAGE_METHODS)
def test_methods_are_found_by_name(name):
    assert get_image_method(name).name == name
    assert 1 <= len(get_image_method(name).grid) <= 4


def test_a_misspelt_name_is_refused():
    with pytest.raises(UserError, match=r"'fine-tune' \(did you mean 'fine_tune'\?\); accepted: "):
        get_image_method("fine-tune")


@pytest.mark.parametrize(("method", "setting"), SETTINGS)
def test_the_optimiser_gets_every_trainable_weight_once(method, setting, lenet):
    model = method.build(lenet, OTHER, setting)
    groups = method.parameter_groups(model, setting)
    given = [id(p) for group in groups for p in group["params"]]
    assert len(given) == len(set(given))
    assert set(given) == {id(p) for p in model.parameters() if p.requires_grad}
    assert all(group["lr"] > 0 for group in groups)


@pytest.mark.parametrize("name", IMAGE_METHODS)
@pytest.mark.parametrize("task", [SAME, OTHER], ids=["same", "other"])
def test_a_method_learns_the_target_and_leaves_the_source_alone(name, task, source, batch):
    method = get_image_method(name)
    setting = method.grid[0]
    before = content_hash(source)
    model = method.build(source, task, setting)
    assert model.config.id2label == task.id2label
    assert model(**batch).logits.shape == (6, len(task.id2label))
    started = {name: p.detach().clone() for name, p in model.named_parameters()}
    train(model, method.parameter_groups(model, setting), batch)
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, started[name])}
    assert changed <= {name for name, p in model.named_parameters() if p.requires_grad}
    assert any("classifier" in name for name in changed)
    assert content_hash(source) == before  # its batch norm's statistics too
    assert all(p.requires_grad for p in source.parameters()) and not source.training


@pytest.mark.parametrize(("method", "setting"), SETTINGS)
def test_a_seed_gives_the_same_start(method, setting, lenet):
    hashes = []
    for seed in (1, 1, 2):
        set_seed(seed)
        hashes.append(content_hash(method.build(lenet, OTHER, setting)))
    assert hashes[0] == hashes[1]
    # A probe starts at zeros, whatever the seed.
    assert (hashes[1] == hashes[2]) == (method.name == "linear_probe")


@pytest.mark.parametrize("name", ["frozen", "fine_tune"])
def test_where_labels_agree_the_start_is_the_source(name, source, batch):
    method = get_image_method(name)
    model = method.build(source, SAME, method.grid[0]).eval()
    assert torch.equal(model(**batch).logits, source(**batch).logits)


@pytest.mark.parametrize("name", ["frozen", "fine_tune"])
def test_where_labels_differ_the_classifier_alone_is_new(name, source):
    method = get_image_method(name)
    model = method.build(source, OTHER, method.grid[0])
    assert linear_head(model).out_features == 4
    for key, weight in model.base_model.state_dict().items():
        assert torch.equal(weight, source.base_model.state_dict()[key])


def test_scratch_takes_nothing_from_the_source(lenet, batch):
    method = get_image_method("scratch")
    model = method.build(lenet, SAME, method.grid[0]).eval()
    assert not torch.allclose(model(**batch).logits, lenet(**batch).logits)


def test_what_is_frozen_stays_asleep(source, batch):
    method = get_image_method("frozen")
    model = method.build(source, SAME, method.grid[0])
    frozen = {name: x.clone() for name, x in model.base_model.state_dict().items()}
    train(model, method.parameter_groups(model, method.grid[0]), batch)
    for name, x in model.base_model.state_dict().items():  # buffers too
        assert torch.equal(x, frozen[name]), name
    model.train()
    base = model.base_model
    pixels = batch["pixel_values"]
    assert torch.equal(_first(base(pixels)), _first(source.base_model(pixels)))


def _first(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else output[0]


@pytest.mark.parametrize("setting", get_image_method("ptu").grid, ids=str)
def test_ptu_starts_and_trains_as_its_setting_says(setting, source):
    method = get_image_method("ptu")
    model = method.build(source, Task(LABELS, {"gates_per": "channel"}), setting)
    assert isinstance(model, PTUForImageClassification)
    assert model.config.gates_per == "channel"
    weight = next(model.target.parameters())
    assert torch.equal(weight, next(source.parameters()))
    blocks = [layer.name for layer in layers(source)[:-1]]
    sites = [site for site, _ in model.units()]
    assert len(sites) > 2 if setting["sites"] == "blocks" else sites == blocks[-1:]
    assert set(sites) <= set(blocks)
    rates = {
        id(p): group["lr"]
        for group in method.parameter_groups(model, setting)
        for p in group["params"]
    }
    for _, unit in model.units():
        assert {rates[id(p)] for p in unit.parameters()} == {setting["unit_learning_rate"]}
    assert rates[id(weight)] == setting["learning_rate"]


def test_ptu_can_start_at_random(source):
    method = get_image_method("ptu")
    model: Any = method.build(source, SAME, {**method.grid[0], "init": "random"})
    weight = next(model.target.parameters())
    assert not torch.equal(weight, next(source.parameters()))


def test_parts_of_a_batch_give_the_gradients_of_the_whole(source, batch, tmp_path):
    """Whoever divides the loss, Trainer or the network."""
    from transformers import Trainer, TrainingArguments

    method = get_image_method("fine_tune")
    batch["labels"] = torch.tensor([0, 0, 0, 0, 1, 2])
    gradients = []
    for parts in (1, 3):
        model = method.build(source, SAME, method.grid[0])
        for module in model.modules():
            if isinstance(module, (nn.Dropout, nn.BatchNorm2d)):
                module.train = lambda mode=True: None  # type: ignore[method-assign,assignment]
                module.training = False
        arguments = TrainingArguments(
            str(tmp_path),
            max_steps=1,
            learning_rate=0.1,
            lr_scheduler_type="constant",
            optim="sgd",
            max_grad_norm=0,
            per_device_train_batch_size=6 // parts,
            gradient_accumulation_steps=parts,
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            save_strategy="no",
        )
        rows = [{name: x[i] for name, x in batch.items()} for i in range(6)]
        before = linear_head(model).bias.detach().clone()
        Trainer(model, arguments, train_dataset=rows).train()
        gradients.append(linear_head(model).bias.detach() - before)
    assert gradients[0].abs().max() > 1e-4
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-3, atol=1e-6)


def test_unknown_architectures_and_small_images_are_refused():
    with pytest.raises(UserError, match=r"--architecture is 'lenett' \(did you mean 'lenet'\?\)"):
        new_network(NetworkShape("lenett", 4, 28, 1, 0.0), LABELS)
    with pytest.raises(UserError, match="--architecture vgg: "):
        new_network(NetworkShape("vgg", 4, 4, 1, 0.0), LABELS)
