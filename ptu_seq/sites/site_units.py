"""Which unit a site needs, by the activations that meet there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

from torch import Tensor, nn

from ptu_seq.feature_maps import FeatureMapPTU, GatesPer
from ptu_seq.linear_units import LinearUnit
from ptu_seq.multi_source import MultiSourcePTU
from ptu_seq.nn.options import UnitOptions
from ptu_seq.sites.activations import feature_axis
from ptu_seq.unit import PTU

FeatureAxis = Literal["auto", "last", "second"]
"""Which axis of an activation holds the features."""

SiteUnit = PTU | MultiSourcePTU | LinearUnit
"""What may sit at a site."""


def make_unit(
    site: str,
    module: nn.Module,
    sources: Sequence[Sequence[Tensor]],
    target: Sequence[Tensor],
    features: FeatureAxis,
    gates_per: GatesPer,
    options: UnitOptions,
    linear: type[LinearUnit] | None = None,
) -> SiteUnit:
    """The unit for a site.

    Args:
        site: its name in the target.
        module: the target's module there.
        sources: of each source, its activation at each of its calls of the site.
        target: the target's, likewise.
        features: which axis holds the features.
        gates_per: of feature maps.
        options: of the units.
        linear: makes a unit that mixes by constants, which has no options.

    Raises:
        ValueError: if the activations cannot meet, or an option has no such value.
    """
    if features not in get_args(FeatureAxis):
        raise ValueError(
            f"attach: features is {features!r}; accepted are {', '.join(get_args(FeatureAxis))}."
        )
    meetings = [_meet(site, module, source, target, features) for source in sources]
    placed: dict[str, Any] = {"device": target[0].device, "dtype": target[0].dtype, **options}
    if linear is not None:
        if len(sources) > 1 or options:
            raise ValueError(
                f"attach: {linear.__name__} mixes one source with the target, by constants; give "
                "one source and no options of gates."
            )
        source_size, target_size, axis = meetings[0]
        return linear(source_size, target_size, axis=axis, **placed)
    units = [
        PTU(source_size, target_size, **placed)
        if axis == -1
        else FeatureMapPTU(source_size, target_size, gates_per=gates_per, **placed)
        for source_size, target_size, axis in meetings
    ]
    return units[0] if len(units) == 1 else MultiSourcePTU(units)


def _meet(
    site: str,
    module: nn.Module,
    source: Sequence[Tensor],
    target: Sequence[Tensor],
    features: FeatureAxis,
) -> tuple[int, int, int]:
    """The source's and the target's features, and their axis, counted from the end."""
    if len(source) != len(target):
        raise ValueError(
            f"attach: the target runs {site!r} {len(target)} time(s) and the source its "
            f"counterpart {len(source)} time(s); units can only sit where both run alike."
        )
    kinds = set()
    for s, t in zip(source, target, strict=True):
        axis = {"auto": feature_axis(module, t), "last": -1, "second": 1 - t.dim()}[features]
        _check_axes(site, s, t, axis)
        kinds.add((s.shape[axis], t.shape[axis], axis))
    if len(kinds) > 1:
        widths = ", ".join(str(width) for _, width, _ in sorted(kinds))
        raise ValueError(
            f"attach: the network runs {site!r} several times, with {widths} features; put the "
            "unit on a module that has one place in the network."
        )
    return kinds.pop()


def _check_axes(site: str, s: Tensor, t: Tensor, axis: int) -> None:
    where = t.dim() + axis
    own, theirs = ([n for i, n in enumerate(x.shape) if i != where] for x in (t, s))
    if s.dim() != t.dim() or own != theirs:
        raise ValueError(
            f"attach: at {site!r} the source's activation is {tuple(s.shape)} and the target's "
            f"{tuple(t.shape)}; they must agree in all axes but the features (axis {where})."
        )
