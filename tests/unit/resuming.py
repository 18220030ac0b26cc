"""Trainings of all three kinds by any method, small, and stopped where a test likes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import torch
from torch import Tensor
from transformers import PreTrainedModel, set_seed
from transformers.trainer_callback import TrainerCallback

from ptu_seq.batches import Examples, pad
from ptu_seq.checkpoints import Checkpoints
from ptu_seq.data.images import ImageSplit
from ptu_seq.gate_history import GateHistory
from ptu_seq.images.batches import ImageExamples, stack
from ptu_seq.images.networks import NetworkShape, new_network
from ptu_seq.methods import Task, get_method
from ptu_seq.methods.domains import Domains
from ptu_seq.methods.readers import ClassifierReader
from ptu_seq.methods.translation import get_translation_method
from ptu_seq.methods.translation.domains import SentenceDomains, SentenceReader
from ptu_seq.methods.vision import get_image_method
from ptu_seq.models import RNNConfig, RNNForSequenceClassification
from ptu_seq.trainer_setup import Trained
from ptu_seq.training import TrainingOptions, fit, train
from ptu_seq.translation.batches import collate
from ptu_seq.translation.options import TranslationTrainingOptions
from ptu_seq.translation.training import train_translator
from tests.unit.translation_family import DROPS, make_family, sentences

#: Steps of a training, and of each of its epochs (about, in translation) and between evaluations.
STEPS, EPOCH, EVERY = 12, 5, 4

LABELS = {0: "bad", 1: "good"}


class Stopped(Exception):
    """What ends a training in a test."""


class StopAt(TrainerCallback):
    """Raises at the end of a step, before its evaluation and its checkpoint.

    Or makes a weight infinite before a step, if that is wanted: `poisoned` is the step.

    Attributes:
        steps: those that were taken.
    """

    def __init__(self, step: int | None, poisoned: int | None) -> None:
        self.step = step
        self.poisoned = poisoned
        self.steps: list[int] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step + 1 == self.poisoned:
            weights = [w for w in kwargs["model"].parameters() if w.requires_grad]
            weights[-1].data.fill_(torch.nan)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.steps.append(state.global_step)
        if state.global_step == self.step:
            raise Stopped


@dataclass
class Ended:
    """What a training leaves."""

    trained: Trained
    weights: dict[str, Tensor]
    history: list[dict[str, Any]]
    taken: list[int] = field(default_factory=list)

    def is_like(self, other: Ended) -> bool:
        """Whether nothing differs but the time and the steps that this process took."""
        numbers = [(e.trained.validation_score, e.trained.steps, e.history) for e in (self, other)]
        return numbers[0] == numbers[1] and all(
            torch.equal(value, other.weights[name]) for name, value in self.weights.items()
        )


Run = Callable[[Checkpoints | None, int | None], Ended]
"""Trains, with checkpoints after every step if any, and stops at a step if one is given."""


def end(model: PreTrainedModel, trained: Trained, history: GateHistory | None, stop: StopAt) -> Any:
    weights = {name: value.cpu().clone() for name, value in model.state_dict().items()}
    return Ended(trained, weights, history.records if history else [], stop.steps)


def options(**others: Any) -> dict[str, Any]:
    """Dropout, accumulation, early stopping that counts but comes too late."""
    return {
        "min_steps": STEPS,
        "max_steps": STEPS,
        "evaluations": STEPS // EVERY,
        "gradient_accumulation_steps": 2,
        "checkpoint_seconds": 1e-9,
        **others,
    }


def text_examples(count: int, seed: int) -> Examples:
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 7, (count,), generator=draw).tolist()
    ids = [torch.randint(4, 20, (length,), generator=draw).tolist() for length in lengths]
    columns = {
        "input_ids": ids,
        "attention_mask": [[1] * length for length in lengths],
        "labels": [max(one) % 2 for one in ids],
    }
    return Examples(datasets.Dataset.from_dict(columns))


def text(name: str, poisoned: int | None = None, **changed: Any) -> Run:
    """Of a classifier of sentences."""
    method = get_method(name)
    setting, task = method.grid[0], Task(LABELS, {})

    def run(checkpoints: Checkpoints | None, stop_at: int | None) -> Ended:
        set_seed(1)
        shape: dict[str, Any] = {
            "embedding_size": 4,
            "hidden_size": 4,
            "embedding_dropout": 0.3,
        }
        source = RNNForSequenceClassification(RNNConfig(vocab_size=20, id2label=LABELS, **shape))
        model = method.build(source, task, setting)
        stop = StopAt(stop_at, poisoned)
        batch = pad(text_examples(4, 5).rows, 0)
        del batch["labels"]
        history = GateHistory(batch) if hasattr(model, "gates") else None

        def domains(model: PreTrainedModel) -> ClassifierReader:
            both = (text_examples(9, 3), text_examples(8, 4), ["bad", "good"], ["bad", "good"])
            return ClassifierReader(model, Domains(*both, partial(pad, pad_token_id=0), 2, seed=0))

        trained = train(
            model,
            method.parameter_groups(model, setting),
            SimpleNamespace(pad_token_id=0),  # type: ignore[arg-type]
            text_examples(4 * EPOCH - 1, 1),
            text_examples(11, 2),
            TrainingOptions(**options(batch_size=4, **changed)),
            folder=Path("unused"),
            seed=3,
            callbacks=[*method.callbacks(model, setting), *([history] if history else []), stop],
            objectives=method.objectives(model, source, task, setting, domains),
            checkpoints=checkpoints,
        )
        return end(model, trained, history, stop)

    return run


def image_examples(count: int, seed: int) -> ImageExamples:
    draw = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 255, (count, 1, 16, 16), generator=draw).to(torch.uint8)
    labels = pixels.flatten(1).max(1).values % 2
    return ImageExamples(ImageSplit(pixels.numpy(), labels.long().numpy()), 16, 1)


def image(name: str, poisoned: int | None = None, **changed: Any) -> Run:
    """Of a classifier of images."""
    method = get_image_method(name)
    setting, task = method.grid[0], Task(LABELS, {})

    def run(checkpoints: Checkpoints | None, stop_at: int | None) -> Ended:
        set_seed(1)
        source = new_network(NetworkShape("resnet", 4, 16, 1, dropout=0.3), LABELS)
        model = method.build(source, task, setting)
        stop = StopAt(stop_at, poisoned)
        pixels = image_examples(4, 5).pixels
        history = GateHistory({"pixel_values": pixels}) if hasattr(model, "gates") else None

        def domains(model: PreTrainedModel) -> ClassifierReader:
            both = (image_examples(9, 3), image_examples(8, 4), ["bad", "good"], ["bad", "good"])
            return ClassifierReader(model, Domains(*both, stack, 2, seed=0))

        trained = fit(
            model,
            method.parameter_groups(model, setting),
            image_examples(4 * EPOCH, 1),  # no batch of one, which batch norm cannot learn from
            image_examples(11, 2),
            TrainingOptions(**options(batch_size=4, **changed)),
            collate=stack,
            sampling="random",
            folder=Path("unused"),
            seed=3,
            callbacks=[*method.callbacks(model, setting), *([history] if history else []), stop],
            objectives=method.objectives(model, source, task, setting, domains),
            checkpoints=checkpoints,
        )
        return end(model, trained, history, stop)

    return run


def translation(name: str, poisoned: int | None = None, **changed: Any) -> Run:
    """Of a translator."""
    method = get_translation_method(name)
    setting = method.grid[0]
    family = make_family("joint")
    task = replace(family.task, network={**family.task.network, **DROPS})
    sides = zip(
        family.tokenizers.encode_source(sentences(family.words, 20, 1)),
        family.tokenizers.encode_target(sentences("abcd", 20, 2)),
        strict=True,
    )
    pairs = [{"input_ids": source, "labels": target} for source, target in sides]

    def run(checkpoints: Checkpoints | None, stop_at: int | None) -> Ended:
        set_seed(1)
        model = method.build(family.parent, task, setting)
        padding = partial(collate, pad_token_id=int(model.config.pad_token_id))
        stop = StopAt(stop_at, poisoned)
        history = GateHistory(padding(pairs[:2])) if hasattr(model, "gates") else None

        def domains(model: PreTrainedModel) -> SentenceReader:
            both = SentenceDomains(pairs[:9], pairs[9:], True, padding, 2, seed=0)
            return SentenceReader(model, None, both)

        trained = train_translator(
            model,
            method.parameter_groups(model, setting),
            family.tokenizers,
            pairs[:16],
            pairs[16:],
            TranslationTrainingOptions(**options(batch_tokens=60, metric="chrf", **changed)),
            folder=Path("unused"),
            seed=3,
            callbacks=[*method.callbacks(model, setting), *([history] if history else []), stop],
            objectives=method.objectives(model, family.parent, task, setting, domains),
            checkpoints=checkpoints,
        )
        return end(model, trained, history, stop)

    return run


KINDS: dict[str, Callable[..., Run]] = {"text": text, "image": image, "translation": translation}


def stopped(run: Run, checkpoints: Checkpoints, stops: Sequence[int]) -> Ended:
    """Trains with interruptions at steps, each time in as new a state as another process would."""
    for step in stops:
        try:
            run(Checkpoints(checkpoints.folder, checkpoints.identity), step)
        except Stopped:
            continue
        raise AssertionError(f"did not reach step {step}")
    return run(checkpoints, None)
