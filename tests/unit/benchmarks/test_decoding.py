"""scripts/benchmark_decoding.py, on too few lines to tell anything of speed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sacrebleu.metrics import BLEU

from ptu_seq.translation.inference import Translator, translate

LINES = ["c a b", "a", "f e d"]


@pytest.fixture
def script(load_script: Any) -> Any:
    return load_script("benchmark_decoding")


@pytest.fixture
def words(tiny_translator, tmp_path) -> list[str]:
    for name in ("lines", "references"):
        (tmp_path / name).write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return [
        *("--model", str(tiny_translator), "--input", str(tmp_path / "lines")),
        *("--references", str(tmp_path / "references"), "--repeats", "1", "--warmup", "1"),
    ]


def test_both_models_are_timed_and_scored(script, words, tiny_translator, tmp_path, capsys):
    file = tmp_path / "decoding.json"
    script.main([*words, "--output", str(file)])
    rows = json.loads(file.read_text(encoding="utf-8"))["measurements"]
    assert [row["numbers"] for row in rows] == ["float32", "int8"]
    assert rows[0]["translation"]["ratio"] == 1 < 1 + rows[1]["sentences_per_second"]
    translator = Translator.from_pretrained(str(tiny_translator))
    made = [t.text for t in translate(translator.model, translator.tokenizers, LINES)]
    assert rows[0]["bleu"] == BLEU().corpus_score(made, [LINES]).score
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:4]] == [
        *("float32", "int8")
    ]


def test_the_ratio_is_checked_against_a_report(script, words, tmp_path, capsys):
    file = tmp_path / "decoding.json"
    timing = {"ratio": 0.0}
    rows = [{"numbers": name, "translation": timing} for name in ("float32", "int8")]
    settings = {"beam_size": 5, "batch": 32, "threads": 1}
    file.write_text(json.dumps({"settings": settings, "measurements": rows}), encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        script.main([*words, "--check", str(file)])
    assert ended.value.code == 1
    lines = capsys.readouterr().out.splitlines()[-2:]
    assert [line.split(" is ")[0] for line in lines] == [
        f"{name}: the ratio of translation" for name in ("float32", "int8")
    ]


def test_files_of_unequal_lengths_are_refused(script, words, tmp_path, capsys):
    (tmp_path / "references").write_text("a\n", encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        script.main(words)
    assert ended.value.code == 2
    assert "lines has 3 lines and references 1" in capsys.readouterr().err
