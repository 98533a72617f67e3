"""What the operator's commands share: the stage, its settings, errors in one sentence."""

import functools
import os
from collections.abc import Callable
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import config
from chalicelib.domain.errors import AppError
from infra.aws import stage_config
from infra.errors import OperatorError

stage_option = click.option(
    "--stage", default="local", show_default=True, help="Of .chalice/config.json."
)

cloud_stage_option = click.option(
    "--stage", required=True, help="Of .chalice/config.json; not local."
)

break_lock_option = click.option(
    "--break-lock", is_flag=True, help="Go on although another deployment holds the stage's lock."
)

_WHAT_CAN_BE_SAID = (OperatorError, config.SettingsError, AppError, BotoCoreError, ClientError)


def told(command: Callable[..., None]) -> Callable[..., None]:
    """Have a command end with exit code 1 and one sentence where the operator can do something."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except _WHAT_CAN_BE_SAID as error:
            raise click.ClickException(str(error)) from error

    return run


def settings_of(stage: str) -> config.Settings:
    """Read a stage's settings, and lay them under this process's environment.

    So boto3 finds its own settings there too: the address of the local DynamoDB, for one.

    Raises:
        OperatorError: there is no such stage.
        chalicelib.config.SettingsError: a setting is missing or malformed.
    """
    environ = stage_config.environment(stage, os.environ)
    settings = config.load(environ)
    os.environ.update(environ)
    return settings
