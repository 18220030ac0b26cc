"""How recipes read their arguments: a preset, then a YAML or JSON file, then flags."""

from __future__ import annotations

import argparse
import copy
import dataclasses
import itertools
import json
import re
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml
from transformers import HfArgumentParser

from ptu_seq.cli import Parser
from ptu_seq.distributed import run_together
from ptu_seq.errors import UserError, closest, storage_trouble
from ptu_seq.jobs import Size

FILE_ENDINGS = (".yaml", ".yml", ".json")

#: Bytes of a file of arguments, digits of a number and brackets around a value in it, at most.
LARGEST_FILE, LONGEST_NUMBER, DEEPEST = 2**18, 100, 50

#: What the parsers raise for a value that is none, such as `!!int ""`, or for endless nesting.
NO_VALUE = (ValueError, LookupError, AttributeError, TypeError, RecursionError)


class RecipeParser(Parser, HfArgumentParser):
    """transformers' parser of dataclasses, with defaults that files may set.

    Messages suggest the closest flag or choice, and say in which file it is that is wrong.
    """

    reading: Path | None = None

    def set_defaults_from(self, path: Path, arguments: Mapping[str, Any]) -> None:
        """Checks arguments as if they were flags, and makes them the defaults.

        Args:
            path: the file they come from, for messages.
            arguments: values by the name of their flag.
        """
        accepted = {action.dest for action in self._actions} - {"help"}
        self.reading = path
        self.set_defaults(**vars(self.parse_args(as_flags(arguments, accepted, path))))
        self.reading = None

    def error(self, message: str) -> NoReturn:
        """Ends the process with exit code 2."""
        super().error(f"{self.reading}: {message}" if self.reading else message)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = [str(choice) for choice in action.choices]
            raise argparse.ArgumentError(
                action,
                f"{value!r} is not among its choices{closest(str(value), choices)}; accepted: "
                f"{', '.join(choices)}",
            )


class RecipeHelp(argparse.ArgumentDefaultsHelpFormatter):
    """Help with one spelling of each flag; hyphens in place of underscores work as well."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        flag = next(word for word in action.option_strings if word.startswith("--"))
        if action.nargs == 0:
            return flag
        return f"{flag} {self._format_args(action, self._get_default_metavar_for_optional(action))}"

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)

    def _expand_help(self, action: argparse.Action) -> str:
        if isinstance(action.default, list):
            action = copy.copy(action)
            action.default = " ".join(map(str, action.default))
        return super()._expand_help(action)


def parse_recipe(
    dataclasses: Sequence[type],
    *,
    description: str,
    presets: Path,
    argv: Sequence[str] | None = None,
    parser_type: type[RecipeParser] = RecipeParser,
) -> tuple[Any, ...]:
    """Reads a recipe's arguments; what comes later wins: preset, file, flags.

    Args:
        dataclasses: the arguments, with help texts in their fields; the first has `preset`.
        description: the head of `--help`.
        presets: folder of `RECIPE_PRESET.yaml` files, whose path up to the preset is given:
            `configs/sentence_classification` stands for `configs/sentence_classification_*.yaml`.
        argv: the words; those of the command line if None. A first word that ends in .yaml, .yml
            or .json is a file of arguments.
        parser_type: decides how a bad flag or value ends.

    Returns:
        An instance of each dataclass.

    Raises:
        UserError: for a file or preset that cannot be read, or an argument in it that does not
            exist. argparse itself ends the process with exit code 2 for a bad flag or value.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    parser = parser_type(
        dataclasses,
        description=description,
        usage="%(prog)s [FILE.yaml | FILE.json] [--flag value ...]",
        formatter_class=RecipeHelp,
    )
    file = None
    if words and words[0].endswith(FILE_ENDINGS) and not words[0].startswith("-"):
        file = Path(words.pop(0))
    from_file = {} if file is None else read_arguments(file)
    name = _preset(words) or from_file.get("preset") or parser.get_default("preset")
    preset = find_preset(presets, str(name))
    parser.set_defaults_from(preset, {**read_arguments(preset), "preset": name})
    if file is not None:
        parser.set_defaults_from(file, {**from_file, "preset": name})
    *parsed, rest = parser.parse_args_into_dataclasses(
        words, return_remaining_strings=True, look_for_args_file=False
    )
    if rest:
        hint = "; a file of arguments goes first" if rest[0].endswith(FILE_ENDINGS) else ""
        parser.error(f"{' '.join(rest)} belongs to no flag{hint}")
    return tuple(parsed)


def find_preset(presets: Path, name: str) -> Path:
    """The file of a preset, see :func:`parse_recipe`.

    Raises:
        UserError: if there is none of that name.
    """
    start = presets.name + "_"
    found = {path.stem.removeprefix(start): path for path in presets.parent.glob(f"{start}*.yaml")}
    if name not in found:
        raise UserError(
            f"--preset {name!r} is not known{closest(name, found)}; accepted: "
            f"{', '.join(sorted(found))}."
        )
    return found[name]


