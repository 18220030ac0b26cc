import random

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from ptu_seq.data import TokenBatchSampler, pair_lengths


def random_lengths(seed: int) -> list[int]:
    draw = random.Random(seed)
    top = draw.choice([2, 20, 300])
    return [draw.randint(1, top) for _ in range(draw.randint(1, 900))]


@pytest.mark.parametrize("seed", range(25))
def test_batches_hold_every_example_once_within_the_limit(seed: int) -> None:
    lengths = random_lengths(seed)
    draw = random.Random(1000 + seed)
    limit, window = draw.choice([1, 50, 400]), draw.choice([1, 7, 100, 4096])
    sampler = TokenBatchSampler(lengths, limit, seed=seed, window=window)
    for epoch in (0, 1, 5):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(sampler) == len(batches)
        assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
        for batch in batches:
            padded = len(batch) * max(lengths[i] for i in batch)
            assert padded <= limit or len(batch) == 1


def test_order_follows_from_seed_and_epoch_alone() -> None:
    lengths = random_lengths(3)
    one, same, other = (TokenBatchSampler(lengths, 100, seed=seed) for seed in (1, 1, 2))
    first = list(one)
    assert list(one) == first == list(same) != list(other)
    one.set_epoch(1)
    assert list(one) != first
    one.set_epoch(0)
    assert list(one) == first


def test_sorting_by_length_saves_padding() -> None:
    draw = random.Random(0)
    lengths = [draw.randint(1, 60) for _ in range(3000)]

    def padding(batches: list[list[int]]) -> float:
        slots = sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)
        return 1 - sum(lengths) / slots

    unsorted = [list(range(start, start + 10)) for start in range(0, 3000, 10)]
    assert padding(list(TokenBatchSampler(lengths, 600, window=1000))) < 0.1 < padding(unsorted)


def test_batches_are_shuffled_over_lengths() -> None:
    lengths = list(range(1, 101))
    means = [
        sum(lengths[i] for i in batch) / len(batch) for batch in TokenBatchSampler(lengths, 200)
    ]
    assert means != sorted(means) and means != sorted(means, reverse=True)


def test_changing_a_batch_does_not_change_the_next_pass() -> None:
    sampler = TokenBatchSampler([1, 2, 3], 100)
    next(iter(sampler)).clear()
    assert sorted(next(iter(sampler))) == [0, 1, 2]


def test_a_data_loader_takes_it() -> None:
    examples = [{"input_ids": [3] * (1 + i % 5), "labels": [3] * (1 + i % 7)} for i in range(50)]
    lengths = pair_lengths(examples)
    assert lengths[6] == 7 and lengths[4] == 5
    sampler = TokenBatchSampler(lengths, 30)
    dataset = TensorDataset(torch.arange(50))
    loader: DataLoader = DataLoader(dataset, batch_sampler=sampler)
    assert len(loader) == len(sampler)
    assert sorted(torch.cat([batch for (batch,) in loader]).tolist()) == list(range(50))


@pytest.mark.parametrize(("lengths", "limit", "window"), [([], 9, 9), ([1], 0, 9), ([1], 9, 0)])
def test_impossible_batches_are_refused(lengths: list[int], limit: int, window: int) -> None:
    with pytest.raises(ValueError):
        TokenBatchSampler(lengths, limit, window=window)
