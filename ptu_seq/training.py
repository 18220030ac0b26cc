"""Training a classifier by transformers' Trainer: what we set, and the little we add."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast

import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import (
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
)
from transformers.trainer_callback import TrainerCallback

from ptu_seq.batches import Examples, Row, pad
from ptu_seq.errors import UserError
from ptu_seq.evaluation import accuracy
from ptu_seq.methods.objective import Objective
from ptu_seq.objectives import Objectives
from ptu_seq.ranges import Checked, Range
from ptu_seq.trainer_setup import (
    Progress,
    Trained,
    check_tracker,
    common_arguments,
    make_optimizer,
    one_device,
    quiet_transformers,
    run,
)

EVALUATION_BATCH = 128


@dataclass(frozen=True)
class TrainingOptions(Checked):
    """How a network is trained; the same for every method.

    Args:
        batch_size: examples in an optimisation step.
        epochs: passes over the training data, within the limits below.
        min_steps: optimisation steps at least, however few the examples.
        max_steps: optimisation steps at most, however many the examples.
        evaluations: how often in training the validation score is taken.
        patience: evaluations without a better score after which training stops.
        warmup_ratio: share of the steps in which the learning rate rises; then it falls linearly.
        max_grad_norm: gradients are clipped to this norm; 0 leaves them.
        weight_decay: of AdamW.
        gradient_accumulation_steps: parts into which a batch is cut, to save memory.
        report_to: a tracker that transformers knows ("tensorboard", "wandb", ...), "all" that are
            installed, or "none".

    Raises:
        UserError: if a value is out of its range, or the tracker is not installed.
    """

    _argument_group_name: ClassVar[str] = "training"

    batch_size: Annotated[int, Range(1)] = field(
        default=32, metadata={"help": "examples in an optimisation step"}
    )
    epochs: Annotated[float, Range(0)] = field(
        default=12.0, metadata={"help": "passes over a target's examples"}
    )
    min_steps: Annotated[int, Range(1)] = field(
        default=400, metadata={"help": "optimisation steps at least, unless --max_steps is less"}
    )
    max_steps: Annotated[int, Range(1)] = field(
        default=1600, metadata={"help": "optimisation steps at most"}
    )
    evaluations: Annotated[int, Range(1)] = field(
        default=10, metadata={"help": "validation scores taken in training"}
    )
    patience: Annotated[int, Range(1)] = field(
        default=4, metadata={"help": "evaluations without a better score that end training"}
    )
    warmup_ratio: Annotated[float, Range(0, 1)] = field(
        default=0.1, metadata={"help": "share of steps of rising learning rate, before it falls"}
    )
    max_grad_norm: Annotated[float, Range(0)] = field(
        default=1.0, metadata={"help": "norm that gradients are clipped to; 0: not clipped"}
    )
    weight_decay: Annotated[float, Range(0, 1)] = field(
        default=0.0, metadata={"help": "weight decay of AdamW"}
    )
    gradient_accumulation_steps: Annotated[int, Range(1)] = field(
        default=1, metadata={"help": "parts into which a batch is cut, to save memory"}
    )
    report_to: str = field(
        default="none", metadata={"help": "tracker: tensorboard, wandb, ..., all, or none"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size % self.gradient_accumulation_steps:
            raise UserError(
                f"--gradient_accumulation_steps is {self.gradient_accumulation_steps}, which does "
                f"not divide --batch_size {self.batch_size} into equal parts."
            )
        check_tracker(self.report_to)

    def steps(self, examples: int) -> int:
        """The step budget for so many training examples."""
        wanted = math.ceil(self.epochs * examples / self.batch_size)
        return min(max(wanted, self.min_steps), self.max_steps)


def train(
    model: PreTrainedModel,
    parameter_groups: Sequence[Mapping[str, Any]],
    tokenizer: PreTrainedTokenizerBase,
    training: Dataset[Row],
    validation: Dataset[Row],
    options: TrainingOptions,
    *,
    folder: Path,
    seed: int,
    progress: bool = False,
    callbacks: Sequence[TrainerCallback] = (),
    objectives: Sequence[Objective] = (),
) -> Trained:
    """Trains a classifier of texts and leaves the weights of its best validation score in it.

    Args:
        model: the model; any with `input_ids`, `attention_mask`, `labels`.
        parameter_groups: what to train, each with its learning rate "lr".
        tokenizer: knows the token that pads the batches.
        training: examples to learn from.
        validation: examples that decide when to stop and which weights to keep.
        options: batch size, step budget and so on.
        folder: holds the checkpoint while training lasts, and what trackers write for good; its
            name is the run's for them.
        seed: orders the batches and draws the dropout; the weights' seed is the caller's affair.
        progress: whether to show a progress bar.
        callbacks: what else takes part in training, such as a method's.
        objectives: losses beside the model's own.
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
    )


def fit(
    model: PreTrainedModel,
    parameter_groups: Sequence[Mapping[str, Any]],
    training: Dataset[Any],
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
) -> Trained:
    """Trains any classifier, whatever its examples are: see :func:`train`.

    Args:
        model: the model, with `labels` among its arguments.
        parameter_groups: see :func:`train`, as all that is not explained here.
        training: examples to learn from, with a length.
        validation: examples that decide when to stop and which weights to keep.
        options: batch size, step budget and so on.
        collate: makes a batch of examples.
        sampling: how transformers' Trainer draws them.
        folder: holds the checkpoint while training lasts.
        seed: orders the batches and draws the dropout.
        progress: whether to show a progress bar.
        callbacks: what else takes part in training, such as a method's.
        objectives: losses beside the model's own.
    """
    quiet_transformers()
    for left in folder.glob("checkpoint-*"):  # by the same training, when it was killed
        shutil.rmtree(left)
    steps = options.steps(len(cast(Sized, training)))
    arguments = TrainingArguments(
        per_device_train_batch_size=options.batch_size // options.gradient_accumulation_steps,
        per_device_eval_batch_size=EVALUATION_BATCH,
        lr_scheduler_type="linear",
        train_sampling_strategy=sampling,
        save_strategy="best",
        save_total_limit=1,
        save_only_model=True,
        load_best_model_at_end=True,
        **common_arguments(options, steps=steps, folder=folder, seed=seed),
    )
    one_device(arguments)
    added = Objectives(objectives)
    groups = [*parameter_groups, *added.parameter_groups]
    trainer = _TrainerWithObjectives(
        objectives=added,
        model=model,
        args=arguments,
        train_dataset=training,
        eval_dataset=validation,
        data_collator=collate,
        compute_metrics=_score,
        optimizers=(make_optimizer(groups, options.weight_decay), None),
        callbacks=[
            EarlyStoppingCallback(options.patience),
            added,
            *callbacks,
            *([Progress(scale=100)] if progress else []),
        ],
    )
    try:
        seconds = run(trainer, options.report_to)
    finally:
        added.close()
    best = trainer.state.best_metric
    assert best is not None and trainer.state.best_model_checkpoint is not None
    shutil.rmtree(trainer.state.best_model_checkpoint)
    return Trained(best, trainer.state.global_step, seconds)


class _TrainerWithObjectives(Trainer):
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
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        if model.training:
            # Trainer divides by the parts of a batch only what the model has not divided by itself.
            is_divided = self.model_accepts_loss_kwargs and num_items_in_batch is not None
            parts = self.current_gradient_accumulation_steps if is_divided else 1
            loss = loss + self.objectives.loss(inputs, outputs.logits, self.state) / parts
        return (loss, outputs) if return_outputs else loss

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
