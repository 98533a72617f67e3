"""The recorded delivery of a callback, and the check of its signature."""

import base64
import hashlib
import hmac
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from chalicelib.adapters.secrets import FixedSecrets, Secrets
from chalicelib.adapters.twilio.signature import SignatureVerifier
from chalicelib.domain.callbacks import MAX_DELIVERY_BYTES, OMITTED, Form
from chalicelib.domain.errors import SecretsUnavailable
from chalicelib.domain.json_text import json_size
from chalicelib.domain.reservations import Claim, Delivery, HistoryEntry, Reservation, Status
from tests.routes.conftest import BASE_URL, ENVIRON, FORM, Api, reserve
from tests.routes.test_callback_paths import SECRET, secret_api, secrets
from tests.support import NOW, sid

__all__ = ["secret_api", "secrets"]

ROUTE = "/assignment_callback"
FALLBACK = "/assignment_callback/fallback"
TOKEN = ENVIRON["TWILIO_AUTH_TOKEN"]

# DynamoDB can't store lone surrogates, and the app rejects parameters without a name.
texts = st.text(st.characters(codec="utf-8"), max_size=20)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=10)


def post(api: Api, pairs: list[tuple[str, str]], path: str = ROUTE, query: str = "") -> None:
    """Post a callback with the given parameters, signed by Twilio's SDK."""
    url = BASE_URL + path + query
    signature = RequestValidator(TOKEN).compute_signature(url, Form(pairs))
    headers = {"Content-Type": FORM, "X-Twilio-Signature": signature}
    response = api.http.post(path + query, headers=headers, body=urlencode(pairs).encode())
    assert response.status_code == 200, response.body


def read(api: Api, reservation_sid: str, end: str = "", status: int = 200, token: str = "") -> Any:
    response = api.call("GET", f"/reservations/{reservation_sid}{end}", token=token)
    assert response.status_code == status, response.body
    return response.json_body


def use_keys(api: Api, *auth_tokens: str, **shared_keys: str) -> None:
    """Replace the service's auth tokens and shared keys."""
    keys = Secrets(auth_tokens=auth_tokens, api_keys={}, shared_keys=shared_keys)
    vars(api.service)["signatures"] = SignatureVerifier(FixedSecrets(keys))


def record(api: Api, **changes: Any) -> str:
    """Store the record of a Reservation that has a callback; return the Reservation's SID."""
    reservation = Reservation(
        **{
            "reservation_sid": sid("WR"),
            "task_sid": sid("WT"),
            "worker_sid": sid("WK"),
            "status": Status.PENDING,
            "reserved_at": NOW,
            "expires_at": NOW + 120_000,
            "answer": {},
            "history": (HistoryEntry(at=NOW, to=Status.PENDING, by="assignment_callback"),),
            **changes,
        }
    )
    api.service.store.record_callback(reservation, due_at=NOW, now=NOW)
    return reservation.reservation_sid


@pytest.mark.parametrize("path", [ROUTE, FALLBACK])
@pytest.mark.parametrize("has_event", [False, True])
def test_new_reservation_has_a_delivery_but_no_claims_or_rule(
    api: Api, path: str, *, has_event: bool
) -> None:
    parameters = api.callback_parameters()
    if has_event:
        event = {**parameters, "EventType": "reservation.created"}
        assert api.post_callback(event, path="/event_callback").status_code == 204
    api.clock.now += 1
    assert api.post_callback(parameters, path=path).status_code == 200

    shown = read(api, parameters["ReservationSid"])

    assert shown["delivery"] == {
        "received_at": "2026-09-21T14:13:20.001Z",
        "answered_at": "2026-09-21T14:13:20.001Z",
        "route": path,
        "checked_url": BASE_URL + path,
    }
    assert (shown["claims"], shown["rule"]) == ([], None)


