"""The search over cuts of a translator: what is frozen, tuned and new in each, and how many."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ptu_seq.methods.translation import TranslationTask, get_translation_method
from ptu_seq.methods.translation.layers import layers
from tests.unit.translation_family import ALL, DROPS, make_parent, train


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
