"""Methods by their names, with companions too."""

from __future__ import annotations

import pytest

from ptu_seq.errors import UserError
from ptu_seq.methods import METHODS, get_method
from ptu_seq.methods.alignment import ALIGNMENTS
from ptu_seq.methods.vision import IMAGE_METHODS, get_image_method

EVERY = [*ALIGNMENTS, *(f"ptu+{name}" for name in ALIGNMENTS)]


@pytest.mark.parametrize("methods", [METHODS, IMAGE_METHODS])
def test_companions_have_their_methods_settings_and_the_name_they_were_called_by(methods):
    find = get_method if methods is METHODS else get_image_method
    for name in [*EVERY, "l2_sp+dann"]:
        alone, _, companion = name.rpartition("+")
        strength = ALIGNMENTS[companion].strength
        joined = find(name)
        assert joined.name == name
        assert list(joined.grid) == [
            {**setting, "alignment": strength} for setting in find(alone or "fine_tune").grid
        ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ptu+dam", "ptu+dam: no companion is named 'dam' (did you mean 'dan'?)"),
        ("ptu+", "no companion is named ''"),
        ("pu+dan", "no method is named 'pu'"),
        ("fine_tune+dan", "fine_tune+dan: a companion beside fine-tuning is called 'dan' alone."),
        ("frozen+dan", "frozen+dan: frozen takes no companion; accepted are scratch, ptu,"),
        ("layer_search+dan", "layer_search takes no companion"),
        ("dann+dan", "dann takes no companion"),
        ("ptu+dan+dann", "no companion is named 'dan+dann'"),
    ],
)
@pytest.mark.parametrize("find", [get_method, get_image_method])
def test_what_cannot_join_is_said(find, name, message):
    with pytest.raises(UserError) as error:
        find(name)
    assert message in str(error.value)
