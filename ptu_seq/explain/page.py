"""Explanations as one HTML page that needs no network, in light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ptu_seq.explain.colours import FINE_TUNE, RGB, UPDATE, ink, shade
from ptu_seq.explain.explanation import Explanation, Reading, SiteGates

#: What comes before the explanations. The model's name goes in at `{model}`.
_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Gates of {model}</title>
<style>
:root {{ --page: #ffffff; --ink: #1f2328; --muted: #59636e; --line: #d1d9e0; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --page: #14181d; --ink: #e6e9ed; --muted: #9aa4af; --line: #39424d; }}
}}
body {{ background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
  margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }}
h1 {{ font-size: 1.35rem; }}
h2 {{ font-size: 1.05rem; margin: 0; overflow-wrap: anywhere; }}
p {{ color: var(--muted); margin: 0.2rem 0 0.6rem; overflow-wrap: anywhere; }}
section {{ border-top: 1px solid var(--line); padding: 1rem 0; }}
div {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: 0.85rem; margin-bottom: 0.8rem; }}
caption {{ color: var(--muted); text-align: left; }}
th {{ font-weight: 600; padding: 0.1rem 0.5rem; text-align: left; white-space: pre; }}
td {{ border: 1px solid var(--page); font-variant-numeric: tabular-nums; padding: 0.1rem 0.4rem;
  text-align: right; }}
</style>
</head>
<body>
<h1>Gates of {model}</h1>
<p>Update gate: 0 (orange) is the target&rsquo;s own activation, 1 (blue) the source&rsquo;s.
Fine-tune gate: 0 (grey) is the source&rsquo;s as it is, 1 (purple) re-tuned. Each number is a mean
over neurons.</p>
"""

#: What comes after them.
END = "</body>\n</html>"


def begin(model: str) -> str:
    """What comes before the explanations of a model."""
    return _HEAD.format(model=escape(model))


def section(explanation: Explanation) -> str:
    """One explanation."""
    parts = [
        "<section>",
        f"<h2>{escape(explanation.headline())}</h2>",
        f"<p>{'<br>'.join(map(escape, explanation.texts))}</p>",
    ]
    whole = Reading(("whole sentence",), explanation.whole)
    written = explanation.written or Reading((), ())
    for caption, reading in (("read", explanation.read), ("", whole), ("written", written)):
        if reading.tokens and reading.sites:
            parts.append(_table(caption, reading))
    return "\n".join([*parts, "</section>"])


def _table(caption: str, reading: Reading) -> str:
    names = "".join(f'<th colspan="2" scope="col">{escape(s.site)}</th>' for s in reading.sites)
    heads = '<th scope="col">update</th><th scope="col">fine-tune</th>' * len(reading.sites)
    rows = [
        f'<tr><th scope="row">{escape(token)}</th>{_cells(reading.sites, i)}</tr>'
        for i, token in enumerate(reading.tokens)
    ]
    title = f"<caption>{caption}</caption>" if caption else ""
    return "\n".join(
        [
            f"<div><table>{title}",
            f"<thead><tr><td></td>{names}</tr><tr><td></td>{heads}</tr></thead>",
            *["<tbody>", *rows, "</tbody></table></div>"],
        ]
    )


def _cells(sites: Sequence[SiteGates], i: int) -> str:
    return "".join(
        _cell(gate[i], ramp)
        for site in sites
        for gate, ramp in ((site.update, UPDATE), (site.fine_tune, FINE_TUNE))
    )


def _cell(value: float, ramp: Sequence[RGB]) -> str:
    background = shade(value, ramp)
    style = f"background:{_hex(background)};color:{_hex(ink(background))}"
    return f'<td style="{style}">{value:.2f}</td>'


def _hex(colour: RGB) -> str:
    return "#" + "".join(f"{part:02x}" for part in colour)
