"""Bearer tokens are validated, and their roles determine the permissions."""

import base64
import json
import time

import jwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.domain.auth import Principal, Role
from chalicelib.domain.errors import InvalidToken
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


WORKER_SID = "WK" + "1" * 32
DAY = 86_400
NOT_SIGNED = "The token is not signed with the secret of an API key of this service."


def error_message(api: Api, token: str) -> str:
    """Return the message of the 401 response to a token."""
    response = api.call("GET", "/reservations", token=token)
    assert response.status_code == 401
    assert response.json_body["Code"] == "UnauthorizedError"
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert api.lines()[-1]["reason"] == response.json_body["Message"]
    return str(response.json_body["Message"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"secret": "a different secret of sufficient length"}, NOT_SIGNED),
        ({"key": "SK" + "9" * 32}, NOT_SIGNED),
        ({"key": "SK" + "9" * 32, "ttl": -1}, NOT_SIGNED),
        ({"account_sid": "AC" + "9" * 32}, "The token belongs to a different account."),
        ({"workspace_sid": "WS" + "9" * 32}, "The token belongs to a different Workspace"),
        ({"workspace_sid": None}, "The token belongs to a different Workspace, or to none."),
        ({"ttl": -1}, "The token has expired."),
        ({"ttl": DAY + 60}, "The lifetime of the token must be at most 86400 seconds"),
        ({"ttl": 3650 * DAY}, "The lifetime of the token must be at most 86400 seconds"),
        ({"role": "admin"}, "role in the token's TaskRouter grant must be one of worker,"),
        ({"role": None}, "role in the token's TaskRouter grant must be one of worker,"),
        ({"role": "worker"}, "A token with the `worker` role needs worker_sid"),
        ({"role": "worker", "worker_sid": "Alice"}, "A token with the `worker` role needs"),
    ],
)
def test_response_states_why_the_token_is_invalid(
    api: Api, change: dict[str, object], message: str
) -> None:
    assert error_message(api, api.token(**change)).startswith(message)  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", ["exp", "iss", "sub"])
def test_token_without_a_required_claim_is_rejected(api: Api, missing: str) -> None:
    claims = valid_claims(api)
    del claims[missing]
    assert error_message(api, sign_claims(claims)) == f"The token has no valid {missing} claim."


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"iss": 1}, "The token has no valid iss claim."),
        ({"iss": ["SK"]}, "The token has no valid iss claim."),
        ({"sub": {}}, "The token belongs to a different account."),
        ({"exp": "soon"}, "The token is malformed. exp must be a number of seconds."),
        ({"exp": 1e400}, "The token is malformed. exp must be a number of seconds."),
        ({"exp": "32503680000"}, "The token is malformed. exp must be a number of seconds."),
        ({"exp": True}, "The token is malformed. exp must be a number of seconds."),
        ({"exp": [5]}, "The token is malformed. exp must be a number of seconds."),
        ({"exp": float("nan")}, "The token is malformed. exp must be a number of seconds."),
        ({"nbf": "1"}, "The token is malformed. nbf must be a number of seconds."),
        ({"nbf": False}, "The token is malformed. nbf must be a number of seconds."),
        ({"iat": "1"}, "The token is malformed. iat must be a number of seconds."),
        ({"iat": True}, "The token is malformed. iat must be a number of seconds."),
        ({"exp": None}, "The token has no valid exp claim."),
        ({"exp": 10**4000}, "The lifetime of the token must be at most"),
        ({"nbf": "soon"}, "The token is malformed. nbf must be a number of seconds."),
        ({"nbf": None}, "The token is malformed. nbf must be a number of seconds."),
        ({"iat": 1e400}, "The token is malformed. iat must be a number of seconds."),
        ({"iat": [1]}, "The token is malformed. iat must be a number of seconds."),
        ({"jti": 1}, "The token is malformed. jti must be a string."),
        ({"aud": "another service"}, "The token is malformed. It must not have an audience (aud)."),
        ({"aud": ["a", 1]}, "The token is malformed. It must not have an audience (aud)."),
        ({"nbf": 32_503_680_000}, "The token is not valid yet"),
        ({"iat": 32_503_680_000}, "The token is not valid yet"),
        ({"grants": None}, "The token has no TaskRouter grant"),
        ({"grants": []}, "The token has no TaskRouter grant"),
        ({"grants": {"task_router": "supervisor"}}, "The token has no TaskRouter grant"),
        (
            {"grants": {"task_router": {"role": ["supervisor"]}}},
            "The token belongs to a different Workspace",
        ),
    ],
)
def test_invalid_claims_are_rejected(api: Api, claims: dict[str, object], message: str) -> None:
    assert error_message(api, sign_claims({**valid_claims(api), **claims})).startswith(message)


