"""What all configurations share: the number of their format, see :mod:`ptu_seq.formats`."""

from __future__ import annotations

from typing import Any, Self

from transformers import PreTrainedConfig

from ptu_seq import formats


class VersionedConfig(PreTrainedConfig):
    """A configuration whose file tells its format, and that refuses a newer one."""

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Self:
        """The configuration that a file holds, checked before any of its fields is.

        Args:
            config_dict: the file's content.
            **kwargs: those of transformers' `from_dict`.

        Raises:
            ValueError: if this version cannot read it.
        """
        refusal = formats.MODEL.refusal(config_dict)
        if refusal is not None:
            raise ValueError(f"The model {refusal}.")
        fields = {name: value for name, value in config_dict.items() if name != formats.KEY}
        return super().from_dict(fields, **kwargs)

    def to_diff_dict(self) -> dict[str, Any]:
        """What a file holds: the fields that differ from transformers' own, and the format."""
        return {**super().to_diff_dict(), formats.KEY: formats.MODEL.stamp()}
