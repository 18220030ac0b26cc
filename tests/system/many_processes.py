"""Trainings of which every loss is noted, by one process or by several of a launcher.

As a program: `many_processes.py FOLDER CASE...` writes FOLDER/CASE.json for each.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch import Tensor
from torch import distributed as dist
from transformers import (
    PreTrainedModel,
    Trainer,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_callback import TrainerCallback

from ptu_seq.batches import Examples, pad
from ptu_seq.data.images import ImageSplit
from ptu_seq.distributed import is_main_process, rank, run_together, together, world_size
from ptu_seq.errors import NumericalError
from ptu_seq.images.batches import ImageExamples, stack
from ptu_seq.images.networks import NetworkShape, new_network
from ptu_seq.methods import Task, get_method
from ptu_seq.methods.domains import Domains
from ptu_seq.methods.readers import ClassifierReader
from ptu_seq.methods.translation import get_translation_method
from ptu_seq.methods.vision import get_image_method
from ptu_seq.models import RNNConfig, RNNForSequenceClassification
from ptu_seq.trainer_setup import Trained
from ptu_seq.training import TrainingOptions, fit
from ptu_seq.translation.options import TranslationTrainingOptions
from ptu_seq.translation.training import train_translator
from tests.unit.translation_family import make_family, sentences

LABELS = {0: "no", 1: "yes"}
BATCH = 8

#: What takes part in trainings on texts, and the step that it spoils.
CALLBACKS: list[TrainerCallback] = []
POISONED = 5


def calm(setting: Mapping[str, Any]) -> dict[str, Any]:
    """A setting under which nothing is drawn at random in training."""
    return {name: 0.0 if "dropout" in name else value for name, value in setting.items()}


@contextmanager
def noted_losses() -> Iterator[list[float]]:
    """The loss of every step, or part of one, in all processes together."""
    losses: list[float] = []
    step = Trainer.training_step

    def noted(self: Trainer, *args: Any, **kwargs: Any) -> Tensor:
        loss = step(self, *args, **kwargs)
        mean = loss.detach().clone().float()
        if world_size() > 1:
            dist.all_reduce(mean)
        losses.append(mean.item() / world_size())
        return loss

    with mock.patch.object(Trainer, "training_step", noted):
        yield losses


def texts(count: int, seed: int) -> Examples:
    draw = random.Random(seed)
    ids = [[draw.randrange(4, 30) for _ in range(draw.randint(1, 9))] for _ in range(count)]
    rows = {
        "input_ids": ids,
        "attention_mask": [[1] * len(row) for row in ids],
        "labels": [sum(row) % 2 for row in ids],
    }
    return Examples(Dataset.from_dict(rows))


def images(count: int, seed: int) -> ImageExamples:
    draw = np.random.default_rng(seed)
    pixels = draw.integers(0, 256, (count, 1, 12, 12)).astype(np.uint8)
    return ImageExamples(ImageSplit(pixels, draw.integers(0, 2, count)), 12, 1)


def options(parts: int, **fields: Any) -> TrainingOptions:
    shape = {"batch_size": BATCH, "min_steps": 12, "max_steps": 12, "evaluations": 3}
    return TrainingOptions(**{**shape, "gradient_accumulation_steps": parts, **fields})


def train_texts(
    name: str, folder: Path, count: int = 22, parts: int = 1
) -> tuple[Trained, PreTrainedModel]:
    """A classifier of texts: the last batch of an epoch is smaller, or has a single example."""
    set_seed(0)
    config = RNNConfig(
        vocab_size=30,
        embedding_size=6,
        hidden_size=5,
        embedding_std=1.0,
        embedding_dropout=0.0,
        hidden_dropout=0.0,
        id2label={0: "bad", 1: "good"},
    )
    source = RNNForSequenceClassification(config)
    method, task = get_method(name), Task(LABELS, {})
    setting = calm(method.grid[0])
    model = method.build(source, task, setting)
    collate = partial(pad, pad_token_id=0)
    training = texts(count, 1)

    def read(model: PreTrainedModel) -> ClassifierReader:
        size = BATCH // (parts * world_size())
        domains = Domains(texts(20, 3), training, ["a", "b"], ["no", "yes"], collate, size, 0)
        return ClassifierReader(model, domains)

    trained = fit(
        model,
        method.parameter_groups(model, setting),
        training,
        texts(40, 2),
        options(parts),
        collate=collate,
        sampling="group_by_length",
        folder=folder,
        seed=0,
        callbacks=[*method.callbacks(model, setting), *CALLBACKS],
        objectives=method.objectives(model, source, task, setting, read),
    )
    return trained, model


def train_images(
    name: str, folder: Path, architecture: str = "lenet", count: int = 17
) -> tuple[Trained, PreTrainedModel]:
    """A classifier of images; of 17 the last batch has one, so that one process has none."""
    set_seed(0)
    source = new_network(NetworkShape(architecture, 2, 12, 1, 0.0), LABELS)
    method, task = get_image_method(name), Task({0: "a", 1: "b"}, {})
    setting = calm(method.grid[0])
    model = method.build(source, task, setting)
    trained = fit(
        model,
        method.parameter_groups(model, setting),
        images(count, 1),
        images(30, 2),
        options(1),
        collate=stack,
        sampling="random",
        folder=folder,
        seed=0,
        callbacks=method.callbacks(model, setting),
        objectives=[],
    )
    return trained, model


def train_pairs(name: str, folder: Path, parts: int = 1) -> tuple[Trained, PreTrainedModel]:
    """A translator; some batches have one pair, others an odd number."""
    family = make_family("joint")
    set_seed(0)
    method = get_translation_method(name)
    setting = calm(method.grid[0])
    model = method.build(family.parent, family.task, setting)
    encode = family.tokenizers.encode_source
    pairs = [
        {"input_ids": source, "labels": target}
        for source, target in zip(
            encode(sentences(family.words, 150, 1)), encode(sentences("abcd", 150, 2)), strict=True
        )
    ]
    trained = train_translator(
        model,
        method.parameter_groups(model, setting),
        family.tokenizers,
        pairs[:17],
        pairs[17:],
        TranslationTrainingOptions(
            batch_tokens=24 * parts,
            min_steps=12,
            max_steps=12,
            evaluations=3,
            metric="chrf",
            gradient_accumulation_steps=parts,
        ),
        folder=folder,
        seed=0,
        callbacks=method.callbacks(model, setting),
        objectives=method.objectives(model, family.parent, family.task, setting, _no_domains),
    )
    return trained, model


def _no_domains(model: PreTrainedModel) -> Any:
    raise AssertionError("none of these methods reads both tasks")


CASES = {
    "texts, fine_tune": partial(train_texts, "fine_tune"),
    "texts, fewer than processes": partial(train_texts, "fine_tune", count=1),
    "texts, in parts": partial(train_texts, "fine_tune", count=17, parts=2),
    "texts, ptu": partial(train_texts, "ptu", count=17),
    "texts, gradual_unfreezing": partial(train_texts, "gradual_unfreezing", count=17),
    "texts, cross_stitch": partial(train_texts, "cross_stitch"),
    "texts, l2_sp": partial(train_texts, "l2_sp"),
    "texts, frozen": partial(train_texts, "frozen"),
    "texts, distillation": partial(train_texts, "distillation", count=17),
    "images, fine_tune": partial(train_images, "fine_tune"),
    "images, ptu": partial(train_images, "ptu"),
    "images, gradual_unfreezing": partial(train_images, "gradual_unfreezing"),
    "images, batch norm": partial(train_images, "fine_tune", architecture="vgg"),
    "images, ptu with batch norm": partial(train_images, "ptu", architecture="resnet", count=22),
    "translation, fine_tune": partial(train_pairs, "fine_tune"),
    "translation, ptu": partial(train_pairs, "ptu"),
    "translation, distillation, in parts": partial(train_pairs, "distillation", parts=2),
}

#: Companions compare what a process reads: two are as one that reads its batches in two parts.
COMPANIONS = {f"texts, {name}": partial(train_texts, name) for name in ("ddc", "ptu+dann")}


def curve(name: str, **changes: Any) -> dict[str, Any]:
    """What came of a case."""
    case = {**CASES, **COMPANIONS}[name]
    with tempfile.TemporaryDirectory() as folder, noted_losses() as losses:
        shared = [folder]
        if world_size() > 1:
            dist.broadcast_object_list(shared)
        trained, model = case(folder=Path(shared[0]), **changes)
        if world_size() > 1:
            dist.barrier()  # before the folder goes
    weights = [p.detach().flatten() for p in model.parameters()]
    return {
        "losses": losses,
        "score": trained.validation_score,
        "steps": trained.steps,
        "weights": torch.cat(weights).tolist(),
        "learn": sum(p.requires_grad for p in model.parameters()),
    }


class PoisonsRank1(TrainerCallback):
    """In the last process alone a weight is no number, before a step."""

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Waits for the step."""
        if state.global_step + 1 == POISONED and rank() == world_size() - 1:
            next(kwargs["model"].parameters()).data.fill_(torch.nan)


def diverged() -> dict[str, Any]:
    """At which step a training comes to no numbers, by what this process says."""
    with (
        mock.patch("tests.system.many_processes.CALLBACKS", [PoisonsRank1()]),
        pytest.raises(NumericalError) as told,
    ):
        curve("texts, in parts")
    return {"step": told.value.details["step"]}


#: A case that diverges in the first of two parts of a step.
DIVERGING = "diverging"


def main() -> None:
    folder = Path(sys.argv[1])
    for name in sys.argv[2:]:
        found = together(diverged) if name == DIVERGING else together(curve, name)
        assert is_main_process()
        (folder / f"{name}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    # By its own name, as the other processes know the function to be.
    from tests.system import many_processes

    run_together(many_processes.main)
