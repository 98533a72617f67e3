"""The smoke test accepts only responses from the deployed app."""

import contextlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock

import pytest
import requests

from app import app
from chalicelib import __version__
from infra import OperatorError
from infra.aws import stacks, template
from infra.commands import dialog, status
from infra.commands.status import SMOKE_TEST_ROUTE, UnreachableError, smoke_test
from tests.deploy import https_proxy
from tests.infra import templates

HEALTHY = (200, {"status": "ok", "version": __version__})
URL_ON_AWS = "https://own.execute-api.eu-west-1.amazonaws.com/dev"
REFUSED = (403, {"Code": "InvalidSignature", "Message": "The signature is not valid."})


@pytest.fixture
def serve():
    """A function that starts a server with fixed responses and returns its URL."""
    servers = []
    paths = []

    def start(health, callback):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.respond(*health)

            def do_POST(self):
                paths.append(self.path)
                self.rfile.read(int(self.headers["Content-Length"]))
                self.respond(*callback)

            def respond(self, status, body):
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    start.paths = paths
    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_current_version_and_invalid_signature_error_are_accepted(serve):
    smoke_test(serve(HEALTHY, REFUSED), "", max_seconds=0)


def test_callback_is_posted_to_the_secret_path_that_the_error_hides(serve):
    url = serve(HEALTHY, (404, {"Code": "RouteNotFound", "Message": ""}))

    with pytest.raises(OperatorError, match="returned 404 RouteNotFound") as error:
        smoke_test(url, "/first-secret_0123456", max_seconds=0)

    assert serve.paths == [f"/first-secret_0123456{SMOKE_TEST_ROUTE}"]
    assert "first-secret" not in str(error.value)


def test_unresponsive_url_is_reported_while_the_command_waits(monkeypatch, capsys):
    monkeypatch.setattr(dialog, "PROGRESS_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        monkeypatch.setattr(status, "_REQUEST_SECONDS", 0.5)
        with pytest.raises(OperatorError):
            smoke_test(url, "", max_seconds=0)

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 2
    for line in lines:
        assert line.startswith(f"{url} has not responded yet. Still waiting after ")


def test_problem_is_reported_while_the_command_retries(serve, monkeypatch, capsys):
    monkeypatch.setattr(dialog, "PROGRESS_SECONDS", 0.3)
    monkeypatch.setattr(status, "_RETRY_SECONDS", 0.4)
    url = serve((404, {}), REFUSED)

    with pytest.raises(OperatorError):
        smoke_test(url, "", max_seconds=1)

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 2
    problem = f"{url}/health did not report version {__version__} (HTTP status 404)."
    assert lines[-1].startswith(f"{problem} Still waiting after ")


def test_progress_lines_are_at_most_ten_seconds_apart():
    assert dialog.PROGRESS_SECONDS <= 10
    assert stacks._PROGRESS_SECONDS <= 10


def test_403_from_api_gateway_is_rejected(serve):
    from_gateway = (403, {"message": "Missing Authentication Token"})

    with pytest.raises(OperatorError, match="returned 403, not 403 InvalidSignature"):
        smoke_test(serve(HEALTHY, from_gateway), "", max_seconds=0)


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        ((200, {}), "returned 200"),
        ((404, {"Code": "RouteNotFound", "Message": ""}), "returned 404 RouteNotFound"),
        ((503, {"Code": "SecretsUnavailable", "Message": ""}), "returned 503 SecretsUnavailable"),
        ((500, ["not an object"]), "returned 500"),
    ],
)
def test_response_other_than_invalid_signature_is_rejected(serve, callback, message):
    with pytest.raises(OperatorError, match=message):
        smoke_test(serve(HEALTHY, callback), "", max_seconds=0)


def test_outdated_version_is_rejected(serve):
    older = (200, {"status": "ok", "version": "0.0.1"})

    with pytest.raises(OperatorError, match=f"did not report version {__version__}"):
        smoke_test(serve(older, REFUSED), "", max_seconds=0)


