"""Generation by transformers, held against teacher forcing and against trying all there is."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from ptu_seq.models import PTUForConditionalGeneration, RNNForConditionalGeneration
from ptu_seq.models.decoding_state import DecodingState
from ptu_seq.models.encoder import Encoded, Encoder
from ptu_seq.models.encoding import Batch
from ptu_seq.models.stitched_seq2seq import CrossStitchForConditionalGeneration
from ptu_seq.models.translation_model import STATE_NAME
from ptu_seq.models.twin_seq2seq import TwinForConditionalGeneration

Model = RNNForConditionalGeneration | TwinForConditionalGeneration
START, END = 2, 3


@pytest.fixture(params=["plain", "layer", "step", "within"])
def kind(request: pytest.FixtureRequest) -> str:
    """A plain encoder-decoder, or one with units at either level, or a parent that reads within."""
    return request.param


@pytest.fixture
def make_model(make_parent, perturb):
    """Makes a model of a kind; the tokens of a child are not its parent's."""

    def make(kind: str, vocab_size: int = 12, **fields: Any) -> Model:
        parent = make_parent(**fields | {"vocab_size": vocab_size + 5})
        if kind == "plain":
            return make_parent(**fields | {"vocab_size": vocab_size})
        mapping = torch.arange(vocab_size).roll(1)
        mapping[4] = -1
        model_class, sizes, options = {
            "layer": (PTUForConditionalGeneration, {"hidden_size": 10}, {"level": "layer"}),
            "step": (PTUForConditionalGeneration, {"hidden_size": 10}, {"level": "step"}),
            # the parent's layers read the child's input
            "within": (PTUForConditionalGeneration, {}, {"source_input": "target"}),
            "stitched": (CrossStitchForConditionalGeneration, {}, {}),
        }[kind]
        model = model_class.from_source(
            parent,
            init="random",
            target={"vocab_size": vocab_size, "decoder_vocab_size": vocab_size, **sizes},
            encoder_mapping=mapping,
            decoder_mapping=mapping,
            **options,
        )
        perturb(model)
        return model.eval()

    return make


@pytest.fixture(
    params=[
        ("plain", "lstm", False),
        ("plain", "gru", True),
        ("layer", "lstm", True),
        ("layer", "gru", False),
        ("step", "lstm", False),
        ("step", "gru", True),
        ("within", "lstm", False),
        ("within", "gru", True),
        ("stitched", "lstm", True),
    ],
    ids=lambda param: "-".join(map(str, param[:2])) + ("-fed" if param[2] else ""),
)
def model(request: pytest.FixtureRequest, make_model) -> Model:
    """Every pair of a kind, a type of layers, and whether there is input feeding."""
    kind, rnn_type, input_feeding = request.param
    return make_model(kind, rnn_type=rnn_type, input_feeding=input_feeding)


@pytest.fixture
def sentences(make_translations) -> dict[str, Tensor]:
    batch = make_translations(12)
    return {name: batch[name] for name in ("input_ids", "attention_mask")}


def generate(model: Model, sentences: dict[str, Tensor], **options: Any) -> Any:
    defaults = {"max_new_tokens": 8, "return_dict_in_generate": True, "output_scores": True}
    return model.generate(**sentences, **defaults | options)


def forced_score(model: Model, input_ids: Tensor, tokens: list[int]) -> float:
    """The log-probability of a translation, all of it read at once."""
    with torch.no_grad():
        logits = model(input_ids, labels=torch.tensor([tokens])).logits
    return float(logits[0].log_softmax(-1)[torch.arange(len(tokens)), tokens].sum())


def written(row: Tensor) -> list[int]:
    """The tokens after the start, through the end token."""
    tokens = row.tolist()[1:]
    return tokens[: tokens.index(END) + 1] if END in tokens else tokens


@pytest.mark.parametrize("name_of_state", ["cache", "past_key_values"])  # by transformers' version
def test_steps_one_by_one_are_the_unroll(name_of_state, model, make_translations):
    batch = make_translations(12)
    expected = model(**batch).logits
    read = model.prepare_decoder_input_ids_from_labels(batch["labels"])
    state, steps = None, []
    for token in read.split(1, dim=1):
        output = model(
            **{name: batch[name] for name in ("input_ids", "attention_mask")},
            decoder_input_ids=token,
            **{name_of_state: state},
        )
        state = output[STATE_NAME]
        steps.append(output.logits)
    assert isinstance(state, DecodingState) and state.get_seq_length() == read.shape[1]
    torch.testing.assert_close(torch.cat(steps, dim=1), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("num_beams", [1, 3])
def test_the_state_changes_nothing(num_beams, model, sentences):
    """Without it every step reads all that was written anew, and nothing needs reordering."""
    options: dict[str, Any] = {"num_beams": num_beams, "num_return_sequences": num_beams}
    with_state = generate(model, sentences, **options)
    without = generate(model, sentences, **options, use_cache=False)
    assert with_state[STATE_NAME] is not None and STATE_NAME not in without
    assert torch.equal(with_state.sequences, without.sequences)
    for ours, theirs in zip(with_state.scores, without.scores, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 2.0])
