"""Starting a child from a parent: through mappings of tokens, or not at all."""

from __future__ import annotations

import pytest
import torch

from ptu_seq.models import copy_parent


@pytest.fixture(params=["none", "decoder", "all"])
def tie_embeddings(request: pytest.FixtureRequest) -> str:
    return request.param


def test_a_child_starts_from_its_parent(tie_embeddings, make_parent, make_translations):
    """Where both know all tokens, whatever their ids, the child is the parent."""
    parent = make_parent(tie_embeddings=tie_embeddings)
    permuted = torch.cat([torch.arange(4), 4 + torch.randperm(26)])
    child = make_parent(tie_embeddings=tie_embeddings, vocab_size=30)
    copy_parent(parent, child, permuted, permuted)
    batch = make_translations()
    labels = batch.pop("labels")
    known = labels != -100
    wanted = permuted[labels.clamp(min=0)].where(known, -100)
    theirs = parent(permuted[batch["input_ids"]], labels=wanted)
    ours = child(batch["input_ids"], labels=labels)
    torch.testing.assert_close(ours.logits, theirs.logits[..., permuted])
    copy_parent(parent, child)
    assert torch.equal(child(**batch, labels=labels).logits, parent(**batch, labels=labels).logits)


def test_unknown_tokens_keep_their_random_start(make_parent):
    parent, child = make_parent(), make_parent(vocab_size=6, decoder_vocab_size=30)
    before = child.encoder.embedding.weight.clone()
    copy_parent(parent, child, encoder_mapping=torch.tensor([0, 1, 2, 3, -1, 17]))
    after = child.encoder.embedding.weight
    assert torch.equal(after[5], parent.encoder.embedding.weight[17])
    assert torch.equal(after[4], before[4])
    assert torch.equal(child.decoder.output.weight, parent.decoder.output.weight)


def test_padding_stays_zero(make_parent):
    parent, child = make_parent(), make_parent(vocab_size=4, decoder_vocab_size=30)
    copy_parent(parent, child, encoder_mapping=torch.tensor([17, 1, 2, 3]))
    assert (child.encoder.embedding.weight[0] == 0).all()


def test_a_child_may_untie_its_tables(make_parent, make_translations):
    parent = make_parent(tie_embeddings="all")
    child = make_parent(tie_embeddings="decoder")
    copy_parent(parent, child)
    batch = make_translations()
    assert torch.equal(child(**batch).logits, parent(**batch).logits)
    assert child.encoder.embedding.weight is not child.decoder.embedding.weight


@pytest.mark.parametrize("embedding_size", [6, 8])
@pytest.mark.parametrize("tying", ["decoder", "all"])
def test_an_output_layer_that_is_untied_scores_as_before(
    tying, embedding_size, make_parent, make_translations
):
    parent = make_parent(tie_embeddings=tying, embedding_size=embedding_size, hidden_size=8)
    child = make_parent(tie_embeddings="none", embedding_size=embedding_size, hidden_size=8)
    copy_parent(parent, child)
    batch = make_translations()
    torch.testing.assert_close(child(**batch).logits, parent(**batch).logits)
    assert child.decoder.output.weight.shape == (30, 8)
    assert child.decoder.output.weight is not child.decoder.embedding.weight


def test_parents_of_another_architecture_are_refused(make_parent):
    parent = make_parent()
    child = make_parent(hidden_size=10, rnn_type="gru", input_feeding=True)
    with pytest.raises(ValueError) as error:
        copy_parent(parent, child)
    for part in (
        "hidden_size is 8 in the parent and 10 in the child",
        "rnn_type is 'lstm' in the parent and 'gru' in the child",
        "input_feeding is False in the parent and True in the child",
    ):
        assert part in str(error.value)
    with pytest.raises(ValueError, match="tie_embeddings is 'decoder' .* 'all'"):
        copy_parent(parent, make_parent(tie_embeddings="all"))
    with pytest.raises(ValueError, match="tie_embeddings is 'none' .* 'decoder'"):
        copy_parent(make_parent(tie_embeddings="none"), parent)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (None, "vocab_size is 30 in the parent and 4 in the child: pass encoder_mapping"),
        ([0, 1, 2], "one integer for each of the child's 4 tokens"),
        ([0, 1, 2, 30], "holds 30; the parent has 30 tokens"),
        ([0, -2, 2, 3], "holds -2"),
    ],
)
def test_mappings_that_do_not_fit_are_refused(mapping, message, make_parent):
    parent, child = make_parent(), make_parent(vocab_size=4, decoder_vocab_size=30)
    given = None if mapping is None else torch.tensor(mapping)
    with pytest.raises(ValueError, match=message):
        copy_parent(parent, child, encoder_mapping=given)
