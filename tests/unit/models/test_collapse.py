"""A collapsed model has the logits of the whole one with the same pins, from fewer weights."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from ptu_seq.models import (
    CollapsedConfig,
    CollapsedPTUForSequenceClassification,
    PTUForSequenceClassification,
    RNNForSequenceClassification,
)
from ptu_seq.models.collapse import collapse, fold_embedding, units_by_place
from ptu_seq.unit import Pin
from tests.unit.models.collapsing import STATES, logits, parameters

Make = Callable[..., PTUForSequenceClassification]


@pytest.fixture
def make_model(make_source, perturb) -> Make:
    """Makes a model with units whose gates do something."""

    def make(other_sizes: bool = False, level: str = "layer", **fields: Any) -> Any:
        model = PTUForSequenceClassification.from_source(
            make_source(**fields),
            init="random",
            num_labels=3,
            level=level,
            candidate="tanh",
            target={"embedding_size": 8, "hidden_size": 7} if other_sizes else None,
        )
        perturb(model)
        return model.eval()

    return make


def pinned(model: PTUForSequenceClassification, states: Sequence[Pin | None]) -> Any:
    """The model with its units, from below, in these states."""
    for unit, state in zip(units_by_place(model).values(), states, strict=True):
        unit.pinned = state
    return model


@pytest.mark.parametrize("other_sizes", [False, True], ids=["like the source", "other sizes"])
@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({"num_hidden_layers": 1}, 64),
        ({"num_hidden_layers": 1, "rnn_type": "gru", "level": "step"}, 24),
        ({"num_hidden_layers": 2, "level": "step", "pooling": "last"}, 16),
        ({"num_hidden_layers": 3, "is_pair": True, "rnn_type": "gru"}, 16),
        ({"num_hidden_layers": 2, "bidirectional": True, "pooling": "attention"}, 16),
        ({"num_hidden_layers": 2, "bidirectional": True, "level": "step"}, 16),
    ],
)
def test_logits_are_those_of_the_pinned_model(fields, count, other_sizes, make_model, make_batch):
    model, batch = make_model(other_sizes, **fields), make_batch(fields.get("is_pair", False))
    patterns = list(itertools.product(STATES, repeat=len(units_by_place(model))))
    for states in random.Random(0).sample(patterns, count):
        small = collapse(pinned(model, states))
        assert torch.equal(logits(small, batch), logits(model, batch)), states
        assert parameters(small) < parameters(model)


@pytest.mark.parametrize(
    "states",
    [
        ("target", "target", "target", "target"),
        ("frozen", "target", "target", "target"),
        (None, "frozen", "target", "target"),
        (None, None, "frozen", "target"),
        (None, None, None, "frozen"),
    ],
)
def test_a_single_stack_of_layers_is_an_ordinary_classifier(states, make_model, make_batch):
    model = pinned(make_model(), states)
    small, batch = collapse(model), make_batch()
    assert type(small) is RNNForSequenceClassification
    assert torch.equal(logits(small, batch), logits(model, batch))
    other = collapse(pinned(make_model(other_sizes=True), states))
    # A projection is no layer of an ordinary classifier.
    frozen_below = "frozen" in states[:3]
    assert isinstance(other, CollapsedPTUForSequenceClassification) == frozen_below


#: Weights of the tiny network: token vectors, a layer, its classifier with 3 labels, a unit.
VECTORS, LAYER, HEAD = 30 * 6, 4 * 5 * (6 + 5 + 2), 3 * (5 + 1)
UPPER, UNIT_OF = 4 * 5 * (5 + 5 + 2), lambda n: 5 * n * n + 3 * n


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (("target", "target", "target", "target"), VECTORS + LAYER + UPPER + HEAD),
        # The source lends token vectors alone; then no layer of either network below the frozen one
        ((None, "target", "target", "target"), 2 * VECTORS + LAYER + UPPER + HEAD + UNIT_OF(6)),
        ((None, None, "adapted", "target"), VECTORS + LAYER + UPPER + (25 + 5) + HEAD),
        # The source is gone above its first layer.
        (
            ("target", "frozen", None, "target"),
            VECTORS + LAYER + UPPER + UPPER + UNIT_OF(5) + HEAD,
        ),
        ((None, None, None, "adapted"), VECTORS + LAYER + UPPER + HEAD + (9 + 3)),
    ],
)
def test_what_nothing_reads_is_gone(states, expected, make_model):
    assert parameters(collapse(pinned(make_model(), states))) == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    "states",
    [
        ("adapted", None, "target", "target"),
        (None, "frozen", None, None),
        (None, None, None, "adapted"),
        ("frozen", "target", "target", None),
    ],
)
def test_a_collapsed_model_is_saved_and_loaded_as_any(
    states, dtype, make_model, make_batch, tmp_path
):
    model = pinned(make_model(other_sizes=True).to(dtype), states)
    small, batch = collapse(model), make_batch()
    assert isinstance(small, CollapsedPTUForSequenceClassification) and small.dtype == dtype
    if dtype != torch.float64:
        assert torch.equal(logits(small, batch), logits(model, batch))
    small.save_pretrained(tmp_path)
    loaded, loading = AutoModelForSequenceClassification.from_pretrained(
        tmp_path, dtype=dtype, output_loading_info=True
    )
    assert type(loaded) is type(small) and not any(loading.values())
    assert torch.equal(logits(loaded, batch), logits(small, batch))
    assert parameters(loaded) == parameters(small)
    assert loaded.parts == small.parts
    trained = {n for n, p in loaded.named_parameters() if p.requires_grad}
    assert trained == {n for n, _ in loaded.named_parameters() if not n.startswith("source.")}


def test_units_that_are_left_have_gates_and_learn(make_model, make_batch):
    model = pinned(make_model(), ("target", "frozen", None, None))
    small, batch = collapse(model), make_batch()
    assert isinstance(small, CollapsedPTUForSequenceClassification)
    seen: dict[str, list[Any]] = {}
    for network in (model, small):
        network.gates(
            batch["input_ids"], lambda site, gates: seen.setdefault(site, []).append(gates)
        )
    assert set(seen) == {"embedding", "layer0.forward", "layer1.forward", "classifier"}
    assert len(seen["embedding"]) == 1  # below a frozen layer nothing is read
    for site in ("layer0.forward", "layer1.forward", "classifier"):
        whole, left = seen[site]
        assert torch.equal(whole.update, left.update)
        assert torch.equal(whole.fine_tune, left.fine_tune)
    small.train()(**batch, labels=torch.tensor([0, 1, 2, 0])).loss.backward()
    learned = {name for name, p in small.named_parameters() if p.grad is not None}
    assert learned == {name for name, p in small.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("state", STATES)
def test_gated_token_vectors_fit_into_a_table(state, make_model, make_batch):
    model, batch = make_model(other_sizes=True), make_batch()
    batch["input_ids"][-1] = 0  # a sentence without tokens: padding's vector is the target's
    batch["attention_mask"][-1] = 0
    with torch.no_grad():
        model.embedding.target.weight[0] = 1
    model = pinned(model, (state, "target", "target", "target"))
    before = logits(model, batch)
    small = collapse(fold_embedding(model))
    assert type(small) is RNNForSequenceClassification
    torch.testing.assert_close(logits(small, batch), before, atol=1e-6, rtol=1e-5)
    assert torch.equal(logits(model, batch), before)


@pytest.mark.parametrize("fields", [{}, {"rnn_type": "gru", "bidirectional": True}])
def test_gates_have_the_same_tokens(fields, make_model, make_batch):
    model, batch = make_model(num_hidden_layers=2, **fields), make_batch()
    states: list[Pin | None] = ["adapted", "target", None, None, "frozen", None]
    networks: list[Any] = [pinned(model, states[: len(units_by_place(model))]), collapse(model)]
    told: list[dict[str, Any]] = []
    for network in networks:
        told.append({})
        network.token_gates(
            **batch, on_gates=lambda site, gates, tokens: told[-1].update({site: (gates, tokens)})
        )
    whole, small = told
    assert len(small) > 2
    for site, (gates, tokens) in small.items():
        assert (tokens is None) == (site == "classifier")
        torch.testing.assert_close((gates, tokens), whole[site])


def test_the_model_is_left_as_it_is(make_model, make_batch):
    model, batch = make_model(), make_batch()
    before = logits(model, batch)
    small = collapse(model.pin("target"))
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.zero_()
    draw = torch.get_rng_state()
    collapse(model)
    assert torch.equal(torch.get_rng_state(), draw)
    assert torch.equal(logits(model.unpin(), batch), before)


def test_a_unit_unpinned_at_a_site_that_was_left_out(make_source, make_batch, perturb):
    model = PTUForSequenceClassification.from_source(
        make_source(), init="random", sites=["classifier"]
    )
    perturb(model)
    units_by_place(model.eval())["layer0.forward"].unpin()
    small, batch = collapse(model), make_batch()
    assert torch.equal(logits(small, batch), logits(model, batch))


def test_what_is_gone_cannot_be_asked_for(make_model, make_source, make_batch, tmp_path):
    small = collapse(pinned(make_model(), ("frozen", None, "target", None)))
    assert isinstance(small, CollapsedPTUForSequenceClassification)
    with pytest.raises(ValueError, match="collapsed while pinned to 'frozen'"):
        small.pin("target")
    assert small.unpin() is small
    with pytest.raises(ValueError, match="collapsed already"):
        collapse(small)
    with pytest.raises(ValueError, match="layers of its source that lie nowhere else"):
        small.save_pretrained(tmp_path, include_source=False)
    small.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds its source: pass none"):
        CollapsedPTUForSequenceClassification.from_pretrained(tmp_path, source=make_source())
    with pytest.raises(TypeError, match="collapse"):
        CollapsedPTUForSequenceClassification.from_source(make_source())
    hidden = torch.zeros(4, 9, 10)
    with pytest.raises(ValueError, match="runs its source"):
        small(**make_batch(), source_hidden=hidden, source_pooled=hidden[:, 0, :5])


@pytest.mark.parametrize("pinned_", [{"layer7.forward": "target"}, {"embedding": "shut"}])
def test_a_place_or_state_that_does_not_exist_is_refused(pinned_, make_model):
    fields = make_model().config.to_dict()
    del fields["model_type"]
    with pytest.raises(ValueError, match="accepted are"):
        CollapsedConfig(**fields, pinned=pinned_)
