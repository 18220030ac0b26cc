"""`ptu-seq classify`: a label for every line."""

from __future__ import annotations

import argparse
import io
import sys
from typing import Any

from ptu_seq.commands.arguments import add_lines, warn


def add(commands: Any) -> None:
    """Adds the parser."""
    classify = commands.add_parser(
        "classify",
        help="label the lines of a file or of stdin",
        description="Writes a label and its probability for every line, in the order of the "
        "lines. A model of sentence pairs reads premise<TAB>hypothesis.",
    )
    add_lines(classify, "classified")
    classify.add_argument(
        "--output_format",
        choices=("tsv", "jsonl"),
        default="tsv",
        help="tsv: label, probability, text (default); jsonl: an object with these keys",
    )
    classify.set_defaults(command=_classify)


def _classify(arguments: argparse.Namespace) -> None:
    # Imported here: transformers takes seconds to load, which `--help` should not cost.
    from transformers.utils import logging

    from ptu_seq.inference import Classifier, Prediction, classify_lines, open_lines

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    written = {"tsv": Prediction.as_tsv, "jsonl": Prediction.as_jsonl}[arguments.output_format]
    with open_lines(arguments.input) as lines:
        classifier = Classifier.from_pretrained(arguments.model)
        empty: list[int] = []
        predictions = classify_lines(classifier, lines, batch_size=arguments.batch_size)
        for number, prediction in enumerate(predictions, start=1):
            print(written(prediction), flush=True)
            if prediction.label is None:
                empty.append(number)
    if empty:
        warn(
            f"lines without text, which got no label: {len(empty)} (the first is line {empty[0]})."
        )
