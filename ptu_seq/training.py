"""Training a classifier by transformers' Trainer: what we set, and the little we add."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import nn
from transformers import (
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from ptu_seq.evaluation import accuracy


@dataclass(frozen=True)
class TrainingOptions:
    """How a network is trained; the same for every method.

    Args:
        batch_size: examples in an optimisation step.
        epochs: passes over the training data, within the limits below.
        min_steps: optimisation steps at least, however few the examples.
        max_steps: optimisation steps at most, however many the examples.
        evaluations: how often in training the validation score is taken.
        patience: evaluations without a better score after which training stops.
        warmup_ratio: share of the steps in which the learning rate rises; then it falls linearly.
        max_grad_norm: gradients are clipped to this norm.
        weight_decay: of AdamW.
        gradient_accumulation_steps: parts into which a batch is cut, to save memory.
        report_to: trackers that transformers knows ("tensorboard", "wandb", ...) or "none".
    """

    batch_size: int = field(default=32, metadata={"help": "examples in an optimisation step"})
    epochs: float = field(default=6.0, metadata={"help": "passes over a target's examples"})
    min_steps: int = field(default=400, metadata={"help": "optimisation steps at least"})
    max_steps: int = field(default=800, metadata={"help": "optimisation steps at most"})
    evaluations: int = field(default=10, metadata={"help": "validation scores taken in training"})
    patience: int = field(default=4, metadata={"help": "evaluations without a better score"})
    warmup_ratio: float = field(default=0.1, metadata={"help": "share of steps of rising rate"})
    max_grad_norm: float = field(default=1.0, metadata={"help": "gradients are clipped to it"})
    weight_decay: float = field(default=0.0, metadata={"help": "weight decay of AdamW"})
    gradient_accumulation_steps: int = field(
        default=1, metadata={"help": "parts into which a batch is cut, to save memory"}
    )
    report_to: str = field(
        default="none", metadata={"help": "trackers: tensorboard, wandb, ... or none"}
    )

    def steps(self, examples: int) -> int:
        """The step budget for so many training examples."""
        wanted = math.ceil(self.epochs * examples / self.batch_size)
        return min(max(wanted, self.min_steps), self.max_steps)


@dataclass(frozen=True)
class Trained:
    """What training came to; the model holds the weights of its best evaluation.

    Args:
        validation_score: accuracy, 0 to 1, at the best evaluation.
        steps: optimisation steps taken.
        seconds: wall-clock time.
    """

    validation_score: float
    steps: int
    seconds: float


def train(
    model: PreTrainedModel,
    parameter_groups: Sequence[Mapping[str, Any]],
    tokenizer: PreTrainedTokenizerBase,
    training: Dataset,
    validation: Dataset,
    options: TrainingOptions,
    *,
    seed: int,
    progress: bool = False,
) -> Trained:
    """Trains a model and leaves the weights of its best validation score in it.

    Args:
        model: the model; any with `input_ids`, `attention_mask`, `labels`.
        parameter_groups: what to train, each with its learning rate "lr".
        tokenizer: pads the batches.
        training: tokenised examples.
        validation: tokenised examples that decide when to stop and which weights to keep.
        options: batch size, step budget and so on.
        seed: orders the batches and draws the dropout; the weights' seed is the caller's affair.
        progress: whether to show a progress bar.
    """
    steps = options.steps(len(training))
    every = max(1, steps // options.evaluations)
    cuda = torch.cuda.is_available()
    with tempfile.TemporaryDirectory(prefix="ptu-seq-") as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=options.batch_size // options.gradient_accumulation_steps,
            per_device_eval_batch_size=256,
            gradient_accumulation_steps=options.gradient_accumulation_steps,
            lr_scheduler_type="linear",
            warmup_steps=round(options.warmup_ratio * steps),
            max_grad_norm=options.max_grad_norm,
            train_sampling_strategy="group_by_length",
            length_column_name="length",
            eval_strategy="steps",
            eval_steps=every,
            save_strategy="steps",
            save_steps=every,
            save_total_limit=1,
            save_only_model=True,
            load_best_model_at_end=True,
            metric_for_best_model="score",
            greater_is_better=True,
            logging_strategy="steps" if options.report_to != "none" else "no",
            logging_steps=every,
            report_to=options.report_to,
            disable_tqdm=not progress,
            bf16=cuda and torch.cuda.is_bf16_supported(),
            dataloader_pin_memory=cuda,
            use_cpu=not cuda,
            seed=seed,
            log_level="error",
        )
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=_with_length(training),
            eval_dataset=_by_length(validation),
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=_score,
            optimizers=(
                torch.optim.AdamW(list(parameter_groups), weight_decay=options.weight_decay),
                None,
            ),
            callbacks=[EarlyStoppingCallback(options.patience)],
        )
        trainer.remove_callback(PrinterCallback)  # a table of many runs has a bar of its own
        started = time.perf_counter()
        trainer.train()
        best = trainer.state.best_metric
        assert best is not None
        return Trained(best, trainer.state.global_step, time.perf_counter() - started)


@torch.inference_mode()
def predict(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    examples: Dataset,
    batch_size: int = 256,
) -> list[int]:
    """The most probable class of every tokenised example, in their order."""
    model.eval()
    device = next(model.parameters()).device
    collate = DataCollatorWithPadding(tokenizer)
    order = np.argsort([len(ids) for ids in examples["input_ids"]], kind="stable")
    predictions = np.empty(len(examples), dtype=np.int64)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = collate(examples.select(rows).remove_columns("labels").to_list()).to(device)
        predictions[rows] = model(**batch).logits.argmax(-1).cpu().numpy()
    return predictions.tolist()


def _score(prediction: EvalPrediction) -> dict[str, float]:
    logits = prediction.predictions
    logits = logits[0] if isinstance(logits, tuple) else logits
    return {"score": accuracy(prediction.label_ids, logits.argmax(-1))}


def _with_length(examples: Dataset) -> Dataset:
    return examples.add_column("length", [len(ids) for ids in examples["input_ids"]])


def _by_length(examples: Dataset) -> Dataset:
    """The longest first, so that batches hold little padding (and memory runs out at once)."""
    lengths = [len(ids) for ids in examples["input_ids"]]
    return examples.select(np.argsort(lengths, kind="stable")[::-1])
