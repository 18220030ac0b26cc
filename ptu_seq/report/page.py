"""The page around a report: its head, colours for light and dark, and type."""

from string import Template

#: Sorts a table by the column whose name is clicked: numbers by size, all else by the alphabet,
#: cells without a value last. Ranges and the like count by their first number.
SORT = """
const value = cell => {
  const text = cell.innerText.trim().replace(/,(?=\\d{3})/g, "").replace(/^[<+]/, "");
  return text === "–" ? null : /^-?\\d/.test(text) ? parseFloat(text) : text.toLowerCase();
};
const order = (a, b) => typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0)
  : typeof a === "number" ? -1 : 1;
document.querySelectorAll("thead button").forEach(button => button.onclick = () => {
  const head = button.parentElement, body = head.closest("table").tBodies[0];
  const descending = head.ariaSort === "ascending";
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const keyed = [...body.rows].map(row => [value(row.cells[head.cellIndex]), row]);
  keyed.sort(([a], [b]) => a === null || b === null ? (a === null) - (b === null)
    : descending ? order(b, a) : order(a, b));
  body.append(...keyed.map(([, row]) => row));
});
"""

#: Takes `title`, `answer`, `body` and `script`: text, text, HTML and JavaScript.
PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
:root { --page: #fbfaf8; --card: #fff; --ink: #1f2328; --muted: #5f6368; --line: #e2e0dc;
  --accent: #b34700; --tint: #fdf1e8; }
@media (prefers-color-scheme: dark) {
  :root { --page: #16181b; --card: #1e2125; --ink: #e8e6e3; --muted: #a2a7ad; --line: #353a40;
    --accent: #ff9d5c; --tint: #33271e; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.1rem 4rem; }
h1 { font-size: 1.25rem; font-weight: 600; color: var(--muted); margin: 0 0 .4rem;
  overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.8rem 0 .6rem; }
p { margin: .5rem 0; }
.answer { font-size: clamp(1.2rem, 3.6vw, 1.65rem); line-height: 1.35; font-weight: 600;
  text-wrap: pretty; }
.note, figcaption { color: var(--muted); font-size: .9rem; max-width: 46rem;
  overflow-wrap: anywhere; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line);
  border-radius: .6rem; margin: .9rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .92rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .5rem .85rem; text-align: right; white-space: nowrap; }
th { color: var(--muted); font-weight: 600; }
th.text, td.text { text-align: left; }
th button { all: unset; cursor: pointer; }
th button:hover { color: var(--ink); }
th button:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
th[aria-sort] button::after { content: " \\25b2"; font-size: .75em; }
th[aria-sort="descending"] button::after { content: " \\25bc"; }
a { color: var(--accent); }
td.wrap { white-space: normal; overflow-wrap: anywhere; min-width: 17rem; }
tbody tr { border-top: 1px solid var(--line); }
td.best { font-weight: 700; color: var(--accent); background: var(--tint); }
figure { margin: .9rem 0; }
img { display: block; width: auto; max-width: 100%; height: auto; background: #fff;
  padding: .8rem; border: 1px solid var(--line); border-radius: .6rem; }
figcaption { margin-top: .5rem; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem;
  overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .88rem; }
details { margin-top: 2.8rem; }
details + details { margin-top: 1rem; }
summary { font-size: 1.05rem; font-weight: 600; cursor: pointer; }
</style>
</head>
<body>
<main>
<h1>$title</h1>
<p class="answer">$answer</p>
$body
</main>
<script>$script</script>
</body>
</html>
""")
