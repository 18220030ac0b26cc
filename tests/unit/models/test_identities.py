"""A classifier of two networks equals either of them where it should: to the bit.

Both sides of a comparison run with gradients or both without: torch's kernels round differently.
"""

from __future__ import annotations

import pytest
import torch

from ptu_seq.models import PTUForSequenceClassification, RNNForSequenceClassification

GRAD_MODES = (torch.enable_grad, torch.no_grad)


def plain_target(model: PTUForSequenceClassification) -> RNNForSequenceClassification:
    """The target network by itself, as an ordinary classifier."""
    network = RNNForSequenceClassification(model.target_config)
    network.embedding.load_state_dict(model.embedding.target.state_dict())
    network.rnn.load_state_dict(model.rnn.target.state_dict())
    network.pooling.load_state_dict(model.pooling.state_dict())
    network.classifier.load_state_dict(model.classifier.state_dict())
    return network.eval()


def test_pinned_target_is_the_target_network(shape, level, make_source, make_batch, perturb):
    sizes = {"embedding_size": 8, "hidden_size": 7}
    model = PTUForSequenceClassification.from_source(
        make_source(**shape), init="random", level=level, target=sizes, num_labels=3
    )
    perturb(model)
    model.pin("target").eval()
    batch = make_batch(shape["is_pair"])
    target = plain_target(model)
    for grad_mode in GRAD_MODES:
        with grad_mode():
            assert torch.equal(model(**batch).logits, target(**batch).logits)


def test_pinned_frozen_is_the_source_network(shape, level, make_source, make_batch, perturb):
    source = make_source(**shape)
    model = PTUForSequenceClassification.from_source(source, init="random", level=level)
    perturb(model)
    model.pin("frozen").eval()
    batch = make_batch(shape["is_pair"])
    for grad_mode in GRAD_MODES:
        with grad_mode():
            assert torch.equal(model(**batch).logits, source(**batch).logits)


def test_started_from_the_source_is_the_source_network(shape, level, make_source, make_batch):
    source = make_source(**shape)
    model = PTUForSequenceClassification.from_source(
        source, level=level, candidate="linear", candidate_init="identity"
    ).eval()
    batch = make_batch(shape["is_pair"])
    for grad_mode in GRAD_MODES:
        with grad_mode():
            ours, theirs = model(**batch).logits, source(**batch).logits
        if level == "layer":
            assert torch.equal(ours, theirs)
        else:  # a loop over steps rounds otherwise than torch's fused kernel
            torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_unpinned_is_neither(level, make_source, make_batch, perturb):
    source = make_source()
    model = PTUForSequenceClassification.from_source(source, init="random", level=level).eval()
    perturb(model)
    batch = make_batch()
    logits = model(**batch).logits
    for pin in ("target", "frozen", "adapted"):
        assert not torch.allclose(model.pin(pin)(**batch).logits, logits)
    assert torch.equal(model.unpin()(**batch).logits, logits)


def test_a_double_precision_source_gives_a_double_precision_model(make_source, make_batch):
    source = make_source().double()
    model = PTUForSequenceClassification.from_source(source).eval()
    batch = make_batch()
    assert model.dtype == model.source.network.dtype == torch.float64
    logits = source(**batch).logits
    torch.testing.assert_close(model(**batch).logits, logits, atol=1e-14, rtol=1e-14)


def test_labels_in_another_order_take_their_rows_along(make_source, make_batch):
    names = {0: "yes", 1: "no", 2: "maybe"}
    source = make_source(id2label=names)
    model = PTUForSequenceClassification.from_source(
        source, id2label={0: "maybe", 1: "yes", 2: "no"}
    )
    batch = make_batch()
    logits = model.eval()(**batch).logits
    torch.testing.assert_close(logits, source(**batch).logits[:, [2, 0, 1]])


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({0: "yes", 1: "no"}, {0: "yes", 1: "maybe"}),
        ({0: "yes", 1: "no"}, {0: "yes", 1: "no", 2: "maybe"}),
        ({0: "LABEL_0", 1: "LABEL_1"}, {0: "LABEL_0", 1: "LABEL_1"}),
    ],
    ids=["one differs", "one more", "without names"],
)
def test_other_labels_get_new_classifiers(theirs, ours, make_source):
    source = make_source(id2label=theirs)
    model = PTUForSequenceClassification.from_source(source, id2label=ours)
    trained = source.classifier.weight
    for classifier in (model.classifier, model.source_classifier):
        assert not torch.isin(classifier.weight, trained).any()
    for name, weight in model.rnn.target.named_parameters():
        assert torch.equal(weight, source.rnn.get_parameter(name))
