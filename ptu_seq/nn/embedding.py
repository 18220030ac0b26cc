"""PTUEmbedding: word vectors gated by those of a frozen, trained embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, Unpack

import torch
from torch import Tensor, nn

from ptu_seq.nn.frozen import (
    Init,
    OwnsSource,
    check_equal,
    check_init,
    check_source,
    frozen_copy,
    place_of,
)
from ptu_seq.nn.gated import OnGates
from ptu_seq.nn.options import PlacedUnitOptions, UnitOptions
from ptu_seq.unit import PTU, Pin, PTUGates


class EmbeddingOptions(PlacedUnitOptions, total=False):
    """What `from_source` accepts beside the source, where it shall differ from the source's."""

    num_embeddings: int
    embedding_dim: int
    padding_idx: int | None


class TargetEmbedding(nn.Module):
    """A target embedding and its unit: the shared base of the two classes below."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        source_embedding_dim: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **unit_options: Unpack[UnitOptions],
    ) -> None:
        super().__init__()
        # Made before the unit, so that a seed gives it the weights it gives torch's own class.
        self.target = nn.Embedding(
            num_embeddings, embedding_dim, padding_idx, device=device, dtype=dtype
        )
        self.unit = PTU(
            source_embedding_dim, embedding_dim, **unit_options, device=device, dtype=dtype
        )

    def pin(self, state: Pin) -> Self:
        """Pins the unit: see :meth:`ptu_seq.PTU.pin`. Returns the embedding."""
        self.unit.pin(state)
        return self

    def unpin(self) -> Self:
        """Lets the unit's gates act again. Returns the embedding."""
        self.unit.unpin()
        return self

    def _gate(
        self,
        ids: Tensor,
        source_vectors: Tensor,
        known: Tensor | None,
        on_gates: OnGates | None = None,
    ) -> Tensor:
        t = self.target(ids)
        if self.target.padding_idx is not None:
            padding = ids == self.target.padding_idx
            known = ~padding if known is None else known & ~padding
        gated = None if known is None else known.unsqueeze(-1)
        if on_gates is None:
            h = self.unit(source_vectors, t)
        else:
            h, gates = self.unit(source_vectors, t, return_gates=True)
            update = gates.update if gated is None else gates.update.masked_fill(~gated, 0)
            on_gates("embedding", PTUGates(gates.fine_tune, update))
        return h if gated is None else torch.where(gated, h, t)


class GatedEmbedding(TargetEmbedding):
    """An embedding gated by the source's vectors of the same tokens, which are given as data.

    Args:
        num_embeddings: number of tokens.
        embedding_dim: features of a vector.
        padding_idx: the padding token, whose vector stays the target's, zero, and untrained.
        source_embedding_dim: features of the source's vectors.
        device: where the parameters are made.
        dtype: their type.
        **unit_options: `candidate`, `candidate_init`, `gate_dropout` and the gates' biases of the
            unit, see :class:`ptu_seq.PTU`.

    Shape:
        - ids, known: `(...)`; source_vectors: `(..., source_embedding_dim)`
        - output: `(..., embedding_dim)`

    Example:
        >>> embedding = GatedEmbedding(10, 4, padding_idx=0, source_embedding_dim=5)
        >>> embedding(torch.tensor([[3, 1, 0]]), torch.randn(1, 3, 5)).shape
        torch.Size([1, 3, 4])
    """

    def forward(
        self,
        ids: Tensor,
        source_vectors: Tensor,
        known: Tensor | None = None,
        *,
        on_gates: OnGates | None = None,
    ) -> Tensor:
        """The gated vectors.

        Args:
            ids: target tokens.
            source_vectors: the source's vector of each.
            known: false where the source has none: there the target's vector stands alone.
            on_gates: called with "embedding" and the unit's gates, `(..., embedding_dim)`; the
                update gate is 0 where the target's vector stands alone.

        Raises:
            ValueError: for axes that do not fit.
        """
        if known is not None and known.shape != ids.shape:
            raise ValueError(
                f"GatedEmbedding: the axes of known are {tuple(known.shape)} and those of ids "
                f"{tuple(ids.shape)}; they must be equal."
            )
        return self._gate(ids, source_vectors, known, on_gates)


