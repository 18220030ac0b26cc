from pathlib import Path

import pytest
from datasets import Dataset

from ptu_seq.data.files import read_table
from ptu_seq.errors import UserError

ROWS = {"text": ['He said "no", twice', "NA", "zwölf\nlines"], "label": ["007", "1", "x"]}


@pytest.mark.parametrize("extension", [".jsonl", ".csv", ".tsv", ".parquet"])
def test_every_format_gives_the_same_table(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"rows{extension}"
    table = Dataset.from_dict(ROWS)
    if extension == ".jsonl":
        table.to_json(path)
    elif extension == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, sep="\t" if extension == ".tsv" else ",", index=False)
    assert read_table(path).to_dict() == ROWS


def test_a_json_list_of_objects_is_a_table(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('[{"text": "a", "label": 0}, {"text": "b", "label": 1}]', encoding="utf-8")
    assert read_table(path).to_dict() == {"text": ["a", "b"], "label": [0, 1]}


def test_a_byte_order_mark_is_not_part_of_the_first_column(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"\xef\xbb\xbftext,label\na,0\n")
    assert read_table(path).column_names == ["text", "label"]


def test_latin_1_is_read_where_it_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("text\nfaçade\n".encode("latin-1"))
    assert read_table(path, "latin-1")["text"][:] == ["façade"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.csv", b"", "is empty"),
        ("rows.csv", b"text,label\n", "holds no rows"),
        ("rows.xlsx", b"PK", r"accepted are \.jsonl, \.json, \.csv, \.tsv, \.parquet"),
        ("rows.csv", b"text,label\na,0\nhello, world,1\n", "line 3: 3 fields .* header has 2"),
        ("rows.csv", b'text,label\n"a" b,0\n', "line 2: .*double the quotation marks"),
        ("rows.csv", b"text,text\na,0\n", "line 1: a column name occurs twice"),
        ("rows.csv", b"text,label\na,0\ncaf\xe9,1\n", r"line 3: byte 4 .*0xe9.* UTF-8; convert"),
        ("rows.jsonl", b'{"text": "a"}\n\n{"text": \n', "line 3: not valid JSON"),
        ("rows.jsonl", b'{"text": "a"}\n["b"]\n', "line 2: not a JSON object"),
        ("rows.jsonl", b'{"text": "a"}\n{"text": "\xff"}\n', "line 2: byte 11 .*0xff"),
        ("rows.parquet", b"not parquet", "cannot be read as parquet"),
    ],
)
def test_a_broken_file_is_named_with_its_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as raised:
        read_table(path)
    assert str(path) in str(raised.value)
    assert capfd.readouterr() == ("", "")
