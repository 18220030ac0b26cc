"""Translates a file with a saved model in float32 and in int8, and compares speed and BLEU.

Both models translate the same lines with the same beam search and the batches of `ptu-seq
translate`, in turn in one process, for so many rounds: read the ratio, the median over rounds of
the one's time divided by the other's in the same round. BLEU is sacrebleu's, against the
references, a line each. The p-value is that of its paired bootstrap. With --check the ratio of
times is held against that of an earlier report of the same settings: if it is more than 15 percent
larger, the process ends with exit code 1.

    python scripts/benchmark_decoding.py --model runs/low_resource_mt/model --input test.tl \
        --references test.en --output decoding.json
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from benchmark_check import Check
from benchmark_rounds import BenchmarkParser, Timing, timings, write_report

from ptu_seq.errors import UserError
from ptu_seq.inference import open_lines
from ptu_seq.quantization import quantize_int8
from ptu_seq.translation.evaluation import compare_translations, score_translations
from ptu_seq.translation.inference import Translator, translate

CHECK = Check(rows=("numbers",), settings=("beam_size", "batch", "threads"))


@dataclass(frozen=True)
class Measurement:
    """A row of the table."""

    numbers: str
    translation: Timing
    sentences_per_second: float
    bleu: float
    signature: str


def main(argv: Sequence[str] | None = None) -> None:
    """Measures what the flags ask for, prints the table and writes the JSON file."""
    arguments = parse(argv)
    torch.set_num_threads(arguments.threads)
    try:
        measurements, p_value = measure(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(
        f"{arguments.model}, beam size {arguments.beam_size}, threads {arguments.threads}, "
        f"medians of {arguments.repeats} rounds, torch {torch.__version__}"
    )
    print(HEADER, *map(row, measurements), sep="\n")
    print(f"p of the difference in BLEU: {p_value:.3f}")
    if arguments.output is not None:
        write_report(arguments, measurements)
    CHECK.end(arguments, measurements)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The flags; a wrong one ends the process with exit code 2 and one sentence."""
    parser = BenchmarkParser(__doc__ or "")
    for flag, help_ in (
        ("--model", "folder of a saved translator"),
        ("--input", "file of lines to translate"),
        ("--references", "file of their translations"),
    ):
        parser.add_argument(flag, required=True, metavar="PATH", help=help_)
    parser.add("--beam_size", 5, "hypotheses of beam search", **parser.numbers)
    parser.add("--batch", 32, "sentences translated at a time", **parser.numbers)
    CHECK.add_flag(parser)
    arguments = parser.read(argv)
    CHECK.read(parser, arguments)
    return arguments


def measure(arguments: argparse.Namespace) -> tuple[list[Measurement], float]:
    """A measurement of the model as it is and one in int8, and the p-value of their difference."""
    with open_lines(arguments.input) as lines, open_lines(arguments.references) as references:
        texts, wanted = list(lines), list(references)
    if len(texts) != len(wanted) or not texts:
        raise UserError(
            f"{Path(arguments.input).name} has {len(texts)} lines and "
            f"{Path(arguments.references).name} {len(wanted)}; a translation of each is needed."
        )
    translator = Translator.from_pretrained(arguments.model)
    models = {"float32": translator.model.cpu(), "int8": quantize_int8(translator.model)}
    written: dict[str, list[str]] = {}

    def write(name: str) -> None:
        translations = translate(
            models[name],
            translator.tokenizers,
            texts,
            beam_size=arguments.beam_size,
            batch_size=arguments.batch,
        )
        written[name] = [translation.text for translation in translations]

    times = timings(
        [lambda name=name: write(name) for name in models],  # type: ignore[misc]
        arguments.repeats,
        arguments.warmup,
    )
    rows = []
    for name, timing in zip(models, times, strict=True):
        scores = score_translations(written[name], wanted)
        rate = len(texts) / timing.milliseconds * 1000
        rows.append(Measurement(name, timing, rate, scores.bleu, scores.signatures["bleu"]))
    rivals = {"float32": written["float32"]}
    compared = compare_translations(wanted, written["int8"], rivals)
    return rows, compared["float32"].p_value


HEADER = f"{'numbers':<8} {'sentences/s':>12} {'time':>6}  {'BLEU':>6}"


def row(measured: Measurement) -> str:
    """A line under `HEADER`."""
    return (
        f"{measured.numbers:<8} {measured.sentences_per_second:>12.1f} "
        f"{measured.translation.ratio:>6.2f}  {measured.bleu:>6.2f}"
    )


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
