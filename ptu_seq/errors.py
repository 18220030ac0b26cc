"""The one exception that command lines turn into exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in what a person handed us (a file, a flag, a name): one sentence for them.

    The sentence says what was wrong, where, and what is accepted. Recipes and `ptu-seq` print it
    to stderr without a traceback and end with exit code 2.
    """


def closest(word: str, accepted: Iterable[str]) -> str:
    """`" (did you mean 'x'?)"` for the accepted word nearest to `word`, or an empty string.

    Example:
        >>> closest("fine_tun", ["scratch", "fine_tune"])
        " (did you mean 'fine_tune'?)"
    """
    matches = difflib.get_close_matches(word, list(accepted), n=1, cutoff=0.5)
    return f" (did you mean {matches[0]!r}?)" if matches else ""
