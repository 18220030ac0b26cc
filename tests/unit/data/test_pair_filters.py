import pytest

from ptu_seq.data import filter_pairs, truncate_pairs

END = 3


def example(source: int, target: int) -> dict[str, list[int]]:
    """A pair of given lengths, `</s>` included."""
    return {
        "input_ids": [*range(10, 9 + source), END],
        "labels": [*range(50, 49 + target), END],
    }


def test_long_pairs_are_dropped_in_place_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    pairs = [example(3, 4), example(6, 2), example(5, 5), example(2, 9)]
    assert filter_pairs(pairs, 5) == [pairs[0], pairs[2]]
    assert caplog.messages == ["train: dropped 2 of 4 pairs with a side of over 5 tokens."]


def test_uneven_pairs_are_dropped_unless_short(caplog: pytest.LogCaptureFixture) -> None:
    pairs = [example(10, 1), example(11, 5), example(5, 11), example(12, 6), example(40, 20)]
    assert filter_pairs(pairs, 100, 2) == [pairs[0], pairs[3], pairs[4]]
    assert caplog.messages == [
        "train: dropped 2 of 5 pairs one side of which is over 2 times as long as the other."
    ]
    assert filter_pairs(pairs, 100) == pairs


def test_sides_are_cut_only_when_asked_and_end_as_before(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pairs = [example(3, 4), example(8, 2)]
    cut = filter_pairs(pairs, 5, truncate=True, where="mine")
    assert cut == [pairs[0], {"input_ids": [10, 11, 12, 13, END], "labels": [50, END]}]
    assert caplog.messages == ["mine: cut 1 of 2 pairs with a side of over 5 tokens."]
    assert len(pairs[1]["input_ids"]) == 8  # the original is untouched


def test_test_pairs_keep_their_place(caplog: pytest.LogCaptureFixture) -> None:
    pairs = [example(length, 30 - length) for length in range(1, 30)]
    cut = truncate_pairs(pairs, 10)
    assert len(cut) == len(pairs)
    assert all(max(map(len, pair.values())) <= 10 for pair in cut)
    assert all(ids[-1] == END for pair in cut for ids in pair.values())
    assert caplog.messages == ["test: cut 29 of 29 pairs with a side of over 10 tokens."]


def test_nothing_is_printed_where_nothing_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    pairs = [example(3, 4)]
    assert filter_pairs(pairs, 4, 1.5) == truncate_pairs(pairs, 4) == pairs
    assert filter_pairs([], 4) == []
    assert not caplog.messages


@pytest.mark.parametrize(("length", "ratio"), [(1, None), (0, 2.0), (10, 0.5)])
def test_impossible_limits_are_refused(length: int, ratio: float | None) -> None:
    with pytest.raises(ValueError, match="must"):
        filter_pairs([example(3, 4)], length, ratio)
