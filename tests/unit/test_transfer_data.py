"""A source and its targets, checked against each other."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from ptu_seq.errors import UserError
from ptu_seq.transfer_data import digest, load_transfer_data, short_name
from tests.tiny import pairs, sentences, write_dataset


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, str]:
    """A source, two targets and a data set of pairs."""
    made = {
        "books": write_dataset(
            tmp_path / "books", sentences(60, 1), sentences(20, 2), sentences(20, 3)
        ),
        "films": write_dataset(
            tmp_path / "films", sentences(30, 4), sentences(20, 5), sentences(20, 6)
        ),
        "other": write_dataset(
            tmp_path / "x" / "films", sentences(30, 7), sentences(20, 8), sentences(20, 9)
        ),
        "pairs": write_dataset(tmp_path / "pairs", pairs(30, 1), pairs(20, 2), pairs(20, 3)),
    }
    return {name: str(path) for name, path in made.items()}


def test_loads_by_short_names(folders):
    data = load_transfer_data(folders["books"], [folders["films"]], [10, "all"])
    assert list(data.targets) == ["films"]
    assert data.source is not None and len(data.source.train) == 60
    assert data.left_out == []
    assert set(data.digests) == {"books", "films"}
    assert data.digests["films"] == digest(data.targets["films"])


def test_source_rows_in_a_test_set_are_dropped_and_counted(tmp_path, folders, caplog):
    test = sentences(20, 3)
    again = [{"text": f"  {test[0]['text'].upper()} ", "label": "bad"}, test[5]]
    train = [*sentences(40, 1), *again]
    source = write_dataset(tmp_path / "leaky", train, sentences(20, 2), sentences(20, 10))
    target = write_dataset(tmp_path / "target", sentences(30, 4), sentences(20, 5), test)
    with caplog.at_level(logging.WARNING, "ptu_seq"):
        data = load_transfer_data(str(source), [str(target)], [10])
    assert data.left_out == [40, 41] and data.source is not None
    assert data.source.train["text"][:] == [row["text"] for row in train[:40]]
    assert "dropped 2 of 42 training rows that also occur in the test set" in caplog.text
    # What was loaded is what counts as the data set, whichever the targets are.
    alone = load_transfer_data(str(source), [folders["films"]], [10])
    assert alone.left_out == []
    assert alone.digests["leaky"] == data.digests["leaky"]


def test_a_source_of_test_rows_alone_is_refused(tmp_path):
    test = sentences(20, 3)
    source = write_dataset(tmp_path / "leaky", test, sentences(20, 2), sentences(20, 10))
    target = write_dataset(tmp_path / "target", sentences(30, 4), sentences(20, 5), test)
    with pytest.raises(UserError, match="fewer than two classes left"):
        load_transfer_data(str(source), [str(target)], [10])


def test_the_source_is_no_target_under_any_name(tmp_path, folders):
    copy = write_dataset(tmp_path / "copy", sentences(60, 1), sentences(20, 2), sentences(20, 3))
    for target in (folders["books"], str(copy)):
        with pytest.raises(UserError, match="is the source itself"):
            load_transfer_data(folders["books"], [target], [10])


@pytest.mark.parametrize("second", ["films", "other"])
def test_two_targets_of_one_name_are_refused(folders, second):
    with pytest.raises(UserError, match="two data sets named 'films'"):
        load_transfer_data(folders["books"], [folders["films"], folders[second]], [10])


def test_pairs_and_single_texts_do_not_mix(folders):
    with pytest.raises(UserError, match="has text, the target .* premise and hypothesis"):
        load_transfer_data(folders["books"], [folders["pairs"]], [10])


def test_a_size_beyond_the_data_names_what_there_is(folders):
    load_transfer_data(folders["books"], [folders["films"]], [30])
    with pytest.raises(UserError, match="--sizes 31: .* has 30 training examples"):
        load_transfer_data(folders["books"], [folders["films"]], [10, 31])


def test_short_name(tmp_path, monkeypatch):
    (tmp_path / "mr").mkdir()
    monkeypatch.chdir(tmp_path)
    assert short_name(str(tmp_path / "mr")) == short_name("mr/") == short_name("./mr/../mr") == "mr"
    assert short_name("glue/mrpc") == "glue/mrpc"


def test_targets_of_a_pretrained_encoder_stand_alone(folders):
    data = load_transfer_data(None, [folders["films"]], [10])
    assert data.source is None and list(data.targets) == ["films"] and data.left_out == []
    with pytest.raises(UserError, match="--sizes 1000"):
        load_transfer_data(None, [folders["films"]], [1000])