def test_a_beam_as_wide_as_all_finds_the_best(length_penalty, kind, make_model):
    """Against all translations of up to 3 tokens, each scored by teacher forcing."""
    model = make_model(kind, vocab_size=5, input_feeding=True)
    sentence, longest = torch.tensor([[4, 2, 4, 1, 3]]), 3
    scores = {}
    for length in range(1, longest + 1):
        for tokens in itertools.product(range(5), repeat=length):
            if END not in tokens[:-1] and (tokens[-1] == END or length == longest):
                scores[tokens] = 0.0
    labels = torch.tensor([tokens + (-100,) * (longest - len(tokens)) for tokens in scores])
    with torch.no_grad():
        output = model(sentence.expand(len(labels), -1), labels=labels)
    for row, tokens in enumerate(scores):
        steps = output.logits[row, : len(tokens)].log_softmax(-1)
        total = steps[torch.arange(len(tokens)), list(tokens)].sum()
        scores[tokens] = float(total) / len(tokens) ** length_penalty
    best = sorted(scores, key=scores.__getitem__, reverse=True)[:6]
    beams = generate(
        model,
        {"input_ids": sentence},
        max_new_tokens=longest,
        num_beams=len(scores),
        num_return_sequences=len(best),
        length_penalty=length_penalty,
        early_stopping="never",
    )
    assert [tuple(written(row)) for row in beams.sequences] == best
    expected = torch.tensor([scores[tokens] for tokens in best])
    torch.testing.assert_close(beams.sequences_scores, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("num_beams", [1, 4])
def test_scores_are_those_of_teacher_forcing(num_beams, model, sentences):
    output = generate(model, sentences, num_beams=num_beams, num_return_sequences=num_beams)
    tokens = model.compute_transition_scores(
        output.sequences,
        output.scores,
        output.beam_indices if num_beams > 1 else None,
        normalize_logits=num_beams == 1,
    )
    for row, sequence in enumerate(output.sequences):
        own = written(sequence)
        source = sentences["input_ids"][row // num_beams]
        expected = forced_score(model, source[source != 0].unsqueeze(0), own)
        assert float(tokens[row, : len(own)].sum()) == pytest.approx(expected, abs=1e-4)
        if num_beams > 1:
            score = float(output.sequences_scores[row]) * len(own)
            assert score == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize("padding_side", ["right", "left"])
def test_batched_is_one_by_one(padding_side, num_beams, model, sentences):
    ids = sentences["input_ids"]
    rows = [row[row != 0] for row in ids]
    if padding_side == "left":
        padded = [torch.cat([ids.new_zeros(ids.shape[1] - len(row)), row]) for row in rows]
        sentences = {"input_ids": torch.stack(padded)}
        sentences["attention_mask"] = (sentences["input_ids"] != 0).long()
    together = generate(model, sentences, num_beams=num_beams).sequences
    for row, sequence in zip(rows, together, strict=True):
        alone = generate(model, {"input_ids": row.unsqueeze(0)}, num_beams=num_beams).sequences
        assert written(alone[0]) == written(sequence)


def test_one_beam_is_greedy(model, sentences):
    greedy = torch.full((4, 1), START)
    for _ in range(8):
        with torch.no_grad():
            logits = model(**sentences, decoder_input_ids=greedy).logits
        greedy = torch.cat([greedy, logits[:, -1:].argmax(-1)], dim=1)
    beams = model.generate(**sentences, num_beams=1, max_new_tokens=8)
    assert [written(row) for row in beams] == [written(row) for row in greedy]


def test_a_forced_prefix_stays(model, sentences):
    prefix = torch.tensor([[START, 5, 7]]).expand(4, -1)
    for num_beams in (1, 3):
        rows = model.generate(
            **sentences, decoder_input_ids=prefix, num_beams=num_beams, max_new_tokens=4
        )
        assert torch.equal(rows[:, :3], prefix)
    for row, source in zip(rows, sentences["input_ids"], strict=True):
        one = source[source != 0].unsqueeze(0)
        alone = model.generate(one, decoder_input_ids=prefix[:1], num_beams=3, max_new_tokens=4)
        assert written(alone[0]) == written(row)
    forced = model.generate(**sentences, forced_bos_token_id=9, max_new_tokens=4)
    assert (forced[:, 1] == 9).all()


def test_no_n_gram_comes_twice(model, sentences):
    options: dict[str, Any] = {"suppress_tokens": [END], "num_beams": 3, "no_repeat_ngram_size": 2}
    for row in model.generate(**sentences, **options, max_new_tokens=20).tolist():
        pairs = list(itertools.pairwise(row))
        assert len(row) == 21 and len(set(pairs)) == len(pairs)


def test_samples_follow_the_model(kind, make_model):
    """The first token of many samples, and each sample's own state afterwards."""
    model = make_model(kind, input_feeding=True)
    sentence = torch.tensor([[5, 6, 3]])
    samples = generate(
        model,
        {"input_ids": sentence},
        do_sample=True,
        top_k=0,
        num_return_sequences=2000,
        max_new_tokens=3,
        output_logits=True,
    )
    with torch.no_grad():
        expected = model(sentence, decoder_input_ids=torch.tensor([[START]])).logits[0, 0]
    drawn = samples.sequences[:, 1].bincount(minlength=12) / 2000
    torch.testing.assert_close(drawn, expected.softmax(-1), atol=0.05, rtol=0)
    for row in (0, 700, 1999):
        with torch.no_grad():
            forced = model(sentence, decoder_input_ids=samples.sequences[row : row + 1, :3])
        if END not in samples.sequences[row, 1:3]:
            actual = torch.stack([step[row] for step in samples.logits])
            torch.testing.assert_close(actual, forced.logits[0], atol=1e-5, rtol=1e-5)


def test_sentences_are_read_once_and_shared_by_their_beams(model, sentences, monkeypatch):
    read: list[int] = []
    forward = Encoder.forward

    def spy(self: Encoder, batch: Batch, *rest: Any) -> Encoded:
        read.append(len(batch.ids))
        return forward(self, batch, *rest)

    monkeypatch.setattr(Encoder, "forward", spy)
    state = generate(model, sentences, num_beams=5)[STATE_NAME]
    twins = 1 if isinstance(model, RNNForConditionalGeneration) else 2
    # A parent on the child's input is read layer by layer, while the child's encoder reads.
    within = twins == 2 and model.config.source_input == "target"
    assert read == [4] * (1 if within else twins)
    while state is not None:
        assert len(state.memory.values) == len(state.memory.keys) == 4
        assert state.recurrent.layers[0][0].shape[1] == 4 * 5
        state = state.source
        twins -= 1
    assert twins == 0


def test_reordering_moves_every_row_of_both_twins(model, sentences):
    order = torch.tensor([2, 2, 0])
    one = {"input_ids": sentences["input_ids"][:1]}
    tokens = torch.tensor([[START, 5], [START, 6], [START, 7]])
    follow = torch.tensor([[8], [9], [10]])
    state = model(**one, decoder_input_ids=tokens)[STATE_NAME]
    state.reorder_cache(order)
    moved = model(decoder_input_ids=follow, past_key_values=state).logits
    expected = model(**one, decoder_input_ids=torch.cat([tokens[order], follow], dim=1)).logits
    torch.testing.assert_close(moved, expected[:, -1:], atol=1e-5, rtol=1e-5)


def test_nothing_is_kept_on_modules(model, sentences):
    before = {name: dict(module.__dict__) for name, module in model.named_modules()}
    generate(model, sentences, num_beams=2)
    for name, module in model.named_modules():
        assert module.__dict__.keys() == before[name].keys()
        assert not any(isinstance(v, Tensor | DecodingState) for v in module.__dict__.values())


def test_attention_weights_are_given(model, sentences):
    output = generate(model, sentences, output_attentions=True, max_new_tokens=3)
    for (weights,) in output.cross_attentions:
        assert weights.shape == (4, 1, 1, 9)
        torch.testing.assert_close(weights.sum(-1), torch.ones(4, 1, 1))
        assert (weights[:, 0, 0][sentences["input_ids"] == 0] == 0).all()


def test_only_our_encoder_outputs_are_read(model, sentences):
    output = model.get_encoder()(**sentences)
    again = model.generate(encoder_outputs=output, max_new_tokens=5)
    assert torch.equal(again, model.generate(**sentences, max_new_tokens=5))
    with pytest.raises(ValueError, match="get_encoder"):
        model(encoder_outputs=(output.last_hidden_state,), decoder_input_ids=torch.tensor([[2]]))
    with pytest.raises(ValueError, match="decoder_input_ids or labels"):
        model(**sentences)
