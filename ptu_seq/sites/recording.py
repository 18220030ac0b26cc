"""What a source's modules returned while it read one batch."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from torch import Tensor, nn

from ptu_seq.sites.activations import first_hidden_state


class Recording:
    """The sources' activations on one batch, by site, in the order in which a site was reached.

    A module that a network calls several times has an activation for each call; the target's first
    call is given the source's first, and so on.

    Args:
        sources: how many networks are recorded.
    """

    def __init__(self, sources: int = 1) -> None:
        self.activations: list[dict[str, list[Tensor]]] = [
            defaultdict(list) for _ in range(sources)
        ]
        self._given: dict[str, int] = defaultdict(int)

    def next(self, site: str) -> list[Tensor]:
        """The activation of each source for the target's next call of the module at a site.

        Raises:
            RuntimeError: if the target calls its module more often than a source its own.
        """
        call = self._given[site]
        for recorded in self.activations:
            if call >= len(recorded[site]):
                raise RuntimeError(
                    f"The target runs {site!r} more than the {len(recorded[site])} time(s) that "
                    "the source runs its counterpart on the same batch; units can only sit where "
                    "both run alike."
                )
        self._given[site] += 1
        return [recorded[site][call] for recorded in self.activations]

    def again(self, site: str) -> list[Tensor]:
        """The activations for a module that gradient checkpointing runs once more.

        Raises:
            RuntimeError: if the module was called several times, as it is then unknown which of
                its calls is run again.
        """
        if self._given[site] != 1:
            raise RuntimeError(
                f"Gradient checkpointing runs {site!r} again, which the network calls "
                f"{self._given[site]} times; put the unit on a module that is called once."
            )
        return [recorded[site][0] for recorded in self.activations]

    @property
    def is_empty(self) -> bool:
        """Whether the activations have been freed."""
        return not any(self.activations)

    def clear(self) -> None:
        """Frees the activations."""
        for recorded in self.activations:
            recorded.clear()


class Recorder:
    """The forward hook of a source's module: notes what it returned, while there is a recording.

    Args:
        site: the name of the place in the target.
    """

    def __init__(self, site: str) -> None:
        self.site = site
        self.activations: dict[str, list[Tensor]] | None = None

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """What torch calls after the module."""
        if self.activations is not None:
            activation = first_hidden_state(output)
            if activation is not None:
                # Detached: no gradient reaches the source even if its weights were thawed.
                self.activations[self.site].append(activation.detach())
