"""A connection between two processes that the system ends when one of them does."""

from __future__ import annotations

import pickle
import socket
from typing import Any

#: Seconds of silence after which a machine is asked if it is there, between questions, and how many
#: of these it may leave unanswered.
_IDLE, _INTERVAL, _QUESTIONS = 10, 5, 4


class Link:
    """A connection between rank 0 and another process, over which objects go.

    Args:
        connection: a connected socket.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        connection.settimeout(None)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # Linux's; other systems ask at intervals of their own.
        for name, value in (
            ("TCP_KEEPIDLE", _IDLE),
            ("TCP_KEEPINTVL", _INTERVAL),
            ("TCP_KEEPCNT", _QUESTIONS),
        ):
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._stream = connection.makefile("rwb")

    def send(self, message: Any) -> None:
        """Sends what can be pickled."""
        pickle.dump(message, self._stream)
        self._stream.flush()

    def close(self) -> None:
        """Ends the connection, which the other process sees."""
        self._stream.close()
        self._connection.close()

    def receive(self) -> Any:
        """The next message.

        Raises:
            EOFError, OSError: if the other process has ended.
        """
        return pickle.load(self._stream)  # noqa: S301, from one that knows the secret
