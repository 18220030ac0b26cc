"""`ptu-seq explain`: both gates at every token of every line."""

from __future__ import annotations

import argparse
import io
import sys
from typing import Any

from ptu_seq.commands.arguments import add_lines, warn


def add(commands: Any) -> None:
    """Adds the parser."""
    explain = commands.add_parser(
        "explain",
        help="show how far the gates of a model open at each token of the lines",
        description="Writes, for every line, the prediction and each token with its update and its "
        "fine-tune gate at every site, averaged over neurons. A classifier of pairs reads "
        "premise<TAB>hypothesis; a translator also tells of the translation's tokens.",
    )
    add_lines(explain, "explained")
    explain.add_argument(
        "--output_format",
        choices=("table", "json", "html"),
        default="table",
        help="table: for a terminal (default); json: an object a line; html: one page",
    )
    explain.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="colours of tables; auto: on a terminal, unless NO_COLOR is set (default)",
    )
    explain.set_defaults(command=_explain)


def _explain(arguments: argparse.Namespace) -> None:
    # Imported here: transformers takes seconds to load, which `--help` should not cost.
    from transformers.utils import logging

    from ptu_seq.explain import Explanation, load_explainer, page, terminal
    from ptu_seq.inference import open_lines

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    paint = terminal.painter(arguments.color, sys.stdout)
    begin, write, end = {
        "table": (terminal.LEGEND + "\n", lambda told: terminal.table(told, paint), ""),
        "json": ("", Explanation.as_json, ""),
        "html": (page.begin(arguments.model), page.section, page.END),
    }[arguments.output_format]
    is_typed = arguments.input is None and sys.stdin.isatty()
    with open_lines(arguments.input) as lines:
        explain = load_explainer(arguments.model)
        empty: list[int] = []
        cut: list[int] = []
        if begin:
            print(begin, flush=True)
        explained = explain(lines, 1 if is_typed else arguments.batch_size)
        for number, explanation in enumerate(explained, start=1):
            print(write(explanation), flush=True)
            if explanation.prediction is None:
                empty.append(number)
            if explanation.is_cut:
                cut.append(number)
        if end:
            print(end, flush=True)
    if empty:
        warn(f"lines without text: {len(empty)} (the first is line {empty[0]}).")
    if cut:
        warn(
            "lines with more tokens than the model reads, of which only the beginning is "
            f"explained: {len(cut)} (the first is line {cut[0]})."
        )