class PTUEmbedding(OwnsSource, TargetEmbedding):
    r"""A torch.nn.Embedding beside a frozen, trained one, joined by a Parameter Transfer Unit.

    Every token's vector is `unit(source's vector, target's vector)`; where the source does not
    know the token, and for padding, it is the target's vector, whatever the unit is pinned to.

    Reconstruction of Zhang, Zhang & Yang (PAKDD 2019) from its abstract.

    Args:
        num_embeddings: number of target tokens.
        embedding_dim: features of a vector.
        padding_idx: the padding token, whose vector stays the target's, zero, and untrained.
        source: the trained torch.nn.Embedding; it is copied.
        mapping: the source's id of every target token, -1 where it has none; None if both share
            one vocabulary.
        device: where both twins are placed; the source's device if None.
        dtype: their type; the source's if None.
        **unit_options: `candidate`, `candidate_init`, `gate_dropout` and the gates' biases of the
            unit, see :class:`ptu_seq.PTU`.

    Shape:
        - ids: `(...)`; output: `(..., embedding_dim)`

    Raises:
        ValueError: for a source that is not a trained torch.nn.Embedding, or a mapping that does
            not fit both vocabularies.

    Example:
        >>> source = nn.Embedding(100, 8)  # trained elsewhere
        >>> embedding = PTUEmbedding(4, 6, padding_idx=0, source=source, mapping=[0, 17, -1, 5])
        >>> embedding(torch.tensor([[1, 2, 3, 0]])).shape
        torch.Size([1, 4, 6])
    """

    source: nn.Embedding
    mapping: Tensor

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        source: nn.Embedding,
        mapping: Tensor | Sequence[int] | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **unit_options: Unpack[UnitOptions],
    ) -> None:
        owner = type(self).__name__
        check_source(owner, source, nn.Embedding)
        frozen = frozen_copy(source).to(device=device, dtype=dtype)
        super().__init__(
            num_embeddings,
            embedding_dim,
            padding_idx,
            source_embedding_dim=source.embedding_dim,
            **unit_options,
            **place_of(frozen),
        )
        if mapping is None:
            check_equal(f"{owner} without a mapping", source, self.target, "num_embeddings")
            mapping = range(num_embeddings)
        self.source = frozen
        self.register_buffer("mapping", _checked(owner, mapping, self.target, frozen))

    @classmethod
    def from_source(
        cls,
        source: nn.Embedding,
        init: Init = "source",
        mapping: Tensor | Sequence[int] | None = None,
        **options: Unpack[EmbeddingOptions],
    ) -> Self:
        """Makes an embedding for the tokens of a mapping, or those of the source.

        Args:
            source: the trained embedding; it is copied, and itself left as it is.
            init: "source" starts the target's vectors from the source's, but those of tokens that
                the source does not know at random; "random" starts all at random.
            mapping: see the class.
            **options: any argument of the class, where it shall differ from the source's; at
                `init="source"` the dimension may not. With a mapping, `padding_idx` has to be
                given: the source's says nothing about the target's tokens.

        Raises:
            ValueError: for an unknown `init`, a source or a mapping that does not fit.
        """
        check_init(cls.__name__, init)
        check_source(cls.__name__, source, nn.Embedding)
        options.setdefault("embedding_dim", source.embedding_dim)
        if mapping is None:
            options.setdefault("num_embeddings", source.num_embeddings)
            options.setdefault("padding_idx", source.padding_idx)
        else:
            options.setdefault("num_embeddings", len(mapping))
        embedding = cls(**options, source=source, mapping=mapping)
        if init == "source":
            check_equal(cls.__name__, source, embedding.target, "embedding_dim")
            embedding._copy_source()
        return embedding

    def forward(self, ids: Tensor) -> Tensor:
        """The gated vectors of target tokens."""
        source_ids = self.mapping[ids]
        with torch.no_grad():
            s = self.source(source_ids.clamp(min=0))
        return self._gate(ids, s, source_ids >= 0)

    @torch.no_grad()
    def _copy_source(self) -> None:
        known = self.mapping >= 0
        if self.target.padding_idx is not None:
            known[self.target.padding_idx] = False
        self.target.weight[known] = self.source.weight[self.mapping[known]]


def _checked(
    owner: str, mapping: Tensor | Sequence[int], target: nn.Embedding, source: nn.Embedding
) -> Tensor:
    mapping = torch.as_tensor(mapping, device=target.weight.device).clone()
    if mapping.is_floating_point() or mapping.dtype is torch.bool:
        raise ValueError(f"{owner}: the mapping is of type {mapping.dtype}; integers expected.")
    if mapping.shape != (target.num_embeddings,):
        raise ValueError(
            f"{owner}: the mapping has shape {tuple(mapping.shape)}; one source id for each of "
            f"the {target.num_embeddings} target tokens expected."
        )
    low, high = int(mapping.min()), int(mapping.max())
    if low < -1 or high >= source.num_embeddings:
        raise ValueError(
            f"{owner}: the mapping holds {low if low < -1 else high}; the source has "
            f"{source.num_embeddings} tokens, so -1 to {source.num_embeddings - 1} are accepted."
        )
    return mapping.long()
