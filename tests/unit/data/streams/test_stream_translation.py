"""Streamed data sets for translation: directions, splits, and what is left out."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from ptu_seq.data import drop_shared_sentences, load_translation
from ptu_seq.data.streams import stream_translation, translation
from ptu_seq.data.streams.translation import held_out_hashes
from ptu_seq.errors import UserError
from tests.tiny import translations, write_dataset, write_translations


def pairs_of(rows: Any) -> list[tuple[str, str]]:
    return [(pair.source, pair.target) for pair in rows]


def in_columns(split: Dataset) -> list[tuple[str, str]]:
    return list(zip(split["source"][:], split["target"][:], strict=True))


@pytest.mark.parametrize("kind", ["nested", "columns", "directed", "text"])
def test_every_format_is_what_it_is_in_memory(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "a"
    for split, seed in (("train", 1), ("validation", 2), ("test", 3)):
        rows = [row["translation"] for row in translations(40, seed)]
        folder.mkdir(exist_ok=True)
        if kind == "text":
            for side in ("tl", "en"):
                text = "".join(row[side] + "\n" for row in rows)
                (folder / f"{split}.{side}").write_text(text, encoding="utf-8")
            continue
        written = {
            "nested": lambda row: {"id": 3, "translation": row},
            "columns": lambda row: row,
            "directed": lambda row: {"source": row["tl"], "target": row["en"]},
        }[kind]
        lines = "".join(json.dumps(written(row)) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    streamed = stream_translation(str(folder), "tl", "en")
    loaded = load_translation(str(folder), "tl", "en")
    assert (streamed.dataset.source_lang, streamed.dataset.target_lang) == ("tl", "en")
    assert pairs_of(streamed.rows) == in_columns(loaded.train)
    for split in ("validation", "test"):
        assert in_columns(getattr(streamed.dataset, split)) == in_columns(getattr(loaded, split))
    assert streamed.rows.count == len(loaded.train)


def test_missing_splits_are_cut_by_the_pairs_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(translation, "MOST", {"test": 20, "validation": 10})
    monkeypatch.setattr(translation, "SAMPLE_ROWS", 60)
    rows = translations(300, 1)
    found = []
    for name, ordered in (("a", rows), ("b", rows[::-1] + rows[:9])):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in ordered), encoding="utf-8")
        streamed = stream_translation(str(path), "tl", "en")
        splits = [set(in_columns(getattr(streamed.dataset, s))) for s in ("validation", "test")]
        assert [len(split) for split in splits] == [10, 20]
        sentences = {side for split in splits for pair in split for side in pair}
        assert not any(side in sentences for pair in pairs_of(streamed.rows) for side in pair)
        assert streamed.rows.count == len(list(streamed.rows))
        assert len(streamed.dataset.train) == 60
        assert not streamed.is_whole
        found.append((splits, set(in_columns(streamed.dataset.train))))
    assert found[0] == found[1]


def test_a_childs_sentences_are_left_out_as_in_memory(tmp_path, caplog):
    write_translations(tmp_path / "child", "tl", 2)
    child = load_translation(str(tmp_path / "child"), None, "en")
    shared = child.test["target"][0]
    train = [*translations(50, 7, "fr"), {"translation": {"en": f"{shared}!", "fr": "autre"}}]
    parent = str(
        write_dataset(
            tmp_path / "parent", train, translations(9, 8, "fr"), translations(9, 9, "fr")
        )
    )
    held_out = {"child": held_out_hashes(child)}
    with caplog.at_level(logging.WARNING, "ptu_seq"):
        streamed = stream_translation(parent, None, "en", held_out)
    kept = drop_shared_sentences(load_translation(parent, None, "en"), child)
    assert pairs_of(streamed.rows) == in_columns(kept.train)
    assert 51 in streamed.left_out
    assert "sentence of child's validation or test set" in caplog.text


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"en": "same", "tl": "same"}, "in every pair both sides are the same text"),
        ({"en": "", "tl": "b"}, "has no pair of tl and en"),
        ({"en": "a", "tl": "b"}, "too few to cut test and validation"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path, row, message):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError, match=message):
        stream_translation(str(path), "tl", "en")
    with pytest.raises(UserError, match="has no language 'xx'"):
        stream_translation(str(path), "xx", "en")
