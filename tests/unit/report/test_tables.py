from __future__ import annotations

import pytest

from ptu_seq.report import format_markdown, format_table, write_summary
from ptu_seq.report.tables import p_text


def summarise(folder):
    return write_summary(folder, "sentence_classification")


@pytest.fixture
def small(tmp_path, write_run):
    """Two seeds of ptu (70, 80), one of frozen (60)."""
    write_run("ptu", 0, score=0.7)
    write_run("ptu", 1, score=0.8)
    write_run("frozen", 0, score=0.6)
    return summarise(tmp_path)


def test_markdown_has_mean_and_deviation_in_percent_with_the_best_bold(small):
    text = format_markdown(small)
    assert "| rotten_tomatoes | 100 | 60.0 (n=1) | **75.0 ± 7.1** |" in text
    assert "| target | size | frozen | ptu |" in text
    assert small["headline"] in text


def test_markdown_compares_in_points(small):
    # Seed 0 alone is common: 70 against 60.
    (row,) = [line for line in format_markdown(small).splitlines() if "ptu – frozen" in line]
    assert row.startswith(
        "| rotten_tomatoes | 100 | ptu – frozen | +10.00 | <0.001 \\* | – | 1/1 |"
    )


def test_file_holds_the_markdown(full_run):
    summary = summarise(full_run)
    assert (full_run / "summary.md").read_text() == format_markdown(summary)


def test_all_tables_have_even_rows(full_run):
    for block in format_markdown(summarise(full_run)).split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1


def test_pipes_in_a_name_do_not_break_the_markdown(tmp_path, write_run):
    write_run("ptu", target="a|b")
    assert "| a\\|b | 100 |" in format_markdown(summarise(tmp_path))


def test_a_missing_cell_is_a_dash(tmp_path, write_run):
    write_run("ptu", size=100)
    write_run("frozen", size=500)
    assert "| rotten_tomatoes | 100 | – | " in format_markdown(summarise(tmp_path))


def test_several_sources_are_told_apart(tmp_path, write_run):
    write_run("ptu", source="imdb")
    write_run("ptu", source="snli")
    text = format_markdown(summarise(tmp_path))
    assert "imdb → rotten_tomatoes" in text and "snli → rotten_tomatoes" in text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_terminal_table_fits_and_lines_up(full_run, width):
    summary = summarise(full_run)
    text = format_table(summary, width)
    tables = [block for block in text.split("\n\n") if block.startswith("target")]
    assert max(len(line) for block in tables for line in block.splitlines()) <= width
    # Right-aligned numbers: every row of a table ends in the same column, brackets aside.
    for block in tables:
        assert len({len(line.rstrip("] ")) for line in block.splitlines()[1:]}) == 1
    assert text.endswith(summary["headline"])


def test_columns_that_do_not_fit_go_below(full_run):
    summary = summarise(full_run)
    wide, narrow = format_table(summary, 200), format_table(summary, 50)
    assert wide.count("rotten_tomatoes  100 ") < narrow.count("rotten_tomatoes  100 ")
    for method in ("scratch", "frozen", "fine_tune", "ptu"):
        assert method in narrow


def test_terminal_marks_the_best(small):
    assert "[75.0 ± 7.1]" in format_table(small, 80)


@pytest.mark.parametrize(
    ("p", "text"),
    [(None, "–"), (0.0002, "<0.001 *"), (0.0312, "0.031 *"), (0.05, "0.050"), (1.0, "1.000")],
)
def test_p_values(p, text):
    assert p_text(p) == text
