"""Layer search (Yosinski et al., 2014; Mou et al., 2016): every cut of frozen, tuned and random."""

from __future__ import annotations

from typing import Any, cast

from transformers import PreTrainedModel

from ptu_seq.methods.base import MOST_SETTINGS, Setting
from ptu_seq.methods.layer_search import all_cuts, cut
from ptu_seq.methods.translation.base import (
    TranslationTask,
    freeze_target_embeddings,
    new_child,
    target_embeddings,
    with_own_source_embedding,
    without_decay,
)
from ptu_seq.methods.translation.fine_tune import FineTune
from ptu_seq.methods.translation.layers import layers
from ptu_seq.models import RNNForConditionalGeneration, copy_parent


class LayerSearch(FineTune):
    """All cuts, each at each learning rate: :mod:`ptu_seq.methods.layer_search`.

    Frozen layers begin at the target's words, which parent and child share; then come the layers
    that start from the parent and are tuned, then those that start at random. The source's words
    always learn, from the parent's vectors where nothing else is new. Of `n` layers beside these
    (the target's words, attention, each recurrent layer) that is `(n + 1) (n + 2) / 2` networks a
    rate: 15 with one layer in encoder and decoder. Among them is what `fine_tune`, `zoph` and
    `frozen` train, and what `scratch` does, in the child's vocabulary. (A table that both languages
    share is parted; dropout sleeps in frozen layers.)
    """

    name = "layer_search"
    joins = False
    grid = FineTune.grid[:2]

    def settings(self, depth: int, count: int = MOST_SETTINGS) -> tuple[Setting, ...]:
        """Every cut at the first learning rates."""
        return all_cuts(self.grid[:count], depth)

    def build(
        self, parent: RNNForConditionalGeneration, task: TranslationTask, setting: Setting
    ) -> RNNForConditionalGeneration:
        """Layers frozen, tuned and new, as the setting says."""
        changes = with_own_source_embedding(parent)
        child, new = (new_child(parent, task, setting, **changes) for _ in range(2))
        copy_parent(parent, child, task.encoder_mapping, task.decoder_mapping)
        cut(layers(child)[::-1], layers(new)[::-1], setting)
        if setting.get("frozen"):
            for table in target_embeddings(child):
                table.requires_grad_(True)
            freeze_target_embeddings(child, task)
        return child

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """All that is not frozen, at the rates of fine-tuning."""
        groups = super().parameter_groups(model, setting)
        if not setting.get("frozen"):
            return groups
        return without_decay(cast(RNNForConditionalGeneration, model), groups)
