"""Training translators: what is learned, kept and shown."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import BartConfig, BartForConditionalGeneration

from ptu_seq.methods.layers import Layer
from ptu_seq.methods.unfreezing import Stage, StagedUnfreezing
from ptu_seq.models import (
    PTUForConditionalGeneration,
    RNNForConditionalGeneration,
)
from ptu_seq.translation.evaluation import corpus_score
from ptu_seq.translation.inference import translate
from tests.unit.translation.copying import (
    examples,
    new_model,
    scripted,
    sentences,
    weights,
)


def test_learns_to_copy(fit, scores, tokenizers, tmp_path):
    texts = sentences(40, 2)
    trained, model = fit(
        examples(tokenizers, sentences(400, 1)),
        examples(tokenizers, texts),
        model=new_model(tokenizers, size=32),
        rate=0.02,
        metric="bleu",
        batch_tokens=256,
        min_steps=300,
        max_steps=300,
        evaluations=4,
        references=texts,
    )
    assert (trained.steps, len(scores)) == (300, 4)
    assert trained.validation_score >= max(scores) > 40
    translations = [t.text for t in translate(model, tokenizers, texts, beam_size=1)]
    assert corpus_score("bleu", translations, texts) == pytest.approx(trained.validation_score)
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").iterdir())
    assert model.generation_config.max_length is None  # evaluations leave no limit behind


def test_a_child_with_units_trains_and_its_parent_does_not(fit, tokenizers):
    parent = new_model(tokenizers)
    child = PTUForConditionalGeneration.from_source(parent, candidate="tanh")
    before = weights(child.source)
    trained, _ = fit(model=child, rate=0.05, min_steps=60, max_steps=60)
    assert trained.validation_score > 0
    assert torch.equal(weights(child.source), before)
    assert not torch.equal(weights(child.encoder), weights(parent.encoder))


def test_keeps_the_weights_of_the_first_best_score(fit, monkeypatch):
    seen = scripted(monkeypatch, [20, 90, 30, 90, 10])
    trained, model = fit(evaluations=5, average_checkpoints=1)
    assert trained.validation_score == 90
    assert [torch.equal(weights(model), taken) for taken in seen] == [False, True, *[False] * 3]


@pytest.mark.parametrize(("averages", "kept"), [(92, True), (90, True), (89.9, False)])
def test_the_average_of_the_best_is_kept_unless_it_is_worse(fit, monkeypatch, averages, kept):
    seen = scripted(monkeypatch, [20, 80, 90, 70, averages])
    trained, model = fit(evaluations=4, average_checkpoints=3)
    average = (seen[1] + seen[2] + seen[3]) / 3
    torch.testing.assert_close(seen[4], average)
    assert trained.validation_score == max(averages, 90)
    torch.testing.assert_close(weights(model), average if kept else seen[2])


@pytest.mark.parametrize("count", [1, 2])
def test_weights_that_slept_at_the_best_evaluation_come_back_too(
    fit, monkeypatch, tokenizers, count
):
    seen = scripted(monkeypatch, [90, 80, 30, 10, 95])
    model = new_model(tokenizers)
    before = weights(model.encoder)
    asleep = StagedUnfreezing([Stage(0.5, [Layer("encoder", list(model.encoder.parameters()))])])
    fit(model=model, callbacks=[asleep], evaluations=4, average_checkpoints=count, patience=4)
    kept = seen[0] if count == 1 else (seen[0] + seen[1]) / 2
    torch.testing.assert_close(weights(model), kept)
    assert torch.equal(weights(model.encoder), before)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_stops_when_the_score_no_longer_rises(fit, scores):
    trained, _ = fit(rate=0.0, patience=2, evaluations=6)
    assert len(set(scores)) == 1
    assert trained.steps == 2 * (1 + 2)


def test_any_encoder_decoder_of_transformers_can_be_trained(fit, tokenizers):
    config = BartConfig(
        vocab_size=len(tokenizers.source),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_position_embeddings=64,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
        decoder_start_token_id=2,
        forced_eos_token_id=None,
    )
    trained, _ = fit(model=BartForConditionalGeneration(config))
    assert trained.steps == 12


def test_the_seed_decides_the_weights(fit):
    first, again, other = (weights(fit(dropout=0.3, seed=seed)[1]) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_no_more_sentences_are_validated_than_asked_for(fit, monkeypatch):
    translated = []
    generate = RNNForConditionalGeneration.generate

    def spy(self: Any, *args: Any, **kwargs: Any) -> Any:
        translated.append(len(kwargs["input_ids"]))
        return generate(self, *args, **kwargs)

    monkeypatch.setattr(RNNForConditionalGeneration, "generate", spy)
    fit(validation_sentences=7, average_checkpoints=1)
    assert translated == [7] * 3


def test_references_are_compared_as_text(fit, tokenizers):
    texts = sentences(20, 2)
    validation = examples(tokenizers, texts)
    options = {"validation": validation, "rate": 0.05, "min_steps": 60, "max_steps": 60}
    decoded, _ = fit(**options)
    given, _ = fit(**options, references=texts)
    other, _ = fit(**options, references=["x y z"] * 20)
    assert decoded.validation_score == given.validation_score > other.validation_score == 0


def test_a_bar_shows_progress_if_wanted(fit, capsys):
    fit()
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""
    fit(progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "12/12" in captured.err
    assert "validation " in captured.err
