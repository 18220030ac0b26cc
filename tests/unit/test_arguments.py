"""How recipes read presets, files and flags."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pytest

from ptu_seq.arguments import parse_recipe, parse_size, read_arguments, run_recipe
from ptu_seq.errors import UserError
from ptu_seq.ranges import Checked, Range


@dataclass
class Study(Checked):
    preset: str = field(default="small", metadata={"help": "where defaults come from"})
    sizes: list[str] = field(default_factory=lambda: ["1"], metadata={"help": "how many"})
    seeds: Annotated[int, Range(1, 9)] = field(default=1, metadata={"help": "how often"})


@dataclass
class Network:
    kind: str = field(default="lstm", metadata={"help": "type", "choices": ["lstm", "gru"]})
    rate: float = field(default=0.1, metadata={"help": "learning rate"})
    both_ways: bool = field(default=False, metadata={"help": "read from both ends"})


@pytest.fixture
def parse(tmp_path: Path):
    (tmp_path / "toy_small.yaml").write_text("seeds: 2\n")
    (tmp_path / "toy_large.yaml").write_text("seeds: 5\nsizes: [100, all]\nboth_ways: true\n")
    (tmp_path / "other_huge.yaml").write_text("seeds: 9\n")

    def parse(*argv: str) -> tuple[Study, Network]:
        study, network = parse_recipe(
            [Study, Network], description="A toy.", presets=tmp_path / "toy", argv=argv
        )
        return study, network

    return parse


@pytest.fixture
def write(tmp_path: Path):
    def write(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def test_flags_win_over_the_file_and_that_over_the_preset(parse, write):
    file = write("mine.yaml", "seeds: 3\nsizes: [7, 8]\nkind: gru\n")
    assert parse() == (Study("small", ["1"], 2), Network())
    assert parse("--preset", "large") == (
        Study("large", ["100", "all"], 5),
        Network("lstm", 0.1, True),
    )
    assert parse(file) == (Study("small", ["7", "8"], 3), Network("gru"))
    study, network = parse(file, "--preset=large", "--seeds", "4", "--both_ways", "false")
    assert study == Study("large", ["7", "8"], 4)
    assert network == Network("gru", 0.1, False)


def test_a_file_may_choose_the_preset(parse, write):
    file = write("mine.json", json.dumps({"preset": "large", "sizes": "50", "rate": 2e-3}))
    assert parse(file) == (Study("large", ["50"], 5), Network("lstm", 2e-3, True))
    assert parse(file, "--preset", "small")[0] == Study("small", ["50"], 2)


@pytest.mark.parametrize("words", [["--both_ways"], ["--both-ways"], ["--both_ways", "yes"]])
def test_a_switch_needs_no_value(parse, words):
    assert parse(*words)[1].both_ways


def test_no_is_a_language_in_a_file_and_still_turns_a_switch_off(parse, write):
    file = write("a.yaml", "langs: [no, on, trueish]\nfirst: True\nsecond: false\n")
    assert read_arguments(Path(file)) == {
        "langs": ["no", "on", "trueish"],
        "first": True,
        "second": False,
    }
    assert not parse(write("b.yaml", "preset: large\nboth_ways: no\n"))[1].both_ways


def test_an_empty_value_in_a_file_keeps_the_default(parse, write):
    assert parse(write("a.yaml", "seeds:\nkind: gru\n")) == (
        Study("small", ["1"], 2),
        Network("gru"),
    )


def test_help_shows_every_field_with_the_defaults_of_preset_and_file(parse, write, capsys):
    with pytest.raises(SystemExit) as exit_:
        parse(write("a.yaml", "rate: 0.25\n"), "--preset", "large", "--help")
    assert exit_.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for text in (
        "A toy.",
        "--preset PRESET where defaults come from (default: large)",
        "--sizes SIZES [SIZES ...] how many (default: 100 all)",
        "--seeds SEEDS how often (default: 5)",
        "--kind {lstm,gru} type (default: lstm)",
        "--rate RATE learning rate (default: 0.25)",
        "read from both ends (default: True)",
    ):
        assert text in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sead", "3"], "unknown flag --sead (did you mean '--seeds'?)"),
        (["--kind", "gruu"], "'gruu' is not among its choices (did you mean 'gru'?)"),
        (["--seeds", "two"], "--seeds: invalid int value: 'two'"),
        (["--seeds"], "--seeds: expected one argument"),
        (["--seeds", "2", "7"], "7 belongs to no flag"),
        (["--seeds", "2", "mine.yaml"], "a file of arguments goes first"),
        (["--both_ways", "perhaps"], "got perhaps"),
        (["--preset"], "--preset: expected one argument"),
    ],
)
def test_a_wrong_flag_ends_with_its_reason(parse, words, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        parse(*words)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--preset", "smal"], "--preset 'smal' is not known .did you mean 'small'.*large, small"),
        (["--preset", "huge"], "'huge' is not known"),
        (["--seeds", "0"], "--seeds is 0; accepted is from 1 to 9"),
        (["--seeds", "-1"], "--seeds is -1"),
        (["absent.yaml"], "absent.yaml cannot be read: No such file"),
    ],
)
def test_a_wrong_value_is_named(parse, words, message):
    with pytest.raises(UserError, match=message):
        parse(*words)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "sead: 3", r"a\.yaml: no argument is named 'sead' .did you mean 'seeds'"),
        ("a.yaml", "help: true", "no argument is named 'help'"),
        ("a.yaml", "- seeds", "must hold argument names with values"),
        ("a.yaml", "seeds: [1", "cannot be read"),
        ("a.json", "{", "cannot be read"),
        ("a.yaml", "kind: {a: 1}", "kind must be one value"),
        ("a.yaml", "preset: tiny", "--preset 'tiny' is not known"),
    ],
)
def test_a_wrong_file_is_named(parse, write, name, text, message):
    with pytest.raises(UserError, match=message):
        parse(write(name, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds: many", "argument --seeds: invalid int value: 'many'"),
        ("kind: gruu", "did you mean 'gru'?"),
        ("sizes: []", "argument --sizes: expected at least one argument"),
    ],
)
def test_a_wrong_value_in_a_file_names_the_file(parse, write, text, message, capsys):
    file = write("mine.yaml", text)
    with pytest.raises(SystemExit) as exit_:
        parse(file)
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert f"{file}: " in error
    assert message in error


def test_parse_size():
    assert [parse_size(word) for word in ("1", "2000", "all")] == [1, 2000, "all"]
    for word in ("0", "-5", "1.5", "", "al", "\u00b2"):
        with pytest.raises(UserError, match="positive whole numbers and 'all'"):
            parse_size(word)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UserError("one sentence."), 2, "error: one sentence.\n"),
        (KeyboardInterrupt(), 130, "what was finished is kept"),
    ],
)
def test_run_recipe_ends_with_one_line(error, code, message, capsys):
    def main():
        raise error

    with pytest.raises(SystemExit) as exit_:
        run_recipe(main)
    assert exit_.value.code == code
    assert message in capsys.readouterr().err


def test_run_recipe_leaves_our_own_mistakes_their_traceback():
    with pytest.raises(ZeroDivisionError):
        run_recipe(lambda: 1 / 0)  # type: ignore[arg-type]
