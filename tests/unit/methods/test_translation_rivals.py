"""What tells the rivals of translation from fine-tuning: which layers learn, when, how fast."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn
from transformers.trainer_callback import TrainerCallback

from ptu_seq.data import TokenizerPair, token_mapping, train_vocabulary
from ptu_seq.methods.translation import TranslationTask, get_translation_method
from ptu_seq.methods.translation.layers import layers
from ptu_seq.models import RNNForConditionalGeneration, Seq2SeqConfig
from ptu_seq.models.dropout import EmbeddingDropout, SequenceDropout
from ptu_seq.source import content_hash
from ptu_seq.trainer_setup import Trained
from ptu_seq.translation.inference import translate
from ptu_seq.translation.options import TranslationTrainingOptions
from ptu_seq.translation.training import train_translator

PRESETS = sorted((Path(__file__).parents[3] / "recipes" / "configs").glob("low_resource_mt_*.yaml"))
RIVALS = ["linear_probe", "lp_ft", "gradual_unfreezing", "layer_search"]
STEPS = 10
SHAPE: dict[str, Any] = {
    "embedding_size": 6,
    "hidden_size": 8,
    "num_encoder_layers": 2,
    "num_decoder_layers": 2,
}
BETWEEN = ["encoder.0", "encoder.1", "decoder.0", "decoder.1", "attention"]
ALL = ["source words", *BETWEEN, "target words"]
DROPS = {"embedding_dropout": 0.5, "hidden_dropout": 0.5, "word_dropout": 0.3}


@dataclass(frozen=True)
class Family:
    """A parent, and what a child of it reads and writes."""

    parent: RNNForConditionalGeneration
    tokenizers: TokenizerPair
    task: TranslationTask
    words: str


def sentences(words: str, count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(words, k=draw.randint(2, 5))) for _ in range(count)]


@pytest.fixture(scope="module", params=["match", "joint"])
def family(request: pytest.FixtureRequest) -> Family:
    """Letters are words; the child's are half new to a parent with vocabularies of its own."""
    english, french, child, joint = (
        train_vocabulary(sentences(words, 100, 0), size, "bpe", byte_fallback=False, max_length=32)
        for words, size in (("abcdefgh", 21), ("ijklmnop", 21), ("mnopqrst", 21), ("abcdmnop", 21))
    )
    torch.manual_seed(0)
    if request.param == "joint":
        config = Seq2SeqConfig(**SHAPE, vocab_size=len(joint), tie_embeddings="all")
        task = TranslationTask(len(joint), len(joint), network={"tie_embeddings": "all"})
        tokenizers = TokenizerPair(joint, joint)
        words = "abcdmnop"
    else:
        config = Seq2SeqConfig(**SHAPE, vocab_size=len(french), decoder_vocab_size=len(english))
        known = token_mapping(child, french)
        assert 0 < int((known[4:] >= 0).sum()) < len(known) - 4
        task = TranslationTask(len(child), len(english), encoder_mapping=known)
        tokenizers = TokenizerPair(child, english)
        words = "mnopqrst"
    return Family(RNNForConditionalGeneration(config).eval(), tokenizers, task, words)


