"""The flag --check of the benchmarks: their ratios against those of an earlier report."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ptu_seq.cli import Parser

#: How many times as bad as expected a ratio may be.
SLACK = 1.15

#: Ratios by what tells a row apart and by what was measured.
Ratios = dict[tuple[str, str], float]


@dataclass(frozen=True)
class Check:
    """What a benchmark compares with an earlier report, and when the two were measured alike.

    A measurement's ratios are the field "ratio" of its timings and every field whose name ends in
    "_ratio".

    Args:
        rows: fields that together tell a measurement from all others; the first one names it.
        settings: flags that must be those of the earlier report.
        better: whether "lower" or "higher" ratios are better.
    """

    rows: Sequence[str]
    settings: Sequence[str]
    better: Literal["lower", "higher"] = "lower"

    def add_flag(self, parser: argparse.ArgumentParser) -> None:
        """Adds the flag."""
        parser.add_argument(
            "--check",
            type=Path,
            metavar="FILE",
            help="end with exit code 1 if a ratio is over 15%% worse than in this report",
        )

    def read(self, parser: Parser, arguments: argparse.Namespace) -> None:
        """Puts the earlier report's ratios in place of its file; a wrong file ends the process."""
        file = arguments.check
        if file is None:
            return
        try:
            report = json.loads(file.read_text(encoding="utf-8"))
            settings, expected = report["settings"], self.ratios(report["measurements"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            expected = {}
        if not expected:
            parser.error(f"--check: {file} is no report that --output wrote.")
        for name in self.settings:
            if settings.get(name) != getattr(arguments, name):
                parser.error(
                    f"--check: {file} was measured with --{name} {settings.get(name)}, "
                    f"not {getattr(arguments, name)}."
                )
        arguments.check = expected

    def end(self, arguments: argparse.Namespace, measurements: Iterable[Any]) -> None:
        """Ends the process if there is something to check: 1 if a ratio is worse, else 0."""
        if arguments.check is None:
            return
        worse = self.worse(self.ratios(map(asdict, measurements)), arguments.check)
        for line in worse:
            print(line)
        sys.exit(1 if worse else 0)

    def ratios(self, measurements: Iterable[Mapping[str, Any]]) -> Ratios:
        """The ratios of a report's measurements."""
        found = {}
        for row in measurements:
            for name, value in row.items():
                if isinstance(value, Mapping):
                    found[self._label(row), name] = float(value["ratio"])
                elif name.endswith("_ratio"):
                    found[self._label(row), name.removesuffix("_ratio")] = float(value)
        return found

    def worse(self, measured: Ratios, expected: Ratios) -> list[str]:
        """A line for each ratio that is worse than expected, or of which nothing is expected."""
        lines = []
        for (row, what), ratio in measured.items():
            before = expected.get((row, what))
            if before is None:
                lines.append(f"{row}: the report has no {what}.")
            elif ratio > SLACK * before if self.better == "lower" else ratio * SLACK < before:
                lines.append(
                    f"{row}: the ratio of {what.replace('_', ' ')} is {ratio:.2f}, "
                    f"expected {before:.2f}."
                )
        return lines

    def _label(self, row: Mapping[str, Any]) -> str:
        first, *others = self.rows
        return ", ".join([str(row[first]), *(f"{name} {row[name]}" for name in others)])
