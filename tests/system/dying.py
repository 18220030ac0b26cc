"""One of two processes dies or fails while the other waits for it: `dying.py RANK HOW`."""

from __future__ import annotations

import os
import signal
import sys

from torch import distributed as dist

from ptu_seq.distributed import rank, run_together, together
from ptu_seq.errors import UserError


def work(unlucky: int, how: str) -> None:
    if rank() == unlucky or how == "both":
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "error":
            raise ValueError("no such luck")
        raise UserError("luck is not accepted.")
    dist.barrier()


def main() -> None:
    from tests.system import dying

    together(dying.work, int(sys.argv[1]), sys.argv[2])


if __name__ == "__main__":
    run_together(main)
