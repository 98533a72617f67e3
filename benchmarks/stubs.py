"""Stubs for AWS services (Lambda's Runtime API, DynamoDB and SSM) and other HTTP services.

AWS's own runtime client, `awslambdaric`, runs the handlers in Lambda's Python runtimes. The client
fetches events from the Runtime API and returns responses to that API. `Function` serves the Runtime
API to one process.
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html

The DynamoDB stub responds to every write immediately, so that only the caller's own time is
measured. The stubs use plain sockets, which add about 0.1 ms to an invocation.
"""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from benchmarks import inputs
from benchmarks.programs import Program

_TIMEOUT_SECONDS = 300
_POLL_SECONDS = 1
"""Interval between checks for a process that has ended without connecting."""

_NEXT = "/2018-06-01/runtime/invocation/next"
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TARGET = re.compile(rb"\r\nx-amz-target: *(\S+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


_LAMBDA_ENVIRON = {
    "TZ": ":UTC",
    "LANG": "en_US.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",  # Lambda's file system is read-only.
    "AWS_LAMBDA_FUNCTION_NAME": "benchmark",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
    "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/benchmark",
    "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
    "AWS_EXECUTION_ENV": "AWS_Lambda_python",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "benchmark",
    "AWS_SECRET_ACCESS_KEY": "benchmark",
    "AWS_SESSION_TOKEN": "benchmark",
}
_JSON_HEADERS = {"Content-Type": "application/json", "x-amzn-RequestId": "R" * 52}


class Duration(NamedTuple):
    """The elapsed time and the CPU time of an invocation, in seconds."""

    wall: float
    cpu: float


class Connection:
    """A keep-alive connection from an HTTP client."""

    def __init__(self, accepted: socket.socket) -> None:
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        accepted.settimeout(_TIMEOUT_SECONDS)
        self._socket = accepted
        self._buffer = b""

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def receive(self) -> tuple[bytes, bytes] | None:
        """Return the head and body of the next request, or None if the client disconnected."""
        try:
            head = self._read_until(b"\r\n\r\n")
        except EOFError:
            return None
        if not _CHUNKED.search(head):
            length = _CONTENT_LENGTH.search(head)
            return head, self._read(int(length[1]) if length else 0)
        body = b""
        while size := int(self._read_until(b"\r\n"), 16):
            body += self._read(size + 2)[:-2]
        self._read(2)
        return head, body

    def send(self, status: str, headers: Mapping[str, str], body: bytes) -> None:
        """Send a response."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    def _read_until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            self._fill()
        data, _, self._buffer = self._buffer.partition(end)
        return data

    def _read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._fill()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _fill(self) -> None:
        received = self._socket.recv(2**16)
        if not received:
            raise EOFError
        self._buffer += received


class Function:
    """A Lambda function in a separate process.

    Attributes:
        response: The latest response.
        responded_at: When the latest response was received (`time.perf_counter`).
    """

    def __init__(self, listener: socket.socket, process: subprocess.Popen[bytes]) -> None:
        self._listener = listener
        self._process = process
        self._connection: Connection | None = None
        self._number = 0
        # The result of clock_getcpuclockid(3). The clock's time includes threads that have ended.
        self._cpu_clock = (~process.pid << 3) | 2
        self.response = b""
        self.responded_at = 0.0

    def await_request(self) -> None:
        """Wait until the process requests the next event."""
        head, body = self._receive()
        if f" {_NEXT} ".encode() not in head:
            raise RuntimeError(f"The function failed: {body.decode(errors='replace')[:2000]}")

    def invoke(self, event: bytes, *, seconds: int = 30) -> Duration:
        """Send an event to the waiting process, and receive its response and next request.

        Args:
            event: The event, as JSON.
            seconds: The time after which Lambda would stop the function.

        Raises:
            RuntimeError: The invocation failed. The process can be invoked again.
        """
        self._number += 1
        headers = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": f"request-{self._number}",
            "Lambda-Runtime-Deadline-Ms": str(time.time_ns() // 1_000_000 + seconds * 1000),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:0:function:benchmark",
            "Lambda-Runtime-Trace-Id": "Root=1-0-0",
        }
        cpu = self.cpu_seconds()
        started = time.perf_counter()
        self._send("200 OK", headers, event)
        head, self.response = self._receive()
        self.responded_at = time.perf_counter()
        self._send("202 Accepted", {"Content-Type": "application/json"}, b'{"status":"OK"}')
        self.await_request()
        if b"/response " not in head.partition(b"\r\n")[0]:
            raise RuntimeError(f"The invocation failed: {self.response.decode(errors='replace')}")
        return Duration(self.responded_at - started, self.cpu_seconds() - cpu)

    def cpu_seconds(self) -> float:
        """Return the CPU time that the process has used."""
        return time.clock_gettime(self._cpu_clock)

    def memory_mb(self) -> float:
        """Return the maximum resident set size of the process, in MB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def close(self) -> None:
        """Stop the process."""
        self._process.kill()
        self._process.wait()
        if self._connection:
            self._connection.close()

    def _receive(self) -> tuple[bytes, bytes]:
        while True:
            if self._connection is None:
                self._connection = self._accept()
            if request := self._connection.receive():
                return request
            self._connection.close()
            self._connection = None

    def _accept(self) -> Connection:
        while True:
            try:
                return Connection(self._listener.accept()[0])
            except TimeoutError:
                if self._process.poll() is not None:
                    code = self._process.returncode
                    raise RuntimeError(f"The function exited with code {code}.") from None

    def _send(self, status: str, headers: Mapping[str, str], body: bytes) -> None:
        if self._connection is None:
            raise RuntimeError("The function is not connected.")
        self._connection.send(status, headers, body)


@contextmanager
def function(program: Program, runtime: Path, environ: Mapping[str, str]) -> Iterator[Function]:
    """Run a function for the duration of a `with` block.

    Args:
        program: The function.
        runtime: The folder with the packages that Lambda's runtime provides.
        environ: Environment variables in addition to those of the program and of Lambda.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(_POLL_SECONDS)
        variables = {
            **_LAMBDA_ENVIRON,
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(map(str, (program.folder, runtime))),
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{listener.getsockname()[1]}",
            "LAMBDA_TASK_ROOT": str(program.folder),
            **program.environ,
            **environ,
        }
        # Without -S, the process would also find the packages of this environment.
        command = [sys.executable, "-S", "-m", "awslambdaric", program.handler]
        process = subprocess.Popen(  # noqa: S603  the compared programs
            command, cwd=program.folder, env=variables, stdout=subprocess.DEVNULL
        )
        running = Function(listener, process)
        try:
            yield running
        finally:
            running.close()


Response = tuple[HTTPStatus, bytes]
"""The status and the body of a response."""


@contextmanager
def dynamodb(parameter: str) -> Iterator[str]:
    """Serve DynamoDB and SSM on a free port, and yield the URL.

    Args:
        parameter: The value of every SSM parameter.
    """
    content = {"Parameter": {"Value": parameter}}
    contents = {"getparameter": json.dumps(content).encode()}

    def respond(target: str, body: bytes) -> Response:
        operation = target.rpartition(".")[2].lower()
        if operation not in contents:
            contents[operation] = json.dumps(inputs.respond(json.loads(body))).encode()
        return HTTPStatus.OK, contents[operation]

    with serve(respond) as url:
        yield url


@contextmanager
def serve(respond: Callable[[str, bytes], Response]) -> Iterator[str]:
    """Serve an HTTP API on a free port, and yield the URL.

    Args:
        respond: Returns the response to a request. The arguments are the target and the body of the
            request. The target is the AWS operation, such as ``DynamoDB_20120810.UpdateItem``. For
            a request without an AWS operation, the target is the request line.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        threading.Thread(target=_accept, args=(listener, respond), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, respond: Callable[[str, bytes], Response]) -> None:
    while True:
        try:
            accepted, _ = listener.accept()
        except OSError:  # closed
            return
        arguments = (Connection(accepted), respond)
        threading.Thread(target=_serve, args=arguments, daemon=True).start()


def _serve(connection: Connection, respond: Callable[[str, bytes], Response]) -> None:
    with suppress(TimeoutError):  # a client may keep an idle connection open
        while request := connection.receive():
            head, body = request
            match = _TARGET.search(head)
            target = match[1] if match else head.split(b"\r\n")[0]
            status, content = respond(target.decode(), body)
            connection.send(f"{status} {status.phrase}", _JSON_HEADERS, content)
    connection.close()
