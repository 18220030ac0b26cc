"""Plain convolutional classifiers: shapes, weights, loss and saving; heads of any network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    AutoModelForImageClassification,
    MobileNetV1Config,
    MobileNetV1ForImageClassification,
    ResNetConfig,
    ResNetForImageClassification,
    ResNetModel,
)

from ptu_seq.models import CNNConfig, CNNForImageClassification
from ptu_seq.models.attached_config import network_config, network_fields
from ptu_seq.models.labels import copy_classifier, linear_head

LABELS = {0: "cat", 1: "dog", 2: "eel"}
BLOCKS = {
    "lenet": ["conv1", "conv2", "dense"],
    "vgg": ["block1", "block2", "block3", "pool"],
}


@pytest.fixture(params=BLOCKS)
def architecture(request: pytest.FixtureRequest) -> str:
    return request.param


def make(architecture: str, **fields: Any) -> CNNForImageClassification:
    tiny: dict[str, Any] = {
        "architecture": architecture,
        "image_size": 16,
        "width": 3,
        "id2label": LABELS,
        "dropout": 0.0,
    }
    return CNNForImageClassification(CNNConfig(**tiny | fields)).eval()


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 9), (2, 32)])
def test_images_of_any_size_become_logits(architecture, channels, size):
    model = make(architecture, num_channels=channels, image_size=size)
    assert [name for name, _ in model.trunk.named_children()] == BLOCKS[architecture]
    assert model.base_model is model.trunk
    images = torch.randn(5, channels, size, size)
    assert model(images).logits.shape == (5, 3)
    assert torch.equal(model(images).logits, model.classifier(model.trunk(images)))


def test_the_smallest_image_is_as_large_as_the_poolings_need(architecture):
    size = {"lenet": 4, "vgg": 8}[architecture]
    assert (
        make(architecture, image_size=size)(torch.zeros(1, 1, size, size)).logits.isfinite().all()
    )
    with pytest.raises(ValueError, match=f"image_size is {size - 1}; .* at least {size} wide") as e:
        make(architecture, image_size=size - 1)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"architecture": "lenett"}, "architecture is 'lenett'; accepted are lenet, vgg"),
        ({"width": 0}, "width is 0; at least 1 needed"),
        ({"num_channels": 0}, "num_channels is 0; at least 1 needed"),
        ({"image_size": 0}, "image_size is 0; at least 1 needed"),
        ({"dropout": 1.5}, "dropout is 1.5; it must be from 0 to 1"),
    ],
)
def test_other_values_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        CNNConfig(**fields)


def test_shape_has_the_fields_of_a_cnn_alone():
    shape = make("vgg").config.shape
    assert shape == {
        "architecture": "vgg",
        "num_channels": 1,
        "image_size": 16,
        "width": 3,
        "dropout": 0.0,
    }


def test_new_weights_keep_the_scale_of_activations(architecture):
    torch.manual_seed(0)
    model = make(architecture, width=32, image_size=32)
    for module in model.trunk.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            inputs = module.weight[0].numel()
            assert module.weight.std().item() == pytest.approx((2 / inputs) ** 0.5, rel=0.1)
            assert module.bias is None or not module.bias.any()
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all() and not module.bias.any()
    bound = model.classifier.in_features**-0.5
    assert 0.9 * bound < model.classifier.weight.abs().max() <= bound


def test_a_seed_gives_the_same_weights(architecture):
    models = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        models.append(make(architecture).classifier.weight)
    assert torch.equal(models[0], models[1]) and not torch.equal(models[0], models[2])


def test_loss_is_the_cross_entropy(architecture):
    model, images = make(architecture), torch.randn(4, 1, 16, 16)
    labels = torch.tensor([0, 2, 1, 1])
    output = model(images, labels=labels)
    torch.testing.assert_close(output.loss, F.cross_entropy(output.logits, labels))
    assert model(images).loss is None


def test_parts_of_a_batch_have_its_loss(architecture):
    model, images = make(architecture), torch.randn(6, 1, 16, 16)
    labels = torch.tensor([0, 2, 1, 1, 2, 0])
    whole = model(images, labels=labels).loss
    for count in (6, torch.tensor(6)):
        parts = [
            model(images[part], labels=labels[part], num_items_in_batch=count).loss
            for part in (slice(0, 4), slice(4, 6))
        ]
        torch.testing.assert_close(parts[0] + parts[1], whole)


def test_the_classifiers_features_drop_out_in_training_alone(architecture):
    model, images = make(architecture, dropout=0.5, width=8), torch.randn(4, 1, 16, 16)
    assert torch.equal(model(images).logits, model(images).logits)
    model.train()
    assert not torch.equal(model(images).logits, model(images).logits)


@pytest.mark.parametrize(
    "loader", [CNNForImageClassification, AutoModelForImageClassification], ids=["own", "auto"]
)
def test_reloaded_logits_are_the_same(loader, architecture, tmp_path: Path):
    model, images = make(architecture), torch.randn(4, 1, 16, 16)
    model.train()(images)  # batch norm keeps statistics
    model.eval().save_pretrained(tmp_path)
    loaded = loader.from_pretrained(tmp_path)
    assert type(loaded) is CNNForImageClassification and not loaded.training
    assert loaded.config.shape == model.config.shape and loaded.config.id2label == LABELS
    assert torch.equal(loaded(images).logits, model(images).logits)


def networks() -> list[nn.Module]:
    labels: dict[str, Any] = {
        "id2label": LABELS,
        "label2id": {label: i for i, label in LABELS.items()},
    }
    return [
        make("lenet"),
        make("vgg"),
        ResNetForImageClassification(
            ResNetConfig(hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic", **labels)
        ),
        MobileNetV1ForImageClassification(
            MobileNetV1Config(depth_multiplier=0.05, min_depth=4, image_size=40, **labels)
        ),
    ]


@pytest.mark.parametrize("network", networks(), ids=lambda network: network.config.model_type)
def test_a_network_of_any_kind_is_made_again_from_its_fields(network):
    network.config.problem_type = "single_label_classification"  # as its loss sets it
    fields = network_fields(network.config)
    again = network_config({**fields, "id2label": {"0": "a", "1": "b"}})
    assert type(again) is type(network.config) and again.id2label == {0: "a", 1: "b"}
    assert again.label2id == {"a": 0, "b": 1} and again.num_labels == 2
    assert network_fields(again) == fields
    assert type(AutoConfig.for_model(**fields)) is type(again)
    assert not {"id2label", "dtype", "problem_type", "architectures"} & set(fields)


@pytest.mark.parametrize("network", networks(), ids=lambda network: network.config.model_type)
def test_a_classifier_of_any_network_is_copied_by_its_labels(network):
    head = linear_head(network)
    assert head.out_features == 3
    new = nn.Linear(head.in_features, 3)
    config = CNNConfig(id2label={0: "eel", 1: "cat", 2: "dog"})
    assert copy_classifier(network, new, config)
    assert torch.equal(new.weight, head.weight[[2, 0, 1]])
    assert torch.equal(new.bias, head.bias[[2, 0, 1]])
    before = new.weight.clone()
    assert not copy_classifier(network, new, CNNConfig(id2label={0: "eel", 1: "cat", 2: "cow"}))
    assert not copy_classifier(network, nn.Linear(head.in_features + 1, 3), config)
    assert torch.equal(new.weight, before)


def test_a_network_without_a_classifier_has_no_head():
    network = ResNetModel(ResNetConfig(hidden_sizes=[4], depths=[1], layer_type="basic"))
    with pytest.raises(ValueError, match="ResNetModel has no linear layer in a `classifier`"):
        linear_head(network)
