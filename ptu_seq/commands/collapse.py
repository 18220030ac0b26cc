"""`ptu-seq collapse`: a trained classifier without the branches that it does not need."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ptu_seq.commands.arguments import positive
from ptu_seq.errors import UserError


def add(commands: Any) -> None:
    """Adds the parser."""
    collapse = commands.add_parser(
        "collapse",
        help="make a trained model with units smaller",
        description="Puts a sentence classifier's gated token vectors into one table and pins its "
        "other units to the branch that they use, one after another by validation loss, as long as "
        "the validation score stays within a tolerance; what nothing reads then is dropped. The "
        "result is an ordinary model, and beside it lies collapse.json, which tells what was "
        "pinned and what it cost.",
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
        choices=("accuracy", "macro_f1"),
        default="accuracy",
        help="the score, in percent (default: accuracy)",
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

    from ptu_seq import evaluation
    from ptu_seq.collapse import Collapses, count_parameters, evaluate, search
    from ptu_seq.collapse_data import check_dataset, labelled_batches, some_validation
    from ptu_seq.collapse_report import as_table, check_output, compare, save
    from ptu_seq.data import load_classification
    from ptu_seq.inference import Classifier
    from ptu_seq.models.collapse import fold_embedding, units_by_place

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    output = Path(arguments.output or _beside(Path(arguments.model)))
    if not arguments.dry_run:
        check_output(output)
    _check_kind(arguments.model)
    classifier = Classifier.from_pretrained(arguments.model)
    dataset = load_classification(arguments.dataset)
    check_dataset(classifier, dataset)
    rows = some_validation(dataset, arguments.validation_examples)
    validation = labelled_batches(classifier, dataset, rows, arguments.batch_size)
    metric = getattr(evaluation, arguments.metric)

    whole = classifier.model
    folds = units_by_place(whole)["embedding"].pinned is None
    collapses = Collapses(fold_embedding(whole) if folds else whole, validation, metric)
    floor = evaluate(whole, validation, metric).score - arguments.tolerance
    states, steps = search(collapses, floor, _progress)
    if not steps and not folds:
        print(
            f"Nothing to drop: whichever unit is pinned, the validation {arguments.metric} falls "
            f"by more than {arguments.tolerance:g} points."
        )
        return
    if folds:
        print("embedding folded: the gated token vectors are in one table")
    for step in steps:
        print(step.as_line(arguments.metric))
    if arguments.dry_run:
        print(
            f"{collapses.parameters(states):,} of {count_parameters(whole):,} parameters would be "
            "left; nothing was written (--dry_run)."
        )
        return

    small = collapses.make(states)
    sites = {site: str(state or "gated") for site, state in collapses.parts(states).states.items()}
    if folds and sites.get("embedding") == "target":
        sites["embedding"] = "folded"
    test = labelled_batches(classifier, dataset, dataset.test, arguments.batch_size)
    report = {
        "model": arguments.model,
        "dataset": arguments.dataset,
        "metric": arguments.metric,
        "tolerance": arguments.tolerance,
        "validation_examples": len(rows),
        "batch_size": arguments.batch_size,
        "class": type(small).__name__,
        "sites": sites,
        "steps": [step.as_record() for step in steps],
        **compare({"before": whole, "after": small}, validation, test, metric),
    }
    save(small, classifier.tokenizer, report, output)
    described = ", ".join(f"{site} {state}" for site, state in sites.items())
    print(f"\n{as_table(report)}\n\n{output}: {report['class']} ({described})")


def _beside(model: Path) -> Path:
    """The folder beside a model's; "." and ".." do not tell the name of the one that they are."""
    place = model if model.name not in ("", "..") else model.resolve()
    return place.with_name(f"{place.name}-collapsed")


def _check_kind(name: str) -> None:
    """Raises UserError for a model that has no units, or whose units are of another kind."""
    from transformers import AutoConfig

    from ptu_seq.model_files import check_files
    from ptu_seq.models import CollapsedConfig, PTUConfig
    from ptu_seq.saved_models import CANNOT_LOAD, check_folder

    check_folder(name, "--model")
    check_files(name, "--model")
    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    except CANNOT_LOAD:
        return  # which loading the model tells better
    if isinstance(config, CollapsedConfig):
        raise UserError(
            f"--model {name}: it has been collapsed already; accepted is the model that it was."
        )
    if not isinstance(config, PTUConfig):
        kind = (config.architectures or [config.model_type])[0]
        raise UserError(
            f"--model {name}: a {kind}; accepted is a recurrent classifier with units, a "
            "PTUForSequenceClassification."
        )


def _progress(moves: Sequence[Any]) -> Iterator[Any]:
    from tqdm.auto import tqdm

    yield from tqdm(moves, unit="way", desc="Pinning", leave=False, disable=not sys.stderr.isatty())
