"""A study file: many experiments, each a recipe with its arguments, checked before any runs."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

from ptu_seq.arguments import RecipeParser, as_flags, read_arguments
from ptu_seq.errors import UserError, closest
from ptu_seq.experiment import Plan
from ptu_seq.jobs import file_name
from ptu_seq.recipe_files import load_recipe
from ptu_seq.transfer_data import short_name
from ptu_seq.tuning import TuningArguments

KEYS = ("name", "output_dir", "defaults", "tuning", "experiments")

#: The keys of `tuning`, and the flags of recipes that they stand for.
TUNING = {name.removeprefix("tuning_"): name for name in TuningArguments.__dataclass_fields__}

#: Flags that an experiment cannot have, and where the study says the same.
OF_THE_STUDY = {
    "output_dir": "experiments lie in folders of the study's output_dir",
    "workers": "give --workers to ptu-seq study",
    **{flag: f"give {key} under tuning, for all experiments" for key, flag in TUNING.items()},
}

#: The longest name that an experiment gets without being given one.
LONGEST_NAME = 100


#: What the study itself has in its folder.
NOT_NAMES = (
    *("experiments.json", "figures"),
    *("summary.json", "summary.md", "report.html"),
)


@dataclass(frozen=True)
class PlannedExperiment:
    """A recipe and its arguments.

    Args:
        name: of its folder, and in tables.
        recipe: the recipe's name.
        arguments: its flags' values, as in the study file.
        output_dir: its folder.
    """

    name: str
    recipe: str
    arguments: Mapping[str, Any]
    output_dir: Path

    @cached_property
    def module(self) -> ModuleType:
        """The recipe."""
        return load_recipe(self.recipe)

    @property
    def words(self) -> list[str]:
        """The recipe's command line."""
        given = {**self.arguments, "output_dir": str(self.output_dir)}
        return as_flags(given, set(given), self.name)

    @cached_property
    def parsed(self) -> tuple[Any, ...]:
        """The recipe's arguments, with its defaults.

        Raises:
            UserError: for a value that it does not accept.
        """
        return self.module.parse(self.words, _Parser)

    @cached_property
    def plan(self) -> Plan:
        """What the recipe is to do.

        Raises:
            UserError: for a method or size that there is not.
        """
        return self.module.make_plan(self.parsed)

    def argument(self, name: str) -> Any:
        """The value of one of the recipe's arguments."""
        return next(getattr(part, name) for part in self.parsed if hasattr(part, name))


@dataclass(frozen=True)
class StudyFile:
    """What a study file says.

    Args:
        name: of the study.
        output_dir: its folder.
        experiments: in the order of the file, products written out.
    """

    name: str
    output_dir: Path
    experiments: Sequence[PlannedExperiment]


def read_study(path: Path) -> StudyFile:
    """Reads and checks a study file.

    Raises:
        UserError: for whatever in it no recipe accepts: the first mistake, and where it is.
    """
    content = read_arguments(path)
    _check_keys(content, KEYS, f"{path}")
    name = _word(content, "name", f"{path}") or path.stem
    output_dir = Path(_word(content, "output_dir", f"{path}") or Path("runs") / name)
    tuning = _mapping(content.get("tuning"), f"{path}, tuning")
    _check_keys(tuning, TUNING, f"{path}, tuning")
    for key, value in tuning.items():
        if isinstance(value, list):
            raise UserError(f"{path}, tuning: {key} is one number, as it holds for all methods.")
    if tuning and not tuning.get("trials"):
        raise UserError(f"{path}, tuning: say how many trials, as in `trials: 8`, or leave it out.")
    listed = content.get("experiments")
    if not isinstance(listed, list) or not listed:
        raise UserError(f"{path}: experiments must be a list of recipes with their arguments.")
    entries = [
        (_mapping(entry, place := f"{path}, experiment {i}"), place)
        for i, entry in enumerate(listed, start=1)
    ]
    defaults = _mapping(content.get("defaults"), f"{path}, defaults")
    modules = [_module(entry, place) for entry, place in entries]
    known = {flag for module in modules for flag in _flags(module)}
    _check_keys(defaults, known - set(OF_THE_STUDY), f"{path}, defaults")
    experiments: dict[str, tuple[PlannedExperiment, str]] = {}
    for (entry, place), module in zip(entries, modules, strict=True):
        flags = _flags(module)
        for key in entry:
            if key in OF_THE_STUDY:
                raise UserError(f"{place}: {key} is the study's affair: {OF_THE_STUDY[key]}.")
        _check_keys(entry, {"recipe", "name", *flags} - set(OF_THE_STUDY), place)
        given = {
            **{key: value for key, value in defaults.items() if key in flags},
            **{TUNING[key]: value for key, value in tuning.items()},
            **{key: value for key, value in entry.items() if key not in ("recipe", "name")},
        }
        _word(entry, "name", place)
        for experiment in _products(entry, given, module, output_dir, place):
            _check_values(experiment, place)
            key = experiment.name.lower()  # some systems' folders differ in more than case
            called = entry["name"] if entry.get("name") in (".", "..") else experiment.name
            if key in NOT_NAMES or called != experiment.name:
                raise UserError(
                    f"{place}: no experiment can be named {called!r}, which is of the "
                    "study's own folder; give it another name."
                )
            if key in experiments and experiments[key][1] == place:
                raise UserError(
                    f"{place}: two of its combinations would both write to "
                    f"{experiment.output_dir}: list each value once, or write them as two "
                    "experiments with a name each."
                )
            if key in experiments:
                raise UserError(
                    f"{place} and {experiments[key][1].rpartition(', ')[2]} would both write to "
                    f"{experiment.output_dir}: join them, or give one of them a name of its own."
                )
            experiments[key] = experiment, place
    return StudyFile(name, output_dir, [experiment for experiment, _ in experiments.values()])