def test_times_may_be_fractional(api: Api) -> None:
    now = time.time()
    token = sign_claims({**valid_claims(api), "exp": now + 60.5, "nbf": now - 1.5, "iat": now - 2})
    assert api.call("GET", "/reservations", token=token).status_code == 200


@pytest.mark.parametrize("separator", [" ", "  ", "\t", " \t "])
def test_spaces_and_tabs_may_precede_the_token(api: Api, separator: str) -> None:
    headers = {"Authorization": f"Bearer{separator}{api.token()}"}
    assert api.call("GET", "/reservations", token=None, headers=headers).status_code == 200


@pytest.mark.parametrize("suffix", [" x", ", Basic YTpi", "\tx"])
def test_text_after_the_token_is_rejected(api: Api, suffix: str) -> None:
    response = api.call("GET", "/reservations", token=api.token() + suffix)
    assert (response.status_code, response.json_body["Code"]) == (401, "UnauthorizedError")


@pytest.mark.parametrize("role", [["supervisor"], {}, 1, True, "", "Supervisor", "supervisor "])
def test_unknown_role_is_rejected(api: Api, role: object) -> None:
    claims = valid_claims(api)
    grant = {"workspace_sid": ENVIRON["TWILIO_WORKSPACE_SID"], "role": role}
    claims["grants"] = {"task_router": grant}
    assert error_message(api, sign_claims(claims)).startswith(
        "role in the token's TaskRouter grant"
    )


@pytest.mark.parametrize("identity", [5, ["ann"], {}, True, "x" * 257, "a\nb", "\ud800"])
def test_identity_must_be_a_short_printable_string(api: Api, identity: object) -> None:
    claims = valid_claims(api)
    claims["grants"]["identity"] = identity  # type: ignore[index]
    assert error_message(api, sign_claims(claims)).startswith(
        "identity in the token's grants must be"
    )


@pytest.mark.parametrize("identity", [None, "", "ann", "x" * 256, "Zoë Müller"])
def test_identity_is_optional(api: Api, identity: str | None) -> None:
    claims = valid_claims(api)
    claims["grants"]["identity"] = identity  # type: ignore[index]
    assert api.call("GET", "/reservations", token=sign_claims(claims)).status_code == 200
    expected = f"supervisor:{identity}" if identity else "supervisor"
    assert api.lines()[-1]["principal"] == expected


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    age=st.integers(0, 10 * 365 * DAY),
    remaining=st.integers(5, 10 * 365 * DAY),
    claims=st.sets(st.sampled_from(["nbf", "iat"])),
)
def test_lifetime_starts_at_nbf_or_iat_or_now(
    api: Api, age: int, remaining: int, claims: set[str]
) -> None:
    """A token without nbf and iat does not state its age, so its lifetime starts now."""
    now = int(time.time())
    token = valid_claims(api) | {"exp": now + remaining} | dict.fromkeys(claims, now - age)
    for name in {"nbf", "iat"} - claims:
        token.pop(name, None)

    response = api.call("GET", "/reservations", token=sign_claims(token))

    lifetime = remaining + age if claims else remaining
    # The remaining lifetime may shrink by a second before the app validates the token.
    if not DAY < lifetime <= DAY + 2:
        assert response.status_code == (200 if lifetime <= DAY else 401)


@pytest.mark.parametrize("claim", ["nbf", "iat"])
@pytest.mark.parametrize(("lifetime", "status"), [(DAY - 1, 200), (DAY, 200), (DAY + 1, 401)])
def test_lifetime_of_at_most_a_day_is_allowed(
    api: Api, claim: str, lifetime: int, status: int
) -> None:
    created = int(time.time()) - 600
    claims = valid_claims(api) | {"exp": created + lifetime}
    claims.pop("nbf", None)
    claims.pop("iat", None)
    token = sign_claims({**claims, claim: created})
    assert api.call("GET", "/reservations", token=token).status_code == status


