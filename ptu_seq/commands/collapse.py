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
        description="Pins units of a sentence classifier to the branch that they use, one after "
        "another by validation loss, as long as the validation score stays within a tolerance; "
        "what nothing reads then is dropped. The result is an ordinary model, and beside it lies "
        "collapse.json, which tells what was pinned and what it cost.",
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
    from ptu_seq.collapse_report import as_table, check_output, milliseconds, save
    from ptu_seq.data import load_classification
    from ptu_seq.inference import Classifier

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    model_folder = Path(arguments.model)
    output = Path(arguments.output or f"{model_folder}-collapsed")
    if not arguments.dry_run:
        check_output(output)
    _check_kind(arguments.model)
    classifier = Classifier.from_pretrained(arguments.model)
    dataset = load_classification(arguments.dataset)
    check_dataset(classifier, dataset)
    validation = some_validation(dataset, arguments.validation_examples)
    batches = labelled_batches(classifier, dataset, validation, arguments.batch_size)
    metric = getattr(evaluation, arguments.metric)

    whole = classifier.model
    collapses = Collapses(whole, batches, metric)
    states, steps = search(collapses, arguments.tolerance, _progress)
    if not steps:
        print(
            f"Nothing to drop: whichever unit is pinned, the validation {arguments.metric} falls "
            f"by more than {arguments.tolerance:g} points."
        )
        return
    for step in steps:
        loss, score = step.evaluation
        pinned = ", ".join(f"{place} to {state}" for place, state in step.pinned.items())
        print(
            f"pinned {pinned}: {step.parameters:,} parameters, validation loss {loss:.4f}, "
            f"{arguments.metric} {score:.1f}"
        )
    if arguments.dry_run:
        print(f"Nothing was written (--dry_run); the whole model has {count_parameters(whole):,}.")
        return

    small = collapses.make(states)
    read = collapses.parts(states).states
    report: dict[str, Any] = {
        "model": str(model_folder),
        "dataset": arguments.dataset,
        "metric": arguments.metric,
        "tolerance": arguments.tolerance,
        "validation_examples": len(validation),
        "batch_size": arguments.batch_size,
        "class": type(small).__name__,
        "sites": {place: state or "gated" for place, state in read.items()},
        "steps": [step.as_record() for step in steps],
    }
    test = labelled_batches(classifier, dataset, dataset.test, arguments.batch_size)
    models = {"before": whole, "after": small}
    speed = milliseconds(models, batches)
    for name, model in models.items():
        loss, score = evaluate(model, batches, metric)
        report[name] = {
            "parameters": count_parameters(model),
            "milliseconds": speed[name],
            "validation_loss": loss,
            "validation_score": score,
            "test_score": evaluate(model, test, metric).score,
        }
    save(small, classifier.tokenizer, report, output)
    print(f"\n{as_table(report)}\n\n{output}: {_described(report)}")


def _check_kind(name: str) -> None:
    """Raises UserError for a model that has no units, or whose units are of another kind."""
    from transformers import AutoConfig

    from ptu_seq.models import CollapsedConfig, PTUConfig
    from ptu_seq.saved_models import CANNOT_LOAD, check_folder

    check_folder(name, "--model")
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


def _described(report: dict[str, Any]) -> str:
    sites = ", ".join(f"{place} {state}" for place, state in report["sites"].items())
    return f"{report['class']} ({sites})"
