"""Saving, loading and verifying models that hold a frozen source."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable
from typing import Any, ClassVar, Generic, Self, TypeVar

from torch import Tensor
from transformers import PreTrainedModel

from ptu_seq.errors import closest
from ptu_seq.models.config import LabelledConfig
from ptu_seq.models.safetensors_model import SafetensorsModel
from ptu_seq.source import FrozenSource, content_hash

Network = TypeVar("Network", bound=PreTrainedModel)
#: A source network, or the folder or hub name to load it from.
GivenSource = PreTrainedModel | str | os.PathLike[str]


def describe_source(network: PreTrainedModel) -> dict[str, Any]:
    """The fields of a configuration that tell of a source: shape, labels, type and hash."""
    config: Any = network.config
    described = {**config.shape, "dtype": str(network.dtype).removeprefix("torch.")}
    if isinstance(config, LabelledConfig):
        labels = enumerate(config.label_names)
        described["id2label"] = {str(i): label for i, label in labels}  # as in JSON
    return {"source_network": described, "source_hash": content_hash(network)}


def check_names(owner: type, what: str, given: Iterable[str], accepted: Iterable[str]) -> None:
    """Raises ValueError, suggesting the closest, for a name that is not accepted."""
    for name in given:
        if name not in accepted:
            raise ValueError(
                f"{owner.__name__}: {name!r} is no {what}{closest(name, accepted)}; "
                f"accepted are {', '.join(accepted)}."
            )


class ModelWithSource(SafetensorsModel, Generic[Network]):
    """A model that holds a frozen network as `source`: saving, loading and verifying it.

    The configuration records the content hash of the source's weights and their type. A saved
    model is self-contained, or leaves the source out and asks for it on loading. A subclass names
    the source's class, and its configuration has `source_config`, `source_hash` and
    `include_source`.
    """

    source_class: ClassVar[Any]  # whose from_pretrained loads one
    config: Any
    source: FrozenSource[Network]

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        if not config.include_source:
            self._keys_to_ignore_on_load_missing = [r"^source\."]

    def save_pretrained(  # type: ignore[override]
        self,
        save_directory: str | os.PathLike[str],
        *,
        include_source: bool = True,
        state_dict: dict[str, Tensor] | None = None,
        **kwargs: Any,
    ) -> None:
        """Saves the model; without `include_source` only the hash of the source's weights.

        Args:
            save_directory: the folder.
            include_source: whether the file holds the source's weights as well; else
                `from_pretrained` asks for them.
            state_dict: the weights to save; the model's own if None.
            **kwargs: those of transformers' `save_pretrained`.
        """
        own, config = self.config, copy.deepcopy(self.config)
        config.include_source = include_source
        if not include_source:
            weights = self.state_dict() if state_dict is None else state_dict
            state_dict = {name: w for name, w in weights.items() if not name.startswith("source.")}
        elif self._source_was_cast():
            config.update(self._describe_source())
        self.config = config  # it describes the folder, not this object
        try:
            super().save_pretrained(save_directory, state_dict=state_dict, **kwargs)
        finally:
            self.config = own

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *args: Any,
        source: GivenSource | None = None,
        **kwargs: Any,
    ) -> Self:
        """Loads a saved model and verifies its source.

        Args:
            pretrained_model_name_or_path: folder or hub name.
            *args: those of transformers' `from_pretrained`.
            source: the source network, or its folder or hub name: needed where the model was saved
                with `include_source=False`.
            **kwargs: those of transformers' `from_pretrained`.

        Returns:
            The model; with `output_loading_info=True` a pair of the model and the information.

        Raises:
            ValueError: if the source is missing, or is not the one that the model was trained with.
        """
        loaded = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        model._receive_source(source, f"The model {pretrained_model_name_or_path}")
        model.requires_grad_()  # what the file lacked was made anew, and the source not frozen
        return loaded

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Sets whether the parameters take gradients; those of the source never do."""
        super().requires_grad_(requires_grad)
        self.source.requires_grad_(False)
        return self

    def _describe_source(self) -> dict[str, Any]:
        """What the configuration says of the source's network as it is now."""
        return describe_source(self.source.network)

    def _receive_source(self, given: GivenSource | None, name: str) -> None:
        if given is None and not self.config.include_source:
            raise ValueError(
                f"{name} was saved without its source (include_source=False): pass the source "
                "network or its folder, from_pretrained(..., source=...)."
            )
        if given is None:
            if not self._source_was_cast():  # else the hash cannot be compared
                self._verify(self.source.network, f"{name} holds")
            return
        if isinstance(given, PreTrainedModel):
            network = given
        else:
            network = self.source_class.from_pretrained(
                given, use_safetensors=True, trust_remote_code=False
            )
        self._verify(network, f"{name} was given")
        self.source.network.load_state_dict(network.state_dict())

    def _verify(self, network: PreTrainedModel, what: str) -> None:
        found, recorded = content_hash(network), self.config.source_hash
        if recorded is not None and found != recorded:
            raise ValueError(
                f"{what} a source with the content hash {found} ({network.dtype}), but it was "
                f"trained with the source {recorded} ({self.config.source_config.dtype})."
            )

    def _source_was_cast(self) -> bool:
        weights = next(self.source.network.parameters(), None)  # a collapsed model may have none
        return weights is not None and self.source.network.dtype != self.config.source_config.dtype
