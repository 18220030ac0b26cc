"""The command `ptu-seq`: run a recipe; classify or translate with a saved model, or export it."""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import itertools
import os
import runpy
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ptu_seq import __version__
from ptu_seq.errors import UserError, closest


class Parser(argparse.ArgumentParser):
    """argparse, with the closest valid flag suggested for a misspelt one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Checks the flags first: a misspelt required flag is misspelt rather than missing."""
        words = list(sys.argv[1:] if args is None else args)
        own = words
        if self._subparsers is not None:  # the words after the command are its parser's affair
            own = list(itertools.takewhile(lambda word: word.startswith("-"), words))
        for word in own:
            flag = word.partition("=")[0]
            if flag.startswith("--") and flag != "--" and flag not in self._option_string_actions:
                self.error(f"unknown flag {flag}{closest(flag, self._option_string_actions)}")
        return super().parse_known_args(words, namespace)


def make_parser() -> Parser:
    """The parser of all subcommands; each sets `command`, a function of the parsed arguments."""
    parser = Parser(prog="ptu-seq", description="Sequence transfer with Parameter Transfer Units.")
    parser.add_argument("--version", action="version", version=f"ptu-seq {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = commands.add_parser(
        "run",
        help="run a recipe, or list them",
        usage="ptu-seq run [RECIPE [ARGUMENTS...]]",
        description="Runs a recipe; all that follows its name goes to the recipe. "
        "`ptu-seq run` lists the recipes, `ptu-seq run RECIPE --help` explains one.",
    )
    run.add_argument("recipe", nargs="?", metavar="RECIPE", help="its name, without .py")
    run.set_defaults(command=_run)

    classify = commands.add_parser(
        "classify",
        help="label the lines of a file or of stdin",
        description="Writes a label and its probability for every line, in the order of the "
        "lines. A model of sentence pairs reads premise<TAB>hypothesis.",
    )
    classify.add_argument(
        "--model", required=True, metavar="DIR", help="a saved model's folder, or a hub name"
    )
    classify.add_argument("--input", metavar="FILE", help="UTF-8 lines (default: stdin)")
    classify.add_argument(
        "--batch_size",
        type=_positive,
        default=32,
        metavar="N",
        help="lines classified, and written, at a time (default: 32)",
    )
    classify.add_argument(
        "--output_format",
        choices=("tsv", "jsonl"),
        default="tsv",
        help="tsv: label, probability, text (default); jsonl: an object with these keys",
    )
    classify.set_defaults(command=_classify)
    _add_translate(commands)
    _add_export(commands)
    return parser


def _add_translate(commands: Any) -> None:
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
        type=_positive,
        default=5,
        metavar="N",
        help="hypotheses that beam search keeps; 1: greedy search (default: 5)",
    )
    translate.add_argument(
        "--n_best",
        type=_positive,
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
        type=_positive,
        default=32,
        metavar="N",
        help="lines translated at a time (default: 32)",
    )
    translate.add_argument(
        "--max_length",
        type=_positive,
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


def _add_export(commands: Any) -> None:
    export = commands.add_parser(
        "export",
        help="write a classifier as a program that torch runs without ptu-seq",
        description="Writes a classifier of single texts with torch.export, for batches of any "
        "number of texts of one length in tokens; its logits are those of the model.",
    )
    export.add_argument("--model", required=True, metavar="DIR", help="a saved model's folder")
    export.add_argument(
        "--length",
        type=_positive,
        metavar="N",
        help="tokens of every text, filled up or cut (default: as many as the model reads)",
    )
    export.add_argument("output", metavar="OUTPUT.pt2", help="the file to write")
    export.set_defaults(command=_export)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0, 2 for a user's mistake, 130 for Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    # A recipe reads its own flags, so what follows its name is not ours to parse.
    passed_on = words[2:] if words[:1] == ["run"] else []
    arguments = make_parser().parse_args(words[: len(words) - len(passed_on)])
    arguments.passed_on = passed_on
    try:
        arguments.command(arguments)
        sys.stdout.flush()
    except UserError as error:
        print(f"ptu-seq: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ptu-seq: interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (`| head`) has seen enough; nothing may be flushed to it at exit.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def recipes() -> dict[str, Path]:
    """The recipes by name: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    for folder in (package / "recipes", package.parent / "recipes"):
        found = {path.stem: path for path in sorted(folder.glob("[!_]*.py"))}
        if found:
            return found
    return {}


def _run(arguments: argparse.Namespace) -> None:
    found = recipes()
    name = arguments.recipe
    if name is None:
        print("Recipes, each with flags of its own (ptu-seq run RECIPE --help):")
        for recipe, path in found.items():
            print(f"  {recipe:<26} {_summary(path)}")
        return
    if name not in found:
        accepted = ", ".join(found) or "none, as this installation holds no recipes"
        raise UserError(f"no recipe is named {name!r}{closest(name, found)}; accepted: {accepted}.")
    path = found[name]
    # As `python recipes/NAME.py ...` would: its folder first on the path, its words in sys.argv.
    argv, search_path = sys.argv, sys.path
    sys.argv, sys.path = [str(path), *arguments.passed_on], [str(path.parent), *sys.path]
    try:
        runpy.run_path(str(path), run_name="__main__")
    finally:
        sys.argv, sys.path = argv, search_path


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
        _warn(
            f"lines without text, which got no label: {len(empty)} (the first is line {empty[0]})."
        )


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
        _warn(
            f"lines of over {translator.limit} tokens, of which only the beginning was translated: "
            f"{len(cut)} (the first is line {cut[0]})."
        )
    if plot is not None and drawn is not None:
        plot_alignment(translator.align(drawn), plot)
    elif plot is not None:
        _warn(f"no line has text, so {plot} was not written.")


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


def _window(arguments: argparse.Namespace) -> int | None:
    """Lines read at a time: of a stream no more than a batch, of a keyboard each by itself."""
    if arguments.input is not None:
        return None
    return 1 if sys.stdin.isatty() else arguments.batch_size


def _warn(message: str) -> None:
    print(f"ptu-seq: warning: {message}", file=sys.stderr)


def _summary(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def _positive(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is no whole number of at least 1")
    return int(word)


if __name__ == "__main__":
    sys.exit(main())
