"""The figures of a run, each a PNG file with its numbers in a CSV file beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ptu_seq.records import read_lines
from ptu_seq.report.critical_difference import plot_critical_difference
from ptu_seq.report.gate_details import plot_neurons, plot_steps, plot_training, sites_of
from ptu_seq.report.gate_distribution import plot_gates
from ptu_seq.report.gate_shares import Sites, plot_shares, shares_by_site
from ptu_seq.report.layer_curve import layer_curves, plot_layer_curves
from ptu_seq.report.results import (
    Result,
    Size,
    cell_key,
    is_ptu,
    read_gate_arrays,
    read_gate_history,
    read_gates,
)
from ptu_seq.report.score_figure import plot_scores
from ptu_seq.report.tables import cell_label, metric_of

Summary = dict[str, Any]

#: All that is drawn here.
FIGURES = (
    *("scores.png", "critical_difference.png", "gates.png", "gate_shares.png"),
    *("gate_neurons.png", "gate_steps.png", "gate_training.png", "layer_curve.png"),
)


def write_figures(
    output_dir: str | Path, summary: Summary, results: Sequence[Result]
) -> list[Path]:
    """Draws what there are numbers for, into `figures/`.

    - `scores.png`: the score against the target's size;
    - `critical_difference.png`: average ranks, of at least three methods over at least five cells;
    - `gates.png`, `gate_shares.png`: of methods with units, cell by cell;
    - `gate_neurons.png`, `gate_steps.png`, `gate_training.png`: of one run closely, see
      :func:`closest_run`;
    - `layer_curve.png`: where `layer_search` has tried how many layers to freeze and to tune.

    Args:
        output_dir: the folder with `gates/` and `tuning.jsonl`.
        summary: content of its `summary.json`.
        results: its finished runs, which say whose gates a file holds.

    Returns:
        The PNG files written.
    """
    output_dir = Path(output_dir)
    folder = output_dir / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    for name in FIGURES:  # of an earlier time, some of which there may be no numbers for now
        for suffix in (".png", ".csv"):
            (folder / name).with_suffix(suffix).unlink(missing_ok=True)
    written = [plot_scores(summary, folder / "scores.png")]
    ranking = (summary.get("overall") or {}).get("ranking")
    if ranking and ranking["groups"] is not None:
        written.append(plot_critical_difference(ranking, folder / "critical_difference.png"))
    gates = gates_by_cell(output_dir, summary, results)
    if gates:
        labels = {_gates_label(summary, cell): seeds for cell, seeds in gates}
        written.append(plot_gates(labels, folder / "gates.png"))
        shared = {label: seeds for label, seeds in labels.items() if shares_by_site(seeds)}
        if shared:
            written.append(plot_shares(shared, folder / "gate_shares.png"))
    run = closest_run(output_dir, results)
    if run is not None:
        written += _details(output_dir, folder, run)
    curves = layer_curves(read_lines(output_dir / "tuning.jsonl"))
    if curves:
        path = folder / "layer_curve.png"
        written.append(plot_layer_curves(curves, gates_of_ptu(gates), metric_of(summary), path))
    return written


def closest_run(output_dir: Path, results: Sequence[Result]) -> Result | None:
    """The run whose gates are shown closely; None if there is none with gates.

    Of the first target's runs of `ptu` with the most training examples that with the best
    validation score: the one whose model a recipe keeps.
    """
    runs = [run for run in results if is_ptu(run["method"])]

    def rank(run: Result) -> tuple[bool, bool, float, float]:
        everything = isinstance(run["size"], str)
        size = 0 if everything else run["size"]
        first = run["target"] == runs[0]["target"]
        return first, everything, size, run.get("validation_score") or 0.0

    for run in sorted(runs, key=rank, reverse=True):
        kept = read_gates(output_dir, run["run_id"])
        if kept and read_gate_arrays(output_dir, run["run_id"]) is not None:
            return run
    return None


def _details(output_dir: Path, folder: Path, run: Result) -> list[Path]:
    arrays = read_gate_arrays(output_dir, run["run_id"])
    sites = [site["site"] for site in read_gates(output_dir, run["run_id"]) or []]
    assert arrays is not None
    written = [plot_neurons(arrays, sites, folder / "gate_neurons.png")]
    if sites_of(arrays, "step_mean"):
        written.append(plot_steps(arrays, folder / "gate_steps.png"))
    through_training = read_gate_history(output_dir, run["run_id"])
    if len(through_training) > 1:
        written.append(plot_training(through_training, folder / "gate_training.png"))
    return written


def gates_by_cell(
    output_dir: Path, summary: Summary, results: Sequence[Result]
) -> list[tuple[Mapping[str, Any], list[Sites]]]:
    """The cells with units, in the order of the table, and the sites of each seed."""
    found: list[tuple[Mapping[str, Any], list[Sites]]] = []
    for cell in summary["cells"]:
        key = (*cell_key(cell), cell["method"])
        runs = [run for run in results if (*cell_key(run), run["method"]) == key]
        seeds = [read_gates(output_dir, run["run_id"]) for run in runs]
        if any(seeds):
            found.append((cell, [sites for sites in seeds if sites]))
    return found


def gates_of_ptu(
    gates: Sequence[tuple[Mapping[str, Any], list[Sites]]],
) -> dict[tuple[str, Size], list[Sites]]:
    """The sites of each seed of `ptu` without companions, by target and size."""
    return {
        (cell["target"], cell["size"]): seeds for cell, seeds in gates if cell["method"] == "ptu"
    }


def _gates_label(summary: Summary, cell: Mapping[str, Any]) -> str:
    size = f"{cell['size']:,}" if isinstance(cell["size"], int) else cell["size"]
    label = f"{cell_label(summary, cell['source'], cell['target'])}, {size}"
    return label if cell["method"] == "ptu" else f"{label}, {cell['method']}"
