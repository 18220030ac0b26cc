"""The data of a transfer study where the source's training rows do not fit into memory."""

from __future__ import annotations

from collections.abc import Sequence

from ptu_seq.data.streams import ClassificationStream, stream_classification
from ptu_seq.data.streams.classification import hashes_of_test
from ptu_seq.data.streams.sampling import SAMPLE_ROWS
from ptu_seq.errors import UserError
from ptu_seq.jobs import Size
from ptu_seq.transfer_data import (
    TransferData,
    check_columns,
    check_sizes,
    check_target,
    short_name,
)


def stream_transfer_data(
    source: str | None, targets: Sequence[str], sizes: Sequence[Size]
) -> TransferData:
    """Opens the data sets of a study: see :func:`ptu_seq.transfer_data.load_transfer_data`.

    Args:
        source: what :func:`ptu_seq.data.load_classification` knows the source by; None where a
            pretrained encoder is the source.
        targets: the same of the targets. Of their training rows a random sample is kept, from
            which the examples of all sizes are drawn.
        sizes: training examples that will be taken of every target.

    Raises:
        UserError: if a data set cannot be used as what it was given for.
    """
    opened: dict[str, ClassificationStream] = {}
    digests: dict[str, str] = {}
    for name in targets:
        target = stream_classification(name)
        check_target(name, target.digest, (), digests)
        _check_sizes(target, sizes)
        opened[short_name(name)] = target
        digests[short_name(name)] = target.digest
    by_name = {name: target.dataset for name, target in opened.items()}
    if source is None:
        return TransferData(None, by_name, [], digests)
    tests = {name: hashes_of_test(target) for name, target in by_name.items()}
    streamed = stream_classification(source, tests)
    for given, target in zip(targets, opened.values(), strict=True):
        check_target(given, target.digest, (streamed.digest,), {short_name(source): ""})
        check_columns(target.dataset, streamed.dataset)
    return TransferData(
        streamed.dataset,
        by_name,
        streamed.left_out,
        {short_name(source): streamed.digest, **digests},
        streamed.rows,
    )


def _check_sizes(target: ClassificationStream, sizes: Sequence[Size]) -> None:
    check_sizes(target.dataset, sizes)
    if "all" in sizes and not target.is_whole:
        raise UserError(
            f"--sizes all: {target.dataset.name!r} has more than the {SAMPLE_ROWS:,} training "
            "examples that --streaming draws from; give numbers, or leave --streaming out."
        )
