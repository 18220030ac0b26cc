"""Training a classifier by transformers' Trainer: what we set, and the little we add."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from transformers import (
    EvalPrediction,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainingArguments,
)
from transformers.trainer_callback import TrainerCallback

from ptu_seq.batches import Examples, Row, WithinRange, pad
from ptu_seq.best_weights import BestWeights, write_weights
from ptu_seq.checkpoints import Checkpoints
from ptu_seq.data.streams import StreamedBatches
from ptu_seq.evaluation import accuracy
from ptu_seq.methods.objective import Objective
from ptu_seq.models.labels import label_names
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
from ptu_seq.training_options import TrainingOptions

EVALUATION_BATCH = 128


def train(
    model: PreTrainedModel,
    parameter_groups: Sequence[Mapping[str, Any]],
    tokenizer: PreTrainedTokenizerBase,
    training: Dataset[Row] | StreamedBatches[Any],
    validation: Dataset[Row],
    options: TrainingOptions,
    *,
    folder: Path,
    seed: int,
    progress: bool = False,
    callbacks: Sequence[TrainerCallback] = (),
    objectives: Sequence[Objective] = (),
    checkpoints: Checkpoints | None = None,
) -> Trained:
    """Trains a classifier of texts and leaves the weights of its best validation score in it.

    Args:
        model: the model; any with `input_ids`, `attention_mask`, `labels`.
        parameter_groups: what to train, each with its learning rate "lr".
        tokenizer: knows the token that pads the batches.
        training: examples to learn from, or batches of them that are read as they are needed.
        validation: examples that decide when to stop and which weights to keep.
        options: batch size, step budget and so on.
        folder: what trackers write; its name is the run's for them.
        seed: orders the batches and draws the dropout; the weights' seed is the caller's affair.
        progress: whether to show a progress bar.
        callbacks: what else takes part in training, such as a method's.
        objectives: losses beside the model's own.
        checkpoints: where to write them, and to go on from if an earlier process was interrupted.
    """
    return fit(
        model,
        parameter_groups,
        training,
        validation,
        options,
        collate=partial(pad, pad_token_id=int(tokenizer.pad_token_id)),
        sampling="group_by_length",
        folder=folder,
        seed=seed,
        progress=progress,
        callbacks=callbacks,
        objectives=objectives,
        checkpoints=checkpoints,
    )


def fit(
    model: PreTrainedModel,
    parameter_groups: Sequence[Mapping[str, Any]],
    training: Dataset[Any] | StreamedBatches[Any],
    validation: Dataset[Any],
    options: TrainingOptions,
    *,
    collate: Callable[[list[Any]], dict[str, Any]],
    sampling: Literal["random", "group_by_length"],
    folder: Path,
    seed: int,
    progress: bool = False,
    callbacks: Sequence[TrainerCallback] = (),
    objectives: Sequence[Objective] = (),
    checkpoints: Checkpoints | None = None,
) -> Trained:
    """Trains any classifier, whatever its examples are: see :func:`train`.

    Args:
        model: the model, with `labels` among its arguments.
        parameter_groups: see :func:`train`, as all that is not explained here.
        training: examples to learn from, with a length, or batches of a stream.
        validation: examples that decide when to stop and which weights to keep.
        options: batch size, step budget and so on.
        collate: makes a batch of examples.
        sampling: how transformers' Trainer draws them.
        folder: what trackers write.
        seed: orders the batches and draws the dropout.
        progress: whether to show a progress bar.
        callbacks: what else takes part in training, such as a method's.
        objectives: losses beside the model's own.
        checkpoints: where to write them, and to go on from if an earlier process was interrupted.
    """
    quiet_transformers()
    steps = options.steps(
        training.examples if isinstance(training, StreamedBatches) else len(cast(Sized, training))
    )
    arguments = TrainingArguments(
        per_device_train_batch_size=options.batch_size // options.gradient_accumulation_steps,
        per_device_eval_batch_size=EVALUATION_BATCH,
        lr_scheduler_type="linear",
        train_sampling_strategy=sampling,
        save_strategy="no",  # the best weights stay in memory
        **common_arguments(options, steps=steps, folder=folder, seed=seed),
    )
    one_device(arguments)
    best = BestWeights(1)
    added = Objectives(objectives)
    groups = [*parameter_groups, *added.parameter_groups]
    if options.checkpoint_seconds == 0:
        checkpoints = None
    trainer = _TrainerWithObjectives(
        objectives=added,
        model=model,
        args=arguments,
        train_dataset=training,
        eval_dataset=validation,
        data_collator=WithinRange(collate, len(label_names(model.config))),
        compute_metrics=_score,
        optimizers=(make_optimizer(groups, options.weight_decay), None),
        checkpoints=identified(checkpoints, model, groups, [decisive(options), seed]),
        checkpoint_seconds=options.checkpoint_seconds,
        callbacks=[
            best,
            EarlyStopping(options.patience),
            added,
            *callbacks,
            *([Progress(scale=100)] if progress else []),
        ],
    )
    try:
        checkpoint = trainer.last_checkpoint()
        if checkpoint is not None and checkpoint.is_finished:
            return Trained(**trainer.read_end(checkpoint))
        seconds = run(trainer, options.report_to, checkpoint)
    finally:
        added.close()
    write_weights(model, best.best.weights)
    trained = Trained(best.best.score, trainer.state.global_step, seconds)
    trainer.write_end(asdict(trained))
    return trained


class _TrainerWithObjectives(ResumableTrainer, TrainsTogether):
    """Adds, in training, further losses to the model's own; evaluates in order of length."""

    def __init__(self, objectives: Objectives, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.objectives = objectives

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        share = inputs.pop(SHARE, WHOLE)
        self.norms.takes_part = share.own > 0
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        self.norms.takes_part = True
        if model.training:
            # Trainer divides by the parts of a batch only what the model has not divided by itself.
            is_divided = self.model_accepts_loss_kwargs and num_items_in_batch is not None
            parts = self.current_gradient_accumulation_steps if is_divided else 1
            added = self.objectives.loss(inputs, outputs.logits, self.state) / parts
            loss = (share.of_sum if is_divided else share.of_mean) * loss + share.of_mean * added
        return (loss, outputs) if return_outputs else loss

    def get_train_dataloader(self) -> DataLoader[Any]:
        if isinstance(self.train_dataset, StreamedBatches):
            return self.train_dataset.loader(self.args)
        return super().get_train_dataloader()

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        # Trainer's own sorts a few hundred examples within batches alone, which are mostly padding.
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_eval_sampler(eval_dataset)
        return by_length(eval_dataset)


def by_length(examples: Any) -> list[int]:
    """Positions of examples, the shortest first: like lengths together hold little padding."""
    lengths = [len(examples[i]["input_ids"]) for i in range(len(examples))]
    return sorted(range(len(lengths)), key=lengths.__getitem__)


@torch.inference_mode()
def predict(model: nn.Module, tokenizer: PreTrainedTokenizerBase, examples: Examples) -> list[int]:
    """The most probable class of every example, in their order."""
    model.eval()
    device = next(model.parameters()).device
    order = by_length(examples)
    predictions = torch.empty(len(examples), dtype=torch.long)
    for start in range(0, len(order), EVALUATION_BATCH):
        rows = order[start : start + EVALUATION_BATCH]
        batch = pad([examples[i] for i in rows], int(tokenizer.pad_token_id))
        del batch["labels"]
        inputs = {name: tensor.to(device) for name, tensor in batch.items()}
        predictions[rows] = model(**inputs).logits.argmax(-1).cpu()
    return predictions.tolist()


def _score(prediction: EvalPrediction) -> dict[str, float]:
    logits = prediction.predictions
    logits = logits[0] if isinstance(logits, tuple) else logits
    return {"score": accuracy(prediction.label_ids, logits.argmax(-1))}
