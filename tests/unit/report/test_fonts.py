"""Figures where fonts are missing: drawn, and said once."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

import matplotlib as mpl  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from ptu_seq.report import fonts  # noqa: E402
from ptu_seq.report.fonts import fonts_for, preferred, write_png  # noqa: E402


def a_figure(title: str) -> Figure:
    figure = Figure(figsize=(2, 1))
    ax = figure.add_subplot()
    ax.plot([0, 1], [0, 1])
    ax.set_title(title, parse_math=False)
    return figure


@pytest.mark.parametrize("family", ["Nobody Has This", ["Nobody Has This", "serif"], "fantasy"])
def test_a_font_that_is_not_installed_is_passed_over(tmp_path: Path, family, caplog):
    with mpl.rc_context({"font.family": family}):
        path = write_png(a_figure("été, Привет"), tmp_path / "a.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert not caplog.records  # matplotlib's own line for each text neither


def test_the_font_that_the_user_has_chosen_is_used(tmp_path: Path):
    plain = write_png(a_figure("text"), tmp_path / "a.png").read_bytes()
    with mpl.rc_context({"font.family": "monospace"}):
        assert preferred() == ["DejaVu Sans Mono"]
        chosen = write_png(a_figure("text"), tmp_path / "b.png").read_bytes()
    assert chosen != plain


def test_characters_that_no_font_has_are_said_in_one_warning(tmp_path: Path, caplog, monkeypatch):
    has = dict.fromkeys(("DejaVu Sans", "STIXGeneral"), frozenset("abc "))
    monkeypatch.setattr(fonts, "_characters", lambda family: has.get(family, frozenset()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_png(a_figure("abc 天地 地"), tmp_path / "a.png")
    (record,) = [r for r in caplog.records if "天 " in r.getMessage() or "地" in r.getMessage()]
    assert f"{tmp_path / 'a.png'}: no font here has" in record.getMessage()
    assert (tmp_path / "a.png").stat().st_size > 0


def test_other_fonts_help_out_the_one_with_most_characters_first(monkeypatch):
    has = {"cmr10": frozenset("天"), "cmb10": frozenset("天地"), "STIXGeneral": frozenset("人")}
    monkeypatch.setattr(fonts, "_characters", lambda family: has.get(family, frozenset()))
    assert fonts_for(set("天地人x")) == (["cmb10", "STIXGeneral"], {"x"})
    assert fonts_for(set()) == ([], set())


def test_a_font_file_that_is_gone_or_damaged_draws_nothing(monkeypatch, tmp_path: Path):
    damaged = tmp_path / "font.ttf"
    damaged.write_bytes(b"no font")
    monkeypatch.setattr("matplotlib.font_manager.findfont", lambda *_, **__: str(damaged))
    assert fonts._characters.__wrapped__("Damaged") == frozenset()
