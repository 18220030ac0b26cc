"""Numbers at the edge: saturated gates, one step and thousands, sentences without tokens."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ptu_seq.models import (
    PTUForConditionalGeneration,
    PTUForSequenceClassification,
    RNNConfig,
    RNNForConditionalGeneration,
    RNNForSequenceClassification,
    Seq2SeqConfig,
)
from ptu_seq.unit import PTU


def all_finite(module: nn.Module, *tensors: torch.Tensor | None) -> bool:
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    assert gradients
    return all(t is not None and bool(t.isfinite().all()) for t in (*tensors, *gradients))


@pytest.mark.parametrize("candidate", ["linear", "tanh", "relu"])
@pytest.mark.parametrize("scale", [1e4, -1e4])
@pytest.mark.parametrize("sizes", [(5, 5), (7, 5)])
def test_saturated_gates_are_0_or_1_and_gradients_are_numbers(candidate, scale, sizes):
    unit = PTU(sizes[0], sizes[1], candidate, candidate_init="random")
    with torch.no_grad():
        unit.bias[:10] = scale
    s = torch.randn(4, sizes[0]).requires_grad_()
    t = torch.randn(4, sizes[1]).requires_grad_()
    h, gates = unit(s, t, return_gates=True)
    assert gates.update.eq(scale > 0).all() and gates.fine_tune.eq(scale > 0).all()
    if scale < 0:
        assert torch.equal(h, t)
    h.square().sum().backward()
    assert all_finite(unit, h, t.grad, s.grad)


def test_huge_activations(kind, level):
    layer = kind.twin.from_source(kind.plain(3, 4), level=level)
    x = (1e4 * torch.randn(5, 2, 3)).requires_grad_()
    output, _ = layer(x)
    output.sum().backward()
    assert all_finite(layer, output, x.grad)


@pytest.mark.parametrize("length", [1, pytest.param(10_000, marks=pytest.mark.slow)])
def test_one_step_and_ten_thousand(kind, level, length):
    layer = kind.twin.from_source(kind.plain(3, 4), level=level)
    x = torch.randn(length, 1, 3).requires_grad_()
    output, _ = layer(x)
    output.sum().backward()
    assert output.shape == (length, 1, 4)
    assert all_finite(layer, output, x.grad)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", ["max", "mean", "last", "attention"])
@pytest.mark.parametrize("with_units", [False, True])
@pytest.mark.parametrize("width", [0, 3])
def test_classifiers_read_sentences_without_tokens(bidirectional, pooling, with_units, width):
    config = RNNConfig(
        vocab_size=9,
        embedding_size=4,
        hidden_size=4,
        pooling=pooling,
        bidirectional=bidirectional,
    )
    network = RNNForSequenceClassification(config)
    model = PTUForSequenceClassification.from_source(network) if with_units else network
    empty = torch.zeros(2, width, dtype=torch.long)
    outputs = model(input_ids=empty, attention_mask=empty, labels=torch.tensor([0, 1]))
    outputs.loss.backward()
    assert all_finite(model, outputs.logits)


@pytest.mark.parametrize("with_units", [False, True])
@pytest.mark.parametrize("width", [0, 3])
def test_translators_read_sentences_without_tokens(with_units, width):
    network = RNNForConditionalGeneration(
        Seq2SeqConfig(vocab_size=9, embedding_size=4, hidden_size=4)
    )
    model = PTUForConditionalGeneration.from_source(network) if with_units else network
    empty = torch.zeros(2, width, dtype=torch.long)
    outputs = model(input_ids=empty, attention_mask=empty, labels=torch.tensor([[3], [4]]))
    outputs.loss.backward()
    assert all_finite(model, outputs.logits)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU cannot say it")
@pytest.mark.parametrize("with_units", [False, True])
def test_labels_out_of_range_are_named(with_units):
    classifier: nn.Module = RNNForSequenceClassification(RNNConfig(vocab_size=9))
    translator: nn.Module = RNNForConditionalGeneration(Seq2SeqConfig(vocab_size=9))
    if with_units:
        classifier = PTUForSequenceClassification.from_source(classifier)  # type: ignore[arg-type]
        translator = PTUForConditionalGeneration.from_source(translator)  # type: ignore[arg-type]
    words = torch.tensor([[5, 3]])
    with pytest.raises(ValueError, match="label is 7; labels from 0 to 1 are accepted"):
        classifier(input_ids=words, labels=torch.tensor([7]))
    with pytest.raises(ValueError, match="label is 11; labels from 0 to 8 are accepted"):
        translator(input_ids=words, labels=torch.tensor([[11, 3]]))
