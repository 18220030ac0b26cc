"""Cleaning of the verses in the bundled Bibles, from rules found by looking at all their rows.

Every version went through several programs before it came to us, and each left its own debris:
verse numbers of another numbering, headings of the next psalm, lost letters, notes of an editor.
What is a translator's own style (capitals of a name, parentheses, dashes) stays.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

Rule = tuple[re.Pattern[str], str]


def _rules(*pairs: tuple[str, str]) -> tuple[Rule, ...]:
    return tuple((re.compile(pattern), replacement) for pattern, replacement in pairs)


#: Before the rules of a version: numbers of another numbering, brackets around supplied words,
#: marks of lost text, and direction marks.
_FIRST = _rules(
    (r"\(\d+:\d+[a-z]?\)?", " "),
    (r"[\[\]]", ""),
    (r"\*+", " "),
    (r"[\u200e\u200f]", ""),
    (r"\s+", " "),
)

#: After them: spaces that were left before a stop, at the ends and beside quotation marks.
_LAST = _rules(
    (r" +([,;:!?،؛؟»)])", r"\1"),
    (r" +\.(?!\.)", "."),
    (r"([«(]) +", r"\1"),
    (r"(?<=[.!?']) \"(?=\s|$)", '"'),
    (r"\s+", " "),
    (r"^[\s-]+|[\s-]+$", ""),
)

_HEADING = (r"(?: BOOK [IV]+)? Psalm \d+\b.*$", "")

#: What only one version has, by its key in the carrier.
_OF_VERSION: dict[str, tuple[Rule, ...]] = {
    "3": _rules(
        (r"^[A-Z]{2,6} (?=[A-Z][a-z]|[IO] )", ""),  # letters of the acrostic psalm 119
    ),
    "k": _rules(
        (r"^[A-Z]{2,6}\. ", ""),  # the same
    ),
    "4": _rules(
        ("^dummy verses inserted by amos$", ""),  # where other versions have a verse
        ("`", "'"),
        _HEADING,  # the next psalm's, at the end of the verse before
        (r"(?<=[.!?\"]) (?:SIN AND )?[A-Z]{2,6}$", ""),  # the acrostic psalm's letters
        (r"(?<=\w) -(?=\w)|(?<=\w)- (?=\w)", "-"),
    ),
    "l": _rules(
        (r"(?<=[.!?]) -(?=\w)", " "),  # a mark of paragraphs
        (r" -(?=\w)", " - "),
        (r" ,(?=\w)", ", "),
    ),
    "o": _rules(
        (r"(?<=[,;]) \"(?=\s|$)", '"'),
    ),
    "p": _rules(
        ("ا´", "آ"),
        (r" ?'", ""),  # a lost superscript alef
        ("\u200c", " "),  # as this version nearly everywhere writes its suffixes
        (r"([.:])(?=[^\W\d_])", r"\1 "),
    ),
    "r": _rules(
        (r"\(ADDED FROM KJV: .* => (.*)\)", r"\1"),
        (r" стих ?\d+ гл \d+$", ""),
        (r"\bEто\b", "Это"),
    ),
    "v": _rules(
        ("\u00ad", "¡"),  # every soft hyphen was this sign
        (r"^[A-Z]{2,6}\. ", ""),  # letters of the acrostic psalm 119
    ),
    "y": _rules(
        (r"\( *\([IV]+ [A-Za-z]+ \d+:\d+\) *\)", ""),
        (r"\( *\([IV]+ [A-Za-z]+ *\) *\)", ""),
        ("^\\w \u0640 ", ""),  # letters of the acrostic psalm 119
    ),
}

#: Versions that print the first words of a chapter in capitals.
_CAPITAL_OPENINGS = ("d", "v")

#: Latin letters that stand in Russian words and look like Cyrillic ones.
_CYRILLIC = str.maketrans("ABCEHKMOPTXaceopxyk", "АВСЕНКМОРТХасеорхук")


def clean_verses(texts: Iterable[str], version: str) -> list[str]:
    """Cleans verses of one version.

    Args:
        texts: verses as the carrier has them.
        version: the version's key in the carrier.

    Returns:
        The verses on one line each; an empty one where the carrier has no text, only a mark.

    Example:
        >>> clean_verses(["(5:8) God`s  [own] house", "[]"], "4")
        ["God's own house", '']
    """
    rules: Sequence[Rule] = (*_FIRST, *_OF_VERSION.get(version, ()), *_LAST)
    verses = [_clean(text, rules, version) for text in texts]
    return _lower_capitals(verses) if version in _CAPITAL_OPENINGS else verses


def _clean(text: str, rules: Sequence[Rule], version: str) -> str:
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    text = text.strip()
    if version == "r":
        text = text.translate(_CYRILLIC)
    return text if any(character.isalpha() for character in text) else ""


def _lower_capitals(verses: list[str]) -> list[str]:
    """Words in capitals as the version writes them elsewhere.

    Example:
        >>> _lower_capitals(["Y DIOS LOS vio.", "EN fin, los que Dios ama."])
        ['Y Dios los vio.', 'En fin, los que Dios ama.']
    """
    forms = Counter(word for verse in verses for word in re.findall(r"(?<=[\w,] )\w+", verse))

    def lower(match: re.Match[str]) -> str:
        word = match.group()
        before = match.string[: match.start()].rstrip(' ¡¿«"“(')
        is_name = forms[word.capitalize()] > forms[word.lower()]
        opens = not before or before[-1] in ".!?"
        return word.capitalize() if opens or is_name else word.lower()

    return [re.sub(r"\b[^\W\d_a-zà-ÿ]{2,}\b", lower, verse) for verse in verses]
