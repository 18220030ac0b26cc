"""Data and argument files from anybody."""

from __future__ import annotations

import gzip
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ptu_seq.arguments import read_arguments
from ptu_seq.data import load_classification
from ptu_seq.data.files import read_table
from ptu_seq.data.image_files import LARGEST, read_npz
from ptu_seq.data.labels import read_label_names
from ptu_seq.errors import UserError
from ptu_seq.study_file import read_study
from tests.tiny import sentences
from tests.unit.hostile.test_models import Trap

ROWS = "".join(json.dumps(row) + "\n" for row in sentences(12, seed=0)).encode()


def write_npz(path: Path, **arrays: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in arrays.items():
            archive.writestr(name, content)
    return path


def header(shape: tuple[int, ...], descr: str = "|u1") -> bytes:
    file = io.BytesIO()
    fields = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, fields)
    return file.getvalue()


@pytest.mark.parametrize("where", ["x", "y", "z"])
def test_objects_in_npz_files_are_never_unpickled(where, place, marker):
    objects = np.array([Trap(marker)] * 3, dtype=object)
    plain = {"x": np.zeros((3, 4, 4)), "y": np.arange(3)}
    np.savez(place / "a.npz", **{**plain, where: objects})  # type: ignore[arg-type]
    if where == "z":  # which nobody asked for
        assert len(read_npz(place / "a.npz").labels) == 3
    else:
        with pytest.raises(UserError, match="it holds Python objects"):
            read_npz(place / "a.npz")


@pytest.mark.parametrize("shape", [(2**32, 1, 1), (2**40, 2**20, 2**20), (LARGEST + 1, 1, 1)])
def test_an_npz_file_that_would_fill_the_memory_is_refused(shape, place):
    path = write_npz(
        place / "a.npz", **{"x.npy": header(shape) + b"\0" * 99, "y.npy": header((9,), "<i8")}
    )
    with pytest.raises(UserError, match="unpacks to"):
        read_npz(path)


def test_names_in_archives_lead_nowhere(place):
    plain = io.BytesIO()
    np.save(plain, np.zeros(3))
    path = write_npz(place / "a.npz", **{"../../sprung": b"x", "/y.npy": plain.getvalue()})
    with pytest.raises(UserError, match="has no array 'x'"):
        read_npz(path)


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "tsv", "parquet"])
def test_archives_by_the_name_of_tables_are_not_unpacked(ending, place):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("../../sprung", ROWS)
    (place / f"train.{ending}").write_bytes(file.getvalue())
    with pytest.raises(UserError, match="cannot be read as parquet|is a zip archive"):
        load_classification(str(place))


def test_a_packed_file_by_the_name_of_a_table_is_not_unpacked(place):
    (place / "train.parquet").write_bytes(gzip.compress(b"\0" * 2**20))
    with pytest.raises(UserError, match="does not begin like such a file"):
        load_classification(str(place))


@pytest.mark.parametrize(
    "value",
    [b"[" * 10**6 + b"]" * 10**6, b'{"a":' * 10**5 + b"1" + b"}" * 10**5, b"[\n" * 5000],
    ids=["lists", "objects", "lines"],
)
@pytest.mark.parametrize("ending", ["jsonl", "json"])
def test_deep_json_does_not_end_the_process(value, ending, place):
    (place / f"a.{ending}").write_bytes(ROWS + b'{"text": ' + value + b', "label": 1}\n')
    with pytest.raises(UserError, match="nested more than 100 deep"):
        read_table(place / f"a.{ending}")


