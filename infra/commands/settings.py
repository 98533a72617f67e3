"""Settings for commands that use the configuration of a stage.

The shell's settings override only those of the local stage. For a deployed stage, a command uses
the same account and tables as the functions, ignores the shell's settings, and prints a note if
they differ from the stage's.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields

import click
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import config
from infra import OperatorError
from infra.aws import connect, live_resources, stage_config

_SETTINGS = {
    field.name.upper(): field.metadata["in_parameter"] for field in fields(config.Settings)
}
"""For each setting, by name: whether the parameter with the secrets stores the setting's value."""


def operator_environment(stage_name: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the shell and of a stage, for a command that uses the stage.

    The shell's settings override only those of the local stage. For a deployed stage, the shell's
    settings are ignored, so that a command uses the same account and tables as the functions.

    Raises:
        OperatorError: See `stage_config.environment`.
    """
    declared = stage_config.environment(stage_name, {})
    if stage_config.DEFAULTS in declared:
        # The local stage needs no profile, and boto3 fails if the named profile does not exist.
        return {**declared, **{key: environ[key] for key in environ if key != "AWS_PROFILE"}}
    names = {stage_config.DEFAULTS, *_SETTINGS}
    return {**declared, **{name: value for name, value in environ.items() if name not in names}}


def load(stage_name: str, environ: dict[str, str]) -> config.Settings:
    """Load settings from the result of `operator_environment`.

    Raises:
        OperatorError: A stage other than the local one lacks a Twilio SID.
        chalicelib.config.SettingsError: A setting is missing or malformed.
    """
    if stage_config.DEFAULTS not in environ:
        stage_config.refuse_empty_sids(stage_name, environ, find_location=_find_location)
    return config.read(environ)


def _find_location(stage_name: str) -> str | None:
    """Return the account and region in which a stage is deployed.

    Returns None if the selected account and region do not contain the stage, or if that can't be
    determined.
    """
    with suppress(OperatorError, BotoCoreError, ClientError):
        stage, aws = stage_config.read(stage_name, allow_empty_sids=True), connect()
        if live_resources.has_function(aws, stage):
            return f"account {aws.account}, {aws.region}"
    return None


def unused_settings(stage_name: str, environ: Mapping[str, str]) -> list[str]:
    """Return the names of the shell's settings that differ from those of a deployed stage.

    Values in the parameter with the secrets, and SIDs that config.json lacks, are not compared.
    """
    used = operator_environment(stage_name, environ)
    missing = stage_config.empty_sids(stage_name)
    return [
        name
        for name, is_in_parameter in _SETTINGS.items()
        if not is_in_parameter
        and name not in missing
        and environ.get(name, "").strip() not in ("", used.get(name, "").strip())
    ]


def stage_environment(stage_name: str) -> dict[str, str]:
    """Return the variables of the shell and of a stage, and report unused settings.

    Raises:
        OperatorError: There is no such stage, or config.json is invalid.
    """
    environ = operator_environment(stage_name, os.environ)
    report_unused(
        unused_settings(stage_name, os.environ),
        "To change the stage, edit .chalice/config.json.",
    )
    return environ


def report_unused(names: list[str], remedy: str) -> None:
    """Report variables of the shell that differ from a stage's values."""
    if names:
        click.echo(
            "These shell variables are ignored, because the stage has different values for them: "
            f"{', '.join(names)}. {remedy}",
            err=True,
        )


def load_settings(stage_name: str, **overrides: str) -> config.Settings:
    """Load a stage's settings, and copy its variables to this process's environment.

    boto3 then reads its settings, such as the URL of the local DynamoDB, from the environment.

    Args:
        stage_name: A name under "stages" in config.json.
        **overrides: Variables that take precedence over those of the stage.

    Raises:
        OperatorError: There is no such stage, config.json is invalid, or a stage other than the
            local one lacks a Twilio SID.
        chalicelib.config.SettingsError: A setting is missing or malformed.
    """
    environ = stage_environment(stage_name) | overrides
    settings = load(stage_name, environ)
    for name in os.environ.keys() - environ.keys():
        del os.environ[name]
    os.environ.update(environ)
    return settings
