r"""Compares translation here with JoeyNMT 2.3.0 and Eole 0.6.4, in speed and in quality.

The peers are installed into an environment of their own (--environment), with the very build of
torch that runs this script; nothing of them comes into this project's environment.

`speed` times training and decoding of equal networks on equal batches: a bidirectional encoder and
a decoder with general attention, in sizes that make about 9 million weights, none of them tied.
Each system runs its own training loop and its own beam search, in a process of its own with one
thread. The systems take turns, so many steps each, round after round; a machine that is busy with
other work thus slows all of them alike. Training is counted in target tokens, padding left out.
In decoding all systems write translations of one length, however little sense they make after so
few steps: the work is then the same. Rates are medians over rounds, and ratios medians of the ratio
to the first system's rate in the same round: read these first. ptu-seq-units is a child network
beside its frozen parent, units between them at layer level; ptu-seq-int8 is ptu-seq, but decodes
with 8-bit integers. With --check the ratios are held against those of an earlier report of the same
settings: one that is more than 15 percent smaller ends the process with exit code 1.

`quality` runs the recipe low_resource_mt with the methods scratch and ptu, and then trains JoeyNMT
on the same pairs, cut into the same tokens: from scratch, and warm-started (load_model) from a
JoeyNMT parent, whose vocabulary it has to keep. The vocabulary is therefore joint; with another one
(-- --vocabulary match) JoeyNMT reads the child in the parent's pieces and loses the pairs that are
then longer than --max_length. All systems choose among as many settings on validation data;
JoeyNMT's are those of scratch, and for the warm start learning rates and dropouts around those of
fine_tune. It trains for as many epochs as our networks may at most, with a learning rate of the
same mean, and keeps the best of as many validations (ours average the weights of three). BLEU is
sacrebleu's, on detokenised text. What is finished is not done again. Flags after a double hyphen go
to the recipe.

    python scripts/benchmark_translation.py speed --output speed.json
    python scripts/benchmark_translation.py speed --check speed.json
    python scripts/benchmark_translation.py quality --sizes 1000 5000 --output quality.json
    python scripts/benchmark_translation.py quality --sizes 200 --seeds 1 --tuning_settings 1 \
        --output_dir runs/short -- --parent_max_steps 20 --max_steps 20
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from benchmark_check import Check
from translation_peers import quality, speed
from translation_peers.environment import PEERS, default_environment, prepare_environment

from ptu_seq import __version__
from ptu_seq.cli import Parser
from ptu_seq.data import load_translation
from ptu_seq.errors import UserError

#: Flags of `speed` on which its ratios depend.
SPEED_FLAGS = (
    *("systems", "dataset", "rnn_type", "embedding_size", "hidden_size", "num_layers", "bridge"),
    *("input_feeding", "vocab_size", "dropout", "max_length", "batch_tokens", "train_steps"),
    *("decode_sentences", "decode_batch", "decode_length", "beam_size"),
)
SPEED_CHECK = Check(rows=("system",), settings=SPEED_FLAGS, better="higher")


def main(argv: Sequence[str] | None = None) -> None:
    """Measures what the flags ask for, prints a table and writes the JSON file."""
    arguments = parse(argv)
    try:
        arguments.command(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def measure_speed(arguments: argparse.Namespace) -> None:
    """The command `speed`."""
    options = speed_options(arguments)
    python = prepare_environment(arguments.environment)
    dataset = load_translation(arguments.dataset, arguments.source_lang, arguments.target_lang)
    measurements = speed.measure(dataset, options, python, arguments.systems)
    print(f"{dataset.name}, medians of {options.rounds} rounds, torch {torch.__version__}")
    print(speed.HEADER, *map(speed.row, measurements), sep="\n")
    write_report(
        arguments,
        {name: getattr(arguments, name) for name in (*SPEED_FLAGS, "rounds", "warmup")},
        {"measurements": [asdict(measurement) for measurement in measurements]},
    )
    SPEED_CHECK.end(arguments, measurements)


def compare_quality(arguments: argparse.Namespace) -> None:
    """The command `quality`."""
    options = quality_options(arguments)
    result = quality.compare(options, prepare_environment(arguments.environment))
    print(quality.HEADER, *quality.rows(result), sep="\n")
    write_report(arguments, asdict(options), result)


def speed_options(arguments: argparse.Namespace) -> speed.SpeedOptions:
    """The flags of `speed` as what they ask for."""
    network = {
        "rnn_type": arguments.rnn_type,
        "embedding_size": arguments.embedding_size,
        "hidden_size": arguments.hidden_size,
        "num_encoder_layers": arguments.num_layers,
        "num_decoder_layers": arguments.num_layers,
        "attention": "luong_general",
        "input_feeding": arguments.input_feeding,
        "bridge": arguments.bridge,
    }
    if arguments.hidden_size % 2:
        raise UserError(
            f"--hidden_size is {arguments.hidden_size}; it must be even, as each of the encoder's "
            "two directions has half of it."
        )
    names = (
        *("vocab_size", "dropout", "max_length", "batch_tokens", "train_steps"),
        *("decode_sentences", "decode_batch", "decode_length", "beam_size", "rounds", "warmup"),
    )
    return speed.SpeedOptions(network, **{name: getattr(arguments, name) for name in names})


def quality_options(arguments: argparse.Namespace) -> quality.QualityOptions:
    """The flags of `quality` as what they ask for."""
    names = (
        *("source_dataset", "target_datasets", "source_langs", "target_lang", "sizes", "seeds"),
        *("tuning_settings", "output_dir", "workers", "parent_model", "recipe_flags"),
    )
    return quality.QualityOptions(**{name: getattr(arguments, name) for name in names})


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The flags; a wrong one ends the process with exit code 2 and one sentence."""
    words = list(sys.argv[1:] if argv is None else argv)
    recipe_flags: list[str] = []
    if "--" in words:
        at = words.index("--")
        words, recipe_flags = words[:at], words[at + 1 :]
    summary, _, details = (__doc__ or "").partition("\n\n")
    parser = Parser(
        description=summary,
        epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_speed(commands.add_parser("speed", help="tokens per second in training and decoding"))
    _add_quality(commands.add_parser("quality", help="test BLEU after training on the same pairs"))
    arguments = parser.parse_args(words)
    if recipe_flags and arguments.command is not compare_quality:
        parser.error(f"only quality passes flags on: {' '.join(recipe_flags)}")
    arguments.recipe_flags = recipe_flags
    if arguments.command is measure_speed:
        SPEED_CHECK.read(parser, arguments)
    if arguments.output is not None:
        try:  # Now, not after minutes of measuring.
            arguments.output.parent.mkdir(parents=True, exist_ok=True)
            arguments.output.open("a").close()
        except OSError as error:
            parser.error(f"--output: cannot write to {arguments.output}: {error.strerror}.")
    return arguments


def write_report(
    arguments: argparse.Namespace, settings: Mapping[str, Any], content: Mapping[str, Any]
) -> None:
    """Writes the JSON file, if there shall be one."""
    if arguments.output is None:
        return
    environment = {
        "ptu_seq": __version__,
        "peers": list(PEERS),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
    }
    report = {"settings": dict(settings), "environment": environment, **content}
    arguments.output.write_text(json.dumps(report, indent=2, default=str) + "\n", encoding="utf-8")


def _add_speed(parser: argparse.ArgumentParser) -> None:
    _add_common(parser)
    parser.set_defaults(command=measure_speed)
    numbers: dict[str, Any] = {"type": _positive, "metavar": "N"}
    systems = list(speed.SYSTEMS)
    _add(parser, "--systems", systems, "which; ratios are to the first", nargs="+", choices=systems)
    _add(parser, "--dataset", "bible:fr-en", "pairs, as the recipe names them")
    _add(parser, "--source_lang", None, "language to translate from, where the data do not say it")
    _add(parser, "--target_lang", None, "language to translate into, likewise")
    _add(parser, "--rnn_type", "lstm", "recurrent layers", choices=["lstm", "gru"])
    _add(parser, "--embedding_size", 256, "features of a token's vector", **numbers)
    _add(parser, "--hidden_size", 512, "features of the decoder's state", **numbers)
    _add(parser, "--num_layers", 1, "layers of encoder and decoder", **numbers)
    _add(
        parser,
        "--bridge",
        "linear",
        "from encoder to decoder here; JoeyNMT has a linear one for the hidden state, Eole a copy",
        choices=["linear", "copy"],
    )
    _add(parser, "--vocab_size", 4800, "pieces of each vocabulary", **numbers)
    parser.add_argument(
        "--input_feeding",
        action="store_true",
        help="feed the attentional vector to the next decoder step, in all systems",
    )
    _add(parser, "--dropout", 0.2, "of token vectors and hidden states", type=_share, metavar="P")
    _add(parser, "--max_length", 60, "most tokens of a sentence", **numbers)
    _add(parser, "--batch_tokens", 2048, "tokens of a training batch", **numbers)
    _add(parser, "--train_steps", 5, "optimisation steps of a round", **numbers)
    _add(parser, "--decode_sentences", 64, "sentences translated in a round", **numbers)
    _add(parser, "--decode_batch", 32, "sentences translated at a time", **numbers)
    _add(parser, "--decode_length", 30, "tokens of every translation", **numbers)
    _add(parser, "--beam_size", 5, "hypotheses of beam search", **numbers)
    _add(parser, "--rounds", 9, "rounds that are timed", **numbers)
    _add(parser, "--warmup", 2, "rounds before them that are not", **numbers)
    SPEED_CHECK.add_flag(parser)


def _add_quality(parser: argparse.ArgumentParser) -> None:
    _add_common(parser)
    parser.set_defaults(command=compare_quality)
    numbers: dict[str, Any] = {"type": _positive, "metavar": "N"}
    _add(parser, "--source_dataset", "bible:fr-en", "the parent's pairs, as the recipe names them")
    _add(parser, "--target_datasets", ["bible:tl-en"], "the children's", nargs="+")
    _add(
        parser,
        "--source_langs",
        None,
        "languages to translate from, the parent's and then each child's, if the data do not say",
        nargs="+",
    )
    _add(parser, "--target_lang", None, "language to translate into, likewise")
    _add(parser, "--sizes", ["2000"], "training pairs of each child", nargs="+")
    _add(parser, "--seeds", 3, "runs of each system", **numbers)
    _add(
        parser,
        "--tuning_settings",
        4,
        "settings that every system tries on validation data",
        type=int,
        choices=range(1, 5),
    )
    _add(
        parser,
        "--output_dir",
        Path("runs/benchmark_translation"),
        "models, results and logs go here; a rerun goes on",
        type=Path,
        metavar="DIR",
    )
    _add(parser, "--workers", 1, "trainings at a time, one thread each", **numbers)
    parser.add_argument(
        "--parent_model",
        type=Path,
        metavar="DIR",
        help="this project's parent, trained before by the recipe; default: it is trained",
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    _add(
        parser,
        "--environment",
        default_environment(),
        "folder of the peers' environment, made if need be",
        type=Path,
        metavar="DIR",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="also write settings, environment and all numbers to this JSON file",
    )


def _add(
    parser: argparse.ArgumentParser, flag: str, default: Any, help_: str, **options: Any
) -> None:
    shown = " ".join(map(str, default)) if isinstance(default, list) else default
    help_ += "" if default is None else f"; default: {shown}"
    parser.add_argument(flag, default=default, help=help_, **options)


def _positive(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is no whole number of at least 1")
    return int(word)


def _share(word: str) -> float:
    try:
        share = float(word)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is no number from 0 to below 1")
    return share


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
