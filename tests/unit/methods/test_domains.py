"""Examples of both tasks for methods that learn from more than the target's labels."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ptu_seq.errors import UserError
from ptu_seq.images.batches import stack
from ptu_seq.methods.domains import Domains

LABELS = ["no", "yes"]


def images(count: int = 8, *, shift: float = 0.0, labels: int = 2) -> list[dict[str, Tensor]]:
    torch.manual_seed(1)
    return [
        {"pixel_values": shift + torch.randn(1, 16, 16), "labels": torch.tensor(i % labels)}
        for i in range(count)
    ]


def domains(source: Any, target: Any, target_labels: list[str] = LABELS) -> Domains:
    return Domains(source, target, LABELS, target_labels, stack, batch_size=4, seed=0)


def test_domains_have_the_sources_labels_as_the_target_numbers_them():
    pool = domains(images(4), images(3), ["yes", "no"])
    source, target = next(pool.batches())
    assert "labels" not in target and len(target["pixel_values"]) == 3
    rows = {tuple(r["pixel_values"].flatten().tolist()): int(r["labels"]) for r in images(4)}
    for pixels, label in zip(source["pixel_values"], source["labels"], strict=True):
        assert rows[tuple(pixels.flatten().tolist())] == 1 - int(label)
    other, _ = next(domains(images(4), images(4), ["cat", "dog"]).batches())
    assert set(other) == {"pixel_values"}


def test_domains_go_through_all_examples_in_an_order_of_the_seed():
    def first(seed: int) -> Tensor:
        rows: Any = images(12)
        pool = Domains(rows, rows, LABELS, LABELS, stack, batch_size=4, seed=seed)
        batches = pool.batches()
        epochs = [torch.cat([next(batches)[0]["pixel_values"] for _ in range(3)]) for _ in "ab"]
        assert not torch.equal(*epochs)
        every = stack(images(12))["pixel_values"].flatten().sort().values
        assert all(torch.equal(epoch.flatten().sort().values, every) for epoch in epochs)
        return epochs[0]

    assert torch.equal(first(3), first(3)) and not torch.equal(first(3), first(4))


@pytest.mark.parametrize(("sizes", "batch_size"), [((1, 5), 4), ((5, 1), 4), ((5, 5), 1)])
def test_a_batch_of_one_example_is_refused(sizes, batch_size):
    source, target = (images(size) for size in sizes)
    some: Any = source
    others: Any = target
    with pytest.raises(UserError, match=f"{batch_size} in each part of a batch"):
        Domains(some, others, LABELS, LABELS, stack, batch_size=batch_size, seed=0)
