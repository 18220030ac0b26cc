from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from ptu_seq.report import plot_gates, plot_scores, read_results, write_figures, write_summary
from ptu_seq.report.score_figure import _size_positions
from ptu_seq.report.style import method_styles


def png_size(path: Path) -> tuple[int, int]:
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def test_write_figures(full_run):
    summary = write_summary(full_run, "r")
    paths = write_figures(full_run, summary, read_results(full_run))
    assert paths == [full_run / "figures/scores.png", full_run / "figures/gates.png"]
    assert all(min(png_size(path)) > 400 for path in paths)


def test_no_gates_no_figure_of_them(tmp_path, write_run):
    write_run("frozen")
    summary = write_summary(tmp_path, "r")
    assert write_figures(tmp_path, summary, read_results(tmp_path)) == [
        tmp_path / "figures/scores.png"
    ]


@pytest.mark.parametrize("sizes", [[100], ["all"], [100, 500, 2000, "all"]])
def test_scores_of_one_seed_and_unusual_names(tmp_path, write_run, sizes):
    for size in sizes:
        write_run("ptu", target="folder/$x_y^z$/" + "long" * 20, size=size)
        write_run("a_new_rival", target="folder/$x_y^z$/" + "long" * 20, size=size)
    png_size(plot_scores(write_summary(tmp_path, "r"), tmp_path / "s.png"))


def test_a_name_is_no_formula(tmp_path, write_run):
    write_run("ptu", target="a$\\no$b")
    png_size(plot_scores(write_summary(tmp_path, "r"), tmp_path / "s.png"))


def test_more_targets_make_a_taller_figure(tmp_path, write_run):
    write_run("ptu", target="t0")
    low = png_size(plot_scores(write_summary(tmp_path, "r"), tmp_path / "s.png"))
    for i in range(1, 7):
        write_run("ptu", target=f"t{i}")
    high = png_size(plot_scores(write_summary(tmp_path, "r"), tmp_path / "s.png"))
    assert high[1] > 2 * low[1] and high[0] > low[0]


def test_gates_stuck_at_the_ends(tmp_path):
    stuck = {
        "site": "embedding",
        "fine_tune": {"mean": 0.0, "std": 0.0, "histogram": [50] + [0] * 19},
        "update": {"mean": 1.0, "std": 0.0, "histogram": [0] * 19 + [50]},
    }
    png_size(plot_gates({"pinned": [[stuck]]}, tmp_path / "g.png"))


def test_all_lies_to_the_right_of_every_number():
    positions = _size_positions([100, 500, 2000, "all"])
    assert positions == {100: 100, 500: 500, 2000: 2000, "all": 8000}


def test_every_method_has_its_own_colour_and_keeps_it():
    few = method_styles(["frozen", "ptu"])
    many = method_styles(["scratch", "frozen", "fine_tune", "l2_sp", "lp_ft", "ptu", "ptu+dann"])
    assert len({style["color"] for style in many.values()}) == len(many)
    assert len({style["marker"] for style in many.values()}) == len(many)
    assert few["ptu"] == many["ptu"] and few["frozen"] == many["frozen"]


def test_matplotlib_waits_for_a_figure_and_pyplot_is_never_touched(full_run):
    code = (
        "import sys; from ptu_seq.report import *; assert 'matplotlib' not in sys.modules;"
        f"s = write_summary({str(full_run)!r}, 'r');"
        f"write_figures({str(full_run)!r}, s, read_results({str(full_run)!r}));"
        "assert 'matplotlib' in sys.modules; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
