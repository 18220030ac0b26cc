"""Breaks the arithmetic of the unit and the recurrences, one place at a time: tests must notice.

    .venv/bin/python scripts/mutation_check.py [WORD]

applies each change below to a copy of the package and runs the tests of its file there; it ends
with 1 and names the change if no test fails. WORD: only files whose name has it. It takes some ten
minutes, so it is no part of `scripts/test`. A change that no longer fits the code is an error, too:
write it anew.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

# What every child has of this process: it is forked, so that none imports these again.
import hypothesis  # noqa: F401
import numpy  # noqa: F401
import pytest
import torch

ROOT = Path(__file__).parents[1]
UNIT, LOOP, PACKED, CELLS = (
    f"tests/unit/{name}.py"
    for name in ("test_unit", "nn/test_recurrence", "nn/test_packed", "nn/test_cells")
)


class Mutant(NamedTuple):
    """A change of one place of a file.

    Args:
        file: under `ptu_seq/`.
        before: text that the file has; of several places that have it, the first is changed.
        after: what is put in its place.
        tests: one of them has to fail.
    """

    file: str
    before: str
    after: str
    tests: tuple[str, ...]


def mutants() -> list[Mutant]:
    """All changes."""
    listed = {
        ("unit.py", (UNIT,)): [
            ("bound = 1 / math.sqrt(2 * size)", "bound = 1 / math.sqrt(size)"),
            ("fine_tune.fill_(self.fine_tune_bias)", "fine_tune.fill_(self.update_bias)"),
            ("update.fill_(self.update_bias)", "update.fill_(0.0)"),
            ("candidate.zero_()", "candidate.fill_(0.1)"),
            ("nn.init.eye_(self.weight_source[2 * size :])", "pass"),
            ("return t, PTUGates(zero, zero)", "return t, PTUGates(one, zero)"),
            (
                'fine_tune = one if state == "adapted" else zero',
                'fine_tune = zero if state == "adapted" else one',
            ),
            ('return s if state == "frozen" else', 'return s if state == "adapted" else'),
            ("first = 2 * self.target_size", "first = self.target_size"),
            ("draw < self.gate_dropout / 2", "draw < self.gate_dropout / 4"),
            ("draw < self.gate_dropout, forced", "draw < self.gate_dropout / 2, forced"),
            ("self.training and self.gate_dropout > 0", "self.gate_dropout > 0"),
            ("fine_tune, update = gates.chunk", "update, fine_tune = gates.chunk"),
            ("torch.lerp(t, retuned, update), PTUG", "torch.lerp(retuned, t, update), PTUG"),
            ("return source_gates + self._product", "return source_gates - self._product"),
            (
                "torch.lerp(s.to(dtype), self.activate(candidate).to(dtype), fine_tune)",
                "torch.lerp(self.activate(candidate).to(dtype), s.to(dtype), fine_tune)",
            ),
            ("return torch.tanh(x)", "return torch.sigmoid(x)"),
            ("self.projection.weight, self.projection.bias", "self.projection.weight, None"),
        ],
        ("nn/loop.py", (LOOP,)): [
            ("torch.sigmoid(f) * c + torch.sigmoid(i)", "torch.sigmoid(i) * c + torch.sigmoid(f)"),
            ("torch.sigmoid(o) * torch.tanh(c), c", "torch.sigmoid(o) * c, c"),
            ("reset * hidden_new", "hidden_new"),
            ("(h - new) * update + new", "(new - h) * update + h"),
            ("ended.append(tuple(part[batch:] for part in now))", "ended.append(now)"),
            ("part[alive:batch] for part in state", "part[: batch - alive] for part in state"),
            ("        outputs.reverse()\n", "        pass\n"),
            ("        gates.reverse()\n", "        pass\n"),
            ("zip(now, *reversed(ended), strict=True)", "zip(now, *ended, strict=True)"),
            ('float(unit.pinned == "adapted")', 'float(unit.pinned == "frozen")'),
        ],
        ("nn/walk.py", (LOOP,)): [
            ("return first[:batch]", "return torch.zeros_like(first[:batch])"),
            ("first[len(last) : batch]", "first[: batch - len(last)]"),
            ("last[:batch]", "last[-batch:]"),
            ("[blocks[-1], *reversed(ends)]", "[blocks[-1], *ends]"),
            (
                "return torch.cat(blocks[::-1] if self.reverse else blocks)",
                "return torch.cat(blocks)",
            ),
        ],
        ("nn/fused_unit.py", (LOOP,)): [
            (
                "torch.lerp(self.s, self.candidate, self.f",
                "torch.lerp(self.candidate, self.s, self.f",
            ),
            ("self.d_h.add_(d_state)", "self.d_h.sub_(d_state)"),
            ("self.by_gate.mul_(self.d_each)", "self.by_gate"),
            ("self.d_gates.add_(self.reported)", "self.d_gates"),
            ("self.d_h, self.update, value=-1)", "self.d_h, self.update, value=1)"),
            ("add_product(d_t, self.d_gates, weight_target)", "d_t"),
            (".mul_(candidate - s).mul_(update)", ".mul_(candidate - s)"),
            (".mul_(retuned.sub_(t))", ".mul_(retuned)"),
            ("torch.mul(update, fine_tune, out=by_candidate)", "by_candidate.copy_(update)"),
            ("by_candidate.mul_(slope_of_tanh(candidate))", "pass"),
            ("by_candidate.mul_(candidate > 0)", "pass"),
        ],
        ("nn/fused_cells.py", (LOOP,)): [
            ("slope_of_sigmoid(i, out=by_i).mul_(g)", "slope_of_sigmoid(i, out=by_i).mul_(i)"),
            ("slope_of_sigmoid(f, out=by_f).mul_(c)", "slope_of_sigmoid(f, out=by_f).mul_(self.c)"),
            ("slope_of_tanh(self.tanh_c).mul_(o)", "slope_of_tanh(self.tanh_c)"),
            ("d_c.addcmul_(d_t, self.c)", "d_c"),
            ("d_c.mul_(self.c_before)", "d_c"),
            ("mul_(1 - update)", "mul_(update)"),
            (".mul_(of_state).mul_(by_new)", ".mul_(of_state)"),
            (".mul_(h - new)", ".mul_(new - h)"),
            ("torch.mul(by_new, reset, out=by_of_state)", "by_of_state.copy_(by_new)"),
            ("torch.mul(d_t, self.h_before, out=d_h)", "d_h.copy_(d_t)"),
            ("biases[0] + biases[1] if biases", "biases[0] if biases"),
            ("F.pad(of_state, (size, 0))", "F.pad(of_state, (0, size))"),
            (
                "torch.addcmul(y, y, y, value=-1, out=out)",
                "torch.addcmul(y, y, y, value=1, out=out)",
            ),
        ],
        ("nn/fused.py", (LOOP,)): [
            ("d_h * update * (1 - fine_tune)", "d_h * update * fine_tune"),
            ("slopes.products.sum(0)", "slopes.products.mean(0)"),
            ("d_unit.t() @ s_factor", "d_unit.t() @ s_factor * 2"),
            (
                "slope_of_sigmoid(gates).mul_(d_gates)",
                "slope_of_sigmoid(gates)",
            ),
            ("d if len(d) == rows else d[:rows] for", "d if len(d) == rows else d[-rows:] for"),
            ("candidate.copy_(unit.activate(candidate))", "pass"),
        ],
        ("nn/packed.py", (PACKED,)): [
            ("direction == 1)", "direction == 0)"),
            ("d_h_i.add_(d_now[0])", "d_h_i"),
            ("cell.of_state(d_cell).t() @ before[0]", "cell.of_state(d_cell).t() @ h"),
            ("cell.of_input(d_cell) @ weight_ih", "-cell.of_input(d_cell) @ weight_ih"),
        ],
        ("nn/cells.py", (CELLS,)): [
            ("t, c = self.target(x, first)", "t, c = self.target(x, None)"),
            (
                "self.source(source_x, source_first)\n        t,",
                "self.source(source_x, None)\n        t,",
            ),
            ("LSTMCellState(self.unit(s, t), c,", "LSTMCellState(self.unit(t, t), c,"),
            ("self.unit(s, self.target(x, first)), s)", "self.unit(s, self.target(x)), s)"),
            ("            return source_input\n", "            return x\n"),
        ],
    }
    return [
        Mutant(file, before, after, tests)
        for (file, tests), changes in listed.items()
        for before, after in changes
    ]


def is_caught(mutant: Mutant, copy: Path) -> bool:
    """Whether a test fails where the change is made.

    Raises:
        ValueError: if the file does not have the text that is to be changed.
    """
    path = copy / "ptu_seq" / mutant.file
    text = path.read_text("utf-8")
    if mutant.before not in text:
        raise ValueError(f"{mutant.file} has no {mutant.before!r}; write the change anew.")
    path.write_text(text.replace(mutant.before, mutant.after, 1), "utf-8")
    try:
        return run_tests(mutant.tests, copy) != 0
    finally:
        path.write_text(text, "utf-8")


def run_tests(tests: tuple[str, ...], copy: Path) -> int:
    """The exit code of pytest in a child process, which imports the copy of the package."""
    child = os.fork()
    if child == 0:
        os.chdir(copy)
        sys.path.insert(0, str(copy))
        sys.dont_write_bytecode = True
        with open(os.devnull, "w") as silence, contextlib.redirect_stdout(silence):
            code = pytest.main(["-x", "-p", "no:cacheprovider", "-p", "no:xdist", *tests])
        os._exit(int(code))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    """Tries all changes, each beside a run of the tests without it."""
    assert "ptu_seq" not in sys.modules
    torch.set_num_threads(1)
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    chosen = [mutant for mutant in mutants() if word in mutant.file]
    survivors = []
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place)
        for part in ("ptu_seq", "tests"):
            ignored = shutil.ignore_patterns("__pycache__", "fixtures")
            shutil.copytree(ROOT / part, copy / part, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", copy)
        for tests in dict.fromkeys(mutant.tests for mutant in chosen):
            if run_tests(tests, copy) != 0:
                sys.exit(f"{' '.join(tests)} fails without any change.")
        for mutant in chosen:
            start = time.monotonic()
            caught = is_caught(mutant, copy)
            seconds = time.monotonic() - start
            told = "caught  " if caught else "SURVIVED"
            print(f"{told} {seconds:5.1f} s  {mutant.file}: {mutant.after.strip()}", flush=True)
            if not caught:
                survivors.append(mutant)
    print(f"\n{len(chosen) - len(survivors)} of {len(chosen)} changes were caught.")
    sys.exit(bool(survivors))


if __name__ == "__main__":
    main()
