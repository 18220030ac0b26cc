"""A Trainer whose training can be interrupted: it goes on from a checkpoint as if nothing had been.

On the same machine's CPU an interrupted training that goes on ends with the weights, to the bit, of
one that was never interrupted.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
import transformers
from accelerate.utils import send_to_device
from torch import Tensor, nn
from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import TrainerCallback

from ptu_seq import __version__
from ptu_seq.best_weights import Weights, read_weights, write_weights
from ptu_seq.checkpoints import Checkpoint, Checkpoints, State
from ptu_seq.data.streams import StreamedBatches
from ptu_seq.distributed import world_size
from ptu_seq.number_watch import NumberedExamples, NumberWatch
from ptu_seq.random_state import random_state, set_random_state
from ptu_seq.source import content_hash


@runtime_checkable
class Stateful(Protocol):
    """A callback that a checkpoint has to remember something of."""

    def state_dict(self) -> dict[str, Any]:
        """What it has to remember: see :data:`ptu_seq.checkpoints.State`."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from there."""


class ResumableTrainer(Trainer):
    """Writes checkpoints between optimisation steps, after the evaluation if there is one.

    They hold the weights that learn, the optimiser, the schedule, the scaler, every random state,
    the callbacks that are :class:`Stateful`, and the order of the epoch's batches: that is the
    random state at its start, from which the same sampler draws it again, or a stream's own state.

    Args:
        *args: those of Trainer.
        checkpoints: where they are; None: nowhere. Several processes together write none.
        checkpoint_seconds: one is due so long after the last; 0: never.
        **kwargs: those of Trainer.
    """

    def __init__(
        self,
        *args: Any,
        checkpoints: Checkpoints | None = None,
        checkpoint_seconds: float = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        # Processes that train together have random states of their own, which none gathers.
        is_alone = world_size() == 1
        self.checkpoints = checkpoints if checkpoint_seconds > 0 and is_alone else None
        self.checkpoint_seconds = checkpoint_seconds
        examples = self.train_dataset
        self._stream = examples if isinstance(examples, StreamedBatches) else None
        self._examples = NumberedExamples(() if self._stream else examples)
        if self._stream is None:
            self.train_dataset = self._examples
        else:  # which goes on from its own state: nothing is to be passed over
            self.args.ignore_data_skip = True
        self._watch = NumberWatch(self.args.device)
        self._epoch = _EpochStart(self._examples)
        self.add_callback(self._epoch)
        self._resumed: State = None
        self._seconds_before = 0.0  # of the training that the checkpoint has behind it

    def last_checkpoint(self) -> Checkpoint | None:
        """The checkpoint to go on from, if there is one."""
        return None if self.checkpoints is None else self.checkpoints.read_last()

    def train_from(self, checkpoint: Checkpoint | None) -> float:
        """Trains to the end.

        Args:
            checkpoint: where to begin; None: anew.

        Returns:
            The seconds that it took, those before the checkpoint among them.
        """
        self._started = self._last_time = time.perf_counter()
        self._last_step = 0
        if checkpoint is None:
            self.train()
        else:
            self._resumed = checkpoint.state
            self._seconds_before = checkpoint.state["seconds"]
            self._last_step = checkpoint.step
            self.train(resume_from_checkpoint=str(checkpoint.path))
        return self._seconds

    def write_end(self, result: dict[str, Any]) -> None:
        """Writes what the training came to, if it took long enough for a checkpoint.

        A kill before the result is written elsewhere then costs no training.

        Args:
            result: numbers that :meth:`read_end` gives back.
        """
        if self.checkpoints is None or not (self.checkpoints.last_good or self._is_due()):
            return
        state = {
            "result": result,
            "model": self._weights(),
            "random": random_state(),
            "callbacks": [callback.state_dict() for callback in self._stateful()],
        }
        self.checkpoints.write(self.state.global_step, state, is_finished=True)

    def read_end(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """Takes over a training that had ended, and returns its result."""
        assert isinstance(self.model, nn.Module)
        write_weights(self.model, checkpoint.state["model"])
        self._load_callbacks(checkpoint.state["callbacks"])
        set_random_state(checkpoint.state["random"])
        return checkpoint.state["result"]

    def training_step(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor | Any],
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """As Trainer's; a loss that is not finite ends the training.

        Raises:
            NumericalError: see :class:`ptu_seq.number_watch.NumberWatch`.
        """
        assert self.optimizer is not None
        step = self.state.global_step + 1
        examples = self._examples.take(len(inputs["labels"]))
        if world_size() > 1:  # each has read more than its own
            examples = []
            self._examples.clear()
        self._watch.begin(step, examples, max(g["lr"] for g in self.optimizer.param_groups))
        loss = super().training_step(model, inputs, num_items_in_batch)
        self._watch.note("loss", step, loss, self._last_good)
        return loss

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm)
        seen, scaler = norm, self.accelerator.scaler
        if scaler is not None:
            # Half precision overflows now and then; the scaler leaves the step out and scales less.
            seen = torch.where(scaler._scale > 1, torch.zeros_like(norm), norm)
        self._watch.note("norm of the gradient", self.state.global_step + 1, seen, self._last_good)
        return norm

    @property
    def _last_good(self) -> Path | None:
        return None if self.checkpoints is None else self.checkpoints.last_good

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
        control = self.control
        if control.should_evaluate or control.should_training_stop or self._is_due():
            self._watch.check(self._last_good)
        super()._maybe_log_save_evaluate(*args, **kwargs)
        ends = self.control.should_training_stop  # what follows writes it: see `write_end`
        if not ends and self.state.global_step > self._last_step and self._is_due():
            self._write()

    @property
    def _seconds(self) -> float:
        return self._seconds_before + time.perf_counter() - self._started

    def _is_due(self) -> bool:
        passed = time.perf_counter() - self._last_time
        return self.checkpoints is not None and passed >= self.checkpoint_seconds

    def _write(self) -> None:
        assert self.checkpoints is not None
        assert self.optimizer is not None and self.lr_scheduler is not None
        optimizer = self.optimizer.state_dict()
        state = {
            "seconds": self._seconds,
            "model": self._weights(),
            "optimizer": {str(i): of_one for i, of_one in optimizer["state"].items()},
            "rates": [group["lr"] for group in optimizer["param_groups"]],
            "scheduler": self.lr_scheduler.state_dict(),
            "scaler": self.accelerator.scaler and self.accelerator.scaler.state_dict(),
            "random": random_state(),
            "epoch": {"fraction": self.state.epoch, "random": self._epoch.random},
            "callbacks": [callback.state_dict() for callback in self._stateful()],
            "stream": self._stream and self._stream.state_dict(),
        }
        # In a file of its own, as Trainer reads it.
        texts = {"trainer_state.json": json.dumps(dataclasses.asdict(self.state))}
        self.checkpoints.write(self.state.global_step, state, texts)
        self._last_step = self.state.global_step
        self._last_time = time.perf_counter()

    def _weights(self) -> Weights:
        assert isinstance(self.model, nn.Module) and self.optimizer is not None
        return read_weights(self.model, self.optimizer)

    def _stateful(self) -> list[Stateful]:
        return [one for one in self.callback_handler.callbacks if isinstance(one, Stateful)]

    def _load_callbacks(self, states: Sequence[dict[str, Any]]) -> None:
        states = send_to_device(states, self.args.device)
        for callback, state in zip(self._stateful(), states, strict=True):
            callback.load_state_dict(state)

    # Trainer calls what follows where it would read its own files of a checkpoint.

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: nn.Module | None = None
    ) -> None:
        assert isinstance(self.model, nn.Module)
        write_weights(self.model, self._resumed["model"])

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        assert self.optimizer is not None and self.lr_scheduler is not None
        resumed = self._resumed
        self._load_callbacks(resumed["callbacks"])  # objectives move their weights to the device
        state = self.optimizer.state_dict()
        state["state"] = {int(i): of_one for i, of_one in resumed["optimizer"].items()}
        for group, rate in zip(state["param_groups"], resumed["rates"], strict=True):
            group["lr"] = rate
        self.optimizer.load_state_dict(state)
        self.lr_scheduler.load_state_dict(resumed["scheduler"])
        if self._stream is not None:
            self._stream.load_state_dict(resumed["stream"])
        epoch = resumed["epoch"]
        # At an epoch's end the next one begins with the random state of the checkpoint itself.
        at_end = float(epoch["fraction"]).is_integer()
        self._epoch.begins_with = resumed["random"]["torch"] if at_end else epoch["random"]

    def _load_scaler(self, checkpoint: str | None) -> None:
        if checkpoint is not None and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(self._resumed["scaler"])

    def _load_rng_state(self, checkpoint: str | None) -> None:
        # Once the batches that were done are passed over; nothing of the checkpoint is read later.
        if checkpoint is not None:
            set_random_state(self._resumed["random"])
            self._resumed = None


