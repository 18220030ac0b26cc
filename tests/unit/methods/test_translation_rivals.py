"""What tells the rivals of translation from fine-tuning: which layers learn, when, how fast."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import yaml

from ptu_seq.methods.translation import TranslationTask, get_translation_method
from ptu_seq.methods.translation.layers import layers
from ptu_seq.models import RNNForConditionalGeneration
from ptu_seq.models.dropout import EmbeddingDropout, SequenceDropout
from ptu_seq.models.seq2seq_config import Seq2SeqSite
from ptu_seq.source import content_hash
from ptu_seq.translation.inference import translate
from ptu_seq.translation.options import TranslationTrainingOptions
from tests.unit.translation_family import (
    BETWEEN,
    DROPS,
    STEPS,
    batch_of,
    make_parent,
    sentences,
    train,
)

PRESETS = sorted((Path(__file__).parents[3] / "recipes" / "configs").glob("low_resource_mt_*.yaml"))
RIVALS = ["linear_probe", "lp_ft", "gradual_unfreezing", "layer_search"]


@pytest.mark.parametrize(
    "fields",
    [
        {"tie_embeddings": "none"},
        {"tie_embeddings": "decoder", "attention": "bahdanau", "rnn_type": "gru"},
        {"tie_embeddings": "all", "vocab_size": 22, "bridge": "copy", "num_encoder_layers": 3},
        {"embedding_size": 8, "attention": "luong_dot", "num_decoder_layers": 1},
    ],
)
def test_every_weight_and_every_dropout_is_in_one_layer(fields):
    model = make_parent(**fields)
    found = layers(model)
    config = model.config
    assert len(found) == config.num_encoder_layers + config.num_decoder_layers + 3
    weights = [p for layer in found for p in layer.parameters]
    assert len(weights) == len({id(p) for p in weights}) == len(list(model.parameters()))
    modules = [id(module) for layer in found for module in layer.modules]
    inner = {id(m.features) for m in model.modules() if isinstance(m, EmbeddingDropout)}
    drops = (EmbeddingDropout, SequenceDropout)
    wanted = [id(m) for m in model.modules() if isinstance(m, drops) and id(m) not in inner]
    assert sorted(modules) == sorted(wanted)


@pytest.mark.parametrize("name", RIVALS)
def test_rivals_train_translate_and_come_back_from_disk(name, family, tmp_path):
    setting = dict(get_translation_method(name).grid[0])
    if name == "layer_search":
        setting |= {"frozen": 1, "tuned": 3}
    before = content_hash(family.parent)
    model, _, trained, start = train(name, family, setting, tmp_path / "a", steps=3)
    again, _, trained_again, _ = train(name, family, setting, tmp_path / "b", steps=3)
    assert content_hash(family.parent) == before
    assert (trained.validation_score, trained.steps) == (
        trained_again.validation_score,
        trained_again.steps,
    )
    for key, weight in model.state_dict().items():
        assert torch.equal(weight, again.state_dict()[key]), key
    words = "encoder.embedding.weight"
    assert not torch.equal(model.state_dict()[words], start[words])
    model.save_pretrained(tmp_path / "model")
    loaded = RNNForConditionalGeneration.from_pretrained(tmp_path / "model")
    texts = sentences(family.words, 4, 3)
    ours, theirs = (
        [t.text for t in translate(m, family.tokenizers, texts, beam_size=2)]
        for m in (model, loaded)
    )
    assert ours == theirs


STAGED: dict[str, tuple[dict[str, float], list[list[str]]]] = {
    "lp_ft": ({"probe_share": 0.5}, [[]] * 5 + [BETWEEN] * 5),
    "gradual_unfreezing": (
        {"unfreeze_share": 1.0},  # five layers over ten steps
        [BETWEEN[: i // 2] for i in range(STEPS)],
    ),
}


@pytest.mark.parametrize("name", STAGED)
def test_layers_between_the_words_sleep_until_their_stage(name, family, tmp_path):
    shares, between = STAGED[name]
    setting = {**get_translation_method(name).grid[0], **shares, **DROPS}
    model, watch, _, start = train(name, family, setting, tmp_path)
    # A table that both languages share is of the source's words; the projection is not.
    assert watch.awake == [["source words", *stage, "target words"] for stage in between]
    assert watch.dropped[0] == {"source words", "target words"}
    names = {id(p): key for key, p in model.named_parameters()}
    for layer in layers(model)[1:-1]:
        first = next((i for i, stage in enumerate(between) if layer.name in stage), STEPS)
        for step, weights in enumerate(watch.weights):
            for parameter in layer.parameters:
                key = names[id(parameter)]
                # What is noted at a step is from before its update.
                assert torch.equal(weights[key], start[key]) == (step <= first), (step, key)
            assert (layer.name in watch.dropped[step]) == (bool(layer.modules) and step >= first)
    assert all(p.requires_grad for p in model.parameters())
    assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("name", ["lp_ft", "gradual_unfreezing"])
def test_all_layers_are_awake_before_early_stopping_can_end_training(name):
    defaults = TranslationTrainingOptions()
    earliest = [defaults.patience / defaults.evaluations]
    for preset in PRESETS:
        given = yaml.safe_load(preset.read_text())
        options = TranslationTrainingOptions(
            **{k: v for k, v in given.items() if k in ("patience", "evaluations")}
        )
        earliest.append(options.patience / options.evaluations)
    assert len(earliest) == 4
    for setting in get_translation_method(name).grid:
        share = setting.get("probe_share", setting.get("unfreeze_share"))
        assert 0 < share < min(earliest)


def test_rates_fall_from_the_sources_words_to_the_targets():
    method, setting = get_translation_method("gradual_unfreezing"), {"learning_rate": 0.5}
    setting |= {"rate_decay": 2.0, "unfreeze_share": 0.2}
    model = method.build(make_parent(), TranslationTask(20, 22), setting)
    groups = method.parameter_groups(model, setting)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    for distance, layer in enumerate(layers(model)):
        assert {rates[id(p)] for p in layer.parameters} == {0.5 / 2**distance}


@pytest.mark.parametrize("size", [6, 8])
@pytest.mark.parametrize("tying", ["none", "decoder", "all"])
def test_a_probe_begins_as_the_parent_and_learns_words_alone(tying, size, tmp_path):
    parent = make_parent(vocab_size=22, tie_embeddings=tying, embedding_size=size, **DROPS)
    method = get_translation_method("linear_probe")
    setting = method.grid[0]
    model: Any = method.build(parent, TranslationTask(22, 22), setting).train()
    batch = batch_of(22)
    # In training mode: nothing drops out.
    torch.testing.assert_close(model(**batch).logits, parent(**batch).logits)
    start = {key: p.detach().clone() for key, p in model.named_parameters()}
    optimizer = torch.optim.AdamW(method.parameter_groups(model, setting), weight_decay=0.1)
    for _ in range(3):
        model(**batch).loss.backward()
        optimizer.step()
    moved = {key for key, p in model.named_parameters() if not torch.equal(p, start[key])}
    assert moved == {"encoder.embedding.weight", "decoder.output.weight"}


@pytest.mark.parametrize("frozen", [1, 2])
@pytest.mark.parametrize("name", ["linear_probe", "layer_search"])
def test_target_words_that_the_parent_lacks_learn(name, frozen):
    known = torch.tensor([*range(22), -1, -1])
    task = TranslationTask(20, 24, decoder_mapping=known)
    method = get_translation_method(name)
    setting = {**method.grid[0], "frozen": frozen, "tuned": 6 - frozen}
    torch.manual_seed(0)
    model: Any = method.build(make_parent(tie_embeddings="none"), task, setting)
    start = model.decoder.embedding.weight.detach().clone()
    batch = batch_of(24)
    batch["labels"][:, 0] = 23
    optimizer = torch.optim.AdamW(method.parameter_groups(model, setting), weight_decay=0.1)
    for _ in range(3):
        model.train()(**batch).loss.backward()
        optimizer.step()
    now = model.decoder.embedding.weight.detach()
    assert torch.equal(now[:22], start[:22])
    assert not torch.equal(now[23], start[23])


@pytest.mark.parametrize("source_input", ["own", "target"])
def test_cross_stitch_reads_as_ptu_does_and_side_tuning_the_tokens(source_input):
    task = TranslationTask(20, 22, unit_options={"source_input": source_input, "level": "step"})
    parent = make_parent(vocab_size=20, decoder_vocab_size=22)
    built: list[Any] = [
        method.build(parent, task, method.grid[0])
        for method in map(get_translation_method, ("cross_stitch", "side_tuning"))
    ]
    stitched, side = built
    assert stitched.config.source_input == source_input
    assert side.config.source_input == "own"
    assert {site for site, unit in stitched.units() if unit.pinned is None} == set(
        get_args(Seq2SeqSite)
    )
    assert [site for site, unit in side.units() if unit.pinned is None] == ["output"]


def test_side_tuning_starts_as_the_mean_of_parent_and_child():
    parent = make_parent(vocab_size=20, decoder_vocab_size=22)
    method = get_translation_method("side_tuning")
    model: Any = method.build(parent, TranslationTask(20, 22), method.grid[0]).eval()
    for weight in model.decoder.combine.parameters():
        torch.nn.init.normal_(weight)  # a child that has learned
    tokens, labels = torch.randint(4, 20, (3, 5)), torch.randint(4, 22, (3, 4))
    written = parent.prepare_decoder_input_ids_from_labels(labels)
    vectors = []
    for pin in ("target", "frozen"):
        model.unpin()
        dict(model.units())["output"].pin(pin)
        vectors.append(model.decode(written, model.encode(tokens))[0].vector)
    model.unpin()
    mixed = model.decode(written, model.encode(tokens))[0].vector
    torch.testing.assert_close(mixed, (vectors[0] + vectors[1]) / 2)
    assert not torch.allclose(vectors[0], vectors[1])


def test_units_of_constants_have_a_rate_of_their_own():
    parent = make_parent(vocab_size=20, decoder_vocab_size=22)
    method = get_translation_method("cross_stitch")
    model: Any = method.build(parent, TranslationTask(20, 22), method.grid[1])
    units = {id(p) for _, unit in model.units() for p in unit.parameters()}
    rates = {
        group["lr"]
        for group in method.parameter_groups(model, method.grid[1])
        if units & {id(p) for p in group["params"]}
    }
    assert rates == {method.grid[1]["unit_learning_rate"]}
