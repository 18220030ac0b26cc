"""The command line: exit codes, messages, recipes and classification from end to end."""

import io
import json
import subprocess
import sys

import pytest

from ptu_seq import __version__, cli, recipe_files
from ptu_seq.commands import run


def test_version(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"ptu-seq {__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--verison"], "unknown flag --verison (did you mean '--version'?)"),
        (["classify", "--modle", "x"], "unknown flag --modle (did you mean '--model'?)"),
        (["classify", "--model=x", "--batchsize=3"], "(did you mean '--batch_size'?)"),
        (["classify", "--model", "x", "--batch_size", "0"], "'0' is no whole number"),
        (["classify"], "the following arguments are required: --model"),
        (["clasify"], "'clasify' (choose from"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_wrong_words_end_with_a_message(words, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(words)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A function that makes `source` the recipe `sample`."""

    def write(source):
        path = tmp_path / "sample.py"
        path.write_text(source)
        for module in (run, recipe_files):
            monkeypatch.setattr(module, "recipes", lambda: {"sample": path})
        return path

    return write


def test_run_lists_the_recipes(recipe, capsys):
    recipe('"""Does something small.\n\nMore."""\n')
    assert cli.main(["run"]) == 0
    listed = capsys.readouterr().out.splitlines()[1:]
    assert [line.split(maxsplit=1) for line in listed] == [["sample", "Does something small."]]


def test_run_hands_on_all_that_follows_the_name(recipe, capsys):
    path = recipe("import sys; print(__name__, sys.argv); import neighbour")
    path.with_name("neighbour.py").write_text("print('found')")
    before = sys.argv, sys.path
    assert cli.main(["run", "sample", "--sizes", "100", "--help"]) == 0
    words = [str(path), "--sizes", "100", "--help"]
    assert capsys.readouterr().out == f"__main__ {words}\nfound\n"
    assert (sys.argv, sys.path) == before


def test_run_keeps_the_exit_code_of_a_recipe(recipe):
    recipe("import sys; sys.exit(7)")
    with pytest.raises(SystemExit) as exit_:
        cli.main(["run", "sample"])
    assert exit_.value.code == 7


@pytest.mark.parametrize(
    ("source", "code", "message"),
    [
        ("from ptu_seq.errors import UserError; raise UserError('no.')", 2, "ptu-seq: no.\n"),
        ("raise KeyboardInterrupt", 130, "ptu-seq: interrupted.\n"),
    ],
)
def test_errors_end_in_one_line(recipe, source, code, message, capsys):
    recipe(source)
    assert cli.main(["run", "sample"]) == code
    assert capsys.readouterr().err == message


def test_unknown_recipe_suggests_the_closest(recipe, capsys):
    recipe("")
    assert cli.main(["run", "sampel"]) == 2
    assert "'sampel' (did you mean 'sample'?); accepted: sample." in capsys.readouterr().err


def test_bundled_recipes_are_found():
    assert {"sentence_classification", "low_resource_mt"} <= set(run.recipes())


def test_closed_output_ends_quietly():
    process = subprocess.Popen(
        [sys.executable, "-m", "ptu_seq.cli", "run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.fixture
def stdin(monkeypatch):
    def feed(content: bytes):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return feed


def test_classify_writes_a_row_a_line(tiny_classifier, stdin, capsys):
    stdin("good film\r\n\nbad \N{SNOWMAN} film\tindeed".encode())
    assert cli.main(["classify", "--model", str(tiny_classifier), "--batch_size", "2"]) == 0
    captured = capsys.readouterr()
    rows = [line.split("\t", 2) for line in captured.out.splitlines()]
    assert [row[2] for row in rows] == ["good film", "", "bad \N{SNOWMAN} film\tindeed"]
    assert rows[1] == ["", "", ""]
    assert {rows[0][0], rows[2][0]} <= {"negative", "positive"}
    assert 0.5 <= float(rows[0][1]) <= 1
    assert "lines without text, which got no label: 1 (the first is line 2)" in captured.err


def test_classify_reads_a_file_and_writes_json(tiny_classifier, tmp_path, capsys):
    lines = tmp_path / "lines.txt"
    lines.write_text("good film\n\n", encoding="utf-8")
    words = ["--model", str(tiny_classifier), "--input", str(lines), "--output_format", "jsonl"]
    assert cli.main(["classify", *words]) == 0
    full, empty = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert full["text"] == "good film"
    assert full["label"] in ("negative", "positive")
    assert 0.5 <= full["probability"] <= 1
    assert empty == {"label": None, "probability": None, "text": ""}


def test_classify_without_lines_writes_nothing(tiny_classifier, stdin, capsys):
    stdin(b"")
    assert cli.main(["classify", "--model", str(tiny_classifier)]) == 0
    assert capsys.readouterr().out == ""


def test_classify_names_a_missing_folder_or_file(tmp_path, stdin, capsys):
    stdin(b"x\n")
    assert cli.main(["classify", "--model", str(tmp_path / "absent")]) == 2
    assert "absent: there is no such folder." in capsys.readouterr().err
    assert cli.main(["classify", "--model", "x", "--input", str(tmp_path / "absent")]) == 2
    assert "absent: cannot be read: No such file or directory." in capsys.readouterr().err
