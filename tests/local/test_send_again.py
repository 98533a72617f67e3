"""Only supervisors can send a recorded callback again, and only on the local stack."""

import http.client
import json
import threading
from collections import defaultdict

import pytest
from chalice.config import Config
from chalice.local import LocalDevServer

from app import app
from chalicelib import config
from chalicelib.adapters.secrets import FixedSecrets, Secrets
from chalicelib.domain.callbacks import OMITTED
from chalicelib.routes.callbacks import move_twilio_routes
from local import network, send_again
from tests.routes.conftest import BASE_URL, api, environ, reserve
from tests.support import sid

__all__ = ["api", "environ"]

SECRET = "first-secret_0123456"


@pytest.fixture
def prefix():
    return ""


@pytest.fixture
def stack(request, environ, monkeypatch, prefix):
    """The `api` fixture, and the port of a local Chalice server with the send_again route."""
    if prefix:
        environ["CALLBACK_PATH_SECRETS"] = prefix.removeprefix("/")
    routes = defaultdict(dict, {path: dict(methods) for path, methods in app.routes.items()})
    monkeypatch.setattr(app, "routes", routes)
    monkeypatch.setattr(app, "middleware_handlers", list(app.middleware_handlers))
    (port,) = network.find_free_ports(1)
    send_again.register(app, base_url=network.url(port))
    move_twilio_routes(app, config.load(environ).callback_prefixes)
    api = request.getfixturevalue("api")
    server = LocalDevServer(app, Config.create(chalice_app=app), "127.0.0.1", port).server
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield api, port
    server.shutdown()
    server.server_close()


def post(stack, reservation_sid, token=None, body=""):
    """Send a callback again; return the status and the parsed body of the response."""
    api, port = stack
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {"Authorization": f"Bearer {token or api.token()}"}
    if body:
        headers["Content-Type"] = "application/json"
    connection.request("POST", f"/reservations/{reservation_sid}/send_again", body, headers)
    response = connection.getresponse()
    text = response.read()
    connection.close()
    return response.status, json.loads(text)


@pytest.mark.parametrize("path", ["/assignment_callback", "/assignment_callback/fallback"])
@pytest.mark.parametrize("prefix", ["", f"/{SECRET}"])
def test_callback_sent_again_gets_the_first_answer_and_changes_nothing(stack, path, prefix):
    api, _ = stack
    parameters = api.callback_parameters()
    answer = api.post_callback(parameters, path=prefix + path)
    assert answer.status_code == 200
    before = api.service.store.get(parameters["ReservationSid"])

    status, body = post(stack, parameters["ReservationSid"])

    assert status == 200
    assert body.pop("duration_ms") > 0
    assert body == {
        "reservation_sid": parameters["ReservationSid"],
        "url": f"{BASE_URL}{'/***' if prefix else ''}{path}",
        "status": 200,
        "body": answer.json_body,
    }
    assert api.service.store.get(parameters["ReservationSid"]) == before
    callbacks = [line for line in api.lines() if line["route"] == path]
    assert [line["status"] for line in callbacks] == [200, 200]
    assert SECRET not in api.log.getvalue()


def test_callback_is_sent_again_with_its_query_string_and_all_parameters(stack):
    api, _ = stack
    parameters = api.callback_parameters(TaskAttributes='{"name": "José & 50 %"}', Empty="")
    assert api.post_callback(parameters, path="/assignment_callback?a=1&b=x+y").status_code == 200

    status, body = post(stack, parameters["ReservationSid"])

    assert (status, body["status"]) == (200, 200)
    assert body["url"] == f"{BASE_URL}/assignment_callback?a=***&b=***"


def test_callback_is_signed_with_the_current_auth_token(stack):
    api, _ = stack
    remote = reserve(api)
    keys = Secrets(auth_tokens=("new", "old"), api_keys=api.service.secrets.get().api_keys)
    vars(api.service)["secrets"] = FixedSecrets(keys)
    del vars(api.service)["signatures"]

    assert post(stack, remote.reservation_sid)[1]["status"] == 200


def test_error_from_the_callback_route_is_returned(stack, monkeypatch):
    api, _ = stack
    remote = reserve(api)
    other_secrets = FixedSecrets(Secrets(auth_tokens=("other",), api_keys={}))
    monkeypatch.setattr(api.service.signatures, "_secrets", other_secrets)

    status, body = post(stack, remote.reservation_sid)

    assert (status, body["status"], body["body"]["Code"]) == (200, 403, "InvalidSignature")


@pytest.mark.parametrize("role", ["worker", "service"])
def test_only_supervisors_may_send_a_callback_again(stack, role):
    api, _ = stack
    remote = reserve(api)
    worker = {"worker_sid": remote.worker_sid} if role == "worker" else {}
    status, body = post(stack, remote.reservation_sid, api.token(role, **worker))
    assert (status, body["Code"]) == (403, "ForbiddenError")
    assert body["Message"] == f"A token with the `{role}` role may not send a callback again."


def test_unrecorded_reservation_and_malformed_requests_are_refused(stack):
    assert post(stack, sid("WR")) == (
        404,
        {"Code": "NotFoundError", "Message": "The Reservation is not recorded."},
    )
    assert post(stack, "WR1")[0] == 400
    assert post(stack, sid("WR"), body='{"a": 1}')[0] == 400


def test_callback_that_was_too_large_to_record_cannot_be_sent_again(stack):
    api, _ = stack
    parameters = api.callback_parameters(Large="x" * 65_536)
    assert api.post_callback(parameters).status_code == 200
    assert OMITTED in api.service.store.get(parameters["ReservationSid"]).parameters

    status, body = post(stack, parameters["ReservationSid"])

    assert (status, body["Code"]) == (404, "NotFoundError")
    assert body["Message"] == (
        "Some parameters of the callback were too large to record, so it can't be sent again."
    )


def test_app_that_does_not_respond_is_reported(stack, monkeypatch):
    api, _ = stack
    remote = reserve(api)
    (unused,) = network.find_free_ports(1)
    post_form = send_again._post

    def post_to_unused_port(url, form, *, signature):
        path = url.partition("://")[2].partition("/")[2]
        return post_form(f"{network.url(unused)}/{path}", form, signature=signature)

    monkeypatch.setattr(send_again, "_post", post_to_unused_port)

    status, body = post(stack, remote.reservation_sid)

    assert (status, body["Code"]) == (503, "NoResponse")
    assert body["Message"].startswith("The app did not respond to the callback (")


def test_response_that_is_not_json_is_returned_as_text():
    assert send_again._read_json("<Response/>") == "<Response/>"
    assert send_again._read_json("") == ""
    assert send_again._read_json('{"a": 1}') == {"a": 1}


def test_deployed_app_has_no_route_that_sends_callbacks_again():
    assert not [path for path in app.routes if "send_again" in path]
