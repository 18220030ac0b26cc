"""Reading a batch: padding, pairs, pooling, loss; for the plain classifier and the gated one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ptu_seq.models import PTUForSequenceClassification, RNNForSequenceClassification
from ptu_seq.models.encoding import read_batch


def by_hand(network: RNNForSequenceClassification, ids: list[list[int]]) -> Tensor:
    """The logits of one example, given as its sentences, without batch and padding."""
    sides = []
    for sentence in ids:
        hidden = network.rnn(network.embedding(torch.tensor([sentence])))[0][0]
        if network.config.pooling == "max":
            sides.append(hidden.max(0).values)
        elif network.config.pooling == "mean":
            sides.append(hidden.mean(0))
        elif network.config.pooling == "attention":
            pooling = network.pooling
            scores = pooling.query(torch.tanh(pooling.attention(hidden)))
            sides.append((scores.softmax(0) * hidden).sum(0))
        elif network.config.bidirectional:
            size = network.config.hidden_size
            sides.append(torch.cat([hidden[-1, :size], hidden[0, size:]]))
        else:
            sides.append(hidden[-1])
    if len(sides) == 2:
        a, b = sides
        sides = [a, b, (a - b).abs(), a * b]
    return network.classifier(torch.cat(sides))


def test_logits_are_those_of_a_plain_network(shape, make_source):
    network = make_source(**shape)
    if shape["is_pair"]:
        examples = [[[4, 9, 3], [7, 3]], [[8, 3], [5, 6, 9, 3]]]
        batch = {
            "input_ids": torch.tensor([[4, 9, 3, 7, 3, 0], [8, 3, 5, 6, 9, 3]]),
            "token_type_ids": torch.tensor([[0, 0, 0, 1, 1, 0], [0, 0, 1, 1, 1, 1]]),
        }
    else:
        examples = [[[4, 9, 3]], [[5, 6, 7, 8, 3]]]
        batch = {"input_ids": torch.tensor([[4, 9, 3, 0, 0], [5, 6, 7, 8, 3]])}
    expected = torch.stack([by_hand(network, sentences) for sentences in examples])
    torch.testing.assert_close(network(**batch).logits, expected)


@pytest.fixture(params=["plain", "layer", "step"])
def make_model(request, make_source):
    """Makes a plain classifier, or one with units at either level."""

    def make(**fields):
        source = make_source(**fields)
        if request.param == "plain":
            return source
        return PTUForSequenceClassification.from_source(
            source, init="random", level=request.param
        ).eval()

    return make


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(bidirectional, pooling, is_pair, side, make_model, make_batch):
    model = make_model(bidirectional=bidirectional, pooling=pooling, is_pair=is_pair)
    batch = make_batch(is_pair)
    lengths = batch["attention_mask"].sum(1).tolist()
    alone = [
        model(**{name: rows[i : i + 1, :length] for name, rows in batch.items()}).logits
        for i, length in enumerate(lengths)
    ]
    if side == "left":
        for rows in batch.values():
            for i, length in enumerate(lengths):
                rows[i] = rows[i].roll(rows.shape[1] - length)
    torch.testing.assert_close(model(**batch).logits, torch.cat(alone), atol=1e-6, rtol=1e-5)


def test_an_empty_hypothesis_is_a_sentence_like_any_other(
    bidirectional, pooling, make_model, make_batch
):
    model = make_model(bidirectional=bidirectional, pooling=pooling, is_pair=True)
    ids, types = torch.tensor([[5, 6, 3]]), torch.tensor([[0, 0, 0]])
    alone = model(ids, token_type_ids=types).logits
    assert alone.isfinite().all() and alone.abs().max() < 100
    others = make_batch(True)
    batch = {
        "input_ids": torch.cat([F.pad(ids, (0, 6)), others["input_ids"]]),
        "token_type_ids": torch.cat([F.pad(types, (0, 6)), others["token_type_ids"]]),
    }
    torch.testing.assert_close(model(**batch).logits[:1], alone, atol=1e-6, rtol=1e-5)


def test_a_batch_of_pairs_is_premises_then_hypotheses(make_source):
    ids = torch.tensor([[5, 6, 3, 7, 3, 0], [8, 3, 0, 0, 0, 0], [0, 0, 9, 3, 4, 3]])
    types = torch.tensor([[0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1]])
    batch = read_batch(make_source(is_pair=True).config, ids, ids != 0, types)
    premises, hypotheses = batch.ids.tolist()[:3], batch.ids.tolist()[3:]
    assert premises == [[5, 6, 3], [8, 3, 0], [9, 3, 0]]
    assert hypotheses == [[7, 3, 0], [0, 0, 0], [4, 3, 0]]  # none is one padding token
    assert batch.lengths.tolist() == batch.mask.sum(1).tolist() == [3, 2, 2, 2, 1, 2]


def test_tokens_without_a_mask_are_all_but_padding(make_model, make_batch):
    model, batch = make_model(), make_batch()
    assert torch.equal(model(batch["input_ids"]).logits, model(**batch).logits)


def test_a_mask_hides_tokens(make_model):
    model, ids = make_model(), torch.tensor([[5, 6, 7, 8]])
    hidden = model(ids, attention_mask=torch.tensor([[1, 1, 1, 0]])).logits
    torch.testing.assert_close(hidden, model(ids[:, :3]).logits)
    assert not torch.allclose(hidden, model(ids).logits)


def test_a_model_of_single_texts_ignores_token_types(make_model, make_batch):
    model, batch = make_model(), make_batch()
    types = torch.ones_like(batch["input_ids"])
    assert torch.equal(model(**batch, token_type_ids=types).logits, model(**batch).logits)


def test_pairs_need_token_types(make_model, make_batch):
    with pytest.raises(ValueError, match="token_type_ids are needed"):
        make_model(is_pair=True)(**make_batch())


def test_the_sides_of_a_pair_are_encoded_by_the_same_network(make_source):
    network = make_source(is_pair=True)
    ids, types = torch.tensor([[5, 6, 3, 5, 6, 3]]), torch.tensor([[0, 0, 0, 1, 1, 1]])
    batch = read_batch(network.config, ids, None, types)
    a, b, difference, product = network.activations(batch).pooled.chunk(4, dim=-1)
    assert torch.equal(a, b) and torch.equal(product, a * a) and not difference.any()


def test_loss_is_the_cross_entropy(make_model, make_batch):
    model, batch, labels = make_model(), make_batch(), torch.tensor([0, 1, 1, 0])
    output = model(**batch, labels=labels)
    assert torch.equal(output.logits, model(**batch).logits)
    torch.testing.assert_close(output.loss, F.cross_entropy(output.logits, labels))


def test_a_source_lends_constants(make_source, make_batch):
    network = make_source(pooling="attention").train()
    batch = read_batch(network.config, **make_batch())
    lent, again = network.activations(batch), network.activations(batch)
    tensors = [lent.embedding, *lent.hidden, lent.pooled]
    assert [tensor.requires_grad for tensor in tensors] == [False] * 4
    assert torch.equal(lent.pooled, again.pooled)  # in training mode, but without dropout


def test_new_weights_are_spread_as_configured(make_source):
    weight = make_source(vocab_size=500, embedding_size=40, embedding_std=0.25).embedding.weight
    assert not weight[0].any()
    assert weight[1:].std().item() == pytest.approx(0.25, rel=0.05)
