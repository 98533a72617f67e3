"""A TCP server that follows a script, for tests of lost, slow and endless responses."""

import contextlib
import json
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Step = Callable[[socket.socket, threading.Event], None]
"""Responds to one request on a connection. The event is set when the server stops."""


def http_response(status: int, body: dict[str, Any] | bytes, *headers: str) -> bytes:
    """Return a response as bytes. The server closes the connection afterward."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [
        f"HTTP/1.1 {status} x",
        "Content-Type: application/x-amz-json-1.0",
        f"Content-Length: {len(content)}",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join([*head, "", ""]).encode() + content


def aws_error(status: int, code: str) -> bytes:
    return http_response(status, {"__type": f"com.amazonaws.dynamodb.v1#{code}", "message": "no"})


def with_checksum(body: bytes, checksum: int | str | None = None) -> bytes:
    """Return a successful response with *checksum*, or with the correct CRC32 by default."""
    value = zlib.crc32(body) if checksum is None else checksum
    return http_response(200, body, f"x-amz-crc32: {value}")


def respond(response: bytes, *, delay: float = 0) -> Step:
    """Return a step that sends *response*, which may be empty, after *delay* seconds."""

    def step(connection: socket.socket, ended: threading.Event) -> None:
        if not ended.wait(delay) and response:
            connection.sendall(response)

    return step


def stay_silent(_connection: socket.socket, ended: threading.Event) -> None:
    """Never respond."""
    ended.wait()


def drip(response: bytes, *, seconds: float = 0.3) -> Step:
    """Return a step that sends a response byte by byte, pausing *seconds* after each byte."""

    def step(connection: socket.socket, ended: threading.Event) -> None:
        for byte in response:
            connection.sendall(bytes([byte]))
            if ended.wait(seconds):
                return

    return step


def drip_body(connection: socket.socket, ended: threading.Event) -> None:
    """Send the head of a response at once, and the body slowly."""
    head, separator, body = http_response(200, {"Attributes": {}}).partition(b"\r\n\r\n")
    connection.sendall(head + separator)
    drip(body)(connection, ended)


def send_endless_body(connection: socket.socket, ended: threading.Event) -> None:
    """Send an endless body as fast as possible."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\n\r\n{")
    while not ended.is_set():
        connection.sendall(b" " * 65_536)


def drip_endless_headers(connection: socket.socket, ended: threading.Event) -> None:
    """Send an endless list of headers slowly."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while not ended.wait(0.05):
        connection.sendall(b"a: b\r\n")


SLOW: dict[str, Step] = {
    "no response": stay_silent,
    "a byte every 0.3 s": drip(http_response(200, {"Attributes": {}})),
    "a byte of the body every 0.3 s": drip_body,
    "endless headers": drip_endless_headers,
    "endless body": send_endless_body,
}


@dataclass
class ScriptedServer:
    """A server that responds to each request with the next step, and repeats the last step."""

    url: str
    steps: list[Step]
    requests: list[bytes] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    tls: ssl.SSLContext | None = None

    def serve(self, connection: socket.socket) -> None:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            stack.enter_context(connection)
            if self.tls:
                connection = stack.enter_context(self.tls.wrap_socket(connection, server_side=True))
            request = read_request(connection)
            if not request:
                return
            self.requests.append(request)
            step = self.steps[min(len(self.requests), len(self.steps)) - 1]
            step(connection, self.ended)


def read_request(connection: socket.socket) -> bytes:
    """Return a request, or no bytes if the connection was closed before the headers ended."""
    received = b""
    while b"\r\n\r\n" not in received:
        if not (data := connection.recv(65_536)):
            return b""
        received += data
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    length = int(lengths[0].partition(b":")[2]) if lengths else 0
    while len(body) < length:
        if not (data := connection.recv(65_536)):
            break
        received += data
        body += data
    return received


@contextlib.contextmanager
def scripted_server(*steps: Step, tls: ssl.SSLContext | None = None) -> Iterator[ScriptedServer]:
    """Run a server that responds to each request with the next of the *steps*."""
    threads: list[threading.Thread] = []
    connections: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http{'s' if tls else ''}://localhost:{listener.getsockname()[1]}"
        server = ScriptedServer(url.replace("http://localhost", "http://127.0.0.1"), list(steps))
        server.tls = tls

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    connections.append(connection)
                    thread = threading.Thread(target=server.serve, args=(connection,))
                    threads.append(thread)
                    thread.start()

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield server
        finally:
            server.ended.set()
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
