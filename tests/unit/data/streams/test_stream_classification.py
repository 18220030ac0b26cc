"""Streamed data sets for classification: splits, labels, and what is left out."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from ptu_seq.data import load_classification
from ptu_seq.data.streams import classification, stream_classification
from ptu_seq.data.streams.classification import hashes_of_test
from ptu_seq.errors import UserError
from tests.tiny import pairs, sentences, write_dataset

SPLITS = ("train", "validation", "test")


def write(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def fingerprints(split: Any) -> list[str]:
    return [" ".join(text.casefold().split()) for text in split["text"][:]]


def test_a_folder_with_all_splits_is_what_it_is_in_memory(tmp_path):
    folder = str(write_dataset(tmp_path / "a", sentences(60, 1), sentences(9, 2), sentences(8, 3)))
    streamed, loaded = stream_classification(folder), load_classification(folder)
    assert streamed.dataset.label_names == loaded.label_names
    for split in ("validation", "test"):
        assert getattr(streamed.dataset, split)[:] == getattr(loaded, split)[:]
    rows = [(row.texts[0], row.label) for row in streamed.rows]
    assert rows == list(zip(*loaded.train[:].values(), strict=True))
    assert streamed.rows.count == 60
    assert streamed.is_whole
    assert sorted(streamed.dataset.train["text"]) == sorted(loaded.train["text"])


def test_pairs_are_read(tmp_path):
    folder = str(write_dataset(tmp_path / "a", pairs(40, 1), pairs(9, 2), pairs(8, 3)))
    streamed = stream_classification(folder)
    assert streamed.dataset.text_columns == ("premise", "hypothesis")
    assert len(next(iter(streamed.rows)).texts) == 2
    assert streamed.dataset.test[:] == load_classification(folder).test[:]


def test_missing_splits_are_cut_by_the_texts_alone(tmp_path):
    rows = sentences(200, 1)
    again = [{**row, "text": f" {row['text'].upper()}  "} for row in rows[:60]]
    first = stream_classification(write(tmp_path / "a.jsonl", [*rows, *again]))
    second = stream_classification(write(tmp_path / "b.jsonl", [*again, *reversed(rows)]))
    held_out = [set(fingerprints(getattr(first.dataset, split))) for split in SPLITS[1:]]
    # No text is in two splits, repeats included, and none is lost.
    learned = {" ".join(row.texts[0].casefold().split()) for row in first.rows}
    assert [len(texts) for texts in held_out] == [26, 65]
    assert not learned & held_out[0] and not learned & held_out[1]
    assert not held_out[0] & held_out[1]
    assert learned.union(*held_out) == {row["text"] for row in rows}
    # Nor does it matter where a row stands.
    for split in SPLITS:
        assert set(fingerprints(getattr(first.dataset, split))) == set(
            fingerprints(getattr(second.dataset, split))
        )
    assert first.rows.count == second.rows.count == len(list(first.rows))
    assert len(first.dataset.train) == len(learned)  # each text once
    assert first.digest != second.digest


def test_a_large_set_leaves_a_sample_and_bounded_splits(tmp_path, monkeypatch):
    monkeypatch.setattr(classification, "SAMPLE_ROWS", 50)
    monkeypatch.setattr(classification, "MOST", {"test": 20, "validation": 10})
    streamed = stream_classification(write(tmp_path / "a.jsonl", sentences(300, 1)))
    dataset = streamed.dataset
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (50, 10, 20)
    assert streamed.rows.count == 270
    assert not streamed.is_whole
    assert set(dataset.train["text"]) <= {row.texts[0] for row in streamed.rows}


def test_rows_of_a_test_set_that_was_given_are_left_out(tmp_path, caplog):
    test = sentences(20, 3)
    films = str(write_dataset(tmp_path / "films", sentences(30, 4), sentences(20, 5), test))
    train = [*sentences(40, 1), {"text": f"  {test[0]['text'].upper()} ", "label": "bad"}, test[5]]
    books = str(write_dataset(tmp_path / "books", train, sentences(20, 2), sentences(20, 10)))
    tests = {"films": hashes_of_test(stream_classification(films).dataset)}
    with caplog.at_level(logging.WARNING, "ptu_seq"):
        streamed = stream_classification(books, tests)
    assert streamed.left_out == [41, 42]
    assert [row.texts[0] for row in streamed.rows] == [row["text"] for row in train[:40]]
    assert streamed.rows.count == len(streamed.dataset.train) == 40
    assert "left out 2 training rows that also occur in the test set of films" in caplog.text
    assert streamed.digest == stream_classification(books).digest


def test_rows_that_cannot_be_used_are_dropped_and_counted(tmp_path, caplog):
    unusable: list[dict[str, Any]] = [{"text": text, "label": "bad"} for text in (" ", None)]
    rows = [*sentences(40, 1), *unusable]
    with caplog.at_level(logging.WARNING, "ptu_seq"):
        streamed = stream_classification(write(tmp_path / "a.jsonl", rows))
    assert "dropped 2 of 42 rows with empty text" in caplog.text
    assert all(row.texts[0] for row in streamed.rows)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["b", "a", "b"], ("a", "b")),
        ([10, 2, "10"], ("2", "10")),
        ([True, False, True], ("0", "1")),
    ],
)
def test_labels_are_found_as_in_memory(tmp_path, labels, names):
    rows = [{**row, "label": labels[i % 3]} for i, row in enumerate(sentences(60, 1))]
    columns = {name: [str(row[name]) for row in rows] for name in ("text", "label")}
    if len({type(label) for label in labels}) > 1:
        path = tmp_path / "a.csv"
        Dataset.from_dict(columns).to_csv(path, index=False)
    else:
        path = Path(write(tmp_path / "a.jsonl", rows))
    assert stream_classification(str(path)).dataset.label_names == names
    assert load_classification(str(path)).label_names == names


def test_labels_json_names_the_labels(tmp_path):
    (tmp_path / "labels.json").write_text('["no", "yes", "never"]')
    rows = [{**row, "label": i % 2} for i, row in enumerate(sentences(60, 1))]
    streamed = stream_classification(write(tmp_path / "a.jsonl", rows))
    assert streamed.dataset.label_names == ("no", "yes", "never")
    rows[41]["label"] = 3
    message = r"a\.jsonl, row 42: unknown label 3; accepted are 0 to 2 or no, yes, never"
    with pytest.raises(UserError, match=message):
        stream_classification(write(tmp_path / "a.jsonl", rows))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[30].update(label=None), r"row 31: the label is missing"),
        (lambda rows: rows[30].update(label=""), r"row 31: the label is missing"),
        (lambda rows: [row.update(label="one") for row in rows], r"one class only \('one'\)"),
        (lambda rows: [row.update(text="") for row in rows], "has no usable row"),
        (lambda rows: [row.update(text="same") for row in rows], "too few to cut test"),
        (lambda rows: [row.update(label=str(i)) for i, row in enumerate(rows)], "different values"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(tmp_path, monkeypatch, change, message):
    monkeypatch.setattr(classification, "MOST_LABELS", 20)
    rows = sentences(40, 1)
    change(rows)
    with pytest.raises(UserError, match=message):
        stream_classification(write(tmp_path / "a.jsonl", rows))


def test_a_label_that_training_lacks_is_refused(tmp_path):
    test = [*sentences(8, 3), {"text": "odd", "label": "new"}]
    folder = str(write_dataset(tmp_path / "a", sentences(40, 1), sentences(9, 2), test))
    with pytest.raises(UserError, match=r"test\.jsonl, row 9: unknown label 'new'"):
        stream_classification(folder)


def test_a_sorted_file_is_noticed(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(classification, "SHUFFLE_BUFFER", 20)
    rows = sorted(sentences(80, 1), key=lambda row: row["label"])
    with caplog.at_level(logging.WARNING, "ptu_seq"):
        stream_classification(write(tmp_path / "a.jsonl", rows))
    assert "the first 40 rows have one label, so it seems to be sorted" in caplog.text


def test_a_set_of_the_hub_is_streamed(tmp_path, monkeypatch):
    features = Features({"sentence": Value("string"), "label": ClassLabel(names=["bad", "good"])})

    def split(count: int, seed: int, labels: Sequence[int]) -> Dataset:
        texts = [row["text"] for row in sentences(count, seed)]
        columns = {"sentence": texts, "label": [labels[i % len(labels)] for i in range(count)]}
        return Dataset.from_dict(columns, features)

    held = DatasetDict(
        train=split(60, 1, [1, 0, -1]), validation=split(20, 2, [1, 0]), test=split(20, 3, [-1])
    )

    def load_dataset(path: str, config: str | None, *, streaming: bool) -> Any:
        assert (path, config, streaming) == ("owner/set", None, True)
        return {name: table.to_iterable_dataset() for name, table in held.items()}

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    streamed = stream_classification("owner/set")
    assert streamed.dataset.label_names == ("bad", "good")
    # 40 rows of 60 have a label; of these a test set is cut, as the set's own has none.
    assert (streamed.rows.count, len(streamed.dataset.test)) == (30, 10)
    assert len(streamed.dataset.validation) == 20
    assert {row.label for row in streamed.rows} == {0, 1}
