"""Settings, read from the environment."""

import hashlib
import os
import re
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, cast

from chalicelib.domain import auth, sign_in, voice
from chalicelib.domain.instructions import WITHOUT_PARAMETERS
from chalicelib.setting_types import (
    MAX_RESERVATION_TIMEOUT,
    OPEN,
    boolean,
    checked_secret,
    empty_or,
    is_secure_or_loopback,
    issuer,
    matching,
    names,
    off_or,
    one_of,
    origin,
    path_secrets,
    port,
    region,
    seconds,
    sid,
    taskrouter_url,
    timeouts_by_workflow,
    url,
    whole_number,
)

TASKROUTER_URL = "https://taskrouter.twilio.com"

PROJECT = Path(__file__).parent.parent
"""Base folder for relative paths: the checkout or, on Lambda, the unpacked package."""

SWEEP_INTERVAL_MINUTES = 1
"""Interval between scheduled sweeps on AWS."""

API_TIMEOUT_SECONDS = 29
"""API Gateway's time limit, and the ``lambda_timeout`` of the API's function. With the default
settings, a request takes up to 14.8 s: 0.8 s to read the secrets, 6 s until its last request to
TaskRouter ends, and 8 s for the DynamoDB calls that follow (chalicelib/usecases/deadlines.py)."""

MAX_TOKEN_SECONDS = 86_400
"""Maximum lifetime of a Twilio AccessToken (https://www.twilio.com/docs/iam/access-tokens)."""

_PRINTABLE = matching("[!-~]+", "printable ASCII text without spaces")
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_LINE = re.compile(r"(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)")
_PLACEHOLDER = re.compile(r"\{(?P<hash>hash:)?(?P<name>[^}]+)\}")


class SettingsError(Exception):
    """The settings, or a file named by a setting, can't be used.

    The message never contains a secret.
    """


def _project_path(text: str) -> Path:
    return PROJECT / text


