"""The command `ptu-seq`: its parser and its exit codes; what it does is in `commands/`."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import sys
from collections.abc import Sequence
from typing import Any

from ptu_seq import __version__
from ptu_seq.commands import (
    classify,
    collapse,
    explain,
    export,
    report,
    reproduce,
    run,
    study,
    translate,
)
from ptu_seq.errors import UserError, closest, storage_trouble


class Parser(argparse.ArgumentParser):
    """argparse, with the closest valid flag suggested for a misspelt one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Checks the flags first: a misspelt required flag is misspelt rather than missing."""
        words = list(sys.argv[1:] if args is None else args)
        own = words
        if self._subparsers is not None:  # the words after the command are its parser's affair
            own = list(itertools.takewhile(lambda word: word.startswith("-"), words))
        for word in own:
            flag = word.partition("=")[0]
            if flag.startswith("--") and flag != "--" and flag not in self._option_string_actions:
                self.error(f"unknown flag {flag}{closest(flag, self._option_string_actions)}")
        return super().parse_known_args(words, namespace)


def make_parser() -> Parser:
    """The parser of all subcommands; each sets `command`, a function of the parsed arguments.

    It may return an exit code of its own.
    """
    parser = Parser(prog="ptu-seq", description="Sequence transfer with Parameter Transfer Units.")
    parser.add_argument("--version", action="version", version=f"ptu-seq {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (run, study, report, reproduce, explain, collapse, classify, translate, export):
        command.add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code.

    Returns:
        0 or the command's own; 2 for a user's mistake, or a disk that is full or gone; 130 for
        Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    # A recipe reads its own flags, so what follows its name is not ours to parse.
    passed_on = words[2:] if words[:1] == ["run"] else []
    arguments = make_parser().parse_args(words[: len(words) - len(passed_on)])
    arguments.passed_on = passed_on
    try:
        codes: list[int] = []  # none in a process that only helps

        def command() -> None:
            codes.append(arguments.command(arguments) or 0)

        if int(os.environ.get("WORLD_SIZE", "1")) < 2:
            command()
        else:  # several processes of a launcher; imported here, as torch takes a second to load
            from ptu_seq.distributed import run_together

            run_together(command)
        sys.stdout.flush()
    except UserError as error:
        print(f"ptu-seq: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ptu-seq: interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (`| head`) has seen enough; nothing may be flushed to it at exit.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        trouble = storage_trouble(error)
        if trouble is None:
            raise
        print(f"ptu-seq: {trouble}; what was finished before is kept.", file=sys.stderr)
        return 2
    return max(codes, default=0)


if __name__ == "__main__":
    sys.exit(main())
