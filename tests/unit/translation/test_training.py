"""Training translators: what is learned and kept, at which rates, in which batches."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BartConfig, BartForConditionalGeneration, PreTrainedModel, Seq2SeqTrainer
from transformers.trainer_callback import TrainerCallback

from ptu_seq.data import TokenizerPair, train_vocabulary
from ptu_seq.errors import UserError
from ptu_seq.methods.layers import Layer
from ptu_seq.methods.objective import Objective
from ptu_seq.methods.translation import TranslationTask
from ptu_seq.methods.translation.distillation import ParentWords
from ptu_seq.methods.unfreezing import Stage, StagedUnfreezing
from ptu_seq.models import (
    PTUForConditionalGeneration,
    RNNForConditionalGeneration,
    Seq2SeqConfig,
)
from ptu_seq.trainer_setup import Trained
from ptu_seq.translation.batches import EndlessBatches, Example, collate, validation_rows
from ptu_seq.translation.evaluation import corpus_score
from ptu_seq.translation.inference import translate
from ptu_seq.translation.training import TranslationTrainingOptions, train_translator
from tests.host_reads import HostReads
from tests.objectives import Shrink

Fit = Callable[..., tuple[Trained, PreTrainedModel]]

WORDS = tuple("abcdefgh")

#: Of gradients; on a GPU training is in bfloat16.
ROUNDING: Any = (
    {"rtol": 0.05, "atol": 1e-3} if torch.cuda.is_available() else {"rtol": 1e-5, "atol": 1e-6}
)


def sentences(count: int, seed: int, longest: int = 5) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(1, longest))) for _ in range(count)]


@pytest.fixture(scope="module")
def tokenizers() -> TokenizerPair:
    """One letter a token."""
    tokenizer = train_vocabulary(
        sentences(200, 0), 21, model_type="bpe", byte_fallback=False, max_length=32
    )
    assert len(tokenizer("a b c").input_ids) == 4
    return TokenizerPair(tokenizer, tokenizer)


def examples(tokenizers: TokenizerPair, texts: list[str]) -> list[Example]:
    """Sentences to be copied."""
    ids = tokenizers.encode_source(texts)
    return [{"input_ids": row, "labels": row} for row in ids]


def new_model(
    tokenizers: TokenizerPair, dropout: float = 0.0, size: int = 16
) -> RNNForConditionalGeneration:
    torch.manual_seed(0)
    return RNNForConditionalGeneration(
        Seq2SeqConfig(
            vocab_size=len(tokenizers.source),
            embedding_size=size,
            hidden_size=size,
            embedding_dropout=dropout,
            hidden_dropout=dropout,
            label_smoothing=0.0,
        )
    )


@pytest.fixture
def fit(tmp_path: Path, tokenizers: TokenizerPair) -> Fit:
    """Trains a small network; arguments that are not options are those of `train_translator`."""

    def fit(
        training: list[Example] | None = None,
        validation: list[Example] | None = None,
        *,
        model: PreTrainedModel | None = None,
        rate: float = 0.01,
        dropout: float = 0.0,
        seed: int = 0,
        progress: bool = False,
        references: list[str] | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        objective: Callable[[PreTrainedModel], Objective] | None = None,
        **options: Any,
    ) -> tuple[Trained, PreTrainedModel]:
        model = model or new_model(tokenizers, dropout)
        settings = {
            "batch_tokens": 64,
            "min_steps": 12,
            "max_steps": 12,
            "evaluations": 3,
            "patience": 99,
            "metric": "chrf",
            **options,
        }
        trained = train_translator(
            model,
            [{"params": [p for p in model.parameters() if p.requires_grad], "lr": rate}],
            tokenizers,
            training or examples(tokenizers, sentences(60, 1)),
            validation or examples(tokenizers, sentences(20, 2)),
            TranslationTrainingOptions(**settings),
            folder=tmp_path / "run",
            seed=seed,
            progress=progress,
            references=references,
            callbacks=callbacks,
            objectives=[objective(model)] if objective else [],
        )
        return trained, model.cpu()  # from the GPU, where there is one

    return fit


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The validation scores as they are taken in training."""
    taken: list[float] = []
    evaluate = Seq2SeqTrainer.evaluate

    def spy(self: Seq2SeqTrainer, *args: Any, **kwargs: Any) -> dict[str, float]:
        metrics = evaluate(self, *args, **kwargs)
        taken.append(metrics["eval_score"])
        return metrics

    monkeypatch.setattr(Seq2SeqTrainer, "evaluate", spy)
    return taken


