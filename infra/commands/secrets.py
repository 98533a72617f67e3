"""Reads, verifies and writes a stage's secrets, and provides the command that writes them."""

import json
import sys
from collections.abc import Callable
from typing import Any

import click
from botocore.exceptions import ClientError

from chalicelib.adapters.secrets import Secrets, parse_secrets
from chalicelib.domain.errors import SecretsUnavailable
from chalicelib.domain.json_text import BYTE_ORDER_MARK
from chalicelib.setting_types import checked_secret
from infra import OperatorError
from infra.aws import Aws, policies, stage_config
from infra.aws.stage_config import Stage
from infra.commands import (
    cloud_stage_option,
    connect_to_stage,
    describe_error,
    report_errors,
)
from infra.commands.dialog import ask, ask_for_secret, ask_for_sid, is_terminal
from infra.twilio_account import Account, Workspace


@click.group()
def secrets() -> None:
    """Manage a stage's secrets, such as auth tokens, API keys and shared keys."""


@secrets.command()
@cloud_stage_option
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the JSON from standard input.")
@click.option(
    "--verify/--no-verify",
    "verifies",
    default=True,
    help="Verify the secrets with Twilio before they are stored.",
)
@report_errors
def put(stage_name: str, *, from_stdin: bool, verifies: bool) -> None:
    """Write the entered secrets, encrypted, to the stage's SSM parameter.

    Replaces the previous secrets. During a rotation, enter both the old and the new secret.
    The service calls TaskRouter with the first API key. At a prompt, empty input ends the list of
    auth tokens, API keys or shared keys. The secrets are neither shown nor logged.

    By default, the secrets are stored only if Twilio accepts at least one of the auth tokens, and
    the first API key can read the Workspace and the Workflow. If the stage still lacks a SID, the
    secrets are verified when the stage is deployed. If Twilio refuses any other API key, the
    command prints a warning. Shared keys can't be verified.
    """
    if not from_stdin and not is_terminal():
        raise OperatorError(
            "The secrets can be entered only in a terminal; use --stdin to read them as JSON from "
            "standard input."
        )
    stage = stage_config.read(stage_name, allow_empty_sids=True)
    aws = connect_to_stage(stage)
    name = stage.settings.secrets_parameter
    if _is_in_secrets_manager(stage):
        raise OperatorError(f"{name} is a Secrets Manager secret. Edit it in Secrets Manager.")
    text = _read_stdin() if from_stdin else json.dumps(_prompt_for_secrets(stage))
    value = text.removeprefix(BYTE_ORDER_MARK)
    entered = parse(value, "The entered secrets")
    if verifies:
        _verify(stage, entered)
    write(aws, stage, value)
    click.echo(
        f"{name} has been written. Running functions will use the new secrets within minutes."
    )


def _read_stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise OperatorError(
            "Standard input is not UTF-8. Save the file with the secrets as UTF-8."
        ) from error


def _verify(stage: Stage, entered: Secrets) -> None:
    """Verify secrets before they are stored, unless the stage still lacks a SID.

    Raises:
        OperatorError: Twilio accepts no auth token, the first API key can't read the Workspace and
            the Workflow, or Twilio can't be reached.
    """
    if empty := stage_config.empty_sids(stage.name):
        click.echo(
            "The secrets were not verified, because .chalice/config.json does not set "
            f"{', '.join(empty)}. The deployment verifies the secrets.",
            err=True,
        )
        return
    remedy = "Check the SID and the secret of the key, which must be a standard key."
    first, *remaining = (
        open_workspace(stage, key, remedy=remedy) for key in entered.api_keys.items()
    )
    try:
        verify_auth_tokens(
            stage,
            stage.settings.twilio_account_sid,
            entered,
            remedy="Copy the primary auth token from Twilio's Console.",
        )
        first.fetch()
        first.fetch_workflow()
    except OperatorError as error:
        raise OperatorError(
            f"The secrets were not stored. {error} To store unverified secrets, add the option "
            "--no-verify"
        ) from error
    for workspace in remaining:
        try:
            workspace.fetch()
        except OperatorError as error:
            click.echo(f"Warning: an API key can't be verified. {error}", err=True)


def parse(value: str, source: str) -> Secrets:
    """Parse secrets.

    Args:
        value: JSON text.
        source: The source of the text, for the error message.

    Raises:
        OperatorError: The text is malformed, or a secret is not printable ASCII.
    """
    try:
        secrets = parse_secrets(value)
    except SecretsUnavailable as error:
        raise OperatorError(f"{source}: {error}") from error
    for name, texts in (
        ("auth_tokens", secrets.auth_tokens),
        ("api_keys", secrets.api_keys.values()),
        ("shared_keys", secrets.shared_keys.values()),
        ("oidc_client_secret", [secrets.oidc_client_secret]),
    ):
        try:
            for text in texts:
                checked_secret(text)
        except ValueError as error:
            raise OperatorError(f"{source}: each secret in {name} {error}.") from error
    return secrets


