"""A target network with units: the sources beside it, and what can be done with all of them."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from ptu_seq.linear_units import LinearUnit
from ptu_seq.multi_source import MultiSourcePTU
from ptu_seq.nn.gated import OnGates
from ptu_seq.sites.activations import first_hidden_state, with_hidden_state
from ptu_seq.sites.recording import Recording
from ptu_seq.sites.site_units import SiteUnit
from ptu_seq.sites.source_network import SourceNetwork
from ptu_seq.source import content_hash
from ptu_seq.unit import PTU, Pin

NAME = "ptu"
"""The attribute of a target that holds its :class:`Attachment`."""


class Attachment(nn.Module):
    """The units of a target network, and the frozen sources that they draw on.

    :func:`~ptu_seq.sites.attach` makes it and puts it into the target as its module `ptu`, so that
    the units move, train and are saved with the target. The sources move with it too, but their
    weights are no part of the target's state dict.

    Args:
        source_networks: the networks that lend their activations, all at the same sites.
        units: a unit for each site, by its name in the target: a :class:`~ptu_seq.PTU`, or with
            several sources a :class:`~ptu_seq.MultiSourcePTU`, or one that mixes by constants.
    """

    def __init__(
        self,
        source_networks: Sequence[SourceNetwork],
        units: Mapping[str, SiteUnit],
    ) -> None:
        super().__init__()
        self.units = nn.ModuleDict({_key(site): unit for site, unit in units.items()})
        self.source_networks: Sequence[SourceNetwork] = nn.ModuleList(  # type: ignore[assignment]
            source_networks
        )
        self.on_gates: OnGates | None = None
        self._places = [_Place(self, site) for site in units]
        self._running: Recording | None = None  # of the forward pass that is under way
        self._kept: weakref.WeakSet[Recording] = weakref.WeakSet()  # by the graph, for backward
        self._hooks: list[Any] = []

    def connect(self, target: nn.Module) -> None:
        """Puts this into a target: from now on its forward pass is gated."""
        setattr(target, NAME, self)
        for source in self.source_networks:
            source.connect()
        for place in self._places:
            module = target.get_submodule(place.site)
            self._hooks.append(module.register_forward_hook(place.gate))
        self._hooks.append(target.register_forward_pre_hook(self._begin, with_kwargs=True))
        self._hooks.append(target.register_forward_hook(self._end, always_call=True))

    def disconnect(self, target: nn.Module) -> None:
        """Takes this out of its target again, which is then the network that it was."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        for source in self.source_networks:
            source.disconnect()
        delattr(target, NAME)

    def forward(self, x: Any) -> Any:
        """Nothing; nn.Sequential runs all its children, so this one too."""
        return x

    @property
    def sites(self) -> list[str]:
        """Names of the target's modules that have a unit, in the target's order."""
        return [place.site for place in self._places]

    @property
    def sources(self) -> list[nn.Module]:
        """The frozen networks."""
        return [source.frozen.network for source in self.source_networks]

    def unit(self, site: str) -> SiteUnit:
        """The unit at a site.

        Raises:
            KeyError: if none sits there.
        """
        unit = self.units[_key(site)]
        assert isinstance(unit, (PTU, MultiSourcePTU, LinearUnit))
        return unit

    def named_units(self) -> Iterator[tuple[str, SiteUnit]]:
        """Every unit, with the name of its site in the target."""
        return ((site, self.unit(site)) for site in self.sites)

    def pin(self, state: Pin, source: int | None = None) -> Self:
        """Pins every unit.

        Args:
            state: see :meth:`ptu_seq.PTU.pin`.
            source: the number of the source, where there are several and the state is not "target".

        Raises:
            ValueError: for another state or source.
        """
        for _, unit in self.named_units():
            if isinstance(unit, MultiSourcePTU):
                unit.pin(state, source)
            elif source in (None, 0):
                unit.pin(state)
            else:
                raise ValueError(f"Attachment: there is one source, numbered 0, and no {source}.")
        return self

    def unpin(self) -> Self:
        """Lets all gates act."""
        for _, unit in self.named_units():
            unit.unpin()
        return self

    @contextmanager
    def pinned(self, state: Pin, source: int | None = None) -> Iterator[Self]:
        """All units pinned inside the `with` block, and afterwards as they were before."""
        before: list[tuple[Any, Any]] = [(unit, unit.pinned) for _, unit in self.named_units()]
        try:
            yield self.pin(state, source)
        finally:
            for unit, pinned in before:
                unit.pinned = pinned

    @contextmanager
    def reporting(self, on_gates: OnGates) -> Iterator[Self]:
        """Calls `on_gates(site, gates)` for each unit that acts inside the `with` block."""
        before, self.on_gates = self.on_gates, on_gates
        try:
            yield self
        finally:
            self.on_gates = before

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Sets it for the units; the sources stay without gradients."""
        self.units.requires_grad_(requires_grad)
        return self

    def save(self, folder: str | Path) -> None:
        """Writes the units' weights (`units.safetensors`) and what they belong to (`units.json`).

        Args:
            folder: where; made if need be.
        """
        from safetensors.torch import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: x.detach().contiguous() for name, x in self.units.state_dict().items()}
        save_file(weights, folder / "units.safetensors")
        (folder / "units.json").write_text(
            json.dumps(self._description(), indent=2) + "\n", encoding="utf-8"
        )

    def load(self, folder: str | Path) -> None:
        """Loads weights that :meth:`save` wrote, into units at the same sites beside that source.

        Raises:
            ValueError: if they were trained beside other sources or at other sites, or are no such
                weights.
            FileNotFoundError: if the folder has none.
        """
        from safetensors.torch import load_file

        folder = Path(folder)
        try:
            found = json.loads((folder / "units.json").read_text(encoding="utf-8"))
            found = {what: found[what] for what in self._description()}
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{folder / 'units.json'} does not describe units; save() of an attachment writes "
                "such a file."
            ) from error
        for what, own in self._description().items():
            if found[what] != own:
                raise ValueError(
                    f"{folder}: these units were trained with other {what} ({found[what]}); here "
                    f"they are {own}."
                )
        try:
            self.units.load_state_dict(load_file(folder / "units.safetensors"))
        except RuntimeError as error:
            raise ValueError(f"{folder}: the units there are of other sizes: {error}") from error

    def _description(self) -> dict[str, Any]:
        return {
            "sites": [source.sites for source in self.source_networks],
            "sources": [content_hash(network) for network in self.sources],
        }

    def record(self, args: Any, kwargs: Mapping[str, Any]) -> Recording:
        """The sources' activations on what the target is given."""
        recording = Recording(len(self.source_networks))
        for source, activations in zip(self.source_networks, recording.activations, strict=True):
            source.record(args, kwargs, activations)
        return recording

    def _begin(self, target: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> None:
        """Before the target's forward pass: the sources read the batch."""
        self._running = None
        self._running = self.record(args, kwargs)

    def _end(self, target: nn.Module, args: Any, output: Any) -> None:
        """After the target's forward pass, and after one that failed."""
        recording, self._running = self._running, None
        out = first_hidden_state(output)
        has_backward = out is not None and out.requires_grad
        if recording is None or not has_backward or torch.compiler.is_compiling():
            return
        # Gradient checkpointing runs sites once more, in the backward pass. The hook is part of
        # the output's graph, so the recording goes with it if no backward pass ever comes.
        assert out is not None
        self._kept.add(recording)
        out.register_hook(_FreeAfterBackward(recording))

    def gate(self, site: str, output: Any) -> Any:
        """What goes on from a site of the target."""
        is_again = self._running is None
        recording = self._running or self._recording_of_backward(site)
        sources = recording.again(site) if is_again else recording.next(site)
        target = first_hidden_state(output)
        assert target is not None
        unit = self.unit(site)
        activations: Any = sources if isinstance(unit, MultiSourcePTU) else sources[0]
        if self.on_gates is None or is_again:
            return with_hidden_state(output, unit(activations, target))
        hidden, gates = unit(activations, target, return_gates=True)
        self.on_gates(site, gates)
        return with_hidden_state(output, hidden)

    def _recording_of_backward(self, site: str) -> Recording:
        kept = [recording for recording in self._kept if not recording.is_empty]
        if len(kept) == 1:
            return kept[0]
        if kept:
            raise RuntimeError(
                f"Gradient checkpointing runs {site!r} again while {len(kept)} forward passes wait "
                "for their backward pass; with checkpointing, call backward after each forward "
                "pass."
            )
        raise RuntimeError(
            f"The module {site!r} has a unit and was run by itself: run the whole network that "
            "attach() was given, or attach() to the part that you run."
        )

    def __getstate__(self) -> dict[str, Any]:
        # A copy begins with no pass under way; recordings are no part of a network.
        return {**self.__dict__, "_running": None, "_kept": weakref.WeakSet()}


class _Place:
    """A site of a target; its bound method is the hook, which deepcopy rebinds to the copy."""

    def __init__(self, attachment: Attachment, site: str) -> None:
        self.attachment = attachment
        self.site = site

    def gate(self, module: nn.Module, args: Any, output: Any) -> Any:
        """What torch calls after the module."""
        return self.attachment.gate(self.site, output)


class _FreeAfterBackward:
    """Frees a recording at the end of the backward pass that begins at an output."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording

    def __call__(self, gradient: Tensor) -> None:
        engine = torch.autograd.Variable._execution_engine
        engine.queue_callback(self.recording.clear)


def _key(site: str) -> str:
    return site.replace(".", "/")  # names of modules have no dots
