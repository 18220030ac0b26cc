"""Training a translator by transformers' Seq2SeqTrainer: what we set, and the little we add."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler
from transformers import (
    EvalPrediction,
    PreTrainedModel,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_callback import TrainerCallback

from ptu_seq.batches import WithinRange
from ptu_seq.best_weights import BestWeights, write_weights
from ptu_seq.checkpoints import Checkpoints
from ptu_seq.data.streams import StreamedBatches
from ptu_seq.data.vocabulary import TokenizerPair
from ptu_seq.distributed import world_size
from ptu_seq.methods.objective import Objective
from ptu_seq.objectives import Objectives
from ptu_seq.resumable_trainer import ResumableTrainer, identified
from ptu_seq.shared_batches import SHARE, WHOLE, TrainsTogether
from ptu_seq.trainer_setup import (
    EarlyStopping,
    Progress,
    Trained,
    common_arguments,
    decisive,
    make_optimizer,
    one_device,
    quiet_transformers,
    run,
)
from ptu_seq.translation.batches import IGNORED, EndlessBatches, Example, collate, validation_rows
from ptu_seq.translation.evaluation import corpus_score
from ptu_seq.translation.options import TranslationTrainingOptions, ValidationMetric

#: What is learned from: examples, or batches of them that are read as they are needed.
Training = Sequence[Example] | StreamedBatches[Any]

EVALUATION_BATCH = 128

#: A translation that is evaluated has at most so many tokens for each of the source, and some more.
LENGTH_RATIO, LENGTH_SLACK = 1.5, 10


def train_translator(
    model: PreTrainedModel,
    parameter_groups: Sequence[Mapping[str, Any]],
    tokenizers: TokenizerPair,
    training: Training,
    validation: Sequence[Example],
    options: TranslationTrainingOptions,
    *,
    folder: Path,
    seed: int,
    progress: bool = False,
    references: Sequence[str] | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    objectives: Sequence[Objective] = (),
    checkpoints: Checkpoints | None = None,
) -> Trained:
    """Trains an encoder-decoder and leaves the weights of its best validation score in it.

    The validation score is that of greedy translations.

    Args:
        model: any encoder-decoder of transformers whose loss is the mean over label tokens.
        parameter_groups: what to train, each with its learning rate "lr".
        tokenizers: turn the translations of an evaluation into text.
        training: examples to learn from, with "input_ids" and "labels".
        validation: examples that decide when to stop and which weights to keep.
        options: batch size, step budget and so on.
        folder: what trackers write; its name is the run's for them.
        seed: orders the batches and draws the dropout; the weights' seed is the caller's affair.
        progress: whether to show a progress bar.
        references: the text of each validation example's target; its labels decoded if None, which
            flatters a vocabulary that cannot spell it.
        callbacks: what else takes part in training, such as a method's.
        objectives: losses beside the model's own.
        checkpoints: where to write them, and to go on from if an earlier process was interrupted.
    """
    quiet_transformers()
    steps = step_budget(training, options, seed)
    common = common_arguments(options, steps=steps, folder=folder, seed=seed)
    arguments = Seq2SeqTrainingArguments(
        per_device_eval_batch_size=EVALUATION_BATCH,
        predict_with_generate=True,
        save_strategy="no",  # the best weights stay in memory
        fp16=torch.cuda.is_available() and not common["bf16"],
        lr_scheduler_type=_SCHEDULERS[options.schedule],
        lr_scheduler_kwargs=_PLATEAU if options.schedule == "plateau" else None,
        **common,
    )
    one_device(arguments)
    best = BestWeights(options.average_checkpoints)
    padded = partial(collate, pad_token_id=int(model.config.pad_token_id))
    words = getattr(model.config, "decoder_vocab_size", None) or model.config.vocab_size
    rows = validation_rows(validation, options.validation_sentences)
    added = Objectives(objectives)
    groups = [*parameter_groups, *added.parameter_groups]
    rates = [group["lr"] for group in groups]
    if options.checkpoint_seconds == 0:
        checkpoints = None
    trainer = TranslationTrainer(
        model=model,
        args=arguments,
        batches=_batches(training, options, seed),
        objectives=added,
        train_dataset=training,
        eval_dataset=[validation[i] for i in rows],
        data_collator=WithinRange(padded, words),
        compute_metrics=_Score(
            tokenizers, options.metric, [references[i] for i in rows] if references else None
        ),
        optimizers=(make_optimizer(groups, options.weight_decay), None),
        checkpoints=identified(checkpoints, model, groups, [decisive(options), seed]),
        checkpoint_seconds=options.checkpoint_seconds,
        callbacks=[
            best,
            EarlyStopping(options.patience),
            added,
            *callbacks,
            *([WarmUp(common["warmup_steps"], rates)] if options.schedule == "plateau" else []),
            *([Progress()] if progress else []),
        ],
    )
    generation_config = copy.deepcopy(model.generation_config)
    try:
        checkpoint = trainer.last_checkpoint()
        if checkpoint is not None and checkpoint.is_finished:
            return Trained(**trainer.read_end(checkpoint))
        seconds = run(trainer, options.report_to, checkpoint)
    finally:
        added.close()
    started = time.perf_counter()
    score = _keep_best(trainer, model, best)
    seconds += time.perf_counter() - started
    # What Trainer leaves on the model: evaluations fill in the defaults of generation, and mixed
    # precision wraps `forward`, through which even a copy of the model would run this one.
    model.generation_config = generation_config
    trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    trained = Trained(score, trainer.state.global_step, seconds)
    trainer.write_end(asdict(trained))
    return trained


def step_budget(training: Training, options: TranslationTrainingOptions, seed: int) -> int:
    """The optimisation steps that training on these examples is given."""
    batches = _batches(training, options, seed).batches_an_epoch
    return options.steps(math.ceil(batches / options.gradient_accumulation_steps))


def _batches(
    training: Training, options: TranslationTrainingOptions, seed: int
) -> EndlessBatches | StreamedBatches[Any]:
    if isinstance(training, StreamedBatches):
        return training
    return EndlessBatches(training, options.part_tokens, seed)


def _keep_best(trainer: TranslationTrainer, model: PreTrainedModel, best: BestWeights) -> float:
    """Leaves the best weights in the model: the average's if its score is no worse."""
    if len(best.snapshots) > 1:
        write_weights(model, best.average())
        evaluated = trainer.evaluation_loop(trainer.get_eval_dataloader(), "Evaluation")
        score = (evaluated.metrics or {})["eval_score"]
        if score >= best.best.score:
            return score
    write_weights(model, best.best.weights)
    return best.best.score


