"""`report.html`: one file that says what a run found, with its figures inside."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from ptu_seq.errors import UserError
from ptu_seq.report.metrics import Task
from ptu_seq.report.tables import (
    best_methods,
    caption,
    cell_label,
    comparison_header,
    comparison_note,
    comparison_row,
    further_scores,
    methods_of,
    metric_of,
    most_seeds,
    score_rows,
    score_text,
)

Summary = dict[str, Any]

# File name: heading, alternative text, caption; words in braces are fields of the task.
FIGURES = {
    "scores.png": (
        "Score against size",
        "Line chart of the test score against the number of training {examples}, a panel for "
        "each {target} and a line for each method. The table of scores above holds the same "
        "numbers.",
        "Means over seeds; bars show one standard deviation. “all” is not to scale.",
    ),
    "gates.png": (
        "What the gates learned",
        "Distribution, mean and standard deviation of the fine-tune gate and the update gate at "
        "each site, a panel for each {target} and size.",
        "Over neurons, positions, test {examples} and seeds. Fine-tune gate: 0 keeps the "
        "{source}’s activation as it is, 1 replaces it by its re-tuned candidate. Update gate: 0 "
        "passes the {target}’s own activation on, 1 passes the {source}’s. (The "
        "equations behind the gates are this project’s reconstruction of the paper.)",
    ),
    "examples.png": (
        "What the networks see",
        "One training image of each class, a row for the {source} and for each {target}.",
        "In the size and the colours that the networks read.",
    ),
    "gate_maps.png": (
        "Where the gates are open",
        "Test images of a {target}, and beside each the update gate at every site of the network.",
        "Mean over channels at each position; where a site has no positions, a column of its "
        "features, the most open first. Bright: the {source}’s activation is used.",
    ),
}

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
:root { --page: #fbfaf8; --card: #fff; --ink: #1f2328; --muted: #5f6368; --line: #e2e0dc;
  --accent: #b34700; --tint: #fdf1e8; }
@media (prefers-color-scheme: dark) {
  :root { --page: #16181b; --card: #1e2125; --ink: #e8e6e3; --muted: #a2a7ad; --line: #353a40;
    --accent: #ff9d5c; --tint: #33271e; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.1rem 4rem; }
h1 { font-size: 1.25rem; font-weight: 600; color: var(--muted); margin: 0 0 .4rem;
  overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.8rem 0 .6rem; }
p { margin: .5rem 0; }
.answer { font-size: clamp(1.2rem, 3.6vw, 1.65rem); line-height: 1.35; font-weight: 600;
  text-wrap: pretty; }
.note, figcaption { color: var(--muted); font-size: .9rem; max-width: 46rem;
  overflow-wrap: anywhere; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line);
  border-radius: .6rem; margin: .9rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .92rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .5rem .85rem; text-align: right; white-space: nowrap; }
th { color: var(--muted); font-weight: 600; }
th.text, td.text { text-align: left; }
td.wrap { white-space: normal; overflow-wrap: anywhere; }
tbody tr { border-top: 1px solid var(--line); }
td.best { font-weight: 700; color: var(--accent); background: var(--tint); }
figure { margin: .9rem 0; }
img { display: block; width: auto; max-width: 100%; height: auto; background: #fff;
  padding: .8rem; border: 1px solid var(--line); border-radius: .6rem; }
figcaption { margin-top: .5rem; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem;
  overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .88rem; }
details { margin-top: 2.8rem; }
details + details { margin-top: 1rem; }
summary { font-size: 1.05rem; font-weight: 600; cursor: pointer; }
</style>
</head>
<body>
<main>
<h1>$title</h1>
<p class="answer">$answer</p>
$body
</main>
</body>
</html>
""")


