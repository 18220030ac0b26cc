"""Batches of sentence pairs, and the sentences that validate."""

from __future__ import annotations

from ptu_seq.translation.batches import EndlessBatches, validation_rows
from tests.unit.translation.copying import (
    examples,
    sentences,
)


def test_every_example_is_seen_once_an_epoch_in_batches_that_never_end(tokenizers):
    training = examples(tokenizers, sentences(50, 5, longest=9))
    batches = EndlessBatches(training, 32, seed=1)
    stream = iter(batches)
    epochs = []
    for _ in range(3):
        epoch: list[int] = []
        while len(epoch) < 50:
            batch = next(stream)
            longest = max(len(training[i]["input_ids"]) for i in batch)
            assert longest * len(batch) <= 32
            epoch += batch
        assert sorted(epoch) == list(range(50))
        epochs.append(epoch)
    assert epochs[0] != epochs[1] != epochs[2]
    assert batches.batches_an_epoch < 50


def test_validation_sentences_are_the_same_for_all(tokenizers):
    validation = examples(tokenizers, sentences(50, 5, longest=9))
    rows = validation_rows(validation, 20)
    assert rows == validation_rows(validation, 20)
    assert len(set(rows)) == 20
    lengths = [len(validation[i]["input_ids"]) for i in rows]
    assert lengths == sorted(lengths)
    assert sorted(validation_rows(validation, 99)) == list(range(50))
