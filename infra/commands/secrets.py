"""Command that writes a stage's secrets to its SSM parameter."""

import json
import sys
from typing import Any

import click
from botocore.exceptions import ClientError

from chalicelib.adapters.secrets import Secrets, parse_secrets
from chalicelib.domain.errors import SecretsUnavailable
from chalicelib.domain.json_text import BYTE_ORDER_MARK
from infra import OperatorError
from infra.aws import Aws, policies, stage_config
from infra.aws.stage_config import Stage
from infra.commands import (
    cloud_stage_option,
    connect_to_stage,
    describe_error,
    report_errors,
)
from infra.commands.dialog import is_terminal
from infra.twilio_account import Account


@click.group()
def secrets() -> None:
    """Manage a stage's secrets: auth tokens, API keys and shared keys."""


@secrets.command()
@cloud_stage_option
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the JSON from standard input.")
@report_errors
def put(stage_name: str, *, from_stdin: bool) -> None:
    """Write the entered secrets, encrypted, to the stage's SSM parameter.

    Replaces the previous secrets. During a rotation, enter both the old and the new secret.
    The service calls TaskRouter with the first API key. Empty input ends each list. The secrets
    are neither shown nor logged.
    """
    if not from_stdin and not is_terminal():
        raise OperatorError(
            "The secrets can be entered only in a terminal; use --stdin to read them as JSON from "
            "standard input."
        )
    stage = stage_config.read(stage_name)
    aws = connect_to_stage(stage)
    name = stage.settings.secrets_parameter
    if _is_in_secrets_manager(stage):
        raise OperatorError(f"{name} is a Secrets Manager secret. Write it in Secrets Manager.")
    text = _read_stdin() if from_stdin else json.dumps(_prompt_for_secrets())
    value = text.removeprefix(BYTE_ORDER_MARK)
    write(aws, stage, value)
    click.echo(f"{name} is written. Running Lambda instances pick it up within minutes.")


def _read_stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise OperatorError(
            "The standard input is not UTF-8. Save the file with the secrets as UTF-8."
        ) from error


def write(aws: Aws, stage: Stage, value: str) -> None:
    """Write the secrets, as JSON text, to a stage's SSM parameter."""
    parse_secrets(value)
    name = stage.settings.secrets_parameter
    aws.client("ssm").put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True)


def read(aws: Aws, stage: Stage) -> Secrets | None:
    """Return a stage's secrets, or None if its SSM parameter does not exist.

    Raises:
        OperatorError: The parameter can't be read or is malformed, or there is no such secret in
            Secrets Manager.
    """
    value = _get_parameter(aws, stage, decrypt=True)
    if value is None:
        if _is_in_secrets_manager(stage):
            raise _missing(stage)
        return None
    try:
        return parse_secrets(value)
    except SecretsUnavailable as error:
        raise OperatorError(f"{stage.settings.secrets_parameter}: {error}") from error


def require(aws: Aws, stage: Stage) -> Secrets:
    """Return a stage's secrets like `read`; raise OperatorError if they do not exist."""
    if (secrets := read(aws, stage)) is None:
        raise _missing(stage)
    return secrets


def verify_auth_tokens(stage: Stage, account_sid: str, secrets: Secrets) -> None:
    """Print a warning unless Twilio accepts one of the stored auth tokens.

    A rotation that is in progress, or a failure of Twilio, does not prevent a deployment.
    """
    remedy = (
        "Unless a stored auth token is the primary one, the stage refuses all callbacks. "
        + _describe_storing(stage)
    )
    failure = ""
    for token in secrets.auth_tokens:
        url = stage.settings.twilio_taskrouter_url
        try:
            Account(url, account_sid, account_sid, token, remedy=remedy).list_workspaces()
        except OperatorError as error:
            failure = str(error)
        else:
            return
    click.echo(f"Warning: the stored auth token can't be verified. {failure}", err=True)


def _describe_storing(stage: Stage) -> str:
    if _is_in_secrets_manager(stage):
        return "Correct the secret in Secrets Manager."
    return f"To store it, run: python -m infra secrets put --stage {stage.name}"


def exist(aws: Aws, stage: Stage) -> bool:
    """Return whether the parameter with the secrets exists.

    Raises:
        OperatorError: The parameter can't be read.
    """
    # SSM returns a Secrets Manager secret only with decryption.
    return _get_parameter(aws, stage, decrypt=_is_in_secrets_manager(stage)) is not None


def _get_parameter(aws: Aws, stage: Stage, *, decrypt: bool) -> str | None:
    name = stage.settings.secrets_parameter
    try:
        response = aws.client("ssm").get_parameter(Name=name, WithDecryption=decrypt)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ParameterNotFound":
            message = f"The parameter {name} can't be read. {describe_error(error)}"
            raise OperatorError(message) from error
        return None
    return str(response["Parameter"]["Value"])


def _is_in_secrets_manager(stage: Stage) -> bool:
    return stage.settings.secrets_parameter.startswith(policies.SECRETS_MANAGER)


def _missing(stage: Stage) -> OperatorError:
    remedy = (
        "Create the secret in Secrets Manager; docs/settings.md shows its format."
        if _is_in_secrets_manager(stage)
        else f"Create it: python -m infra secrets put --stage {stage.name}"
    )
    return OperatorError(f"There is no parameter {stage.settings.secrets_parameter}. {remedy}")


def _prompt_for_secrets() -> dict[str, Any]:
    tokens: list[str] = []
    while token := _prompt(f"Auth token {len(tokens) + 1}", required=not tokens, hidden=True):
        tokens.append(token)
    value: dict[str, Any] = {
        "auth_tokens": tokens,
        "api_keys": _prompt_for_pairs("API key", "SK...", minimum=1),
    }
    if shared_keys := _prompt_for_pairs("Shared key", "its ID", minimum=0):
        value["shared_keys"] = shared_keys
    return value


def _prompt_for_pairs(kind: str, hint: str, *, minimum: int) -> dict[str, str]:
    pairs: dict[str, str] = {}
    while True:
        label = f"{kind} {len(pairs) + 1}, {hint}"
        name = _prompt(label, required=len(pairs) < minimum, hidden=False)
        if not name:
            return pairs
        pairs[name] = _prompt(f"Secret of {name}", required=True, hidden=True)


def _prompt(text: str, *, required: bool, hidden: bool) -> str:
    if not required:
        text += " (empty to finish)"
    default = None if required else ""
    answer: str = click.prompt(
        text, default=default, show_default=False, hide_input=hidden, err=True
    )
    return answer.strip()
