"""Image classifiers with units, saved and loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForImageClassification,
    PreTrainedModel,
)

from ptu_seq.models import (
    PTUForImageClassification,
    PTUVisionConfig,
)
from ptu_seq.source import content_hash
from tests.unit.models.image_networks import (
    GRAD_MODES,
    LABELS,
    OTHER,
    SITES,
    SIZE,
    WIDER,
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


@pytest.fixture
def trained(kind, source, perturb, pixels) -> PTUForImageClassification:
    """A model whose networks differ in all they may, after some training."""
    torch.manual_seed(11)
    model = PTUForImageClassification.from_source(
        source, "random", id2label=OTHER, target=WIDER[kind], candidate="tanh"
    )
    perturb(model)
    train(model, pixels, steps=1)
    return model.eval()


@pytest.fixture
def bare(trained, tmp_path) -> Path:
    """The folder of the model without its source."""
    trained.save_pretrained(tmp_path / "bare", include_source=False)
    return tmp_path / "bare"


def names_in(folder: Path) -> set[str]:
    return set(load_file(folder / "model.safetensors"))


def test_the_state_has_the_source_once(source, trained, bare, tmp_path):
    trained.save_pretrained(tmp_path / "full")
    names = set(trained.state_dict())
    theirs = {f"source.network.{name}" for name in source.state_dict()}
    assert {name for name in names if "source" in name.split(".")[:-1]} == theirs
    assert not any("source_networks" in name for name in names)
    assert names_in(tmp_path / "full") == names and names_in(bare) == names - theirs
    count = sum(p.numel() for p in trained.target.parameters())  # the attachment has the source too
    assert sum(p.numel() for p in trained.parameters()) == count
    trained.load_state_dict(trained.state_dict())  # and strictly so


LOADERS = pytest.mark.parametrize(
    "loader", [PTUForImageClassification, AutoModelForImageClassification], ids=["own", "auto"]
)


@LOADERS
def test_reloaded_logits_are_the_same(loader, trained, pixels, tmp_path):
    trained.save_pretrained(tmp_path)
    loaded, report = loader.from_pretrained(tmp_path, output_loading_info=True)
    assert type(loaded) is PTUForImageClassification and not loaded.training
    assert not any(report.values())
    assert content_hash(loaded) == content_hash(trained)
    for pin in ("target", "frozen", "adapted", None):
        for model in (loaded, trained):
            model.pin(pin) if pin else model.unpin()
        for grad_mode in GRAD_MODES:
            with grad_mode():
                assert torch.equal(loaded(pixels).logits, trained(pixels).logits)
    ours, theirs = (
        {name for name, p in model.named_parameters() if p.requires_grad}
        for model in (loaded, trained)
    )
    assert ours == theirs and not any(name.startswith("source.") for name in ours)
    assert not loaded.train().source.network.training
    train(loaded, pixels)
    assert content_hash(loaded.source.network) == trained.config.source_hash


def test_the_configuration_survives(kind, trained, tmp_path):
    trained.save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(config, PTUVisionConfig)
    assert config.target_network == trained.config.target_network
    assert config.source_network == trained.config.source_network
    assert config.sites == trained.config.sites and config.gates_per == "channel"
    assert config.unit_options == trained.config.unit_options and config.candidate == "tanh"
    assert config.id2label == OTHER and config.label2id == {n: i for i, n in OTHER.items()}
    assert config.target_config.id2label == OTHER and config.source_config.id2label == LABELS
    for network in (config.target_network, config.source_network):
        assert network and network["model_type"] == trained.target.config.model_type
    for name, value in WIDER[kind].items():
        assert getattr(config.target_config, name) == value


@LOADERS
@pytest.mark.parametrize("given", ["network", "folder"])
def test_without_its_source_a_model_asks_for_it(
    given, loader, source, trained, bare, pixels, tmp_path
):
    with pytest.raises(ValueError, match=r"bare was saved without its source .*source=") as error:
        loader.from_pretrained(bare)
    assert "\n" not in str(error.value)
    source.save_pretrained(tmp_path / "source")
    wanted = source if given == "network" else tmp_path / "source"
    loaded = loader.from_pretrained(bare, source=wanted)
    assert torch.equal(loaded(pixels).logits, trained(pixels).logits)
    assert content_hash(loaded) == content_hash(trained)
    assert not any(p.requires_grad for p in loaded.source.parameters())
    loaded.save_pretrained(tmp_path / "again")  # left out once is not for good
    again = loader.from_pretrained(tmp_path / "again")
    assert torch.equal(again(pixels).logits, trained(pixels).logits)


def test_another_source_is_refused(kind, source, trained, bare, tmp_path):
    trained.save_pretrained(tmp_path / "full")
    other = make_source(kind)
    assert content_hash(other) == content_hash(source)
    with torch.no_grad():
        next(other.parameters()).view(-1)[0] += 1e-3
    for folder in (bare, tmp_path / "full"):
        with pytest.raises(ValueError, match="content hash") as error:
            PTUForImageClassification.from_pretrained(folder, source=other)
        for network in (source, other):
            assert content_hash(network) in str(error.value)
    weights = load_file(tmp_path / "full" / "model.safetensors")
    name = next(name for name in weights if name.startswith("source.network.classifier"))
    weights[name] += 1e-3
    save_file(weights, tmp_path / "full" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="content hash"):
        PTUForImageClassification.from_pretrained(tmp_path / "full")


def test_units_that_a_file_lacks_are_drawn_anew(kind, source, tmp_path):
    model = PTUForImageClassification.from_source(
        source, "random", target=WIDER[kind], update_bias=0.25
    )
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights = {name: w for name, w in weights.items() if ".ptu.units." not in name}
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    loaded = PTUForImageClassification.from_pretrained(tmp_path)
    for _, unit in loaded.units():
        size = unit.target_size
        assert torch.equal(unit.weight_source[2 * size :], torch.eye(size))
        assert (unit.bias[size : 2 * size] == 0.25).all()
        assert all(p.isfinite().all() and p.abs().max() <= 1 for p in unit.parameters())
    assert content_hash(plain_target(loaded)) == content_hash(plain_target(model))


def test_a_given_state_dict_is_what_is_saved(source, trained, tmp_path):
    """As Trainer saves checkpoints."""
    state = {name: w + 1 for name, w in trained.state_dict().items()}
    trained.save_pretrained(tmp_path, include_source=False, state_dict=state)
    assert names_in(tmp_path) == {name for name in state if not name.startswith("source.")}
    loaded = PTUForImageClassification.from_pretrained(tmp_path, source=source)
    for name, weight in trained.target.state_dict().items():
        assert torch.equal(loaded.target.state_dict()[name], weight + 1), name


def test_models_in_another_precision(source, trained, bare, pixels, tmp_path):
    trained.save_pretrained(tmp_path / "full")
    for folder, given in ((tmp_path / "full", None), (bare, source)):
        half = PTUForImageClassification.from_pretrained(folder, source=given, dtype=torch.bfloat16)
        assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
        assert half(pixels.bfloat16()).logits.isfinite().all()
        # Cast weights have another hash, and are recorded with it where they are saved.
        half.save_pretrained(tmp_path / "half")
        again = PTUForImageClassification.from_pretrained(tmp_path / "half")
        assert content_hash(again) == content_hash(half)
        assert again.config.source_hash == content_hash(half.source.network)
        assert type(again.config.source_config) is type(source.config)


@pytest.mark.parametrize("include_source", [True, False])
def test_saving_changes_nothing_in_the_model(include_source, trained, tmp_path):
    config, weights = trained.config.to_dict(), content_hash(trained)
    trained.save_pretrained(tmp_path, include_source=include_source)
    assert trained.config.to_dict() == config and content_hash(trained) == weights
