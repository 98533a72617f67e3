"""Every error class has a status, a code and an entry in the documented tree."""

import re

import pytest

from chalicelib.domain import errors
from chalicelib.domain.errors import AppError, OutcomeUnknown
from tests.support import NOW

ERRORS = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, AppError)
]


def test_every_error_has_a_status_and_a_code() -> None:
    for error in ERRORS:
        assert 400 <= error.status < 600
        assert error.code


def test_every_error_is_in_the_documented_tree() -> None:
    documented = set(re.findall(r"\b[A-Z]\w+", errors.__doc__ or ""))
    assert {error.__name__ for error in ERRORS} <= documented


def test_only_503_errors_have_a_default_retry_after() -> None:
    for error in ERRORS:
        assert error.retry_after is None or error.status == 503


EXPECTED = {
    "AppError": (500, "InternalServerError", None),
    "BadRequest": (400, "BadRequestError", None),
    "TooLarge": (413, "PayloadTooLarge", None),
    "Unauthorized": (401, "UnauthorizedError", None),
    "InvalidToken": (401, "UnauthorizedError", None),
    "Forbidden": (403, "ForbiddenError", None),
    "InvalidSignature": (403, "InvalidSignature", None),
    "NotFound": (404, "NotFoundError", None),
    "MethodNotAllowed": (405, "MethodNotAllowedError", None),
    "ReservationNotPending": (409, "ReservationNotPending", None),
    "InstructionAlreadySent": (409, "InstructionAlreadySent", None),
    "AnswerUnknown": (409, "AnswerUnknown", None),
    "TaskUnidentified": (409, "TaskUnidentified", None),
    "ReservationGone": (410, "ReservationGone", None),
    "KeyReused": (422, "IdempotencyKeyReused", None),
    "OutcomeUnknown": (503, "OutcomeUnknown", None),
    "StoreUnavailable": (503, "StoreUnavailable", 1),
    "SecretsUnavailable": (503, "SecretsUnavailable", 1),
    "CallbackLogUnavailable": (503, "CallbackLogUnavailable", None),
    "SweepFailed": (500, "SweepFailed", None),
    "TaskRouterError": (500, "InternalServerError", None),
    "TaskRouterRefused": (400, "TaskRouterRefused", None),
    "TaskRouterNotFound": (404, "NotFoundError", None),
    "TaskRouterDenied": (502, "TaskRouterDenied", None),
    "TaskRouterUnavailable": (503, "TaskRouterUnavailable", 2),
    "TaskRouterNotProcessed": (503, "TaskRouterUnavailable", 2),
    "TaskRouterThrottled": (503, "TaskRouterThrottled", 2),
    "TaskRouterNotSent": (503, "TaskRouterNotSent", 1),
}


def make_error(error: type[AppError], message: str = "No.", **details: str) -> AppError:
    causes = {"likely_cause": "auth_token"} if error is errors.InvalidSignature else {}
    return error(message, **causes, **details)


def test_each_error_has_the_expected_status_and_code_and_retry_after() -> None:
    assert {
        error.__name__: (error.status, error.code, error.retry_after) for error in ERRORS
    } == EXPECTED


@pytest.mark.parametrize("error", [e for e in ERRORS if e is not errors.InvalidSignature])
def test_error_has_the_given_message_and_details_and_retry_after(error: type[AppError]) -> None:
    instance = error("No.", retry_after=7, reservation_status="gone")
    assert (instance.message, str(instance), instance.retry_after) == ("No.", "No.", 7)
    assert instance.details == {"reservation_status": "gone"}
    assert error("No.").details == {}
    assert error("No.").retry_after == error.retry_after


ERRORS_WITH_REASON = (
    *(errors.Unauthorized, errors.InvalidToken, errors.StoreUnavailable, errors.SecretsUnavailable),
    errors.CallbackLogUnavailable,
    *(error for error in ERRORS if issubclass(error, errors.TaskRouterError)),
)


@pytest.mark.parametrize("error", ERRORS)
def test_reason_of_an_error_is_none_or_its_message_without_the_retry_advice(
    error: type[AppError],
) -> None:
    expected = "No response." if error in ERRORS_WITH_REASON else None
    assert make_error(error, "No response. Retry.").reason == expected


@pytest.mark.parametrize("error", ERRORS)
def test_reason_falls_back_to_the_reason_of_the_cause(error: type[AppError]) -> None:
    outer = errors.BadRequest("Outer.")
    outer.__cause__ = make_error(error, "No response.")
    assert outer.reason == ("No response." if error in ERRORS_WITH_REASON else None)


@pytest.mark.parametrize("error", ERRORS)
def test_errors_own_reason_takes_precedence_over_the_reason_of_its_cause(
    error: type[AppError],
) -> None:
    outer = errors.StoreUnavailable("Outer.")
    outer.__cause__ = make_error(error, "No response.")
    assert outer.reason == "Outer."


@pytest.mark.parametrize(
    ("at", "retry_after", "seconds"),
    [
        (None, None, 1),
        (NOW - 5_000, None, 1),
        (NOW, None, 1),
        (NOW + 1, None, 1),
        (NOW + 1_000, None, 1),
        (NOW + 1_001, None, 2),
        (NOW + 30_000, None, 30),
        (NOW + 30_000, 5, 30),
        (NOW + 3_000, 5, 5),
        (None, 5, 5),
    ],
)
def test_retry_after_is_the_longest_of_1_s_the_remaining_claim_time_and_the_failures_retry_after(
    at: int | None, retry_after: int | None, seconds: int
) -> None:
    failure = retry_after and errors.TaskRouterThrottled("429", retry_after=retry_after)
    error = OutcomeUnknown.until(at, now=NOW, failure=failure)
    assert error.retry_after == seconds
    assert error.message == (
        "The outcome is not known yet. Fetch the Reservation to see its status, "
        f"or retry in {seconds} s."
    )
    custom = OutcomeUnknown.until(at, now=NOW, failure=failure, message="The outcome is unknown.")
    assert custom.message == f"The outcome is unknown. Retry in {seconds} s."


def test_failure_without_retry_after_does_not_delay_the_retry() -> None:
    failure = errors.TaskRouterRefused("400")
    assert OutcomeUnknown.until(None, now=NOW, failure=failure).retry_after == 1


def test_challenge_distinguishes_an_invalid_token_from_a_missing_token() -> None:
    assert errors.Unauthorized.challenge == "Bearer"
    assert errors.InvalidToken.challenge == 'Bearer error="invalid_token"'


def test_invalid_signature_has_a_likely_cause() -> None:
    assert errors.InvalidSignature("No.", likely_cause="auth_token").likely_cause == "auth_token"
