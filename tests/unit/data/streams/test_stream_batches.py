"""Batches of streams: what is in them, and that a stop changes nothing."""

from __future__ import annotations

import json
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ptu_seq import batches
from ptu_seq.data import (
    TokenizerPair,
    encode_pairs,
    filter_pairs,
    train_tokenizer,
    train_vocabulary,
)
from ptu_seq.data.pair_filters import learnable
from ptu_seq.data.streams import StreamedBatches, stream_classification, stream_translation
from ptu_seq.data.tokenization import encode as encode_table
from ptu_seq.data.translation_rows import Pair
from ptu_seq.errors import UserError
from ptu_seq.translation import batches as translation_batches
from tests.tiny import pairs, sentences, translations, write_dataset

#: Most tokens of a sentence: a tenth of all are longer.
LONGEST = 26
LIMITS = partial(learnable, max_length=LONGEST, max_length_ratio=2.0)


@pytest.fixture(scope="module")
def classified(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A streamed set of 50 pairs of texts, and a tokenizer."""
    folder = tmp_path_factory.mktemp("data") / "a"
    write_dataset(folder, pairs(50, 1), pairs(9, 2), pairs(8, 3))
    stream = stream_classification(str(folder))
    dataset = stream.dataset
    texts = [text for column in dataset.text_columns for text in dataset.train[column]]
    return stream, train_tokenizer(texts, 90)


@pytest.fixture(scope="module")
def translated(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A streamed set of 50 pairs of sentences, and its tokenizers."""
    folder = tmp_path_factory.mktemp("data") / "a"
    write_dataset(folder, translations(50, 1), translations(9, 2), translations(8, 3))
    stream = stream_translation(str(folder), "tl", "en")
    tokenizers = [
        train_vocabulary(stream.dataset.train[side], 300, "bpe") for side in ("source", "target")
    ]
    return stream, TokenizerPair(*tokenizers)


@pytest.fixture(params=["classification", "translation"])
def make(request, monkeypatch, classified, translated):
    """Makes batches with windows of 10 rows."""
    monkeypatch.setattr(batches, "WINDOW_BATCHES", 2)
    monkeypatch.setattr(translation_batches, "WINDOW", 10)

    def new(buffer: int = 25, seed: int = 0) -> StreamedBatches[Any]:
        if request.param == "classification":
            stream, tokenizer = classified
            return batches.stream_batches(
                stream.rows, ("premise", "hypothesis"), tokenizer, 6, 5, buffer=buffer, seed=seed
            )
        stream, tokenizers = translated
        sample = list(stream.rows)
        return translation_batches.stream_batches(
            stream.rows, sample, tokenizers, LIMITS, 80, buffer=buffer, seed=seed
        )

    return new


def plain(batch: dict[str, torch.Tensor]) -> dict[str, Any]:
    return {name: tensor.tolist() for name, tensor in batch.items()}


def take(stream: StreamedBatches[Any], count: int) -> list[dict[str, Any]]:
    return [plain(batch) for batch in islice(stream, count)]


@settings(max_examples=8, deadline=None)
@given(stop=st.integers(0, 30), buffer=st.integers(1, 60))
def test_a_stop_changes_no_batch(make, stop, buffer):
    stream = make(buffer)
    unbroken = take(make(buffer), stop + 12)
    assert take(stream, stop) == unbroken[:stop]
    state = json.loads(json.dumps(stream.state_dict()))
    again = make(buffer)
    again.load_state_dict(state)
    encoded: list[int] = []
    encode = again.encode

    def counted(rows: list[Any]) -> list[dict[str, Any]]:
        encoded.append(len(rows))
        return encode(rows)

    again.encode = counted
    assert take(again, 1) == unbroken[stop : stop + 1]
    # The window of the last batch, and the next where nothing is left of it or in it.
    assert sum(encoded) <= 30
    assert take(again, 11) == unbroken[stop + 1 :]


def test_the_order_follows_from_the_seed(make):
    first = take(make(), 12)
    assert take(make(), 12) == first
    assert take(make(seed=1), 12) != first


def rows_of(batch: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The examples of a batch without padding: of both tasks, as token 0 pads."""
    inputs = [tuple(i for i in ids if i) for ids in batch["input_ids"]]
    labels = [
        tuple(i for i in label if i >= 0) if isinstance(label, list) else label
        for label in batch["labels"]
    ]
    return list(zip(inputs, labels, strict=True))


def test_an_epoch_of_texts_holds_what_memory_holds(make, classified, translated, request):
    stream = make()
    read: list[tuple[Any, ...]] = []
    for batch in stream:
        if stream.state_dict()["block"]["epoch"]:
            break
        rows = rows_of(plain(batch))
        assert batch["attention_mask"].sum() == sum(len(ids) for ids, _ in rows)
        read += rows
    if "classification" in request.node.name:
        dataset, tokenizer = classified[0].dataset, classified[1]
        table = encode_table(dataset.train, tokenizer, dataset.text_columns, 6)
        expected = [
            (tuple(ids), label)
            for ids, label in zip(table["input_ids"], table["labels"], strict=True)
        ]
        assert "token_type_ids" in batch
    else:
        dataset, tokenizers = translated[0].dataset, translated[1]
        kept = filter_pairs(encode_pairs(dataset.train, tokenizers), LONGEST, 2.0)
        expected = [(tuple(row["input_ids"]), tuple(row["labels"])) for row in kept]
        assert 0 < len(expected) < 50  # some are too long
    assert sorted(read) == sorted(expected)


@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_share_no_row(make, world_size):
    read = []
    for rank in range(world_size):
        stream = make()
        stream.shard(rank, world_size)
        for batch in stream:
            if stream.state_dict()["block"]["epoch"]:
                break
            read += rows_of(plain(batch))
    alone = make()
    whole = []
    for batch in alone:
        if alone.state_dict()["block"]["epoch"]:
            break
        whole += rows_of(plain(batch))
    assert sorted(read) == sorted(whole)


def test_batches_keep_to_their_size(make, request):
    for batch in islice(make(), 30):
        if "classification" in request.node.name:
            assert len(batch["labels"]) <= 5
        else:
            longest = max(batch["input_ids"].shape[1], batch["labels"].shape[1])
            assert len(batch["labels"]) * longest <= 80


def test_the_batches_of_an_epoch_are_estimated_from_a_sample(translated):
    stream, tokenizers = translated
    rows = list(stream.rows)

    def estimate(sample: list[Pair], tokens: int = 80) -> int:
        return translation_batches.stream_batches(
            stream.rows, sample, tokenizers, LIMITS, tokens, buffer=9, seed=0
        ).batches_an_epoch

    assert 0.7 < estimate(rows[:25]) / estimate(rows) < 1.4
    assert estimate(rows, 10_000) == 1
    too_long = partial(learnable, max_length=2)
    assert not translation_batches.stream_batches(
        stream.rows, rows, tokenizers, too_long, 40, buffer=9, seed=0
    ).batches_an_epoch


def test_an_epoch_without_a_batch_is_an_error_and_no_endless_wait(translated):
    stream, tokenizers = translated
    none = translation_batches.stream_batches(
        stream.rows, [], tokenizers, lambda _: None, 40, buffer=9, seed=0
    )
    with pytest.raises(UserError, match="gave not one batch"):
        next(iter(none))


def test_a_line_that_breaks_later_is_named(tmp_path: Path):
    folder = write_dataset(tmp_path / "a", sentences(30, 1), sentences(9, 2), sentences(8, 3))
    stream = stream_classification(str(folder))
    tokenizer = train_tokenizer(stream.dataset.train["text"], 90)
    read = batches.stream_batches(stream.rows, ("text",), tokenizer, 9, 5, buffer=4, seed=0)
    lines = (folder / "train.jsonl").read_text().splitlines(keepends=True)
    (folder / "train.jsonl").write_text("".join([*lines[:20], "{\n", *lines[21:]]))
    with pytest.raises(UserError, match=r"train\.jsonl, line 21: not valid JSON"):
        take(read, 20)