class _EpochStart(TrainerCallback):
    """Notes torch's random state at the start of an epoch: the order of its batches follows.

    Args:
        examples: what was drawn of them before is forgotten.

    Attributes:
        random: the state.
        begins_with: what to set it to at the start of the next epoch.
    """

    random: Tensor | None = None
    begins_with: Tensor | None = None

    def __init__(self, examples: NumberedExamples) -> None:
        self.examples = examples

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.begins_with is not None:
            torch.set_rng_state(self.begins_with)
            self.begins_with = None
        self.random = torch.get_rng_state()
        self.examples.clear()


def identified(
    checkpoints: Checkpoints | None,
    model: nn.Module,
    parameter_groups: Sequence[Mapping[str, Any]],
    settings: Any,
) -> Checkpoints | None:
    """The checkpoints of this very training, from this start, with these libraries.

    Args:
        checkpoints: where they are, and what the caller knows that decides its numbers.
        model: before training.
        parameter_groups: what is trained.
        settings: JSON-like, what else decides its numbers.
    """
    if checkpoints is None:
        return None
    identity = {
        "given": checkpoints.identity,
        "settings": settings,
        "model": content_hash(model),
        "groups": [
            {name: len(value) if name == "params" else value for name, value in group.items()}
            for group in parameter_groups
        ],
        "versions": [__version__, torch.__version__, transformers.__version__],
        "device": "cuda" if torch.cuda.is_available() else "cpu",
    }
    return Checkpoints(checkpoints.folder, identity)
