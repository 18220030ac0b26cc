"""Translating lines: in order, batched as one by one, with the scores that search ranks by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BartConfig, BartForConditionalGeneration

from ptu_seq.data import TokenizerPair
from ptu_seq.errors import UserError
from ptu_seq.models import PTUForConditionalGeneration
from ptu_seq.translation.alignment import Alignment, align, plot_alignment
from ptu_seq.translation.inference import Translator, translate

LINES = ["c a b", "a", "b b a c d e f a b c d e f", "f e", "d d d", "e a b c"]


@pytest.fixture(scope="module")
def translator(tiny_translator: Path) -> Translator:
    return Translator.from_pretrained(str(tiny_translator))


def run(translator: Translator, lines: list[str], **arguments: Any) -> list[Any]:
    return list(translate(translator.model, translator.tokenizers, lines, **arguments))


def source_ids(translator: Translator) -> torch.Tensor:
    """The tokens of the first line, where the model is."""
    ids = translator.tokenizers.encode_source(LINES[:1])
    return torch.tensor(ids, device=translator.model.device)


@pytest.mark.parametrize("beam_size", [1, 3])
@pytest.mark.parametrize("batch_size", [2, 100])
def test_batched_equals_one_by_one_in_the_order_of_the_lines(translator, beam_size, batch_size):
    together = run(translator, LINES, beam_size=beam_size, batch_size=batch_size, with_scores=True)
    assert len({t.text for t in together}) > 2
    for line, translation in zip(LINES, together, strict=True):
        (alone,) = run(translator, [line], beam_size=beam_size, with_scores=True)
        assert alone.texts == translation.texts
        assert alone.scores == pytest.approx(translation.scores, rel=1e-4)


def test_greedy_search_is_transformers_own(translator):
    (translation,) = run(translator, LINES[:1], beam_size=1, max_length=9)
    ids = source_ids(translator)
    written = translator.model.generate(ids, num_beams=1, do_sample=False, max_new_tokens=9)
    assert translation.text == translator.tokenizers.decode_target(written[:, 1:])[0]


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 2.0])
def test_scores_are_what_beam_search_ranks_by(translator, length_penalty):
    (translation,) = run(
        translator,
        LINES[:1],
        beam_size=4,
        n_best=3,
        length_penalty=length_penalty,
        max_length=12,
        with_scores=True,
    )
    ids = source_ids(translator)
    expected = translator.model.generate(
        ids,
        num_beams=4,
        num_return_sequences=3,
        length_penalty=length_penalty,
        max_new_tokens=12,
        output_scores=True,
        return_dict_in_generate=True,
    )
    assert translation.scores == pytest.approx(expected.sequences_scores.tolist(), abs=1e-4)
    texts = translator.tokenizers.decode_target(expected.sequences[:, 1:])
    assert list(translation.texts) == texts
    assert list(translation.scores) == sorted(translation.scores, reverse=True)


def test_lines_without_text_keep_their_place(translator):
    lines = ["", "c a b", " \t ", "a", ""]
    translations = run(translator, lines, beam_size=2, n_best=2, with_scores=True, batch_size=2)
    assert [t.texts == ("", "") for t in translations] == [True, False, True, False, True]
    assert [t.scores is None for t in translations] == [True, False, True, False, True]
    full = run(translator, ["c a b", "a"], beam_size=2, n_best=2)
    assert [t.texts for t in full] == [translations[1].texts, translations[3].texts]
    assert run(translator, []) == []


def test_a_long_line_is_cut_and_says_so(translator):
    limit = translator.tokenizers.source.model_max_length
    long = " ".join(["a b"] * 2500)
    kept = " ".join(["a b"] * 2500)[: 2 * (limit - 1) - 1]
    cut_, short = run(translator, [long, kept], beam_size=1)
    assert (cut_.is_cut, short.is_cut) == (True, False)
    assert (cut_.tokens, short.tokens) == (5001, limit)
    assert cut_.text == short.text


def test_a_window_is_translated_before_the_next_is_read(translator):
    read = []

    def lines():
        for line in LINES:
            read.append(line)
            yield line

    translations = translate(
        translator.model, translator.tokenizers, lines(), beam_size=1, batch_size=1, window=2
    )
    next(translations)
    assert len(read) == 2
    next(translations)
    assert len(read) == 2


def test_a_translation_has_no_more_tokens_than_asked_for(translator):
    for translation in run(translator, LINES, beam_size=2, max_length=2):
        assert len(translator.tokenizers.encode_target([translation.text])[0]) <= 2 + 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beam_size": 0}, "--beam_size is 0; accepted is at least 1"),
        ({"n_best": 0}, "--n_best is 0"),
        ({"batch_size": -1}, "--batch_size is -1"),
        ({"max_length": 0}, "--max_length is 0"),
        ({"beam_size": 2, "n_best": 3}, "--n_best is 3, .* only --beam_size 2"),
    ],
)
def test_wrong_numbers_are_named(translator, arguments, message):
    with pytest.raises(UserError, match=message):
        translate(translator.model, translator.tokenizers, LINES, **arguments)


def test_from_pretrained_refuses_what_is_no_translator(tmp_path, tiny_translator, tiny_classifier):
    with pytest.raises(UserError, match="absent: there is no such folder"):
        Translator.from_pretrained(str(tmp_path / "absent"))
    with pytest.raises(UserError, match="holds no config.json"):
        Translator.from_pretrained(str(tmp_path))
    with pytest.raises(UserError, match="not a translation model that can be loaded"):
        Translator.from_pretrained(str(tiny_classifier))
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((tiny_translator / name).read_bytes())
    with pytest.raises(UserError, match="no tokenizer"):
        Translator.from_pretrained(str(tmp_path))


def alignment(model: Any, tokenizers: TokenizerPair) -> Any:
    (source,) = tokenizers.encode_source(["c a b"])
    (target,) = tokenizers.encode_target(["b a"])
    names = tokenizers.source.convert_ids_to_tokens
    return align(model, source, target, names(source), names(target))


def test_the_alignment_has_the_models_attention(translator, tmp_path):
    found = alignment(translator.model, translator.tokenizers)
    assert found.source_tokens == ("▁c", "▁a", "▁b", "</s>")
    assert found.target_tokens == ("▁b", "▁a", "</s>")
    assert found.weights.shape == (3, 4)
    assert found.weights.sum(1) == pytest.approx(1, abs=1e-5)
    assert found.update_gates == {}
    path = plot_alignment(found, tmp_path / "plain.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_tokens_are_no_formulas_and_may_lack_in_the_font(tmp_path, recwarn):
    tokens = ("$_$", "$5", "▁日本", "</s>")
    weights = np.full((4, 4), 0.25)
    plot_alignment(Alignment(tokens, tokens, weights, {}), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


@pytest.mark.parametrize(("pinned", "gate"), [("target", 0), ("frozen", 1)])
def test_the_alignment_of_a_model_with_units_has_its_update_gates(
    translator, tmp_path, pinned, gate
):
    child = PTUForConditionalGeneration.from_source(translator.model).eval()
    free = alignment(child, translator.tokenizers)
    sites = ["decoder.embedding", "decoder.layer0", "attention", "output"]
    assert list(free.update_gates) == sites
    assert all(
        g.shape == (3,) and (0 < g).all() and (g < 1).all() for g in free.update_gates.values()
    )
    pinned_ = alignment(child.pin(pinned), translator.tokenizers)
    assert all((g == gate).all() for g in pinned_.update_gates.values())
    with_gates = plot_alignment(free, tmp_path / "gates.png").read_bytes()
    plain = alignment(translator.model, translator.tokenizers)
    assert with_gates != plot_alignment(plain, tmp_path / "plain.png").read_bytes()


def test_several_layers_and_heads_are_averaged(translator):
    config = BartConfig(
        vocab_size=len(translator.tokenizers.source),
        d_model=8,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=8,
        decoder_ffn_dim=8,
        max_position_embeddings=64,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
        decoder_start_token_id=2,
        forced_eos_token_id=None,
    )
    model = BartForConditionalGeneration(config).eval()
    model.set_attn_implementation("eager")
    found = alignment(model, translator.tokenizers)
    assert found.weights.sum(1) == pytest.approx(1, abs=1e-5)
    texts = [t.text for t in translate(model, translator.tokenizers, LINES, beam_size=2)]
    assert len(texts) == len(LINES)
