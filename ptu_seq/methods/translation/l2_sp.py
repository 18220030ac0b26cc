"""L2-SP (Li, Grandvalet & Davoine, ICML 2018): fine-tuning, held near the parent's weights."""

from __future__ import annotations

from typing import cast

from transformers import PreTrainedModel
from transformers.trainer_callback import TrainerCallback

from ptu_seq.methods.base import Setting
from ptu_seq.methods.l2_sp import Pull
from ptu_seq.methods.translation.base import target_embeddings
from ptu_seq.methods.translation.fine_tune import FineTune
from ptu_seq.models import RNNForConditionalGeneration


class L2SP(FineTune):
    """Fine-tuning under a penalty on the distance from the parent: :mod:`ptu_seq.methods.l2_sp`.

    The tables of token vectors are free: the child's words are new to the parent, and words that
    both know have learning rates of their own (see
    :class:`~ptu_seq.methods.translation.fine_tune.FineTune`, whose first two settings these are).
    """

    name = "l2_sp"
    grid = tuple({**setting, "pull": pull} for setting in FineTune.grid[:2] for pull in (1.0, 10.0))

    def callbacks(self, model: PreTrainedModel, setting: Setting) -> list[TrainerCallback]:
        """The pull back to the start."""
        child = cast(RNNForConditionalGeneration, model)
        tables = [*child.encoder.embedding.parameters(), *target_embeddings(child)]
        free = {id(table) for table in tables}
        body = [weight for weight in child.parameters() if id(weight) not in free]
        return [Pull(body, [weight.detach().clone() for weight in body], setting["pull"])]
