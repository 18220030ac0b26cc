"""scripts/benchmark_scaling.py, on layers too small to tell anything of speed."""

from __future__ import annotations

import json
from typing import Any

import pytest


@pytest.fixture
def script(load_script: Any) -> Any:
    return load_script("benchmark_scaling")


def test_every_number_is_varied_and_drawn(script, tmp_path, capsys, monkeypatch):
    figures: list[Any] = []
    draw = script.draw

    def keep(rows: Any) -> Any:
        figures.append(draw(rows))
        return figures[-1]

    monkeypatch.setattr(script, "draw", keep)
    words = "--lengths 2 3 --sizes 4 6 --batches 1 2 --length 3 --size 5 --batch 2 --repeats 1"
    places = ["--figure", str(tmp_path / "costs.png"), "--output", str(tmp_path / "costs.json")]
    script.main([*words.split(), "--warmup", "1", *places])
    assert (tmp_path / "costs.png").stat().st_size > 0
    rows = json.loads((tmp_path / "costs.json").read_text(encoding="utf-8"))["measurements"]
    names = ["torch.nn.LSTM", "PTULSTM layer", "GatedLSTM layer", "PTULSTM step", "GatedLSTM step"]
    points = [("length", 2), ("length", 3), ("size", 4), ("size", 6), ("batch", 1), ("batch", 2)]
    assert [(r["varied"], r["value"], r["layer"]) for r in rows] == [
        (varied, value, name) for varied, value in points for name in names
    ]
    (figure,) = figures
    for axis, values in zip(figure.axes, ([2, 3], [4, 6], [1, 2]), strict=True):
        assert [line.get_label() for line in axis.lines] == names
        assert all(list(line.get_xdata()) == values for line in axis.lines)
        assert all(height > 0 for line in axis.lines for height in line.get_ydata())
    assert len(capsys.readouterr().out.splitlines()) == 2 + len(rows)


def test_a_figure_that_cannot_be_written_is_told_first(script, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        script.main(["--figure", str(tmp_path / "none" / "costs.png")])
    assert ended.value.code == 2
    assert "costs.png is no .png file in a folder that exists" in capsys.readouterr().err
