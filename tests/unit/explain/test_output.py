"""Tables, pages and lines of JSON that explanations are written as."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser

import pytest

from ptu_seq.explain import Explanation, Reading, SiteGates
from ptu_seq.explain.colours import FINE_TUNE, UPDATE, ink, shade
from ptu_seq.explain.page import END, begin, section
from ptu_seq.explain.terminal import painter, printable, table, width

TOLD = Explanation(
    ("good <b>film</b>",),
    "label",
    "yes & no",
    "probability",
    0.876543,
    Reading(
        ("▁good", "<b>", "\x1b[31m", "猫"),
        (
            SiteGates("layer.0", (0.123456, 0.5, 1.0, 0.0), (0.25, 0.5, 0.75, 1.0)),
            SiteGates("layer.1", (0.9, 0.8, 0.7, 0.6), (0.1, 0.2, 0.3, 0.4)),
        ),
    ),
    whole=(SiteGates("classifier", (0.4,), (0.6,)),),
)
TRANSLATED = Explanation(
    ("a",),
    "translation",
    "b",
    "score",
    -0.5,
    Reading(("a", "</s>"), (SiteGates("encoder.embedding", (0.1, 0.2), (0.3, 0.4)),)),
    written=Reading(("b",), (SiteGates("attention", (0.5,), (0.6,)),)),
)
EMPTY = Explanation(("",), "label", None, "probability", None)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_json_of_labels_and_translations():
    assert json.loads(TOLD.as_json()) == {
        "text": "good <b>film</b>",
        "label": "yes & no",
        "probability": 0.876543,
        "tokens": list(TOLD.read.tokens),
        "sites": [
            {"site": "layer.0", "update": [0.1235, 0.5, 1, 0], "fine_tune": [0.25, 0.5, 0.75, 1]},
            {"site": "layer.1", "update": [0.9, 0.8, 0.7, 0.6], "fine_tune": [0.1, 0.2, 0.3, 0.4]},
        ],
        "sentence_sites": [{"site": "classifier", "update": [0.4], "fine_tune": [0.6]}],
    }
    translated = json.loads(TRANSLATED.as_json())
    assert (translated["translation"], translated["score"]) == ("b", -0.5)
    assert translated["target_tokens"] == ["b"]
    assert translated["target_sites"] == [
        {"site": "attention", "update": [0.5], "fine_tune": [0.6]}
    ]
    assert "\n" not in TOLD.as_json() + TRANSLATED.as_json()
    empty = json.loads(EMPTY.as_json())
    assert (empty["label"], empty["probability"], empty["tokens"]) == (None, None, [])


def test_a_table_without_colours_tells_all_numbers():
    lines = table(TOLD, painter("never", Terminal())).splitlines()
    assert lines[0] == "yes & no (0.88)"
    assert lines[1].split() == ["token", "(layer.*)", "0", "1"]
    assert lines[2].split() == ["update", "tune"] * 2
    assert lines[3].split() == ["▁good", "0.12", "0.25", "0.90", "0.10"]
    assert lines[5].split()[0] == r"\x1b[31m"
    assert len({width(line) for line in lines[3:7]}) == 1  # columns stand under one another
    assert lines[9].split()[-2:] == ["0.40", "0.60"]
    assert not any("\x1b" in line for line in lines)


def test_a_table_of_a_translation_tells_both_sides():
    text = table(TRANSLATED, painter("never", Terminal()))
    assert re.search(r"</s> +0\.20 0\.40", text) and re.search(r"\nb +0\.50 0\.60", text)
    assert table(EMPTY, painter("never", Terminal())) == "(no text)\n"


@pytest.mark.parametrize(
    ("colour", "stream", "environment", "coloured"),
    [
        ("auto", Terminal(), {}, True),
        ("auto", io.StringIO(), {}, False),
        ("auto", Terminal(), {"NO_COLOR": "1"}, False),
        ("auto", Terminal(), {"NO_COLOR": ""}, True),
        ("auto", Terminal(), {"TERM": "dumb"}, False),
        ("always", io.StringIO(), {"NO_COLOR": "1"}, True),
        ("never", Terminal(), {}, False),
    ],
)
def test_when_tables_have_colours(colour, stream, environment, coloured):
    painted = table(TOLD, painter(colour, stream, environment))
    assert ("\x1b[48;5;" in painted) == coloured
    bare = re.sub(r"\x1b\[[0-9;]*m", "", painted)
    assert bare == table(TOLD, painter("never", stream))


def test_terminals_of_all_colours_get_them():
    paint = painter("always", io.StringIO(), {"COLORTERM": "truecolor"})
    assert paint("1.00", 1.0, UPDATE) == "\x1b[48;2;0;114;178;38;2;255;255;255m1.00\x1b[0m"


@pytest.mark.parametrize("ramp", [UPDATE, FINE_TUNE])
def test_numbers_can_be_read_on_every_colour(ramp):
    """By the contrast that the web's guidelines ask of text."""

    def luminance(colour: tuple[int, int, int]) -> float:
        parts = [c / 255 for c in colour]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for step in range(101):
        background = shade(step / 100, ramp)
        pale, dark = sorted(map(luminance, (background, ink(background))), reverse=True)
        assert (pale + 0.05) / (dark + 0.05) >= 4.5


class Page(HTMLParser):
    """Which tags are open, what cells hold, and what would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []
        self.addresses: list[str | None] = []

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th", "h2"):
            self.cells.append(data)


def test_the_page_is_whole_escaped_and_needs_no_network():
    text = "\n".join([begin("a&b"), *map(section, (TOLD, TRANSLATED, EMPTY)), END])
    page = Page()
    page.feed(text)
    assert page.open == [] and page.addresses == [] and "://" not in text
    assert "prefers-color-scheme: dark" in text and "<b>" not in text
    assert {"<b>", "0.12", "yes & no (0.88)", "whole sentence", "attention"} <= set(page.cells)
    assert "a&amp;b" in text


def test_control_characters_are_shown_not_sent():
    assert printable("a\r\x07\u202eb") == r"a\r\x07\u202eb"
