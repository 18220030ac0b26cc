"""`ptu-seq translate` from end to end: lines in, translations out, one sentence for mistakes."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import pytest

from ptu_seq import cli
from ptu_seq.data import TokenizerPair, train_vocabulary
from ptu_seq.models import PTUForConditionalGeneration, RNNForConditionalGeneration
from ptu_seq.translation.alignment import Alignment
from ptu_seq.translation.inference import Translation, Translator, translate


@pytest.fixture
def stdin(monkeypatch):
    def feed(content: bytes):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return feed


def expected(folder: Path, lines: list[str], **arguments) -> list[Translation]:
    translator = Translator.from_pretrained(str(folder))
    return list(translate(translator.model, translator.tokenizers, lines, **arguments))


def test_lines_of_stdin_are_translated_in_place(tiny_translator, stdin, capsys):
    lines = ["c a b", "", "a", "b b a c d e f", "  "]
    stdin("\n".join(lines).encode())
    assert cli.main(["translate", "--model", str(tiny_translator), "--batch_size", "2"]) == 0
    captured = capsys.readouterr()
    wanted = [t.text for t in expected(tiny_translator, lines)]
    assert captured.out.split("\n") == [*wanted, ""]
    assert wanted[1] == wanted[4] == ""
    assert captured.err == ""


def test_a_file_with_the_best_translations_and_their_scores(tiny_translator, tmp_path, capsys):
    path = tmp_path / "lines.txt"
    path.write_text("c a b\n\nf e\n", encoding="utf-8")
    words = ["--model", str(tiny_translator), str(path), "--beam_size", "3", "--n_best", "2"]
    assert cli.main(["translate", *words, "--scores", "--max_length", "9"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    first, _, last = expected(
        tiny_translator,
        ["c a b", "", "f e"],
        beam_size=3,
        n_best=2,
        max_length=9,
        with_scores=True,
    )
    texts = [*first.texts, "", "", *last.texts]
    assert [text for _, text in rows] == texts
    scores = [score for score, _ in rows]
    assert scores[2:4] == ["", ""]
    assert [float(scores[i]) for i in (0, 1, 4, 5)] == pytest.approx(
        [*(first.scores or ()), *(last.scores or ())], abs=1e-3
    )


def test_a_line_of_5000_tokens_is_cut_with_a_warning(tiny_translator, stdin, capsys):
    stdin(b"a\n" + b"b " * 5000 + b"\nc\n")
    assert cli.main(["translate", "--model", str(tiny_translator), "--beam_size", "1"]) == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 3
    assert captured.err == (
        "ptu-seq: warning: lines of over 24 tokens, of which only the beginning was translated: 1 "
        "(the first is line 2).\n"
    )


def test_the_attention_of_the_first_line_with_text_is_drawn(
    tiny_translator, tmp_path, stdin, capsys, monkeypatch
):
    folder = tmp_path / "child"
    parent = RNNForConditionalGeneration.from_pretrained(tiny_translator)
    PTUForConditionalGeneration.from_source(parent).save_pretrained(folder)
    TokenizerPair.load(tiny_translator).save(folder)
    drawn = []
    align = Translator.align

    def spy(self: Translator, translation: Translation) -> Alignment:
        drawn.append((translation, align(self, translation)))
        return drawn[0][1]

    monkeypatch.setattr(Translator, "align", spy)
    plot = tmp_path / "plot.png"
    stdin(b"\nc a b\na\n")
    words = ["--model", str(folder), "--attention_plot", str(plot), "--max_length", "6"]
    assert cli.main(["translate", *words]) == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    ((translation, alignment),) = drawn
    assert translation.source == "c a b"
    assert alignment.source_tokens == ("▁c", "▁a", "▁b", "</s>")
    assert alignment.weights.shape == (len(translation.ids), 4)
    assert set(alignment.update_gates) >= {"decoder.layer0", "attention"}
    assert len(capsys.readouterr().out.splitlines()) == 3
    plot.unlink()
    stdin(b"\n\n")
    assert cli.main(["translate", *words]) == 0
    assert "no line has text, so" in capsys.readouterr().err
    assert not plot.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "absent/model/here"], "absent/model/here: there is no such folder."),
        (["--model", "my_model"], "my_model: there is no such folder."),  # no hub is asked
        (["--model", "MODEL", "absent.txt"], "INPUT absent.txt: cannot be read: No such file"),
        (["--model", "MODEL", "--n_best", "9"], "--n_best is 9, but beam search keeps only"),
        (["--model", "MODEL", "--attention_plot", "a.pdf"], "a.pdf: accepted is a file that ends"),
        (["--model", "MODEL", "--attention_plot", "no/a.png"], "a.png: there is no folder no."),
        (["--model", "MODEL", "--attention_plot", "FOLDER"], "folder.png is a folder; accepted"),
    ],
)
def test_mistakes_end_in_one_sentence(tiny_translator, stdin, capsys, tmp_path, words, message):
    stdin(b"a\n")
    folder = tmp_path / "folder.png"
    folder.mkdir()
    known = {"MODEL": str(tiny_translator), "FOLDER": str(folder)}
    words = [known.get(word, word) for word in words]
    assert cli.main(["translate", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("ptu-seq: ") and message in captured.err
    assert captured.err.count("\n") == 1


def test_invalid_utf8_is_named_after_the_lines_before_it(tiny_translator, stdin, capsys):
    stdin(b"a\nb\ncaf\xe9\n")
    words = ["--model", str(tiny_translator), "--batch_size", "2"]
    assert cli.main(["translate", *words]) == 2
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2
    assert "stdin, line 3, byte 4 of the line: not UTF-8 (0xe9)" in captured.err


def test_lines_before_an_invalid_one_are_translated(tiny_translator, tmp_path, capsys):
    """Though a file is read in windows of many lines."""
    (tmp_path / "lines.txt").write_bytes(b"a\nb\n\xff\na\n")
    words = ["translate", "--model", str(tiny_translator), str(tmp_path / "lines.txt")]
    assert cli.main(words) == 2
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2
    assert "line 3" in captured.err


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda config: config.update(vocab_size="abc"), "not a translation model that can be"),
        (lambda config: config.update(vocab_size=None), "not a translation model that can be"),
    ],
)
def test_a_damaged_configuration_is_told(tiny_translator, tmp_path, capsys, break_it, message):
    folder = shutil.copytree(tiny_translator, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    break_it(config)
    (folder / "config.json").write_text(json.dumps(config))
    assert cli.main(["translate", "--model", str(folder)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("side", ["source", "target"])
def test_the_vocabulary_of_another_model_is_told(tiny_translator, tmp_path, capsys, side):
    other = train_vocabulary(["x y z"] * 9, 8, model_type="bpe", byte_fallback=False)
    own = TokenizerPair.load(tiny_translator)
    pair = (other, own.target) if side == "source" else (own.source, other)
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        shutil.copy(tiny_translator / name, folder)
    TokenizerPair(*pair).save(folder)
    assert cli.main(["translate", "--model", str(folder)]) == 2
    error = capsys.readouterr().err
    assert (
        f"the {side} vocabulary has {len(other)} tokens and the network {len(own.source)}" in error
    )


def test_invisible_characters_are_no_text(tiny_translator, stdin, capsys):
    stdin("\u200b\na\n".encode())
    assert cli.main(["translate", "--model", str(tiny_translator), "--scores"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "\t" and lines[1] != "\t"


def test_line_ends_in_a_translation_do_not_move_the_next(tiny_translator):
    translation = Translation("a", ("one\ntwo\r", ""), (-0.5, -1.25), (5, 3), 2, False)
    assert translation.as_rows(with_scores=False) == ["one two", ""]
    assert translation.as_rows(with_scores=True) == ["-0.5000\tone two", "-1.2500\t"]
