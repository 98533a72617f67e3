"""Command that writes a stage's secrets to its SSM parameter."""

import json
import sys
from typing import Any

import click

from chalicelib.adapters.secrets import parse_secrets
from chalicelib.domain.json_text import BYTE_ORDER_MARK
from infra import OperatorError
from infra.aws import policies, stage_config
from infra.commands import cloud_stage_option, connect_to_stage, report_errors


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
    stage = stage_config.read(stage_name)
    aws = connect_to_stage(stage)
    name = stage.settings.secrets_parameter
    if name.startswith(policies.SECRETS_MANAGER):
        raise OperatorError(f"{name} is a Secrets Manager secret. Write it in Secrets Manager.")
    text = sys.stdin.read() if from_stdin else json.dumps(_prompt_for_secrets())
    value = text.removeprefix(BYTE_ORDER_MARK)
    parse_secrets(value)
    aws.client("ssm").put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True)
    click.echo(f"{name} is written. Running Lambda instances pick it up within minutes.")


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
