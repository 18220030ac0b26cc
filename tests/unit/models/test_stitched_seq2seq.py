"""Encoder-decoders mixed by constants: equal to either network where they should be, to the bit."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM

from ptu_seq.models.stitched_seq2seq import (
    CrossStitchForConditionalGeneration,
    SideBlendForConditionalGeneration,
)
from ptu_seq.unit import PTU, PTUGates

SITES = ["embedding", "encoder", "attention", "decoder", "output"]
KINDS = [CrossStitchForConditionalGeneration, SideBlendForConditionalGeneration]
pytestmark = pytest.mark.parametrize("kind", KINDS)


@pytest.mark.parametrize("source_input", ["own", "target"])
@pytest.mark.parametrize("rnn_type", ["lstm", "gru"])
def test_pinned_it_is_either_network(
    kind, rnn_type, source_input, make_parent, make_translations, perturb
):
    shape = {"rnn_type": rnn_type, "input_feeding": source_input == "own"}
    parent = make_parent(**shape)
    torch.rand(1)  # else both are drawn from the same numbers
    child = make_parent(**shape)
    for name in ("output", "projection"):  # always the child's own
        theirs = getattr(parent.decoder, name).state_dict()
        getattr(child.decoder, name).load_state_dict(theirs)
    model = kind.from_source(child, source_input=source_input, sites=SITES).eval()
    model.source.network.load_state_dict(parent.state_dict())
    perturb(model)
    assert not any(isinstance(module, PTU) for module in model.modules())
    batch = make_translations()
    assert torch.equal(model.pin("target")(**batch).logits, child(**batch).logits)
    assert torch.equal(model.pin("frozen")(**batch).logits, parent(**batch).logits)
    mixed = model.unpin()(**batch).logits
    assert not torch.allclose(mixed, child(**batch).logits)
    assert not torch.allclose(mixed, parent(**batch).logits)


@pytest.mark.parametrize("site", SITES)
def test_every_site_alone_changes_the_network(kind, site, make_parent, make_translations, perturb):
    model = kind.from_source(make_parent(), init="random", sites=[site])
    perturb(model)
    learn = {at for at, unit in model.units() if any(p.requires_grad for p in unit.parameters())}
    assert learn == {site}
    batch = make_translations()
    mixed = model.eval()(**batch).logits
    assert not torch.allclose(mixed, model.pin("target")(**batch).logits)


def test_the_parents_weight_is_told_as_the_update_gate(kind, make_parent, make_translations):
    model = kind.from_source(make_parent()).eval()
    gates: dict[str, PTUGates] = {}
    model.gates(**make_translations(), on_gates=lambda site, given: gates.update({site: given}))
    share = 0.1 if kind is CrossStitchForConditionalGeneration else 0.5
    assert len(gates) == 10
    for given in gates.values():
        torch.testing.assert_close(given.update, torch.full_like(given.update, share))
        assert not given.fine_tune.any()


def test_a_saved_one_is_the_same(kind, make_parent, make_translations, perturb, tmp_path):
    model = kind.from_source(make_parent(), sites=["encoder", "output"]).eval()
    perturb(model)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    assert type(loaded) is kind
    batch = make_translations()
    assert torch.equal(loaded(**batch).logits, model(**batch).logits)
    assert all(not p.requires_grad for p in loaded.source.parameters())


def test_what_it_cannot_mix_is_refused(kind, make_parent):
    with pytest.raises(ValueError, match="level is 'step'; accepted is 'layer'"):
        kind.from_source(make_parent(), level="step")
    with pytest.raises(ValueError, match="4 features and the target 5; it mixes"):
        kind.from_source(make_parent(), init="random", target={"hidden_size": 10})
