"""A source's activations, computed beforehand, stand in for the source."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

from ptu_seq.activation_table import GROUP, WithActivations, compute_table
from ptu_seq.batches import Examples, Row, pad
from ptu_seq.methods import METHODS, get_method
from ptu_seq.methods.base import Task
from ptu_seq.methods.frozen import Frozen
from ptu_seq.models import PTUForSequenceClassification, RNNForSequenceClassification
from ptu_seq.models.lending import LendsHidden


def check_close(one: Tensor, other: Tensor) -> None:
    """But for the last bits: kernels round by the number of rows in a batch."""
    torch.testing.assert_close(one, other, atol=2e-6, rtol=1e-5)


TASK = Task({0: "a", 1: "b"}, {})


def make_rows(count: int = 6, *, is_pair: bool = False) -> list[Row]:
    """Labelled examples of unequal lengths; a pair among them has an empty side."""
    rows = []
    for i in range(count):
        ids = torch.randint(1, 30, (int(torch.randint(1, 12, ())),))
        row = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.tensor(0)}
        if is_pair:
            row["token_type_ids"] = (torch.arange(len(ids)) >= i % (len(ids) + 1)).long()
        rows.append(row)
    return rows


def given(model: PTUForSequenceClassification, rows: list[Row]) -> list[Row]:
    table = compute_table(LendsHidden(model.source.network), rows)
    return [{**row, **table[i]} for i, row in enumerate(rows)]


def run_and_learn(model: PTUForSequenceClassification, batch: dict[str, Tensor]) -> list[Tensor]:
    """Logits, and the gradients of all that learns."""
    model.zero_grad()
    outputs = model(**batch)
    outputs.loss.backward()
    return [outputs.logits, *(p.grad for p in model.parameters() if p.grad is not None)]


def is_run(model: PTUForSequenceClassification, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows whenever the source is run."""
    calls: list[int] = []
    activations = RNNForSequenceClassification.activations

    def spy(self: RNNForSequenceClassification, batch: Any) -> Any:
        calls.append(len(batch.ids))
        return activations(self, batch)

    monkeypatch.setattr(RNNForSequenceClassification, "activations", spy)
    return calls


def test_the_model_learns_the_same_and_runs_no_source(shape, make_source, perturb, monkeypatch):
    model = PTUForSequenceClassification.from_source(make_source(**shape)).eval()
    perturb(model)
    rows = make_rows(is_pair=shape["is_pair"])
    with_table = given(model, rows)
    expected = run_and_learn(model, pad(rows, 0))
    runs = is_run(model, monkeypatch)
    found = run_and_learn(model, pad(with_table, 0))
    assert not runs
    for one, other in zip(found, expected, strict=True):
        check_close(one, other)


@pytest.mark.parametrize("pooling", ["max"])
@pytest.mark.parametrize("is_pair", [False])
def test_also_inside_the_recurrence(shape, make_source, perturb):
    model = PTUForSequenceClassification.from_source(make_source(**shape), level="step").eval()
    perturb(model)
    rows = make_rows()
    with_table = given(model, rows)
    expected = run_and_learn(model, pad(rows, 0))
    for one, other in zip(run_and_learn(model, pad(with_table, 0)), expected, strict=True):
        check_close(one, other)


def test_pinned_to_frozen_the_table_gives_the_sources_answers(make_source, shape):
    source = make_source(**shape)
    model = PTUForSequenceClassification.from_source(source).pin("frozen").eval()
    rows = make_rows(is_pair=shape["is_pair"])
    batch = pad(rows, 0)
    check_close(model(**pad(given(model, rows), 0)).logits, source(**batch).logits)


def test_a_table_is_the_same_each_time_and_its_examples_those_of_their_own(make_source):
    lender = LendsHidden(make_source(bidirectional=True))
    rows = make_rows(GROUP + 9)
    first, second = (compute_table(lender, rows) for _ in range(2))
    assert all(torch.equal(first.columns[name], second.columns[name]) for name in first.columns)
    for i in (0, 7, GROUP + 8):
        (alone,) = lender.lend(pad([{"input_ids": rows[i]["input_ids"]}], 0))
        for name, tensor in alone.items():
            check_close(first[i][name], tensor)


