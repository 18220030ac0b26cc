"""This project's training and beam search, in turns.

python -m translation_peers.ptu_seq_worker TASK.json, which `translation_peers/speed.py` writes.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import (
    Seq2SeqTrainingArguments,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_callback import TrainerCallback
from translation_peers.turns import Batch, Turns

from ptu_seq.data import TokenizerPair
from ptu_seq.models import (
    PTUForConditionalGeneration,
    RNNForConditionalGeneration,
    Seq2SeqConfig,
)
from ptu_seq.objectives import Objectives
from ptu_seq.quantization import quantize_int8
from ptu_seq.trainer_setup import common_arguments, make_optimizer, quiet_transformers, run
from ptu_seq.translation.batches import collate
from ptu_seq.translation.inference import translate
from ptu_seq.translation.options import TranslationTrainingOptions
from ptu_seq.translation.training import TranslationTrainer


class Endless(Sampler[Batch]):
    """The batches, again and again."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Batch]:
        """Does not end."""
        return itertools.cycle(self.batches)


class TakeTurns(TrainerCallback):
    """Stops the clock after every so many steps; Trainer reads a batch ahead, so at their end."""

    def __init__(self, turns: Turns, steps: int) -> None:
        self.turns, self.steps = turns, steps

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        """Waits for the first turn."""
        self.turns.wait()
        self.started = time.perf_counter()

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Waits for the next turn where one is over."""
        if state.global_step % self.steps == 0:
            self.turns.answer(seconds=time.perf_counter() - self.started)
            control.should_training_stop = self.turns.wait() != "train"
            self.started = time.perf_counter()


def main() -> None:
    """Answers "train" and "decode"."""
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    turns = Turns()
    torch.set_num_threads(1)
    quiet_transformers()
    set_seed(0)
    tokenizers = TokenizerPair.load(task["tokenizers"])
    model: Any = RNNForConditionalGeneration(Seq2SeqConfig(**task["ptu_seq"]))
    if task["units"]:
        model = PTUForConditionalGeneration.from_source(model, source_input="target")
    turns.answer(parameters=sum(p.numel() for p in model.parameters()))
    with tempfile.TemporaryDirectory() as folder:
        train(turns, task, model, Path(folder))
    if task["int8"]:
        model = quantize_int8(model)

    def write() -> int:
        translations = translate(
            model,
            tokenizers,
            task["decode_texts"],
            beam_size=task["beam_size"],
            batch_size=task["decode_batch"],
            max_length=task["decode_length"],
            min_new_tokens=task["decode_length"],
        )
        return sum(len(translation.ids) for translation in translations)

    turns.decode(write)


def train(turns: Turns, task: dict[str, Any], model: Any, folder: Path) -> None:
    """Trains as the recipe does, but for evaluations, until another word than "train" comes."""
    options = TranslationTrainingOptions()
    endless = 10**6  # steps, of which the schedule of the learning rate wants to know
    arguments = Seq2SeqTrainingArguments(
        save_strategy="no",
        **{
            **common_arguments(options, steps=endless, folder=folder, seed=0),
            "eval_strategy": "no",
            "metric_for_best_model": None,
            "use_cpu": True,
            "bf16": False,
        },
    )
    examples = [
        {"input_ids": source, "labels": target}
        for source, target in zip(task["train_source_ids"], task["train_target_ids"], strict=True)
    ]
    trained = [p for p in model.parameters() if p.requires_grad]
    trainer = TranslationTrainer(
        model=model,
        args=arguments,
        batches=Endless(task["batches"]),
        objectives=Objectives([]),
        train_dataset=examples,
        data_collator=partial(collate, pad_token_id=int(model.config.pad_token_id)),
        optimizers=(make_optimizer([{"params": trained, "lr": task["learning_rate"]}], 0.0), None),
        callbacks=[TakeTurns(turns, task["steps"])],
    )
    run(trainer, options.report_to)


if __name__ == "__main__":
    main()
