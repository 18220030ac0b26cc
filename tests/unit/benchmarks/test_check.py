"""The flag --check, which benchmarks share."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ptu_seq.cli import Parser


@dataclass
class Row:
    network: str
    size: int
    step: dict[str, Any]
    memory_ratio: float = 1.0
    bytes: int = 7


@pytest.fixture
def script(load_script: Any) -> Any:
    return load_script("benchmark_check")


def arguments(check: Any, file: Path | None, batch: int = 4) -> argparse.Namespace:
    parser = Parser(prog="benchmark")
    check.add_flag(parser)
    given = parser.parse_args([] if file is None else ["--check", str(file)])
    given.batch = batch
    check.read(parser, given)
    return given


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows = [
        {"network": "ptu", "size": size, "step": {"ratio": 2.0}, "memory_ratio": 1.5, "bytes": 9}
        for size in (8, 16)
    ]
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"settings": {"batch": 4}, "measurements": rows}), "utf-8")
    return path


@pytest.mark.parametrize(
    ("better", "step", "memory", "lines"),
    [
        ("lower", 2.29, 1.5, []),
        ("lower", 2.31, 0.1, ["ptu, size 16: the ratio of step is 2.31, expected 2.00."]),
        ("lower", 0.1, 1.8, ["ptu, size 16: the ratio of memory is 1.80, expected 1.50."]),
        ("higher", 1.75, 9.0, []),
        ("higher", 1.73, 1.5, ["ptu, size 16: the ratio of step is 1.73, expected 2.00."]),
    ],
)
def test_ratios_that_are_worse_by_more_than_15_percent(
    script, file, capsys, better, step, memory, lines
):
    check = script.Check(rows=("network", "size"), settings=("batch",), better=better)
    with pytest.raises(SystemExit) as ended:
        check.end(arguments(check, file), [Row("ptu", 16, {"ratio": step}, memory)])
    assert ended.value.code == (1 if lines else 0)
    assert capsys.readouterr().out.splitlines() == lines


def test_what_the_report_does_not_have_is_told(script, file, capsys):
    check = script.Check(rows=("network", "size"), settings=("batch",))
    with pytest.raises(SystemExit) as ended:
        check.end(arguments(check, file), [Row("ptu", 32, {"ratio": 1.0})])
    assert ended.value.code == 1
    assert capsys.readouterr().out.splitlines() == [
        "ptu, size 32: the report has no step.",
        "ptu, size 32: the report has no memory.",
    ]


def test_without_the_flag_nothing_happens(script):
    check = script.Check(rows=("network", "size"), settings=("batch",))
    check.end(arguments(check, None), [Row("ptu", 16, {"ratio": 99.0})])


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"settings": {}, "measurements": []}', '{"measurements": [1]}']
)
def test_other_files_are_refused(script, file, capsys, content):
    check = script.Check(rows=("network", "size"), settings=("batch",))
    file.write_text(content, "utf-8")
    with pytest.raises(SystemExit) as ended:
        arguments(check, file)
    assert ended.value.code == 2
    assert "report.json is no report that --output wrote." in capsys.readouterr().err


def test_reports_of_other_settings_are_refused(script, file, capsys):
    check = script.Check(rows=("network", "size"), settings=("batch",))
    with pytest.raises(SystemExit) as ended:
        arguments(check, file, batch=8)
    assert ended.value.code == 2
    assert "was measured with --batch 4, not 8." in capsys.readouterr().err
