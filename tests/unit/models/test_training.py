"""What training changes, what it leaves alone, and the gradients of a batch cut into parts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ptu_seq.models import PTUForSequenceClassification
from ptu_seq.source import content_hash
from ptu_seq.unit import PTUGates

PLAIN = {"embedding_dropout": 0.0, "hidden_dropout": 0.0}
SITES = ["embedding", "rnn", "classifier"]
LABELS = torch.tensor([0, 1, 1, 0])


@pytest.mark.parametrize("init", ["source", "random"])
def test_the_source_never_trains(init, level, make_source, make_batch):
    source = make_source()
    model = PTUForSequenceClassification.from_source(
        source, init=init, level=level, sites=SITES, gate_dropout=0.5, branch_loss=0.5
    )
    model.train().requires_grad_(True)  # neither wakes the source
    assert not any(p.requires_grad for p in model.source.parameters())
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    batch = make_batch()
    for _ in range(100):
        optimizer.zero_grad()
        loss = model(**batch, labels=LABELS).loss
        loss.backward()
        assert all(p.grad is None for p in model.source.parameters())
        optimizer.step()
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert changed == {n for n in before if not n.startswith("source.")}
    assert content_hash(model.source.network) == content_hash(source) == model.config.source_hash


def test_the_source_never_drops_out(level, make_source, make_batch):
    source = make_source(embedding_dropout=0.5, hidden_dropout=0.5)
    model = PTUForSequenceClassification.from_source(
        source, level=level, target=PLAIN, gate_dropout=0.0
    )
    batch = make_batch()
    expected = model.eval()(**batch).logits
    model.train()
    assert not model.source.network.training
    assert torch.equal(model(**batch).logits, expected)
    assert torch.equal(model.pin("frozen")(**batch).logits, source(**batch).logits)


def test_the_target_drops_out_in_training_alone(make_source, make_batch):
    model = PTUForSequenceClassification.from_source(
        make_source(**PLAIN), target={"hidden_dropout": 0.5}, gate_dropout=0.0
    )
    batch = make_batch()
    assert not torch.equal(model.train()(**batch).logits, model(**batch).logits)
    assert torch.equal(model.eval()(**batch).logits, model(**batch).logits)


def test_gate_dropout_acts_in_training_alone_and_not_on_pins(
    level, make_source, make_batch, perturb
):
    source = make_source(**PLAIN)
    model = PTUForSequenceClassification.from_source(
        source, init="random", level=level, sites=SITES, gate_dropout=0.5
    )
    perturb(model)
    batch = make_batch()
    assert torch.equal(model.eval()(**batch).logits, model(**batch).logits)
    assert not torch.equal(model.train()(**batch).logits, model(**batch).logits)
    for pin in ("target", "frozen", "adapted"):
        model.pin(pin)
        assert torch.equal(model.train()(**batch).logits, model.eval()(**batch).logits)
        assert [unit.pinned for _, unit in model.units()] == [pin] * 4


def test_branch_loss_counts_in_training_alone(make_source, make_batch):
    source, batch = make_source(**PLAIN), make_batch()
    losses = {}
    for weight in (0.0, 0.5, 1.0):
        model = PTUForSequenceClassification.from_source(
            source, sites=SITES, gate_dropout=0.0, branch_loss=weight
        )
        plain = model.eval()(**batch, labels=LABELS).loss
        losses[weight] = model.train()(**batch, labels=LABELS).loss - plain
        pinned = model.pin("target")(**batch, labels=LABELS).loss
        assert torch.equal(pinned, model.eval()(**batch, labels=LABELS).loss)
    assert losses[0.0] == 0
    # Both branches begin as the source, so each has the loss of the whole.
    torch.testing.assert_close(losses[0.5], plain)
    torch.testing.assert_close(losses[1.0], 2 * plain)


@pytest.mark.parametrize("kind", ["plain", "units"])
def test_uneven_parts_of_a_batch_give_its_gradient(kind, make_source, make_batch, perturb):
    model = make_source(**PLAIN)
    if kind == "units":
        model = PTUForSequenceClassification.from_source(
            model, init="random", sites=SITES, gate_dropout=0.0, branch_loss=0.5
        )
        perturb(model)
    model.train()
    batch = {**make_batch(), "labels": LABELS}
    parts = [slice(0, 1), slice(1, 4)]

    def gradients() -> list[Tensor]:
        grads = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        model.zero_grad()
        return grads

    model(**batch).loss.backward()
    whole = gradients()
    for items in (4, torch.tensor(4)):  # Trainer counts the examples of all parts
        for part in parts:
            rows = {name: tensor[part] for name, tensor in batch.items()}
            model(**rows, num_items_in_batch=items).loss.backward()
        torch.testing.assert_close(gradients(), whole, atol=1e-6, rtol=1e-4)
    assert len(whole) > 5 and model.accepts_loss_kwargs


@pytest.mark.parametrize(
    "sites", [["embedding"], ["rnn"], ["classifier"], ["embedding", "rnn"], []], ids="+".join
)
def test_units_at_no_site_stay_out_of_it(sites, level, make_source, make_batch, perturb):
    model = PTUForSequenceClassification.from_source(make_source(), sites=sites, level=level)
    perturb(model)
    idle = [unit for site, unit in model.units() if site not in sites]
    active = [unit for site, unit in model.units() if site in sites]
    batch = make_batch()

    def check() -> None:
        assert {unit.pinned for unit in idle} <= {"target"}
        assert {unit.pinned for unit in active} <= {None}

    check()
    logits = model.eval()(**batch).logits
    for pin in ("frozen", "adapted", "target"):
        model.pin(pin)
        model.unpin()
        check()
    assert torch.equal(model(**batch).logits, logits)

    model.train().requires_grad_(True)
    model(**batch, labels=LABELS).loss.backward()
    check()
    parameters = [p for unit in idle for p in unit.parameters()]
    if "classifier" not in sites:
        parameters.extend(model.source_classifier.parameters())
    assert all(p.grad is None and not p.requires_grad for p in parameters)
    assert all(p.grad is not None for unit in active for p in unit.parameters())


def test_without_sites_the_model_is_fine_tuning(make_source, make_batch):
    source, batch = make_source(**PLAIN), {**make_batch(), "labels": LABELS}
    model = PTUForSequenceClassification.from_source(source, sites=[]).train()
    tuned = source.train()
    for network in (model, tuned):
        optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            network(**batch).loss.backward()
            optimizer.step()
    assert torch.equal(model.eval()(**batch).logits, tuned.eval()(**batch).logits)


def test_gates_are_reported_at_tokens_alone(level, bidirectional, is_pair, make_source, make_batch):
    source = make_source(bidirectional=bidirectional, is_pair=is_pair)
    model = PTUForSequenceClassification.from_source(
        source, num_labels=3, level=level, sites=SITES
    ).eval()
    batch = make_batch(is_pair)
    seen: dict[str, PTUGates] = {}
    model.gates(**batch, on_gates=seen.__setitem__)
    directions = ["forward", "reverse"] if bidirectional else ["forward"]
    hidden = {f"layer{layer}.{d}": 5 for layer in range(2) for d in directions}
    tokens = int(batch["attention_mask"].sum())
    expected = {site: (tokens, size) for site, size in {"embedding": 6, **hidden}.items()}
    expected["classifier"] = (4, 3)
    assert {site: tuple(gates.update.shape) for site, gates in seen.items()} == expected
    for gates in seen.values():
        assert all(((gate > 0) & (gate < 1)).all() for gate in gates)

    model.pin("frozen").gates(**batch, on_gates=seen.__setitem__)
    for gates in seen.values():
        assert (gates.update == 1).all() and not gates.fine_tune.any()
