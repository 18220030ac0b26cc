"""Deep CORAL between an encoder's outputs on sentences of two languages."""

from __future__ import annotations

from ptu_seq.methods.alignment.coral import CORAL


class SentenceCORAL(CORAL):
    """:class:`~ptu_seq.methods.alignment.coral.CORAL` at a strength that counts in translation.

    The averages of a recurrent encoder's states vary little and their covariances are divided by
    four times the squared number of features, so at the classifiers' strength the gradient would
    be a hundred-thousandth of the task's. With this one it is about a third of it at the start of
    fine-tuning on Tagalog verses (a parent of 128 features, the norm over the encoder's weights).
    """

    strength = 3e4
