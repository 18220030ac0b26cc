import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from ptu_seq.data import load_classification
from ptu_seq.errors import UserError

Write = Callable[[str, Sequence[dict[str, Any]]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes rows as JSON lines to a file in the temporary folder."""

    def write_rows(name: str, rows: Sequence[dict[str, Any]]) -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write_rows


def rows_of(count: int, start: int = 0, classes: int = 2) -> list[dict[str, Any]]:
    """Distinct rows whose text tells their label."""
    return [
        {"text": f"example number {i} of class {i % classes}", "label": i % classes}
        for i in range(start, start + count)
    ]


def write_splits(write: Write, train: list[dict[str, Any]], **others: list[dict[str, Any]]) -> str:
    path = write("train.jsonl", train)
    for split, rows in others.items():
        write(f"{split}.jsonl", rows)
    return str(path.parent)


def test_a_folder_keeps_its_splits_and_their_order(write: Write) -> None:
    train, validation, test = rows_of(6), rows_of(4, 6), rows_of(2, 10)
    data = load_classification(write_splits(write, train, dev=validation, test=test))
    assert data.text_columns == ("text",)
    assert data.label_names == ("0", "1")
    assert [list(split) for split in (data.train, data.validation, data.test)] == [
        train,
        validation,
        test,
    ]


def test_pairs_under_other_names_become_premise_and_hypothesis(write: Write) -> None:
    rows = [
        {"sentence1": f"a {i}", "sentence2": f"b {i}", "label": ["no", "yes"][i % 2]}
        for i in range(40)
    ]
    data = load_classification(str(write("pairs.jsonl", rows)))
    assert data.text_columns == ("premise", "hypothesis")
    assert data.label_names == ("no", "yes")
    assert set(data.train.column_names) == {"premise", "hypothesis", "label"}
    for row in data.train:
        number = row["premise"].removeprefix("a ")
        assert row == {
            "premise": f"a {number}",
            "hypothesis": f"b {number}",
            "label": int(number) % 2,
        }


def test_one_file_is_split_65_10_25_by_label_and_always_alike(write: Write) -> None:
    path = write("all.jsonl", rows_of(200, classes=4))
    data, again = load_classification(str(path)), load_classification(str(path))
    splits = [data.train, data.validation, data.test]
    assert [len(split) for split in splits] == [130, 20, 50]
    for split in splits:
        counts = Counter(split["label"])
        assert max(counts.values()) - min(counts.values()) <= 2  # rounding at both ends of a cut
    texts = [text for split in splits for text in split["text"]]
    assert sorted(texts) == sorted(row["text"] for row in rows_of(200, classes=4))
    assert [list(s) for s in splits] == [
        list(s) for s in (again.train, again.validation, again.test)
    ]


def test_only_the_missing_split_is_cut_from_train(write: Write) -> None:
    data = load_classification(write_splits(write, rows_of(100), test=rows_of(10, 100)))
    assert [len(data.train), len(data.validation), len(data.test)] == [90, 10, 10]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["b", "a"], ("a", "b")),
        ([10, 9], ("9", "10")),
        (["1", "2"], ("1", "2")),
        ([-1, 1], ("-1", "1")),
        ([0.0, 1.0], ("0", "1")),
        ([True, False], ("0", "1")),
    ],
)
def test_labels_without_names_are_sorted(
    write: Write, labels: list[Any], names: tuple[str, ...]
) -> None:
    rows = [{"text": f"text {i}", "label": labels[i % 2]} for i in range(20)]
    data = load_classification(str(write("rows.jsonl", rows)))
    assert data.label_names == names
    for row in data.train:
        label = labels[int(row["text"].split()[1]) % 2]
        assert names[row["label"]] == str(int(label) if isinstance(label, (bool, float)) else label)


@pytest.mark.parametrize("content", [["bad", "good"], {"0": "bad", "1": "good"}])
@pytest.mark.parametrize("labels", [(0, 1), ("0", "1"), ("bad", "good")])
def test_labels_json_names_numbers_and_accepts_names(
    write: Write, tmp_path: Path, content: Any, labels: tuple[Any, Any]
) -> None:
    (tmp_path / "labels.json").write_text(json.dumps(content), encoding="utf-8")
    rows = [{"text": f"text {i}", "label": labels[i % 2]} for i in range(20)]
    data = load_classification(write_splits(write, rows))
    assert data.label_names == ("bad", "good")
    assert all(row["label"] == int(row["text"].split()[1]) % 2 for row in data.train)


def test_parquet_metadata_name_the_labels_and_mark_unlabelled_rows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["no", "yes"])})
    columns = {"text": [f"text {i}" for i in range(20)], "label": [0, 1] * 9 + [-1, -1]}
    Dataset.from_dict(columns, features=features).to_parquet(tmp_path / "train.parquet")
    data = load_classification(str(tmp_path))
    assert data.label_names == ("no", "yes")
    assert len(data.train) + len(data.validation) + len(data.test) == 18
    assert "dropped 2 of 20 rows without a label" in caplog.text


@pytest.mark.parametrize(
    ("train", "others", "counted", "left"),
    [
        (rows_of(20) + [{"text": " ", "label": 0}, {"text": None, "label": 1}], {}, "2 of 22", 13),
        (rows_of(20) + [{"text": "Example  NUMBER 3 of class 1", "label": 1}], {}, "1 of 21", 13),
        (rows_of(20), {"test": rows_of(3), "validation": rows_of(3, 30)}, "3 of 20", 17),
        (rows_of(20), {"test": rows_of(3, 30), "validation": rows_of(2)}, "2 of 20", 18),
    ],
    ids=["empty text", "repeated text", "train in test", "train in validation"],
)
def test_useless_rows_are_dropped_and_counted(
    write: Write,
    caplog: pytest.LogCaptureFixture,
    train: list[dict[str, Any]],
    others: dict[str, list[dict[str, Any]]],
    counted: str,
    left: int,
) -> None:
    with caplog.at_level(logging.WARNING, "ptu_seq"):
        data = load_classification(write_splits(write, train, **others))
    assert [record.message for record in caplog.records if counted in record.message]
    assert len(caplog.records) == 1
    assert len(data.train) == left


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ([{"txt": "a", "label": 0}], None, r"no text column: found txt, label \(is it 'txt'\?\)"),
        ([{"text": "a", "lable": 0}], None, "no label column: found text, lable"),
        ([{"text": ["a"], "label": 0}], None, "text must hold single values"),
        ([{"text": "a", "label": [0]}], None, "label must hold single values"),
        ([{"text": {"a": 1}, "label": 0}], None, "text must hold single values"),
        ([{"text": "", "label": 0}], None, "no usable row"),
        ([{"text": str(i), "label": "x"} for i in range(9)], None, r"one class only \('x'\)"),
        (rows_of(20) + [{"text": "a", "label": None}], None, "row 21: the label is missing"),
        (rows_of(20), [{"text": "a", "label": 2}], "row 1: unknown label 2; accepted are 0, 1"),
        (rows_of(3), None, "too few to cut the splits"),
        (rows_of(20), rows_of(20), "without the .* fewer than two classes"),
        (rows_of(20), [{"premise": "a", "hypothesis": "b", "label": 0}], "premise, hypothesis"),
    ],
)
def test_unusable_data_end_in_one_sentence_that_names_the_file(
    write: Write, train: list[dict[str, Any]], test: list[dict[str, Any]] | None, message: str
) -> None:
    folder = write_splits(write, train, **({"test": test} if test else {}))
    with pytest.raises(UserError, match=message) as raised:
        load_classification(folder)
    assert folder in str(raised.value)


@pytest.mark.parametrize(
    ("names", "label", "message"),
    [
        (["bad", "good"], 2, "row 3: unknown label 2; accepted are 0 to 1 or bad, good"),
        (["bad", "good"], "goood", r"unknown label 'goood' \(did you mean 'good'\?\)"),
        ({"1": "bad", "2": "good"}, 0, "labels.json must be a list"),
        (["bad", "bad"], 0, "labels.json must be .* occurs twice"),
        ("bad", 0, "labels.json must be"),
    ],
)
def test_a_label_outside_labels_json_is_named(
    write: Write, tmp_path: Path, names: Any, label: Any, message: str
) -> None:
    (tmp_path / "labels.json").write_text(json.dumps(names), encoding="utf-8")
    written = ["0", "1"] if isinstance(label, str) else [0, 1]
    rows = [{"text": str(i), "label": one} for i, one in enumerate([*written, label])]
    with pytest.raises(UserError, match=message):
        load_classification(write_splits(write, rows))


def test_a_test_label_that_train_never_shows_is_refused(write: Write, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text('["a", "b", "c"]', encoding="utf-8")
    folder = write_splits(write, rows_of(20), test=[{"text": "new", "label": "c"}])
    with pytest.raises(UserError, match=r"test\.jsonl, row 1: the label 'c' never occurs in"):
        load_classification(folder)


def test_two_files_for_one_split_are_refused(write: Write) -> None:
    write("train.json", rows_of(3))
    with pytest.raises(UserError, match=r"both train\.jsonl and train\.json"):
        load_classification(write_splits(write, rows_of(3)))


def test_a_folder_without_train_file_is_refused(write: Write) -> None:
    with pytest.raises(UserError, match="has no train file"):
        load_classification(str(write("test.jsonl", rows_of(3)).parent))


def test_the_closest_name_is_suggested(write: Write) -> None:
    path = write("reviews.jsonl", rows_of(3))
    with pytest.raises(UserError, match=r"did you mean 'rotten_tomatoes'\?"):
        load_classification("rotten_tomatos")
    with pytest.raises(UserError, match=r"did you mean 'reviews\.jsonl'\?"):
        load_classification(str(path.with_name("review.jsonl")))


class Hub:
    """Stands in for `datasets.load_dataset`: what it holds, by path, configuration and revision."""

    def __init__(self, held: dict[tuple[str, str | None, str | None], Any]) -> None:
        self.held = held

    def __call__(self, path: str, config: str | None = None, revision: str | None = None) -> Any:
        found = self.held.get((path, config, revision), ConnectionError(f"Couldn't reach {path}"))
        if isinstance(found, Exception):
            raise found
        return found


@pytest.mark.parametrize(
    ("name", "held_as"),
    [
        ("owner/set", ("owner/set", None, None)),
        ("glue/mrpc", ("glue", "mrpc", None)),
        ("owner/set/config", ("owner/set", "config", None)),
        ("old", ("old", None, "refs/convert/parquet")),
    ],
)
def test_hub_names_may_end_in_a_configuration(
    monkeypatch: pytest.MonkeyPatch, name: str, held_as: tuple[str, str | None, str | None]
) -> None:
    features = Features({"question": Value("string"), "coarse_label": ClassLabel(names=["A", "B"])})
    train = {"question": [f"what {i}" for i in range(20)], "coarse_label": [0, 1] * 10}
    unlabelled = {"question": ["what", "when"], "coarse_label": [-1, -1]}
    hub = DatasetDict(
        train=Dataset.from_dict(train, features), test=Dataset.from_dict(unlabelled, features)
    )
    held: dict[tuple[str, str | None, str | None], Any] = {held_as: hub}
    if held_as[2]:
        held[held_as[:2] + (None,)] = RuntimeError("Dataset scripts are no longer supported")
    monkeypatch.setattr(datasets, "load_dataset", Hub(held))
    data = load_classification(name)
    assert data.label_names == ("A", "B")
    # The hub's test labels are hidden, so test is cut from train like validation.
    assert [len(data.train), len(data.validation), len(data.test)] == [13, 2, 5]


def test_an_unreachable_hub_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "load_dataset", Hub({}))
    with pytest.raises(
        UserError, match="There is no data set 'owner/set'.*Couldn't reach owner/set"
    ):
        load_classification("owner/set")


def test_an_unknown_configuration_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ValueError("BuilderConfig 'mrcp' not found. Available: ['mrpc']")
    monkeypatch.setattr(datasets, "load_dataset", Hub({("glue", "mrcp", None): error}))
    with pytest.raises(UserError, match=r"Available: \['mrpc'\]"):
        load_classification("glue/mrcp")