def _products(
    entry: Mapping[str, Any],
    given: Mapping[str, Any],
    module: ModuleType,
    output_dir: Path,
    place: str,
) -> Iterator[PlannedExperiment]:
    """An experiment for each combination of values that are listed where a flag takes one."""
    flags = _flags(module)
    listed = {k: v for k, v in given.items() if isinstance(v, list) and not flags[k]}
    empty = next((key for key, values in listed.items() if not values), None)
    if empty is not None:
        raise UserError(f"{place}: {empty} is an empty list; give a value, or several.")
    for values in itertools.product(*listed.values()):
        chosen = dict(zip(listed, values, strict=True))
        arguments = {**given, **chosen}
        name = _experiment_name(entry, arguments, chosen)
        yield PlannedExperiment(name, entry["recipe"], arguments, output_dir / name)


def _experiment_name(
    entry: Mapping[str, Any], arguments: Mapping[str, Any], chosen: Mapping[str, Any]
) -> str:
    """The name that is given, or recipe and data sets; and the values that were chosen."""
    source = arguments.get("source_model") or arguments.get("source_dataset")
    targets = arguments.get("target_datasets", [])
    names = [source, *(targets if isinstance(targets, list) else [targets])]
    datasets = [short_name(str(name)) for name in names if name]
    given = entry.get("name") not in (None, "")
    parts = [str(entry["name"])] if given else [entry["recipe"], *datasets]
    parts += [short_name(str(v)) for k, v in chosen.items() if given or k not in _NAMED]
    return file_name("-".join(parts))[:LONGEST_NAME]


_NAMED = ("source_model", "source_dataset")


class _Parser(RecipeParser):
    """A recipe's parser whose errors say where in the study file they are."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message.rstrip('.')}.")


def _check_values(experiment: PlannedExperiment, place: str) -> None:
    """Checks all that can be before data is loaded."""
    try:
        _ = experiment.plan
    except UserError as error:
        raise UserError(f"{place}: {error}") from error
    targets = experiment.argument("target_datasets")
    names = [short_name(target) for target in targets]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None and not getattr(experiment.parsed[0], "source_langs", None):
        raise UserError(
            f"{place}: two of target_datasets are called {twice!r}, so their cells would have one "
            "name; give each once, under names that differ."
        )


def _module(entry: Mapping[str, Any], place: str) -> ModuleType:
    if "recipe" not in entry:
        raise UserError(f"{place}: it must say its recipe, as in `recipe: image_pair`.")
    try:
        return load_recipe(str(entry["recipe"]))
    except UserError as error:
        raise UserError(f"{place}: {error}") from error


def _flags(module: ModuleType) -> dict[str, bool]:
    """A recipe's flags, and whether each takes several values."""
    flags: dict[str, bool] = {}
    for part in module.ARGUMENTS:
        hints = get_type_hints(part)
        for one in fields(part):
            kinds = (hints[one.name], *get_args(hints[one.name]))
            flags[one.name] = any(get_origin(kind) is list for kind in kinds)
    return flags


def _check_keys(content: Mapping[str, Any], accepted: Collection[str], place: str) -> None:
    for key in content:
        if key not in accepted:
            hint = closest(key, accepted) or f"; accepted: {', '.join(accepted)}"
            raise UserError(f"{place}: nothing is named {key!r}{hint}.")


def _word(content: Mapping[str, Any], key: str, place: str) -> str:
    """The text under a key; empty if there is none."""
    value = content.get(key)
    if isinstance(value, list | dict):
        raise UserError(f"{place}: {key} must be one word, like `{key}: first`.")
    return "" if value is None else str(value)


def _mapping(content: Any, place: str) -> dict[str, Any]:
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{place} must hold names with values, like `seeds: 5`.")
    return {str(key): value for key, value in content.items()}