def write_report(output_dir: str | Path) -> Path:
    """Writes `report.html` from `summary.json` and `figures/`, and returns its path.

    The page is one file without scripts or links to elsewhere: figures are embedded. It follows
    the reader's light or dark setting.

    Args:
        output_dir: the folder with `summary.json`; figures that are not there are left out.

    Raises:
        UserError: if `summary.json` is not there or not complete.
    """
    output_dir = Path(output_dir)
    try:
        summary = json.loads((output_dir / "summary.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{output_dir}: there is no summary.json to report on.") from None
    except ValueError as error:
        raise UserError(f"{output_dir / 'summary.json'}: not complete JSON ({error}).") from None
    task = metric_of(summary).task
    sections = [
        _scores(summary),
        _figure(output_dir, "scores.png", task),
        _further_scores(summary),
        _comparisons(summary),
        _figure(output_dir, "gates.png", task),
        _figure(output_dir, "gate_maps.png", task),
        _figure(output_dir, "examples.png", task),
        _command(summary),
        _runs(summary),
        _pairs("Configuration", summary.get("configuration", {})),
        _pairs("Environment", summary["environment"]),
    ]
    page = PAGE.substitute(
        title=escape(f"ptu-seq: {summary['recipe'].replace('_', ' ')}"),
        answer=escape(summary["headline"]),
        body="\n".join(section for section in sections if section),
    )
    path = output_dir / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _scores(summary: Summary) -> str:
    methods, seeds, metric = methods_of(summary), most_seeds(summary), metric_of(summary)
    rows = []
    for (source, target, size), row in score_rows(summary):
        best = best_methods(row)
        rows.append(
            _td(cell_label(summary, source, target), "text")
            + _td(size, "text")
            + "".join(
                _td(score_text(metric, row.get(m), seeds), "best" if m in best else "")
                for m in methods
            )
        )
    note = f"{caption(summary)} The highest mean of each row stands out."
    table = _table([metric.task.target, "size", *methods], rows, text=2)
    return _section("Scores", _note(note) + table)


def _further_scores(summary: Summary) -> str:
    further = further_scores(summary)
    if further is None:
        return ""
    rows = [
        "".join(_td(text, "text" if i < 3 else "") for i, text in enumerate(row))
        for row in further.rows
    ]
    body = _note(further.note) + _table(further.header, rows, text=3)
    return _section("By every metric", body + "".join(map(_note, further.signatures)))


def _comparisons(summary: Summary) -> str:
    if not summary["comparisons"]:
        return ""
    rows = []
    for comparison in summary["comparisons"]:
        texts = comparison_row(summary, comparison)
        ahead = comparison["difference"] > 0
        classes = ["text"] * 3 + ["best" if ahead and "*" in text else "" for text in texts[3:]]
        rows.append("".join(_td(text, cls) for text, cls in zip(texts, classes, strict=True)))
    body = _note(comparison_note(summary)) + _table(comparison_header(summary), rows, text=3)
    return _section("Is the difference more than chance?", body)


def _figure(output_dir: Path, name: str, task: Task) -> str:
    path = output_dir / "figures" / name
    if not path.exists():
        return ""
    heading, alternative, text = (part.format_map(asdict(task)) for part in FIGURES[name])
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return _section(
        heading,
        f'<figure><img alt="{escape(alternative)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(text)}</figcaption></figure>",
    )


def _command(summary: Summary) -> str:
    command = summary.get("command")
    return _section("Make it again", f"<pre>{escape(command)}</pre>") if command else ""


def _runs(summary: Summary) -> str:
    """What each cell's runs took, and the setting chosen for them."""
    metric = metric_of(summary)
    header = ["size", "method", "seeds", "validation", "steps", "seconds", "trained", "setting"]
    rows = []
    for cell in summary["cells"]:
        validation, parameters = cell["validation_mean"], cell["parameters"] or {}
        rows.append(
            _td(cell_label(summary, cell["source"], cell["target"]), "text")
            + _td(cell["size"], "text")
            + _td(cell["method"], "text")
            + _td(len(cell["seeds"]))
            + _td("–" if validation is None else metric.text(validation))
            + _td(_number(cell["steps_mean"], 0))
            + _td(_number(cell["seconds_mean"], 1))
            + _td(_number(parameters.get("trained"), 0))
            + _td(_plain(cell["setting"] or {}), "text wrap")
        )
    body = _note(
        f"Means over seeds of the validation score ({metric.range}), training steps and seconds; "
        "the number of trained parameters; the setting chosen on validation."
    ) + _table([metric.task.target, *header], rows, text=3, last_text=True)
    return f"<details><summary>Runs and settings</summary>{body}</details>"


def _pairs(title: str, values: Mapping[str, Any]) -> str:
    if not values:
        return ""
    rows = [_td(key, "text") + _td(_plain(value), "text wrap") for key, value in values.items()]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f"<details><summary>{escape(title)}</summary>"
        f'<div class="scroll"><table><tbody>{body}</tbody></table></div></details>'
    )


def _section(heading: str, body: str) -> str:
    return f"<section><h2>{escape(heading)}</h2>{body}</section>"


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def _table(header: Sequence[str], rows: Sequence[str], text: int, last_text: bool = False) -> str:
    """A table that scrolls sideways by itself; the first `text` columns are set left."""
    left = {*range(text), *([len(header) - 1] if last_text else [])}
    head = "".join(
        f'<th scope="col" class="{"text" if i in left else "number"}">{escape(name)}</th>'
        for i, name in enumerate(header)
    )
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _td(value: object, classes: str = "") -> str:
    attribute = f' class="{classes}"' if classes else ""
    return f"<td{attribute}>{escape(str(value))}</td>"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _plain(value: Any) -> str:
    """A setting as a person would write it: no brackets around lists and dictionaries."""
    if isinstance(value, Mapping):
        return ", ".join(_named(key, one) for key, one in value.items()) or "–"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(one) for one in value) or "–"
    return "–" if value is None else str(value)


def _named(name: str, value: Any) -> str:
    inside = isinstance(value, Mapping)
    return f"{name} ({_plain(value)})" if inside else f"{name} = {_plain(value)}"
