"""Saving and loading: self-contained or without the source, by transformers' own means."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForSequenceClassification

from ptu_seq.models import PTUConfig, PTUForSequenceClassification, RNNForSequenceClassification
from ptu_seq.source import content_hash


@pytest.fixture
def model(make_source, perturb) -> PTUForSequenceClassification:
    """A model whose networks differ in all they may; its units at only two sites."""
    model = PTUForSequenceClassification.from_source(
        make_source(),
        init="random",
        target={"embedding_size": 8, "hidden_size": 7, "pooling": "attention"},
        id2label={0: "cold", 1: "mild", 2: "hot"},
        sites=["embedding", "rnn"],
    )
    perturb(model)
    return model.eval()


@pytest.fixture
def source(model, tmp_path) -> Path:
    """The folder of its source."""
    model.source.network.save_pretrained(tmp_path / "source")
    return tmp_path / "source"


@pytest.fixture
def bare(model, tmp_path) -> Path:
    """The folder of the model without its source."""
    model.save_pretrained(tmp_path / "bare", include_source=False)
    return tmp_path / "bare"


def weights_in(folder: Path) -> set[str]:
    return set(load_file(folder / "model.safetensors"))


@pytest.mark.parametrize("loader", [None, AutoModelForSequenceClassification], ids=["own", "auto"])
def test_reloaded_logits_are_the_same(
    loader, rnn_type, level, bidirectional, is_pair, make_source, make_batch, perturb, tmp_path
):
    source = make_source(rnn_type=rnn_type, bidirectional=bidirectional, is_pair=is_pair)
    model = PTUForSequenceClassification.from_source(source, level=level).eval()
    perturb(model)
    batch = make_batch(is_pair)
    for saved in (source, model):
        saved.save_pretrained(tmp_path)
        loaded = (loader or type(saved)).from_pretrained(tmp_path)
        assert type(loaded) is type(saved) and not loaded.training
        assert torch.equal(loaded(**batch).logits, saved(**batch).logits)


def test_the_configuration_survives(model, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(loaded, PTUConfig)
    ignored = ("_name_or_path", "architectures", "dtype", "transformers_version")
    ours, theirs = (
        {name: value for name, value in config.to_dict().items() if name not in ignored}
        for config in (model.config, loaded)
    )
    assert ours == theirs
    assert loaded.id2label == {0: "cold", 1: "mild", 2: "hot"}
    assert loaded.label2id == {"cold": 0, "mild": 1, "hot": 2}
    assert loaded.source_config.id2label == {0: "negative", 1: "positive"}
    assert loaded.target_config.hidden_size == 7


def test_a_loaded_model_is_frozen_where_it_was(model, source, bare, tmp_path):
    model.save_pretrained(tmp_path / "full")
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained and not any(name.startswith("source.") for name in trained)
    for loaded in (
        PTUForSequenceClassification.from_pretrained(tmp_path / "full"),
        PTUForSequenceClassification.from_pretrained(bare, source=source),
    ):
        assert {name for name, p in loaded.named_parameters() if p.requires_grad} == trained
        assert [unit.pinned for _, unit in loaded.units()] == [None, None, None, "target"]
        assert not loaded.train().source.network.training


@pytest.mark.parametrize("given", ["network", "folder", "name"])
@pytest.mark.parametrize(
    "loader",
    [PTUForSequenceClassification, AutoModelForSequenceClassification],
    ids=["own", "auto"],
)
def test_without_its_source_a_model_asks_for_it(
    loader, given, model, source, bare, make_batch, perturb
):
    assert not any(name.startswith("source.") for name in weights_in(bare))
    assert "source_classifier.weight" in weights_in(bare)
    with pytest.raises(ValueError, match=r"bare was saved without its source .*source=") as error:
        loader.from_pretrained(bare)
    assert "\n" not in str(error.value)

    wanted = {"network": model.source.network, "folder": source, "name": str(source)}[given]
    loaded = loader.from_pretrained(bare, source=wanted)
    batch = make_batch()
    assert torch.equal(loaded(**batch).logits, model(**batch).logits)
    assert torch.equal(loaded.pin("frozen")(**batch).logits, model.pin("frozen")(**batch).logits)


def test_another_source_is_refused(model, bare, make_source, tmp_path):
    model.save_pretrained(tmp_path / "full")
    other = make_source()
    with torch.no_grad():
        other.load_state_dict(model.source.network.state_dict())
        other.rnn.weight_hh_l0[0, 0] += 1e-3
    for folder in (bare, tmp_path / "full"):
        with pytest.raises(ValueError, match="content hash") as error:
            PTUForSequenceClassification.from_pretrained(folder, source=other)
        for network in (model.source.network, other):
            assert content_hash(network) in str(error.value)
    with pytest.raises(ValueError, match="content hash"):
        PTUForSequenceClassification.from_pretrained(bare, source=make_source(hidden_size=4))


@pytest.mark.parametrize("harm", ["change", "loss"])
def test_a_damaged_source_is_noticed(harm, model, tmp_path):
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    if harm == "change":
        weights["source.network.embedding.weight"][3, 1] += 1
    else:
        weights = {name: w for name, w in weights.items() if not name.startswith("source.")}
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="content hash"):
        PTUForSequenceClassification.from_pretrained(tmp_path)


def test_leaving_the_source_out_once_is_not_for_good(model, source, bare, tmp_path, make_batch):
    loaded = PTUForSequenceClassification.from_pretrained(bare, source=source)
    batch = make_batch()
    for i, saved in enumerate((model, loaded)):
        saved.save_pretrained(tmp_path / str(i))
        again = PTUForSequenceClassification.from_pretrained(tmp_path / str(i))
        assert torch.equal(again(**batch).logits, model(**batch).logits)


def test_a_given_state_dict_is_what_is_saved(model, source, tmp_path):
    """As Trainer saves checkpoints."""
    state = {name: torch.full_like(w, 0.5) for name, w in model.state_dict().items()}
    model.save_pretrained(tmp_path / "given", include_source=False, state_dict=state)
    assert weights_in(tmp_path / "given") == {n for n in state if not n.startswith("source.")}
    loaded = PTUForSequenceClassification.from_pretrained(tmp_path / "given", source=source)
    assert (loaded.classifier.weight == 0.5).all()


def test_loading_options_of_transformers(model, source, bare):
    both: Any = PTUForSequenceClassification.from_pretrained(
        bare, source=source, output_loading_info=True, use_safetensors=True
    )
    loaded, report = both
    assert content_hash(loaded) == content_hash(model)
    assert not any(report.values())


def test_models_in_another_precision(model, source, bare, tmp_path, make_batch):
    model.save_pretrained(tmp_path / "full")
    loads = [(tmp_path / "full", None), (bare, source)]
    for folder, given in loads:
        half = PTUForSequenceClassification.from_pretrained(
            folder, source=given, dtype=torch.bfloat16
        )
        assert half.dtype == half.source.network.dtype == torch.bfloat16
        assert half(**make_batch()).logits.isfinite().all()
        # Cast weights have another hash, and are recorded with it where they are saved.
        half.save_pretrained(tmp_path / "half")
        again = PTUForSequenceClassification.from_pretrained(tmp_path / "half")
        assert content_hash(again) == content_hash(half)
        assert again.config.source_hash == content_hash(half.source.network)
        PTUForSequenceClassification.from_pretrained(tmp_path / "half", dtype=torch.float32)
        # Left out, the source is still the one that the model was trained with.
        half.save_pretrained(tmp_path / "bare half", include_source=False)
        again = PTUForSequenceClassification.from_pretrained(tmp_path / "bare half", source=source)
        assert content_hash(again) == content_hash(half)


@pytest.mark.parametrize("size", [63, 64, 65])
def test_logits_do_not_depend_on_where_a_file_holds_weights(
    size, make_source, make_batch, tmp_path
):
    network = make_source(bidirectional=True, embedding_size=size, hidden_size=size, is_pair=True)
    network.save_pretrained(tmp_path)
    loaded = RNNForSequenceClassification.from_pretrained(tmp_path)
    for _ in range(5):
        batch = make_batch(True)
        assert torch.equal(loaded(**batch).logits, network(**batch).logits)


@pytest.mark.parametrize("include_source", [True, False])
def test_saving_changes_nothing_in_the_model(include_source, model, tmp_path):
    config, weights = model.config.to_dict(), content_hash(model)
    model.save_pretrained(tmp_path, include_source=include_source)
    assert model.config.to_dict() == config and content_hash(model) == weights


def test_no_two_weights_share_memory(make_source):
    source = make_source()
    model = PTUForSequenceClassification.from_source(source)
    tensors = [*model.state_dict().values(), *source.state_dict().values()]
    places = {tensor.untyped_storage().data_ptr() for tensor in tensors}
    # The weights of an LSTM may lie in one storage of its own.
    assert {t.data_ptr() for t in tensors} >= places and len(
        {t.data_ptr() for t in tensors}
    ) == len(tensors)
    before = content_hash(source)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert content_hash(source) == before


def test_making_a_model_leaves_its_source_alone(make_source):
    source = make_source().train()
    before = content_hash(source)
    PTUForSequenceClassification.from_source(source)
    assert content_hash(source) == before and source.training
    assert all(p.requires_grad for p in source.parameters())


def test_copies_are_independent(model, make_batch):
    twin, batch = copy.deepcopy(model), make_batch()
    expected = model(**batch).logits
    assert torch.equal(twin(**batch).logits, expected)
    assert not any(p.requires_grad for p in twin.source.parameters())
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    twin.pin("frozen")
    assert torch.equal(model(**batch).logits, expected)


def test_pickles_are_not_read(make_source, tmp_path):
    network = make_source()
    network.config.save_pretrained(tmp_path)
    torch.save(network.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        RNNForSequenceClassification.from_pretrained(tmp_path)