@pytest.mark.parametrize(
    ("url", "proxy", "reason"),
    [
        ("http://127.0.0.1:1", None, "connection refused"),
        ("https://127.0.0.1:1", None, "connection refused"),
        ("https://missing.invalid", None, "unknown host name"),
        (URL_ON_AWS, "http://127.0.0.1:1", "the proxy failed"),
    ],
)
def test_error_for_a_failed_connection_states_the_reason(url, proxy, reason, monkeypatch):
    if proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)

    with pytest.raises(UnreachableError, match=f"can't be reached from this machine: {reason}.$"):
        smoke_test(url, "", max_seconds=0)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (requests.ReadTimeout("x"), "no response in time"),
        (requests.TooManyRedirects("x"), "too many redirects"),
        (requests.exceptions.ContentDecodingError("x"), "malformed response"),
    ],
)
def test_error_for_an_unusable_response_contains_no_class_name(error, message, monkeypatch):
    monkeypatch.setattr(requests, "get", mock.Mock(side_effect=error))

    with pytest.raises(OperatorError) as raised:
        smoke_test("http://127.0.0.1:1", "", max_seconds=0)

    assert str(raised.value) == f"http://127.0.0.1:1 did not respond correctly ({message})."


@pytest.mark.parametrize("trusted", [False, True])
def test_url_behind_a_tls_proxy_is_reachable_only_with_a_trusted_certificate(
    tmp_path, monkeypatch, serve, trusted
):
    environ = {"NO_PROXY": "", "no_proxy": ""}
    with https_proxy.serving(serve(HEALTHY, REFUSED), "eu-west-1", tmp_path) as proxy:
        environ |= proxy if trusted else {"HTTPS_PROXY": proxy["HTTPS_PROXY"]}
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        expected = pytest.raises(UnreachableError, match="certificate can't be verified")
        with contextlib.nullcontext() if trusted else expected:
            smoke_test(URL_ON_AWS, "", max_seconds=0)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (requests.exceptions.SSLError("handshake"), "its TLS certificate can't be verified"),
        (requests.exceptions.ProxyError("tunnel"), "the proxy failed"),
        (requests.exceptions.InvalidProxyURL("http:///"), "the proxy failed"),
        (requests.ConnectTimeout(), "the connection timed out"),
        (requests.ConnectionError("other"), "the connection failed"),
    ],
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_error_for_an_unreachable_url_states_the_reason(error, reason, method, monkeypatch, serve):
    monkeypatch.setattr(requests, method, mock.Mock(side_effect=error))

    with pytest.raises(UnreachableError, match=f"from this machine: {reason}\\.$"):
        smoke_test(serve(HEALTHY, REFUSED), "", max_seconds=0)


def test_server_that_closes_the_connection_without_a_response_is_reported_as_unreachable():
    def accept_and_close(server):
        connection, _ = server.accept()
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        closing = threading.Thread(target=accept_and_close, args=(server,))
        closing.start()
        with pytest.raises(UnreachableError):
            smoke_test(f"http://127.0.0.1:{server.getsockname()[1]}", "", max_seconds=0)
        closing.join()


@pytest.mark.parametrize(
    "error",
    [
        requests.ReadTimeout,
        requests.TooManyRedirects,
        requests.exceptions.ChunkedEncodingError,
    ],
)
def test_timeout_or_redirect_loop_or_incomplete_response_is_not_reported_as_unreachable(
    error, monkeypatch
):
    monkeypatch.setattr(requests, "get", mock.Mock(side_effect=error))

    with pytest.raises(OperatorError, match="did not respond correctly") as failed:
        smoke_test("https://calls.example.com", "", max_seconds=0)
    assert not isinstance(failed.value, UnreachableError)


def test_smoke_test_uses_a_route_without_an_alarm_for_refused_requests():
    alarmed_routes = {
        templates.with_stage(dimension["Value"], "dev")
        for alarm in templates.of_type(template.read(), "AWS::CloudWatch::Alarm").values()
        for dimension in alarm.get("Dimensions", [])
        if (alarm["MetricName"], dimension["Name"]) == ("4XXError", "Resource")
    }
    assert alarmed_routes == {"/assignment_callback"}
    assert SMOKE_TEST_ROUTE not in alarmed_routes
    assert SMOKE_TEST_ROUTE in app.routes
