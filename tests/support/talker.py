"""A port behind which there is not what is looked for."""

from __future__ import annotations

import contextlib
import socket
import threading


class Talker:
    """
    Answers everyone with the same bytes, and then hangs up; or says nothing at all.

    Args:
        answer: The bytes; none: nothing is said, and nobody hangs up.
        stays: It does not hang up after its answer either.
        polite: It does not speak before it has heard something.
    """

    def __init__(self, answer: bytes = b"", *, stays: bool = False, polite: bool = False) -> None:
        self._answer = answer
        self._polite = polite
        self._stays = stays
        self._ended = threading.Event()

    def __enter__(self) -> int:
        self._socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()
        return int(self._socket.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection:
            if self._answer:
                with contextlib.suppress(OSError):
                    if self._polite:
                        connection.recv(1)
                    connection.sendall(self._answer)
                    if not self._stays:
                        connection.shutdown(socket.SHUT_WR)
            # NB: to close it before all is read that came would take the answer back.
            self._ended.wait()
