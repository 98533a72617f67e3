"""Settings, read once from the environment; a missing or malformed one is named."""

import math
import os
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from chalicelib.domain import voice
from chalicelib.domain.instructions import WITHOUT_PARAMETERS
from chalicelib.domain.json_text import JsonError, parse_json_object
from chalicelib.domain.sids import is_sid

TASKROUTER_URL = "https://taskrouter.twilio.com"

PROJECT = Path(__file__).parent.parent
"""What paths are relative to: the checkout, or on Lambda what was unpacked from the zip."""

_LAMBDA_TIMEOUT_SECONDS = 29
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class SettingsError(Exception):
    """A setting is missing or malformed; the message names it and never shows its value."""


def _sid(prefix: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not is_sid(text, prefix):
            raise ValueError(f"must be {prefix} followed by 32 hexadecimal digits")
        return text

    return parse


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return parse


def _seconds(least: float, most: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if not least <= seconds <= most:
            raise ValueError(f"must be a number of seconds from {least} to {most}")
        return seconds

    return parse


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return parse


def _switch(text: str) -> bool:
    return _one_of("true", "false")(text) == "true"


def _off_or(parse: Callable[[str], int]) -> Callable[[str], int | None]:
    def parse_or_off(text: str) -> int | None:
        return None if text == "off" else parse(text)

    return parse_or_off


def _url(text: str) -> str:
    parts = urlsplit(text)
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
        raise ValueError("must be an http or https URL without query, fragment or user")
    parts.port  # noqa: B018  raises ValueError where it is no port
    return text.rstrip("/")


def _origin(text: str) -> str:
    if text != "*" and (urlsplit(text).path or _url(text) != text):
        raise ValueError("must be an origin such as https://desk.example, or *")
    return text


def _file(text: str) -> Path:
    return PROJECT / text


def _timeouts_by_workflow(text: str) -> dict[str, int]:
    try:
        timeouts = parse_json_object(text)
    except JsonError as error:
        raise ValueError(f"must be a JSON object: {error}") from error
    for workflow_sid, seconds in timeouts.items():
        if not is_sid(workflow_sid, "WW") or type(seconds) is not int or seconds < 1:
            raise ValueError("must map Workflow SIDs (WW…) to seconds")
    return timeouts


def _setting(
    parse: Callable[[str], Any] = str,
    *,
    default: str | None = None,
    secret: bool = False,
    in_parameter: bool = False,
) -> Any:
    """Declare a field.

    Args:
        parse: raises ValueError where the text is not what it should be.
        default: without one the setting is required.
        secret: whether it is to be kept out of the settings' repr.
        in_parameter: whether it is not read where SECRETS_PARAMETER says where it is.
    """
    metadata = {"parse": parse, "default": default, "in_parameter": in_parameter}
    return field(repr=not secret, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """What the service is set to. Each field is the setting of the same name in capitals.

    ``docs/settings.md`` describes each.
    """

    twilio_account_sid: str = _setting(_sid("AC"))
    secrets_parameter: str = _setting(default="")
    twilio_auth_token: str = _setting(secret=True, in_parameter=True)
    twilio_api_key_sid: str = _setting(_sid("SK"), in_parameter=True)
    twilio_api_key_secret: str = _setting(secret=True, in_parameter=True)
    twilio_workspace_sid: str = _setting(_sid("WS"))
    twilio_workflow_sid: str = _setting(_sid("WW"))
    twilio_taskrouter_url: str = _setting(_url, default=TASKROUTER_URL)
    reservations_table: str = _setting()
    state_table: str = _setting()
    reservation_timeout_seconds: int = _setting(_whole(1, 86_400), default="120")
    reservation_timeouts_by_workflow: dict[str, int] = _setting(  # noqa: RUF009  it is a dataclasses.field
        _timeouts_by_workflow, default="{}"
    )
    claim_lease_seconds: int = _setting(_whole(1, 900), default="30")
    sweep_grace_seconds: int = _setting(_whole(0, 3_600), default="10")
    sweep_monitor_only: bool = _setting(_switch, default="false")
    reject_after_seconds: int | None = _setting(_off_or(_whole(1, 86_400)), default="off")
    reject_activity_sid: str = _setting(lambda text: text and _sid("WA")(text), default="")
    max_wrapup_seconds: int | None = _setting(_off_or(_whole(1, 86_400)), default="off")
    callback_budget_seconds: float = _setting(_seconds(1.0, 4.5), default="2.8")
    retention_days: int = _setting(_whole(1, 3_650), default="30")
    public_base_url: str = _setting(lambda text: text and _url(text), default="")
    cors_allow_origin: str = _setting(lambda text: text and _origin(text), default="")
    assignment_instruction: str = _setting(_one_of(*WITHOUT_PARAMETERS), default="defer")
    rules_file: Path = _setting(_file, default="chalicelib/rules.toml")  # noqa: RUF009  see above
    voice_languages: voice.Menu = _setting(  # noqa: RUF009  see above
        voice.Menu.parse, default=voice.QUICKSTART
    )
    log_level: str = _setting(_one_of(*_LOG_LEVELS), default="INFO")

    @property
    def secrets_seconds(self) -> float:
        """The part of the callback's budget that reading the secrets may take."""
        return self.callback_budget_seconds * 2 / 7

    @property
    def dynamodb_seconds(self) -> float:
        """The part of the callback's budget that DynamoDB may take, retry included."""
        return self.callback_budget_seconds * 5 / 7


def rules_file(environ: Mapping[str, str]) -> Path:
    """Return where the rules are, which can be told before the other settings are there."""
    (one,) = (one for one in _FIELDS if one.name == "rules_file")
    return cast("Path", _read(environ, one.name, one.metadata))


def in_lambda(environ: MutableMapping[str, str] | None = None) -> bool:
    """Tell whether this is a Lambda function."""
    return "AWS_LAMBDA_FUNCTION_NAME" in (os.environ if environ is None else environ)


def load(environ: MutableMapping[str, str] | None = None) -> Settings:
    """Read the settings.

    Args:
        environ: the environment, by default the process's. What the file named by
            SETTINGS_DEFAULTS sets is added to it where nothing is set, so that boto3 finds its
            own settings there too.

    Raises:
        SettingsError: one is missing or malformed.
    """
    environ = os.environ if environ is None else environ
    if environ.get("SETTINGS_DEFAULTS"):
        if in_lambda(environ):
            raise SettingsError("SETTINGS_DEFAULTS is for laptops: unset it in this stage.")
        from chalicelib import local_defaults  # noqa: PLC0415  never needed inside Lambda

        local_defaults.lay_under(environ, environ["SETTINGS_DEFAULTS"])
    settings = Settings(**{one.name: _read(environ, one.name, one.metadata) for one in _FIELDS})
    _check_rejection(settings)
    if in_lambda(environ) and settings.claim_lease_seconds <= _LAMBDA_TIMEOUT_SECONDS:
        raise SettingsError(
            f"CLAIM_LEASE_SECONDS must be over {_LAMBDA_TIMEOUT_SECONDS}, the function's time-out: "
            "else a second claim can overlap a first that is still asking TaskRouter."
        )
    return settings


_SWEEP_EVERY_SECONDS = 60


def _check_rejection(settings: Settings) -> None:
    """Refuse a pre-emptive rejection that could come too late, or go round in circles."""
    if settings.reject_after_seconds is None:
        return
    shortest = min(
        [settings.reservation_timeout_seconds, *settings.reservation_timeouts_by_workflow.values()]
    )
    latest = settings.reject_after_seconds + _SWEEP_EVERY_SECONDS + settings.sweep_grace_seconds
    if latest >= shortest:
        raise SettingsError(
            "REJECT_AFTER_SECONDS, the sweep's minute and SWEEP_GRACE_SECONDS must together stay "
            f"under the shortest reservation time-out, {shortest} seconds."
        )
    if not settings.reject_activity_sid:
        raise SettingsError(
            "REJECT_ACTIVITY_SID must be set where REJECT_AFTER_SECONDS is: a Worker who stays "
            "available is offered the same Task again, up to 1,000 times."
        )


_FIELDS = fields(Settings)


def _read(environ: Mapping[str, str], field_name: str, metadata: Any) -> Any:
    name = field_name.upper()
    if metadata["in_parameter"] and environ.get("SECRETS_PARAMETER"):
        return ""
    text = environ.get(name, "").strip() or metadata["default"]
    if text is None:
        raise SettingsError(f"{name} is not set; docs/settings.md says what it is.")
    try:
        return metadata["parse"](text)
    except ValueError as error:
        raise SettingsError(f"{name} {error}.") from error