def _setting(
    parse: Callable[[str], Any] = str,
    *,
    default: str | None = None,
    secret: bool = False,
    in_parameter: bool = False,
) -> Any:
    """Declare a field of Settings.

    Args:
        parse: converts the text of the setting; raises ValueError if the text is malformed.
        default: text used if the setting is not set; None makes the setting required.
        secret: whether the repr of the settings omits the value.
        in_parameter: whether the value comes from the SSM parameter if SECRETS_PARAMETER is set.
    """
    metadata = {"parse": parse, "default": default, "in_parameter": in_parameter}
    return field(repr=not secret, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """Settings of the service.

    Each field is read from the environment variable of the same name, in upper case.
    ``docs/settings.md`` describes the settings.
    """

    twilio_account_sid: str = _setting(sid("AC"))
    secrets_parameter: str = _setting(default="")
    twilio_auth_token: str = _setting(checked_secret, secret=True, in_parameter=True)
    twilio_api_key_sid: str = _setting(sid("SK"), in_parameter=True)
    twilio_api_key_secret: str = _setting(checked_secret, secret=True, in_parameter=True)
    twilio_workspace_sid: str = _setting(sid("WS"))
    twilio_workflow_sid: str = _setting(sid("WW"))
    twilio_taskrouter_url: str = _setting(taskrouter_url, default=TASKROUTER_URL)
    reservations_table: str = _setting()
    state_table: str = _setting()
    reservation_timeout_seconds: int = _setting(
        whole_number(1, MAX_RESERVATION_TIMEOUT), default="120"
    )
    reservation_timeouts_by_workflow: dict[str, int] = _setting(timeouts_by_workflow, default="{}")
    claim_lease_seconds: int = _setting(whole_number(1, 900), default="30")
    sweep_grace_seconds: int = _setting(whole_number(0, 3_600), default="10")
    sweep_monitor_only: bool = _setting(boolean, default="false")
    reject_after_seconds: int | None = _setting(off_or(whole_number(1, 86_400)), default="off")
    reject_activity_sid: str = _setting(empty_or(sid("WA")), default="")
    max_wrapup_seconds: int | None = _setting(off_or(whole_number(1, 86_400)), default="off")
    callback_budget_seconds: float = _setting(seconds(1.0, 4.5), default="2.8")
    retention_days: int = _setting(whole_number(1, 3_650), default="30")
    public_base_url: str = _setting(empty_or(url), default="")
    callback_path_secrets: tuple[str, ...] = _setting(path_secrets, default=OPEN, secret=True)
    cors_allow_origin: str = _setting(empty_or(origin), default="")
    max_token_seconds: int = _setting(
        whole_number(1, MAX_TOKEN_SECONDS), default=str(MAX_TOKEN_SECONDS)
    )
    assignment_instruction: str = _setting(one_of(*WITHOUT_PARAMETERS), default="defer")
    worker_instructions: auth.InstructionPermissions = _setting(
        auth.parse_instruction_permissions, default=auth.WORKER_INSTRUCTIONS
    )
    rules_file: Path = _setting(_project_path, default="chalicelib/rules.toml")
    voice_languages: voice.Menu = _setting(voice.Menu.parse, default=voice.QUICKSTART)
    tutorial_routes: bool = _setting(boolean, default="false")
    oidc_issuer: str = _setting(empty_or(issuer), default="")
    oidc_client_id: str = _setting(empty_or(_PRINTABLE), default="")
    oidc_client_secret: str = _setting(
        empty_or(_PRINTABLE), default="", secret=True, in_parameter=True
    )
    oidc_scopes: str = _setting(
        matching(
            r"openid( [!#-\[\]-~]+)*",
            'the scope "openid", optionally followed by other scopes, separated by spaces',
        ),
        default="openid email",
    )
    oidc_worker_claim: str = _setting(_PRINTABLE, default="email")
    oidc_worker_attribute: str = _setting(
        matching(r"[A-Za-z_]\w*(\.\w+)*", "friendly_name or the name of a Worker attribute"),
        default=sign_in.FRIENDLY_NAME,
    )
    oidc_role_claim: str = _setting(_PRINTABLE, default="groups")
    oidc_roles: Mapping[str, auth.Role] = _setting(
        sign_in.parse_roles, default=sign_in.EVERYONE_IS_A_WORKER
    )
    oidc_token_seconds: int = _setting(whole_number(60, MAX_TOKEN_SECONDS), default="3600")
    console_agents: int = _setting(whole_number(1, 10_000), default="150")
    console_title_attributes: tuple[str, ...] = _setting(names, default="")
    log_level: str = _setting(one_of(*_LOG_LEVELS), default="INFO")

    @property
    def callback_prefixes(self) -> tuple[str, ...]:
        """Path prefixes of the routes that Twilio calls; each is ``/SECRET`` or empty."""
        secrets = self.callback_path_secrets
        return tuple("" if secret == OPEN else f"/{secret}" for secret in secrets)

    @property
    def secrets_seconds(self) -> float:
        """Time limit for reading the secrets: 2/7 of the callback's budget."""
        return self.callback_budget_seconds * 2 / 7

    @property
    def dynamodb_seconds(self) -> float:
        """Time limit for DynamoDB, including one retry: 5/7 of the callback's budget."""
        return self.callback_budget_seconds * 5 / 7


def rules_file(environ: Mapping[str, str]) -> Path:
    """Return the path of the rules file without reading the other settings."""
    return cast("Path", _read(environ, _FIELDS["rules_file"]))


def in_lambda(environ: Mapping[str, str] | None = None) -> bool:
    """Return whether *environ* (default: ``os.environ``) is that of a Lambda function."""
    return "AWS_LAMBDA_FUNCTION_NAME" in (os.environ if environ is None else environ)


def log_group(environ: Mapping[str, str] | None = None) -> str:
    """Return the name of the log group of the running Lambda function.

    Emulators may set only the function's name, which determines the name of its default log group.
    """
    environ = os.environ if environ is None else environ
    name = environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
    return name or f"/aws/lambda/{environ['AWS_LAMBDA_FUNCTION_NAME']}"


def load(environ: MutableMapping[str, str] | None = None) -> Settings:
    """Read the settings, and check that they are consistent.

    Args:
        environ: the environment, by default ``os.environ``. Settings from the file named by
            SETTINGS_DEFAULTS are added to the environment unless already set, so that botocore
            finds its own settings there too.

    Raises:
        SettingsError: A setting is missing or malformed, or settings contradict each other.
    """
    environ = os.environ if environ is None else environ
    settings = read(environ)
    check_combinations(settings, on_lambda=in_lambda(environ))
    return settings


def read(environ: MutableMapping[str, str]) -> Settings:
    """Read the settings like `load`, without checking that they are consistent."""
    if path := environ.get("SETTINGS_DEFAULTS"):
        if in_lambda(environ):
            raise SettingsError("SETTINGS_DEFAULTS is for local use only. Unset it in this stage.")
        _add_defaults(environ, path)
    return Settings(**{name: _read(environ, setting) for name, setting in _FIELDS.items()})


def check_combinations(settings: Settings, *, on_lambda: bool) -> None:
    """Check settings that depend on each other.

    Args:
        settings: the settings.
        on_lambda: whether the settings are those of a Lambda function.

    Raises:
        SettingsError: Settings contradict each other.
    """
    _check_rejection(settings)
    _check_sign_in(settings)
    if on_lambda and settings.claim_lease_seconds <= API_TIMEOUT_SECONDS:
        raise SettingsError(
            f"CLAIM_LEASE_SECONDS must be greater than {API_TIMEOUT_SECONDS}, the function "
            "timeout. Otherwise, a claim could expire while its owner is still waiting for "
            "TaskRouter."
        )


def _check_rejection(settings: Settings) -> None:
    """Check that automatic rejections precede the timeout and change the Worker's Activity."""
    if settings.reject_after_seconds is None:
        return
    shortest = min(
        [settings.reservation_timeout_seconds, *settings.reservation_timeouts_by_workflow.values()]
    )
    sweep_interval = SWEEP_INTERVAL_MINUTES * 60
    latest = settings.reject_after_seconds + sweep_interval + settings.sweep_grace_seconds
    if latest >= shortest:
        raise SettingsError(
            f"REJECT_AFTER_SECONDS + {sweep_interval} (the sweep interval) + SWEEP_GRACE_SECONDS "
            f"is {latest} seconds, but must be less than the shortest reservation timeout, "
            f"{shortest} seconds (RESERVATION_TIMEOUT_SECONDS, RESERVATION_TIMEOUTS_BY_WORKFLOW)."
        )
    if not settings.reject_activity_sid:
        raise SettingsError(
            "REJECT_ACTIVITY_SID must be set if REJECT_AFTER_SECONDS is set. Otherwise, the Worker "
            "stays available and is offered the same Task again, up to 1,000 times."
        )


def _check_sign_in(settings: Settings) -> None:
    """Check that browsers can sign in with the identity provider, if there is one."""
    if not settings.oidc_issuer:
        return
    if not settings.oidc_client_id:
        raise SettingsError(
            "OIDC_CLIENT_ID must be set if OIDC_ISSUER is set. The identity provider shows "
            "the ID where you registered the console."
        )
    if settings.public_base_url and not is_secure_or_loopback(settings.public_base_url):
        raise SettingsError(
            "PUBLIC_BASE_URL must be an https URL if OIDC_ISSUER is set. Otherwise, browsers would "
            "not store the cookie that protects the sign-in."
        )


_FIELDS = {setting.name: setting for setting in fields(Settings)}


def _read(environ: Mapping[str, str], setting: Field[Any]) -> Any:
    name = setting.name.upper()
    if setting.metadata["in_parameter"] and environ.get("SECRETS_PARAMETER"):
        return ""
    text = environ.get(name, "").strip() or setting.metadata["default"]
    if text is None:
        raise SettingsError(f"{name} is not set. See docs/settings.md.")
    try:
        return setting.metadata["parse"](text)
    except ValueError as error:
        raise SettingsError(f"{name} {error}.") from error


_LOCAL_PARSERS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("API_PORT", "DYNAMODB_PORT", "SIMULATOR_PORT"), port),
    "AWS_ENDPOINT_URL_DYNAMODB": url,
    "AWS_DEFAULT_REGION": region,
}
"""Parsers for variables of the local stack that are not settings of the service."""


