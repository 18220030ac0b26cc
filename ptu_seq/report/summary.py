"""From finished runs to `summary.json` and `summary.md`: cells, comparisons, the answer."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ptu_seq.environment import environment
from ptu_seq.errors import UserError
from ptu_seq.evaluation import compare, summarise_scores
from ptu_seq.report.all_cells import joint_p_value, overall
from ptu_seq.report.claims import headline
from ptu_seq.report.costs import Cost, training_costs
from ptu_seq.report.metrics import ExampleTest, Metric, get_metric
from ptu_seq.report.results import (
    Result,
    cell_key,
    is_ptu,
    order_methods,
    order_sizes,
    read_predictions,
    read_results,
)
from ptu_seq.report.text import format_markdown
from ptu_seq.significance import holm, paired_effect_size

Summary = dict[str, Any]
Cell = dict[str, Any]

logger = logging.getLogger(__name__)


def write_summary(
    output_dir: str | Path,
    recipe: str,
    *,
    command: str | None = None,
    configuration: Mapping[str, Any] | None = None,
) -> Summary:
    """Writes `summary.json` and `summary.md` from the finished runs, and returns the former.

    Args:
        output_dir: the folder with `results.jsonl` and `predictions/`.
        recipe: name of the recipe.
        command: the command that makes these results again, for the report.
        configuration: the recipe's arguments, for the report.

    Returns:
        The summary, see :func:`build_summary`, with `command` and `configuration` where given.

    Raises:
        UserError: if no run has finished, or runs were scored by different metrics.
    """
    output_dir = Path(output_dir)
    summary = build_summary(read_results(output_dir), recipe, output_dir)
    if command is not None:
        summary["command"] = command
    if configuration is not None:
        summary["configuration"] = dict(configuration)
    _write(output_dir / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    _write(output_dir / "summary.md", format_markdown(summary))
    return summary


def build_summary(results: Sequence[Result], recipe: str, output_dir: str | Path) -> Summary:
    """The content of `summary.json`.

    Args:
        results: finished runs, as :func:`~ptu_seq.report.results.read_results` gives them.
        recipe: name of the recipe.
        output_dir: where `predictions/` lies.

    Returns:
        A dictionary of

        - `recipe`, `metric`
        - `headline`: the answer in a sentence
        - `cells`: one for each source, target, size and method, with `scores` in the order of
          `seeds`, `mean`, `std` and `interval` (null for one seed), and means over seeds of the
          validation score, steps and seconds; `training`, the networks and seconds that it took
          with all settings tried; where runs have several scores, `scores_mean` and
          the `signatures` of each
        - `comparisons`: `ptu`, alone and with companions, against each method before it in the
          table; the fields are those of :class:`~ptu_seq.evaluation.Comparison`, the
          `effect_size` over seeds (:func:`~ptu_seq.significance.paired_effect_size`), the
          `signature` of sacrebleu's test for translations, and `p_value_holm`, Holm's correction
          of :func:`~ptu_seq.report.all_cells.joint_p_value` over all of these comparisons. Scores
          and differences are as the metric gives them: accuracy as a share (0.731), BLEU from 0 to
          100.
        - `overall`: statistics over all cells, see :func:`~ptu_seq.report.all_cells.overall`; null
          with fewer than two
        - `environment`: versions and machine

    Raises:
        UserError: if there are no results, or they were scored by different metrics.
    """
    if not results:
        raise UserError(f"{output_dir}: results.jsonl holds no finished run to summarise.")
    metrics = sorted({result["metric"] for result in results})
    if len(metrics) > 1:
        raise UserError(
            f"{output_dir}: results.jsonl mixes the metrics {', '.join(metrics)}; "
            "use one output folder for each."
        )
    metric = get_metric(metrics[0])
    costs = training_costs(output_dir, results)
    cells: list[Cell] = []
    comparisons: list[dict[str, Any]] = []
    for group in _groups(results):
        methods = order_methods(result["method"] for result in group)
        runs = {m: {r["seed"]: r for r in group if r["method"] == m} for m in methods}
        cells += [
            _cell([runs[m][seed] for seed in sorted(runs[m])], costs[(*cell_key(group[0]), m)])
            for m in methods
        ]
        comparisons += [
            comparison
            for i, method in enumerate(methods)
            if is_ptu(method)
            for against in methods[:i]
            if (comparison := _comparison(runs[method], runs[against], metric, Path(output_dir)))
        ]
    for comparison, p in zip(comparisons, holm(list(map(joint_p_value, comparisons))), strict=True):
        comparison["p_value_holm"] = p
    summary: Summary = {
        "recipe": recipe,
        "metric": metrics[0],
        "headline": headline(cells, metric),
        "cells": cells,
        "comparisons": comparisons,
    }
    return summary | {"overall": overall([summary]), "environment": environment()}


def _groups(results: Sequence[Result]) -> list[list[Result]]:
    """Results by source, target and size: targets as they first occur, sizes ascending."""
    groups: dict[tuple[Any, ...], list[Result]] = {}
    for result in results:
        groups.setdefault(cell_key(result), []).append(result)
    pairs = list(dict.fromkeys((source, target) for source, target, _ in groups))
    sizes = order_sizes(size for _, _, size in groups)
    return [groups[*pair, size] for pair in pairs for size in sizes if (*pair, size) in groups]


def _cell(runs: Sequence[Result], cost: Cost) -> Cell:
    scores = [run["score"] for run in runs]
    score = summarise_scores(scores)
    return {
        **{field: runs[0][field] for field in ("source", "target", "size", "method")},
        "seeds": [run["seed"] for run in runs],
        "scores": scores,
        "mean": score.mean,
        "std": score.std,
        "interval": score.interval,
        "validation_mean": _mean(runs, "validation_score"),
        "steps_mean": _mean(runs, "steps"),
        "seconds_mean": _mean(runs, "seconds"),
        "training": cost,
        "parameters": runs[0].get("parameters"),
        "setting": runs[0].get("setting"),
        **_further_scores(runs),
    }


def _further_scores(runs: Sequence[Result]) -> dict[str, Any]:
    """Means of the runs' `scores`, and how each was taken; nothing where runs have but one."""
    scores = [run["scores"] for run in runs if run.get("scores")]
    if not scores:
        return {}
    signatures = [run.get("signatures", {}) for run in runs if run.get("scores")]
    if any(one != signatures[0] for one in signatures):
        logger.warning("%s: scores with different signatures are averaged.", _place(runs[0]))
    return {
        "scores_mean": {name: _mean(scores, name) for name in scores[0]},
        "signatures": signatures[0],
    }