def test_brackets_in_texts_are_no_nesting(place):
    rows = [{"text": "[{" * 300 + '"\\', "label": i % 2} for i in range(3)]
    (place / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_table(place / "a.jsonl")["text"][:] == [row["text"] for row in rows]


def test_a_name_with_stars_reads_no_other_file(place):
    (place / "a[1]*.jsonl").write_bytes(ROWS)
    (place / "a1.jsonl").write_text('{"text": "another", "label": 1}\n')
    assert len(read_table(place / "a[1]*.jsonl")) == 12


@pytest.mark.parametrize(
    ("label", "name"),
    [("Infinity", "inf"), ("-1e300", str(int(-1e300))), ("9" * 5000, "inf"), ('"²"', "²")],
)
def test_labels_may_be_any_number(label, name, place):
    rows = [f'{{"text": "text {i}", "label": {(label, 1.0)[i % 2]}}}\n' for i in range(20)]
    if label.startswith('"'):
        rows = [row.replace("1.0", '"1"') for row in rows]
    (place / "train.jsonl").write_text("".join(rows), encoding="utf-8")
    assert set(load_classification(str(place)).label_names) == {name, "1"}


def test_labels_of_thousands_of_digits_are_names(place):
    rows = "".join(f"text {i},{'97'[i % 2] * 5000}\n" for i in range(20))
    (place / "train.csv").write_text(f"text,label\n{rows}")
    assert load_classification(str(place)).label_names == ("7" * 5000, "9" * 5000)


@pytest.mark.parametrize("content", ["[" * 10**5, "[" + "9" * 5000 + "]", '{"0": ' * 10**5])
def test_label_names_that_no_parser_takes_are_refused(content, place):
    (place / "labels.json").write_text(content)
    with pytest.raises(UserError, match="must be a list of names"):
        read_label_names(place / "labels.json")


def test_what_is_no_file_is_not_opened(place):
    os.mkfifo(place / "train.jsonl")  # reading it would wait for ever
    (place / "a.json").mkdir()
    with pytest.raises(UserError, match="has no train file"):
        load_classification(str(place))


@pytest.mark.parametrize("name", ["a" * 5000, "~nobody-of-that-name/a.csv", "a\0b"])
def test_names_that_no_system_takes_are_told(name):
    with pytest.raises(UserError):
        load_classification(name)


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.mkdir ['sprung']",
        "!!python/object/new:os.mkdir ['sprung']",
        "!!python/name:os.system",
        "!!python/module:os",
        "!!python/object:ptu_seq.errors.UserError {}",
    ],
)
@pytest.mark.parametrize("read", [read_arguments, read_study])
def test_the_tags_of_yaml_make_no_objects(tag, read, place):
    (place / "a.yaml").write_text(f"name: {tag}\nexperiments: []\n")
    with pytest.raises(UserError, match="could not determine a constructor"):
        read(place / "a.yaml")


@pytest.mark.parametrize(
    "content",
    [
        "a: " + "[" * 10**5,
        "a: " + "{a: " * 10**4,
        "- " * 5000 + "a",
        "a: 1" + ":59" * 10**4,
        "a: " + "9" * 10**4,
        "a: !!int ''",
        "a: !!bool x",
        "a: !!timestamp x",
        "a: 2001-99-99",
        "\n".join(f"a{i}: 1" for i in range(10**5)),
        "a: \0",
    ],
)
def test_yaml_that_takes_long_or_has_no_value_is_refused(content, place):
    (place / "a.yaml").write_text(content)
    with pytest.raises(UserError, match="a.yaml"):
        read_arguments(place / "a.yaml")


def test_many_keys_are_read_in_little_time(place):
    (place / "a.yaml").write_text("\n".join(f"a{i}: 1" for i in range(2000)))
    assert len(read_arguments(place / "a.yaml")) == 2000


def test_yaml_that_multiplies_itself_is_refused(place):
    lines = ["name: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{c}: &{c} [{', '.join([f'*{b}'] * 9)}]"
        for b, c in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    lines.append("experiments: [{recipe: image_pair, sizes: *i}]")
    (place / "a.yaml").write_text("\n".join(lines))
    with pytest.raises(UserError):
        read_study(place / "a.yaml")


@pytest.mark.parametrize("content", ["[" * 10**5, '{"a": 1e999999}', '{"a": ' + "9" * 5000 + "}"])
def test_json_arguments_that_no_parser_takes_are_refused(content, place):
    (place / "a.json").write_text(content)
    if "e" in content:
        assert read_arguments(place / "a.json") == {"a": float("inf")}
        return
    with pytest.raises(UserError, match="a.json"):
        read_arguments(place / "a.json")
