"""How recipes read their arguments: a preset, then a YAML or JSON file, then flags."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from transformers import HfArgumentParser

from ptu_seq.cli import Parser
from ptu_seq.errors import UserError, closest

class RecipeParser(Parser, HfArgumentParser):
    """transformers' parser of dataclasses, with the closest flag suggested for a misspelt one."""


def parse_recipe(
    dataclasses: Sequence[type],
    *,
    description: str,
    presets: Path,
    argv: Sequence[str] | None = None,
) -> tuple[Any, ...]:
    """Reads a recipe's arguments; what comes later wins: preset, file, flags.

    Args:
        dataclasses: the arguments, with help texts in their fields; the first has `preset`.
        description: the head of `--help`.
        presets: folder of `RECIPE_PRESET.yaml` files, whose path up to the preset is given:
            `configs/sentence_classification` stands for `configs/sentence_classification_*.yaml`.
        argv: the words; those of the command line if None. A first word that ends in .yaml, .yml
            or .json is a file of arguments.

    Returns:
        An instance of each dataclass.

    Raises:
        UserError: for a file or preset that cannot be read, or an argument in it that does not
            exist. argparse itself ends the process with exit code 2 for a bad flag.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    parser = RecipeParser(
        dataclasses,
        description=description,
        usage="%(prog)s [FILE.yaml | FILE.json] [--flag value ...]",
    )
    accepted = {action.dest for action in parser._actions}
    from_file: list[str] = []
    if words and words[0].endswith((".yaml", ".yml", ".json")):
        file = Path(words.pop(0))
        from_file = as_flags(read_arguments(file), accepted, file)
    name = _preset([*from_file, *words]) or parser.get_default("preset")
    found = {p.stem.removeprefix(presets.name + "_"): p for p in presets.parent.glob("*.yaml")}
    found = {k: p for k, p in found.items() if p.stem.startswith(presets.name + "_")}
    if name not in found:
        raise UserError(
            f"no preset is named {name!r}{closest(str(name), found)}; "
            f"accepted: {', '.join(sorted(found))}."
        )
    from_preset = as_flags(read_arguments(found[name]), accepted, found[name])
    return parser.parse_args_into_dataclasses([*from_preset, *from_file, *words])


def read_arguments(path: Path) -> dict[str, Any]:
    """A YAML or JSON file of arguments.

    Raises:
        UserError: if it cannot be read or is not a mapping.
    """
    try:
        text = path.read_text("utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"the arguments in {path} cannot be read: {reason}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold argument names with values, like `seeds: 5`.")
    return content


def as_flags(arguments: Mapping[str, Any], accepted: set[str], path: Path) -> list[str]:
    """Arguments of a file as the words of a command line, so that one parser checks both.

    Example:
        >>> as_flags({"seeds": 3, "sizes": [100, "all"]}, {"seeds", "sizes"}, Path("a.yaml"))
        ['--seeds', '3', '--sizes', '100', 'all']
    """
    words: list[str] = []
    for name, value in arguments.items():
        if name not in accepted:
            raise UserError(f"{path}: no argument is named {name!r}{closest(str(name), accepted)}.")
        if value is not None:
            values = value if isinstance(value, list) else [value]
            words += [f"--{name}", *map(str, values)]
    return words


def _preset(words: Sequence[str]) -> str | None:
    name = None
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == "--preset":
            name = following
        elif word.startswith("--preset="):
            name = word.partition("=")[2]
    return name


def command_line() -> str:
    """The command that started this process, to make its results again."""
    return shlex.join(["python", *sys.argv])


def run_recipe(main: Callable[[], None]) -> None:
    """Runs a recipe's main function and ends the process with its exit code.

    A user's mistake prints one sentence and exits with 2; Ctrl-C says that finished runs are kept
    and exits with 130.
    """
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(
            "\nInterrupted: what was finished is kept; the same command goes on from there.",
            file=sys.stderr,
        )
        sys.exit(130)
