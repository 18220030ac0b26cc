"""`ptu-seq translate`: a translation of every line."""

from __future__ import annotations

import argparse
import io
import sys
from dataclasses import replace
from typing import Any

from ptu_seq.commands.arguments import positive, warn


def add(commands: Any) -> None:
    """Adds the parser."""
    translate = commands.add_parser(
        "translate",
        help="translate the lines of a file or of stdin",
        description="Writes the translation of every line, in the order of the lines; an empty "
        "line has an empty one.",
    )
    translate.add_argument("--model", required=True, metavar="DIR", help="a saved model's folder")
    translate.add_argument("input", nargs="?", metavar="INPUT", help="UTF-8 lines (default: stdin)")
    translate.add_argument(
        "--beam_size",
        type=positive,
        default=5,
        metavar="N",
        help="hypotheses that beam search keeps; 1: greedy search (default: 5)",
    )
    translate.add_argument(
        "--n_best",
        type=positive,
        default=1,
        metavar="N",
        help="translations written for every line, a line each, the best first (default: 1)",
    )
    translate.add_argument(
        "--scores",
        action="store_true",
        help="write score<TAB>translation; the score is the mean log-probability of a token",
    )
    translate.add_argument(
        "--batch_size",
        type=positive,
        default=32,
        metavar="N",
        help="lines translated at a time (default: 32)",
    )
    translate.add_argument(
        "--max_length",
        type=positive,
        metavar="N",
        help="tokens of a translation at most (default: about twice those of the line)",
    )
    translate.add_argument(
        "--int8",
        action="store_true",
        help="translate on an x86 CPU with 8-bit integers: faster, and very nearly the same",
    )
    translate.add_argument(
        "--attention_plot",
        metavar="FILE.png",
        help="draw which tokens the model looked at in the first line that has text, and how far "
        "its update gates opened",
    )
    translate.set_defaults(command=_translate)


def _translate(arguments: argparse.Namespace) -> None:
    # Imported here: transformers takes seconds to load, which `--help` should not cost.
    from transformers.utils import logging

    from ptu_seq.inference import open_lines
    from ptu_seq.translation.alignment import check_plot, plot_alignment
    from ptu_seq.translation.inference import Translation, Translator, translate

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    plot = arguments.attention_plot
    if plot is not None:
        check_plot(plot)
    with open_lines(arguments.input, "INPUT") as lines:
        translator = Translator.from_pretrained(arguments.model)
        if arguments.int8:
            from ptu_seq.quantization import quantize_int8

            translator = replace(translator, model=quantize_int8(translator.model))
        drawn: Translation | None = None
        cut: list[int] = []
        translations = translate(
            translator.model,
            translator.tokenizers,
            lines,
            beam_size=arguments.beam_size,
            n_best=arguments.n_best,
            max_length=arguments.max_length,
            batch_size=arguments.batch_size,
            window=_window(arguments),
            with_scores=arguments.scores,
        )
        for number, translation in enumerate(translations, start=1):
            for row in translation.as_rows(with_scores=arguments.scores):
                print(row, flush=True)
            if translation.is_cut:
                cut.append(number)
            if drawn is None and translation.ids:
                drawn = translation
    if cut:
        warn(
            f"lines of over {translator.limit} tokens, of which only the beginning was translated: "
            f"{len(cut)} (the first is line {cut[0]})."
        )
    if plot is not None and drawn is not None:
        plot_alignment(translator.align(drawn), plot)
    elif plot is not None:
        warn(f"no line has text, so {plot} was not written.")


def _window(arguments: argparse.Namespace) -> int | None:
    """Lines read at a time: of a stream no more than a batch, of a keyboard each by itself."""
    if arguments.input is not None:
        return None
    return 1 if sys.stdin.isatty() else arguments.batch_size