def _comparison(
    ours: Mapping[Any, Result], theirs: Mapping[Any, Result], metric: Metric, output_dir: Path
) -> dict[str, Any] | None:
    """`ours` against `theirs`, both runs by seed, over the seeds they share; None if none."""
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        return None
    pairs = [(ours[seed], theirs[seed]) for seed in seeds]
    first = pairs[0][0]
    scores = [a["score"] for a, _ in pairs], [b["score"] for _, b in pairs]
    result = compare(*scores)
    test = _test_over_examples(pairs, metric, output_dir)
    if test is not None:
        result = replace(result, p_value=test.p_value, interval=test.interval)
    signature = None if test is None else test.signature
    return {
        **{field: first[field] for field in ("source", "target", "size", "method")},
        "against": pairs[0][1]["method"],
        **asdict(result),
        "effect_size": paired_effect_size(*scores),
        **({} if signature is None else {"signature": signature}),
    }


def _test_over_examples(
    pairs: Sequence[tuple[Result, Result]], metric: Metric, output_dir: Path
) -> ExampleTest | None:
    """The metric's test on both methods' predictions; None unless all saw the same test set."""
    if metric.test is None:
        return None
    read = [[read_predictions(output_dir, run["run_id"]) for run in pair] for pair in pairs]
    found = [one for pair in read for one in pair if one is not None]
    where = f"{_place(pairs[0][0])} against {pairs[0][1]['method']}"
    if len(found) < 2 * len(pairs):
        logger.warning("%s: predictions are missing; no test over examples.", where)
        return None
    labels = found[0][0]
    if any(one[0] != labels for one in found):
        logger.warning("%s: the runs' test sets differ; no test over examples.", where)
        return None
    return metric.test(labels, [one[1] for one in found[::2]], [one[1] for one in found[1::2]])


def _place(run: Result) -> str:
    """Which cell a run belongs to, for a warning."""
    return f"{run['source']} to {run['target']}, size {run['size']}, {run['method']}"


def _mean(runs: Sequence[Result], field: str) -> float | None:
    values = [run[field] for run in runs if run.get(field) is not None]
    return sum(values) / len(values) if values else None


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a reader never meets half a file."""
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
