"""What every training has in common: how transformers' Trainer is set up, watched and ended."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    ProgressCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.integrations import (
    get_available_reporting_integrations,
    get_reporting_integration_callbacks,
)
from transformers.utils import logging

from ptu_seq.checkpoints import Checkpoint
from ptu_seq.errors import UserError
from ptu_seq.memory import keep_freed_memory
from ptu_seq.resumable_trainer import ResumableTrainer


@dataclass(frozen=True)
class Trained:
    """What training came to; the model holds the weights of its best evaluation.

    Args:
        validation_score: the score at the best evaluation: accuracy from 0 to 1 for classifiers,
            BLEU or chrF from 0 to 100 for translators.
        steps: optimisation steps taken.
        seconds: wall-clock time.
    """

    validation_score: float
    steps: int
    seconds: float


class CommonOptions(Protocol):
    """The options that every training has, whatever is trained."""

    @property
    def evaluations(self) -> int: ...  # noqa: D102
    @property
    def warmup_ratio(self) -> float: ...  # noqa: D102
    @property
    def max_grad_norm(self) -> float: ...  # noqa: D102
    @property
    def gradient_accumulation_steps(self) -> int: ...  # noqa: D102
    @property
    def report_to(self) -> str: ...  # noqa: D102
    @property
    def checkpoint_seconds(self) -> float: ...  # noqa: D102


def decisive(options: Any) -> dict[str, Any]:
    """The options of a training that decide its numbers.

    Neither who watches it does, nor when it writes checkpoints.

    Args:
        options: a dataclass of :class:`CommonOptions`.
    """
    others = ("report_to", "checkpoint_seconds")
    return {name: value for name, value in asdict(options).items() if name not in others}


def common_arguments(
    options: CommonOptions, *, steps: int, folder: Path, seed: int
) -> dict[str, Any]:
    """Arguments of transformers' Trainer that do not depend on what is trained.

    Args:
        options: the options of the training.
        steps: its optimisation steps.
        folder: holds the checkpoint while training lasts, and what trackers write for good; its
            name is the run's for them.
        seed: orders the batches and draws the dropout.
    """
    cuda = torch.cuda.is_available()
    every = max(1, steps // options.evaluations)
    return dict(
        output_dir=str(folder),
        run_name=folder.name,
        max_steps=steps,
        gradient_accumulation_steps=options.gradient_accumulation_steps,
        warmup_steps=round(options.warmup_ratio * steps),
        max_grad_norm=options.max_grad_norm,
        remove_unused_columns=False,
        eval_strategy="steps",
        eval_steps=every,
        metric_for_best_model="score",
        greater_is_better=True,
        logging_strategy="no" if options.report_to == "none" else "steps",
        logging_steps=every,
        logging_nan_inf_filter=False,  # it waits for the loss of every step
        report_to=options.report_to,
        disable_tqdm=True,  # its bars are many; ours is one
        bf16=cuda and torch.cuda.is_bf16_supported(including_emulation=False),
        dataloader_pin_memory=cuda,
        accelerator_config={"non_blocking": cuda},  # pinned batches are copied while others compute
        use_cpu=not cuda,
        seed=seed,
        log_level="error",
        log_level_replica="error",
    )


def one_device(arguments: TrainingArguments) -> None:
    """Keeps Trainer off DataParallel, which multiplies the batch and slows small networks down."""
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1


def make_optimizer(
    parameter_groups: Sequence[Mapping[str, Any]], weight_decay: float
) -> torch.optim.Optimizer:
    """AdamW over groups, each with its learning rate "lr" and, if it likes, a "weight_decay"."""
    groups = [dict(group) for group in parameter_groups]
    return torch.optim.AdamW(groups, weight_decay=weight_decay, fused=True)


def run(trainer: ResumableTrainer, tracker: str, checkpoint: Checkpoint | None = None) -> float:
    """Trains, closes the tracker, and returns the seconds that training took.

    Args:
        trainer: does it.
        tracker: the value of `report_to`.
        checkpoint: what to go on from.
    """
    trainer.remove_callback(PrinterCallback)
    keep_freed_memory()
    seconds = trainer.train_from(checkpoint)
    _end_tracking(tracker)
    return seconds


class EarlyStopping(EarlyStoppingCallback):
    """Transformers' own, which checkpoints remember."""

    def state_dict(self) -> dict[str, Any]:
        """How long no score has been better."""
        return {"counter": self.early_stopping_patience_counter}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on counting from there."""
        self.early_stopping_patience_counter = state["counter"]


def quiet_transformers() -> None:
    """Hides transformers' notes and bars from here on; ours say what matters."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()


class Progress(ProgressCallback):
    """A bar of optimisation steps, with the last validation score.

    Args:
        scale: what scores are multiplied by, to be shown from 0 to 100.
    """

    def __init__(self, scale: float = 1) -> None:
        super().__init__()
        self.scale = scale

    def on_prediction_step(self, *args: Any, **kwargs: Any) -> None:
        pass

    def on_log(self, *args: Any, **kwargs: Any) -> None:
        pass

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if self.training_bar is not None and metrics:
            score = self.scale * metrics["eval_score"]
            self.training_bar.set_postfix_str(f"validation {score:.1f}")


def check_tracker(name: str) -> None:
    """Checks the value of `report_to`.

    Raises:
        UserError: if transformers knows no such tracker, or it is not installed.
    """
    if name in ("none", "all"):
        return
    try:
        get_reporting_integration_callbacks(name)
    except ValueError as error:  # transformers names those it knows
        raise UserError(f"--report_to {name}: {error}") from error
    if name not in get_available_reporting_integrations():
        raise UserError(
            f"--report_to {name}: it is not installed here; install it with pip, or give none."
        )


def _end_tracking(tracker: str) -> None:
    # Other trackers end with a training; this one would go on into the next.
    wandb = sys.modules.get("wandb")
    if tracker in ("wandb", "all") and wandb is not None:
        wandb.finish()
