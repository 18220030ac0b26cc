"""Samples that depend on the rows alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptu_seq.data.streams.sampling import HeldOut, SmallestHashes, text_hash
from ptu_seq.errors import UserError

KEYS = st.lists(st.integers(0, 50), max_size=60)


@given(KEYS, st.integers(0, 20))
def test_the_smallest_hashes_are_kept_each_once(keys: list[int], size: int) -> None:
    sample = SmallestHashes[int](size)
    for place, key in enumerate(keys):
        sample.add(key, place)
    smallest = sorted(set(keys))[:size]
    assert sample.rows() == [keys.index(key) for key in smallest]
    assert sample.is_whole == (len(set(keys)) <= size)


@given(KEYS, st.randoms())
def test_held_out_splits_depend_on_no_order_and_share_no_text(keys, random):
    def splits(keys: list[int]) -> dict[str, list[int]]:
        held_out = HeldOut[int]({"test": 0.25, "validation": 0.1}, {"test": 9, "validation": 4})
        for key in keys:
            held_out.add(key, key)
        return held_out.splits("a file")

    distinct = len(set(keys))
    counts = [min(max(1, round(s * len(keys))), most) for s, most in ((0.25, 9), (0.1, 4))]
    if distinct <= sum(counts):
        with pytest.raises(UserError, match=f"a file has only {len(keys)} usable rows"):
            splits(keys)
        return
    first = splits(keys)
    random.shuffle(keys)
    assert splits(keys) == first
    assert [len(first[split]) for split in ("test", "validation")] == counts
    assert not set(first["test"]) & set(first["validation"])


def test_a_hash_is_the_same_on_every_machine() -> None:
    assert text_hash("a film") == 3174058153011390966
    assert text_hash("ab", "c") != text_hash("a", "bc")
