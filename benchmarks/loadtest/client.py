"""A light HTTP client for one purpose: many small requests to a server on loopback, over connections that stay open.

It knows what PrismRec's server sends (a content length, no chunks) and no more, so that the client's own work does not
hide the server's.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from dataclasses import dataclass
from typing import Any

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEADER = rb"\r\n%s: *([^\r]*)"


class BrokenConnectionError(ConnectionError):
    """The connection ended before the answer was whole: nobody knows whether the request was carried out."""


@dataclass(frozen=True)
class Reply:
    """An answer of the server."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str:
        """The value of a header, "" where it is missing."""
        found = re.search(_HEADER % name.encode(), self.head, re.IGNORECASE)
        return found[1].decode() if found else ""

    def json(self) -> Any:
        """The body as JSON values."""
        return json.loads(self.body)


def request_of(method: str, path: str, body: Any = None) -> bytes:
    """The bytes of a request; `body` becomes JSON."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\n"
    if body is not None:
        head += f"content-type: application/json\r\ncontent-length: {len(content)}\r\n"
    return head.encode() + b"\r\n" + content


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        """Use `Connection.open`."""
        self.n_asked = 0
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Reply] | None = None

    @classmethod
    async def open(cls, port: int) -> Connection:
        """Connect to a port of this machine.

        Raises:
            OSError: nobody listens.
        """
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    @property
    def is_open(self) -> bool:
        """Whether it can take a request."""
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: bytes) -> Reply:
        """Send a request and wait for the whole answer.

        Raises:
            BrokenConnectionError: it ended before that.
        """
        if self._transport is None or self._transport.is_closing():
            raise BrokenConnectionError("the connection is closed")
        self.n_asked += 1
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def close(self) -> None:
        """Close it, whatever is under way."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As asyncio calls it."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """As asyncio calls it."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(BrokenConnectionError(f"no whole answer came ({exc or 'closed'})"))
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """As asyncio calls it."""
        self._received += data
        end = self._received.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        head = bytes(self._received[:end])
        length = _LENGTH.search(head)
        if length is None:
            raise BrokenConnectionError(f"an answer without length: {head!r}")
        whole = end + int(length[1])
        if len(self._received) >= whole and self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(Reply(int(head[9:12]), head, bytes(self._received[end:whole])))
            del self._received[:whole]


class Pool:
    """Connections that are used in turn; a request waits where none is free."""

    def __init__(self, port: int, size: int, uses: int = sys.maxsize) -> None:
        """Nothing is opened yet.

        Args:
            port: who answers.
            size: how many connections there are at once.
            uses: after so many requests a connection is closed and another one opened: several workers share what is
                new, and keep what they have.
        """
        self._port = port
        self._uses = uses
        self._free: asyncio.Queue[Connection | None] = asyncio.Queue()
        for _ in range(size):
            self._free.put_nowait(None)

    async def ask(self, request: bytes) -> Reply:
        """Send a request over the connection that has rested longest.

        Raises:
            BrokenConnectionError: the connection ended before the answer was whole.
            OSError: nobody listens.
        """
        connection = await self._free.get()
        try:
            if connection is None or not connection.is_open:
                connection = None
                connection = await Connection.open(self._port)
            reply = await connection.ask(request)
            if connection.n_asked >= self._uses:
                connection.close()
            return reply
        except asyncio.CancelledError:
            if connection is not None:
                connection.close()  # its answer may still come, and is nobody's
            raise
        finally:
            self._free.put_nowait(connection)

    async def __aenter__(self) -> Pool:
        """Itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections; none may be in use."""
        while not self._free.empty():
            connection = self._free.get_nowait()
            if connection is not None:
                connection.close()
        await asyncio.sleep(0)  # their transports let go of the sockets in the next turn of the loop


__all__ = ["BrokenConnectionError", "Connection", "Pool", "Reply", "request_of"]
