"""What a method's place in the table took: the networks trained, for tuning and for the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ptu_seq.records import read_lines
from ptu_seq.report.results import Result, cell_key, order_methods

Cost = dict[str, float]


def training_costs(
    output_dir: str | Path, results: Sequence[Result]
) -> dict[tuple[Any, ...], Cost]:
    """Networks trained and seconds of training, by source, target, size and method.

    Trials on validation data count as the reported runs do.

    Args:
        output_dir: where `tuning.jsonl` lies; without it the runs alone are counted.
        results: the finished runs; trials of another configuration than theirs are left out.
    """
    hashes = {result.get("config_hash") for result in results}
    trials = [t for t in read_lines(Path(output_dir) / "tuning.jsonl") if "seconds" in t]
    costs: dict[tuple[Any, ...], Cost] = {
        (*cell_key(result), result["method"]): {"networks": 0, "seconds": 0.0} for result in results
    }
    for trained in (*(t for t in trials if t.get("config_hash") in hashes), *results):
        cost = costs.get((*cell_key(trained), trained["method"]))
        if cost is not None and trained.get("seconds") is not None:
            cost["networks"] += 1
            cost["seconds"] += trained["seconds"]
    return costs


def cost_line(cells: Sequence[Mapping[str, Any]]) -> str:
    """What each method took over all cells, in a sentence; nothing where no cell tells.

    Example:
        >>> cell = {"method": "ptu", "training": {"networks": 12, "seconds": 90.0}}
        >>> cost_line([cell, cell])
        'Training, settings tried included: ptu 24 networks in 3.0 min.'
    """
    told = [cell for cell in cells if cell.get("training")]
    parts = []
    for method in order_methods(cell["method"] for cell in told):
        costs = [cell["training"] for cell in told if cell["method"] == method]
        networks = sum(cost["networks"] for cost in costs)
        minutes = sum(cost["seconds"] for cost in costs) / 60
        noun = "network" if networks == 1 else "networks"
        parts.append(f"{method} {networks} {noun} in {minutes:.1f} min")
    return f"Training, settings tried included: {', '.join(parts)}." if parts else ""
