"""Traces the functions that typical operations call.

Run `python -m tests.reading_paths`. To understand an operation, a newcomer reads every project
function that the operation calls, and often returns to a file that was opened earlier. The
report counts these functions, their files, and the returns to files that were opened earlier.
Comprehensions and lambdas are not counted, because they are part of the enclosing function.
"""

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from types import CodeType, FrameType
from urllib.parse import parse_qs, urlencode

import boto3
import click
import pytest
from chalice.test import Client
from twilio.jwt.access_token import AccessToken
from twilio.jwt.access_token.grants import TaskRouterGrant
from twilio.request_validator import RequestValidator
from twilio.rest.taskrouter.v1.workspace import WorkspaceContext

from app import app
from chalicelib import config, runtime
from chalicelib.adapters.dynamodb.client import make_client
from taskrouter_simulator.testing import TaskRouter, running
from tests.moto_over_http import serve_moto

ROOT = Path(__file__).parent.parent
APP = ("app.py", "chalicelib")
SIMULATOR = ("taskrouter_simulator",)
_DYNAMODB_SECONDS = 30.0
"""Time limit for a DynamoDB call. The limit is high because the tracer slows down moto."""
_NESTED_CODE = ("<listcomp>", "<genexpr>", "<dictcomp>", "<setcomp>", "<lambda>")


@dataclass
class ReadingPath:
    """The functions that one operation calls.

    Attributes:
        packages: Top-level files and folders whose functions are counted.
        functions: Distinct functions as `file:name`, in the order in which they are entered.
        files: Distinct files, in the order in which they are entered.
        returns: Number of times that the path returns to an earlier file.
    """

    packages: tuple[str, ...]
    functions: dict[CodeType, str] = field(default_factory=dict)
    files: dict[str, None] = field(default_factory=dict)
    returns: int = 0
    _current: str = ""

    def enter(self, code: CodeType) -> None:
        """Record the first call of a function in the packages."""
        if code in self.functions or code.co_name in _NESTED_CODE:
            return
        if not code.co_filename.startswith(f"{ROOT}/"):
            return
        file = str(Path(code.co_filename).relative_to(ROOT))
        if file.split("/", maxsplit=1)[0] not in self.packages:
            return
        self.functions[code] = f"{file}:{code.co_qualname}"
        if file != self._current and file in self.files:
            self.returns += 1
        self.files.setdefault(file)
        self._current = file

    def __str__(self) -> str:
        """Return the number of functions, files and returns to an earlier file."""
        counts = f"{len(self.functions)} functions in {len(self.files)} files"
        return f"{counts}, {self.returns} returns to an earlier file"


_path: ReadingPath | None = None


def _profile(frame: FrameType, event: str, _argument: object) -> None:
    if _path is not None and event == "call":
        _path.enter(frame.f_code)


@contextmanager
def tracing(packages: tuple[str, ...]) -> Iterator[ReadingPath]:
    """Trace this thread, and all threads started since `main` called `threading.setprofile`."""
    global _path  # noqa: PLW0603  the profile function takes no further arguments
    path = _path = ReadingPath(packages)
    sys.setprofile(_profile)
    try:
        yield path
    finally:
        sys.setprofile(None)
        _path = None


