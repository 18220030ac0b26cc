"""Copying and reversing random strings: learned in seconds, and translated in every way alike."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForSeq2SeqLM

from ptu_seq.models import (
    PTUForConditionalGeneration,
    RNNForConditionalGeneration,
    Seq2SeqConfig,
)

WORDS, LONGEST, BATCH = range(4, 14), 8, 64
END = 3

Batch = dict[str, Tensor]
Model = RNNForConditionalGeneration | PTUForConditionalGeneration


def make_batch(count: int, draw: torch.Generator, reverse: bool) -> Batch:
    """Random strings of 1 to 8 words and what they are to become."""
    lengths = torch.randint(1, LONGEST + 1, (count,), generator=draw).tolist()
    rows = [torch.randint(WORDS.start, WORDS.stop, (length,), generator=draw) for length in lengths]
    end = torch.tensor([END])
    pad = torch.nn.utils.rnn.pad_sequence
    input_ids = pad([torch.cat([row, end]) for row in rows], batch_first=True)
    wanted = [torch.cat([row.flip(0) if reverse else row, end]) for row in rows]
    return {
        "input_ids": input_ids,
        "attention_mask": (input_ids != 0).long(),
        "labels": pad(wanted, batch_first=True, padding_value=-100),
    }


def train(model: Model, steps: int, draw: torch.Generator, reverse: bool) -> None:
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=5e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    for _ in range(steps):
        loss = model(**make_batch(BATCH, draw, reverse)).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
    model.eval()


def translate(model: Model, batch: Batch, **options: Any) -> list[list[int]]:
    written = model.generate(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        max_new_tokens=LONGEST + 2,
        **options,
    )
    return [[token for token in row if token in WORDS] for row in written.tolist()]


def wanted(batch: Batch) -> list[list[int]]:
    return [[token for token in row if token in WORDS] for row in batch["labels"].tolist()]


@torch.no_grad()
def greedy(model: Model, batch: Batch) -> list[list[int]]:
    """Word by word, without transformers' generate."""
    rows = torch.full((len(batch["input_ids"]), 1), 2)
    for _ in range(LONGEST + 2):
        logits = model(batch["input_ids"], decoder_input_ids=rows).logits[:, -1]
        rows = torch.cat([rows, logits.argmax(-1, keepdim=True)], dim=1)
    ends = ((row + [END]).index(END) for row in rows.tolist())
    return [row[1:end] for row, end in zip(rows.tolist(), ends, strict=True)]


def one_by_one(model: Model, batch: Batch, **options: Any) -> list[list[int]]:
    rows = [row[row != 0].unsqueeze(0) for row in batch["input_ids"]]
    single = ({"input_ids": row, "attention_mask": torch.ones_like(row)} for row in rows)
    return [translate(model, one, **options)[0] for one in single]


@pytest.fixture(scope="module", params=["copy", pytest.param("reversal", marks=pytest.mark.slow)])
def task(request: pytest.FixtureRequest) -> tuple[RNNForConditionalGeneration, Batch]:
    """A trained model, and strings that it was not trained on."""
    torch.manual_seed(0)
    draw, reverse = torch.Generator().manual_seed(1), request.param == "reversal"
    config = Seq2SeqConfig(
        vocab_size=WORDS.stop,
        embedding_size=32,
        hidden_size=64,
        embedding_dropout=0.0,
        hidden_dropout=0.0,
        label_smoothing=0.0,
        embedding_std=0.5,
    )
    model = RNNForConditionalGeneration(config)
    train(model, 500, draw, reverse)
    return model, make_batch(300, torch.Generator().manual_seed(2), reverse)


@pytest.fixture(scope="module")
def pair(task: tuple[RNNForConditionalGeneration, Batch]) -> tuple[Model, Batch]:
    """A model with units beside the trained one, which has begun to unlearn the task."""
    parent, batch = task
    torch.manual_seed(0)
    model = PTUForConditionalGeneration.from_source(parent, candidate="tanh", level="step")
    train(model, 5, torch.Generator().manual_seed(3), reverse=True)
    return model, batch


@pytest.fixture(params=["plain", "ptu"])
def trained(
    request: pytest.FixtureRequest,
    task: tuple[RNNForConditionalGeneration, Batch],
    pair: tuple[Model, Batch],
) -> tuple[Model, Batch]:
    return task if request.param == "plain" else pair


def test_the_task_is_learned(task):
    model, batch = task
    right = [a == b for a, b in zip(translate(model, batch), wanted(batch), strict=True)]
    assert sum(right) / len(right) > 0.99


def test_all_ways_of_translating_agree(trained, tmp_path):
    model, batch = trained
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    some = {name: rows[:40] for name, rows in batch.items()}
    for beams in (1, 4):
        texts = translate(model, batch, num_beams=beams)
        assert translate(loaded, batch, num_beams=beams) == texts
        assert one_by_one(model, some, num_beams=beams) == texts[:40]
    assert greedy(model, batch) == translate(model, batch, num_beams=1)


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@needs_gpu
@pytest.mark.parametrize("source_input", ["own", "target"])
def test_a_child_trains_on_a_gpu(source_input, task):
    parent, batch = task
    model = PTUForConditionalGeneration.from_source(parent, source_input=source_input)
    torch.nn.Module.cuda(model).train()
    model(**{name: rows.cuda() for name, rows in batch.items()}).loss.backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained)


@needs_gpu
@pytest.mark.parametrize("num_beams", [1, 4])
def test_cpu_and_gpu_agree(num_beams, trained):
    model, batch = trained
    texts = translate(model, batch, num_beams=num_beams)
    there = {name: rows.cuda() for name, rows in batch.items()}
    assert translate(copy.deepcopy(model).cuda(), there, num_beams=num_beams) == texts
