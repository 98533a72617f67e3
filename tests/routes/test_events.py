"""Event callbacks, and the fallback for assignment callbacks."""

import logging
from urllib.parse import urlencode

import pytest
from botocore.exceptions import ConnectTimeoutError

from tests.routes.conftest import BASE_URL, FORM, Api
from tests.support import NOW, sid

EVENTS = {
    "reservation.created": "pending",
    "reservation.accepted": "accepted",
    "reservation.rejected": "rejected",
    "reservation.timeout": "timeout",
    "reservation.canceled": "canceled",
    "reservation.rescinded": "rescinded",
    "reservation.wrapup": "wrapping",
    "reservation.completed": "completed",
}


def post(api: Api, path: str, parameters: dict[str, str], signature: str | None = None) -> object:
    signature = signature or api.sign(parameters, url=BASE_URL + path)
    headers = {"Content-Type": f"{FORM}; charset=utf-8", "X-Twilio-Signature": signature}
    return api.http.post(path, headers=headers, body=urlencode(parameters).encode())


def event_parameters(api: Api, event_type: str, **overrides: str) -> dict[str, str]:
    return api.callback_parameters(
        EventType=event_type,
        Sid=sid("EV"),
        WorkerName="Alice",
        **{"Timestamp": "1790000000", "TimestampMs": "1790000000123", **overrides},
    )


@pytest.mark.parametrize(("event_type", "status"), EVENTS.items())
def test_event_is_recorded_and_acknowledged_with_204(
    api: Api, event_type: str, status: str
) -> None:
    parameters = api.callback_parameters()
    api.post_callback(parameters)

    response = post(api, "/event_callback", {**event_parameters(api, event_type), **parameters})

    assert (response.status_code, response.body) == (204, b"")
    assert response.headers["Content-Type"] == "application/json"
    record = api.call("GET", f"/reservations/{parameters['ReservationSid']}").json_body
    assert record["status"] == status
    assert api.lines()[1]["event_type"] == event_type


def test_created_event_after_the_callback_corrects_the_creation_time(
    api: Api,
) -> None:
    parameters = api.callback_parameters()
    api.clock.now = NOW + 400
    api.post_callback(parameters)

    post(api, "/event_callback", {**event_parameters(api, "reservation.created"), **parameters})

    record = api.call("GET", f"/reservations/{parameters['ReservationSid']}").json_body
    assert record["reserved_at"] == "2026-09-21T14:13:20.123Z"
    assert record["expires_at"] == "2026-09-21T14:15:20.123Z"


def test_event_for_unknown_reservation_creates_a_record_with_attributes(api: Api) -> None:
    parameters = event_parameters(api, "reservation.accepted")
    post(api, "/event_callback", parameters)

    record = api.call("GET", f"/reservations/{parameters['ReservationSid']}").json_body
    assert record["status"] == "accepted"
    assert record["accepted_by"] == "event"
    assert record["worker_name"] == "Alice"
    assert record["task_attributes"] == {"selected_language": "es"}
    assert record["callback"] is None


@pytest.mark.parametrize("event_type", ["task.created", "reservation.failed", "worker.x", ""])
def test_event_of_an_unsupported_type_is_acknowledged_but_not_recorded(
    api: Api, event_type: str
) -> None:
    parameters = event_parameters(api, event_type)

    assert post(api, "/event_callback", parameters).status_code == 204
    path = f"/reservations/{parameters['ReservationSid']}"
    assert api.call("GET", path).status_code == 404


@pytest.mark.parametrize("path", ["/event_callback", "/assignment_callback/fallback"])
def test_invalid_signature_returns_403_and_records_nothing(api: Api, path: str) -> None:
    parameters = event_parameters(api, "reservation.accepted")
    # This signature is for /assignment_callback, so it is invalid for the other routes.
    signature = api.sign(parameters)

    assert post(api, path, parameters, signature).status_code == 403
    record = f"/reservations/{parameters['ReservationSid']}"
    assert api.call("GET", record).status_code == 404


def test_fallback_repeats_the_first_answer(
    environ: dict[str, str], request: pytest.FixtureRequest
) -> None:
    environ["ASSIGNMENT_INSTRUCTION"] = "accept"
    api: Api = request.getfixturevalue("api")
    parameters = api.callback_parameters()
    first = api.post_callback(parameters)

    response = post(api, "/assignment_callback/fallback", parameters)
    assert response.body == first.body == b'{"instruction":"accept"}'


def test_fallback_answers_without_dynamodb_and_logs_the_unrecorded_reservation(
    environ: dict[str, str], request: pytest.FixtureRequest
) -> None:
    class UnreachableClient:
        def update_item(self, **_request: object) -> None:
            raise ConnectTimeoutError(endpoint_url="http://dynamodb")

    environ["ASSIGNMENT_INSTRUCTION"] = "accept"
    api: Api = request.getfixturevalue("api")
    api.service.store._client = UnreachableClient()
    parameters = api.callback_parameters()

    assert api.post_callback(parameters).status_code == 503
    response = post(api, "/assignment_callback/fallback", parameters)

    assert (response.status_code, response.body) == (200, b'{"instruction":"accept"}')
    line = api.lines()[-1]
    assert line["UnrecordedReservation"] == 1
    assert line["reservation_sid"] == parameters["ReservationSid"]


def test_unrecorded_reservation_is_logged_even_at_log_level_error(
    environ: dict[str, str], request: pytest.FixtureRequest
) -> None:
    class UnreachableClient:
        def update_item(self, **_request: object) -> None:
            raise ConnectTimeoutError(endpoint_url="http://dynamodb")

    api: Api = request.getfixturevalue("api")
    logging.getLogger("taskrouter-callbacks").setLevel("ERROR")
    api.service.store._client = UnreachableClient()
    post(api, "/assignment_callback/fallback", api.callback_parameters())
    assert api.lines()[-1]["UnrecordedReservation"] == 1


def test_created_event_records_worker_name_and_creation_time(api: Api) -> None:
    parameters = api.callback_parameters()
    api.post_callback(parameters)
    created = {**event_parameters(api, "reservation.created"), **parameters}
    assert post(api, "/event_callback", created).status_code == 204
    path = f"/reservations/{parameters['ReservationSid']}"
    assert api.call("GET", path).json_body["worker_name"] == "Alice"

    malformed = event_parameters(api, "reservation.created", Timestamp="x")
    earlier = {
        **event_parameters(api, "reservation.created"),
        "Timestamp": str(api.clock.now // 1000 - 60),
    }
    for parameters in (malformed, earlier):
        post(api, "/event_callback", parameters)
    record = api.call("GET", f"/reservations/{earlier['ReservationSid']}").json_body
    assert record["reserved_at"] == "2026-09-21T14:12:20.000Z"
    assert record["expires_at"] == "2026-09-21T14:14:20.000Z"
    record = api.call("GET", f"/reservations/{malformed['ReservationSid']}").json_body
    assert record["reserved_at"] == "2026-09-21T14:13:20.000Z"


def test_event_that_cannot_be_recorded_returns_503(api: Api) -> None:
    class UnreachableClient:
        def update_item(self, **_request: object) -> None:
            raise ConnectTimeoutError(endpoint_url="http://dynamodb")

    api.service.store._client = UnreachableClient()
    assert (
        post(api, "/event_callback", event_parameters(api, "reservation.timeout")).status_code
        == 503
    )