def write(aws: Aws, stage: Stage, value: str) -> None:
    """Write the secrets, as JSON text, to a stage's SSM parameter."""
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
            raise _missing_parameter(stage)
        return None
    try:
        return parse(value, stage.settings.secrets_parameter)
    except OperatorError as error:
        raise OperatorError(f"{error} {storage_instructions(stage)}") from error


def require(aws: Aws, stage: Stage) -> Secrets:
    """Return a stage's secrets like `read`; raise OperatorError if they do not exist."""
    if (secrets := read(aws, stage)) is None:
        raise _missing_parameter(stage)
    return secrets


def open_workspace(stage: Stage, api_key: tuple[str, str], *, remedy: str) -> Workspace:
    """Return the Workspace of a stage, accessed with an API key.

    Args:
        stage: The stage.
        api_key: The SID and the secret of the key.
        remedy: A sentence with the remedy if Twilio refuses the key.
    """
    settings = stage.settings
    url, sid = settings.twilio_taskrouter_url, settings.twilio_account_sid
    account = Account(url, sid, *api_key, remedy=remedy)
    return Workspace(account, settings.twilio_workspace_sid, settings.twilio_workflow_sid)


def check_stored_auth_tokens(stage: Stage, account_sid: str, secrets: Secrets) -> None:
    """Print a warning unless Twilio accepts one of the stored auth tokens.

    A failed verification is not an error, so that a rotation in progress does not prevent a
    deployment.
    """
    remedy = (
        "Unless a stored auth token is the primary one, the stage refuses all callbacks. "
        + storage_instructions(stage)
    )
    try:
        verify_auth_tokens(stage, account_sid, secrets, remedy=remedy)
    except OperatorError as error:
        click.echo(f"Warning: the stored auth token can't be verified. {error}", err=True)


def verify_auth_tokens(stage: Stage, account_sid: str, secrets: Secrets, *, remedy: str) -> None:
    """Raise OperatorError unless Twilio accepts one of the auth tokens."""
    failure = OperatorError("")
    for token in secrets.auth_tokens:
        url = stage.settings.twilio_taskrouter_url
        try:
            Account(url, account_sid, account_sid, token, remedy=remedy).list_workspaces()
        except OperatorError as error:
            failure = error
        else:
            return
    raise failure


def storage_instructions(stage: Stage) -> str:
    """Return instructions for replacing a stage's secrets, for the end of a message."""
    if _is_in_secrets_manager(stage):
        return "Correct the secret in Secrets Manager."
    return f"To replace the stored secrets, run: python -m infra secrets put --stage {stage.name}"


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


def _missing_parameter(stage: Stage) -> OperatorError:
    remedy = (
        "Create the secret in Secrets Manager; docs/settings.md shows its format."
        if _is_in_secrets_manager(stage)
        else f"Create it: python -m infra secrets put --stage {stage.name}"
    )
    return OperatorError(f"There is no parameter {stage.settings.secrets_parameter}. {remedy}")


def _prompt_for_secrets(stage: Stage) -> dict[str, Any]:
    tokens: list[str] = []
    while token := _prompt(f"Auth token {len(tokens) + 1}", ask_for_secret, required=not tokens):
        tokens.append(token)
    value: dict[str, Any] = {
        "auth_tokens": tokens,
        "api_keys": _prompt_for_pairs("API key", "SK...", _ask_for_key_sid, minimum=1),
    }
    if shared_keys := _prompt_for_pairs("Shared key", "its ID", ask, minimum=0):
        value["shared_keys"] = shared_keys
    if stage.settings.oidc_issuer and (
        secret := _prompt("Client secret of OIDC_CLIENT_ID", ask_for_secret, required=False)
    ):
        value["oidc_client_secret"] = secret
    return value


def _ask_for_key_sid(question: str, **options: str) -> str:
    return ask_for_sid(question, "SK", **options)


def _prompt_for_pairs(
    kind: str, hint: str, ask_for: Callable[..., str], *, minimum: int
) -> dict[str, str]:
    pairs: dict[str, str] = {}
    while True:
        label = f"{kind} {len(pairs) + 1}, {hint}"
        name = _prompt(label, ask_for, required=len(pairs) < minimum)
        if not name:
            return pairs
        pairs[name] = ask_for_secret(f"Secret of {name}")


def _prompt(question: str, ask_for: Callable[..., str], *, required: bool) -> str:
    return ask_for(question) if required else ask_for(f"{question} (empty to finish)", default="")
