from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import pytest

from ptu_seq.errors import UserError
from ptu_seq.report import read_results, write_figures, write_report, write_summary

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Checks that tags close in order, and gathers text, tags and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def report(folder, **options) -> Page:
    summary = write_summary(folder, "sentence_classification", **options)
    write_figures(folder, summary, read_results(folder))
    path = write_report(folder)
    assert path == folder / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def test_holds_answer_tables_command_configuration_and_environment(full_run):
    summary = write_summary(full_run, "sentence_classification")
    page = report(full_run, command="python x.py --seeds 3", configuration={"sizes": [100, "all"]})
    assert summary["headline"] in page.text
    assert "python x.py --seeds 3" in page.text
    assert "100, all" in page.text
    assert summary["environment"]["python"] in page.text
    assert "ptu – fine_tune" in page.text
    assert "learning_rate = 0.001" in page.text
    assert page.text.index(summary["headline"]) < page.text.index("Scores")


def test_figures_are_inside_and_described(full_run):
    images = report(full_run).all("img")
    files = [full_run / "figures/scores.png", full_run / "figures/gates.png"]
    assert len(images) == 2
    for image, file in zip(images, files, strict=True):
        assert len(image["alt"] or "") > 40
        head, data = (image["src"] or "").split(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(data) == file.read_bytes()


def test_needs_nothing_from_elsewhere(full_run):
    page = report(full_run)
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe"}
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith("data:")
    text = (full_run / "report.html").read_text()
    assert "url(" not in text and "@import" not in text
    assert "prefers-color-scheme: dark" in text
    assert any(meta.get("name") == "viewport" for meta in page.all("meta"))


def test_everything_from_outside_is_escaped(tmp_path, write_run):
    nasty = '<script>alert("1")</script>&amp; $title'
    write_run("ptu", target=nasty, source=nasty, setting={nasty: nasty})
    write_run("<b>rival</b>", target=nasty, source=nasty)
    page = report(tmp_path, command=nasty, configuration={nasty: nasty})
    assert len(page.all("script")) == 1 and not page.all("b")  # our own, which sorts tables
    # cell, run, setting, command, configuration: as written, not interpreted
    assert page.text.count(nasty) >= 6


def test_tables_are_sorted_by_their_heads(full_run):
    """Every column's name is a button; the script is watched in a browser, not here."""
    page = report(full_run)
    heads = [attributes for attributes in page.all("th") if attributes.get("scope") == "col"]
    assert len(heads) == len(page.all("button")) > 20


def test_the_numbers_of_figures_come_along(full_run):
    page = report(full_run)
    links = {link["download"]: link["href"] or "" for link in page.all("a") if "download" in link}
    assert set(links) == {"scores.csv", "gates.csv"}
    head, data = links["scores.csv"].split(",")
    rows = base64.b64decode(data).decode().splitlines()
    assert head == "data:text/csv;base64"
    assert rows[0] == "target,size,method,mean,std,seeds"
    assert len(rows) == 1 + 2 * 2 * 4


def test_a_setting_by_site_is_readable(tmp_path, write_run):
    write_run("ptu", setting={"init": "source", "update_bias": {"embedding": 0.0, "rnn": -3.0}})
    assert "init = source, update_bias (embedding = 0.0, rnn = -3.0)" in report(tmp_path).text


def test_the_best_mean_is_marked(tmp_path, write_run):
    write_run("ptu", score=0.8)
    write_run("frozen", score=0.6)
    report(tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert '<td class="best">80.0</td>' in text
    assert "<td>60.0</td>" in text


def test_a_significant_loss_is_starred_but_does_not_stand_out(tmp_path, write_run):
    write_run("ptu", score=0.6)
    write_run("frozen", score=0.8)
    report(tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert "<td>&lt;0.001 *</td>" in text
    assert text.count('<td class="best">') == 1


def test_rows_are_as_wide_as_their_header(full_run):
    report(full_run)
    for table in re.findall(r"<table>.*?</table>", (full_run / "report.html").read_text()):
        widths = {row.count("<td") + row.count("<th ") for row in table.split("<tr>")[1:]}
        assert len(widths) == 1


def test_without_figures_comparisons_or_command(tmp_path, write_run):
    write_run("frozen")
    write_summary(tmp_path, "r")
    page = Page(write_report(tmp_path).read_text())
    assert not page.all("img")
    assert "Make it again" not in page.text and "more than chance" not in page.text


@pytest.mark.parametrize(("content", "message"), [(None, "no summary.json"), ("{", "complete")])
def test_summary_that_cannot_be_read(tmp_path, content, message):
    if content:
        (tmp_path / "summary.json").write_text(content)
    with pytest.raises(UserError, match=message):
        write_report(tmp_path)
