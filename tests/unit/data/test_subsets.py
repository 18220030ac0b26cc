import pickle
from collections import Counter

import numpy as np
import pytest
from datasets import Dataset

from ptu_seq.data import ClassificationDataset, TranslationDataset, excerpt, low_resource_subset
from ptu_seq.data.subsets import stratified_order
from ptu_seq.errors import UserError

LABELS = {
    "balanced": [0, 1] * 100,
    "skewed": [0] * 170 + [1] * 25 + [2] * 5,
    "one rare": [0] * 99 + [1] + [0] * 100,
}


@pytest.fixture(params=LABELS)
def labels(request: pytest.FixtureRequest) -> list[int]:
    """Labels of 200 rows."""
    return LABELS[request.param]


def dataset_of(labels: list[int], validation: int = 30) -> ClassificationDataset:
    def split(prefix: str, labels: list[int]) -> Dataset:
        texts = [f"{prefix} {i}" for i in range(len(labels))]
        return Dataset.from_dict({"text": texts, "label": labels})

    return ClassificationDataset(
        name="numbers",
        train=split("train", labels),
        validation=split("validation", (labels * 8)[:validation]),
        test=split("test", labels[:40]),
        label_names=("a", "b", "c"),
        text_columns=("text",),
    )


@pytest.mark.parametrize("seed", range(3))
def test_every_prefix_holds_the_labels_in_proportion(labels: list[int], seed: int) -> None:
    order = stratified_order(labels, seed)
    assert sorted(order) == list(range(len(labels)))
    shares = {label: count / len(labels) for label, count in Counter(labels).items()}
    for size in range(len(shares), len(labels) + 1):
        counts = Counter(labels[row] for row in order[:size])
        for label, share in shares.items():
            assert counts[label] >= 1
            # Each class may be one row ahead (its first) and one row off by rounding.
            assert abs(counts[label] - share * size) < len(shares)


def test_which_rows_stand_for_a_class_is_random() -> None:
    firsts = [set(stratified_order([0] * 50 + [1] * 50, seed)[:20]) for seed in range(200)]
    drawn = Counter(row for first in firsts for row in first)
    # Each row is among the first 20 of 100 with probability 0.2: 40 times in 200, sd 5.7.
    assert len(drawn) == 100
    assert max(abs(count - 40) for count in drawn.values()) < 5 * 5.7


def test_the_order_of_the_labels_does_not_give_them_away() -> None:
    labels = [0, 1] * 100
    runs = [np.diff([labels[row] for row in stratified_order(labels, seed)]) for seed in range(20)]
    repeats = np.mean([(run == 0).mean() for run in runs])
    assert 0.2 < repeats < 0.5  # neither strictly alternating nor in blocks


def test_subsets_have_their_size_and_are_nested(labels: list[int]) -> None:
    data = dataset_of(labels)
    subsets = [low_resource_subset(data, size, seed=1) for size in (1, 10, 50, 120)]
    for size, subset in zip((1, 10, 50, 120), subsets, strict=True):
        assert len(set(subset.train["text"])) == len(subset.train) == size
    for smaller, larger in zip(subsets, subsets[1:], strict=False):
        assert set(smaller.train["text"]) < set(larger.train["text"])
    rows = set(zip(data.train["text"][:], data.train["label"][:], strict=True))
    assert set(zip(subsets[2].train["text"][:], subsets[2].train["label"][:], strict=True)) < rows


def test_all_keeps_every_row_in_the_same_shuffled_order() -> None:
    data = dataset_of(LABELS["skewed"])
    whole, part = low_resource_subset(data, "all", 2), low_resource_subset(data, 70, 2)
    assert sorted(whole.train["text"]) == sorted(data.train["text"])
    assert whole.train["text"][:] != data.train["text"][:]
    assert whole.train["text"][:70] == part.train["text"][:]


def test_the_seed_draws_the_subset() -> None:
    data = dataset_of(LABELS["balanced"])
    one, again, other = (low_resource_subset(data, 50, seed) for seed in (0, 0, 1))
    assert list(one.train) == list(again.train)
    assert list(one.validation) == list(again.validation)
    assert set(one.train["text"]) != set(other.train["text"])


@pytest.mark.parametrize(
    ("size", "available", "kept"),
    [(10, 30, 30), (10, 400, 100), (150, 400, 150), ("all", 400, 200), ("all", 1600, 1000)],
)
def test_validation_grows_with_the_size(size: int, available: int, kept: int) -> None:
    labels = LABELS["balanced"] * (8 if kept == 1000 else 1)
    data = dataset_of(labels, validation=available)
    subset = low_resource_subset(data, size, seed=0)
    assert len(set(subset.validation["text"])) == len(subset.validation) == kept
    counts = Counter(subset.validation["label"])
    assert abs(counts[0] - counts[1]) <= 1


def test_test_and_names_stay_as_they_are() -> None:
    data = dataset_of(LABELS["skewed"])
    subset = low_resource_subset(data, 10, seed=3)
    assert list(subset.test) == list(data.test)
    assert subset.label_names == data.label_names and subset.text_columns == data.text_columns


@pytest.mark.parametrize("size", [0, -5, 201])
def test_an_impossible_size_is_named_with_what_there_is(size: int) -> None:
    with pytest.raises(UserError, match=rf"Size {size} .*'numbers'.* 200 training"):
        low_resource_subset(dataset_of(LABELS["balanced"]), size, seed=0)


def test_an_excerpt_holds_some_pairs_the_same_each_time_and_nothing_of_the_others() -> None:
    pairs = Dataset.from_dict({"source": [f"s{i}" for i in range(500)], "target": ["t"] * 500})
    data = TranslationDataset("data", pairs, pairs.select([0]), pairs.select([1]), "fr", "en")
    part = excerpt(data, 7)
    assert len(set(part.train["source"][:])) == 7 and set(part.train["source"][:]) < set(
        pairs["source"][:]
    )
    assert part.train["source"][:] == excerpt(data, 7).train["source"][:]
    assert list(part.test) == list(data.test)
    assert len(pickle.dumps(part.train)) < len(pickle.dumps(pairs.select(range(7)))) / 2
    assert len(excerpt(data, 1000).train) == 500
