"""Write a stage's secrets to where its functions read them."""

import json
import sys
from typing import Any

import click

from chalicelib.adapters.secrets import parse_secrets
from infra.aws import policies, session, stage_config
from infra.commands.common import cloud_stage_option, told
from infra.errors import OperatorError


@click.group()
def secrets() -> None:
    """The stage's secrets: auth tokens, API keys, shared keys."""


@secrets.command()
@cloud_stage_option
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the JSON from standard input.")
@told
def put(stage: str, *, from_stdin: bool) -> None:
    """Ask for the secrets and write them to the stage's SSM parameter, encrypted.

    Replaces what was there: while one is being rotated, give both, the current one first. An empty
    answer ends each list. Nothing is shown, and nothing is logged.
    """
    target, place = stage_config.read(stage), session.here()
    name = target.settings.secrets_parameter
    if name.startswith(policies.SECRETS_MANAGER):
        raise OperatorError(f"{name} is a secret of Secrets Manager: write it there.")
    value = sys.stdin.read() if from_stdin else json.dumps(_asked())
    parse_secrets(value)
    place.client("ssm").put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True)
    click.echo(f"{name} is written. Containers that run read it within minutes.")


def _asked() -> dict[str, Any]:
    tokens: list[str] = []
    while token := _hidden(f"Auth token {len(tokens) + 1}", required=not tokens):
        tokens.append(token)
    value: dict[str, Any] = {"auth_tokens": tokens, "api_keys": _pairs("API key", "SK...", least=1)}
    if shared := _pairs("SharedKey", "its id", least=0):
        value["shared_keys"] = shared
    return value


def _pairs(kind: str, what: str, *, least: int) -> dict[str, str]:
    found: dict[str, str] = {}
    while True:
        required = len(found) < least
        name = _shown(f"{kind} {len(found) + 1}, {what}", required=required)
        if not name:
            return found
        found[name] = _hidden(f"The secret of {name}", required=True)


def _shown(text: str, *, required: bool) -> str:
    return _ask(text, required=required, hide=False)


def _hidden(text: str, *, required: bool) -> str:
    return _ask(text, required=required, hide=True)


def _ask(text: str, *, required: bool, hide: bool) -> str:
    if not required:
        text += " (empty: no more)"
    default = None if required else ""
    answer: str = click.prompt(text, default=default, show_default=False, hide_input=hide, err=True)
    return answer.strip()
