"""Methods by their names, with companions too."""

from __future__ import annotations

import pytest

from ptu_seq.errors import UserError
from ptu_seq.methods import get_method
from ptu_seq.methods.alignment import ALIGNMENTS
from ptu_seq.methods.translation import TRANSLATION_ALIGNMENTS, get_translation_method
from ptu_seq.methods.vision import get_image_method

EVERY = [*ALIGNMENTS, *(f"ptu+{name}" for name in ALIGNMENTS)]
FIND = [get_method, get_image_method, get_translation_method]


@pytest.mark.parametrize("find", FIND)
def test_companions_have_their_methods_settings_and_the_name_they_were_called_by(find):
    alignments = TRANSLATION_ALIGNMENTS if find is get_translation_method else ALIGNMENTS
    for name in [*EVERY, "l2_sp+dann"]:
        alone, _, companion = name.rpartition("+")
        strength = alignments[companion].strength
        joined = find(name)
        assert joined.name == name
        assert list(joined.grid) == [
            {**setting, "alignment": strength} for setting in find(alone or "fine_tune").grid
        ]


MESSAGES = [
    ("ptu+dam", "ptu+dam: no companion is named 'dam' (did you mean 'dan'?)"),
    ("ptu+", "no companion is named ''"),
    ("pu+dan", "no method is named 'pu'"),
    ("dnn", "no method is named 'dnn' (did you mean 'dann'?); accepted: scratch, frozen,"),
    ("fine_tune+dan", "fine_tune+dan: a companion beside fine-tuning is called 'dan' alone."),
    ("dann+dan", "dann takes no companion"),
    ("ptu+dan+dann", "no companion is named 'dan+dann'"),
]
OF_CLASSIFIERS = [
    ("frozen+dan", "frozen+dan: frozen takes no companion; accepted are scratch, ptu,"),
    ("layer_search+dan", "layer_search takes no companion"),
]
OF_TRANSLATORS = [
    ("scratch+dan", "scratch+dan: scratch takes no companion; accepted are frozen, zoph, ptu,"),
]


@pytest.mark.parametrize(
    ("find", "name", "message"),
    [
        *[(find, *case) for find in FIND for case in MESSAGES],
        *[(find, *case) for find in FIND[:2] for case in OF_CLASSIFIERS],
        *[(get_translation_method, *case) for case in OF_TRANSLATORS],
    ],
)
def test_what_cannot_join_is_said(find, name, message):
    with pytest.raises(UserError) as error:
        find(name)
    assert message in str(error.value)
