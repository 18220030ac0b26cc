"""The flags that recipes have for data larger than memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from ptu_seq.data.streams.sampling import SAMPLE_ROWS
from ptu_seq.errors import UserError
from ptu_seq.ranges import Checked, Range

#: Rows that are shuffled together, unless the flag says otherwise.
SHUFFLE_BUFFER = 10_000


@dataclass
class StreamingArguments(Checked):
    """Data larger than memory."""

    _argument_group_name: ClassVar[str] = "streaming"

    streaming: bool = field(
        default=False,
        metadata={
            "help": "read training rows as they are needed instead of keeping them in memory. A "
            "vocabulary is then trained on, and a target's examples are drawn from, a random "
            f"sample of {SAMPLE_ROWS:,} rows; splits that are missing are drawn by a hash of each "
            "row's text, not stratified; training rows that repeat each other are kept"
        },
    )
    shuffle_buffer: Annotated[int, Range(1)] = field(
        default=SHUFFLE_BUFFER,
        metadata={
            "help": "rows that are shuffled together with --streaming: more need more memory, "
            "fewer mix worse where neighbours in the file are alike"
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shuffle_buffer != SHUFFLE_BUFFER and not self.streaming:
            raise UserError(
                f"--shuffle_buffer {self.shuffle_buffer} does nothing without --streaming, as "
                "rows in memory are all shuffled together."
            )

    @property
    def buffer(self) -> int | None:
        """Rows that are shuffled together; None where all are in memory."""
        return self.shuffle_buffer if self.streaming else None

    def configuration(self) -> dict[str, Any]:
        """What of it belongs to a study's configuration: nothing where data is in memory."""
        return {"shuffle_buffer": self.shuffle_buffer} if self.streaming else {}