@pytest.mark.parametrize(
    ("actions", "targets"),
    [
        (["reject"], ["rejected"]),
        (["accept", "complete"], ["accepted", "completed"]),
    ],
)
def test_claims_of_successive_requests_are_shown(
    api: Api, actions: list[str], targets: list[str]
) -> None:
    remote = reserve(api)
    for action in actions:
        api.clock.now += 5_000
        response = api.call("POST", f"/reservations/{remote.reservation_sid}/{action}")
        assert response.status_code == 200

    times = ["2026-09-21T14:13:25.000Z", "2026-09-21T14:13:30.000Z"]
    assert read(api, remote.reservation_sid)["claims"] == [
        {"at": at, "by": "supervisor", "target": target}
        for at, target in zip(times, targets, strict=False)
    ]


def test_claims_are_sorted_by_time(api: Api) -> None:
    remote = reserve(api)
    for target in (Status.REJECTED, Status.ACCEPTED, Status.REJECTED):
        api.clock.now += 5_000
        now = api.clock.now
        claim = Claim(until=now + 1, target=target, claim_id=f"{now}", by="supervisor")
        store = api.service.store
        assert store.claim(remote.reservation_sid, claim, now=now, worker_sid=None, task_sid=None)[
            0
        ]

    claims = read(api, remote.reservation_sid)["claims"]

    assert [(claim["at"][17:19], claim["target"]) for claim in claims] == [
        ("30", "accepted"),
        ("35", "rejected"),
    ]


@pytest.mark.parametrize("has_event", [False, True])
def test_reservation_shows_the_rule_that_chose_its_answer_even_if_an_event_created_the_record(
    environ: dict[str, str], request: pytest.FixtureRequest, tmp_path: Any, *, has_event: bool
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nname = "all"\ninstruction = "accept"\n')
    environ["RULES_FILE"] = str(rules)
    api: Api = request.getfixturevalue("api")
    parameters = api.callback_parameters()
    if has_event:
        event = {**parameters, "EventType": "reservation.created"}
        assert api.post_callback(event, path="/event_callback").status_code == 204
    assert api.post_callback(parameters).json_body == {"instruction": "accept"}

    assert read(api, parameters["ReservationSid"])["rule"] == "all"


def test_list_omits_deliveries(api: Api) -> None:
    reserve(api)
    (listed,) = api.call("GET", "/reservations").json_body["reservations"]
    assert not {"delivery", "claims", "rule"} & listed.keys()


def test_record_written_by_an_earlier_version_has_no_delivery(api: Api) -> None:
    reservation_sid = record(api)
    shown = read(api, reservation_sid)
    assert (shown["delivery"], shown["claims"], shown["rule"]) == (None, [], None)
    assert read(api, reservation_sid, "/signature", 404) == {
        "Code": "NotFoundError",
        "Message": "No callback with a signature is recorded for the Reservation.",
    }


def test_signature_of_an_unknown_reservation_is_not_found(api: Api) -> None:
    assert read(api, sid("WR"), "/signature", 404) == {
        "Code": "NotFoundError",
        "Message": "The Reservation is not recorded.",
    }
    assert read(api, "WR1", "/signature", 400)["Code"] == "BadRequestError"
    assert api.call("GET", f"/reservations/{sid('WR')}/signature?a=1").status_code == 400


def test_signature_is_valid_until_the_auth_token_is_removed(api: Api) -> None:
    parameters = api.callback_parameters()
    api.post_callback(parameters, path=FALLBACK)
    reservation_sid = parameters["ReservationSid"]
    expected = {
        "reservation_sid": reservation_sid,
        "valid": True,
        "likely_cause": None,
        "checked_url": BASE_URL + FALLBACK,
        "route": FALLBACK,
        "received_at": "2026-09-21T14:13:20.000Z",
        "answered_at": "2026-09-21T14:13:20.000Z",
        "parameters_complete": True,
    }
    assert read(api, reservation_sid, "/signature") == expected
    use_keys(api, "new", TOKEN)
    assert read(api, reservation_sid, "/signature") == expected
    use_keys(api, "new")
    refused = {**expected, "valid": False, "likely_cause": "auth_token"}
    assert read(api, reservation_sid, "/signature") == refused


def test_check_reports_a_failure_to_reload_the_keys(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = reserve(api)

    def fail() -> Secrets:
        raise SecretsUnavailable("The secrets can't be read.")

    monkeypatch.setattr(api.service.secrets, "get_recent", fail)
    assert read(api, remote.reservation_sid, "/signature", 503)["Code"] == "SecretsUnavailable"


def test_signature_made_with_a_shared_key_is_checked_with_that_key(api: Api) -> None:
    header = "algorithm=HMAC_SHA256,key=k1"
    use_keys(api, TOKEN, k1="shared")
    parameters = api.callback_parameters()
    text = BASE_URL + ROUTE + "".join(name + parameters[name] for name in sorted(parameters))
    digest = hmac.digest(b"shared", text.encode(), hashlib.sha256)
    response = api.post_callback(
        parameters,
        signature=base64.b64encode(digest).decode(),
        headers={"X-Twilio-Webhooks-Signature-Settings": header},
    )
    assert response.status_code == 200
    sid_ = parameters["ReservationSid"]
    assert read(api, sid_, "/signature")["valid"] is True
    use_keys(api, TOKEN)
    checked = read(api, sid_, "/signature")
    assert (checked["valid"], checked["likely_cause"]) == (False, "unknown_shared_key")


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("?a=1&b=2&a=3", "?a=***&a=***&b=***"),
        ("?name=acme%20corp", "?name=***"),
        ("?name=acme+corp", "?name=***"),
        ("?flag", "?***"),
        ("?" + "n" * 16 + "=1", "?***=***"),
    ],
)
def test_signature_covers_the_query_string_which_is_masked_in_the_response(
    api: Api, query: str, shown: str
) -> None:
    parameters = api.callback_parameters()
    post(api, [*parameters.items()], query=query)

    checked = read(api, parameters["ReservationSid"], "/signature")

    assert checked["valid"] is True
    masked, _, names_shown = checked["checked_url"].partition("?")
    assert masked == BASE_URL + ROUTE
    assert sorted(names_shown.split("&")) == sorted(shown.removeprefix("?").split("&"))
    stored = api.service.store.get(parameters["ReservationSid"])
    assert stored is not None
    assert stored.delivery is not None
    assert RequestValidator(TOKEN).validate(
        stored.delivery.url, parameters, stored.delivery.signature
    )


