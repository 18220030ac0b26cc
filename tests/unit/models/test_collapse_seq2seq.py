"""A collapsed translator has the logits of the whole one with the same pins, from fewer weights."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM

from ptu_seq.models import (
    CollapsedPTUForConditionalGeneration,
    CollapsedSeq2SeqConfig,
    CrossStitchForConditionalGeneration,
    PTUForConditionalGeneration,
    RNNForConditionalGeneration,
)
from ptu_seq.models.collapse_seq2seq import can_fold, collapse_translator, fold_embeddings
from ptu_seq.models.collapsed_seq2seq import units_by_place
from ptu_seq.models.seq2seq_parts import places_by_part
from ptu_seq.unit import Pin
from tests.unit.models.collapsing import STATES, logits, parameters

SHAPES: dict[str, dict[str, Any]] = {
    "lstm": {},
    "gru": {"rnn_type": "gru"},
    "input feeding": {"input_feeding": True, "attention": "bahdanau"},
    "step": {"level": "step", "num_encoder_layers": 1},
    "no bridge": {"bridge": "zero", "num_decoder_layers": 1},
    "copied": {"bridge": "copy", "attention": "luong_dot", "tie_embeddings": "none"},
    "copied gru": {"bridge": "copy", "rnn_type": "gru", "num_decoder_layers": 3},
    "joint": {"tie_embeddings": "all", "embedding_size": 8},
    "joint, projected": {"tie_embeddings": "all", "num_encoder_layers": 3},
}
Make = Callable[..., PTUForConditionalGeneration]


@pytest.fixture
def make_model(make_parent, perturb) -> Make:
    """Makes a translator whose units do something."""

    def make(level: str = "layer", target: dict[str, Any] | None = None, **fields: Any) -> Any:
        model = PTUForConditionalGeneration.from_source(
            make_parent(**fields),
            init="random",
            source_input="target",
            candidate="tanh",
            gate_dropout=0.5,
            level=level,
            target=target,
        )
        model.encoder_mapping[5:8] = model.decoder_mapping[6:9] = -1
        perturb(model)
        return model.eval()

    return make


def pinned(model: PTUForConditionalGeneration, states: Mapping[str, Pin | None]) -> Any:
    """The model with the units of its parts in these states, those of others gated."""
    units = units_by_place(model)
    for part, places in places_by_part(model.target_config).items():
        for place in places:
            units[place].pinned = states.get(part)
    return model


@pytest.mark.parametrize("shape", SHAPES)
def test_logits_and_translations_are_those_of_the_pinned_model(
    shape, make_model, make_translations
):
    model, batch = make_model(**SHAPES[shape]), make_translations()
    parts, draw = list(places_by_part(model.target_config)), random.Random(0)
    patterns = [dict.fromkeys(parts, state) for state in STATES]
    for count in (2, 2, 3, 4) * 5:  # where all four are mixed, few layers are one network's alone
        some = draw.sample(STATES, count)
        patterns.append({part: draw.choice(some) for part in parts})
    sentences = {name: batch[name] for name in ("input_ids", "attention_mask")}
    search = {"num_beams": 3, "num_return_sequences": 2, "max_new_tokens": 6}
    for number, states in enumerate(patterns):
        small = collapse_translator(pinned(model, states))
        assert torch.equal(logits(small, batch), logits(model, batch)), states
        if states["output"] in ("target", "frozen"):
            assert parameters(small) < parameters(model)
        if number % 5 == 0:
            written = (network.generate(**sentences, **search) for network in (small, model))
            assert torch.equal(*written), states


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("state", ["target", "frozen"])
def test_one_network_is_an_ordinary_translator(shape, state, make_model, make_translations):
    model = make_model(**SHAPES[shape])
    pinned(model, dict.fromkeys(places_by_part(model.target_config), state))
    batch, before = make_translations(), {}
    if state == "frozen":
        child = model.target_config
        before["logits"] = logits(model, batch)
        model = fold_embeddings(model, [s for s in ("encoder", "decoder") if can_fold(child, s)])
    small = collapse_translator(model)
    if state == "frozen" and not can_fold(model.target_config, "decoder"):
        assert type(small) is CollapsedPTUForConditionalGeneration
        assert len(units_by_place(small)) == 1
    else:
        assert type(small) is RNNForConditionalGeneration
    expected = before.get("logits", logits(model, batch))
    torch.testing.assert_close(logits(small, batch), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("rnn_type", ["lstm", "gru"])
def test_each_part_may_be_of_either_network(rnn_type, make_model, make_translations):
    """A single stack of layers, of which some are the parent's and some the child's."""
    model, batch = make_model(rnn_type=rnn_type), make_translations()
    states: dict[str, Pin | None] = dict.fromkeys(places_by_part(model.target_config), "target")
    states |= {"encoder.layer1": "frozen", "decoder.layer1": "frozen", "attention": "frozen"}
    small = collapse_translator(pinned(model, states))
    assert type(small) is RNNForConditionalGeneration
    assert torch.equal(logits(small, batch), logits(model, batch))
    parent, weights = model.source.network.state_dict(), small.state_dict()
    for module in ("layers.1", "bridge.layers.1", "attention"):
        own = [name for name in weights if name.startswith(f"decoder.{module}.")]
        assert own and all(torch.equal(weights[name], parent[name]) for name in own)
    states["decoder.layer1"] = "target"
    mixed = collapse_translator(pinned(model, states))
    # The child's decoder begins from its encoder's cell state, of which a GRU has none.
    assert (type(mixed) is RNNForConditionalGeneration) == (rnn_type == "gru")
    assert torch.equal(logits(mixed, batch), logits(model, batch))


@pytest.mark.parametrize(
    ("parent", "target"),
    [
        ({}, {"bridge": "zero"}),
        ({"bridge": "zero"}, {"bridge": "linear"}),
        ({"bridge": "copy", "rnn_type": "gru"}, {"bridge": "zero"}),
        ({}, {"attention": "bahdanau"}),
    ],
)
def test_networks_of_different_kinds(parent, target, make_model, make_translations):
    model, batch = make_model(target=target, **parent), make_translations()
    parts, draw = list(places_by_part(model.target_config)), random.Random(0)
    for count in (1, 2, 2, 3, 4) * 6:
        some = draw.sample(STATES, count)
        small = collapse_translator(pinned(model, {part: draw.choice(some) for part in parts}))
        assert torch.equal(logits(small, batch), logits(model, batch))


def test_a_unit_unpinned_at_a_site_that_was_left_out(make_parent, make_translations, perturb):
    model = PTUForConditionalGeneration.from_source(
        make_parent(), init="random", source_input="target", sites=["output"]
    )
    perturb(model)
    units_by_place(model.eval())["attention"].unpin()
    small, batch = collapse_translator(model), make_translations()
    assert torch.equal(logits(small, batch), logits(model, batch))


def test_gates_of_an_attention_without_weights(make_model, make_translations, tmp_path):
    model, batch = make_model(attention="luong_dot"), make_translations()
    states: dict[str, Pin | None] = dict.fromkeys(places_by_part(model.target_config), "target")
    small = collapse_translator(pinned(model, {**states, "attention": None}))
    small.save_pretrained(tmp_path)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    assert torch.equal(logits(loaded, batch), logits(model, batch))


def test_what_nothing_reads_is_gone(make_model):
    model = make_model(tie_embeddings="none")
    # Gates everywhere: all is read but the parent's output layer.
    assert parameters(model) - parameters(collapse_translator(model)) == 30 * 8
    states: dict[str, Pin | None] = {"output": "target", "attention": "frozen"}
    small = collapse_translator(pinned(model, states))
    combine, unit, general = 16 * 8, 5 * 64 + 3 * 8, 64
    assert parameters(model) - parameters(small) == 30 * 8 + combine + general + 2 * unit


@pytest.mark.parametrize("shape", ["lstm", "copied gru", "joint", "joint, projected"])
@pytest.mark.parametrize("sides", [("encoder",), ("decoder",), ("encoder", "decoder")])
def test_gated_token_vectors_fit_into_a_table(shape, sides, make_model, make_translations):
    model, batch = make_model(**SHAPES[shape]), make_translations()
    before = logits(model, batch)
    if not all(can_fold(model.target_config, side) for side in sides):
        with pytest.raises(ValueError, match=r"decoder's token vectors have 6 features.*state 8"):
            fold_embeddings(model, sides)
        return
    folded = fold_embeddings(model, sides)
    for network in (folded, collapse_translator(folded)):
        torch.testing.assert_close(logits(network, batch), before, atol=1e-6, rtol=1e-5)
    assert torch.equal(logits(model, batch), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_collapsed_model_is_saved_and_loaded_as_any(
    shape, dtype, make_model, make_translations, tmp_path
):
    model, batch = make_model(**SHAPES[shape]).to(dtype), make_translations()
    states: dict[str, Pin | None] = {"decoder.layer0": "target", "output": "adapted"}
    small: Any = collapse_translator(pinned(model, states))
    small.save_pretrained(tmp_path)
    loaded, loading = AutoModelForSeq2SeqLM.from_pretrained(
        tmp_path, dtype=dtype, output_loading_info=True
    )
    assert type(loaded) is CollapsedPTUForConditionalGeneration and not any(loading.values())
    assert torch.equal(logits(loaded, batch), logits(small, batch))
    assert parameters(loaded) == parameters(small)
    assert loaded.parts == small.parts
    pins = {place: unit.pinned for place, unit in units_by_place(loaded).items()}
    assert pins == {place: unit.pinned for place, unit in units_by_place(small).items()}
    assert pins["output"] == "adapted" and "decoder.layer0" not in pins
    frozen = {n for n, p in loaded.named_parameters() if not p.requires_grad}
    assert frozen == {n for n, _ in loaded.named_parameters() if n.startswith("source.")}


def test_units_that_are_left_have_gates_and_learn(make_model, make_translations):
    states: dict[str, Pin | None] = {"decoder.layer0": "target", "attention": "frozen"}
    model, batch = pinned(make_model(), states), make_translations()
    small = collapse_translator(model)
    assert isinstance(small, CollapsedPTUForConditionalGeneration)
    told: list[dict[str, Any]] = []
    for network in (model, small):
        told.append({})
        network.token_gates(
            batch["input_ids"],
            lambda site, gates, tokens: told[-1].update({site: (gates, tokens)}),
            labels=batch["labels"],
        )
    whole, left = told
    assert whole.keys() - left.keys() == {"decoder.layer0", "attention"}
    for site, found in left.items():
        torch.testing.assert_close(found, whole[site], rtol=0, atol=0)
    small.train()(**batch).loss.backward()
    learned = {name for name, p in small.named_parameters() if p.grad is not None}
    assert learned == {name for name, p in small.named_parameters() if p.requires_grad}


def test_the_model_is_left_as_it_is(make_model, make_translations):
    model, batch = make_model(), make_translations()
    before, draw = logits(model, batch), torch.get_rng_state()
    small = collapse_translator(fold_embeddings(model, ["encoder"]).pin("target"))
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.zero_()
    assert torch.equal(torch.get_rng_state(), draw)
    assert torch.equal(logits(model, batch), before)


def test_what_is_gone_cannot_be_asked_for(make_model, make_parent, tmp_path):
    small: Any = collapse_translator(pinned(make_model(), {"output": "target"}))
    with pytest.raises(ValueError, match="collapsed already"):
        collapse_translator(small)
    with pytest.raises(ValueError, match="layers of its source that lie nowhere else"):
        small.save_pretrained(tmp_path, include_source=False)
    small.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds its source: pass none"):
        CollapsedPTUForConditionalGeneration.from_pretrained(tmp_path, source=make_parent())
    with pytest.raises(TypeError, match=r"collapse_translator\(model\) from a trained PTUForCond"):
        CollapsedPTUForConditionalGeneration.from_source(make_parent())
    own = PTUForConditionalGeneration.from_source(make_parent(), source_input="own")
    with pytest.raises(ValueError, match="parent reads its own activations"):
        collapse_translator(own)
    with pytest.raises(ValueError, match="collapsed already"):
        fold_embeddings(small, ["encoder"])
    stitched: Any = CrossStitchForConditionalGeneration.from_source(make_parent())
    with pytest.raises(ValueError, match="has no gates"):
        collapse_translator(stitched)


@pytest.mark.parametrize(
    "change",
    [{"pinned": {"encoder.layer7.forward": "target"}}, {"pinned": {"output": "shut"}}]
    + [{"source_input": "own"}],
)
def test_a_place_or_state_that_does_not_exist_is_refused(change, make_model):
    fields = make_model().config.to_dict()
    del fields["model_type"]
    with pytest.raises(ValueError, match="accepted"):
        CollapsedSeq2SeqConfig(**fields | change)
