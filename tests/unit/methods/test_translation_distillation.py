"""Distillation of translators: the divergence by hand, and what training makes of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ptu_seq.methods.readers import DomainReader
from ptu_seq.methods.translation import TranslationTask, get_translation_method
from ptu_seq.methods.translation.distillation import ParentWords
from ptu_seq.models import RNNForConditionalGeneration, Seq2SeqConfig
from ptu_seq.models.translation_model import IGNORED
from ptu_seq.source import content_hash

UNKNOWN = 1
SAME = TranslationTask(vocab_size=20, decoder_vocab_size=22)
#: The child's tokens in another order, of which the parent knows 12 of 16 and 22 of 24.
OTHER = TranslationTask(
    vocab_size=16,
    decoder_vocab_size=24,
    encoder_mapping=torch.tensor([0, 1, 2, 3, *[-1] * 4, *range(15, 7, -1)]),
    decoder_mapping=torch.tensor([0, 1, 2, 3, -1, *range(21, 3, -1), -1]),
)


@pytest.fixture
def parent() -> RNNForConditionalGeneration:
    config = Seq2SeqConfig(
        vocab_size=20, decoder_vocab_size=22, embedding_size=6, hidden_size=8, embedding_std=2.0
    )
    return RNNForConditionalGeneration(config).eval()


def make_batch(task: TranslationTask) -> dict[str, Tensor]:
    """Five sentences and translations of different lengths."""
    sources, targets = torch.randint(4, 16, (5, 7)), torch.randint(4, 22, (5, 6))
    targets[0, 1] = task.decoder_vocab_size - 1
    lengths = torch.tensor([7, 3, 5, 1, 2])
    mask = torch.arange(7) < lengths[:, None]
    written = torch.arange(6) < torch.tensor([6, 1, 2, 5, 3])[:, None]
    return {
        "input_ids": sources.masked_fill(~mask, 0),
        "attention_mask": mask.long(),
        "labels": targets.masked_fill(~written, IGNORED),
    }


def words(parent: Any, task: TranslationTask, model: Any, weight: float = 1.0) -> ParentWords:
    def no_domains(model: Any) -> DomainReader:
        raise AssertionError("distillation learns from the child's pairs alone")

    method = get_translation_method("distillation")
    (objective,) = method.objectives(model, parent, task, {"distillation": weight}, no_domains)
    assert isinstance(objective, ParentWords)
    return objective


def by_hand(parent: Any, task: TranslationTask, batch: dict[str, Tensor], logits: Tensor) -> float:
    """Sentence by sentence without padding, word by word, from the formula."""
    sources, targets = (
        (torch.arange(size) if mapping is None else mapping).tolist()
        for size, mapping in (
            (task.vocab_size, task.encoder_mapping),
            (task.decoder_vocab_size, task.decoder_mapping),
        )
    )
    known = [i for i, theirs in enumerate(targets) if theirs >= 0]
    total, count = 0.0, 0
    for ids, mask, labels, scores in zip(*batch.values(), logits, strict=True):
        sentence = [sources[i] for i in ids[mask.bool()]]
        labels = labels[labels != IGNORED].tolist()
        read = [2, *(targets[i] for i in labels[:-1])]
        sentence, read = ([UNKNOWN if i < 0 else i for i in row] for row in (sentence, read))
        answers = parent(
            input_ids=torch.tensor([sentence]), decoder_input_ids=torch.tensor([read])
        ).logits[0]
        count += len(labels)
        for label, z, a in zip(labels, scores, answers, strict=False):
            if targets[label] >= 0:
                q = torch.exp(z[known].double() / 2)
                p = torch.exp(a[[targets[i] for i in known]].double() / 2)
                q, p = q / q.sum(), p / p.sum()
                total += float((p * (p / q).log()).sum())
    return 4 * total / count


@pytest.mark.parametrize("task", [SAME, OTHER], ids=["same", "other"])
@torch.no_grad()
def test_the_divergence_by_hand(task, parent):
    method = get_translation_method("scratch")
    model = method.build(parent, task, method.grid[0]).eval()
    batch = make_batch(task)
    logits = model(**batch).logits
    loss = words(parent, task, model, weight=0.3)(batch, logits, 0.0)
    assert loss.item() == pytest.approx(0.3 * by_hand(parent, task, batch, logits), rel=1e-5)
    assert loss > 0.01


def test_padding_has_no_gradient_and_the_parent_none_at_all(parent):
    batch = make_batch(OTHER)
    model = get_translation_method("scratch").build(parent, OTHER, {})
    objective = words(parent, OTHER, model)
    logits = model(**batch).logits.detach().requires_grad_()
    objective(batch, logits, 0.0).backward()
    assert logits.grad is not None
    assert not logits.grad[batch["labels"] == IGNORED].any()
    assert not logits.grad[:, :, OTHER.unknown_target_tokens].any()
    assert not logits.grad[0, 1].any()  # the parent does not know this label
    assert logits.grad[0, 0].any()
    assert all(p.grad is None for p in [*parent.parameters(), *objective.parent.parameters()])
    assert objective.parameter_groups() == []


def test_a_copy_of_the_parent_writes_its_words(parent):
    method = get_translation_method("distillation")
    model = method.build(parent, SAME, method.grid[0]).eval()
    batch = make_batch(SAME)
    loss = words(parent, SAME, model)(batch, model(**batch).logits, 0.0)
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_it_keeps_the_parents_words_where_fine_tuning_forgets_them(parent):
    before, batch = content_hash(parent), make_batch(SAME)

    def train(weight: float) -> float:
        torch.manual_seed(1)
        model = get_translation_method("fine_tune").build(parent, SAME, {}).train()
        objective = words(parent, SAME, model)
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        for _ in range(20):
            optimizer.zero_grad()
            outputs = model(**batch)
            (outputs.loss + weight * objective(batch, outputs.logits, 0.0)).backward()
            optimizer.step()
        with torch.no_grad():
            return float(objective(batch, model.eval()(**batch).logits, 0.0))

    assert train(1.0) < 0.5 * train(0.0)
    assert content_hash(parent) == before


def test_settings_are_fine_tunings_at_two_strengths():
    method = get_translation_method("distillation")
    assert {setting["distillation"] for setting in method.grid} == {0.1, 0.5}
    assert all(
        {k: v for k, v in setting.items() if k != "distillation"}
        in get_translation_method("fine_tune").grid
        for setting in method.grid
    )
