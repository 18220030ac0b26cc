"""What each layer's output is made of: the target's own, the source's as it was, re-tuned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ptu_seq.report.panels import make_panels, save_figure, write_numbers

Sites = Sequence[Mapping[str, Any]]

#: Field of a site's "shares": what it is called, its colour (Okabe and Ito's) and its hatching.
SHARES = {
    "target": ("the target’s own", "#e69f00", "////"),
    "kept": ("the source’s, as it was", "#0072b2", ""),
    "retuned": ("the source’s, re-tuned", "#56b4e9", "...."),
}


def plot_shares(gates: Mapping[str, Sequence[Sites]], path: str | Path) -> Path:
    r"""Draws the three shares of every site's output as a bar, a panel a cell.

    With both gates `u` and `f` of a neuron they are the means of

    .. math:: 1 - u, \qquad u (1 - f), \qquad u f

    over neurons, positions, test examples and seeds; they add up to 1.

    Args:
        gates: for each panel's title, the `sites` of one `gates/<run_id>.json` a seed; seeds whose
            files are older than the shares are left out.
        path: the PNG file to write; its numbers go to the CSV file of the same name.

    Returns:
        `path`.
    """
    from matplotlib.patches import Patch

    shown = {title: shares_by_site(seeds) for title, seeds in gates.items()}
    height = 0.9 + 0.34 * max(len(sites) for sites in shown.values())
    figure, axes, _ = make_panels(list(shown), height=height)
    for ax, sites in zip(axes, shown.values(), strict=True):
        names = list(sites)
        for i, shares in enumerate(sites.values()):
            start = 0.0
            for field, (_, colour, hatch) in SHARES.items():
                share = shares[field]
                ax.barh(i, share, left=start, color=colour, hatch=hatch, ec="white", height=0.72)
                if share >= 0.12:
                    place: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8.5}
                    box = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none"}
                    ax.text(start + share / 2, i, f"{share:.2f}", bbox=box, **place)
                start += share
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.4, -0.6)  # the layer that reads the input is uppermost
        ax.set_xlim(0, 1)
        ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    write_numbers(
        path,
        ["cell", "site", *SHARES],
        [
            [title, site, *(f"{shares[field]:.4f}" for field in SHARES)]
            for title, sites in shown.items()
            for site, shares in sites.items()
        ],
    )
    handles = [Patch(fc=c, ec="white", hatch=hatch, label=n) for n, c, hatch in SHARES.values()]
    return save_figure(figure, handles, path)


def shares_by_site(seeds: Sequence[Sites]) -> dict[str, dict[str, float]]:
    """The mean shares over seeds, by site.

    Args:
        seeds: the sites of each.

    Example:
        >>> one = [{"site": "rnn", "shares": {"target": 0.5, "kept": 0.25, "retuned": 0.25}}]
        >>> shares_by_site([one, [{"site": "rnn"}]])
        {'rnn': {'target': 0.5, 'kept': 0.25, 'retuned': 0.25}}
    """
    found: dict[str, list[Mapping[str, float]]] = {}
    for sites in seeds:
        for site in sites:
            if "shares" in site:
                found.setdefault(site["site"], []).append(site["shares"])
    return {
        site: {field: sum(one[field] for one in shares) / len(shares) for field in SHARES}
        for site, shares in found.items()
    }
