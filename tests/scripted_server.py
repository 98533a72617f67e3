"""A TCP server that runs a script for each connection, for tests of slow and broken connections."""

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

_NO_LINGER = struct.pack("ii", 1, 0)
_CHUNK = b"x" * 65_536
_MAX_SECONDS = 5


@dataclass
class Peer:
    """The server's end of one connection.

    Attributes:
        connection: the accepted connection.
        ended: set at the end of the test.
        requests: the complete requests that the server has received on all connections.
    """

    connection: socket.socket
    ended: threading.Event
    requests: list[bytes]

    def read_request(self) -> bytes:
        """Read a request and its body; return no bytes if the client closed the connection."""
        request = b""
        while b"\r\n\r\n" not in request:
            received = self.connection.recv(65_536)
            if not received:
                return b""
            request += received
        head, _, body = request.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        while length and len(body) < int(length[1]):
            received = self.connection.recv(65_536)
            if not received:
                return b""
            body += received
        self.requests.append(head + b"\r\n\r\n" + body)
        return self.requests[-1]

    def send(self, data: bytes) -> None:
        """Send all of *data* at once."""
        self.connection.sendall(data)

    def drip(self, data: bytes, *, seconds: float = 0.02) -> None:
        """Send *data* byte by byte, and then spaces, until the test or the connection ends."""
        for byte in data:
            self.connection.sendall(bytes([byte]))
            self.ended.wait(seconds)
        while not self.ended.wait(seconds):
            self.connection.sendall(b" ")

    def send_endlessly(self) -> None:
        """Send data as fast as possible until the test or the connection ends."""
        while not self.ended.is_set():
            self.connection.sendall(_CHUNK)

    def hold(self) -> None:
        """Keep the connection open until the test ends or the client closes the connection."""
        self.connection.settimeout(0.02)
        while not self.ended.is_set():
            with contextlib.suppress(TimeoutError):
                if not self.connection.recv(65_536):
                    return

    def reset(self) -> None:
        """Close the connection with a TCP RST."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.connection.close()


@dataclass
class ScriptedServer:
    """A server that runs `script` for each connection, in a separate thread.

    Attributes:
        url: the base URL.
        script: called with each connection's `Peer`. The connection is closed afterward.
        requests: the complete requests that the server has received.
        connections: the number of accepted connections.
    """

    url: str
    script: Callable[[Peer], None] = Peer.hold
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0


@contextlib.contextmanager
def running_server(script: Callable[[Peer], None] = Peer.hold) -> Iterator[ScriptedServer]:
    """Start a server; at the end, close all connections and stop all threads."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = ScriptedServer(f"http://127.0.0.1:{listener.getsockname()[1]}", script)
    ended, threads = threading.Event(), list[threading.Thread]()

    def serve(connection: socket.socket) -> None:
        connection.settimeout(_MAX_SECONDS)
        with connection, contextlib.suppress(OSError):
            server.script(Peer(connection, ended, server.requests))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            server.connections += 1
            threads.append(threading.Thread(target=serve, args=(connection,)))
            threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield server
    finally:
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()
        for thread in threads:
            thread.join()
