"""An engine with a frozen clock, and an app with configurable responses to callbacks."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import pytest

from taskrouter_simulator import seed
from taskrouter_simulator.clock import Clock
from taskrouter_simulator.engine import start, tasks, workers
from taskrouter_simulator.engine.model import Reservation, Task, Worker
from taskrouter_simulator.settings import Settings
from taskrouter_simulator.testing import TaskRouter, running

SPANISH = '{"selected_language": "es"}'


class Story:
    """The quickstart's Workspace in an engine without HTTP, with helpers for tests."""

    def __init__(self, **settings: Any) -> None:
        self.effects: list[Any] = []
        self.clock = Clock(lambda: 1_700_000_000.0)
        self.engine = start(Settings(**settings), self.clock, self.effects.append)
        self.workspace = seed.load(self.engine, seed.quickstart())
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

    def move(self, worker: Worker, activity: str) -> None:
        workers.set_activity(self.engine, self.workspace, worker, self.activity_sid(activity))
        self.clock.run_due()

    def task(self, attributes: str = SPANISH, **options: Any) -> Task:
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

    def reserved(self) -> tuple[Task, Reservation]:
        """Return a Task that is offered to Alice, and its Reservation."""
        task = self.task()
        self.move(self.alice, "Idle")
        return task, self.reservations(task)[-1]

    def events(self, prefix: str = "") -> list[str]:
        types = [event.event_type for event in self.workspace.events.values()]
        return [event_type for event_type in types if event_type.startswith(prefix)]


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture(scope="session")
def one_simulator() -> Iterator[TaskRouter]:
    with running() as taskrouter:
        yield taskrouter


@pytest.fixture
def taskrouter(one_simulator: TaskRouter) -> TaskRouter:
    """A new quickstart Workspace in a shared simulator, which resets faster than it starts."""
    one_simulator.reset()
    return one_simulator


class App:
    """An HTTP server in a thread; `answers` holds the response of each path."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.answers: dict[str, tuple[int, str, bytes]] = {}
        self.delay = 0.0
        self.pause = 0.0
        self.most_at_once = 0
        self._at_once: set[int] = set()
        app = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                app.received.append(
                    {
                        "path": self.path,
                        "headers": dict(self.headers),
                        "parameters": dict(parse_qsl(body.decode(), keep_blank_values=True)),
                    }
                )
                app._at_once.add(threading.get_ident())
                app.most_at_once = max(app.most_at_once, len(app._at_once))
                time.sleep(app.delay)
                app._at_once.discard(threading.get_ident())
                status, kind, content = app.answers.get(self.path, (200, "application/json", b"{}"))
                self.send_response(status)
                if kind:
                    self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
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
            request_queue_size = 500  # with the default of 5, a busy machine loses connections

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def answer(
        self, path: str, body: Any, status: int = 200, kind: str = "application/json"
    ) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers[path] = (status, kind, content)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def app() -> Iterator[App]:
    server = App()
    yield server
    server.close()
