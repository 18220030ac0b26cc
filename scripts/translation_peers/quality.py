"""Test BLEU of JoeyNMT, from scratch and warm-started, beside that of this project's recipe."""

from __future__ import annotations

import logging
import statistics
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from translation_peers.environment import PROJECT, variables
from translation_peers.joeynmt_study import (
    SCRATCH,
    WARM,
    Key,
    Settings,
    Translations,
    run_joeynmt,
)

from ptu_seq.arguments import parse_size
from ptu_seq.errors import UserError
from ptu_seq.jobs import Setting, Size
from ptu_seq.records import read_json, read_lines
from ptu_seq.translation.corpora import load_corpora
from ptu_seq.translation.evaluation import compare_runs, corpus_score, signature_of

#: Our methods, and what each is compared with.
AGAINST = {"scratch": SCRATCH, "ptu": WARM}


@dataclass(frozen=True)
class QualityOptions:
    """What is compared.

    Args:
        source_dataset: the parent's pairs, as the recipe names them.
        target_datasets: the children's.
        source_langs: the languages to translate from, where the data do not say them.
        target_lang: the language to translate into, likewise.
        sizes: training pairs of each child.
        seeds: runs of each system.
        tuning_settings: settings that every system tries on validation data; 1: none.
        output_dir: where everything is kept; a rerun goes on.
        workers: trainings at a time.
        parent_model: our parent, trained by the recipe before; None trains it.
        recipe_flags: further flags of the recipe.
    """

    source_dataset: str
    target_datasets: list[str]
    source_langs: list[str] | None
    target_lang: str | None
    sizes: list[str]
    seeds: int
    tuning_settings: int
    output_dir: Path
    workers: int
    parent_model: Path | None
    recipe_flags: list[str]

    @property
    def ours(self) -> Path:
        """The recipe's output."""
        return self.output_dir / "ptu_seq"


@dataclass(frozen=True)
class Cell:
    """A row of the table: a system on a child at a size, with a score a seed."""

    target: str
    size: Size
    system: str
    scores: list[float]
    setting: Setting

    @property
    def mean(self) -> float:
        """Over seeds."""
        return statistics.fmean(self.scores)


def compare(options: QualityOptions, python: Path) -> dict[str, Any]:
    """Runs what is missing, ours first, and scores all of it.

    Args:
        options: what is compared.
        python: the peers' Python.

    Returns:
        "cells", "comparisons" (ours less JoeyNMT's, with sacrebleu's paired bootstrap) and
        "signature".
    """
    run_recipe(options)
    with _quiet():  # the recipe has told what was dropped
        return score(options, python)


def score(options: QualityOptions, python: Path) -> dict[str, Any]:
    """The second half of :func:`compare`: JoeyNMT's runs, and the scores of all."""
    sizes = [parse_size(size) for size in options.sizes]
    corpora = load_corpora(
        options.source_dataset,
        options.target_datasets,
        options.source_langs,
        options.target_lang,
        sizes,
    )
    translations, settings = read_recipe(options, corpora.children)
    theirs, their_settings = run_joeynmt(
        options.output_dir.absolute() / "joeynmt",
        options.ours,
        options.parent_model or options.ours / "parent",
        corpora,
        sizes,
        python,
        seeds=options.seeds,
        tuning_settings=options.tuning_settings,
        workers=options.workers,
    )
    translations |= theirs
    settings |= their_settings
    references = {name: child.test["target"][:] for name, child in corpora.children.items()}
    cells, comparisons = [], []
    for key, runs in sorted(translations.items(), key=lambda item: _order(item[0])):
        target, size, system = key
        scores = [corpus_score("bleu", run, references[target]) for run in runs]
        cells.append(Cell(*key, scores, settings[key]))
        if system in AGAINST:
            other = translations[target, size, AGAINST[system]]
            comparison = compare_runs(references[target], runs, other)
            names = {"target": target, "size": size, "system": system, "against": AGAINST[system]}
            comparisons.append({**names, **asdict(comparison)})
    return {
        "cells": [{**asdict(cell), "mean": cell.mean} for cell in cells],
        "comparisons": comparisons,
        "signature": signature_of("bleu"),
    }


def run_recipe(options: QualityOptions) -> None:
    """Trains our systems by the recipe, in a process of its own; it skips what is finished.

    Raises:
        UserError: if it fails.
    """
    done = subprocess.run(
        [sys.executable, "-m", "ptu_seq.cli", "run", "low_resource_mt", *recipe_words(options)],
        env=variables(search_path=[PROJECT]),
    )
    if done.returncode:
        raise UserError("the recipe low_resource_mt did not end well; its message is above.")


def recipe_words(options: QualityOptions) -> list[str]:
    """The recipe's flags."""
    words = ["--methods", *AGAINST, "--source_dataset", options.source_dataset]
    words += ["--target_datasets", *options.target_datasets]
    if options.source_langs is not None:
        words += ["--source_langs", *options.source_langs]
    if options.target_lang is not None:
        words += ["--target_lang", options.target_lang]
    words += ["--sizes", *options.sizes, "--seeds", str(options.seeds)]
    words += ["--tuning_settings", str(options.tuning_settings)]
    words += ["--output_dir", str(options.ours), "--workers", str(options.workers)]
    if options.parent_model is not None:
        words += ["--parent_model", str(options.parent_model)]
    # One vocabulary for all, so that the systems read the same tokens; a flag may say otherwise.
    return [*words, "--vocabulary", "joint", *options.recipe_flags]


def read_recipe(
    options: QualityOptions, children: Collection[str]
) -> tuple[Translations, Settings]:
    """The recipe's translations and the settings it chose, of what is asked for now."""
    translations: Translations = {}
    settings: Settings = {}
    sizes = {parse_size(size) for size in options.sizes}
    results = sorted(read_lines(options.ours / "results.jsonl"), key=lambda line: line["seed"])
    for line in results:
        key = line["target"], line["size"], line["method"]
        asked = line["target"] in children and line["size"] in sizes and line["method"] in AGAINST
        if asked and line["seed"] < options.seeds:
            run = read_json(options.ours / "predictions" / f"{line['run_id']}.json")
            translations.setdefault(key, []).append(run["predictions"])
            settings[key] = line["setting"]
    return translations, settings


HEADER = f"{'target':<28} {'size':>6}  {'system':<20} {'BLEU':>6} {'std':>5}  seeds"


def rows(result: Mapping[str, Any]) -> list[str]:
    """Lines under `HEADER`, and a line for each comparison."""
    lines = []
    for cell in result["cells"]:
        scores = cell["scores"]
        spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
        lines.append(
            f"{cell['target']:<28} {cell['size']:>6}  {cell['system']:<20} {cell['mean']:>6.2f} "
            f"{spread:>5.2f}  {' '.join(f'{score:.2f}' for score in scores)}"
        )
    for one in result["comparisons"]:
        low, high = one["interval"]
        lines.append(
            f"{one['target']}, {one['size']} pairs: {one['system']} less {one['against']} "
            f"{one['difference']:+.2f} BLEU (95% interval {low:+.2f} to {high:+.2f}, "
            f"p = {one['p_value']:.3f})"
        )
    return [*lines, result["signature"]]


@contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("ptu_seq")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _order(key: Key) -> tuple[str, float, int]:
    target, size, system = key
    systems = ["scratch", SCRATCH, "ptu", WARM]
    return target, float("inf") if size == "all" else size, systems.index(system)