@pytest.mark.parametrize("role", ["supervisor", "service", "worker"])
@pytest.mark.parametrize("worker_sid", [WORKER_SID, "Alice", None])
def test_worker_sid_is_required_for_workers_and_ignored_for_other_roles(
    api: Api, role: str, worker_sid: str | None
) -> None:
    token = f"Bearer {api.token(role, worker_sid=worker_sid, identity='ann')}"
    if role == "worker" and worker_sid != WORKER_SID:
        with pytest.raises(InvalidToken, match="`worker` role needs worker_sid"):
            api.service.tokens.principal(token)
    else:
        assert api.service.tokens.principal(token) == Principal(
            role=Role(role), worker_sid=WORKER_SID if role == "worker" else None, identity="ann"
        )


@pytest.mark.parametrize(("ttl", "status"), [(600, 200), (660, 401)])
def test_max_token_seconds_setting_limits_the_lifetime(
    environ: dict[str, str], request: pytest.FixtureRequest, ttl: int, status: int
) -> None:
    environ["MAX_TOKEN_SECONDS"] = "600"
    api: Api = request.getfixturevalue("api")

    response = api.call("GET", "/reservations", token=api.token(ttl=ttl))

    assert response.status_code == status
    if status == 401:
        assert "at most 600 seconds (MAX_TOKEN_SECONDS)" in response.json_body["Message"]


def test_responses_to_tokens_with_invalid_signatures_do_not_reveal_api_keys(api: Api) -> None:
    """Anyone can create a token with an invalid signature.

    The responses to such tokens must not reveal which API keys are accepted.
    """
    claims = valid_claims(api)
    for change in ({}, {"exp": 1}, {"nbf": 32_503_680_000}, {"sub": "x"}, {"grants": {}}):
        messages = {
            (
                error_message(
                    api, sign_claims({**claims, **change, "iss": issuer}, secret="x" * 64)
                ),
                error_message(
                    api,
                    sign_claims(
                        {**claims, **change, "iss": issuer}, secret="x" * 64, algorithm="HS512"
                    ),
                ),
            )
            for issuer in (ENVIRON["TWILIO_API_KEY_SID"], "SK" + "9" * 32)
        }
        assert len(messages) == 1


def encode_parts(*parts: str) -> str:
    """Return a token with the given header and payload, and an invalid signature."""
    encoded = [base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, "eA"])


def test_algorithms_other_than_hs256_are_rejected(api: Api) -> None:
    claims = valid_claims(api)
    unsigned = jwt.encode(claims, None, algorithm="none")  # type: ignore[arg-type]
    secret = ENVIRON["TWILIO_API_KEY_SECRET"] * 2
    signed_with_hs512 = sign_claims(claims, secret=secret, algorithm="HS512")
    for token in (unsigned, signed_with_hs512):
        assert error_message(api, token) == "The token must be signed with HS256."


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "a.b.c",
        "é.é.é",
        encode_parts("[" * 3_000, "{}"),
        encode_parts('{"alg": "HS256"}', "[" * 3_000),
        encode_parts('{"alg": "HS256"}', "[]"),
        encode_parts('{"alg": "HS256", "crit": ["x"]}', "{}"),
    ],
)
def test_malformed_tokens_are_rejected(api: Api, token: str) -> None:
    assert error_message(api, token).startswith("The token is malformed.")


@pytest.mark.parametrize(("length", "status"), [(8_192, 200), (8_193, 401)])
def test_length_of_tokens_is_limited(api: Api, length: int, status: int) -> None:
    def padded(size: int) -> str:
        return sign_claims({**valid_claims(api), "padding": "x" * size})

    base = len(padded(0))
    sizes = (size for size in range(length - base, 0, -1) if len(padded(size)) == length)
    token = padded(next(sizes))
    response = api.call("GET", "/reservations", token=token)
    assert response.status_code == status


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YTpi", "Token x"])
def test_authorization_header_without_bearer_token_returns_401(api: Api, header: str) -> None:
    headers = {"Authorization": header}
    response = api.call("GET", "/reservations", token=None, headers=headers)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


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