class _DeferringApp(BaseHTTPRequestHandler):
    """Answers every callback with `{}` and queues the callback's parameters for the tracer."""

    callbacks: "Queue[dict[str, list[str]]]" = Queue()

    def do_POST(self) -> None:
        """Answer a callback."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
        self.callbacks.put(parse_qs(body.decode()))

    def log_message(self, *_arguments: object) -> None:
        """Suppress the request log."""


@contextmanager
def _deferring_app() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _DeferringApp)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def _make_alice_available(simulator: TaskRouter) -> None:
    workspace = simulator.client().taskrouter.v1.workspaces(simulator.workspace_sid)
    alice = workspace.workers(simulator.workers["Alice"])
    alice.update(activity_sid=simulator.activities["Idle"])


def _reserve_alice(workspace: WorkspaceContext, workflow_sid: str) -> dict[str, str]:
    """Reserve Alice for a new Task; return the parameters of the callback."""
    workspace.tasks.create(attributes='{"selected_language": "es"}', workflow_sid=workflow_sid)
    callback = _DeferringApp.callbacks.get(timeout=5)
    return {name: values[0] for name, values in callback.items()}


def trace_simulator(simulator: TaskRouter) -> ReadingPath:
    """Trace the creation of a Task, its callback and the acceptance of its Reservation."""
    workspace = simulator.client().taskrouter.v1.workspaces(simulator.workspace_sid)
    _make_alice_available(simulator)
    with tracing(SIMULATOR) as path:
        callback = _reserve_alice(workspace, simulator.workflow_sid)
        task = workspace.tasks(callback["TaskSid"])
        task.reservations(callback["ReservationSid"]).update(reservation_status="accepted")
        time.sleep(0.2)  # the simulator processes the callback's answer asynchronously
    return path


@contextmanager
def _service(simulator: TaskRouter) -> Iterator[runtime.Runtime]:
    environ = {
        "TWILIO_ACCOUNT_SID": simulator.account_sid,
        "TWILIO_AUTH_TOKEN": simulator.auth_token,
        "TWILIO_API_KEY_SID": simulator.api_key_sid,
        "TWILIO_API_KEY_SECRET": simulator.api_key_secret,
        "TWILIO_WORKSPACE_SID": simulator.workspace_sid,
        "TWILIO_WORKFLOW_SID": simulator.workflow_sid,
        "TWILIO_TASKROUTER_URL": simulator.url,
        "PUBLIC_BASE_URL": "https://example.test",
        "RESERVATIONS_TABLE": "reservations",
        "STATE_TABLE": "state",
    }
    with serve_moto() as moto, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "moto")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "moto")
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", moto.url)
        dynamodb = boto3.client("dynamodb")
        for table, key in (("reservations", "reservation_sid"), ("state", "id")):
            dynamodb.create_table(
                TableName=table,
                KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
        client = make_client(_DYNAMODB_SECONDS)
        yield runtime.Runtime(config.load(environ), client, runtime.SystemClock())


def _post(client: Client, path: str, parameters: dict[str, str], headers: dict[str, str]) -> None:
    body = urlencode(parameters).encode()
    all_headers = {"Content-Type": "application/x-www-form-urlencoded", **headers}
    response = client.http.post(path, headers=all_headers, body=body)
    if response.status_code != 200:
        raise click.ClickException(f"{path} returned {response.status_code}: {response.body!r}")


def trace_app(simulator: TaskRouter) -> tuple[ReadingPath, ReadingPath]:
    """Trace an assignment callback and the acceptance of the recorded Reservation."""
    workspace = simulator.client().taskrouter.v1.workspaces(simulator.workspace_sid)
    validator = RequestValidator(simulator.auth_token)
    grant = TaskRouterGrant(workspace_sid=simulator.workspace_sid, role="supervisor")
    key = (simulator.account_sid, simulator.api_key_sid, simulator.api_key_secret)
    bearer = {"Authorization": f"Bearer {AccessToken(*key, grants=[grant]).to_jwt()}"}
    with _service(simulator) as service, Client(app) as client:
        runtime.use(service)
        # Return the second iteration's paths, because the first also creates the runtime's clients.
        for _ in range(2):
            _make_alice_available(simulator)
            parameters = _reserve_alice(workspace, simulator.workflow_sid)
            url = "https://example.test/assignment_callback"
            signature = {"X-Twilio-Signature": validator.compute_signature(url, parameters)}
            with tracing(APP) as callback:
                _post(client, "/assignment_callback", parameters, signature)
            with tracing(APP) as accept:
                _post(client, f"/reservations/{parameters['ReservationSid']}/accept", {}, bearer)
            workspace.tasks(parameters["TaskSid"]).update(assignment_status="completed")
        runtime.use(None)
    return callback, accept


@click.command()
@click.option("--verbose", is_flag=True, help="Print every function.")
def main(*, verbose: bool) -> None:
    """Print the number of functions and files that each typical operation enters."""
    logging.disable()  # suppress the app's log lines
    threading.setprofile(_profile)
    with (
        _deferring_app() as url,
        running(callback_base_url=url, assignment_path="/", frozen_clock=False) as simulator,
    ):
        simulator_path = trace_simulator(simulator)
        simulator.reset()
        callback_path, accept_path = trace_app(simulator)
    for name, path in (
        ("assignment callback", callback_path),
        ("accept over REST", accept_path),
        ("Task, callback, accept in the simulator", simulator_path),
    ):
        click.echo(f"{name}: {path}")
        if verbose:
            click.echo("".join(f"  {function}\n" for function in path.functions.values()))


if __name__ == "__main__":
    main()