def _add_defaults(environ: MutableMapping[str, str], path: str) -> None:
    """Add the settings in a file to the environment, except those already set.

    Args:
        environ: the environment.
        path: the file, relative to the project's folder. It has lines of ``NAME=value`` and
            comments. In a value, ``{hash:NAME}`` stands for the 32 hexadecimal digits of a fake
            SID or key, so that secret scanners do not mistake the file's text for a secret.
            ``{NAME}`` stands for the value of a variable that the environment or an earlier line
            sets.

    Raises:
        SettingsError: The file can't be read, or a line or a value is malformed.
    """
    try:
        lines = (PROJECT / path).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise SettingsError(f"SETTINGS_DEFAULTS: the file {path} can't be read.") from error
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"SETTINGS_DEFAULTS: {path} must be UTF-8. Save it as UTF-8."
        ) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise SettingsError(f"SETTINGS_DEFAULTS: line {number} of {path} is not NAME=value.")
        name = match["name"]
        # An empty variable is treated as not set, as in `_read`.
        if not environ.get(name, "").strip():
            environ[name] = _PLACEHOLDER.sub(lambda m: _replacement(m, environ), match["value"])
        try:
            _LOCAL_PARSERS.get(name, str)(environ[name])
        except ValueError as error:
            raise SettingsError(f"{name} {error}, not {environ[name]!r}.") from error


def _replacement(placeholder: re.Match[str], environ: Mapping[str, str]) -> str:
    """Return a variable's value, or the digits that the simulator derives from a name."""
    if not placeholder["hash"]:
        return environ.get(placeholder["name"], "")
    seed = "taskrouter-simulator/" + placeholder["name"]
    return hashlib.sha256(seed.encode()).hexdigest()[:32]