def test_gradients_reach_no_table(make_source):
    model = PTUForSequenceClassification.from_source(make_source())
    rows = given(model, make_rows())
    run_and_learn(model, pad(rows, 0))
    assert not any(tensor.requires_grad for row in rows for tensor in row.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: {"source_hidden": b["source_hidden"]}, "given together"),
        (
            lambda b: {**b, "source_hidden": b["source_hidden"][:, 1:]},
            "source_hidden has the shape",
        ),
        (lambda b: {**b, "source_pooled": b["source_pooled"][1:]}, "source_pooled has"),
    ],
)
def test_activations_that_do_not_fit_are_an_error(make_source, change, message):
    model = PTUForSequenceClassification.from_source(make_source())
    batch = pad(given(model, make_rows()), 0)
    lent = {name: batch.pop(name) for name in ("source_hidden", "source_pooled")}
    with pytest.raises(ValueError, match=message):
        model(**batch, **change(lent))


@pytest.mark.parametrize("name", ["frozen", "linear_probe"])
def test_a_frozen_network_reads_its_own_features(make_source, name):
    method = METHODS[name]
    model = method.build(
        make_source(hidden_dropout=0.0), Task({0: "a", 1: "b"}, {}), method.grid[0]
    )
    rows = make_rows()
    lender = method.lender(model)
    assert lender is not None
    table = compute_table(lender, rows)
    pooled = {"source_pooled": torch.stack([table[i]["source_pooled"] for i in range(len(rows))])}
    model.train()
    check_close(model(**pad(rows, 0), **pooled).logits, model(**pad(rows, 0)).logits)


@pytest.mark.parametrize("name", ["scratch", "fine_tune", "lp_ft", "gradual_unfreezing", "l2_sp"])
def test_what_learns_lends_nothing(make_source, name):
    method = METHODS[name]
    assert method.lender(method.build(make_source(), TASK, method.grid[0])) is None


@pytest.mark.parametrize("name", ["ptu+dann", "ptu+coral"])
def test_a_companion_takes_what_its_method_lends(make_source, name):
    method = get_method(name)
    model = method.build(make_source(), TASK, method.grid[0])
    assert isinstance(method.lender(model), LendsHidden)


class _Rows(Examples):
    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows


@pytest.mark.parametrize("parts", [1, 2])
def test_transformers_own_trainer_hands_the_activations_on(
    make_source, monkeypatch, tmp_path, parts
):
    """Its default drops the columns that the model's `forward` does not name."""
    weights = []
    for keep in (False, True):
        torch.manual_seed(0)
        model = PTUForSequenceClassification.from_source(make_source(embedding_dropout=0.0))
        examples = _Rows(make_rows(8))
        table = compute_table(LendsHidden(model.source.network), examples.rows)
        runs = is_run(model, monkeypatch)
        arguments = TrainingArguments(
            str(tmp_path),
            max_steps=3,
            per_device_train_batch_size=4 // parts,
            gradient_accumulation_steps=parts,
            report_to="none",
            use_cpu=True,
            save_strategy="no",
            disable_tqdm=True,
        )
        Trainer(
            model,
            arguments,
            train_dataset=WithActivations(examples, table) if keep else examples,
            data_collator=lambda rows: pad(rows, 0),
        ).train()
        assert bool(runs) is not keep
        weights.append([p.detach().clone() for p in model.parameters()])
    for one, other in zip(*weights, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_worker_processes_read_it(make_source):
    rows = make_rows(8)
    table = compute_table(LendsHidden(make_source()), rows)
    loader: DataLoader[Row] = DataLoader(
        WithActivations(_Rows(rows), table), 4, num_workers=2, collate_fn=lambda r: pad(r, 0)
    )
    here = [pad([{**rows[i], **table[i]} for i in part], 0) for part in (range(4), range(4, 8))]
    for batch, expected in zip(loader, here, strict=True):
        assert all(torch.equal(batch[name], expected[name]) for name in expected)


@pytest.mark.parametrize("change", ["learns", "drops"])
def test_what_builds_on_frozen_and_learns_below_lends_nothing(make_source, change):
    class Part(Frozen):
        def build(self, source: Any, task: Any, setting: Any) -> Any:
            network = super().build(source, task, setting)
            if change == "learns":
                network.rnn.requires_grad_(True)
            else:
                network.embedding_dropout.p = 0.3
            return network

    method = Part()
    model = method.build(make_source(), TASK, method.grid[0])
    assert method.lender(model) is None
    assert Frozen().lender(Frozen().build(make_source(), TASK, method.grid[0])) is not None
