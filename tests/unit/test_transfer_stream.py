"""A streamed source and its targets, checked against each other as in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from ptu_seq import transfer_stream
from ptu_seq.data.streams import StreamingArguments, classification
from ptu_seq.errors import UserError
from ptu_seq.transfer_data import load_transfer_data
from ptu_seq.transfer_stream import stream_transfer_data
from tests.tiny import pairs, sentences, write_dataset


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, str]:
    """A source, a target of which the source holds a test row, and a set of pairs."""
    test = sentences(20, 6)
    made = {
        "books": write_dataset(
            tmp_path / "books", [*sentences(60, 1), test[3]], sentences(20, 2), sentences(20, 3)
        ),
        "films": write_dataset(tmp_path / "films", sentences(30, 4), sentences(20, 5), test),
        "pairs": write_dataset(tmp_path / "pairs", pairs(30, 1), pairs(20, 2), pairs(20, 3)),
    }
    return {name: str(path) for name, path in made.items()}


def test_source_and_targets_are_those_of_memory(folders):
    streamed = stream_transfer_data(folders["books"], [folders["films"]], [10, "all"])
    loaded = load_transfer_data(folders["books"], [folders["films"]], [10, "all"])
    assert streamed.source is not None and loaded.source is not None
    assert list(streamed.targets) == list(loaded.targets) == ["films"]
    assert list(streamed.digests) == list(loaded.digests)
    assert streamed.source_rows == loaded.source_rows == 60
    assert (streamed.left_out, loaded.left_out) == ([61], [60])  # rows are counted from 1
    assert streamed.stream is not None
    assert [row.texts[0] for row in streamed.stream] == loaded.source.train["text"][:]
    assert set(streamed.targets["films"].train["text"]) == set(
        loaded.targets["films"].train["text"]
    )
    assert stream_transfer_data(None, [folders["films"]], [10]).source_rows == 0


@pytest.mark.parametrize(
    ("source", "target", "sizes", "message"),
    [
        ("books", "books", [10], "is the source itself"),
        ("books", "pairs", [10], "both must be single texts"),
        ("books", "films", [31], "has 30 training examples"),
    ],
)
def test_what_does_not_fit_is_refused(folders, source, target, sizes, message):
    with pytest.raises(UserError, match=message):
        stream_transfer_data(folders[source], [folders[target]], sizes)


def test_all_of_a_target_must_fit_into_the_sample(folders, monkeypatch):
    for module in (classification, transfer_stream):
        monkeypatch.setattr(module, "SAMPLE_ROWS", 25)
    with pytest.raises(UserError, match="--sizes all: .* has more than the 25 training"):
        stream_transfer_data(folders["books"], [folders["films"]], ["all"])
    data = stream_transfer_data(folders["books"], [folders["films"]], [20])
    assert len(data.targets["films"].train) == 25


def test_a_buffer_that_does_nothing_is_refused():
    assert StreamingArguments().buffer is None
    assert StreamingArguments().configuration() == {}
    assert StreamingArguments(streaming=True, shuffle_buffer=5).buffer == 5
    with pytest.raises(UserError, match="--shuffle_buffer 5 does nothing without --streaming"):
        StreamingArguments(shuffle_buffer=5)
