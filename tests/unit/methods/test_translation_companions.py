"""Companions of translators: what they read of both languages, and what they do to training."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ptu_seq.data import TokenizerPair, train_vocabulary
from ptu_seq.errors import UserError
from ptu_seq.methods.readers import Activations
from ptu_seq.methods.translation import (
    TRANSLATION_ALIGNMENTS,
    TranslationTask,
    get_translation_method,
)
from ptu_seq.methods.translation.domains import SentenceDomains, SentenceReader
from ptu_seq.methods.translation.frozen import NO_DROPOUT
from ptu_seq.models import RNNForConditionalGeneration, Seq2SeqConfig
from ptu_seq.source import content_hash
from ptu_seq.translation.batches import Example, collate
from ptu_seq.translation.options import TranslationTrainingOptions
from ptu_seq.translation.training import train_translator

EVERY = [*TRANSLATION_ALIGNMENTS, *(f"ptu+{name}" for name in TRANSLATION_ALIGNMENTS)]
LETTERS = "a b c d e f g h"
OPTIONS = TranslationTrainingOptions(
    batch_tokens=40, min_steps=3, max_steps=3, evaluations=1, warmup_ratio=0.0, metric="chrf"
)


@pytest.fixture(scope="module")
def tokenizers() -> TokenizerPair:
    tokenizer = train_vocabulary(
        [LETTERS, LETTERS[::-1]] * 9, 21, model_type="bpe", byte_fallback=False, max_length=32
    )
    return TokenizerPair(tokenizer, tokenizer)


def make_parent(size: int, **fields: Any) -> RNNForConditionalGeneration:
    shape = {"vocab_size": size, "embedding_size": 6, "hidden_size": 8, "embedding_std": 1.0}
    return RNNForConditionalGeneration(Seq2SeqConfig(**{**shape, **fields})).eval()


@pytest.fixture
def parent(tokenizers: TokenizerPair) -> RNNForConditionalGeneration:
    return make_parent(len(tokenizers.source), num_decoder_layers=2)


def pairs(count: int, first: int = 4, last: int = 12) -> list[Example]:
    """Sentences of one to six tokens, translated word for word."""
    rows = [torch.randint(first, last, (1 + i % 6,)).tolist() for i in range(count)]
    return [{"input_ids": [*row, 3], "labels": [*row, 3]} for row in rows]


def make_domains(parent: Any, child: Any, *, with_labels: bool = False) -> SentenceDomains:
    return SentenceDomains(parent, child, with_labels, partial(collate, pad_token_id=0), 6, seed=0)


def build(name: str, parent: Any, task: TranslationTask | None = None) -> Any:
    size = parent.config.vocab_size
    method = get_translation_method(name)
    return method.build(parent, task or TranslationTask(size, size), method.grid[0])


def alone(network: Any, batch: dict[str, torch.Tensor]) -> Activations:
    """Activations on a batch, read sentence by sentence without padding."""
    means, firsts = [], []
    for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True):
        state = network.encode(ids[mask.bool()][None])
        means.append(state.memory.values[0].mean(0))
        firsts.append(state.recurrent.layers[-1][0][0, 0])
    return Activations(torch.stack(means), torch.stack(firsts))


@pytest.mark.parametrize("by_parent", [True, False], ids=["by_parent", "by_child"])
@pytest.mark.parametrize("name", EVERY)
@torch.no_grad()
def test_the_distance_is_that_of_averages_over_tokens_without_padding(name, by_parent, parent):
    model = build(name, parent).double().eval()
    for weight in model.parameters():
        weight.add_(0.1 * torch.randn_like(weight))
    lent = parent.double() if by_parent else None
    domains = make_domains(pairs(9), pairs(8))
    loss = TRANSLATION_ALIGNMENTS[name.removeprefix("ptu+")](
        SentenceReader(model, lent, domains), 0.5
    )
    theirs, ours = next(domains.batches())
    assert not theirs["attention_mask"].all() and not ours["attention_mask"].all()
    source, target = alone(lent or model, theirs), alone(model, ours)
    sides = [
        Activations(side.features.float(), side.above.float())  # type: ignore[union-attr]
        for side in (source, target)
    ]
    expected = 0.5 * loss.distance(sides[0], sides[1], 0.5)
    assert expected != 0
    value = loss({}, torch.zeros(1), 0.5)
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-7)


def test_what_the_parent_reads_is_constant_and_stays_its_own(parent):
    model, before = build("fine_tune", parent), content_hash(parent)
    reader = SentenceReader(model.train(), parent, make_domains(pairs(9), pairs(8)))
    both = reader.read(torch.device("cpu"))
    assert not both.source.features.requires_grad and both.target.features.requires_grad
    both.target.features.sum().backward()
    assert content_hash(parent) == before and all(p.grad is None for p in parent.parameters())
    assert all(p.requires_grad for p in [*parent.parameters(), *model.parameters()])
    assert reader.parent is not None and reader.parent.network is not parent
    assert both.loss is None


@pytest.mark.parametrize("name", EVERY)
def test_the_parents_pairs_are_learned_too_where_they_can_be(name, parent):
    model, rows = build(name, parent).eval(), pairs(6)
    alignment = TRANSLATION_ALIGNMENTS[name.removeprefix("ptu+")]
    for with_labels in (True, False):
        reader = SentenceReader(model, None, make_domains(rows, pairs(6), with_labels=with_labels))
        loss = alignment(reader, 0.0)({}, torch.zeros(1), 0.5)
        expected = model(**collate(rows, 0)).loss if with_labels else torch.zeros(())
        torch.testing.assert_close(loss, expected)


def test_the_childs_translations_are_never_read():
    theirs, ours = next(make_domains(pairs(6), pairs(6), with_labels=True).batches())
    assert "labels" in theirs and "labels" not in ours
    theirs, _ = next(make_domains(pairs(6), pairs(6)).batches())
    assert "labels" not in theirs


@pytest.mark.parametrize("sizes", [(1, 5), (5, 1), (0, 5)])
def test_a_batch_of_one_sentence_is_refused(sizes):
    with pytest.raises(UserError, match=r"there are \d of the source .*--batch_tokens"):
        make_domains(*(pairs(size) for size in sizes))


@pytest.mark.parametrize("name", ["ddc", "dan", "coral"])
@pytest.mark.parametrize("by_parent", [True, False], ids=["by_parent", "by_child"])
def test_the_loss_draws_the_languages_together(name, by_parent, parent):
    model = build("fine_tune", parent).eval()
    far, near = pairs(16, 4, 7), pairs(16, 9, 12)
    domains = SentenceDomains(far, near, False, partial(collate, pad_token_id=0), 16, seed=0)
    reader = SentenceReader(model, parent if by_parent else None, domains)
    loss = TRANSLATION_ALIGNMENTS[name](reader, 1.0)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    values = []
    for _ in range(40):
        optimizer.zero_grad()
        value = loss({}, torch.zeros(1), 0.0)
        value.backward()
        optimizer.step()
        values.append(float(value.detach()))
    assert values[-1] < 0.5 * values[0]


def train(
    name: str,
    parent: Any,
    tokenizers: TokenizerPair,
    folder: Path,
    *,
    by_parent: bool,
    **changes: float,
) -> Any:
    torch.manual_seed(2)
    draw = [pairs(count) for count in (14, 13, 12, 2)]
    method, size = get_translation_method(name), len(tokenizers.source)
    task, setting = TranslationTask(size, size), {**method.grid[0], **changes}
    model = method.build(parent, task, setting)
    domains = make_domains(draw[0], draw[1], with_labels=not by_parent)

    def read(model: Any) -> SentenceReader:
        return SentenceReader(model, parent if by_parent else None, domains)

    trained = train_translator(
        model,
        method.parameter_groups(model, setting),
        tokenizers,
        draw[2],
        draw[3],
        OPTIONS,
        folder=folder,
        seed=0,
        callbacks=method.callbacks(model, setting),
        objectives=method.objectives(model, parent, task, setting, read),
    )
    assert trained.steps == 3
    return model.cpu()  # from the GPU, where there is one


#: Nothing is drawn in training, so that reading more sentences changes nothing by itself.
AWAKE = {**NO_DROPOUT, "gate_dropout": 0.0}


@pytest.fixture(scope="module")
def without() -> dict[str, Any]:
    """What methods learn without a further loss, once it has been needed."""
    return {}


@pytest.mark.parametrize(
    ("name", "by_parent"),
    [
        *[("ddc", True), ("dan", False), ("dann", True), ("coral", False)],
        *[("ptu+ddc", False), ("ptu+dann", True), ("zoph+ddc", True), ("distillation+dann", True)],
    ],
)
def test_a_further_loss_changes_what_is_learned_and_leaves_no_trace(
    name, by_parent, parent, tokenizers, tmp_path, without
):
    alone, plus, _ = name.partition("+")
    plain = alone if plus and alone != "distillation" else "fine_tune"
    if plain not in without:
        without[plain] = train(plain, parent, tokenizers, tmp_path, by_parent=by_parent, **AWAKE)
    before, other = content_hash(parent), without[plain]
    model = train(name, parent, tokenizers, tmp_path, by_parent=by_parent, **AWAKE)
    assert content_hash(model) != content_hash(other)
    assert content_hash(parent) == before
    assert hooks(model) == hooks(other) == 0
    for ours, theirs in zip(model.named_parameters(), other.named_parameters(), strict=True):
        assert (ours[0], ours[1].requires_grad) == (theirs[0], theirs[1].requires_grad)
    for network in (model, other):
        network.save_pretrained(tmp_path / str(network is model))
    saved = [tmp_path / is_model / "model.safetensors" for is_model in ("True", "False")]
    assert saved[0].stat().st_size == saved[1].stat().st_size
    loaded = type(model).from_pretrained(saved[0].parent)
    assert content_hash(loaded) == content_hash(model)


@pytest.mark.parametrize("name", ["dann", "ptu+coral", "distillation"])
def test_the_same_seed_gives_the_same_weights(name, parent, tokenizers, tmp_path):
    first, again = (train(name, parent, tokenizers, tmp_path, by_parent=True) for _ in "ab")
    assert content_hash(first) == content_hash(again)


def hooks(model: nn.Module) -> int:
    return sum(
        len(part._forward_hooks) + len(part._forward_pre_hooks) + len(part._backward_hooks)
        for part in model.modules()
    )


def test_danns_discriminator_is_trained_clipped_and_cleared(
    parent, tokenizers, tmp_path, monkeypatch
):
    norms: list[float] = []

    class Noted(torch.optim.AdamW):
        def step(self, closure: Any = None) -> Any:
            grads = [p.grad for p in self.param_groups[-1]["params"]]
            norms.append(float(torch.cat([g.flatten() for g in grads if g is not None]).norm()))
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "AdamW", Noted)
    method, size = get_translation_method("dann"), len(tokenizers.source)
    task, setting = TranslationTask(size, size), {**method.grid[0], "alignment": 1e3}
    model = method.build(parent, task, setting)
    reader = SentenceReader(model, parent, make_domains(pairs(14), pairs(12)))
    (dann,) = method.objectives(model, parent, task, setting, lambda model: reader)
    weights = dann.parameter_groups()[0]["params"]
    start = [weight.detach().clone() for weight in weights]
    train_translator(
        model,
        method.parameter_groups(model, setting),
        tokenizers,
        pairs(12),
        pairs(4),
        OPTIONS,
        folder=tmp_path,
        seed=0,
        objectives=[dann],
    )
    assert norms == pytest.approx([OPTIONS.max_grad_norm] * 3, rel=1e-4)
    assert all(
        not torch.equal(a, b) for a, b in zip(start, (w.cpu() for w in weights), strict=True)
    )
    assert all(weight.grad is None for weight in weights)
