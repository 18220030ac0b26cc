"""What a run found: `summary.json`, `summary.md`, figures, `report.html` and model cards."""

from ptu_seq.report.all_cells import overall
from ptu_seq.report.figures import write_figures
from ptu_seq.report.gate_distribution import plot_gates
from ptu_seq.report.html import write_report
from ptu_seq.report.model_cards import write_model_cards
from ptu_seq.report.results import read_results, read_summary
from ptu_seq.report.score_figure import plot_scores
from ptu_seq.report.summary import build_summary, write_summary
from ptu_seq.report.text import format_markdown, format_table

__all__ = [
    "build_summary",
    "format_markdown",
    "format_table",
    "overall",
    "plot_gates",
    "plot_scores",
    "read_results",
    "read_summary",
    "write_figures",
    "write_model_cards",
    "write_report",
    "write_summary",
]
