"""Sentence pairs, taken from tables in the Hub's format or with a column for each language."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Mapping
from typing import NamedTuple

from datasets import Dataset, Value

from ptu_seq.data.sources import Table
from ptu_seq.errors import UserError, closest

logger = logging.getLogger("ptu_seq")

#: The column of the Hub's format, and what its parts are called once it is flattened.
NESTED = "translation"

#: Column names that say the direction themselves.
DIRECTED = ("source", "target")

#: Columns of a table with others that are taken for languages.
_LANGUAGE = re.compile(r"[a-z]{2,3}([_-]\w{2,4})?", re.IGNORECASE)


class Pair(NamedTuple):
    """A sentence and its translation, each on one line."""

    source: str
    target: str


class Pairs(NamedTuple):
    """One split's pairs, and the file or hub split they come from, for messages."""

    where: str
    pairs: list[Pair]


def normalise(sentence: str) -> str:
    """What two sentences have in common if they differ in case, spacing and punctuation only.

    Example:
        >>> normalise(" What's  this?!") == normalise("whats this")
        True
    """
    folded = unicodedata.normalize("NFKC", sentence).casefold()
    return " ".join(re.sub(r"[^\w\s]|_", _keep_vowel_sign, folded).split())


def _keep_vowel_sign(match: re.Match[str]) -> str:
    """Marks that belong to a letter, such as Hindi vowels, are no punctuation."""
    return match.group() if unicodedata.category(match.group()).startswith("M") else ""


def find_direction(
    tables: Mapping[str, Table], source_lang: str | None, target_lang: str | None
) -> tuple[str, str]:
    """Settles which language is translated into which.

    Args:
        tables: the splits, "train" among them.
        source_lang: the language to translate from, if it was said.
        target_lang: the language to translate into, if it was said.

    Returns:
        Both languages. What was not said is filled in where there is but one possibility: the
        other one of two languages, or "source" and "target" for columns of these names.

    Raises:
        UserError: if a language is not there, both are the same, or more than one direction is
            possible.
    """
    where, table = tables["train"]
    languages = _languages(where, table)
    if set(DIRECTED) <= set(languages) and not {source_lang, target_lang} & set(languages):
        return source_lang or "source", target_lang or "target"
    found = ", ".join(languages)
    for option, language in (("source_lang", source_lang), ("target_lang", target_lang)):
        if language is not None and language not in languages:
            raise UserError(
                f"{where} has no language {language!r} ({option}){closest(language, languages)}: "
                f"found {found}."
            )
    if source_lang is not None and source_lang == target_lang:
        raise UserError(
            f"source_lang and target_lang are both {source_lang!r}: {where} has {found}, name two."
        )
    if source_lang and target_lang:
        return source_lang, target_lang
    if len(languages) == 2 and (source_lang or target_lang):
        first, second = languages
        other = {first: second, second: first}
        return source_lang or other[target_lang or ""], target_lang or other[source_lang or ""]
    raise UserError(
        f"{where} has the languages {found}: say which is translated into which with source_lang "
        "and target_lang (of a recipe: --source_langs and --target_lang)."
    )


def extract_pairs(table: Table, source_lang: str, target_lang: str) -> Pairs:
    """Takes the pairs of two languages out of a split.

    White space is made single spaces. Pairs with an empty side are dropped, and counted in a
    warning.

    Args:
        table: the split.
        source_lang: the language to translate from, as :func:`find_direction` gave it.
        target_lang: the language to translate into.

    Returns:
        The pairs in the order of the split.

    Raises:
        UserError: if the split lacks a language that "train" has.
    """
    rows = _flatten(table.rows)
    columns = language_columns(table, source_lang, target_lang)
    pairs = [Pair(*map(clean, both)) for both in zip(*(rows[c][:] for c in columns), strict=True)]
    kept = [pair for pair in pairs if all(pair)]
    warn_dropped(table.where, len(pairs), len(kept), "with an empty side")
    return Pairs(table.where, kept)


def language_columns(table: Table, source_lang: str, target_lang: str) -> tuple[str, str]:
    """What a split calls the columns of two languages, parts of "translation" among them.

    Raises:
        UserError: if it lacks one of them.
    """
    names = _flatten(table.rows).column_names
    if set(DIRECTED) <= set(names) and not {source_lang, target_lang} <= set(names):
        source_lang, target_lang = DIRECTED
    for language in (source_lang, target_lang):
        if language not in names:
            found = ", ".join(_languages(table.where, table.rows))
            raise UserError(f"{table.where} has no language {language!r}: found {found}.")
    return source_lang, target_lang


def warn_dropped(where: str, total: int, kept: int, reason: str) -> None:
    """Prints how many pairs were dropped, if any were."""
    if kept < total:
        logger.warning("%s: dropped %d of %d pairs %s.", where, total - kept, total, reason)


def _flatten(table: Dataset) -> Dataset:
    """The table with a column for each language of the Hub's format, or as it is."""
    if not _is_nested(table):
        return table
    flat = table.select_columns([NESTED]).flatten()
    return flat.rename_columns(
        {name: name.removeprefix(f"{NESTED}.") for name in flat.column_names}
    )


def _is_nested(table: Dataset) -> bool:
    return NESTED in table.column_names and not isinstance(table.features[NESTED], Value)


def _languages(where: str, table: Dataset) -> list[str]:
    """The languages of a table: parts of "translation", or columns that may be languages.

    A table of two columns may call them as it likes; beside other columns (an id, a domain) a
    language is known by its code.
    """
    flat = _flatten(table)
    names = [name for name, feature in flat.features.items() if isinstance(feature, Value)]
    if len(names) > 2 and not _is_nested(table):
        if set(DIRECTED) <= set(names):
            return [*DIRECTED]
        names = [
            name
            for name in names
            if _LANGUAGE.fullmatch(name) and "string" in flat.features[name].dtype
        ]
    if len(names) < 2:
        raise UserError(
            f"{where} has no sentence pairs: found {', '.join(flat.column_names)}; "
            'accepted are {"translation": {"en": ..., "fr": ...}}, or two columns named by their '
            "languages, or source and target."
        )
    return names


def clean(text: object) -> str:
    """A sentence on one line, an empty one for a missing value."""
    return "" if text is None else " ".join(str(text).split())
