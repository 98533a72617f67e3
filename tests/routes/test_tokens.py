"""Bearer tokens are validated, and their roles determine the permissions."""

import json

import jwt
import pytest

from tests.routes.conftest import ENVIRON, Api
from tests.support import sid

WR = "WR" + "0" * 32
PROTECTED_ROUTES = [
    ("GET", "/create-task"),
    ("POST", "/create-task"),
    ("GET", "/accept_reservation"),
    ("POST", "/accept_reservation"),
    ("GET", "/reservations"),
    ("GET", f"/reservations/{WR}"),
    ("POST", f"/reservations/{WR}/accept"),
    ("POST", f"/reservations/{WR}/reject"),
    ("POST", f"/reservations/{WR}/complete"),
]


def sign_claims(claims: dict[str, object], *, secret: str = "", algorithm: str = "HS256") -> str:
    """Return a token with any claims, even claims that PyJWT refuses to encode."""
    key = secret or ENVIRON["TWILIO_API_KEY_SECRET"]
    return jwt.api_jws.encode(json.dumps(claims).encode(), key, algorithm=algorithm)


def valid_claims(api: Api) -> dict[str, object]:
    return jwt.decode(api.token(), options={"verify_signature": False})


@pytest.mark.parametrize(("method", "path"), PROTECTED_ROUTES)
def test_missing_token_returns_401(api: Api, method: str, path: str) -> None:
    response = api.call(method, path, token=None)

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert response.json_body["Code"] == "UnauthorizedError"
    assert not api.taskrouter.calls


@pytest.mark.parametrize(
    "change",
    [
        {"secret": "a different secret of sufficient length"},
        {"key": "SK" + "9" * 32},
        {"account_sid": "AC" + "9" * 32},
        {"workspace_sid": "WS" + "9" * 32},
        {"workspace_sid": None},
        {"ttl": -1},
        {"role": "admin"},
        {"role": None},
        {"role": "worker"},
        {"role": "worker", "worker_sid": "Alice"},
    ],
)
def test_invalid_token_returns_401(api: Api, change: dict[str, object]) -> None:
    assert api.call("GET", "/reservations", token=api.token(**change)).status_code == 401  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", ["exp", "iss", "sub", "grants"])
def test_token_without_a_required_claim_returns_401(api: Api, missing: str) -> None:
    claims = valid_claims(api)
    del claims[missing]
    assert api.call("GET", "/reservations", token=sign_claims(claims)).status_code == 401


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": 1},
        {"iss": ["SK"]},
        {"sub": {}},
        {"exp": "soon"},
        {"exp": 1e400},
        {"grants": []},
        {"grants": {"task_router": "supervisor"}},
        {"grants": {"task_router": {"role": ["supervisor"]}}},
    ],
)
def test_token_with_malformed_claims_returns_401(api: Api, claims: dict[str, object]) -> None:
    token = sign_claims({**valid_claims(api), **claims})
    assert api.call("GET", "/reservations", token=token).status_code == 401


def test_token_with_another_algorithm_or_malformed_token_returns_401(api: Api) -> None:
    claims = valid_claims(api)
    unsigned = jwt.encode(claims, None, algorithm="none")  # type: ignore[arg-type]
    secret = ENVIRON["TWILIO_API_KEY_SECRET"] * 2
    signed_with_hs512 = sign_claims(claims, secret=secret, algorithm="HS512")
    for token in (unsigned, signed_with_hs512, "x", "a.b.c", "é.é.é", "a" * 10_000):
        assert api.call("GET", "/reservations", token=token).status_code == 401


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YTpi", "Token x"])
def test_authorization_header_without_bearer_token_returns_401(api: Api, header: str) -> None:
    headers = {"Authorization": header}
    assert api.call("GET", "/reservations", token=None, headers=headers).status_code == 401


def test_worker_cannot_create_a_task(api: Api) -> None:
    token = api.token("worker", worker_sid=sid("WK"))

    assert api.call("POST", "/create-task", token=token).status_code == 403
    assert not api.taskrouter.calls


@pytest.mark.parametrize("role", ["service", "supervisor"])
def test_service_and_supervisor_can_create_tasks(api: Api, role: str) -> None:
    response = api.post_json("/create-task", {"attributes": {}}, token=api.token(role))
    assert response.status_code == 201


def test_worker_can_access_only_their_own_reservations(api: Api) -> None:
    own_reservation, other_reservation = api.taskrouter.add(), api.taskrouter.add()
    for remote in (own_reservation, other_reservation):
        api.post_callback(
            api.callback_parameters(
                ReservationSid=remote.reservation_sid,
                TaskSid=remote.task_sid,
                WorkerSid=remote.worker_sid,
            )
        )
    token = api.token("worker", worker_sid=own_reservation.worker_sid)

    listed = api.call("GET", "/reservations", token=token).json_body["reservations"]
    assert [record["reservation_sid"] for record in listed] == [own_reservation.reservation_sid]
    path = f"/reservations?worker_sid={other_reservation.worker_sid}"
    assert api.call("GET", path, token=token).status_code == 403
    for method, action in (("GET", ""), ("POST", "/accept"), ("POST", "/reject")):
        path = f"/reservations/{other_reservation.reservation_sid}{action}"
        assert api.call(method, path, token=token).status_code == 403
    assert api.taskrouter.calls["update"] == 0
    path = f"/reservations/{own_reservation.reservation_sid}/accept"
    assert api.call("POST", path, token=token).status_code == 200


def test_log_contains_no_token(api: Api) -> None:
    token = api.token()
    api.call("GET", "/reservations", token=token)
    api.call("GET", "/reservations", token=token[:-4] + "AAAA")

    assert token.split(".")[1] not in api.log.getvalue()
    assert api.lines()[0]["principal"] == "supervisor"
