"""The corpora of a translation study where the parent's pairs do not fit into memory."""

from __future__ import annotations

from collections.abc import Sequence

from ptu_seq.data.streams import TranslationStream, stream_translation
from ptu_seq.data.streams.sampling import SAMPLE_ROWS
from ptu_seq.data.streams.translation import held_out_hashes
from ptu_seq.errors import UserError
from ptu_seq.jobs import Size
from ptu_seq.translation.corpora import Corpora, check_sizes, distinct_digests, each_source


def stream_corpora(
    parent: str,
    children: Sequence[str],
    source_langs: Sequence[str] | None,
    target_lang: str | None,
    sizes: Sequence[Size],
) -> Corpora:
    """Opens the data sets of a study: see :func:`ptu_seq.translation.corpora.load_corpora`.

    Of a child's training pairs a random sample is kept, from which those of all sizes are drawn.

    Raises:
        UserError: if a data set cannot be used as what it was given for.
    """
    parent_lang, *child_langs = each_source(source_langs, 1 + len(children))
    streamed = [
        stream_translation(name, language, target_lang)
        for name, language in zip(children, child_langs, strict=True)
    ]
    for child in streamed:
        _check_sizes(child, sizes)
    held_out = {child.dataset.name: held_out_hashes(child.dataset) for child in streamed}
    learned = stream_translation(parent, parent_lang, target_lang, held_out)
    digests = distinct_digests([(opened.dataset, opened.digest) for opened in (learned, *streamed)])
    parent_name, *names = digests
    return Corpora(
        learned.dataset,
        parent_name,
        {name: child.dataset for name, child in zip(names, streamed, strict=True)},
        learned.left_out,
        digests,
        learned.rows,
    )


def _check_sizes(child: TranslationStream, sizes: Sequence[Size]) -> None:
    check_sizes(child.dataset, sizes)
    if "all" in sizes and not child.is_whole:
        raise UserError(
            f"--sizes all: {child.dataset.name!r} has more than the {SAMPLE_ROWS:,} training pairs "
            "that --streaming draws from; give numbers, or leave --streaming out."
        )
