"""`ptu-seq explain` from end to end."""

from __future__ import annotations

import io
import json
import sys

import pytest

from ptu_seq import cli
from ptu_seq.data import TokenizerPair
from ptu_seq.models import PTUForConditionalGeneration, RNNForConditionalGeneration


@pytest.fixture(scope="module")
def model(tmp_path_factory, tiny_translator):
    folder = tmp_path_factory.mktemp("child")
    parent = RNNForConditionalGeneration.from_pretrained(tiny_translator)
    PTUForConditionalGeneration.from_source(parent).save_pretrained(folder)
    TokenizerPair.load(tiny_translator).save(folder)
    return str(folder)


@pytest.fixture
def stdin(monkeypatch):
    def feed(content: bytes):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return feed


def test_lines_of_stdin_become_lines_of_json(model, stdin, capsys):
    stdin(b"a b\n\n" + b"c " * 40 + b"\n")
    words = ["--model", model, "--output_format", "json", "--batch_size", "2"]
    assert cli.main(["explain", *words]) == 0
    captured = capsys.readouterr()
    first, empty, last = map(json.loads, captured.out.splitlines())
    assert first["text"] == "a b" and first["tokens"][-1] == "</s>"
    assert empty["translation"] is None
    assert len(last["tokens"]) == 24
    assert "lines without text: 1 (the first is line 2)" in captured.err
    assert "only the beginning is explained: 1 (the first is line 3)" in captured.err


def test_a_file_becomes_a_table_or_a_page(model, tmp_path, capsys):
    lines = tmp_path / "lines.txt"
    lines.write_text("a b\n")
    words = ["explain", "--model", model, "--input", str(lines)]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert out.startswith("update: 0.00 the target's own") and "\x1b" not in out
    assert cli.main([*words, "--color", "always"]) == 0
    assert "\x1b[48;" in capsys.readouterr().out
    assert cli.main([*words, "--output_format", "html"]) == 0
    page = capsys.readouterr().out
    assert page.startswith("<!DOCTYPE html>") and page.endswith("</html>\n")


def test_mistakes_end_in_one_sentence(model, tiny_classifier, stdin, capsys):
    stdin(b"a\nb\ncaf\xe9\n")
    assert cli.main(["explain", "--model", model, "--output_format", "json"]) == 2
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2
    assert "stdin, line 3, byte 4 of the line: not UTF-8" in captured.err
    stdin(b"a\n")
    assert cli.main(["explain", "--model", str(tiny_classifier)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert "a bert model, which has no gates at tokens; accepted is" in captured.err


def test_ctrl_c_keeps_what_was_written(model, monkeypatch, capsys):
    class Lines:
        buffer = property(lambda self: self)

        def isatty(self):
            return True

        def __iter__(self):
            yield b"a\n"
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", Lines())
    assert cli.main(["explain", "--model", model, "--output_format", "json"]) == 130
    captured = capsys.readouterr()
    assert json.loads(captured.out)["text"] == "a"
    assert captured.err == "ptu-seq: interrupted.\n"


def test_a_closed_pipe_ends_quietly(model, stdin, monkeypatch, capsys):
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    stdin(b"a\n")
    monkeypatch.setattr(sys, "stdout", Closed())
    assert cli.main(["explain", "--model", model]) == 0
    assert "Error" not in capsys.readouterr().err