class Watch(TrainerCallback):
    """Notes at each step which layers learn, their weights, and whose dropout let things pass."""

    def __init__(self, model: RNNForConditionalGeneration) -> None:
        self.model = model
        self.awake: list[list[str]] = []
        self.weights: list[dict[str, Tensor]] = []
        self.dropped: list[set[str]] = []
        self._dropping: set[str] = set()
        self._handles = [
            module.register_forward_hook(self._note(layer.name))
            for layer in layers(model)
            for module in layer.modules
        ]

    def _note(self, name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def note(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            before, after = (getattr(x, "data", x) for x in (args[0], output))
            if not torch.equal(before, after):
                self._dropping.add(name)

        return note

    def on_pre_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """After the gradients are there."""
        found = layers(self.model)
        self.awake.append([x.name for x in found if any(p.grad is not None for p in x.parameters)])
        self.weights.append({k: v.clone() for k, v in self.model.state_dict().items()})
        self.dropped.append(self._dropping.copy())
        self._dropping.clear()

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        """Leaves no hook behind."""
        for handle in self._handles:
            handle.remove()


def train(
    name: str, family: Family, setting: dict[str, Any], folder: Path, steps: int = STEPS
) -> tuple[Any, Watch, Trained, dict[str, Tensor]]:
    """Trains a method; the model, what a callback saw, how it went, and the first weights."""
    method = get_translation_method(name)
    torch.manual_seed(0)
    model: Any = method.build(family.parent, family.task, setting)
    start = {name: weight.clone() for name, weight in model.state_dict().items()}
    pairs = [
        {"input_ids": source, "labels": target}
        for source, target in zip(
            family.tokenizers.encode_source(sentences(family.words, 20, 1)),
            family.tokenizers.encode_target(sentences("abcd", 20, 2)),
            strict=True,
        )
    ]
    watch = Watch(model)
    trained = train_translator(
        model,
        method.parameter_groups(model, setting),
        family.tokenizers,
        pairs[:16],
        pairs[16:],
        TranslationTrainingOptions(
            batch_tokens=60, min_steps=steps, max_steps=steps, evaluations=1, metric="chrf"
        ),
        folder=folder,
        seed=0,
        callbacks=[*method.callbacks(model, setting), watch],
    )
    return model, watch, trained, start


def make_parent(**fields: Any) -> RNNForConditionalGeneration:
    shape = {"vocab_size": 20, "decoder_vocab_size": 22, **SHAPE}
    return RNNForConditionalGeneration(Seq2SeqConfig(**{**shape, **fields})).eval()


def batch_of(words: int) -> dict[str, Tensor]:
    return {"input_ids": torch.randint(4, 16, (6, 8)), "labels": torch.randint(4, words, (6, 5))}


@pytest.mark.parametrize(
    "fields",
    [
        {"tie_embeddings": "none"},
        {"tie_embeddings": "decoder", "attention": "bahdanau", "rnn_type": "gru"},
        {"tie_embeddings": "all", "vocab_size": 22, "bridge": "copy", "num_encoder_layers": 3},
        {"embedding_size": 8, "attention": "luong_dot", "num_decoder_layers": 1},
    ],
)
def test_every_weight_and_every_dropout_is_in_one_layer(fields):
    model = make_parent(**fields)
    found = layers(model)
    config = model.config
    assert len(found) == config.num_encoder_layers + config.num_decoder_layers + 3
    weights = [p for layer in found for p in layer.parameters]
    assert len(weights) == len({id(p) for p in weights}) == len(list(model.parameters()))
    modules = [id(module) for layer in found for module in layer.modules]
    inner = {id(m.features) for m in model.modules() if isinstance(m, EmbeddingDropout)}
    drops = (EmbeddingDropout, SequenceDropout)
    wanted = [id(m) for m in model.modules() if isinstance(m, drops) and id(m) not in inner]
    assert sorted(modules) == sorted(wanted)


@pytest.mark.parametrize("name", RIVALS)
def test_rivals_train_translate_and_come_back_from_disk(name, family, tmp_path):
    setting = dict(get_translation_method(name).grid[0])
    if name == "layer_search":
        setting |= {"frozen": 1, "tuned": 3}
    before = content_hash(family.parent)
    model, _, trained, start = train(name, family, setting, tmp_path / "a", steps=3)
    again, _, trained_again, _ = train(name, family, setting, tmp_path / "b", steps=3)
    assert content_hash(family.parent) == before
    assert (trained.validation_score, trained.steps) == (
        trained_again.validation_score,
        trained_again.steps,
    )
    for key, weight in model.state_dict().items():
        assert torch.equal(weight, again.state_dict()[key]), key
    words = "encoder.embedding.weight"
    assert not torch.equal(model.state_dict()[words], start[words])
    model.save_pretrained(tmp_path / "model")
    loaded = RNNForConditionalGeneration.from_pretrained(tmp_path / "model")
    texts = sentences(family.words, 4, 3)
    ours, theirs = (
        [t.text for t in translate(m, family.tokenizers, texts, beam_size=2)]
        for m in (model, loaded)
    )
    assert ours == theirs


STAGED: dict[str, tuple[dict[str, float], list[list[str]]]] = {
    "lp_ft": ({"probe_share": 0.5}, [[]] * 5 + [BETWEEN] * 5),
    "gradual_unfreezing": (
        {"unfreeze_share": 1.0},  # five layers over ten steps
        [BETWEEN[: i // 2] for i in range(STEPS)],
    ),
}


@pytest.mark.parametrize("name", STAGED)
def test_layers_between_the_words_sleep_until_their_stage(name, family, tmp_path):
    shares, between = STAGED[name]
    setting = {**get_translation_method(name).grid[0], **shares, **DROPS}
    model, watch, _, start = train(name, family, setting, tmp_path)
    # A table that both languages share is of the source's words; the projection is not.
    assert watch.awake == [["source words", *stage, "target words"] for stage in between]
    assert watch.dropped[0] == {"source words", "target words"}
    names = {id(p): key for key, p in model.named_parameters()}
    for layer in layers(model)[1:-1]:
        first = next((i for i, stage in enumerate(between) if layer.name in stage), STEPS)
        for step, weights in enumerate(watch.weights):
            for parameter in layer.parameters:
                key = names[id(parameter)]
                # What is noted at a step is from before its update.
                assert torch.equal(weights[key], start[key]) == (step <= first), (step, key)
            assert (layer.name in watch.dropped[step]) == (bool(layer.modules) and step >= first)
    assert all(p.requires_grad for p in model.parameters())
    assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("name", ["lp_ft", "gradual_unfreezing"])
def test_all_layers_are_awake_before_early_stopping_can_end_training(name):
    defaults = TranslationTrainingOptions()
    earliest = [defaults.patience / defaults.evaluations]
    for preset in PRESETS:
        given = yaml.safe_load(preset.read_text())
        options = TranslationTrainingOptions(
            **{k: v for k, v in given.items() if k in ("patience", "evaluations")}
        )
        earliest.append(options.patience / options.evaluations)
    assert len(earliest) == 4
    for setting in get_translation_method(name).grid:
        share = setting.get("probe_share", setting.get("unfreeze_share"))
        assert 0 < share < min(earliest)


def test_rates_fall_from_the_sources_words_to_the_targets():
    method, setting = get_translation_method("gradual_unfreezing"), {"learning_rate": 0.5}
    setting |= {"rate_decay": 2.0, "unfreeze_share": 0.2}
    model = method.build(make_parent(), TranslationTask(20, 22), setting)
    groups = method.parameter_groups(model, setting)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    for distance, layer in enumerate(layers(model)):
        assert {rates[id(p)] for p in layer.parameters} == {0.5 / 2**distance}


@pytest.mark.parametrize("size", [6, 8])
@pytest.mark.parametrize("tying", ["none", "decoder", "all"])
def test_a_probe_begins_as_the_parent_and_learns_words_alone(tying, size, tmp_path):
    parent = make_parent(vocab_size=22, tie_embeddings=tying, embedding_size=size, **DROPS)
    method = get_translation_method("linear_probe")
    setting = method.grid[0]
    model: Any = method.build(parent, TranslationTask(22, 22), setting).train()
    batch = batch_of(22)
    # In training mode: nothing drops out.
    torch.testing.assert_close(model(**batch).logits, parent(**batch).logits)
    start = {key: p.detach().clone() for key, p in model.named_parameters()}
    optimizer = torch.optim.AdamW(method.parameter_groups(model, setting), weight_decay=0.1)
    for _ in range(3):
        model(**batch).loss.backward()
        optimizer.step()
    moved = {key for key, p in model.named_parameters() if not torch.equal(p, start[key])}
    assert moved == {"encoder.embedding.weight", "decoder.output.weight"}


@pytest.mark.parametrize("frozen", [1, 2])
@pytest.mark.parametrize("name", ["linear_probe", "layer_search"])
def test_target_words_that_the_parent_lacks_learn(name, frozen):
    known = torch.tensor([*range(22), -1, -1])
    task = TranslationTask(20, 24, decoder_mapping=known)
    method = get_translation_method(name)
    setting = {**method.grid[0], "frozen": frozen, "tuned": 6 - frozen}
    torch.manual_seed(0)
    model: Any = method.build(make_parent(tie_embeddings="none"), task, setting)
    start = model.decoder.embedding.weight.detach().clone()
    batch = batch_of(24)
    batch["labels"][:, 0] = 23
    optimizer = torch.optim.AdamW(method.parameter_groups(model, setting), weight_decay=0.1)
    for _ in range(3):
        model.train()(**batch).loss.backward()
        optimizer.step()
    now = model.decoder.embedding.weight.detach()
    assert torch.equal(now[:22], start[:22])
    assert not torch.equal(now[23], start[23])


@pytest.mark.parametrize(("encoder", "decoder"), [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("count", [1, 2])
def test_a_search_tries_every_cut_at_every_rate(encoder, decoder, count):
    model = make_parent(num_encoder_layers=encoder, num_decoder_layers=decoder)
    depth = len(layers(model)) - 1
    settings = get_translation_method("layer_search").settings(depth, count)
    assert len({str(setting) for setting in settings}) == len(settings)
    assert len(settings) == count * (depth + 1) * (depth + 2) // 2
    assert {(s["frozen"], s["tuned"]) for s in settings} == {
        (i, j) for i in range(depth + 1) for j in range(depth + 1 - i)
    }
    for name in ("fine_tune", "ptu", "frozen"):
        method = get_translation_method(name)
        assert method.settings(depth, count) == method.grid[:count]


def test_a_cut_freezes_at_the_targets_words_tunes_the_next_and_draws_the_rest(family, tmp_path):
    method = get_translation_method("layer_search")
    setting = {**method.grid[0], **DROPS, "frozen": 2, "tuned": 2}
    model, watch, _, start = train("layer_search", family, setting, tmp_path)
    outwards = ALL[:0:-1]  # from the target's words to the encoder's first layer
    asleep, new = outwards[:2], outwards[4:]
    for awake, dropped in zip(watch.awake, watch.dropped, strict=True):
        assert set(awake) == set(ALL) - set(asleep)
        assert not dropped & set(asleep)
    names = {id(p): key for key, p in model.named_parameters()}
    theirs = family.parent.state_dict()
    for layer in layers(model):
        for parameter in layer.parameters:
            key = names[id(parameter)]
            assert torch.equal(parameter, start[key]) == (layer.name in asleep), key
            if key == "encoder.embedding.weight":
                known = family.task.encoder_mapping
                ours = start[key] if known is None else start[key][known >= 0]
                of_parent = theirs[key] if known is None else theirs[key][known[known >= 0]]
                assert not torch.equal(ours, of_parent)  # as the encoder above it is new
            else:
                assert torch.equal(start[key], theirs[key]) == (layer.name not in new), key


def test_the_ends_of_the_search_are_scratch_fine_tuning_and_frozen():
    parent, task = make_parent(), TranslationTask(20, 22)
    method = get_translation_method("layer_search")
    theirs, rates = parent.state_dict(), method.grid[0]
    random_, tuned, frozen, zoph = (
        method.build(parent, task, {**rates, "frozen": i, "tuned": j})
        for i, j in ((0, 0), (0, 6), (6, 0), (1, 5))
    )
    assert not any(torch.equal(w, theirs[key]) for key, w in random_.state_dict().items())
    for model in (tuned, frozen, zoph):
        assert all(torch.equal(w, theirs[key]) for key, w in model.state_dict().items())
    for model, rival in ((random_, "scratch"), (tuned, "fine_tune"), (frozen, "frozen")):
        like = get_translation_method(rival).build(parent, task, rates)
        assert trainable(model) == trainable(like)
    like = get_translation_method("zoph").build(parent, task, rates)
    assert trainable(zoph) == trainable(like) - {"decoder.projection.weight"}


def trainable(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}
