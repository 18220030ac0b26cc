"""What collapsed models have in common: they alone hold what is left of a source."""

from __future__ import annotations

import os
from typing import Any, ClassVar, NoReturn

from ptu_seq.models.with_source import GivenSource, ModelWithSource


class HoldsWhatIsLeft(ModelWithSource):
    """A model that is saved and loaded with what is left of its source.

    A subclass names the call that makes one.
    """

    made_by: ClassVar[str]

    @classmethod
    def from_source(cls, *_: Any, **__: Any) -> NoReturn:
        """Raises TypeError: the model that is made from a source is the whole one."""
        whole = cls.__name__.removeprefix("Collapsed")
        raise TypeError(f"{cls.__name__} is made by {cls.made_by} from a trained {whole}.")

    def save_pretrained(  # type: ignore[override]
        self, save_directory: str | os.PathLike[str], *, include_source: bool = True, **kwargs: Any
    ) -> None:
        """Saves the model, always with what is left of its source.

        Raises:
            ValueError: with `include_source=False`.
        """
        if not include_source:
            raise ValueError(
                "A collapsed model holds layers of its source that lie nowhere else; it is saved "
                "with include_source=True."
            )
        super().save_pretrained(save_directory, **kwargs)

    def _receive_source(self, given: GivenSource | None, name: str) -> None:
        if given is not None:
            raise ValueError(f"{name} was collapsed and holds its source: pass none.")
        super()._receive_source(given, name)
