"""Local files row by row: the same rows as in memory, and errors that name the line."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, Features, Value

from ptu_seq.data.files import read_table
from ptu_seq.data.streams.files import stream_files
from ptu_seq.data.streams.sources import open_shards, stream_folder
from ptu_seq.errors import UserError

ROWS = {"text": ['He said "no", twice', "NA", "zwölf\nlines"], "label": ["007", "1", "x"]}


@pytest.mark.parametrize("extension", [".jsonl", ".json", ".csv", ".tsv", ".parquet"])
def test_every_format_gives_the_rows_that_memory_gives(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"rows{extension}"
    table = Dataset.from_dict(ROWS)
    if extension == ".parquet":
        table.to_parquet(path)
    elif extension.startswith(".json"):
        table.to_json(path)
    else:
        table.to_csv(path, sep="\t" if extension == ".tsv" else ",", index=False)
    assert list(stream_files([(path,)])) == list(read_table(path)) == list(table)


def test_a_byte_order_mark_and_blank_lines_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbftext,label\r\na,0\r\n\r\nb,1\r\n")
    (tmp_path / "b.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "c"}\n\n{"text": "d"}')
    rows = list(stream_files([(tmp_path / "a.csv",), (tmp_path / "b.jsonl",)]))
    assert [row["text"] for row in rows] == ["a", "b", "c", "d"]


GOOD = b'{"text": "a", "label": 0}\n' * 5


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.jsonl", GOOD + b'{"text": \n' + GOOD, "line 6: not valid JSON"),
        ("rows.jsonl", GOOD + b'["b"]\n' + GOOD, "line 6: not a JSON object"),
        ("rows.jsonl", GOOD + b'{"text": "\xff"}\n', r"line 6: byte 11 .*0xff.* UTF-8"),
        ("rows.json", b'[{"text": "a"}]', "one list.*with --streaming"),
        ("rows.csv", b"text,label\na,0\nhello, world,1\n", "line 3: 3 fields .* header has 2"),
        ("rows.csv", b'text,label\n"two\nlines",0\n"a" b,0\n', "line 4: .*double the quotation"),
        ("rows.csv", b"text,text\na,0\n", "line 1: a column name occurs twice"),
        ("rows.tsv", b"text\tlabel\na\t0\ncaf\xe9\t1\n", "line 3: byte 4 .*0xe9"),
        ("rows.parquet", b"not parquet", "cannot be read as parquet"),
        ("rows.xlsx", b"PK", r"accepted are \.jsonl"),
        ("rows.csv", b"", "is empty"),
    ],
)
def test_what_is_broken_is_named_with_its_line(tmp_path: Path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"{name}.*{message}"):
        list(stream_files([(path,)]))


def test_parallel_text_is_read_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "train.fr").write_text("un\n\ntrois\r\n", encoding="utf-8")
    (tmp_path / "train.en").write_text("one\ntwo\nthree", encoding="utf-8")
    sides = (tmp_path / "train.fr", tmp_path / "train.en")
    rows = [{"fr": "un", "en": "one"}, {"fr": "", "en": "two"}, {"fr": "trois", "en": "three"}]
    assert list(stream_files([sides])) == rows
    (tmp_path / "train.en").write_text("one\ntwo\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"train\.en, line 3: the file ends before train\.fr"):
        list(stream_files([sides]))


def test_a_split_may_lie_in_several_files(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"train-{i}-of-3.jsonl").write_text(f'{{"text": "{i}", "label": {i}}}\n')
    (tmp_path / "test.csv").write_text("text,label\nx,0\n")
    tables = stream_folder(tmp_path)
    assert set(tables) == {"train", "test"}
    assert [row["text"] for row in tables["train"].rows] == ["0", "1", "2"]
    assert tables["train"].rows.num_shards == 3


def test_label_names_of_parquet_are_known(tmp_path: Path) -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["no", "yes"])})
    Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}, features).to_parquet(
        tmp_path / "a.parquet"
    )
    head = open_shards("a", [(tmp_path / "a.parquet",)]).head
    assert head.features["label"].names == ["no", "yes"]


def test_columns_of_the_first_rows_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n{"text": "b", "label": 1}\n')
    assert open_shards("a", [(path,)]).head.column_names == ["text", "label"]
    path.write_text('{"text": "a"}\n{"text": ["b"]}\n')
    with pytest.raises(UserError, match="a column holds values of more than one kind"):
        open_shards("a", [(path,)])
    path.write_text("\n\n")
    with pytest.raises(UserError, match="holds no rows"):
        open_shards("a", [(path,)])
