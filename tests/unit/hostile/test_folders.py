"""Output folders from anybody: their reports are written there, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ptu_seq.best_models import BestModels
from ptu_seq.jobs import file_name
from ptu_seq.report.results import read_predictions, read_results
from tests.unit.fuzz.results import results, write_results

SCRIPT = '"><script>document.title = "sprung"</script>'


def write(folder: Path, name: str = "", content: bytes = b"") -> None:
    write_results(folder, name or "study.json", content or results()["study.json"])


def first_run(**fields: object) -> bytes:
    """`results.jsonl` with other fields in its first line."""
    first, *others = results()["results.jsonl"].splitlines()
    return b"\n".join([json.dumps({**json.loads(first), **fields}).encode(), *others])


@pytest.mark.parametrize("name", ["../mine", "..", ".", "/tmp", "a/b", "a\0b", 3, None, ["a"]])
def test_a_study_names_no_folder_of_elsewhere(name, place, mine, refuse):
    write(place / "one")
    experiments = [{"name": "one"}, {"name": name}]
    (place / "experiments.json").write_text(json.dumps({"study": "s", "experiments": experiments}))
    assert "no experiment's name" in refuse("report", str(place))
    assert not (place / "one" / "summary.json").read_bytes().count(b"headline")


@pytest.mark.parametrize("link", ["figures", "report.html", "summary.json.part", "summary.md"])
def test_a_report_is_written_through_no_link(link, place, mine, refuse):
    write(place)
    (place / link).symlink_to(mine if link == "figures" else mine / "kept.txt")
    assert f"{link} is a link" in refuse("report", str(place))


def test_nor_are_its_figures(place, mine, refuse):
    write(place)
    (place / "figures").mkdir()
    (place / "figures" / "scores.png").symlink_to(mine / "kept.txt")
    assert "figures/scores.png is a link" in refuse("report", str(place))


def test_an_experiment_that_is_a_link_is_refused(place, mine, refuse):
    (place / "one").symlink_to(mine)
    content = {"study": "s", "experiments": [{"name": "one"}]}
    (place / "experiments.json").write_text(json.dumps(content))
    assert "no experiment's name" in refuse("report", str(place))


@pytest.mark.parametrize("run_id", ["../../mine/kept", "/etc/passwd", "a/b", "x" * 5000])
def test_a_run_reads_no_file_of_elsewhere(run_id, place, caplog):
    write(place, "results.jsonl", first_run(run_id=run_id))
    assert len(read_results(place)) == 3
    assert "line 1: no run_id; left out" in caplog.text
    assert read_predictions(place, "toys-100-ptu-0") is not None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("score", float("nan")),
        ("score", "0.5"),
        ("score", 10**400),
        ("seed", 1.5),
        ("size", []),
        ("size", 10**30),
        ("method", {}),
        ("target", None),
        ("seconds", "long"),
        ("parameters", [1]),
        ("scores", {"bleu": "x"}),
    ],
)
def test_a_line_with_a_field_of_another_kind_is_left_out(field, value, place, caplog):
    write(place, "results.jsonl", first_run(**{field: value}))
    assert len(read_results(place)) == 3
    assert f"line 1: no {field}; left out" in caplog.text


def test_a_deep_line_is_left_out(place):
    write(place, "results.jsonl", b"[" * 10**5 + b"\n" + results()["results.jsonl"])
    assert len(read_results(place)) == 4


@pytest.mark.parametrize("field", ["target", "source", "method"])
def test_names_are_text_on_the_page(field, place):
    from ptu_seq.report import write_report, write_summary

    write(place, "results.jsonl", first_run(**{field: SCRIPT}))
    write_summary(place, SCRIPT, command=SCRIPT, configuration={SCRIPT: [SCRIPT]})
    page = write_report(place).read_text("utf-8")
    assert page.count("<script>") == 1 and "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("gates/toys-100-ptu-0.json", b'{"sites": [{"site": 3}]}'),
        ("predictions/toys-100-ptu-0.json", b'{"labels": 3, "predictions": 3}'),
    ],
)
def test_a_folder_that_no_recipe_wrote_is_refused(name, content, place, refuse):
    write(place, name, content)
    said = refuse("report", str(place))
    assert "one of its files does not hold what a recipe writes" in said


@pytest.mark.parametrize("recipe", ["3", '{"a": 1}', '["x"]'])
def test_a_recipe_is_named_by_a_word(recipe, place, refuse):
    write(place, "summary.json", f'{{"recipe": {recipe}}}'.encode())
    (place / "study.json").unlink()
    assert "neither summary.json nor study.json tells the recipe" in refuse("report", str(place))


def test_a_target_named_after_the_folder_above_stays_inside(place):
    model = place / "model"
    model.mkdir()
    (model / "run.json").write_text(json.dumps({"cell": {"target": ".."}}))
    (model / "config.json").write_text("{}")
    BestModels(model, ["toys"], config_hash="0")
    assert {path.name for path in place.iterdir()} == {"model"}
    assert (model / "_" / "config.json").is_file()


def test_no_name_of_a_file_leads_elsewhere():
    for name in ("..", ".", "../a", "/a", "a\\..\\b", "a\0"):
        made = file_name(name)
        assert made not in ("", ".", "..") and not set("/\\\0") & set(made)
