"""What configurations of collapsed models say: which units are pinned for good."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

from transformers import PreTrainedConfig

from ptu_seq.models.config import check_choice
from ptu_seq.unit import PTU, Pin


def checked_pins(pinned: Mapping[str, Pin] | None, places: Iterable[str]) -> dict[str, Pin]:
    """What units are pinned to by their place.

    Args:
        pinned: as a configuration's file has it.
        places: of all units.

    Raises:
        ValueError: for a place that the networks do not have, or another state.
    """
    known, pins = tuple(places), dict(pinned or {})
    for place, state in pins.items():
        check_choice("a place in pinned", place, known)
        check_choice(f"pinned[{place!r}]", state, get_args(Pin))
    return pins


def pinned_fields(
    config: Any, units: Mapping[str, PTU], site_of: Callable[[str], str]
) -> dict[str, Any]:
    """The fields of a configuration with the units pinned for good that are pinned now.

    Args:
        config: the whole model's.
        units: the model's, by their place.
        site_of: what a configuration calls the kind of a place.
    """
    # A unit may have been unpinned at a site that was left out.
    gated = (site_of(place) for place, unit in units.items() if not unit.pinned)
    return {
        **own_fields(config),
        "sites": list(dict.fromkeys([*config.sites, *gated])),
        "pinned": {place: unit.pinned for place, unit in units.items() if unit.pinned},
    }


def own_fields(config: PreTrainedConfig) -> dict[str, Any]:
    """The fields of a configuration, without what names its class and what wrote it."""
    fields = config.to_dict()
    for name in ("model_type", "architectures", "transformers_version", "dtype"):
        fields.pop(name, None)
    return fields
