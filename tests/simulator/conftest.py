"""Fixtures that run an engine, a simulator and an app with configurable responses."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest.taskrouter.v1.workspace import WorkspaceContext

from taskrouter_simulator import seed
from taskrouter_simulator.clock import Clock
from taskrouter_simulator.engine import start, tasks, workers
from taskrouter_simulator.engine.model import Reservation, Task, Worker
from taskrouter_simulator.settings import Settings
from taskrouter_simulator.testing import TaskRouter, running

SPANISH = '{"selected_language": "es"}'


class Simulation:
    """The quickstart's Workspace in an engine without HTTP, with a frozen clock."""

    def __init__(self, **settings: Any) -> None:
        self.effects: list[Any] = []
        self.clock = Clock(lambda: 1_700_000_000.0)
        self.engine = start(Settings(**settings), self.clock, self.effects.append)
        self.workspace = seed.load(self.engine, seed.default_definition())
        self.alice = self.worker("Alice")
        self.bob = self.worker("Bob")

    def worker(self, name: str) -> Worker:
        workers = self.workspace.workers.values()
        return next(worker for worker in workers if worker.friendly_name == name)

    def activity_sid(self, name: str) -> str:
        activities = self.workspace.activities.values()
        return next(activity.sid for activity in activities if activity.friendly_name == name)

    def activity_of(self, worker: Worker) -> str:
        return self.workspace.activities[worker.activity_sid].friendly_name

    def set_activity(self, worker: Worker, activity: str) -> None:
        workers.set_activity(self.engine, self.workspace, worker, self.activity_sid(activity))
        self.clock.run_due()

    def create_task(self, attributes: str = SPANISH, **options: Any) -> Task:
        task = tasks.create(
            self.engine,
            self.workspace,
            attributes=attributes,
            workflow_sid=options.pop("workflow_sid", next(iter(self.workspace.workflows))),
            **options,
        )
        self.clock.run_due()
        return task

    def reservations(self, task: Task) -> list[Reservation]:
        return list(task.reservations)

    def offer_task(self) -> tuple[Task, Reservation]:
        """Create a Task and set Alice to Idle; return the Task and Alice's Reservation."""
        task = self.create_task()
        self.set_activity(self.alice, "Idle")
        return task, self.reservations(task)[-1]

    def event_types(self, prefix: str = "") -> list[str]:
        """Return the published event types that begin with the prefix, oldest first."""
        types = [event.event_type for event in self.workspace.events.values()]
        return [event_type for event_type in types if event_type.startswith(prefix)]


@pytest.fixture
def simulation() -> Simulation:
    return Simulation()


@pytest.fixture(scope="session")
def shared_simulator() -> Iterator[TaskRouter]:
    with running() as taskrouter:
        yield taskrouter


@pytest.fixture
def taskrouter(shared_simulator: TaskRouter) -> TaskRouter:
    """The shared simulator, reset to the quickstart's Workspace."""
    shared_simulator.reset()
    return shared_simulator


@pytest.fixture
def workspace(taskrouter: TaskRouter) -> WorkspaceContext:
    """The quickstart's Workspace in the shared simulator, accessed with Twilio's SDK."""
    return taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)


def send_request(
    taskrouter: TaskRouter, method: str, path: str, **parameters: Any
) -> tuple[int, dict[str, Any]]:
    """Send a request to a path in the Workspace; return the status and the JSON."""
    url = f"{taskrouter.url}/v1/Workspaces/{taskrouter.workspace_sid}{path}"
    if method == "GET":
        url, parameters = f"{url}?{urlencode(parameters)}", {}
    response = taskrouter.client().request(method, url, data=parameters)
    return response.status_code, json.loads(response.text)


def error_for(call: Callable[..., Any], **parameters: Any) -> str:
    """Call Twilio's SDK with invalid parameters; return the error message."""
    with pytest.raises(TwilioRestException) as error:
        call(**parameters)
    assert (error.value.status, error.value.code) == (400, 20001)
    return error.value.msg


class App:
    """An app that receives callbacks: an HTTP server in a thread.

    Attributes:
        received: Method, path, headers and form parameters of every request received.
        responses: Status, content type and body of the response for each path; the query string of
            a GET request is ignored. The default is status 200 with `{}`.
        headers: Additional headers of every response.
        delay: Seconds before each response.
        pause: Seconds between the two halves of each body.
        hold: Event that the app waits for before each response, for at most 10 seconds; None to
            respond without waiting.
        max_concurrent: Highest number of concurrent requests so far.
    """

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.responses: dict[str, tuple[int, str, bytes]] = {}
        self.headers: dict[str, str] = {}
        self.delay = 0.0
        self.pause = 0.0
        self.hold: threading.Event | None = None
        self.max_concurrent = 0
        self._active: set[int] = set()
        app = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                app.received.append(
                    {
                        "method": self.command,
                        "path": self.path,
                        "headers": dict(self.headers),
                        "parameters": dict(parse_qsl(body.decode(), keep_blank_values=True)),
                    }
                )
                app._active.add(threading.get_ident())
                app.max_concurrent = max(app.max_concurrent, len(app._active))
                time.sleep(app.delay)
                if app.hold:
                    app.hold.wait(10)
                app._active.discard(threading.get_ident())
                status, content_type, content = app.responses.get(
                    self.path if self.command == "POST" else self.path.partition("?")[0],
                    (200, "application/json", b"{}"),
                )
                self.send_response(status)
                if content_type:
                    self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(content)))
                for name, value in app.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                half = len(content) // 2
                self.wfile.write(content[:half])
                time.sleep(app.pause)
                self.wfile.write(content[half:])

            def log_message(self, *_arguments: Any) -> None:
                pass

            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):
                    super().handle()

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 500  # with the default of 5, a busy machine drops connections

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def set_response(
        self, path: str, body: Any, status: int = 200, content_type: str = "application/json"
    ) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.responses[path] = (status, content_type, content)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def app() -> Iterator[App]:
    server = App()
    yield server
    server.close()
