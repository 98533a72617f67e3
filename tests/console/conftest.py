"""Fixtures that open the console in Chromium, with a fake API.

The app itself serves the page, under the path of an API Gateway stage. The tests in
`tests/e2e/test_console.py` use the real API.
"""

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import pytest
from playwright.sync_api import Browser, Page, Response, Route, expect

from app import app
from chalicelib.routes.console import console_version
from tests.portal.conftest import browser, chromium
from tests.support import sid

__all__ = ["browser", "chromium"]

STAGE = "/dev"
ALICE = "WK" + "a" * 32
ACTIVITIES = [
    {"sid": "WA" + "1" * 32, "name": "Offline", "available": False},
    {"sid": "WA" + "2" * 32, "name": "Available", "available": True},
    {"sid": "WA" + "3" * 32, "name": "Break", "available": False},
]
OFFLINE, AVAILABLE, BREAK = (activity["sid"] for activity in ACTIVITIES)


def token(role: str = "worker", *, seconds: int = 3600, identity: str = "", name: str = "") -> str:
    """Return a token with an invalid signature. The fake API does not verify signatures."""
    grant = {"workspace_sid": "WS" + "c" * 32, "role": role, "worker_sid": ALICE}
    if role != "worker":
        del grant["worker_sid"]
    claims = {
        "exp": int(time.time()) + seconds,
        "grants": {"task_router": grant, "identity": identity},
        "jti": name,
    }
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256"}, claims)]
    encoded = [base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, "signature"])