class TranslationTrainer(ResumableTrainer, TrainsTogether, Seq2SeqTrainer):
    """Seq2SeqTrainer with batches, a loss and a length limit by token count, and further losses.

    Args:
        *args: those of Seq2SeqTrainer.
        batches: indices of the examples of each batch, or the batches of a stream; it never ends.
        objectives: losses that training adds to the model's own.
        **kwargs: those of Seq2SeqTrainer.
    """

    def __init__(
        self,
        *args: Any,
        batches: Sampler[list[int]] | StreamedBatches[Any],
        objectives: Objectives,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.batches = batches
        self.objectives = objectives
        # `compute_loss` below divides by the tokens of all parts of a batch, for every model.
        self.model_accepts_loss_kwargs = True
        self.loss_is_scaled_for_ga = True

    def count(self) -> Callable[[Example], int]:
        """The loss is a mean over label tokens."""
        return lambda example: len(example["labels"])

    def whole_batches(self) -> Sampler[list[int]]:
        """The sampler's, which its seed decides."""
        assert not isinstance(self.batches, StreamedBatches)
        return self.batches

    def get_train_dataloader(self) -> DataLoader:
        """Batches in the order of the sampler or the stream."""
        if isinstance(self.batches, StreamedBatches):
            return self.batches.loader(self.args)
        if world_size() > 1:
            return super().get_train_dataloader()
        loader = DataLoader(
            cast(Dataset[Any], self.train_dataset),
            batch_sampler=self.batches,
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
        )
        return self.accelerator.prepare(loader)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The model's mean over its tokens, weighted by their share of the step's tokens.

        What is added to it in training is weighted alike: means over tokens are then those of the
        whole step, and what compares batches counts once, however many parts a step has.
        """
        share = inputs.pop(SHARE, WHOLE)
        outputs = model(**inputs)
        loss = outputs.loss
        if model.training:
            loss = loss + self.objectives.loss(inputs, outputs.logits, self.state)
        if num_items_in_batch is not None:
            part = (inputs["labels"] != IGNORED).sum() / num_items_in_batch
            loss = loss * part * share.of_sum
        return (loss, outputs) if return_outputs else loss

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
        **gen_kwargs: Any,
    ) -> tuple[Any, Tensor | None, Tensor | None]:
        """Translates greedily; a decoder that does not end is cut off, which keeps it cheap."""
        limit = round(LENGTH_RATIO * inputs["input_ids"].shape[1]) + LENGTH_SLACK
        greedy = {"num_beams": 1, "do_sample": False, "max_new_tokens": limit, **gen_kwargs}
        return super().prediction_step(model, inputs, prediction_loss_only, ignore_keys, **greedy)


class WarmUp(TrainerCallback):
    """Lets the learning rates rise before a schedule that knows no warm-up.

    Args:
        steps: after which the rates are at their peaks.
        peaks: one for each parameter group.
    """

    def __init__(self, steps: int, peaks: Sequence[float]) -> None:
        self.steps = steps
        self.peaks = peaks

    def on_step_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: torch.optim.Optimizer | None = None,
        **kwargs: Any,
    ) -> None:
        """Sets the rates of the step to come; the last time to the peaks."""
        assert optimizer is not None
        if state.global_step <= self.steps:
            share = state.global_step / self.steps if self.steps else 1
            for group, peak in zip(optimizer.param_groups, self.peaks, strict=True):
                group["lr"] = share * peak


@dataclass(frozen=True)
class _Score:
    """The validation score of generated token ids."""

    tokenizers: TokenizerPair
    metric: ValidationMetric
    references: Sequence[str] | None

    def __call__(self, prediction: EvalPrediction) -> dict[str, float]:
        translations, labels = (
            self.tokenizers.decode_target(torch.as_tensor(ids))
            for ids in (prediction.predictions, prediction.label_ids)
        )
        return {"score": corpus_score(self.metric, translations, self.references or labels)}


#: Names that transformers has for the schedules.
_SCHEDULERS = {
    "linear": "linear",
    "inverse_sqrt": "inverse_sqrt",
    "plateau": "reduce_lr_on_plateau",
}
_PLATEAU = {"mode": "max", "factor": 0.5, "patience": 1, "threshold": 0.0}
