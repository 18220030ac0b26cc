"""`ptu-seq collapse`: a trained model without the branches that it does not need."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ptu_seq.commands.arguments import positive


def add(commands: Any) -> None:
    """Adds the parser."""
    collapse = commands.add_parser(
        "collapse",
        help="make a trained model with units smaller",
        description="Puts the gated token vectors of a sentence classifier or a translator into "
        "tables and pins its other units to the branch that they use, one after another by "
        "validation loss, as long as the validation score stays within a tolerance; what nothing "
        "reads then is dropped. The result is an ordinary model, and beside it lies collapse.json, "
        "which tells what was pinned and what it cost.",
    )
    collapse.add_argument("--model", required=True, metavar="DIR", help="a saved model's folder")
    collapse.add_argument(
        "--dataset",
        required=True,
        metavar="NAME",
        help="what the model was trained on, as recipes take it: a bundled name, a hub name, a "
        "folder or a file; its validation split decides, its test split is read once, at the end",
    )
    collapse.add_argument(
        "--tolerance",
        type=_points,
        default=0.5,
        metavar="POINTS",
        help="by how much the validation score may fall below the whole model's (default: 0.5)",
    )
    collapse.add_argument(
        "--metric",
        choices=("accuracy", "macro_f1", "bleu", "chrf"),
        help="the score: of a classifier accuracy or macro_f1, in percent, of a translator bleu or "
        "chrf (default: accuracy, bleu)",
    )
    collapse.add_argument(
        "--validation_examples",
        type=positive,
        metavar="N",
        help="read so many examples of the validation split (default: all)",
    )
    collapse.add_argument(
        "--batch_size",
        type=positive,
        default=32,
        metavar="N",
        help="texts read, and timed, at a time (default: 32)",
    )
    collapse.add_argument(
        "--beam_size",
        type=positive,
        metavar="N",
        help="of a translator: hypotheses of the translations that are scored and timed "
        "(default: 1, greedy search)",
    )
    for side, where in (("source", "from"), ("target", "into")):
        collapse.add_argument(
            f"--{side}_lang",
            metavar="LANG",
            help=f"of a translator: the language to translate {where}, where --dataset does not "
            "tell",
        )
    collapse.add_argument(
        "--output",
        metavar="DIR",
        help="the folder to write, new, empty or an earlier collapse (default: the model's name "
        "with -collapsed)",
    )
    collapse.add_argument(
        "--dry_run", action="store_true", help="tell what would be pinned, and write nothing"
    )
    collapse.set_defaults(command=_collapse)


def _points(word: str) -> float:
    try:
        points = float(word)
    except ValueError:
        points = math.nan
    if not 0 <= points < math.inf:
        raise argparse.ArgumentTypeError(f"{word!r} is no number of points, 0 or more")
    return points


def _collapse(arguments: argparse.Namespace) -> None:
    # Imported here: transformers takes seconds to load, which `--help` should not cost.
    from transformers.utils import logging

    from ptu_seq.collapse import count_parameters, search
    from ptu_seq.collapse_report import as_table, check_output, compare, save
    from ptu_seq.collapse_task import Request, read_task

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    output = Path(arguments.output or _beside(Path(arguments.model)))
    if not arguments.dry_run:
        check_output(output)
    task = read_task(Request(**{f.name: getattr(arguments, f.name) for f in fields(Request)}))
    whole, collapses, metric = task.whole, task.collapses, task.settings["metric"]
    floor = collapses.validation.score(whole) - arguments.tolerance
    before, at_first = count_parameters(whole), collapses.parameters(collapses.start())
    states, steps = search(collapses, floor, _progress)
    if not steps and at_first >= before:
        print(
            f"Nothing to drop: whichever unit is pinned, the validation {metric} falls by more "
            f"than {arguments.tolerance:g} points."
        )
        return
    if task.folded:
        print("embedding folded: the gated token vectors are in one table")
    elif at_first < before:
        print(f"dropped what nothing reads: {at_first:,} parameters are left")
    for step in steps:
        print(step.as_line(metric))
    if arguments.dry_run:
        print(
            f"{collapses.parameters(states):,} of {before:,} parameters would be left; nothing was "
            "written (--dry_run)."
        )
        return

    small, sites = collapses.make(states), collapses.sites(states)
    report = {
        "model": arguments.model,
        "dataset": arguments.dataset,
        "tolerance": arguments.tolerance,
        **task.settings,
        "class": type(small).__name__,
        "sites": sites,
        "steps": [step.as_record() for step in steps],
        **compare({"before": whole, "after": small}, collapses.validation, task.test()),
    }
    save(small, task.save_tokenizer, report, output)
    described = ", ".join(f"{site} {state}" for site, state in sites.items())
    print(f"\n{as_table(report)}\n\n{output}: {report['class']} ({described})")


def _beside(model: Path) -> Path:
    """The folder beside a model's; "." and ".." do not tell the name of the one that they are."""
    place = model if model.name not in ("", "..") else model.resolve()
    return place.with_name(f"{place.name}-collapsed")


def _progress(moves: Sequence[Any]) -> Iterator[Any]:
    from tqdm.auto import tqdm

    yield from tqdm(moves, unit="way", desc="Pinning", leave=False, disable=not sys.stderr.isatty())
