"""Heads of requests, byte by byte: too large or too slow, and the connection is closed; others do not notice."""

import asyncio
import contextlib
import socket
import threading
import time

import pytest
import uvicorn

from prismrec.serving.http.protocol import BoundedProtocol


async def app(scope, receive, send):
    """Answers with how many bytes came."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(str(size)))]})
    await send({"type": "http.response.body", "body": str(size).encode()})


@pytest.fixture(scope="module")
def address():
    """A server in a thread, with a head of 2,000 bytes at most, within a second."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(app, port=port, http=BoundedProtocol, ws="none", lifespan="off", log_config=None,
                       h11_max_incomplete_event_size=2000, timeout_keep_alive=1)
    )  # fmt: skip
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield "127.0.0.1", port
    server.should_exit = True
    thread.join()


def talk(address, *chunks, pause=0.0):
    """What the server says until it closes the connection."""
    with socket.create_connection(address, timeout=20) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for chunk in chunks:
                connection.sendall(chunk)
                time.sleep(pause)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(2**16):
                received += piece
        return received


def test_plain_request_is_answered(address):
    assert talk(address, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").startswith(b"HTTP/1.1 200 OK")


def test_head_that_comes_in_pieces_is_answered(address):
    pieces = [b"GET / HTTP", b"/1.1\r\nho", b"st: x\r\nconnection: close\r", b"\n\r\n"]
    assert talk(address, *pieces, pause=0.05).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    "start", [b"GET / HTTP/1.1\r\nx: ", b"GET /", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 10 + b"c: "]
)
def test_head_that_is_too_large_is_refused(address, start):
    answer = talk(address, start, *[b"y" * 500] * 20, pause=0.01)
    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")


def test_body_is_no_part_of_the_head(address):
    head = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 100000\r\n\r\n"
    assert talk(address, head, b"z" * 100_000).endswith(b"\r\n\r\n100000")


def test_each_request_of_a_connection_has_its_own_head(address):
    request = b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 1500 + b"\r\n"
    answer = talk(address, *[request + b"\r\n"] * 3, request + b"connection: close\r\n\r\n", pause=0.05)
    assert answer.count(b"HTTP/1.1 200 OK") == 4


@pytest.mark.parametrize("chunks", [(), (b"GET / HT",), (b"GET / HTTP/1.1\r\n", *[b"a: b\r\n"] * 20)])
def test_head_that_does_not_come_to_an_end_is_given_up(address, chunks):
    started = time.monotonic()
    assert talk(address, *chunks, pause=0.1) == b""
    assert time.monotonic() - started < 10


def test_others_are_answered_while_one_trickles(address):
    slow = threading.Thread(target=talk, args=(address, *[b"G"] * 3), kwargs={"pause": 0.3})
    slow.start()
    for _ in range(5):
        assert talk(address, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").startswith(b"HTTP/1.1 200")
    slow.join()


def test_body_may_take_longer_than_a_head(address):
    head = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4\r\n\r\n"
    assert talk(address, head, b"ab", b"cd", pause=0.9).endswith(b"\r\n\r\n4")