class _ArgumentsLoader(yaml.SafeLoader):
    """YAML's safe loader, which neither takes the last of two equal keys nor `no` for False.

    `no` is a language; of YAML 1.1's words for booleans those of YAML 1.2 are left.
    """

    yaml_implicit_resolvers = {
        first: [(tag, form) for tag, form in resolvers if tag != "tag:yaml.org,2002:bool"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        twice = next((key for key, count in keys.items() if count > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(
                None, None, f"{twice!r} is given twice", node.start_mark
            )
        return super().construct_mapping(node, deep)

    def construct_short_int(self, node: yaml.ScalarNode) -> Any:
        """A whole number; one of thousands of digits takes long, and cannot be written again."""
        if len(node.value) > LONGEST_NUMBER:
            raise yaml.constructor.ConstructorError(
                None, None, f"a number has more than {LONGEST_NUMBER} digits", node.start_mark
            )
        return self.construct_yaml_int(node)


_ArgumentsLoader.add_constructor("tag:yaml.org,2002:int", _ArgumentsLoader.construct_short_int)
_ArgumentsLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def read_arguments(path: Path) -> dict[str, Any]:
    """A YAML or JSON file of arguments.

    Raises:
        UserError: if it cannot be read or is not a mapping.
    """
    try:
        with path.open("rb") as file:
            read = file.read(LARGEST_FILE + 1)
        if len(read) > LARGEST_FILE:
            raise UserError(f"{path} is no file of arguments: it has over {LARGEST_FILE:,} bytes.")
        text = read.decode("utf-8")
        if _depth(text) > DEEPEST:  # which takes YAML's parser a time that grows with the square
            raise UserError(f"{path} is no file of arguments: it is nested over {DEEPEST} deep.")
        content = (
            json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader=_ArgumentsLoader)  # noqa: S506, a safe loader
        )
    except OSError as error:
        raise UserError(f"the arguments in {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, *NO_VALUE) as error:
        reason = " ".join(str(error).split()) or repr(error)
        raise UserError(f"the arguments in {path} cannot be read: {reason}.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold argument names with values, like `seeds: 5`.")
    return {str(name): value for name, value in content.items()}


def _depth(text: str) -> int:
    """How many more brackets are opened than closed at most."""
    return max(itertools.accumulate((c in "[{") - (c in "]}") for c in text), default=0)


def as_flags(
    arguments: Mapping[str, Any], accepted: Collection[str], path: Path | str
) -> list[str]:
    """Arguments of a file as the words of a command line, so that one parser checks both.

    Raises:
        UserError: for a name or a value that no flag has.

    Example:
        >>> as_flags({"seeds": 3, "sizes": [100, "all"]}, {"seeds", "sizes"}, Path("a.yaml"))
        ['--seeds=3', '--sizes', '100', 'all']
    """
    words: list[str] = []
    for name, value in arguments.items():
        if name not in accepted:
            raise UserError(f"{path}: no argument is named {name!r}{closest(name, accepted)}.")
        values = value if isinstance(value, list) else [value]
        if any(isinstance(one, list | dict) for one in values):
            raise UserError(f"{path}: {name} must be one value, or a list of values.")
        if isinstance(value, list):
            words += [f"--{name}", *map(str, value)]
        elif value is not None:
            words.append(f"--{name}={value}")
    return words


#: Flags that change nothing in a run: where it is kept, watched and done.
OF_NO_RUN = ("output_dir", "report_to", "workers")


def noted(parsed: Sequence[Any]) -> dict[str, Any]:
    """The arguments that a recipe's runs follow from, by the names of their flags.

    Args:
        parsed: what :func:`parse_recipe` returned.
    """
    values = {
        one.name: getattr(part, one.name) for part in parsed for one in dataclasses.fields(part)
    }
    return {name: value for name, value in values.items() if name not in OF_NO_RUN}


def parse_size(word: str) -> Size:
    """A number of training examples as given on the command line.

    Raises:
        UserError: if it is neither a positive number nor "all".
    """
    if word == "all":
        return "all"
    if word.isdecimal() and int(word) > 0:
        return int(word)
    raise UserError(
        f"--sizes {word!r} is no size{closest(word, ['all'])}; accepted are positive whole numbers "
        "and 'all'."
    )


def parse_sizes(words: Sequence[str]) -> list[Size]:
    """Sizes as given on the command line, each once.

    Raises:
        UserError: for a word that is no size.
    """
    return list(dict.fromkeys(parse_size(word) for word in words))


def _preset(words: Sequence[str]) -> str | None:
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS, add_help=False, allow_abbrev=False)
    parser.add_argument("--preset")
    return parser.parse_known_args(words)[0].preset


def command_line() -> str:
    """The command that started this process, to make its results again."""
    return shlex.join(["python", *sys.argv])


def run_recipe(main: Callable[[], None]) -> None:
    """Runs a recipe's main function and ends the process with its exit code.

    Under torchrun or accelerate launch the processes do it together: see
    :mod:`ptu_seq.distributed`. A user's mistake prints one sentence and exits with 2, and so does a
    disk that is full or a folder that has gone; Ctrl-C says that finished runs are kept and exits
    with 130.
    """
    try:
        run_together(main)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except Exception as error:
        trouble = storage_trouble(error)
        if trouble is None:
            raise
        print(
            f"error: {trouble}. What was finished is kept: once that is mended, the same command "
            "goes on from there.",
            file=sys.stderr,
        )
        sys.exit(2)
    except KeyboardInterrupt:
        print(
            "\nInterrupted: what was finished is kept; the same command goes on from there.",
            file=sys.stderr,
        )
        sys.exit(130)
