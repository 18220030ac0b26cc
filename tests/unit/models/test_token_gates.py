"""Each row of gates is told with its token: however sentences are laid out, as if read alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ptu_seq.batches import pad
from ptu_seq.models import (
    PTUEncoderForSequenceClassification,
    PTUForConditionalGeneration,
    PTUForSequenceClassification,
)
from ptu_seq.models.lending import LendsHidden
from ptu_seq.models.token_gates import Tokens
from ptu_seq.unit import PTUGates
from tests.unit.encoders import encoder_source

Told = dict[str, tuple[PTUGates, Tokens | None]]

#: No two of one length, nor in the order of their lengths.
SENTENCES = [[5, 9, 3], [7], [4, 4, 8, 11], [6, 12]]


def told(model: Any, **inputs: Tensor) -> Told:
    seen: Told = {}
    model.token_gates(**inputs, on_gates=lambda site, gates, at: seen.update({site: (gates, at)}))
    return seen


def padded(rows: list[list[int]], side: str = "right", filler: int = 0) -> Tensor:
    """A batch that is wider than its longest sentence."""
    width = max(map(len, rows)) + 2
    fill = [[filler] * (width - len(row)) for row in rows]
    left = side == "left"
    return torch.tensor([f + r if left else r + f for r, f in zip(rows, fill, strict=True)])


def check(batch: Told, alone: list[Told], sentences: list[list[int]], sites: set[str]) -> None:
    """That the gates at these sites are those of sentences read alone."""
    assert sites
    for site in sites:
        gates, tokens = batch[site]
        assert tokens is not None
        assert tokens.ids.tolist() == [i for row in sentences for i in row]
        assert tokens.steps.tolist() == [step for row in sentences for step in range(len(row))]
        for name, gate in gates._asdict().items():
            parts = [getattr(one[site][0], name) for one in alone]
            torch.testing.assert_close(gate, torch.cat(parts))


@pytest.mark.parametrize("side", ["left", "right"])
def test_of_a_classifier(side, bidirectional, level, make_source, perturb):
    source = make_source(bidirectional=bidirectional)
    model = PTUForSequenceClassification.from_source(source, level=level)
    perturb(model)
    model.eval()
    batch = told(model, input_ids=padded(SENTENCES, side))
    alone = [told(model, input_ids=torch.tensor([row])) for row in SENTENCES]
    check(batch, alone, SENTENCES, set(batch) - {"classifier"})
    tokens = batch["embedding"][1]
    assert tokens is not None
    assert tokens.examples.tolist() == [0, 0, 0, 1, 2, 2, 2, 2, 3, 3]
    assert batch["classifier"][0].update.shape == (4, 2) and batch["classifier"][1] is None


def test_of_sentences_of_one_token_each(make_source, perturb):
    """As many tokens as sentences: a site is not taken for one of the other kind."""
    model = PTUForSequenceClassification.from_source(make_source(bidirectional=True)).eval()
    batch = told(model, input_ids=torch.tensor([[5], [6]]))
    assert [site for site, (_, tokens) in batch.items() if tokens is None] == ["classifier"]


def test_of_pairs(make_source, perturb):
    """All premises, then all hypotheses; each from its own first step on."""
    model = PTUForSequenceClassification.from_source(make_source(is_pair=True, bidirectional=True))
    perturb(model)
    model.eval()
    pairs = {
        "input_ids": torch.tensor([[5, 9, 3, 7], [4, 8, 6, 0]]),
        "token_type_ids": torch.tensor([[0, 0, 0, 1], [0, 1, 1, 0]]),
    }
    batch = told(model, **pairs)
    tokens = batch["layer0.reverse"][1]
    assert tokens is not None
    assert tokens.ids.tolist() == [5, 9, 3, 4, 7, 8, 6]
    assert tokens.steps.tolist() == [0, 1, 2, 0, 0, 0, 1]
    assert tokens.examples.tolist() == [0, 0, 0, 1, 0, 1, 1]
    second = told(model, **{name: x[1:] for name, x in pairs.items()})
    for site in set(batch) - {"classifier"}:
        gates, alone = batch[site][0].update, second[site][0].update
        torch.testing.assert_close(gates[tokens.examples == 1], alone)


def test_of_an_encoder():
    model = PTUEncoderForSequenceClassification.from_source(
        encoder_source(), id2label={0: "a", 1: "b", 2: "c"}
    )
    batch = told(model, input_ids=padded(SENTENCES, filler=1))
    alone = [told(model, input_ids=torch.tensor([row])) for row in SENTENCES]
    check(batch, alone, SENTENCES, set(batch))


@pytest.mark.parametrize("fed", [False, True])
def test_of_a_translator(fed, make_parent, perturb):
    """The decoder's tokens are those that it read."""
    model = PTUForConditionalGeneration.from_source(make_parent(input_feeding=fed))
    perturb(model)
    model.eval()
    targets = [[8, 3], [10, 11, 12, 3], [3], [9, 8, 3]]
    batch = told(model, input_ids=padded(SENTENCES), labels=padded(targets, filler=-100))
    alone = [
        told(model, input_ids=torch.tensor([source]), labels=torch.tensor([target]))
        for source, target in zip(SENTENCES, targets, strict=True)
    ]
    encoder = {site for site in batch if site.startswith("encoder")}
    assert {"encoder.layer1.reverse", "encoder.layer1.forward"} < encoder
    check(batch, alone, SENTENCES, encoder)
    start = model.config.decoder_start_token_id
    check(batch, alone, [[start, *row[:-1]] for row in targets], set(batch) - encoder)


def test_what_the_source_made_of_examples_may_be_given(make_source, make_batch, perturb):
    model = PTUForSequenceClassification.from_source(make_source())
    perturb(model)
    model.eval()
    batch = make_batch()
    given = pad(LendsHidden(model.source.network).lend(batch), pad_token_id=0)
    assert set(given) == {"source_hidden", "source_pooled"}
    expected = told(model, **batch)
    for site, (gates, _) in told(model, **batch, **given).items():
        torch.testing.assert_close(gates, expected[site][0])
