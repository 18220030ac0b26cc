"""The search for what a translator needs, and the command that collapses a saved one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForSeq2SeqLM

from ptu_seq import cli
from ptu_seq.collapse import search
from ptu_seq.collapse_report import save as save_report
from ptu_seq.data import TokenizerPair, load_translation, train_vocabulary
from ptu_seq.models import (
    CollapsedPTUForConditionalGeneration,
    PTUForConditionalGeneration,
    RNNForConditionalGeneration,
    Seq2SeqConfig,
)
from ptu_seq.models.collapsed_seq2seq import units_by_place
from ptu_seq.translation.collapse import SentencePairs, TranslatorCollapses, sentence_pairs
from ptu_seq.translation.evaluation import score_translations
from ptu_seq.translation.inference import Translator, translate
from ptu_seq.unit import PTU
from tests.tiny import TINY_TRANSLATOR, Translations, translations, write_dataset

SHUT, OPEN = -80.0, 80.0


def saturate(unit: PTU, update: float) -> None:
    """Gates that are at one end whatever the activations are."""
    size = unit.target_size
    with torch.no_grad():
        unit.weight_source[: 2 * size] = 0
        unit.weight_target.zero_()
        unit.bias[:size], unit.bias[size : 2 * size] = SHUT, update


@torch.no_grad()
def sharpen(model: Any) -> Any:
    """Makes what a network writes depend on every word, and returns it."""
    for name, parameter in model.named_parameters():
        is_table = "embedding" in name or name.endswith("output.weight")
        if parameter.dim() == 2 and not is_table and not name.startswith("source."):
            parameter.mul_(4)
    return model


@pytest.fixture(scope="module")
def rows() -> list[Translations]:
    """Pairs of each split."""
    return [translations(count, seed) for seed, count in enumerate((60, 12, 10))]


@pytest.fixture(scope="module")
def tokenizers(rows) -> TokenizerPair:
    texts = ([row["translation"][side] for row in rows[0]] for side in ("tl", "en"))
    return TokenizerPair(
        *(train_vocabulary(side, 60, byte_fallback=False, max_length=32) for side in texts)
    )


@pytest.fixture
def save(rows, tokenizers, tmp_path: Path) -> Callable[..., list[str]]:
    """Saves a translator with gates at these ends, the others between, and its own translations.

    What it returns are the command's words for both.
    """

    def save(ends: dict[str, float], **options: Any) -> list[str]:
        torch.manual_seed(0)
        sizes = {"vocab_size": len(tokenizers.source), "decoder_vocab_size": len(tokenizers.target)}
        shape = TINY_TRANSLATOR | {"embedding_size": 8, "embedding_std": 3.0} | sizes
        model = PTUForConditionalGeneration.from_source(
            sharpen(RNNForConditionalGeneration(Seq2SeqConfig(**shape))),
            init="random",
            **{"source_input": "target", **options},
        )
        sharpen(model)
        for place, unit in units_by_place(model).items():
            for parameter in unit.parameters():
                nn.init.normal_(parameter, std=2.0)
            if place in ends:
                saturate(unit, ends[place])
        model.save_pretrained(tmp_path / "model")
        tokenizers.save(tmp_path / "model")
        splits = []
        for split in rows:
            foreign = [row["translation"]["tl"] for row in split]
            written = translate(model, tokenizers, foreign, beam_size=1)
            splits.append([{"translation": {"tl": t.source, "en": t.text}} for t in written])
        data = write_dataset(tmp_path / "data", *splits)
        words = ["collapse", "--model", str(tmp_path / "model"), "--dataset", str(data)]
        return [*words, "--source_lang", "tl", "--target_lang", "en"]

    return save


RECURRENT = ("encoder.layer0.forward", "encoder.layer0.reverse", "decoder.layer0")


@pytest.mark.parametrize(
    "ends",
    [
        dict.fromkeys((*RECURRENT, "attention"), SHUT),
        pytest.param(dict.fromkeys((*RECURRENT, "attention"), OPEN), marks=pytest.mark.slow),
        pytest.param(dict.fromkeys(RECURRENT, SHUT) | {"attention": OPEN}, marks=pytest.mark.slow),
    ],
)
def test_the_command_writes_a_smaller_translator_and_a_report(ends, save, tmp_path, capsys):
    words = [*save(ends), "--tolerance", "0", "--batch_size", "8"]
    assert cli.main(words) == 0
    told = capsys.readouterr().out
    folder = tmp_path / "model-collapsed"
    report = json.loads((folder / "collapse.json").read_text())
    small = AutoModelForSeq2SeqLM.from_pretrained(folder)
    side = {SHUT: "target", OPEN: "frozen"}
    assert report["sites"]["attention"] == side[ends["attention"]]
    assert report["sites"]["encoder.layer0"] == side[ends["decoder.layer0"]]
    assert report["sites"]["decoder.layer0"] == side[ends["decoder.layer0"]]
    assert report["sites"]["encoder.embedding"] == "folded" and "folded encoder.embedding" in told
    before, after = report["before"], report["after"]
    assert after["parameters"] == small.num_parameters() < 0.8 * before["parameters"]
    for split in ("validation", "test"):
        assert before[f"{split}_score"] == pytest.approx(100)
        assert after[f"{split}_score"] == pytest.approx(100)
    assert after["milliseconds"] > 0
    assert report["metric"] == "bleu" and report["beam_size"] == 1
    assert "test bleu" in told and "ms a batch of 8" in told

    # What was written says what the report says, for who translates with it.
    translator = Translator.from_pretrained(str(folder))
    test = load_translation(str(tmp_path / "data"), "tl", "en").test
    texts = translate(translator.model, translator.tokenizers, test["source"][:], beam_size=1)
    scores = score_translations([text.text for text in texts], test["target"][:])
    assert scores.bleu == pytest.approx(after["test_score"])

    assert cli.main([*words[:2], str(folder), *words[3:]]) == 2
    (folder / "source_tokenizer" / "old").write_text("")
    save_tokenizers = translator.tokenizers.save  # an earlier collapse is replaced
    save_report(small, save_tokenizers, report, folder)
    assert not (folder / "source_tokenizer" / "old").exists()
    joint = TokenizerPair(translator.tokenizers.target, translator.tokenizers.target)
    save_report(small, joint.save, report, folder)
    assert TokenizerPair.load(folder).joint
    is_plain = report["class"].startswith("RNN")
    said = "a RNNForConditionalGeneration; accepted" if is_plain else "has been collapsed already"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "floor", [5.0, *(pytest.param(points, marks=pytest.mark.slow) for points in (20.0, 0.0))]
)
def test_the_score_stays_within_the_tolerance(floor, save, tmp_path):
    save({})
    translator = Translator.from_pretrained(str(tmp_path / "model"))
    validation = load_translation(str(tmp_path / "data"), "tl", "en").validation
    pairs = sentence_pairs(translator, validation, 9, metric="chrf", beam_size=2, batch_size=5)
    assert len(pairs.sources) == sum(len(batch["labels"]) for batch in pairs.batches) == 9
    collapses = TranslatorCollapses(translator.model, pairs)
    whole = pairs.score(translator.model)
    states, steps = search(collapses, whole - floor)
    assert all(step.evaluation.score >= whole - floor - 1e-9 for step in steps)
    counts = [step.parameters for step in steps]
    assert counts == sorted(counts, reverse=True) and len(set(counts)) == len(counts)
    if steps:
        small = collapses.make(states)
        assert small.num_parameters() == counts[-1]
        assert (pairs.loss(small), pairs.score(small)) == steps[-1].evaluation
    assert all(unit.pinned is None for unit in units_by_place(translator.model).values())
    states, _ = search(collapses, floor=-1)  # as small as it can be
    assert None not in states.values()
    assert type(collapses.make(states)) is RNNForConditionalGeneration


def test_the_loss_is_that_of_the_labels(save, tmp_path):
    save({})
    translator = Translator.from_pretrained(str(tmp_path / "model"))
    validation = load_translation(str(tmp_path / "data"), "tl", "en").validation
    options: dict[str, Any] = {"metric": "bleu", "beam_size": 1}
    one, many = (
        sentence_pairs(translator, validation, None, batch_size=size, **options) for size in (1, 99)
    )
    with torch.inference_mode():
        loss = translator.model(**many.batches[0]).loss.item()
    assert many.loss(translator.model) == pytest.approx(loss)
    assert one.loss(translator.model) == pytest.approx(loss)


@pytest.mark.slow
def test_a_dry_run_writes_nothing_and_a_part_may_stay_gated(save, tmp_path, capsys):
    words = [*save(dict.fromkeys(RECURRENT, SHUT)), "--tolerance", "0"]
    assert cli.main([*words, "--dry_run"]) == 0
    assert "nothing was written" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"model", "data"}
    assert cli.main([*words, "--metric", "chrf", "--validation_examples", "9"]) == 0
    report = json.loads((tmp_path / "model-collapsed" / "collapse.json").read_text())
    assert report["validation_examples"] == 9 and report["metric"] == "chrf"
    gated = {site for site, state in report["sites"].items() if state == "gated"}
    small = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "model-collapsed")
    assert type(small) is CollapsedPTUForConditionalGeneration
    assert gated == {place.partition(".forw")[0] for place in units_by_place(small)} != set()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--metric", "accuracy"], "is a translator; accepted are bleu and chrf"),
        (["--validation_examples", "999"], "validation examples; accepted is at most that"),
        (["--source_lang", "de"], "'de'"),
        (["--dataset", "{}/none"], "There is no file or folder"),
    ],
)
def test_mistakes_end_in_one_sentence(change, message, save, tmp_path, capsys):
    words = save({})
    assert cli.main([*words, *(word.format(tmp_path) for word in change)]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1


def test_where_everything_is_needed_nothing_is_written(save, tmp_path, capsys, monkeypatch):
    words = [*save({}), "--tolerance", "0"]
    monkeypatch.setattr(SentencePairs, "score", lambda *_: next(scores))
    # Whatever is pinned, no translation is right any more.
    scores: Iterator[float] = iter([50.0, *[0.0] * 99])
    assert cli.main([*words]) == 0
    assert (
        "Nothing to drop: whichever unit is pinned, the validation bleu" in capsys.readouterr().out
    )
    assert {path.name for path in tmp_path.iterdir()} == {"model", "data"}


def test_a_parent_that_reads_its_own_activations_is_refused(save, capsys):
    assert cli.main([*save({}, source_input="own"), "--dry_run"]) == 2
    assert "its parent reads its own activations (--source_input own)" in capsys.readouterr().err
