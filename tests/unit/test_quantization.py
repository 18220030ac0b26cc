"""Translators in int8: nearly the same numbers, from a model that is left as it is."""

from __future__ import annotations

import copy
import io
import sys

import pytest
import torch
from torch import nn

from ptu_seq import cli
from ptu_seq.errors import UserError
from ptu_seq.models import (
    PTUForConditionalGeneration,
    RNNForConditionalGeneration,
    Seq2SeqConfig,
)
from ptu_seq.nn import GatedRNN
from ptu_seq.quantization import quantize_int8
from ptu_seq.source import content_hash
from ptu_seq.translation.inference import Translator, translate
from ptu_seq.unit import PTU


@pytest.fixture(params=["lstm", "gru"])
def parent(request: pytest.FixtureRequest) -> RNNForConditionalGeneration:
    return RNNForConditionalGeneration(
        Seq2SeqConfig(
            vocab_size=40,
            embedding_size=16,
            hidden_size=24,
            rnn_type=request.param,
            num_decoder_layers=2,
            embedding_std=1.0,
        )
    ).eval()


@pytest.mark.parametrize("level", ["plain", "layer", "step"])
def test_numbers_are_nearly_those_of_the_model_which_stays_as_it_is(level, parent):
    model = parent
    if level != "plain":  # of another size, so that units have a projection
        sizes = {"hidden_size": 20, "embedding_size": 12}
        model = PTUForConditionalGeneration.from_source(
            parent, init="random", level=level, target=sizes
        ).eval()
    before = content_hash(model)
    quantized = quantize_int8(model)
    assert content_hash(model) == before
    batch = {"input_ids": torch.randint(4, 40, (5, 7)), "labels": torch.randint(4, 40, (5, 6))}
    with torch.inference_mode():
        ours, exact = quantized(**batch).logits, model(**batch).logits
    assert not torch.equal(ours, exact)
    assert (ours - exact).abs().mean() < 0.05 * exact.std()
    assert type(quantized) is type(model)
    assert not any(isinstance(m, nn.Linear) for m in quantized.decoder.bridge.modules())
    units = [m for m in quantized.modules() if isinstance(m, PTU)]
    plain = [m for m in units if type(m) is PTU]
    # Inside a recurrence units stay as they are.
    assert (len(units), len(plain)) == {"plain": (0, 0), "layer": (8, 0), "step": (8, 4)}[level]
    gated = [m for m in quantized.modules() if isinstance(m, GatedRNN)]
    assert all(isinstance(m.target, nn.LSTM | nn.GRU) for m in gated)
    assert all(isinstance(m.projection, nn.Linear | nn.Identity) for m in plain)


def test_pinned_units_stay_so(parent):
    model = PTUForConditionalGeneration.from_source(parent, init="random").eval().pin("target")
    other = copy.deepcopy(model)
    for _, unit in other.units():
        nn.init.normal_(unit.weight_target)
    batch = {"input_ids": torch.randint(4, 40, (5, 7)), "labels": torch.randint(4, 40, (5, 6))}
    ours, others = quantize_int8(model), quantize_int8(other)
    with torch.inference_mode():
        assert torch.equal(ours(**batch).logits, others(**batch).logits)
        assert not torch.equal(ours.unpin()(**batch).logits, others.unpin()(**batch).logits)


def test_beams_run_and_write_nearly_the_same(parent):
    quantized = quantize_int8(parent)
    ids = torch.randint(4, 40, (6, 9))
    made, exact = (
        model.generate(ids, num_beams=3, max_new_tokens=5, min_new_tokens=5, do_sample=False)
        for model in (quantized, parent)
    )
    assert made.shape == exact.shape
    assert (made == exact).float().mean() > 0.5


def test_half_precision_is_refused(parent):
    with pytest.raises(UserError, match="weights are bfloat16; accepted is float32"):
        quantize_int8(parent.to(torch.bfloat16))


def test_a_processor_without_int8_is_told(parent, monkeypatch):
    engine = type("Engine", (), {"engine": "none"})
    monkeypatch.setattr(torch.backends, "quantized", engine)
    with pytest.raises(UserError, match="need an x86 processor"):
        quantize_int8(parent)


def test_the_command_translates_with_the_quantised_model(tiny_translator, monkeypatch, capsys):
    lines = ["c a b", "", "a f"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(lines).encode())))
    assert cli.main(["translate", "--model", str(tiny_translator), "--int8", "--scores"]) == 0
    rows = capsys.readouterr().out.splitlines()
    translator = Translator.from_pretrained(str(tiny_translator))
    model = quantize_int8(translator.model)
    wanted = list(translate(model, translator.tokenizers, lines, with_scores=True))
    assert rows == [row for t in wanted for row in t.as_rows(with_scores=True)]
    exact = list(translate(translator.model, translator.tokenizers, lines, with_scores=True))
    assert [t.scores for t in wanted] != [t.scores for t in exact]