class Noted(torch.optim.AdamW):
    """AdamW that notes each step's learning rate and the gradients of its first and last group."""

    rates: list[float]
    gradients: list[Tensor]
    last: list[Tensor]

    def step(self, closure: Any = None) -> Any:
        self.rates.append(self.param_groups[0]["lr"])
        for noted, group in ((self.gradients, 0), (self.last, -1)):
            given = [p.grad for p in self.param_groups[group]["params"] if p.grad is not None]
            noted.append(torch.cat([g.flatten().cpu() for g in given]))
        return super().step(closure)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> type[Noted]:
    class Steps(Noted):
        rates, gradients, last = [], [], []

    monkeypatch.setattr(torch.optim, "AdamW", Steps)
    return Steps


def weights(model: torch.nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_learns_to_copy(fit, scores, tokenizers, tmp_path):
    texts = sentences(40, 2)
    trained, model = fit(
        examples(tokenizers, sentences(400, 1)),
        examples(tokenizers, texts),
        model=new_model(tokenizers, size=32),
        rate=0.02,
        metric="bleu",
        batch_tokens=256,
        min_steps=300,
        max_steps=300,
        evaluations=4,
        references=texts,
    )
    assert (trained.steps, len(scores)) == (300, 4)
    assert trained.validation_score >= max(scores) > 40
    translations = [t.text for t in translate(model, tokenizers, texts, beam_size=1)]
    assert corpus_score("bleu", translations, texts) == pytest.approx(trained.validation_score)
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").iterdir())
    assert model.generation_config.max_length is None  # evaluations leave no limit behind


def test_a_child_with_units_trains_and_its_parent_does_not(fit, tokenizers):
    parent = new_model(tokenizers)
    child = PTUForConditionalGeneration.from_source(parent, candidate="tanh")
    before = weights(child.source)
    trained, _ = fit(model=child, rate=0.05, min_steps=60, max_steps=60)
    assert trained.validation_score > 0
    assert torch.equal(weights(child.source), before)
    assert not torch.equal(weights(child.encoder), weights(parent.encoder))


def scripted(monkeypatch: pytest.MonkeyPatch, given: list[float]) -> list[Tensor]:
    """Evaluations give these scores; the weights under which they were taken."""
    seen: list[Tensor] = []
    evaluation_loop = Seq2SeqTrainer.evaluation_loop

    def spy(self: Seq2SeqTrainer, *args: Any, **kwargs: Any) -> Any:
        assert self.model is not None
        output = evaluation_loop(self, *args, **kwargs)
        output.metrics["eval_score"] = given[len(seen)]  # type: ignore[index]
        seen.append(weights(self.model).cpu())
        return output

    monkeypatch.setattr(Seq2SeqTrainer, "evaluation_loop", spy)
    return seen


def test_keeps_the_weights_of_the_first_best_score(fit, monkeypatch):
    seen = scripted(monkeypatch, [20, 90, 30, 90, 10])
    trained, model = fit(evaluations=5, average_checkpoints=1)
    assert trained.validation_score == 90
    assert [torch.equal(weights(model), taken) for taken in seen] == [False, True, *[False] * 3]


@pytest.mark.parametrize(("averages", "kept"), [(92, True), (90, True), (89.9, False)])
def test_the_average_of_the_best_is_kept_unless_it_is_worse(fit, monkeypatch, averages, kept):
    seen = scripted(monkeypatch, [20, 80, 90, 70, averages])
    trained, model = fit(evaluations=4, average_checkpoints=3)
    average = (seen[1] + seen[2] + seen[3]) / 3
    torch.testing.assert_close(seen[4], average)
    assert trained.validation_score == max(averages, 90)
    torch.testing.assert_close(weights(model), average if kept else seen[2])


@pytest.mark.parametrize("count", [1, 2])
def test_weights_that_slept_at_the_best_evaluation_come_back_too(
    fit, monkeypatch, tokenizers, count
):
    seen = scripted(monkeypatch, [90, 80, 30, 10, 95])
    model = new_model(tokenizers)
    before = weights(model.encoder)
    asleep = StagedUnfreezing([Stage(0.5, [Layer("encoder", list(model.encoder.parameters()))])])
    fit(model=model, callbacks=[asleep], evaluations=4, average_checkpoints=count, patience=4)
    kept = seen[0] if count == 1 else (seen[0] + seen[1]) / 2
    torch.testing.assert_close(weights(model), kept)
    assert torch.equal(weights(model.encoder), before)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_stops_when_the_score_no_longer_rises(fit, scores):
    trained, _ = fit(rate=0.0, patience=2, evaluations=6)
    assert len(set(scores)) == 1
    assert trained.steps == 2 * (1 + 2)


@pytest.mark.parametrize("schedule", ["linear", "inverse_sqrt"])
def test_the_learning_rate_rises_then_falls(fit, steps, schedule):
    fit(schedule=schedule, warmup_ratio=1 / 3)
    rising = [i / 4 for i in range(4)]
    falling = {
        "linear": [(12 - i) / 8 for i in range(4, 12)],
        "inverse_sqrt": [(4 / i) ** 0.5 for i in range(4, 12)],
    }[schedule]
    assert steps.rates == pytest.approx([0.01 * share for share in rising + falling])


def test_a_plateau_halves_the_learning_rate_after_its_warm_up(fit, steps, monkeypatch):
    scripted(monkeypatch, [10, 20, 20, 20, 20, 30, 30])
    fit(schedule="plateau", warmup_ratio=1 / 6, evaluations=6, average_checkpoints=1)
    # Two evaluations without a rise, those after steps 6 and 8, halve what follows.
    assert steps.rates == pytest.approx([0.0, 0.005, *[0.01] * 6, *[0.005] * 4])


def test_a_batch_in_parts_gives_the_mean_over_all_its_tokens(fit, steps, tokenizers):
    # One long and three short sentences: the parts hold unequal numbers of tokens.
    training = examples(tokenizers, ["a b c d e f g h a b c", "d", "e f", "g h a"])
    options = {"min_steps": 1, "max_steps": 1, "evaluations": 1, "warmup_ratio": 0.0}
    model = new_model(tokenizers)
    model.train()
    model(**collate(training, pad_token_id=0)).loss.backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    fit(training, batch_tokens=24, gradient_accumulation_steps=2, max_grad_norm=0.0, **options)
    torch.testing.assert_close(steps.gradients[0], expected, **ROUNDING)


def test_an_objective_adds_to_the_loss_of_training(fit, scores):
    kept: list[Shrink] = []

    def shrink(model: PreTrainedModel) -> Shrink:
        kept.append(Shrink(model))
        return kept[0]

    (_, plain), (_, model) = fit(rate=0.03), fit(rate=0.03, objective=shrink)
    assert weights(model).norm() < 0.9 * weights(plain).norm()
    assert kept[0].progress == [step / 12 for step in range(12)]
    assert kept[0].is_closed and kept[0].scale < 0.95
    assert kept[0].gradients == [0.0] * 12  # of the steps before, nothing is left


def test_an_objectives_weights_are_clipped_by_themselves(fit, steps):
    fit(objective=Shrink, max_grad_norm=0.5)  # that of the weight is over 40 by itself
    for noted in (steps.gradients, steps.last):
        assert [float(g.norm()) for g in noted] == pytest.approx([0.5] * 12, rel=1e-4)


ONE_STEP = {"min_steps": 1, "max_steps": 1, "evaluations": 1, "warmup_ratio": 0.0}


def test_an_objective_counts_once_however_many_parts_a_batch_has(fit, steps):
    for parts in (1, 2, 4):
        options = {"gradient_accumulation_steps": parts, "max_grad_norm": 0.0, **ONE_STEP}
        _, model = fit(objective=Shrink, rate=0.0, **options)
    assert [float(g) for g in steps.last] == pytest.approx(
        [float(weights(model).square().sum())] * 3
    )


def test_distillation_in_parts_is_the_mean_over_all_tokens(fit, steps, tokenizers):
    training = examples(tokenizers, ["a b c d e f g h a b c", "d", "e f", "g h a"])
    parent, model = new_model(tokenizers), new_model(tokenizers)
    with torch.no_grad():
        for weight in parent.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    size = len(tokenizers.source)
    words = ParentWords(parent, TranslationTask(size, size), weight=2.0)
    batch = collate(training, pad_token_id=0)
    model.train()
    outputs = model(**batch)
    (outputs.loss + words(batch, outputs.logits, 0.0)).backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    options = {"batch_tokens": 24, "gradient_accumulation_steps": 2, "max_grad_norm": 0.0}
    fit(training, objective=lambda model: words, **options, **ONE_STEP)
    torch.testing.assert_close(steps.gradients[0], expected, **ROUNDING)


def test_any_encoder_decoder_of_transformers_can_be_trained(fit, tokenizers):
    config = BartConfig(
        vocab_size=len(tokenizers.source),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_position_embeddings=64,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
        decoder_start_token_id=2,
        forced_eos_token_id=None,
    )
    trained, _ = fit(model=BartForConditionalGeneration(config))
    assert trained.steps == 12


def test_the_seed_decides_the_weights(fit):
    first, again, other = (weights(fit(dropout=0.3, seed=seed)[1]) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_every_example_is_seen_once_an_epoch_in_batches_that_never_end(tokenizers):
    training = examples(tokenizers, sentences(50, 5, longest=9))
    batches = EndlessBatches(training, 32, seed=1)
    stream = iter(batches)
    epochs = []
    for _ in range(3):
        epoch: list[int] = []
        while len(epoch) < 50:
            batch = next(stream)
            longest = max(len(training[i]["input_ids"]) for i in batch)
            assert longest * len(batch) <= 32
            epoch += batch
        assert sorted(epoch) == list(range(50))
        epochs.append(epoch)
    assert epochs[0] != epochs[1] != epochs[2]
    assert batches.batches_an_epoch < 50


def test_validation_sentences_are_the_same_for_all(tokenizers):
    validation = examples(tokenizers, sentences(50, 5, longest=9))
    rows = validation_rows(validation, 20)
    assert rows == validation_rows(validation, 20)
    assert len(set(rows)) == 20
    lengths = [len(validation[i]["input_ids"]) for i in rows]
    assert lengths == sorted(lengths)
    assert sorted(validation_rows(validation, 99)) == list(range(50))


def test_no_more_sentences_are_validated_than_asked_for(fit, monkeypatch):
    translated = []
    generate = RNNForConditionalGeneration.generate

    def spy(self: Any, *args: Any, **kwargs: Any) -> Any:
        translated.append(len(kwargs["input_ids"]))
        return generate(self, *args, **kwargs)

    monkeypatch.setattr(RNNForConditionalGeneration, "generate", spy)
    fit(validation_sentences=7, average_checkpoints=1)
    assert translated == [7] * 3


def test_references_are_compared_as_text(fit, tokenizers):
    texts = sentences(20, 2)
    validation = examples(tokenizers, texts)
    options = {"validation": validation, "rate": 0.05, "min_steps": 60, "max_steps": 60}
    decoded, _ = fit(**options)
    given, _ = fit(**options, references=texts)
    other, _ = fit(**options, references=["x y z"] * 20)
    assert decoded.validation_score == given.validation_score > other.validation_score == 0


def test_a_bar_shows_progress_if_wanted(fit, capsys):
    fit()
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""
    fit(progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "12/12" in captured.err
    assert "validation " in captured.err


@pytest.mark.parametrize(
    ("batches", "steps"), [(1, 100), (50, 100), (101, 200), (107, 210), (1000, 400)]
)
def test_the_step_budget_ends_with_an_evaluation(batches, steps):
    options = TranslationTrainingOptions(epochs=2, min_steps=100, max_steps=400, evaluations=10)
    assert options.steps(batches) == steps


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_tokens": 0}, "--batch_tokens is 0; accepted is at least 1"),
        ({"average_checkpoints": 0}, "--average_checkpoints is 0"),
        ({"metric": "blue"}, "--metric is 'blue' .did you mean 'bleu'..; accepted: bleu, chrf"),
        (
            {"schedule": "cosine"},
            "--schedule is 'cosine'.* accepted: linear, inverse_sqrt, plateau",
        ),
        ({"report_to": "tensorbord"}, "--report_to tensorbord: .* tensorboard"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(UserError, match=message):
        TranslationTrainingOptions(**options)


def test_no_step_waits_for_a_number(fit):
    """But for the sentences of each packed part of a batch: packed sequences count them there."""
    reads = HostReads()
    fit(callbacks=[reads], dropout=0.3, gradient_accumulation_steps=2)
    assert reads.of_steps == [2] * 12
