"""What is left of two networks where units are pinned for good, and the configuration that says it.

A unit that is pinned reads one side alone, so what only the other side needs can go: gates, the
activations that they would mix, and all layers below that nothing else reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from ptu_seq.models.config import PTUConfig, RNNConfig, Site
from ptu_seq.models.pinned import checked_pins
from ptu_seq.nn.collapsed import is_lent
from ptu_seq.unit import Pin

States = Mapping[str, Pin | None]
"""What each site's unit is pinned to, None where its gates act."""


class CollapsedConfig(PTUConfig):
    """Shape of a :class:`~ptu_seq.models.CollapsedPTUForSequenceClassification`.

    `target_network` and `source_network` are those of the model that was collapsed; which parts of
    them are left follows from `pinned`. `source_hash` is of what is left of the source.

    Args:
        pinned: what units are pinned to for good, "target", "frozen" or "adapted", by their place:
            "embedding", "layer0.forward", "layer0.reverse", ..., "classifier".
        **kwargs: fields of :class:`PTUConfig`.

    Raises:
        ValueError: for a place that the networks do not have, or another state.
    """

    model_type = "ptu_seq_collapsed"

    pinned: dict[str, Pin] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        self.pinned = checked_pins(self.pinned, places(self))

    @property
    def parts(self) -> Parts:
        """What is left of both networks."""
        pinned = self.pinned or {}
        states = {place: pinned.get(place, _by_default(self, place)) for place in places(self)}
        return Parts.of(states, self.target_config)


@dataclass(frozen=True)
class Parts:
    """What something reads of two networks with units between them.

    Attributes:
        states: of every site that something reads.
        layers: those of the recurrent layers that are left, by direction, the lowest one first;
            empty where the target network is gone.
        first: the number of the lowest of them.
        source_layers: how many of the source's recurrent layers are left.
    """

    states: States
    layers: tuple[tuple[Pin | None, ...], ...]
    first: int
    source_layers: int

    @classmethod
    def of(cls, states: States, config: RNNConfig) -> Parts:
        """Of networks whose units all are in these states.

        Args:
            states: of every site: see :func:`places`.
            config: either network's configuration.
        """
        depth = config.num_hidden_layers
        head = states["classifier"]
        if head in ("frozen", "adapted"):
            return cls({"classifier": head}, (), depth, depth)
        layers = [tuple(states[place] for place in layer) for layer in layer_places(config)]
        first = max((i for i, layer in enumerate(layers) if is_lent(layer)), default=0)
        kept = tuple(layers[first:])
        read = [place for layer in layer_places(config)[first:] for place in layer]
        if not is_lent(kept[0]):
            read = ["embedding", *read]
        reading = [first + i for i, layer in enumerate(kept) if reads_source(layer)]
        source_layers = depth if head is None else max((i + 1 for i in reading), default=0)
        return cls({p: states[p] for p in [*read, "classifier"]}, kept, first, source_layers)

    @property
    def has_target(self) -> bool:
        """Whether any of the target network is left."""
        return bool(self.layers)

    @property
    def pools_source(self) -> bool:
        """Whether something reads the source's pooled hidden states."""
        return self.states["classifier"] != "target"


def reads_source(states: Iterable[Pin | None]) -> bool:
    """Whether units in these states read the source's activation."""
    return any(state != "target" for state in states)


def layer_places(config: RNNConfig) -> list[list[str]]:
    """The places of units after recurrent layers, layer by layer, by direction."""
    directions = ("forward", "reverse") if config.bidirectional else ("forward",)
    return [[f"layer{i}.{d}" for d in directions] for i in range(config.num_hidden_layers)]


def places(config: PTUConfig) -> list[str]:
    """The places of all units, from the token vectors upwards."""
    recurrent = [place for layer in layer_places(config.target_config) for place in layer]
    return ["embedding", *recurrent, "classifier"]


def site_of(place: str) -> Site:
    """What a configuration calls the kind of a place.

    Example:
        >>> site_of("layer1.reverse"), site_of("embedding")
        ('rnn', 'embedding')
    """
    return "rnn" if place.startswith("layer") else cast(Site, place)


def _by_default(config: PTUConfig, place: str) -> Pin | None:
    """Gates act at the configuration's sites; the others are the target's."""
    return None if site_of(place) in config.sites else "target"