def test_secret_path_segment_is_recorded_but_never_shown(secret_api: Api) -> None:
    parameters = secret_api.callback_parameters()
    path = f"/{SECRET}{ROUTE}"
    assert secret_api.post_callback(parameters, path=path).status_code == 200
    reservation_sid = parameters["ReservationSid"]

    shown = read(secret_api, reservation_sid)
    checked = read(secret_api, reservation_sid, "/signature")

    assert checked["valid"] is True
    assert shown["delivery"]["checked_url"] == checked["checked_url"] == f"{BASE_URL}/***{ROUTE}"
    assert shown["delivery"]["route"] == checked["route"] == ROUTE
    assert SECRET not in f"{shown}{checked}{secret_api.log.getvalue()}"
    stored = secret_api.service.store.get(reservation_sid)
    assert stored is not None
    assert stored.delivery is not None
    assert stored.delivery.url == BASE_URL + path


@given(
    extra=st.lists(st.tuples(names, texts), max_size=6),
    absent=st.sets(
        st.sampled_from(["WorkflowSid", "TaskQueueSid", "TaskAttributes", "WorkerAttributes"])
    ),
    has_event=st.booleans(),
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_signature_of_any_accepted_callback_can_be_checked_again(
    api: Api, extra: list[tuple[str, str]], absent: set[str], *, has_event: bool
) -> None:
    parameters = api.callback_parameters()
    if has_event:
        event = {**parameters, "EventType": "reservation.created"}
        assert api.post_callback(event, path="/event_callback").status_code == 204
    pairs = [(name, value) for name, value in parameters.items() if name not in absent]
    pairs += [(name, value) for name, value in extra if name not in (*parameters, OMITTED)]
    post(api, pairs)

    reservation_sid = parameters["ReservationSid"]
    assert read(api, reservation_sid, "/signature")["valid"] is True
    received = read(api, reservation_sid)["callback"]
    assert received.keys() == {name for name, _ in pairs}
    stored = api.service.store.get(reservation_sid)
    assert stored is not None
    assert stored.delivery is not None
    assert RequestValidator(TOKEN).validate(
        stored.delivery.url, Form(pairs), stored.delivery.signature
    )


@pytest.mark.parametrize("changed", ["parameters", "task_attributes", "url", "signature"])
def test_signature_of_a_changed_record_is_not_valid(api: Api, changed: str) -> None:
    parameters = api.callback_parameters()
    api.post_callback(parameters)
    stored = api.service.store.get(parameters["ReservationSid"])
    assert stored is not None
    assert stored.delivery is not None
    changes: dict[str, Any] = {
        "parameters": {"parameters": {**stored.parameters, "TaskAge": "2"}},
        "task_attributes": {"task_attributes": "{}"},
        "url": {"delivery": replace(stored.delivery, url=BASE_URL + FALLBACK)},
        "signature": {"delivery": replace(stored.delivery, signature="A" * 28)},
    }[changed]
    original = {name: getattr(stored, name) for name in vars(stored) if name != "reservation_sid"}
    reservation_sid = record(api, **(original | changes))

    checked = read(api, reservation_sid, "/signature")

    assert checked["valid"] is False
    assert checked["likely_cause"]


def test_signature_of_a_callback_that_was_too_large_cannot_be_checked(api: Api) -> None:
    parameters = api.callback_parameters(Large="x" * 65_536)
    assert api.post_callback(parameters).status_code == 200

    checked = read(api, parameters["ReservationSid"], "/signature")

    assert (checked["valid"], checked["parameters_complete"]) == (None, False)
    assert checked["likely_cause"] is None
    assert checked["checked_url"] == BASE_URL + ROUTE


@pytest.mark.parametrize(("excess", "is_recorded"), [(0, True), (1, False)])
def test_delivery_that_is_too_large_is_not_recorded(
    api: Api, excess: int, *, is_recorded: bool
) -> None:
    parameters = api.callback_parameters(Large="x" * 20_000)
    empty = Delivery(NOW, ROUTE, f"{BASE_URL}{ROUTE}?a=", "s" * 28)
    length = MAX_DELIVERY_BYTES - json_size(vars(empty)) + excess
    post(api, [*parameters.items()], query="?a=" + "b" * length)

    shown = read(api, parameters["ReservationSid"])

    assert (shown["delivery"] is not None) == is_recorded
    assert shown["callback"] == parameters


@pytest.mark.parametrize(("role", "status"), [("supervisor", 200), ("service", 200)])
def test_supervisors_and_services_may_check_signatures(api: Api, role: str, status: int) -> None:
    remote = reserve(api)
    read(api, remote.reservation_sid, "/signature", status, api.token(role))


def test_worker_may_not_check_the_signature_even_of_its_own_reservation(api: Api) -> None:
    remote = reserve(api)
    token = api.token("worker", worker_sid=remote.worker_sid)
    assert read(api, remote.reservation_sid, "", 200, token)["delivery"]
    assert read(api, remote.reservation_sid, "/signature", 403, token) == {
        "Code": "ForbiddenError",
        "Message": "A token with the `worker` role may not see callbacks.",
    }


def test_deployed_app_has_no_route_that_sends_a_callback_again(api: Api) -> None:
    remote = reserve(api)
    response = api.call("POST", f"/reservations/{remote.reservation_sid}/send_again")
    # If a request matches no route, API Gateway reads its Authorization header as an AWS signature.
    assert response.status_code == 403
    assert b"Authorization header requires" in response.body