def iso(at: float) -> str:
    """Convert epoch seconds to the API's time format."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03}Z"


@dataclass
class FakeApi:
    """A fake API that the console calls. Tests change its responses.

    The identity provider's page is {url}/provider. Tests intercept requests for it.

    Attributes:
        reservations: the Reservations in the overview, by SID.
        past: the Reservations in GET /reservations, newest first.
        max_open: the maximum number of Reservations in the overview.
        is_truncated: whether the overview is truncated even with fewer Reservations.
        page_size: the maximum number of entries on a page of a list.
        records: the response bodies of GET /reservations/{sid}, by SID.
        callbacks: the entries that GET /callbacks finds, newest first.
        callbacks_answer: properties that override those in the response of GET /callbacks, or a
            complete response: status, body and headers.
        signatures: the response bodies of GET /reservations/{sid}/signature, by SID.
        statistics: the response body of GET /statistics, or a complete response.
        keys: the Idempotency-Key of each POST request that neither `failure` nor `refused`
            affects.
        answers: responses to POST requests (status, body, headers), by the end of the path; or
            functions that accept the path and return such a response.
        received: the received requests, as tuples of method, path and parameters.
        clock_offset: seconds by which the server's clock is ahead.
        refused: the tokens whose requests get a 401.
        failure: the status of all responses except those of /console/session; None if requests
            succeed.
        delay: seconds before each response.
        has_provider: whether people sign in with an identity provider.
    """

    url: str = ""
    reservations: dict[str, dict[str, Any]] = field(default_factory=dict)
    past: list[dict[str, Any]] = field(default_factory=list)
    page_size: int = 50
    max_open: int = 500
    is_truncated: bool = False
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    callbacks: list[dict[str, Any]] = field(default_factory=list)
    callbacks_answer: Any = field(default_factory=dict)
    signatures: dict[str, dict[str, Any]] = field(default_factory=dict)
    statistics: Any = None
    keys: list[str | None] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    received: list[tuple[str, str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    worker: dict[str, Any] | None = None
    title_attributes: list[str] = field(default_factory=lambda: ["customer", "topic"])
    poll: dict[str, int] = field(default_factory=lambda: {"visible_ms": 200, "hidden_ms": 600})
    version: str = field(default_factory=console_version)
    refused: set[str] = field(default_factory=set)
    failure: int | None = None
    clock_offset: float = 0
    delay: float = 0
    has_provider: bool = False
    cookie: str | None = None
    """The token in the cookie of a completed sign-in."""

    def complete_sign_in(self, token: str) -> dict[str, Any]:
        """Store the token in the cookie; return the redirect's arguments for `route.fulfill`."""
        self.cookie = token
        return {"status": 303, "headers": {"Location": f"{self.url}/console/#sign-in=complete"}}

    def now(self) -> float:
        return time.time() + self.clock_offset

    def offer(self, customer: str = "Marta Ríos", left: float = 120, **properties: Any) -> str:
        """Add a pending Reservation that times out in `left` seconds; return its SID."""
        timeout = properties.pop("timeout", max(left, 120))
        attributes = {"customer": customer, "topic": "charged twice", "selected_language": "es"}
        reservation = {
            "reservation_sid": sid("WR"),
            "task_sid": sid("WT"),
            "worker_sid": ALICE,
            "worker_name": "Alice",
            "workflow_sid": "WW" + "d" * 32,
            "workflow_name": "Customer Care",
            "task_queue_sid": "WQ" + "e" * 32,
            "task_queue_name": "Billing",
            "task_priority": 10,
            "task_created_at": iso(self.now() - 31),
            "status": "pending",
            "reserved_at": iso(self.now() + left - timeout),
            "expires_at": iso(self.now() + left),
            "task_attributes": attributes,
            "instruction_sent": None,
            "accepted_by": None,
            "claimed": False,
            **properties,
        }
        self.reservations[reservation["reservation_sid"]] = reservation
        return reservation["reservation_sid"]

    def end(self, reservation_sid: str, status: str, by: str = "event") -> None:
        """Move a Reservation from the overview to the records, with a final status."""
        reservation = self.reservations.pop(reservation_sid)
        history = [
            {"at": reservation["reserved_at"], "from": None, "to": "pending", "by": "event"},
            {"at": iso(self.now()), "from": "pending", "to": status, "by": by, "note": None},
        ]
        history[0]["note"] = None
        self.records[reservation_sid] = {**reservation, "status": status, "history": history}

    def add_past_reservation(
        self, customer: str = "Marta Ríos", status: str = "completed", ago: float = 600, **more: Any
    ) -> str:
        """Add to `past` a Reservation that was created `ago` seconds ago; return its SID."""
        reservation_sid = self.offer(customer, 120 - ago, timeout=120, accepted_by=None, **more)
        by = f"worker:{ALICE}" if status in ("accepted", "completed", "rejected") else "event"
        self.end(reservation_sid, status, by)
        record = self.records[reservation_sid]
        if status in ("accepted", "wrapping", "completed"):
            record["accepted_by"] = f"worker:{ALICE}"
        self.past.append(record)
        self.past.sort(key=lambda each: each["reserved_at"], reverse=True)
        return reservation_sid

    def overview(self) -> dict[str, Any]:
        everything = sorted(
            self.reservations.values(),
            key=lambda each: (each["status"] != "pending", each["expires_at"]),
        )
        return {
            "reservations": everything[: self.max_open],
            "truncated": self.is_truncated or len(everything) > self.max_open,
            "counts": {"pending": len(everything), "accepted": 0, "wrapping": 0},
            "worker": self.worker,
            "title_attributes": self.title_attributes,
            "poll": self.poll,
            "version": self.version,
        }

    def respond(self, method: str, path: str, headers: Any, parameters: Any) -> Any:
        """Return status, body and headers for a request to the API."""
        self.received.append((method, path, parameters))
        time.sleep(self.delay)
        not_found = 404, {"Code": "NotFoundError", "Message": "There is no such resource."}, {}
        if path == "/console/session":
            return self._session(method)
        if self.failure:
            return self.failure, {"Code": "Failure", "Message": "It failed."}, {}
        if path.startswith("/console/sign-in"):
            return 200, {"location": self.url + path.replace("/console/sign-in", "/provider")}, {}
        if headers.get("Authorization", "").removeprefix("Bearer ") in self.refused:
            return 401, {"Code": "UnauthorizedError", "Message": "The token is invalid."}, {}
        if method == "POST":
            self.keys.append(headers.get("Idempotency-Key"))
            ends = [end for end in self.answers if path.endswith(end)]
            answer = self.answers[ends[0]] if ends else not_found
            return answer(path) if callable(answer) else answer
        return self._read(path, headers) or not_found

    def _session(self, method: str) -> Any:
        if method == "GET":
            return 200, {"oidc": self.has_provider, "console_version": self.version}, {}
        cookie, self.cookie = self.cookie, None
        return (200, {"token": cookie}, {}) if cookie else (401, {"Code": "Unauthorized"}, {})

    def _read(self, path: str, headers: Any) -> Any:
        if path == "/overview":
            return self._overview(headers)
        if path == "/activities":
            return 200, {"activities": ACTIVITIES, "worker": self.worker}, {}
        if path == "/statistics" and self.statistics:
            return (
                self.statistics
                if isinstance(self.statistics, tuple)
                else (200, self.statistics, {})
            )
        if path.startswith("/reservations?"):
            return self._list(dict(parse_qsl(path.partition("?")[2])))
        if path.startswith("/callbacks?"):
            return self._log(dict(parse_qsl(path.partition("?")[2])))
        *_, before, last = path.split("/")
        found = self.signatures.get(before) if last == "signature" else self.records.get(last)
        return found and (200, found, {})

    def _list(self, parameters: dict[str, str]) -> Any:
        wanted = [
            each
            for each in self.past
            if each["reserved_at"] >= parameters["since"]
            and parameters.get("status", each["status"]) == each["status"]
        ]
        start = int(parameters.get("cursor", 0))
        end = start + self.page_size
        cursor = str(end) if end < len(wanted) else None
        return 200, {"reservations": wanted[start:end], "next_cursor": cursor}, {}

    def _log(self, parameters: dict[str, str]) -> Any:
        if isinstance(self.callbacks_answer, tuple):
            return self.callbacks_answer
        names = ("reservation_sid", "task_sid", "worker_sid", "route", "status")
        wanted = [
            each
            for each in self.callbacks
            if all(str(each[name]) == parameters.get(name, str(each[name])) for name in names)
            and parameters.get("since", "") <= each["at"] <= parameters.get("until", "9")
        ]
        start = int(parameters.get("cursor", 0))
        end = start + self.page_size
        body = {
            "callbacks": wanted[start:end],
            "next_cursor": str(end) if end < len(wanted) else None,
            "searched_until": parameters.get("since", iso(self.now() - 30 * 86400)),
            "complete": True,
        }
        return 200, {**body, **self.callbacks_answer}, {}

    def _overview(self, headers: Any) -> Any:
        body = json.dumps(self.overview())
        tag = f'"{hashlib.sha256(body.encode()).hexdigest()}"'
        answer_headers = {"ETag": tag, "Server-Time": str(int(self.now() * 1000))}
        if headers.get("If-None-Match") == tag:
            return 304, None, answer_headers
        return 200, json.loads(body), answer_headers

    def decide(self, status: str, code: int = 200) -> Callable[[str], Any]:
        """Return a function that sets the status of the Reservation in the path, and responds."""

        def answer(path: str) -> Any:
            reservation_sid = path.split("/")[-2]
            reservation = self.reservations[reservation_sid]
            reservation.update(status=status, accepted_by=f"worker:{ALICE}")
            if status in ("rejected", "completed"):
                self.end(reservation_sid, status, f"worker:{ALICE}")
            return code, {"reservation_sid": reservation_sid, "reservation_status": status}, {}

        return answer

    def record_poll_times(self) -> list[float]:
        """Return a list that collects the monotonic time of each later overview request."""
        times: list[float] = []
        respond = self.respond

        def record(method: str, path: str, headers: Any, parameters: Any) -> Any:
            if path == "/overview":
                times.append(time.monotonic())
            return respond(method, path, headers, parameters)

        self.respond = record  # type: ignore[method-assign]
        return times

    def count(self, path: str) -> int:
        """Return the number of requests to a path."""
        return sum(each == path for _, each, _ in self.received)


