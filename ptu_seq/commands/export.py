"""`ptu-seq export`: a classifier as a program that torch runs without this package."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ptu_seq.commands.arguments import positive
from ptu_seq.errors import UserError


def add(commands: Any) -> None:
    """Adds the parser."""
    export = commands.add_parser(
        "export",
        help="write a classifier as a program that torch runs without ptu-seq",
        description="Writes a classifier of single texts with torch.export, for batches of any "
        "number of texts of one length in tokens; its logits are those of the model.",
    )
    export.add_argument("--model", required=True, metavar="DIR", help="a saved model's folder")
    export.add_argument(
        "--length",
        type=positive,
        metavar="N",
        help="tokens of every text, filled up or cut (default: as many as the model reads)",
    )
    export.add_argument("output", metavar="OUTPUT.pt2", help="the file to write")
    export.set_defaults(command=_export)


def _export(arguments: argparse.Namespace) -> None:
    path = Path(arguments.output)
    if path.suffix != ".pt2" or not path.parent.is_dir() or path.is_dir():
        raise UserError(f"OUTPUT {path}: accepted is a .pt2 file in a folder that exists.")
    # Imported here: transformers takes seconds to load, which `--help` should not cost.
    from transformers.utils import logging

    from ptu_seq.export import LONGEST, export_classifier, save_program
    from ptu_seq.inference import Classifier

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    classifier = Classifier.from_pretrained(arguments.model)
    limit = classifier.tokenizer.model_max_length
    if arguments.length is None and limit > LONGEST:
        raise UserError("--length is needed, as the model's tokenizer tells no limit.")
    length = arguments.length or limit
    if length > min(limit, LONGEST):
        raise UserError(f"--length {length}: accepted is at most {min(limit, LONGEST)} tokens.")
    program = export_classifier(classifier, length)
    try:
        save_program(program, classifier.model.config.id2label, path)
    except (OSError, RuntimeError) as error:  # torch raises the second where it cannot write
        raise UserError(f"OUTPUT {path}: cannot be written ({error}).") from error
