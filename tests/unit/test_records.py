"""JSON that a kill at any moment leaves readable."""

from pathlib import Path
from typing import Any

import pytest

from ptu_seq.records import append_line, mend_lines, read_json, read_lines, write_json

LINES: list[dict[str, Any]] = [
    {"a": 1},
    {"word": "h\u00e9, \u2028, \U0001f600"},
    {"c": [1.5, None]},
]


def test_a_file_cut_anywhere_keeps_its_whole_lines_and_takes_new_ones(tmp_path: Path):
    path = tmp_path / "lines.jsonl"
    for line in LINES:
        append_line(path, line)
    content = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(content) if byte == ord("\n")]
    for cut in range(len(content) + 1):
        path.write_bytes(content[:cut])
        # The last line is whole even where only its line end was cut off.
        whole = LINES[: sum(end - 1 <= cut for end in ends)]
        assert read_lines(path) == whole
        append_line(path, {"new": True})
        assert read_lines(path) == [*whole, {"new": True}]


def test_mending_cuts_off_half_a_line_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "lines.jsonl"
    mend_lines(path)
    for line in LINES:
        append_line(path, line)
    content = path.read_bytes()
    for whole in (content, content[:-1]):
        path.write_bytes(whole)
        mend_lines(path)
        assert path.read_bytes() == whole
    assert caplog.text == ""
    path.write_bytes(content[:-2])
    mend_lines(path)
    assert read_lines(path) == LINES[:2]
    assert path.read_bytes().endswith(b"\n")
    assert "the last line was cut off" in caplog.text


def test_what_is_not_there_is_empty(tmp_path: Path):
    assert read_lines(tmp_path / "absent.jsonl") == []
    assert read_json(tmp_path / "absent.json") == {}


@pytest.mark.parametrize("text", ["", "{", "[1]", "3"])
def test_what_is_no_object_reads_as_empty(tmp_path: Path, text: str):
    path = tmp_path / "a.json"
    path.write_text(text)
    assert read_json(path) == {}


def test_write_json_makes_its_folder_and_leaves_nothing_else(tmp_path: Path):
    path = tmp_path / "deep" / "a.json"
    write_json(path, {"b": 1})
    write_json(path, {"b": 2})
    assert read_json(path) == {"b": 2}
    assert list(path.parent.iterdir()) == [path]
