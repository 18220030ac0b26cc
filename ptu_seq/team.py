"""The processes of one launcher: how they meet, work at rank 0's call, and end together.

Each of them holds a connection to rank 0. The system closes it when a process dies, however it
dies, and notices within half a minute when a machine does; so nobody waits for long for one that
will never answer, which in a collective operation would be until its timeout.
"""

from __future__ import annotations

import gc
import hmac
import logging
import os
import pickle
import queue
import secrets
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import timedelta
from types import FrameType
from typing import Any, NoReturn, Self

import torch
from torch import distributed as dist

from ptu_seq.errors import UserError
from ptu_seq.link import Link
from ptu_seq.runner import prepare_process

#: Collective operations wait so long for a process that lives but does not come. Those that die
#: are noticed at once.
TIMEOUT = timedelta(minutes=10)

#: Seconds in which processes that fail all together, as by a user's mistake, are to do so.
GRACE = 5.0


def join() -> Leader | Follower:
    """Meets the other processes of the launcher that started this one.

    Raises:
        UserError: if this machine has fewer GPUs than processes, or models are to be sharded.
    """
    _check_launcher()
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
        dist.init_process_group("nccl", timeout=TIMEOUT, device_id=device)
    else:
        dist.init_process_group("gloo", timeout=TIMEOUT)
    if dist.get_rank() == 0:
        with socket.create_server(("", 0)) as server:
            secret = secrets.token_bytes(32)
            dist.broadcast_object_list([server.getsockname()[1], secret])
            links = [_accept(server, secret) for _ in range(dist.get_world_size() - 1)]
        return Leader(links)
    address: list[Any] = [None, None]
    dist.broadcast_object_list(address)
    port, secret = address
    # By definition the address of rank 0's machine, whatever the launcher.
    connection = socket.create_connection((os.environ["MASTER_ADDR"], port), timeout=60)
    connection.sendall(secret)
    link = Link(connection)
    link.send((dist.get_rank(), socket.gethostname()))
    return Follower(link)


def leader() -> Leader | None:
    """This process, if it is rank 0 of several."""
    return _leader


_leader: Leader | None = None


class Leader:
    """Rank 0: it runs the program, and has the others do their part.

    When another process dies or fails where this one does not, this one says so and ends at once,
    and with it all others.

    Args:
        links: to the others, each with the other's rank and the name of its machine.
    """

    def __init__(self, links: Sequence[tuple[Link, str]]) -> None:
        self._links = links
        self._calls = 0
        self._inside = False
        self._ended = False
        #: The last call that failed here, and the last that each of the others has ended.
        self._failed = 0
        self._done = dict.fromkeys((name for _, name in links), 0)
        self._watchers = [
            threading.Thread(target=self._watch, args=one, daemon=True) for one in links
        ]

    def __enter__(self) -> Self:
        """Watches the others from now on."""
        global _leader
        _leader = self
        signal.signal(signal.SIGINT, _interrupt_once)
        for thread in self._watchers:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Lets the others end; after an error they do when this process has ended."""
        global _leader
        _leader = None
        self._ended = True
        if error[0] is None:
            for link, _ in self._links:
                link.send(None)
            for thread in self._watchers:
                thread.join()
            _leave()

    def run(self, main: Callable[[], None]) -> None:
        """Runs the program."""
        main()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls a function in all processes: see :func:`ptu_seq.distributed.together`."""
        if self._inside:  # the others are in the same outer call
            return function(*arguments)
        self._calls += 1
        message = pickle.dumps((function, arguments))
        for link, _ in self._links:
            link.send(message)
        self._inside = True
        try:
            return function(*arguments)
        except Exception as error:
            self._failed = self._calls
            if not _soon(lambda: min(self._done.values()) == self._calls):
                raise RuntimeError(
                    "rank 0 failed alone: the other processes are still at work."
                ) from error
            raise
        finally:
            self._inside = False

    def _watch(self, link: Link, name: str) -> None:
        while True:
            try:
                number, failure = link.receive()
            except (EOFError, OSError):
                if not self._ended:
                    _end(f"{name} has died (killed, or out of memory?)")
                return
            self._done[name] = number
            # Where all fail alike, this process says why.
            if failure and not _soon(lambda: self._failed >= number or self._ended):  # noqa: B023
                _end(f"{name} failed:\n{failure}")


class Follower:
    """Any other process: it does what rank 0 calls, prints nothing, and ends when rank 0 does.

    Args:
        link: to rank 0.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._calls: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        """Is quiet from now on."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is rank 0's to handle
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, until the end
        logging.getLogger("ptu_seq").setLevel(logging.ERROR)
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leaves the group."""
        if error[0] is None:
            self._link.close()
            _leave()

    def run(self, main: Callable[[], None]) -> None:
        """Does what rank 0 calls until that has ended."""
        prepare_process()
        number = 0
        while (message := self._calls.get()) is not None:
            number += 1
            failure = None
            try:
                function, arguments = pickle.loads(message)  # noqa: S301, from rank 0
                function(*arguments)
            except UserError as error:
                failure = f"error: {error}"
            except Exception:
                failure = traceback.format_exc()
            self._link.send((number, failure))
        gc.unfreeze()  # what stays frozen is reported as leaked

    def _listen(self) -> None:
        while True:
            try:
                message = self._link.receive()
            except (EOFError, OSError):
                # A launcher on this machine ends this process; where there is none, it does.
                time.sleep(GRACE)
                _end("rank 0 ended before its work was done")
            self._calls.put(message)
            if message is None:
                return


def _accept(server: socket.socket, secret: bytes) -> tuple[Link, str]:
    """The next process that knows the secret, and what to call it."""
    while True:
        connection, _ = server.accept()
        connection.settimeout(10)
        try:
            given = connection.recv(len(secret), socket.MSG_WAITALL)
        except OSError:
            given = b""
        if not hmac.compare_digest(given, secret):
            connection.close()
            continue
        link = Link(connection)
        rank, host = link.receive()
        return link, f"rank {rank} on {host}"


def _leave() -> None:
    dist.barrier()  # who leaves first can keep another from ever leaving
    dist.destroy_process_group()


def _check_launcher() -> None:
    for name in ("FSDP", "DEEPSPEED"):
        if os.environ.get(f"ACCELERATE_USE_{name}", "false").lower() == "true":
            raise UserError(
                f"accelerate is configured for {name}; accepted is plain data parallelism "
                "(--multi_gpu, or torchrun), as every process holds the whole model."
            )
    local, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if 0 < gpus < local:
        raise UserError(
            f"{local} processes were started on {socket.gethostname()}, which has {gpus} GPUs; "
            "accepted are as many as GPUs."
        )


def _soon(condition: Callable[[], bool]) -> bool:
    """Whether something happens within the grace period."""
    until = time.monotonic() + GRACE
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def _interrupt_once(number: int, frame: FrameType | None) -> NoReturn:
    """Ctrl-C comes twice, from the terminal and the launcher; the second would stop the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _end(reason: str) -> NoReturn:
    """Ends this process from any of its threads, as the main one may wait in vain."""
    own = int(os.environ["RANK"])
    print(f"error: {reason.rstrip()}\nrank {own} ends with it.", file=sys.stderr, flush=True)
    os._exit(1)
