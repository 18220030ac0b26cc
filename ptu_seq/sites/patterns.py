"""Names of modules, and the patterns that match them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from torch import nn

from ptu_seq.errors import closest

Sites = str | Sequence[str] | Mapping[str, str] | Mapping[str, Sequence[str]]
"""Patterns of names in all networks; or a mapping from names in the target to names in the source,
or to a sequence of names, one for each of several sources."""


def matches(pattern: str, name: str) -> bool:
    """Whether a pattern stands for a dotted name.

    The parts between dots are matched one by one, as in a file path: `*`, `?` and `[0-5]` stay
    within their part, and a part that is `**` stands for any number of parts.

    Example:
        >>> matches("features.*", "features.3"), matches("features.*", "features.3.conv")
        (True, False)
        >>> matches("encoder.**.output", "encoder.layer.7.output")
        True
    """
    return _parts_match(pattern.split("."), name.split("."))


def resolve_sites(
    target: nn.Module, sources: Sequence[nn.Module], sites: Sites
) -> dict[str, list[str]]:
    """The place in each source for each place in the target where a unit shall sit.

    Args:
        target: the network that is trained.
        sources: the networks that lend their activations.
        sites: see :data:`Sites`. Patterns stand for the same name in all networks; a mapping has
            whole names, for networks that call their parts differently.

    Returns:
        Names in the sources by names in the target, in the target's order of modules.

    Raises:
        ValueError: if there are no sites, a pattern matches nothing, or a name is unknown.
    """
    own = [name for name, _ in target.named_modules() if name]
    if isinstance(sites, Mapping):
        for name in sites:
            _check_known(name, own, "the target")
        wanted = {name: _names(name, of, len(sources)) for name, of in sites.items()}
    else:
        patterns = [sites] if isinstance(sites, str) else list(sites)
        for pattern in patterns:
            if not any(matches(pattern, name) for name in own):
                _fail_unknown(pattern, own, "the target")
        matched = [name for name in own if any(matches(p, name) for p in patterns)]
        wanted = {name: [name] * len(sources) for name in matched}
    if not wanted:
        raise ValueError("attach: no sites are given; name at least one module of the target.")
    for i, source in enumerate(sources):
        theirs = [name for name, _ in source.named_modules() if name]
        for names in wanted.values():
            _check_known(
                names[i], theirs, "the source" if len(sources) == 1 else f"source number {i}"
            )
    return {name: wanted[name] for name in own if name in wanted}


def _names(site: str, names: str | Sequence[str], sources: int) -> list[str]:
    if isinstance(names, str):
        return [names] * sources
    if len(names) != sources:
        raise ValueError(
            f"attach: {site!r} has {len(names)} names for {sources} source(s); give one for each."
        )
    return list(names)


def _parts_match(pattern: Sequence[str], name: Sequence[str]) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "**":
        return any(_parts_match(pattern[1:], name[i:]) for i in range(len(name) + 1))
    return bool(name) and fnmatchcase(name[0], pattern[0]) and _parts_match(pattern[1:], name[1:])


def _check_known(name: str, known: Iterable[str], network: str) -> None:
    if name not in known:
        _fail_unknown(name, known, network)


def _fail_unknown(name: str, known: Iterable[str], network: str) -> None:
    raise ValueError(
        f"attach: no module of {network} is called {name!r}{closest(name, known)}; "
        "named_modules() lists them."
    )
