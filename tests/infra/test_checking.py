"""The look from outside tells our answers from those of whoever else may answer there."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from app import app
from chalicelib import __version__
from infra import smoke_test
from infra.errors import OperatorError
from tests.infra import templates

WELL = (200, {"status": "ok", "version": __version__})
OURS = (403, {"Code": "InvalidSignature", "Message": "The signature does not hold."})


@pytest.fixture
def serve():
    """Serves what /health and an unsigned callback answer; returns the address."""
    servers = []

    def start(health, callback):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer(*health)

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.answer(*callback)

            def answer(self, status, body):
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

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_our_version_and_our_403_are_as_it_should(serve):
    smoke_test.check(serve(WELL, OURS), patience=0)


def test_a_403_that_is_not_ours_is_told_apart(serve):
    gateways = (403, {"message": "Missing Authentication Token"})

    with pytest.raises(OperatorError, match="is answered 403 and not our 403 InvalidSignature"):
        smoke_test.check(serve(WELL, gateways), patience=0)


@pytest.mark.parametrize(
    ("callback", "said"),
    [
        ((200, {}), "is answered 200"),
        ((404, {"Code": "RouteNotFound", "Message": ""}), "is answered 404 RouteNotFound"),
        ((503, {"Code": "SecretsUnavailable", "Message": ""}), "answered 503 SecretsUnavailable"),
        ((500, ["no object"]), "is answered 500"),
    ],
)
def test_any_other_answer_to_an_unsigned_callback_is_told(serve, callback, said):
    with pytest.raises(OperatorError, match=said):
        smoke_test.check(serve(WELL, callback), patience=0)


def test_another_version_is_told(serve):
    older = (200, {"status": "ok", "version": "0.0.1"})

    with pytest.raises(OperatorError, match=f"and not version {__version__}"):
        smoke_test.check(serve(older, OURS), patience=0)


def test_an_address_where_nobody_answers_is_told():
    with pytest.raises(OperatorError, match="can't be reached"):
        smoke_test.check("http://127.0.0.1:1", patience=0)


def test_looking_often_sets_no_alarm_off():
    counted = {
        dimension["Value"]
        for alarm in templates.of_type(
            templates.read("stage.yaml"), "AWS::CloudWatch::Alarm"
        ).values()
        for dimension in alarm.get("Dimensions", [])
        if (alarm["MetricName"], dimension["Name"]) == ("4XXError", "Resource")
    }
    assert counted == {"/assignment_callback"}
    assert smoke_test.CALLBACK not in counted
    assert smoke_test.CALLBACK in app.routes
