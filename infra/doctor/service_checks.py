"""Checks of the stage's own URL, to which Twilio posts callbacks, and of the clocks."""

from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import requests
from twilio.request_validator import RequestValidator

from infra import OperatorError
from infra.aws.config_file import FILE
from infra.commands.status import smoke_test
from infra.doctor.report import Check
from infra.doctor.subject import Subject
from infra.twilio_account import unreachable_error

EVENT_TYPE = "taskrouter-callbacks.doctor"
"""Type of the posted event. TaskRouter has no such type, so the service records nothing."""

_EVENT_ROUTE = "/event_callback"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_REFUSED = (requests.codes.forbidden, "InvalidSignature")
_OTHER_SIDS = (requests.codes.bad_request, "BadRequestError")
"""The response to a signed event from a different account or Workspace."""
_TIMEOUT_SECONDS = 15
_MAX_SKEW_SECONDS = 10
"""Maximum difference between two clocks. A Date header has a precision of one second."""


def _check_api(subject: Subject) -> str:
    return subject.base_url


def _check_https(subject: Subject) -> str:
    url = urlsplit(subject.base_url)
    if url.scheme != "https" and url.hostname not in _LOOPBACK:
        raise OperatorError(
            f"Twilio would post callers' data to {subject.base_url} without encryption. Set "
            "PUBLIC_BASE_URL to an https URL, and deploy the stage."
        )
    return "callbacks are encrypted" if url.scheme == "https" else "not needed on this machine"


def _check_reachable(subject: Subject) -> str:
    try:
        smoke_test(subject.base_url, subject.callback_prefix, max_seconds=0)
    except OperatorError as error:
        remedy = f"Check any proxy in front of the API. {_deploy_hint(subject)}"
        raise OperatorError(f"{error} {remedy}") from error
    return "serves this version, and refuses an unsigned callback"


def _deploy_hint(subject: Subject) -> str:
    command = f"python -m infra deploy --stage {subject.stage.name}"
    return f"Run: {'make run' if subject.is_local else command}"


def _check_signed_request(subject: Subject) -> str:
    status, code = _post_event(subject, subject.secrets.auth_tokens[0])
    if status != requests.codes.no_content:
        raise OperatorError(
            f"An event that is signed with the stored auth token returned {status} {code}".rstrip()
            + ", not 204. If the secrets or PUBLIC_BASE_URL changed, wait five minutes or deploy "
            "the stage. Otherwise, see the runbook 'callbacks fail' in docs/operations.md."
        )
    return "a signed event is accepted"


def _check_forged_request(subject: Subject) -> str:
    status, code = _post_event(subject, "a token that is not the account's")
    if (status, code) != _REFUSED:
        raise OperatorError(
            f"An event with a forged signature returned {status} {code}".rstrip()
            + ", not 403 InvalidSignature. Anyone who knows the URL can change records. If a "
            "proxy in front of the API changes requests, remove the proxy. Then deploy the stage."
        )
    return "a forged event is refused"


def _post_event(subject: Subject, token: str) -> tuple[int, str]:
    """Post an event that the service ignores; return the status and `Code` of the response.

    Raises:
        OperatorError: The service neither accepted the event nor reported an invalid signature.
    """
    settings = subject.stage.settings
    form = {
        "AccountSid": settings.twilio_account_sid,
        "WorkspaceSid": settings.twilio_workspace_sid,
        "EventType": EVENT_TYPE,
    }
    url = f"{subject.base_url}{subject.callback_prefix}{_EVENT_ROUTE}"
    headers = {"X-Twilio-Signature": RequestValidator(token).compute_signature(url, form)}
    try:
        response = requests.post(
            url, data=form, headers=headers, timeout=_TIMEOUT_SECONDS, allow_redirects=False
        )
    except requests.RequestException as error:
        # Show only the type, because the error's message contains the secret segment of the path.
        kind = type(error).__name__
        raise OperatorError(f"{subject.base_url}/.../event_callback failed: {kind}.") from error
    try:
        result = response.status_code, str(response.json()["Code"])
    except (ValueError, TypeError, KeyError):
        result = response.status_code, ""
    if result == _OTHER_SIDS:
        place = "in this shell" if subject.is_local else f"for stage {subject.stage.name} in {FILE}"
        raise OperatorError(
            "The service's TWILIO_WORKSPACE_SID or TWILIO_ACCOUNT_SID differs from the value "
            f"{place}. {_deploy_hint(subject)}"
        )
    if response.status_code >= requests.codes.multiple_choices and result != _REFUSED:
        raise OperatorError(
            f"{subject.base_url}/.../event_callback returned {result[0]} {result[1]}".rstrip()
            + ". Remove any proxy that responds instead of the service, or see the runbook "
            "'callbacks fail' in docs/operations.md."
        )
    return result


def _check_clock(subject: Subject) -> str:
    differences = {"Twilio": _difference(subject, _twilio_date)}
    if not subject.is_local:
        differences["AWS"] = _difference(subject, _aws_date)
    if problem := describe_skew(differences):
        raise OperatorError(problem)
    largest = max(map(abs, differences.values()))
    others = " and ".join(f"{name}'s clock" for name in differences)
    return f"this machine's clock differs from {others} by at most {largest:.0f} s"


def describe_skew(differences: Mapping[str, float]) -> str | None:
    """Return a message about clocks that differ too much from this machine's clock, or None.

    Args:
        differences: The name of each other clock, and how many seconds this machine's clock is
            ahead of that clock.
    """
    wrong = {
        name: seconds for name, seconds in differences.items() if abs(seconds) > _MAX_SKEW_SECONDS
    }
    if not wrong:
        return None
    parts = [
        f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} {name}'s clock"
        for name, seconds in wrong.items()
    ]
    return (
        f"This machine's clock is {' and '.join(parts)}. Synchronize it with NTP. Tokens and "
        "deadlines depend on the time."
    )


def _difference(subject: Subject, read_date: Callable[[Subject], str]) -> float:
    """Return the seconds by which this machine's clock is ahead of a server's."""
    started = subject.now()
    date = parsedate_to_datetime(read_date(subject)).timestamp()
    # Add half a second, the average of the fraction that the header omits.
    return (started + subject.now()) / 2 - (date + 0.5)


def _twilio_date(subject: Subject) -> str:
    url = subject.stage.settings.twilio_taskrouter_url
    try:
        return requests.get(url, timeout=_TIMEOUT_SECONDS).headers["Date"]
    except requests.RequestException as error:
        raise unreachable_error(url, error) from error
    except KeyError as error:
        raise OperatorError(f"{url} sent no Date header. Check TWILIO_TASKROUTER_URL.") from error


def _aws_date(subject: Subject) -> str:
    response = subject.aws.client("sts").get_caller_identity()
    return str(response["ResponseMetadata"]["HTTPHeaders"]["date"])


CHECKS = (
    Check("https", _check_https, needs=("api",)),
    Check("reachable", _check_reachable, needs=("api",)),
    Check("signed_request", _check_signed_request, needs=("secrets", "reachable")),
    Check("forged_request", _check_forged_request, needs=("reachable",)),
    Check("clock", _check_clock),
)

API_CHECK = Check("api", _check_api)
