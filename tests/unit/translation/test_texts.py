"""Translations as plain text."""

from __future__ import annotations

from pathlib import Path

from ptu_seq.jobs import Cell, Job, Outcome
from ptu_seq.translation.texts import write_translations


def test_every_system_has_a_file_beside_source_and_reference(tmp_path: Path):
    sources = ["isa", "dalawa", "tatlo"]
    for method, seed, texts in (("ptu", 0, ["one", "", "three"]), ("zoph", 1, ["1", "2", "3"])):
        job = Job(Cell("owner/set:tl-en", 2000, method), {}, seed)
        outcome = Outcome(1.0, 1, 1.0, {}, labels=["one", "two", "three"], predictions=texts)
        write_translations(tmp_path / "translations", job, outcome, sources)
    folder = tmp_path / "translations" / "owner_set_tl-en"
    assert {path.name: path.read_text("utf-8") for path in folder.iterdir()} == {
        "source.txt": "isa\ndalawa\ntatlo\n",
        "reference.txt": "one\ntwo\nthree\n",
        "2000-ptu-0.txt": "one\n\nthree\n",
        "2000-zoph-1.txt": "1\n2\n3\n",
    }


def test_line_ends_inside_a_translation_put_no_line_out_of_place(tmp_path: Path):
    texts = ["a\nb", "c\r\nd", "e\u2028f\x85g", "é"]
    outcome = Outcome(1.0, 1, 1.0, {}, labels=["r"] * 4, predictions=texts)
    write_translations(tmp_path, Job(Cell("c", "all", "ptu"), {}, 3), outcome, ["s"] * 4)
    written = (tmp_path / "c" / "all-ptu-3.txt").read_bytes().decode("utf-8")
    assert written == "a b\nc d\ne f g\né\n"