def call_app(path: str) -> tuple[int, str, dict[str, str]]:
    """Return the app's response to a request for the page or one of its files."""
    parts = path.removeprefix("/console").strip("/").split("/")
    parameters = dict(zip(("version", "name"), parts, strict=False)) if parts[0] else {}
    resource = "/console/{version}/{name}" if parameters else "/console"
    context = {"httpMethod": "GET", "resourcePath": resource, "path": STAGE + path}
    event = {
        "requestContext": {**context, "identity": {"sourceIp": "127.0.0.1"}},
        "headers": {},
        "multiValueQueryStringParameters": None,
        "pathParameters": parameters,
        "body": None,
        "isBase64Encoded": False,
        "stageVariables": None,
    }
    response = app(event, None)
    return response["statusCode"], response["body"], response["headers"]


def _handler(api: FakeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            path = self.path.removeprefix(STAGE)
            if not path.startswith(("/reservations?", "/callbacks?")):
                path = path.partition("?")[0]
            if path == "/console/sign-in":
                path = self.path.removeprefix(STAGE)
            if re.fullmatch(r"/console(/(?!session|sign-in).*)?", path):
                status, body, headers = call_app(path)
            else:
                length = int(self.headers.get("Content-Length") or 0)
                parameters = json.loads(self.rfile.read(length) or "null")
                status, value, headers = api.respond(self.command, path, self.headers, parameters)
                body = "" if value is None else json.dumps(value)
            encoded = body.encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        do_POST = do_GET  # noqa: N815  the name that http.server calls

        def log_message(self, *_arguments: Any) -> None:
            pass

    return Handler


@contextmanager
def fake_api() -> Iterator[FakeApi]:
    """Run a fake API with Alice, who is available."""
    fake = FakeApi()
    fake.worker = {
        "sid": ALICE,
        "name": "Alice",
        "activity_sid": AVAILABLE,
        "activity_name": "Available",
        "activity_changed_at": iso(time.time()),
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(fake))
    fake.url = f"http://127.0.0.1:{server.server_port}{STAGE}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with fake_api() as fake:
        yield fake


@pytest.fixture
def page_problems() -> list[str]:
    """Messages in the browser's console, page errors, dialogs and requests to other origins."""
    return []


@pytest.fixture
def open_console(
    browser: Browser, api: FakeApi, page_problems: list[str]
) -> Iterator[Callable[..., Page]]:
    """A function that opens the console, by default in a new context and through a sign-in link.

    With ``link_token=None``, the function opens the page without a token.
    With ``clock=True``, the test can control the page's clock.
    If the API has an identity provider, the function stores a token instead of using a link.
    The test fails if `page_problems` is not empty when the test ends.
    """
    contexts = []

    def open_page(
        link_token: str | None = "",
        *,
        path: str = "/console",
        context: Any = None,
        clock: bool = False,
        **options: Any,
    ) -> Page:
        if context is None:
            context = browser.new_context(
                **{"viewport": {"width": 1280, "height": 900}, "locale": "en-US", **options}
            )
            contexts.append(context)
            context.set_default_timeout(15_000)
        page = context.new_page()
        if clock:
            page.clock.install()
        watch(page, api.url.removesuffix(STAGE), page_problems)
        if link_token is None:
            page.goto(f"{api.url}{path}")
        elif api.has_provider:
            page.goto(f"{api.url}{path}")
            keep = "token => sessionStorage.setItem('console.token', token)"
            page.evaluate(keep, link_token or token())
            page.reload()
        else:
            page.goto(f"{api.url}{path}#token={link_token or token()}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert page_problems == []


class Provider:
    """A fake identity provider that completes each sign-in with a new token or an error."""

    def __init__(self, api: FakeApi, page: Page) -> None:
        self.api = api
        self.token = token(name="renewed")
        self.failure = ""
        self.requests: list[str] = []
        self.on_request: Callable[[], Any] = lambda: None
        page.context.route(f"{api.url}/provider**", self._respond)

    def _respond(self, route: Route) -> None:
        self.requests.append(route.request.url.removeprefix(f"{self.api.url}/provider"))
        self.on_request()
        page = f"{self.api.url}/console/"
        failure = {"status": 303, "headers": {"Location": f"{page}#sign-in-error={self.failure}"}}
        route.fulfill(**(failure if self.failure else self.api.complete_sign_in(self.token)))


@pytest.fixture
def open_page(
    open_console: Callable[..., Page], api: FakeApi
) -> Callable[..., tuple[Page, Provider]]:
    """A function that opens the console with a fake provider and returns the page and provider."""

    def open_live(user_token: str, **options: Any) -> tuple[Page, Provider]:
        api.has_provider = True
        page = open_console(user_token, **options)
        provider = Provider(api, page)
        expect(page.locator(".live")).to_contain_text("Live")
        return page, provider

    return open_live


def watch(page: Page, origin: str, problems: list[str]) -> None:
    """Add the page's messages, errors, dialogs and cross-origin requests to the problems."""
    page.on("console", lambda message: _note_message(message, problems))
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.on("dialog", lambda dialog: problems.append(f"dialog: {dialog.message}"))
    page.on(
        "request",
        lambda request: request.url.startswith(origin) or problems.append(request.url),
    )


def is_new_overview(response: Response) -> bool:
    """Return whether the response contains an overview that differs from the previous overview."""
    return response.url.endswith("/overview") and response.status == 200


def _note_message(message: Any, problems: list[str]) -> None:
    # Chromium logs each response with an error status. The page handles these responses.
    if not message.text.startswith("Failed to load resource"):
        problems.append(f"{message.type}: {message.text}")
