import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets import Dataset, DatasetDict, Features, Translation

from ptu_seq.data import (
    TranslationDataset,
    drop_shared_sentences,
    load_translation,
    translation_subset,
)
from ptu_seq.data.translation_rows import normalise
from ptu_seq.errors import UserError

Rows = Sequence[dict[str, Any]]
Write = Callable[[str, Rows], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes rows to a table in the temporary folder, in the format of its extension."""

    def write_rows(name: str, rows: Rows) -> Path:
        path = tmp_path / name
        if path.suffix == ".parquet":
            Dataset.from_list(list(rows)).to_parquet(str(path))
        elif path.suffix == ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        else:
            separator = {".csv": ",", ".tsv": "\t"}[path.suffix]
            lines = [separator.join(row) for row in ([*rows[0]], *(row.values() for row in rows))]
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write_rows


def write_lines(folder: Path, **files: Sequence[str]) -> None:
    """Writes files such as train_fr="..." as train.fr."""
    for name, lines in files.items():
        path = folder / name.replace("_", ".")
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def flat(count: int, start: int = 0) -> list[dict[str, str]]:
    return [{"fr": f"phrase {i}", "en": f"sentence {i}"} for i in range(start, start + count)]


def nested(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [{"translation": row} for row in flat(count, start)]


def in_words(rows: Rows) -> list[dict[str, str]]:
    return [{"source": row["fr"], "target": row["en"]} for row in rows]


def make(
    name: str, train: Sequence[tuple[str, str]], held_out: Sequence[tuple[str, str]]
) -> TranslationDataset:
    """A data set in memory; the first held-out pair is for validation, the others are for test."""
    splits = [
        Dataset.from_dict({"source": [s for s, _ in rows], "target": [t for _, t in rows]})
        for rows in (train, held_out[:1], held_out[1:])
    ]
    return TranslationDataset(name, splits[0], splits[1], splits[2], "fr", "en")


@pytest.mark.parametrize(
    ("extension", "rows_of"),
    [
        ("jsonl", flat),
        ("csv", flat),
        ("tsv", flat),
        ("parquet", flat),
        ("jsonl", nested),
        ("parquet", nested),
    ],
)
def test_a_folder_keeps_its_splits_and_their_order(
    write: Write, extension: str, rows_of: Callable[..., list[dict[str, Any]]]
) -> None:
    folder = write(f"train.{extension}", rows_of(6)).parent
    write(f"dev.{extension}", rows_of(4, 6))
    write(f"test.{extension}", rows_of(2, 10))
    data = load_translation(str(folder), "fr", "en")
    assert [list(split) for split in (data.train, data.validation, data.test)] == [
        in_words(flat(6)),
        in_words(flat(4, 6)),
        in_words(flat(2, 10)),
    ]
    assert (data.source_lang, data.target_lang) == ("fr", "en")


def test_parallel_text_is_read_line_by_line(tmp_path: Path) -> None:
    for split, start in (("train", 0), ("valid", 5), ("test", 10)):
        rows = flat(5, start)
        write_lines(
            tmp_path,
            **{f"{split}_{language}": [row[language] for row in rows] for language in ("fr", "en")},
        )
    (tmp_path / "README.md").write_text("about this corpus\n")
    data = load_translation(str(tmp_path), source_lang="fr")
    assert list(data.train) == in_words(flat(5))
    assert list(data.validation) == in_words(flat(5, 5))
    assert list(data.test) == in_words(flat(5, 10))
    assert data.target_lang == "en"


def test_only_line_feeds_end_a_line_of_parallel_text(tmp_path: Path) -> None:
    (tmp_path / "train.fr").write_bytes("\ufeffun\u2028deux\r\ntrois\r\n\r\nquatre".encode())
    (tmp_path / "train.en").write_bytes(b"one\x0btwo\nthree\nfive\nfour\n")
    data = load_translation(str(tmp_path), "fr", "en")
    pairs = {(row["source"], row["target"]) for s in (data.train, data.test) for row in s}
    pairs |= {(row["source"], row["target"]) for row in data.validation}
    assert pairs == {("un deux", "one two"), ("trois", "three"), ("quatre", "four")}


def test_sides_of_unequal_length_are_refused_with_both_counts(tmp_path: Path) -> None:
    write_lines(tmp_path, train_fr=["un", "deux", "trois"], train_en=["one", "two"])
    with pytest.raises(UserError, match=r"train\.en has 2 lines but .*train\.fr has 3"):
        load_translation(str(tmp_path), "fr", "en")


def test_a_missing_or_broken_side_is_named(tmp_path: Path) -> None:
    write_lines(tmp_path, train_fr=["un"])
    with pytest.raises(UserError, match=r"train\.fr has no other side"):
        load_translation(str(tmp_path), "fr", "en")
    (tmp_path / "train.en").write_bytes(b"one\ntw\xff\n")
    with pytest.raises(UserError, match=r"train\.en, line 2: byte 3 .* is not UTF-8"):
        load_translation(str(tmp_path), "fr", "en")
    (tmp_path / "train.en").write_bytes(b"")
    with pytest.raises(UserError, match=r"train\.en is empty"):
        load_translation(str(tmp_path), "fr", "en")


def test_missing_splits_are_cut_from_train_and_always_alike(write: Write) -> None:
    path = write("corpus.jsonl", nested(200))
    data, again = (load_translation(str(path), "fr", "en") for _ in range(2))
    splits = [data.train, data.validation, data.test]
    assert [len(split) for split in splits] == [130, 20, 50]
    assert sorted(row["source"] for s in splits for row in s) == sorted(r["fr"] for r in flat(200))
    assert [list(s) for s in splits] == [
        list(s) for s in (again.train, again.validation, again.test)
    ]


def test_large_corpora_give_no_more_than_enough_to_test_on(write: Write) -> None:
    data = load_translation(str(write("corpus.parquet", flat(12_000))), "fr", "en")
    assert [len(data.train), len(data.validation), len(data.test)] == [9000, 1000, 2000]


def test_only_the_missing_split_is_cut(write: Write) -> None:
    folder = write("train.jsonl", flat(100)).parent
    write("test.jsonl", flat(10, 100))
    data = load_translation(str(folder), "fr", "en")
    assert [len(data.train), len(data.validation), len(data.test)] == [90, 10, 10]


def test_empty_and_identical_pairs_are_dropped_and_counted(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    odd = [{"fr": "", "en": "a"}, {"fr": "b", "en": "  "}, {"fr": "OK", "en": "OK"}]
    folder = write("train.jsonl", [*odd, {"fr": None, "en": "c"}, *flat(3)]).parent
    write("validation.jsonl", flat(2, 10))
    write("test.jsonl", [{"fr": "Tom", "en": "Tom"}, {"fr": "", "en": ""}, *flat(2, 20)])
    data = load_translation(str(folder), "fr", "en")
    assert list(data.train) == in_words(flat(3))
    assert list(data.test)[0] == {"source": "Tom", "target": "Tom"}  # keeps its place
    train, test = folder / "train.jsonl", folder / "test.jsonl"
    assert caplog.messages == [
        f"{train}: dropped 3 of 7 pairs with an empty side.",
        f"{test}: dropped 1 of 4 pairs with an empty side.",
        f"{train}: dropped 1 of 4 pairs with identical sides.",
    ]


def test_training_pairs_with_a_held_out_sentence_are_dropped(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    leaks = [{"fr": "Autre chose", "en": "SENTENCE  10."}, {"fr": "phrase 20!", "en": "else"}]
    folder = write("train.jsonl", [*leaks, *flat(3)]).parent
    write("validation.jsonl", flat(2, 10))
    write("test.jsonl", flat(2, 20))
    data = load_translation(str(folder), "fr", "en")
    assert list(data.train) == in_words(flat(3))
    assert "dropped 2 of 5 pairs with a sentence of validation or test" in caplog.text


def test_white_space_inside_a_sentence_becomes_single_spaces(write: Write) -> None:
    rows = [{"fr": f" a\n b\t{i} ", "en": f"c \u00a0d {i}"} for i in range(4)]
    data = load_translation(str(write("corpus.jsonl", rows)), "fr", "en")
    row = data.train[0]
    assert row["source"].startswith("a b ") and row["target"].startswith("c d ")


@pytest.mark.parametrize(
    ("columns", "languages", "expected"),
    [
        (("fr", "en"), ("fr", "en"), ("fr", "en")),
        (("fr", "en"), (None, "fr"), ("en", "fr")),
        (("fr", "en"), ("fr", None), ("fr", "en")),
        (("source", "target"), (None, None), ("source", "target")),
        (("target", "source", "id"), (None, None), ("source", "target")),
        (("source", "target"), ("fr", "en"), ("fr", "en")),
        (("french", "english"), ("french", "english"), ("french", "english")),
        (("row", "fr", "en", "domain_name"), ("fr", "en"), ("fr", "en")),
    ],
)
def test_the_direction_is_inferred_where_it_is_clear(
    write: Write,
    columns: tuple[str, ...],
    languages: tuple[str | None, str | None],
    expected: tuple[str, str],
) -> None:
    rows = [{column: f"{column} {i}" for column in columns} for i in range(20)]
    data = load_translation(str(write("corpus.csv", rows)), *languages)
    assert (data.source_lang, data.target_lang) == expected
    source = expected[0] if expected[0] in columns else "source"
    assert data.train[0]["source"].startswith(source)


@pytest.mark.parametrize(
    ("rows", "languages", "message"),
    [
        (flat(9), (None, None), "has the languages fr, en: say which .* source_lang"),
        (nested(9), (None, None), "has the languages fr, en: say which"),
        (flat(9), ("fra", "en"), r"no language 'fra' \(source_lang\) \(did you mean 'fr'\?\)"),
        (flat(9), ("fr", "de"), r"no language 'de' \(target_lang\).*: found fr, en\."),
        (nested(9), ("en", "de"), r"no language 'de' \(target_lang\).*: found fr, en\."),
        (flat(9), ("fr", "fr"), "are both 'fr'"),
        ([{"en": "a", "fr": "b", "cs": "c"}], ("cs", None), "en, fr, cs: say which"),
        ([{"text": "a", "label": 1, "n": 2}], ("fr", "en"), "no sentence pairs: .*text, label, n"),
        ([{"en": "a"}], ("fr", "en"), "no sentence pairs: found en;"),
        ([{"translation": {"en": "a"}}], ("fr", "en"), "no sentence pairs: found en;"),
        ([{"translation": "a"}], ("fr", "en"), "no sentence pairs"),
        ([{"en": "", "fr": "b"}], ("fr", "en"), "no pair of fr and en"),
        ([{"en": "a", "fr": "a"}], ("fr", "en"), "both sides are the same text"),
        (flat(2), ("fr", "en"), "only 2 pairs: too few"),
    ],
)
def test_unclear_or_useless_data_is_a_user_error(
    write: Write, rows: Rows, languages: tuple[str | None, str | None], message: str
) -> None:
    path = write("corpus.jsonl", rows)
    with pytest.raises(UserError, match=message):
        load_translation(str(path), *languages)


def test_a_split_without_the_languages_of_train_is_named(write: Write) -> None:
    folder = write("train.jsonl", nested(9)).parent
    write("test.jsonl", [{"translation": {"en": "a", "de": "b"}}])
    with pytest.raises(UserError, match=r"test\.jsonl has no language 'fr': found en, de"):
        load_translation(str(folder), "fr", "en")


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no file or folder"):
        load_translation(str(tmp_path / "none"), "fr", "en")
    with pytest.raises(UserError, match="has no train file.*or plain text such as train.fr beside"):
        load_translation(str(tmp_path), "fr", "en")


def test_hub_data_are_read_in_their_own_format(monkeypatch: pytest.MonkeyPatch) -> None:
    features = Features({"translation": Translation(languages=["en", "tr"])})
    rows = [{"translation": {"en": f"e {i}", "tr": f"t {i}"}} for i in range(60)]
    hub = DatasetDict(
        train=Dataset.from_list(rows[:40], features), test=Dataset.from_list(rows[40:], features)
    )

    def load_dataset(path: str, config: str | None = None, **_: Any) -> DatasetDict:
        if (path, config) != ("wmt16", "tr-en"):
            raise FileNotFoundError(path)
        return hub

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    data = load_translation("wmt16/tr-en", target_lang="en")
    assert (data.source_lang, data.target_lang) == ("tr", "en")
    assert [len(data.train), len(data.validation), len(data.test)] == [36, 4, 20]
    assert data.test[0] == {"source": "t 40", "target": "e 40"}


def test_a_parent_does_not_learn_its_childs_held_out_sentences(
    caplog: pytest.LogCaptureFixture,
) -> None:
    parent = make(
        "parent",
        [
            ("un", "A man, who sings"),  # in the child's validation set
            ("deux", "a dog runs."),  # in its test set
            ("Pes bezi", "trois"),  # on the other side of it
            ("quatre", "something else"),
            ("cinq", "the child's training sentence"),
            ("...", "?!"),
        ],
        [("x", "y"), ("z", "w")],
    )
    child = make(
        "child",
        [("a", "the child's training sentence")],
        [("b", "a man who sings."), ("pes bezi!", "A dog  runs"), ("?", "...")],
    )
    clean = drop_shared_sentences(parent, child)
    assert clean.train["source"][:] == ["quatre", "cinq", "..."]
    assert clean.test is parent.test and clean.name == "parent"
    assert caplog.messages == [
        "parent:train: dropped 3 of 6 pairs with a sentence of child's validation or test set."
    ]


def test_a_parent_with_nothing_left_is_refused() -> None:
    child = make("child", [("a", "b")], [("c", "d"), ("e", "f")])
    with pytest.raises(UserError, match="Every training pair of parent"):
        drop_shared_sentences(make("parent", [("x", "D."), ("e", "y")], [("p", "q")] * 2), child)


def test_normalising_keeps_vowel_signs_and_loses_punctuation() -> None:
    assert normalise("¿Qué—tal, «Señor»?") == normalise("quétal señor")
    assert normalise("e\u0301te\u0301") == normalise("ÉTÉ")
    assert normalise("कि") != normalise("की")
    assert normalise("?!") == ""


def test_subsets_are_nested_and_scale_validation() -> None:
    pairs = [(f"s {i}", f"t {i}") for i in range(600)]
    splits = [
        Dataset.from_dict({"source": [s for s, _ in part], "target": [t for _, t in part]})
        for part in (pairs[:300], pairs[300:450], pairs[450:])
    ]
    data = TranslationDataset("made up", splits[0], splits[1], splits[2], "s", "t")
    small, large = (translation_subset(data, size, seed=1) for size in (20, 120))
    assert large.train["source"][:20] == small.train["source"][:]
    assert [len(small.train), len(small.validation), len(small.test)] == [20, 100, 150]
    assert [len(large.train), len(large.validation)] == [120, 120]
    assert set(small.validation["source"]) <= set(large.validation["source"])
    everything = translation_subset(data, "all", seed=1)
    assert sorted(everything.train["source"]) == sorted(data.train["source"])
    assert translation_subset(data, 20, seed=2).train["source"][:] != small.train["source"][:]
    for size in (0, 301):
        with pytest.raises(UserError, match="give a number from 1 to 300, or 'all'"):
            translation_subset(data, size, seed=1)
